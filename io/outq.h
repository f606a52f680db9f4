/*
 * outq.h - the send queue of one connection; see outq.c.
 */
#ifndef IO_OUTQ_H
#define IO_OUTQ_H

#include "io/loop.h"

struct tls;

enum outq_doing {
	OUTQ_NOTHING,
	OUTQ_SENDING,    /* the ring sends octets */
	OUTQ_POLLING,    /* the socket is full */
	OUTQ_READING,    /* a cold part of a file is on its way into the page cache */
	OUTQ_WAITING,    /* for a buffer to read it with */
	OUTQ_GIVEN_TURN, /* sent its share of this turn */
};

struct outq {
	struct segments segments; /* append here, then outq_flush() */
	struct loop *loop;
	struct op op;
	struct deferred turn;
	void *cold_buffer;
	uint64_t warm_from; /* of the file warm_fd these octets were in the page cache */
	uint64_t warm_to;
	uint32_t warm_at_ms; /* when that was found out (low bits) */
	int warm_fd;
	/* Something moved or failed (error < 0): flush again, or end the connection. */
	void (*moved)(struct outq *q, int error);
	int fd;
	uint8_t doing; /* enum outq_doing */
	bool corked;
	bool in_kernel;         /* the socket itself speaks TLS */
	bool goodbye_due;       /* close_notify when all is sent */
	uint16_t record_fill;   /* octets in the kernel's open record */
	uint16_t suite;         /* of TLS in the kernel, where it has secrets */
	bool new_keys_due;      /* before the next octets */
	struct tls *tls;        /* TLS in user space; NULL: none */
	unsigned char *secrets; /* TLS in the kernel, if its keys can be changed; owned */
};

void outq_init(struct outq *q, struct loop *loop, int fd, void (*moved)(struct outq *q, int error));

/* Move what can be moved.  0: all is with the kernel; -EINPROGRESS: moved() will be called; any
 * other negative errno: the connection cannot go on. */
int outq_flush(struct outq *q);

/* Stop what is in flight; true when nothing is, else moved() is called once more. */
bool outq_stop(struct outq *q);

/* Drop all that was not sent.  Nothing may be in flight. */
void outq_clear(struct outq *q);

#endif
