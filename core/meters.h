/*
 * meters.h - how much of late, by whom: leaky buckets in one table that all shards share, without a
 * lock.
 *
 * A bucket is poured into and runs dry by itself, one tick of it in each tick of time; so all there
 * is to keep of it is when it will be dry.  Who it belongs to is a digest (core/digest.h).  A rate
 * of n in a second with a burst of b is a bucket of b * METERS_TICKS_PER_S / n of which each takes
 * the n-th part of METERS_TICKS_PER_S.
 *
 * A full table forgets whoever would be dry first: limits are too generous then, never too strict.
 */
#ifndef CORE_METERS_H
#define CORE_METERS_H

#include <stdbool.h>
#include <stdint.h>

#define METERS_TICKS_PER_MS 16u
#define METERS_TICKS_PER_S  (1000u * METERS_TICKS_PER_MS)

struct meters;

/* Room for `entries`, rounded up to a power of two; 8 octets each, touched when used.  0 or
 * -ENOMEM. */
int meters_open(uint32_t entries, struct meters **meters_out);
void meters_close(struct meters *m);

/* Ticks that are in the bucket of `who`.  `now_ms` here and below is a clock that does not go back;
 * those of two threads may differ a little. */
uint64_t meters_level(const struct meters *m, uint64_t who, uint64_t now_ms);

/* Pour `ticks` in if no more than `most` are in it then; false: nothing is poured. */
bool meters_take(struct meters *m, uint64_t who, uint64_t now_ms, uint64_t ticks, uint64_t most);
/* Pour `ticks` in; what is above `most` is lost. */
void meters_add(struct meters *m, uint64_t who, uint64_t now_ms, uint64_t ticks, uint64_t most);
/* Take back what meters_take() has poured. */
void meters_give_back(struct meters *m, uint64_t who, uint64_t now_ms, uint64_t ticks);

#endif
