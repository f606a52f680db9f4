/*
 * source.h - where accounts come from: the spool's LMDB file, a database, a directory, PAM.
 *
 * Sources are asked in the order of the settings until one knows the account.  One that cannot answer
 * ends the search: the account could be there, so the login is unavailable, never wrong.
 *
 * A source that does not wait is asked by the shard.  One that does has a small pool of workers, as
 * many as it has connections; what they are told to do ends within its time limit.
 *
 * Threads: find() and prove() are called by the source's workers, several at once.
 */
#ifndef CORE_AUTH_SOURCE_H
#define CORE_AUTH_SOURCE_H

#include "io/offload.h"
#include "storage/accounts.h"

struct source;

struct source_ops {
	/* The account of a canonical address.  0; -ENOENT: it is not here, ask the next; any other:
	 * it cannot be said (-ETIMEDOUT: not within the time limit). */
	int (*find)(struct source *s, struct span address, struct account *account_out);
	/* Is this the account's secret?  NULL: its password_hash tells.  0, or a negative errno if
	 * it cannot be said. */
	int (*prove)(struct source *s, const struct account *account, struct span secret,
		bool *right_out);
	void (*close)(struct source *s);
};

/* A source's own struct begins with this. */
struct source {
	const struct source_ops *ops;
	const char *name;        /* in settings and log: "lmdb", "pgsql", ... */
	struct offload *workers; /* NULL: it is the spool's LMDB file, and does not wait */
	uint64_t fresh_ms;       /* a shard need not ask again for so long */
	uint64_t stale_ms;       /* while it cannot answer, what it said so long ago counts */
};

#endif
