/*
 * source.h - a mailbox of another server, as the import sees it: an ordered list of messages with
 * what is known of each, and the text of any of them in pieces.
 *
 * A source is read only and lies outside the spool, so it is reached by plain system calls and not
 * through a struct disk: nothing there is ours to keep true.  It may be in use by its server
 * meanwhile. What cannot be read is reported and left out, the rest goes on.
 *
 * Each message has an identity that stays the same as long as it lies in its mailbox, whatever
 * comes and goes around it and whatever mail programs note about it; that is how a second import
 * knows it.
 *
 * Ownership: the source owns all it shows until source_close().  One thread at a time.
 */
#ifndef STORAGE_CONVERT_SOURCE_H
#define STORAGE_CONVERT_SOURCE_H

#include "io/base/span.h"
#include "storage/maildrop.h"

#include <assert.h>
#include <stddef.h>

#define SOURCE_DIGEST_OCTETS 12u

struct source_identity {
	uint8_t digest[SOURCE_DIGEST_OCTETS];
	uint32_t occurrence; /* from 0, of messages that are equal in all that is digested */
};

static_assert(sizeof(struct source_identity) == 16, "an identity is stored as it is");

struct source_message {
	struct source_identity identity;
	uint64_t octets; /* in the source */
	int64_t arrived_at;
	uint64_t place;   /* the source's own */
	size_t unique_id; /* in strings; 0: none.  No two messages have the same */
	uint32_t uid;     /* below the source's uid-validity; 0: none */
};

struct source_options {
	bool new_unique_ids; /* do not look for unique-ids */
	unsigned lock_timeout_ms;
	/* One line about something that was left out; it is counted in `damaged` already. */
	void (*report)(void *ctx, const char *text);
	void *ctx;
};

struct source {
	const struct source_ops *ops;
	struct source_options options;
	struct source_message *messages; /* in the order of their numbers */
	size_t count;
	uint64_t octets;
	uint64_t damaged;      /* left out when the source was opened */
	uint32_t uid_validity; /* that unique-ids of the default form were made with; 0: none */
	uint32_t next_uid;

	/* for the kinds of sources */
	size_t room;
	char *strings; /* each ends with NUL; offset 0 is not used */
	size_t strings_octets, strings_room;
	char *buffer; /* SOURCE_BUFFER_OCTETS */
};

#define SOURCE_BUFFER_OCTETS 262144u

typedef int source_put(void *ctx, struct span text);

struct source_ops {
	/* All of the text of messages[index]; returns what `put` returned if not 0, or a negative
	 * errno if the source cannot be read. */
	int (*read)(struct source *s, size_t index, source_put *put, void *ctx);
	/* What an operator calls messages[index]. */
	void (*describe)(const struct source *s, size_t index, char *to, size_t size);
	void (*close)(struct source *s);
};

/* -ENOENT, -EACCES and the like; -EBADMSG: not of this kind, or its list of unique-ids is damaged
 * (which was reported then); -ETIMEDOUT: another program keeps it locked. */
int source_open_maildir(
	const char *path, const struct source_options *options, struct source **source_out);
int source_open_mbox(
	const char *path, const struct source_options *options, struct source **source_out);
void source_close(struct source *s);

static inline int
source_read(struct source *s, size_t index, source_put *put, void *ctx)
{
	return s->ops->read(s, index, put, ctx);
}

static inline void
source_describe(const struct source *s, size_t index, char *to, size_t size)
{
	s->ops->describe(s, index, to, size);
}

static inline const char *
source_string(const struct source *s, size_t at)
{
	return s->strings + at;
}

/* for the kinds of sources */
int source_init(
	struct source *s, const struct source_ops *ops, const struct source_options *options);
void source_release(struct source *s);
/* A place at the end of messages[], zeroed; NULL without memory. */
struct source_message *source_add(struct source *s);
int source_add_string(struct source *s, struct span string, size_t *at_out);
/* Counts a damaged message and reports one line. */
void source_report(struct source *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Takes the unique-id from every message that has the same as one before it. */
int source_drop_equal_unique_ids(struct source *s);
/* Octets of an open file, up to `length`; -ENODATA if it ends before and `exact`. */
int source_read_file(struct source *s, int fd, uint64_t offset, uint64_t length, bool exact,
	source_put *put, void *ctx);

#endif
