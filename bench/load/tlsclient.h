/*
 * tlsclient.h - the client's side of TLS, over memory.
 *
 * wolfSSL sees no descriptor: what came from the server is handed in, what is to go to it is taken
 * out.  Certificates are not checked: the generator asks how fast a server is, not who.
 * Key exchange is X25519, as clients of today offer it first.
 * Ownership: a context belongs to one thread and outlives its sessions.
 */
#ifndef BENCH_LOAD_TLSCLIENT_H
#define BENCH_LOAD_TLSCLIENT_H

#include "io/base/span.h"

#include <sys/types.h>

struct tlsclient_settings {
	unsigned version;    /* 12, 13, or 0: the best that both know */
	bool resume;         /* with the ticket of the last session that brought one */
	const char *ciphers; /* wolfSSL's names, by ":"; NULL: its own choice */
};

struct tlsclient_context;
struct tlsclient;

/* NULL: no memory, or settings that wolfSSL does not know. */
struct tlsclient_context *tlsclient_context_make(const struct tlsclient_settings *settings);
void tlsclient_context_free(struct tlsclient_context *x);

/* Give back what wolfSSL keeps for the calling thread, before that ends. */
void tlsclient_end_thread(void);

/* A new session; NULL: no memory. */
struct tlsclient *tlsclient_make(struct tlsclient_context *x);
/* Forget it; its ticket stays with the context if the session went well. */
void tlsclient_free(struct tlsclient *t, bool went_well);

/* Octets from the server.  They are borrowed until a call to handshake or read says that it needs
 * more; by then they are used up. */
void tlsclient_take(struct tlsclient *t, struct span octets);

/* 1: done; 0: the server must say more; -EPROTO: it failed. */
int tlsclient_handshake(struct tlsclient *t);
bool tlsclient_was_resumed(const struct tlsclient *t);
/* "TLSv1.3 TLS13-AES128-GCM-SHA256" */
void tlsclient_describe(const struct tlsclient *t, char *text_out, size_t size);

/* Octets into `to`; 0: no more for now; -EPIPE: the server has ended the session; -EPROTO. */
ssize_t tlsclient_read(struct tlsclient *t, char *to, size_t size);
/* Encrypt all of it; 0 or -EPROTO. */
int tlsclient_write(struct tlsclient *t, struct span octets);

/* What is to be sent, empty if nothing; it is valid until this is called again. */
struct span tlsclient_take_output(struct tlsclient *t);

#endif
