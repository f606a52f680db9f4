/*
 * op.h - an operation in flight on a ring.
 *
 * An op is a field of whoever started it.  The ring carries its address and calls done() once for
 * each completion, on the shard's thread.  Between start and last completion the owner must not
 * move or go; owners keep a flag beside each op that says so.
 */
#ifndef IO_OP_H
#define IO_OP_H

#include <stdint.h>

#define OP_MORE            (1u << 1) /* = IORING_CQE_F_MORE: not the last completion of this op */
#define OP_SOCKET_NONEMPTY (1u << 2) /* = IORING_CQE_F_SOCK_NONEMPTY: more is there to be read */

struct op {
	/* `result`: as the system call would return it, or a negative errno. */
	void (*done)(struct op *op, int result, uint32_t flags);
};

#endif
