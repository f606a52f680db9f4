/*
 * tls_internal.h - what the files of TLS share.
 */
#ifndef IO_TLS_INTERNAL_H
#define IO_TLS_INTERNAL_H

#include "io/tls.h"
#include "io/tls_hello.h"

/* A record that is not whole yet, and one receive behind it. */
#define TLS_INPUT_OCTETS (24u * 1024)
/* Records made of one scratch, or a server's whole flight. */
#define TLS_OUTPUT_OCTETS (TLS_SCRATCH_OCTETS + 2048u)

/* wolfSSL's way in and out. */
int tls_get_input(struct WOLFSSL *ssl, char *to, int size, void *session);
int tls_put_output(struct WOLFSSL *ssl, char *octets, int length, void *session);

/* A handshake is not under way any more: the next one may begin. */
void tls_context_count_out(struct tls *t);

#endif
