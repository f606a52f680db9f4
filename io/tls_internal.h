/*
 * tls_internal.h - what the files of TLS share.
 */
#ifndef IO_TLS_INTERNAL_H
#define IO_TLS_INTERNAL_H

#include "io/tls.h"
#include "io/tls_hello.h"

/* A record that is not whole yet, and one receive behind it. */
#define TLS_INPUT_OCTETS (24u * 1024)
/* As many records as are made at once and an alert, or a server's whole flight. */
#define TLS_OUTPUT_OCTETS (TLS_SCRATCH_OCTETS + 2048u)
static_assert(TLS_RECORDS_AT_ONCE * (TLS_RECORD_FRONT_MAX + TLS_RECORD_BACK_MAX) <= 1024u,
	"all that stands around what records carry, and an alert");

/* wolfSSL's way in and out. */
int tls_get_input(struct WOLFSSL *ssl, char *to, int size, void *session);
int tls_put_output(struct WOLFSSL *ssl, char *octets, int length, void *session);

/* A context's cipher and scratch.  0 or -ENOMEM. */
int tls_context_make_tools(struct tls_context *x);
void tls_context_free_tools(struct tls_context *x);

/* Buffers are held only while they hold something. */
bool tls_hold_output(struct tls *t);
void tls_release_output(struct tls *t);
void tls_release_input(struct tls *t);

/* A handshake is not under way any more: the next one may begin. */
void tls_context_count_out(struct tls *t);

#endif
