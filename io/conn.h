/*
 * conn.h - one connection: a socket, its input, its send queue, its time limit.
 *
 * The upper room embeds a struct conn and hands down a table of functions.  All are called on the
 * shard's thread, never from within a call into this file.  What was received is lent for the call
 * of received() only; input is asked for one buffer at a time (conn_receive), so a guest who sends
 * more than we want to hear is held back by TCP.
 *
 * Life: conn_open -> any number of received/drained -> conn_close, conn_refuse or ended() ->
 * gone(), when the last operation is home and the slot may be used again.
 */
#ifndef IO_CONN_H
#define IO_CONN_H

#include "io/outq.h"
#include "io/tls.h"
#include "io/tls_peer.h"

#include <netinet/in.h>

enum conn_end {
	CONN_END_CLOSED_BY_PEER,
	CONN_END_RECEIVE_FAILED,
	CONN_END_SEND_FAILED,
	CONN_END_FILE_FAILED, /* a file of a reply could not be read */
	CONN_END_NO_MEMORY,
	CONN_END_TLS_FAILED, /* in the handshake, or where the kernel had to take over and could
				not; error is an enum tls_failure.  conn_refuse() sends the alert */
};

struct conn;

struct conn_ops {
	/* Octets came.  Nothing more comes until conn_receive(). */
	void (*received)(struct conn *c, struct span octets);
	/* All output that conn_flush() left in the queue is with the kernel. */
	void (*drained)(struct conn *c);
	/* The time limit has passed. */
	void (*timed_out)(struct conn *c);
	/* The peer said its last (CONN_END_CLOSED_BY_PEER), or the connection has failed; call
	 * conn_close() when ready: what is queued is sent in the first case, and lost in all
	 * others. */
	void (*ended)(struct conn *c, enum conn_end why, int error);
	/* conn_start_tls(): the handshake is done, all that follows is secured.  `peer` is lent for
	 * the call. */
	void (*secured)(struct conn *c, const struct tls_peer *peer);
	/* Nothing refers to the connection any more. */
	void (*gone)(struct conn *c);
};

enum conn_state {
	CONN_OPEN,
	CONN_ENDED,     /* ended() was called; waiting for conn_close() */
	CONN_LINGERING, /* our side is shut; what the peer still sends is thrown away */
	CONN_CLOSING,   /* waiting for operations to come home */
	CONN_GONE,
};

struct conn {
	const struct conn_ops *ops;
	struct loop *loop;
	struct outq outq;
	struct op receive_op;
	struct op close_op;
	struct timer timer;
	uint64_t deadline_ms;
	uint32_t limit_ms; /* 0: the deadline stands; else it moves with every progress */
	int fd;
	uint8_t state; /* enum conn_state */
	bool receive_in_flight;
	bool more_is_there; /* the last receive left octets in the socket */
	bool close_in_flight;
	bool close_when_drained;
	bool linger_when_drained;
	bool wants_drained;
	bool is_in;            /* conn_goes_first() */
	uint8_t quiet_records; /* TLS: with no octet of data, in a row */
	struct tls_facts tls;  /* once secured */
};

/* Takes over the connected socket `fd`. */
void conn_open(struct conn *c, struct loop *loop, int fd, const struct conn_ops *ops);

/* Speak TLS from here on: secured() or ended() will be called.  Nothing may be queued or asked for.
 * `alpn` as tls_make() has it, borrowed.  `octets` came with what made us start and are what TLS begins with; if they are not TLS nobody
 * ever sees them.  False: no memory. */
bool conn_start_tls(struct conn *c, struct tls_context *x, const char *alpn, struct span octets);

/* Ask for more input.  `expect_wait`: the peer has something to do first. */
void conn_receive(struct conn *c, bool expect_wait);

/* What has come by now beyond what was received, up to `size` octets put to `to`, without a turn of
 * the loop: for a guest in the middle of a long message, while it is known that more is there.
 * Empty: ask by conn_receive(), which also tells of an end. */
struct span conn_receive_now(struct conn *c, char *to, size_t size);

/* The reply so far may go out.  True: all of it is with the kernel or will be without further
 * notice; false: drained() will be called. */
bool conn_flush(struct conn *c);

/* From now on it goes before those who still arrive, if there is much to do: it has logged in. */
static inline void
conn_goes_first(struct conn *c)
{
	c->is_in = true;
}

/* Where replies are put. */
static inline struct segments *
conn_output(struct conn *c)
{
	return &c->outq.segments;
}

/* timed_out() is called when `ms` from now have passed, whatever happens (a deadline), or have
 * passed without an octet coming in or going out (an idle limit). */
void conn_set_deadline(struct conn *c, uint32_t ms);
void conn_set_idle_limit(struct conn *c, uint32_t ms);

/* Send what is queued, then close. */
void conn_close(struct conn *c);
/* The same for a guest who may still be sending: unread input would make TCP throw our last words
 * away, so shut our side, read and forget for a while, then close. */
void conn_refuse(struct conn *c);
/* Close at once; what is queued is lost. */
void conn_abort(struct conn *c);

#endif
