/*
 * source.h - where accounts come from: the spool's LMDB file, a database, a directory, PAM.
 *
 * Sources are asked in the order of the settings until one knows the account.  One that cannot
 * answer ends the search: the account could be there, so the login is unavailable, never wrong.
 *
 * A source that does not wait is asked by the shard.  One that does has a small pool of workers, as
 * many as it has connections; what they are told to do ends within its time limit.  When as many
 * questions in a row as it has connections found it silent it is down: most questions are then
 * refused at once, and one now and then, with longer and longer pauses, tries whether it is back.
 *
 * Threads: source_find() and source_prove() are called by the source's workers, several at once.
 */
#ifndef CORE_AUTH_SOURCE_H
#define CORE_AUTH_SOURCE_H

#include "io/offload.h"
#include "storage/accounts.h"

#include <pthread.h>
#include <stdatomic.h>

#define SOURCES_MAX            8u
#define SOURCE_CONNECTIONS_MAX 64u
#define SOURCE_SAID_OCTETS     200u

struct source;

/* Errors: -EBADMSG or -ENOTSUP are about one account, whose entry makes no sense; -ETIMEDOUT and
 * all others are about the source. */
struct source_ops {
	/* The account of a canonical address.  0; -ENOENT: it is not here, ask the next; any other:
	 * it cannot be said (-ETIMEDOUT: not within the time limit). */
	int (*find)(struct source *s, struct span address, struct account *account_out);
	/* Is this the account's secret?  NULL: its password_hash tells.  0, or a negative errno if
	 * it cannot be said.  What is proven once is remembered for as long as the hash stays the
	 * same, so find() makes it a new one each time. */
	int (*prove)(struct source *s, const struct account *account, struct span secret,
		bool *right_out);
	void (*close)(struct source *s);
};

/* How it goes. */
struct source_health {
	pthread_mutex_t lock;
	unsigned failures;      /* in a row */
	uint64_t down_since_ms; /* 0: it is up */
	uint64_t refused;       /* questions, while it is down */
	uint64_t retry_at_ms;
	unsigned pause_ms;
	char said[SOURCE_SAID_OCTETS]; /* what it said of its last failure */
};

/* A source's own struct begins with this. */
struct source {
	const struct source_ops *ops;
	const char *name;        /* in settings and log */
	struct offload *workers; /* NULL: it is the spool's LMDB file, and does not wait */
	uint64_t fresh_ms;       /* a shard need not ask again for so long */
	uint64_t stale_ms;       /* while it cannot answer, what it said so long ago counts */
	uint64_t time_limit_ms;  /* of one question */
	unsigned connections;    /* at once; 0: it is never taken for down */
	bool knows_all;          /* says yes to every name: not asked who gets mail */
	struct source_health health;
	_Atomic uint64_t connections_taken; /* a bit for each */
};

/* What every kind of source is made of; texts are borrowed for its life. */
struct source_options {
	const char *name;
	unsigned connections; /* 1 to SOURCE_CONNECTIONS_MAX */
	uint64_t time_limit_ms;
	uint64_t fresh_ms;
	uint64_t stale_ms;
};

void source_set_up(struct source *s, const struct source_ops *ops, const struct source_options *o);
/* Frees it; its workers are gone. */
void source_tear_down(struct source *s);

/* As the operations, and -ECONNREFUSED at once while it is down. */
int source_find(struct source *s, struct span address, struct account *account_out);
int source_prove(
	struct source *s, const struct account *account, struct span secret, bool *right_out);
bool source_is_down(struct source *s);
/* One question outside of all that: no state is kept and nothing logged (the `ringpost` command). */
int source_ask(struct source *s, struct span address, struct account *account_out);
/* What it said of its last failure, or of the last account that makes no sense; "": nothing. */
void source_said(struct source *s, char said_out[SOURCE_SAID_OCTETS]);

/* ---- for the sources themselves --------------------------------------------------------------- */

/* Keep the words of a failure for the log. */
__attribute__((format(printf, 2, 3))) void source_say(struct source *s, const char *format, ...);

/* A connection that nobody uses, the same one again and again while there is little to do; there is
 * one for each worker, so -EBUSY is for strangers only. */
int source_take_connection(struct source *s, unsigned *number_out);
void source_give_connection(struct source *s, unsigned number);

/* Wait until `fd` is ready for `events` (poll(2)), up to a time of clock_monotonic_ms().
 * 0, -ETIMEDOUT, or another negative errno. */
int source_wait(int fd, short events, uint64_t deadline_ms);

/* For password_hash of an account that is proven elsewhere: "{LATER}", a number that never comes
 * twice, and `what`.  0; -EBADMSG: too long. */
int source_mark_later(struct account *account, const char *what);
/* `what` again; NULL: it is none of these. */
const char *source_marked(const struct account *account);

#endif
