/*
 * spool.h - a spool of its own for one test, below build/, removed at the end; and short words for
 * what every test of a maildrop does.
 */
#ifndef TESTS_UNIT_SPOOL_H
#define TESTS_UNIT_SPOOL_H

#include "io/disk.h"
#include "storage/layout.h"
#include "storage/maildrop.h"

#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

struct spool {
	char root[64];
	struct disk disk;
};

static const struct maildrop_options spool_options = { .lock_timeout_ms = 2000, .sync = true };

static inline int
spool_remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void
spool_make(struct spool *s)
{
	snprintf(s->root, sizeof(s->root), "%s/ringpost-spool-XXXXXX",
		getenv("TMPDIR") != NULL ? getenv("TMPDIR") : "/tmp");
	assert_non_null(mkdtemp(s->root));
	assert_int_equal(disk_open_root(s->root, true, &s->disk), 0);
	assert_int_equal(layout_prepare_spool(&s->disk, true), 0);
}

static inline void
spool_remove(struct spool *s)
{
	disk_close_root(&s->disk);
	nftw(s->root, spool_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* One message through a writer; its uid. */
static inline uint32_t
spool_add(struct maildrop_writer *w, const char *text, size_t length, const char *unique_id,
	uint32_t uid)
{
	struct maildrop_delivery delivery = {
		.arrived_at = 1000, .unique_id = unique_id, .uid = uid
	};
	uint32_t got;

	assert_int_equal(maildrop_writer_begin(w, &delivery), 0);
	assert_int_equal(maildrop_writer_text(w, span_of(text, length)), 0);
	assert_int_equal(maildrop_writer_end(w, &got), 0);
	return got;
}

static inline uint32_t
spool_deliver(const struct disk *d, const char *address, const char *text)
{
	struct maildrop_writer *w;
	uint32_t uid;

	assert_int_equal(maildrop_writer_open(d, address, &spool_options, 0, &w), 0);
	uid = spool_add(w, text, strlen(text), NULL, 0);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
	return uid;
}

static inline struct maildrop *
spool_open(const struct disk *d, const char *address)
{
	struct maildrop *m;

	assert_int_equal(maildrop_open(d, address, &spool_options, &m), 0);
	return m;
}

/* The reply to RETR as it would go out. */
static inline void
spool_assert_wire(
	const struct disk *d, const struct maildrop *m, uint32_t number, const char *expected)
{
	const struct maildrop_entry *e = &m->entries[number - 1];
	char *octets = malloc(e->wire_octets + 1);

	assert_non_null(octets);
	assert_int_equal(
		disk_read_at(d, m->log_fd, octets, e->wire_octets, e->wire_offset), e->wire_octets);
	octets[e->wire_octets] = '\0';
	assert_string_equal(octets, expected);
	free(octets);
}

static inline void
spool_assert_entry(const struct maildrop_entry *a, const struct maildrop_entry *b)
{
	assert_int_equal(a->wire_offset, b->wire_offset);
	assert_int_equal(a->wire_octets, b->wire_octets);
	assert_int_equal(a->octets, b->octets);
	assert_int_equal(a->header_octets, b->header_octets);
	assert_int_equal(a->body_lines, b->body_lines);
	assert_int_equal(a->uid, b->uid);
	assert_int_equal(a->content_crc, b->content_crc);
	assert_int_equal(a->unique_id, b->unique_id);
	assert_int_equal(a->arrived_at, b->arrived_at);
	assert_int_equal(a->header_ended, b->header_ended);
}

static inline void
spool_path(const struct spool *s, const char *address, const char *file, char *to, size_t size)
{
	char path[LAYOUT_PATH_MAX];

	assert_int_equal(layout_file(address, file, path), 0);
	snprintf(to, size, "%s/%s", s->root, path);
}

#endif
