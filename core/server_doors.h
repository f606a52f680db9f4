/*
 * server_doors.h - where the server listens: a socket for each listener and shard.
 *
 * A TCP address gets a socket of its own for each shard (SO_REUSEPORT); a local path can have only
 * one, which all shards accept from.  Local sockets are removed from their paths at the end.
 *
 * Ownership: the doors borrow settings and shards; sockets are handed over to the shards that are
 * started.
 */
#ifndef CORE_SERVER_DOORS_H
#define CORE_SERVER_DOORS_H

#include "core/shard.h"

struct server_doors {
	const struct settings *settings;
	unsigned shard_count;
	struct door *doors;         /* those of the first shard, then those of the second, ... */
	struct local_place *places; /* of each listener */
};

/* 0, or an exit code after one line on stderr. */
int server_doors_open(const struct settings *settings, struct shard *shards, unsigned shard_count,
	struct server_doors *doors_out);
/* The doors of one shard. */
struct door *server_doors_of(const struct server_doors *d, unsigned shard);
/* No shard was started: close what was opened. */
void server_doors_close(struct server_doors *d);
/* All shards have ended, or were never started. */
void server_doors_forget(struct server_doors *d);

/* One line on stderr; returns `code`. */
int server_fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
