/*
 * ring.h - the narrow seam to io_uring: everything a shard asks of the kernel that may take time.
 *
 * A substitute for ring.c with the same functions is a kernel of one's own (tests/sim).
 *
 * Each start function queues one operation; it reaches the kernel with the next ring_wait(), or
 * sooner when the queue is full.  Completions come back through op->done() from ring_run() only.
 * Buffers and ops are borrowed until the last completion.  One thread, the one that opened the
 * ring.
 */
#ifndef IO_RING_H
#define IO_RING_H

#include "io/base/span.h"
#include "io/op.h"

#include <liburing.h>

struct ring_options {
	unsigned entries; /* of the submission queue; completions get four times as many */
	bool sqpoll;      /* a kernel thread takes submissions without a system call */
	unsigned buffers; /* receive buffers, a power of two */
	unsigned buffer_octets;
};

/* Completions that can wait while others are there: of those who still arrive. */
#define RING_LATER_MAX 8192u

struct ring_completion {
	struct op *op;
	int result;
	uint32_t flags;
};

struct ring {
	struct io_uring uring;
	struct io_uring_buf_ring *buffer_ring;
	char *buffers;
	unsigned buffer_count;
	unsigned buffer_octets;
	bool sqpoll;
	struct ring_completion *later; /* a queue of RING_LATER_MAX */
	uint32_t later_first;
	uint32_t later_count;
};

/* 0 or a negative errno; ring_explain() has the words for it.  Make it after privileges are
 * dropped: an SQPOLL thread keeps the rights of its maker. */
int ring_open(const struct ring_options *options, struct ring *ring_out);
void ring_close(struct ring *r);

/* Cause and cure of a failed ring_open(), one line without its end. */
const char *ring_explain(int error);

/* Accept a connection on a listening socket; the result is the connected socket.  New guests come after
 * those who are there: the completion can wait. */
void ring_accept(struct ring *r, struct op *op, int listening_fd);

/* Receive once into a buffer of the ring's own.  `expect_wait`: nothing is there yet, so do not
 * look before the socket says so.  `can_wait`: if there is much to do, others come first.  On
 * completion ring_received() gives the octets. */
void ring_receive(struct ring *r, struct op *op, int fd, bool expect_wait, bool can_wait);
/* The octets that came with a completion (`result`, `flags` of done()); valid until
 * ring_give_back(), which must follow if `result` > 0. */
struct span ring_received(const struct ring *r, int result, uint32_t flags);
void ring_give_back(struct ring *r, uint32_t flags);

/* Send all of `octets` (MSG_WAITALL). */
void ring_send(struct ring *r, struct op *op, int fd, struct span octets);
/* Send what the socket takes of it: one in which the kernel makes TLS records knows no
 * MSG_WAITALL. */
void ring_send_some(struct ring *r, struct op *op, int fd, struct span octets);
/* Complete when the socket can take more. */
void ring_poll_writable(struct ring *r, struct op *op, int fd);
/* Read from a file; waits for the disk off the shard. */
void ring_read(struct ring *r, struct op *op, int fd, void *to, uint32_t size, uint64_t offset);
void ring_close_file(struct ring *r, struct op *op, int fd);
/* Ask that all operations of `target` end early; they complete with -ECANCELED, or as they had. */
void ring_cancel(struct ring *r, struct op *op, struct op *target);

/* Submit what is queued and wait for at least one completion or `timeout_ns` (UINT64_MAX: for ever,
 * 0: do not wait).  Returns 0 or a negative errno that is our end. */
int ring_wait(struct ring *r, uint64_t timeout_ns);
/* Run the done() of all that has completed; of those that can wait (accepts, and receives that were said
 * to) as many as a bounded time allows.  True: some are left, come back soon. */
bool ring_run(struct ring *r);

#endif
