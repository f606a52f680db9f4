/*
 * test_maildrop_together.c - many at one maildrop: writers, sessions that delete, readers,
 * caretakers.
 *
 * Each works through descriptors of its own, as other processes would: the locks are on open files.
 */
#include "tests/unit/spool.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#define ALICE           "alice@example.org"
#define WRITERS         4
#define READERS         3
#define DELETERS        2
#define MESSAGES        100
#define DELETED_AT_ONCE 16

static const struct maildrop_options patient = { .lock_timeout_ms = 20000, .sync = true };

static struct spool spool;
static atomic_uint acknowledged; /* deliveries */
static atomic_uint removed_in_all;
static atomic_bool is_over;
static atomic_int failures;

/* cmocka's assertions belong to the first thread; the others count. */
#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			failures++;                                                                \
			print_error("%s:%d: %s\n", __FILE__, __LINE__, #condition);                \
		}                                                                                  \
	} while (0)

static void *
write_messages(void *ctx)
{
	(void)ctx;
	for (int i = 0; i < MESSAGES; i++) {
		struct maildrop_delivery delivery = { .arrived_at = i };
		struct maildrop_writer *w = NULL;
		uint32_t uid;
		int error = maildrop_writer_open(&spool.disk, ALICE, &patient, 0, &w);

		EXPECT(error == 0);
		if (error != 0)
			break;
		EXPECT(maildrop_writer_begin(w, &delivery) == 0);
		EXPECT(maildrop_writer_text(w, SPAN("Subject: x\r\n\r\nhello\r\n")) == 0);
		EXPECT(maildrop_writer_end(w, &uid) == 0);
		EXPECT(maildrop_writer_commit(w) == 0);
		acknowledged++;
		maildrop_writer_close(w);
	}
	return NULL;
}

/* What was acknowledged before the maildrop was opened is in it, and every span is a message. */
static void *
read_messages(void *ctx)
{
	const struct disk *d = ctx;

	while (!is_over) {
		unsigned least = acknowledged;
		struct maildrop *m;
		int error = maildrop_open(d, ALICE, &patient, &m);

		if (error == -EAGAIN && !d->waits)
			continue;
		EXPECT(error == 0);
		if (error != 0)
			break;
		/* A deleter counts a little after it has deleted. */
		EXPECT(m->count + removed_in_all + DELETERS * DELETED_AT_ONCE >= least);
		for (uint32_t i = 0; i < m->count; i += 17) {
			const struct maildrop_entry *e = &m->entries[i];
			char octets[64];

			EXPECT(e->wire_octets == 15 + 21 + 3);
			EXPECT(disk_read_at(&spool.disk, m->log_fd, octets, e->wire_octets,
				       e->wire_offset) == (ssize_t)e->wire_octets);
			EXPECT(memcmp(octets, "+OK 21 octets\r\nSubject: x", 25) == 0);
		}
		maildrop_close(d, m);
	}
	return NULL;
}

static void *
delete_messages(void *ctx)
{
	(void)ctx;
	while (!is_over) {
		uint32_t uids[DELETED_AT_ONCE];
		uint32_t count = 0;
		uint32_t removed = 0;
		struct maildrop *m;

		EXPECT(maildrop_open(&spool.disk, ALICE, &patient, &m) == 0);
		for (uint32_t i = 0; i < m->count && count < DELETED_AT_ONCE; i += 3)
			uids[count++] = m->entries[i].uid;
		EXPECT(maildrop_commit(&spool.disk, ALICE, &patient, uids, count, &removed) == 0);
		removed_in_all += removed;
		EXPECT(maildrop_reclaim(&spool.disk, ALICE, &patient) == 0);
		maildrop_close(&spool.disk, m);
	}
	return NULL;
}

static void *
compact_maildrop(void *ctx)
{
	uint64_t before;
	uint64_t after;

	(void)ctx;
	while (!is_over)
		EXPECT(maildrop_compact(&spool.disk, ALICE, &patient, &before, &after) == 0);
	return NULL;
}

static void
note_finding(void *ctx, uint64_t offset, const char *text)
{
	(void)ctx;
	print_error("%llu: %s\n", (unsigned long long)offset, text);
}

static void
nobody_disturbs_the_others(void **state)
{
	pthread_t writers[WRITERS];
	pthread_t others[READERS + DELETERS + 1];
	struct disk not_waiting;
	struct maildrop *m;

	(void)state;
	spool_make(&spool);
	not_waiting = spool.disk;
	not_waiting.waits = false;
	for (int i = 0; i < WRITERS; i++)
		assert_int_equal(pthread_create(&writers[i], NULL, write_messages, NULL), 0);
	for (int i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&others[i], NULL, read_messages,
					 i == 0 ? &not_waiting : &spool.disk),
			0);
	for (int i = 0; i < DELETERS; i++)
		assert_int_equal(
			pthread_create(&others[READERS + i], NULL, delete_messages, NULL), 0);
	assert_int_equal(
		pthread_create(&others[READERS + DELETERS], NULL, compact_maildrop, NULL), 0);
	for (int i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	is_over = true;
	for (int i = 0; i < READERS + DELETERS + 1; i++)
		pthread_join(others[i], NULL);
	assert_int_equal(failures, 0);

	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(m->count + removed_in_all, WRITERS * MESSAGES);
	assert_int_equal(m->next_uid, WRITERS * MESSAGES + 1);
	maildrop_close(&spool.disk, m);
	assert_int_equal(maildrop_verify(&spool.disk, ALICE, &patient, note_finding, NULL), 0);
	spool_remove(&spool);
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(nobody_disturbs_the_others) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
