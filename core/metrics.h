/*
 * metrics.h - all that the server counts, as one text for whoever watches it.
 */
#ifndef CORE_METRICS_H
#define CORE_METRICS_H

#include "core/settings.h"
#include "core/shard.h"

/* Prometheus' exposition format.  From any thread while the shards' memory and what they share are
 * there; they are not disturbed. */
void metrics_print(const struct shard *shards, unsigned shard_count, FILE *to);
/* docs/METRICS.md */
void metrics_print_reference(FILE *to);

/*
 * The listener of the setting `metrics`: HTTP on a thread of its own, which says what
 * metrics_print() prints at /metrics.
 */
struct metrics_listener;

/* Bind, while we may: the setting's address, or nothing (*socket_out is -1) without one.  EX_OK, or
 * a sysexits code after one line on stderr. */
int metrics_listener_bind(const struct settings *settings, int *socket_out);
/* Takes the socket over, also on an error; -1: there is none, and NULL is the listener.  0 or
 * -ENOMEM.  The shards are borrowed until metrics_listener_stop(). */
int metrics_listener_start(int socket, const struct shard *shards, unsigned shard_count,
	struct metrics_listener **listener_out);
void metrics_listener_stop(struct metrics_listener *l);

#endif
