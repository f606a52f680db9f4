/*
 * last_logins.h - who logged in last, when and from where, kept without a write on the way in.
 *
 * A shard notes good logins in memory; now and then, or when it has noted many, a worker writes
 * them all in one transaction.  A crash loses the last few seconds of them, and when logins come
 * faster than they can be written the surplus is passed over: this is for people to read.
 */
#ifndef CORE_LAST_LOGINS_H
#define CORE_LAST_LOGINS_H

#include "io/offload.h"
#include "storage/accounts.h"

struct last_logins;

/* `workers` and `home` of the shard; `jobs_away` is counted up while a job is with a worker.
 * 0, -ENOMEM. */
int last_logins_open(struct accounts *accounts, struct offload *workers, struct offload_home *home,
	uint32_t *jobs_away, struct last_logins **last_logins_out);
/* No job is away. */
void last_logins_close(struct last_logins *l);

/* Where to put the next one, zeroed; NULL: there is no room now. */
struct login_note *last_logins_note(struct last_logins *l);

/* Let a worker write what was noted.  True: there is nothing left to be written. */
bool last_logins_write(struct last_logins *l);

#endif
