/*
 * draft.h - a message on its way in, before any maildrop has it.
 *
 * A draft holds the octets in wire form (CRLF, byte-stuffed, without status line and end line),
 * counted and check-summed as they come: a copy out of the receive buffer is the only one before
 * the log, for however many recipients.  They lie in blocks of the shard's pool; a draft that
 * outgrows its share, or finds the pool empty, asks to be spilled, and goes on in an unnamed file.
 *
 * Two ways in, one for each draft:
 *   draft_put_wire()   SMTP's DATA: wire form already.  The caller has seen that every CR and LF is
 *                      one of a pair, and keeps the end line to itself.  A NUL becomes 0x80.  A dot
 *                      before other octets that was not doubled is taken away (RFC 5321, 4.5.2).
 *   draft_put_text()   anything else (BDAT, a pipe): any line ends, not stuffed.
 *
 * Threads and ownership: made, filled and freed on one thread, the pool's.  draft_spill() and
 * draft_close_file() run on a worker while that thread keeps its hands off.  After draft_end() a
 * draft is read-only: any number of threads may read it at once.  The pool owns the blocks; a draft
 * is lent until draft_free().
 *
 * Errors: -EAGAIN  the draft must be spilled before it takes more
 *         -ENOMEM  the pool is empty and this draft has nothing that could be spilled
 *         -EFBIG   above octets_max; the draft has let go of what it held, and will answer this to
 *                  all that follows
 *         -EINVAL  draft_end(): the last line has no end (wire form only)
 *         others   of the file system, from draft_spill() and draft_each()
 */
#ifndef STORAGE_DRAFT_H
#define STORAGE_DRAFT_H

#include "io/base/slab.h"
#include "io/disk.h"
#include "storage/wire_count.h"

#define DRAFT_BLOCK_OCTETS 8192u /* of a pool's block, its head included */

struct draft;
struct draft_block;

struct draft_options {
	uint32_t drafts_max;
	uint32_t blocks_max;        /* of all drafts together */
	uint32_t memory_octets_max; /* of one draft; it is spilled above that */
	uint64_t octets_max;        /* RFC 1939 size of a message; 0: WIRE_MESSAGE_OCTETS_MAX */
};

struct draft_pool {
	const struct disk *disk; /* one that waits: drafts are spilled below its root */
	struct slab drafts;
	struct slab blocks;
	uint32_t memory_octets_max;
	uint64_t octets_max;
};

void draft_pool_init(struct draft_pool *p, const struct disk *disk, const struct draft_options *o);
/* All drafts are free. */
void draft_pool_destroy(struct draft_pool *p);

/* An empty draft; NULL: drafts_max are in use, or no memory. */
struct draft *draft_begin(struct draft_pool *p);

/*
 * Take from the front of *octets as much as there is room for, and move *octets on.  0: all of it
 * was taken.  -EAGAIN: hand draft_spill() to a worker, then call again with what is left.
 */
int draft_put_wire(struct draft *d, struct span *octets);
int draft_put_text(struct draft *d, struct span *octets);

/* Write what is in memory to the draft's file (waits).
 * After a failure the draft is to be freed. */
int draft_spill(struct draft *d);

/* The message is complete: its counts and checksum are final.  0 or an error as above;
 * after -EAGAIN spill and call again. */
int draft_end(struct draft *d);

/* Without status line and end line, as if it had been delivered alone. */
const struct wire_counts *draft_counts(const struct draft *d);
uint32_t draft_crc(const struct draft *d);

/* True: a part of it lies in a file, and draft_each() waits. */
bool draft_is_spilled(const struct draft *d);

/*
 * All octets of a draft that has ended, in order, in pieces, until `take` returns other than 0,
 * which is then returned.  Pieces of a draft that is not spilled are valid until draft_free(); of
 * one that is, until `take` returns.
 */
int draft_each(const struct draft *d, int (*take)(void *ctx, struct span piece), void *ctx);

/* Give the file back (waits: a large one takes its time), before draft_free() on the draft's own
 * thread.  draft_free() does it too, where nothing is spilled or waiting is no matter. */
void draft_close_file(struct draft *d);
void draft_free(struct draft *d);

#endif
