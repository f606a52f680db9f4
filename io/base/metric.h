/*
 * metric.h - counts that one thread makes and any other may read, and how they are told.
 *
 * A count is a field of whoever has something to count, on the thread that has it: adding is a
 * load, an addition and a store, no lock and no bus-locked instruction.  A table of rows names such
 * fields by their place in a struct; shards are instances of one struct, and what is told is the
 * sum over all of them.  Readers see each count whole and never going back, but not two counts of
 * one moment.
 *
 * The text is Prometheus' exposition format, version 0.0.4.
 */
#ifndef IO_BASE_METRIC_H
#define IO_BASE_METRIC_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct count {
	_Atomic uint64_t value;
};

/* On the thread the count belongs to. */
static inline void
count_add(struct count *c, uint64_t n)
{
	uint64_t value = atomic_load_explicit(&c->value, memory_order_relaxed);

	atomic_store_explicit(&c->value, value + n, memory_order_relaxed);
}

/* A gauge goes down too. */
static inline void
count_subtract(struct count *c, uint64_t n)
{
	count_add(c, (uint64_t)0 - n);
}

static inline uint64_t
count_read(const struct count *c)
{
	return atomic_load_explicit(&c->value, memory_order_relaxed);
}

enum metric_kind {
	METRIC_COUNTER, /* only grows, from 0 at the start of the process */
	METRIC_GAUGE,
};

/* Rows of one name stand one behind the other; the first has its help. */
struct metric {
	const char *name;
	const char *labels; /* `why="idle"`, several with commas; NULL: none */
	enum metric_kind kind;
	const char *help;
	size_t offset; /* of the struct count in an instance */
};

/* Where a table's counts are.  Instances with the same labels are summed. */
struct metric_instance {
	const void *base;
	const char *labels; /* of all its rows, before their own; NULL: none */
};

/* All rows for all instances.  Instances of the same labels stand one behind the other. */
void metrics_write(const struct metric *rows, size_t row_count,
	const struct metric_instance *instances, size_t instance_count, FILE *to);
/* One that is no count in a struct. */
void metric_write_value(const struct metric *row, uint64_t value, FILE *to);

/* `text` as the value of a label: quotes, backslashes and line ends are escaped. */
void metric_write_escaped(const char *text, FILE *to);

#endif
