/*
 * offload.h - worker threads for what would make a shard wait: password hashes, cold files, syncs.
 *
 * A job is a field of its owner.  work() runs on some worker thread and touches nothing but the
 * job; done() runs later on the shard that submitted it.  A job cannot be called back: its owner
 * stays until done() has run.  The queue is bounded; when it is full the submitter is told and
 * answers its guest.
 */
#ifndef IO_OFFLOAD_H
#define IO_OFFLOAD_H

#include "io/loop.h"

struct offload;
struct offload_home;

struct offload_job {
	void (*work)(struct offload_job *job);
	void (*done)(struct offload_job *job);
	struct offload_home *home;
	struct offload_job *next;
};

/* A pool of `threads` workers with names "<name>-N"; at most `queue_max` jobs wait.  0 or a
 * negative errno. */
int offload_open(
	const char *name, unsigned threads, unsigned queue_max, struct offload **offload_out);
/* The same, for work that takes long: its threads step back (SCHED_BATCH, nice 10 more than the
 * process), so that a shard on the same core need not wait for them. */
int offload_open_behind(
	const char *name, unsigned threads, unsigned queue_max, struct offload **offload_out);
/* Waits for the jobs that were taken on; no new ones may come. */
void offload_close(struct offload *o);

/* Where finished jobs of one shard come home to. */
int offload_home_open(struct loop *loop, struct offload_home **home_out);
void offload_home_close(struct offload_home *h);

/* 0; -EBUSY: the queue is full and the job was not taken. */
int offload_submit(struct offload *o, struct offload_home *home, struct offload_job *job);

/* Jobs that no worker has taken yet; from any thread. */
unsigned offload_waiting(struct offload *o);

/* Run `call` on the home's shard soon, from any thread (the one way in from outside). */
void offload_home_call(struct offload_home *h, struct offload_job *call);

#endif
