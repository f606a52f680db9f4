/*
 * log.h - events with fields, one line each, on standard error.
 *
 *     event=session_end level=info address="alice@example.org" octets=5120 why=quit
 *
 * A thread that must not block (a shard) calls log_attach(): its lines go into a ring of its own,
 * and the log's writer thread takes them from there; a line that finds the ring full is counted and
 * told later (event=log_lines_lost).  All other threads write at once.
 *
 * Octets from outside are escaped: what is not printable ASCII, a quote or a backslash becomes
 * \xHH, so that a line is always one line and a value never passes for another field.
 */
#ifndef IO_BASE_LOG_H
#define IO_BASE_LOG_H

#include "io/base/span.h"

enum log_level {
	LOG_ERROR,   /* somebody must do something */
	LOG_WARNING, /* somebody should look */
	LOG_INFO,    /* as expected */
};

/* An event is a constant with a name that never changes: operators search for it. */
struct log_kind {
	const char *name;
	enum log_level level;
};

enum kv_type {
	KV_U64,
	KV_SPAN,
	KV_WORD,
};

struct kv {
	const char *key;
	enum kv_type type;
	uint64_t number;
	struct span text;
};

/* A number. */
static inline struct kv
kv_u64(const char *key, uint64_t number)
{
	return (struct kv){ .key = key, .type = KV_U64, .number = number };
}

/* Text of any origin: quoted and escaped. */
static inline struct kv
kv_span(const char *key, struct span text)
{
	return (struct kv){ .key = key, .type = KV_SPAN, .text = text };
}

static inline struct kv
kv_str(const char *key, const char *text)
{
	return kv_span(key, span_of_string(text));
}

/* One of our own words: no quotes. */
static inline struct kv
kv_word(const char *key, const char *word)
{
	return (struct kv){ .key = key, .type = KV_WORD, .text = span_of_string(word) };
}

#define log_event(kind, ...)                                                                       \
	log_fields(&(kind), (const struct kv[]){ __VA_ARGS__ },                                    \
		sizeof((const struct kv[]){ __VA_ARGS__ }) / sizeof(struct kv))

void log_fields(const struct log_kind *kind, const struct kv *fields, size_t count);

/* The longest line, its end included; a longer one is cut and says so. */
#define LOG_LINE_OCTETS_MAX 2048u

/* Format one line as log_fields() does; returns its length, '\n' included.  Pure. */
size_t log_format(const struct log_kind *kind, const struct kv *fields, size_t count,
	char line_out[LOG_LINE_OCTETS_MAX]);

/* Start and stop the writer thread; 0 or a negative errno. */
int log_start(void);
/* Writes what is left. */
void log_stop(void);

/* From now on lines of this thread go through a ring; 0 or -ENOMEM, -ENOSPC.  The thread must
 * outlive its last line's way to log_stop(), which frees the ring. */
int log_attach(void);

#endif
