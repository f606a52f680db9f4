/*
 * desk.h - where mail is accepted: deliveries become durable, many at a time.
 *
 * Group commit.  Deliveries to one maildrop that come while a batch for it is under way form its
 * next batch and share one lock, one write and one sync.  Deliveries to many maildrops are under
 * way at once, each on a thread of the desk's own, so that many syncs are in flight and the file
 * system commits them together.  (Threads, not a ring: bench/micro/syncs.c and
 * docs/PERFORMANCE.md have the figures.)
 *
 * One desk serves all shards.  What is submitted is taken on, and done() is called once, on the
 * shard of `home`, whatever happens: a delivery's fate is its own, and no other's.
 *
 * Ownership: address, draft and head are borrowed from submit until done().
 */
#ifndef STORAGE_DESK_H
#define STORAGE_DESK_H

#include "io/offload.h"
#include "storage/maildrop.h"

struct desk;

struct desk_delivery {
	/* What is to be done: a message for one recipient. */
	const char *address; /* canonical */
	const struct draft *draft;
	struct span head;   /* whole header lines in wire form before the draft's octets, or none */
	int64_t arrived_at; /* seconds since 1970 */
	uint64_t quota_octets; /* with this message; 0: no limit */
	uint32_t quota_messages;
	void (*done)(struct desk_delivery *delivery);

	/*
	 * What came of it: 0: durable (with options.maildrop.sync).  -EDQUOT: over quota.  -ENOSPC,
	 * -EFBIG, -ETIMEDOUT (somebody else has the maildrop), -EBADMSG (it is damaged), and others
	 * of the file system: it is not there, and will not be.  After an error of the sync itself
	 * it is not there either, unless not even that could be found out (docs/DURABILITY.md).
	 */
	int error;
	uint32_t uid;

	/* The desk's own. */
	struct offload_job job;
	struct desk_delivery *next;
};

struct desk_options {
	unsigned threads;     /* maildrops that are worked on at once */
	unsigned waiting_max; /* deliveries that are taken on at once */
	struct maildrop_options maildrop;
};

/* `disk` waits, and outlives the desk.  0 or a negative errno. */
int desk_open(const struct disk *disk, const struct desk_options *options, struct desk **desk_out);
/* Waits for what was taken on; nothing new may come. */
void desk_close(struct desk *desk);

/* From any shard.  0: done() will be called; -EBUSY: waiting_max is reached, nothing was taken. */
int desk_submit(struct desk *desk, struct offload_home *home, struct desk_delivery *delivery);

/* The same for deliveries to one address, linked by `next`, at once and on this thread (waits):
 * `error` and `uid` are set, done() is not called.  For the command line, and for tests. */
void desk_deliver(const struct disk *disk, const struct maildrop_options *options,
	struct desk_delivery *first);

#endif
