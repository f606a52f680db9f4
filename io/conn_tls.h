/*
 * conn_tls.h - the TLS of a connection, as conn.c drives it; see conn_tls.c.
 */
#ifndef IO_CONN_TLS_H
#define IO_CONN_TLS_H

#include "io/conn.h"

/* Octets came from the socket. */
void conn_tls_received(struct conn *c, struct span octets);
/* Input is wanted: must it come from the socket?  False: what came already is handed on in a
 * moment, or the connection has just failed. */
bool conn_tls_needs_octets(struct conn *c);
/* All output has gone. */
void conn_tls_drained(struct conn *c);
/* A receive from a socket whose records the kernel opens has failed.  -EIO: there is one that is not
 * data. */
void conn_tls_hear_kernel(struct conn *c, int error);

bool conn_tls_is_handshaking(const struct conn *c);
/* Why the handshake failed; if nobody has said so, because the client is gone. */
enum tls_failure conn_tls_failure(struct conn *c);
void conn_tls_too_slow(struct conn *c);
/* The connection is over. */
void conn_tls_forget(struct conn *c);

/* conn.c's: tell the upper room of the end, once. */
void conn_end(struct conn *c, enum conn_end why, int error);

#endif
