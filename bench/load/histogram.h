/*
 * histogram.h - how long things took, in little memory and with a bounded error.
 *
 * Values are nanoseconds.  Each power of two is cut into 64 equal buckets, so a value read back is
 * off by at most 1/64 (1.6 %), from 1 ns to over an hour; smaller than 64 is exact, larger than the
 * range counts as its end.  The largest value is kept exactly beside.
 * Ownership: plain data; one thread writes, others merge it when that thread has finished.
 */
#ifndef BENCH_LOAD_HISTOGRAM_H
#define BENCH_LOAD_HISTOGRAM_H

#include <stdint.h>

enum {
	HISTOGRAM_SUB_BITS = 6,
	HISTOGRAM_VALUE_BITS = 42, /* 2^42 ns: 73 minutes */
	HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS,
};

struct histogram {
	uint64_t count;
	uint64_t sum;
	uint64_t max;
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The value that `fraction` (0 to 1) of all are not above: the upper end of its bucket, never above
 * the maximum.  0 if there are none. */
uint64_t histogram_quantile(const struct histogram *h, double fraction);

#endif
