/*
 * histogram.c - log-linear buckets: the highest bit of a value picks the row, the six bits behind
 * it the place in the row.
 */
#include "bench/load/histogram.h"

enum {
	SUB_COUNT = 1 << HISTOGRAM_SUB_BITS
};

/* Values below SUB_COUNT are row 0, one bucket each; row r >= 1 goes from SUB_COUNT << (r - 1) to
 * below SUB_COUNT << r. */
static unsigned
bucket_of(uint64_t value)
{
	unsigned row;

	if (value < SUB_COUNT)
		return (unsigned)value;
	if (value >> HISTOGRAM_VALUE_BITS != 0)
		return HISTOGRAM_BUCKETS - 1;
	row = 63u - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS + 1;
	return row * SUB_COUNT + (unsigned)(value >> (row - 1)) - SUB_COUNT;
}

/* The largest value that falls into the bucket. */
static uint64_t
bucket_end(unsigned bucket)
{
	unsigned row = bucket / SUB_COUNT;

	if (row == 0)
		return bucket;
	return ((uint64_t)(bucket % SUB_COUNT + SUB_COUNT + 1) << (row - 1)) - 1;
}

void
histogram_add(struct histogram *h, uint64_t value)
{
	h->count++;
	h->sum += value;
	if (value > h->max)
		h->max = value;
	h->buckets[bucket_of(value)]++;
}

void
histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	into->sum += from->sum;
	if (from->max > into->max)
		into->max = from->max;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

uint64_t
histogram_quantile(const struct histogram *h, double fraction)
{
	double exactly = fraction * (double)h->count;
	uint64_t wanted = (uint64_t)exactly, seen = 0;

	if ((double)wanted < exactly || wanted == 0)
		wanted++;
	if (wanted >= h->count)
		return h->max;
	for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen >= wanted)
			return bucket_end(i) < h->max ? bucket_end(i) : h->max;
	}
	return h->max;
}
