/*
 * test_maildrop_drafts.c - what a draft brings is what the same text would have brought, octet for
 * octet; and quotas, exact after everything that changes a maildrop.
 */
#include "storage/draft.h"

#include "io/base/must.h"
#include "tests/unit/fault_disk.h"

#define BY_TEXT     "text@example.org"
#define BY_DRAFT    "draft@example.org"
#define BATCH       100u /* more than one record takes */
#define OCTETS_MOST 60000u

static const char *const heads[] = {
	"",
	"Return-Path: <ann@example.org>\r\n",
	"Return-Path: <>\r\nDelivered-To: bob@example.org\r\nReceived: from a\r\n\tby b; now\r\n",
};

struct fixture {
	struct spool spool;
	struct draft_pool pool;
};

static struct fixture fixture;

static int
set_up(void **state)
{
	static const struct draft_options options = {
		.drafts_max = BATCH,
		.blocks_max = 2 * BATCH,
		.memory_octets_max = 4 * DRAFT_BLOCK_OCTETS,
	};

	(void)state;
	spool_make(&fixture.spool);
	draft_pool_init(&fixture.pool, &fixture.spool.disk, &options);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	draft_pool_destroy(&fixture.pool);
	spool_remove(&fixture.spool);
	return 0;
}

/* A message of at most `most` octets: header or none, a blank line or none, dots, NULs. */
static size_t
make_text(char *to, size_t most, unsigned *seed)
{
	size_t put = 0;

	while (put + 4 < most) {
		size_t line = (size_t)rand_r(seed) % (rand_r(seed) % 50 == 0 ? 9000 : 75);

		for (size_t i = 0; i < line && put + 4 < most; i++) {
			int r = rand_r(seed) % 50;

			to[put++] = r == 0 ? '\0' : r < 4 ? '.' : (char)(' ' + r);
		}
		to[put++] = '\r';
		to[put++] = '\n';
		if (rand_r(seed) % 100 == 0)
			break;
	}
	return put;
}

static struct draft *
draft_of(struct span text)
{
	struct draft *d = draft_begin(&fixture.pool);
	int error;

	assert_non_null(d);
	while ((error = draft_put_text(d, &text)) == -EAGAIN)
		assert_int_equal(draft_spill(d), 0);
	assert_int_equal(error, 0);
	while ((error = draft_end(d)) == -EAGAIN)
		assert_int_equal(draft_spill(d), 0);
	assert_int_equal(error, 0);
	return d;
}

static void
note_finding(void *ctx, uint64_t offset, const char *text)
{
	(void)ctx;
	print_error("%llu: %s\n", (unsigned long long)offset, text);
}

static void
assert_same_maildrops(const struct disk *d)
{
	struct maildrop *a = spool_open(d, BY_TEXT);
	struct maildrop *b = spool_open(d, BY_DRAFT);
	char *octets_a = malloc(4 * OCTETS_MOST);
	char *octets_b = malloc(4 * OCTETS_MOST);

	assert_int_equal(a->count, b->count);
	assert_int_equal(a->octets, b->octets);
	for (uint32_t i = 0; i < a->count; i++) {
		const struct maildrop_entry *e = &a->entries[i];
		const struct maildrop_entry *f = &b->entries[i];

		assert_int_equal(e->uid, f->uid);
		assert_int_equal(e->octets, f->octets);
		assert_int_equal(e->header_octets, f->header_octets);
		assert_int_equal(e->body_lines, f->body_lines);
		assert_int_equal(e->header_ended, f->header_ended);
		assert_int_equal(e->content_crc, f->content_crc);
		assert_int_equal(e->arrived_at, f->arrived_at);
		assert_int_equal(e->wire_octets, f->wire_octets);
		assert_true(e->wire_octets <= 4 * OCTETS_MOST);
		assert_int_equal(
			disk_read_at(d, a->log_fd, octets_a, e->wire_octets, e->wire_offset),
			e->wire_octets);
		assert_int_equal(
			disk_read_at(d, b->log_fd, octets_b, f->wire_octets, f->wire_offset),
			f->wire_octets);
		assert_memory_equal(octets_a, octets_b, e->wire_octets);
	}
	free(octets_a);
	free(octets_b);
	maildrop_close(d, a);
	maildrop_close(d, b);
	assert_int_equal(maildrop_verify(d, BY_DRAFT, &spool_options, note_finding, NULL), 0);
}

static void
a_draft_is_stored_as_its_text_would_be(void **state)
{
	const struct disk *d = &fixture.spool.disk;
	char *text = malloc(OCTETS_MOST + 200);
	unsigned seed = 11;

	(void)state;
	for (unsigned batch = 0; batch < 8; batch++) {
		struct draft *drafts[BATCH];
		struct maildrop_writer *a;
		struct maildrop_writer *b;
		unsigned count = 1 + (unsigned)rand_r(&seed) % BATCH;

		assert_int_equal(maildrop_writer_open(d, BY_TEXT, &spool_options, 1, &a), 0);
		assert_int_equal(maildrop_writer_open(d, BY_DRAFT, &spool_options, 1, &b), 0);
		for (unsigned i = 0; i < count; i++) {
			struct maildrop_delivery delivery = { .arrived_at = rand_r(&seed) };
			const char *head = heads[(unsigned)rand_r(&seed) % array_count(heads)];
			size_t most = rand_r(&seed) % 20 == 0 ? OCTETS_MOST : 3000;
			size_t length = make_text(text, (size_t)rand_r(&seed) % most, &seed);
			bool by_text_too = rand_r(&seed) % 16 == 0;
			uint32_t uid_a;
			uint32_t uid_b;

			assert_int_equal(maildrop_writer_begin(a, &delivery), 0);
			assert_int_equal(maildrop_writer_text(a, span_of_string(head)), 0);
			assert_int_equal(maildrop_writer_text(a, span_of(text, length)), 0);
			assert_int_equal(maildrop_writer_end(a, &uid_a), 0);
			drafts[i] = draft_of(span_of(text, length));
			if (by_text_too) { /* both ways in one commit */
				assert_int_equal(maildrop_writer_begin(b, &delivery), 0);
				assert_int_equal(maildrop_writer_text(b, span_of_string(head)), 0);
				assert_int_equal(maildrop_writer_text(b, span_of(text, length)), 0);
				assert_int_equal(maildrop_writer_end(b, &uid_b), 0);
			} else {
				assert_int_equal(maildrop_writer_add_draft(b, &delivery,
							 span_of_string(head), drafts[i], &uid_b),
					0);
			}
			assert_int_equal(uid_a, uid_b);
		}
		assert_int_equal(maildrop_writer_commit(a), 0);
		assert_int_equal(maildrop_writer_commit(b), 0);
		maildrop_writer_close(a);
		maildrop_writer_close(b);
		for (unsigned i = 0; i < count; i++)
			draft_free(drafts[i]);
		assert_same_maildrops(d);
	}
	free(text);
}

/* The index may be lost at any time: recovery reads what gathering writes have put there. */
static void
a_log_of_drafts_recovers(void **state)
{
	const struct disk *d = &fixture.spool.disk;
	const struct maildrop_delivery delivery = { .arrived_at = 5 };
	struct maildrop_writer *w;
	struct draft *small = draft_of(SPAN("A: b\n\n.c\n"));
	struct maildrop *m;
	char path[LAYOUT_PATH_MAX];
	uint32_t uid;

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		assert_int_equal(maildrop_writer_open(d, BY_DRAFT, &spool_options, 0, &w), 0);
		for (unsigned i = 0; i < 70; i++)
			assert_int_equal(maildrop_writer_add_draft(
						 w, &delivery, SPAN("X: y\r\n"), small, &uid),
				0);
		assert_int_equal(maildrop_writer_commit(w), 0);
		maildrop_writer_close(w);
		assert_int_equal(layout_file(BY_DRAFT, "index", path), 0);
		assert_int_equal(disk_unlink(d, path), 0);
		m = spool_open(d, BY_DRAFT);
		assert_int_equal(m->count, 70 * (round + 1));
		assert_int_equal(m->entries[m->count - 1].octets, 18);
		maildrop_close(d, m);
		assert_int_equal(
			maildrop_verify(d, BY_DRAFT, &spool_options, note_finding, NULL), 0);
	}
	draft_free(small);
}

/* ---- quota --------------------------------------------------------------------------------- */

static int
add_within(struct maildrop_writer *w, uint64_t octets, uint32_t messages, const struct draft *draft)
{
	const struct maildrop_delivery delivery = {
		.arrived_at = 5,
		.quota_octets = octets,
		.quota_messages = messages,
	};
	uint32_t uid;

	return maildrop_writer_add_draft(w, &delivery, SPAN("H: h\r\n"), draft, &uid);
}

static void
assert_usage(const struct disk *d, uint64_t octets, uint32_t messages)
{
	uint64_t octets_now;
	uint32_t messages_now;

	assert_int_equal(
		maildrop_usage(d, BY_DRAFT, &spool_options, &octets_now, &messages_now), 0);
	assert_int_equal(octets_now, octets);
	assert_int_equal(messages_now, messages);
}

static void
quotas_are_exact(void **state)
{
	const struct disk *d = &fixture.spool.disk;
	struct draft *draft = draft_of(SPAN("A: b\n\n.c\n")); /* 6 and 12 octets */
	char path[LAYOUT_PATH_MAX];
	struct maildrop_writer *w;
	uint64_t before;
	uint64_t after;
	uint32_t removed;

	(void)state;
	assert_usage(d, 0, 0);
	assert_int_equal(maildrop_writer_open(d, BY_DRAFT, &spool_options, 0, &w), 0);
	assert_int_equal(add_within(w, 17, 0, draft), -EDQUOT);
	assert_int_equal(add_within(w, 18, 1, draft), 0);
	assert_int_equal(add_within(w, 35, 0, draft), -EDQUOT); /* what is not written yet counts */
	assert_int_equal(add_within(w, 0, 1, draft), -EDQUOT);
	assert_int_equal(add_within(w, 36, 2, draft), 0);
	assert_usage(d, 0, 0);
	assert_int_equal(maildrop_writer_commit(w), 0);
	assert_usage(d, 36, 2);
	assert_int_equal(add_within(w, 53, 0, draft), -EDQUOT);
	assert_int_equal(add_within(w, 54, 3, draft), 0);
	maildrop_writer_close(w); /* not committed */
	assert_usage(d, 36, 2);

	assert_int_equal(
		maildrop_commit(d, BY_DRAFT, &spool_options, (uint32_t[]){ 1 }, 1, &removed), 0);
	assert_usage(d, 18, 1);
	assert_int_equal(maildrop_compact(d, BY_DRAFT, &spool_options, &before, &after), 0);
	assert_usage(d, 18, 1);
	assert_int_equal(layout_file(BY_DRAFT, "index", path), 0);
	assert_int_equal(disk_unlink(d, path), 0);
	assert_usage(d, 18, 1);
	assert_int_equal(maildrop_writer_open(d, BY_DRAFT, &spool_options, 0, &w), 0);
	assert_int_equal(add_within(w, 0, 1, draft), -EDQUOT);
	assert_int_equal(add_within(w, 35, 2, draft), -EDQUOT);
	assert_int_equal(add_within(w, 36, 2, draft), 0);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
	assert_usage(d, 36, 2);
	draft_free(draft);
}

/* A shard may ask: where it would have to wait it is told. */
static void
usage_does_not_wait_on_a_shard(void **state)
{
	struct disk shard = fixture.spool.disk;
	uint64_t octets;
	uint32_t messages;

	(void)state;
	spool_deliver(&fixture.spool.disk, BY_DRAFT, "A: b\n\nc\n");
	shard.waits = false;
	assert_int_equal(maildrop_usage(&shard, BY_DRAFT, &spool_options, &octets, &messages), 0);
	assert_int_equal(octets, 11);
	assert_int_equal(messages, 1);
}

static void
a_message_that_was_refused_leaves_nothing(void **state)
{
	const struct disk *d = &fixture.spool.disk;
	const struct maildrop_delivery tight = { .arrived_at = 5, .quota_octets = 10 };
	struct maildrop_writer *w;
	uint32_t uid;

	(void)state;
	assert_int_equal(maildrop_writer_open(d, BY_DRAFT, &spool_options, 0, &w), 0);
	assert_int_equal(maildrop_writer_begin(w, &tight), 0);
	assert_int_equal(maildrop_writer_text(w, SPAN("A: b\n\nlong\n")), 0);
	assert_int_equal(maildrop_writer_end(w, &uid), -EDQUOT);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
	assert_usage(d, 0, 0);
}

/* ---- on the way ---------------------------------------------------------------------------- */

static unsigned index_reads;
static struct disk_ops counting_ops;

static ssize_t
count_large_reads(const struct disk *d, int fd, void *to, size_t size, uint64_t offset)
{
	index_reads += size > 64;
	return fixture.spool.disk.ops->read_at(d, fd, to, size, offset);
}

/* A session deletes by what its snapshot says, unless another has changed the maildrop since. */
static void
deletions_by_a_snapshot(void **state)
{
	const struct disk *d = &fixture.spool.disk;
	struct disk counting = *d;
	struct maildrop *m;
	uint32_t removed;

	(void)state;
	counting_ops = *d->ops;
	counting_ops.read_at = count_large_reads;
	counting.ops = &counting_ops;
	for (unsigned i = 0; i < 6; i++)
		spool_deliver(d, BY_DRAFT, "A: b\n\nc\n");
	m = spool_open(d, BY_DRAFT);
	index_reads = 0;
	assert_int_equal(maildrop_commit_snapshot(&counting, BY_DRAFT, m, &spool_options,
				 (uint32_t[]){ 2, 3, 5 }, 3, &removed),
		0);
	assert_int_equal(removed, 3);
	assert_int_equal(index_reads, 0);
	assert_usage(d, 33, 3);

	/* The snapshot is not the last word any more. */
	assert_int_equal(maildrop_commit_snapshot(&counting, BY_DRAFT, m, &spool_options,
				 (uint32_t[]){ 1, 2, 3 }, 3, &removed),
		0);
	assert_int_equal(removed, 1);
	assert_true(index_reads > 0);
	assert_usage(d, 22, 2);
	maildrop_close(d, m);
	assert_int_equal(maildrop_verify(d, BY_DRAFT, &spool_options, note_finding, NULL), 0);
}

static void
count_finding(void *ctx, uint64_t offset, const char *text)
{
	(void)offset;
	if (strstr(text, "index") != NULL)
		++*(unsigned *)ctx;
}

static void
verify_tells_before_it_mends(void **state)
{
	const struct disk *d = &fixture.spool.disk;
	char path[LAYOUT_PATH_MAX];
	unsigned findings = 0;
	int fd;

	(void)state;
	spool_deliver(d, BY_DRAFT, "A: b\n\nc\n");
	spool_deliver(d, BY_DRAFT, "A: b\n\nc\n");
	assert_int_equal(maildrop_verify(d, BY_DRAFT, &spool_options, note_finding, NULL), 0);
	assert_int_equal(layout_file(BY_DRAFT, "index", path), 0);
	for (unsigned octets = 0; octets < 192; octets += 40) { /* none, broken, behind */
		fd = disk_open(d, path, O_RDWR, 0);
		assert_int_equal(disk_truncate(d, fd, octets), 0);
		disk_close(d, fd);
		findings = 0;
		assert_int_equal(
			maildrop_verify(d, BY_DRAFT, &spool_options, count_finding, &findings), 0);
		assert_int_equal(findings, 1);
		assert_int_equal(
			maildrop_verify(d, BY_DRAFT, &spool_options, note_finding, NULL), 0);
	}
	assert_int_equal(disk_unlink(d, path), 0);
	assert_int_equal(maildrop_verify(d, BY_DRAFT, &spool_options, count_finding, &findings), 0);
	assert_int_equal(findings, 2);
	assert_usage(d, 22, 2);
}

/* Somebody died between link and unlink of a new log. */
static void
a_passing_name_is_taken_away(void **state)
{
	const struct disk *d = &fixture.spool.disk;
	char log[LAYOUT_PATH_MAX];
	char passing[LAYOUT_PATH_MAX];
	char other[LAYOUT_PATH_MAX];
	struct disk_status status;
	struct maildrop_writer *w;

	(void)state;
	assert_int_equal(maildrop_writer_open(d, BY_DRAFT, &spool_options, 0, &w), 0);
	maildrop_writer_close(w);
	assert_int_equal(layout_file(BY_DRAFT, "log", log), 0);
	assert_int_equal(layout_file(BY_DRAFT, "log.0123abcd", passing), 0);
	assert_int_equal(layout_file(BY_DRAFT, "log.0123abcde", other), 0);
	assert_int_equal(disk_link(d, log, passing), 0);
	assert_int_equal(disk_link(d, log, other), 0);
	spool_deliver(d, BY_DRAFT, "A: b\n\nc\n");
	assert_int_equal(disk_status_of_path(d, passing, &status), -ENOENT);
	assert_int_equal(disk_status_of_path(d, other, &status), 0);
	assert_usage(d, 11, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			a_draft_is_stored_as_its_text_would_be, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_log_of_drafts_recovers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(quotas_are_exact, set_up, tear_down),
		cmocka_unit_test_setup_teardown(usage_does_not_wait_on_a_shard, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_message_that_was_refused_leaves_nothing, set_up, tear_down),
		cmocka_unit_test_setup_teardown(deletions_by_a_snapshot, set_up, tear_down),
		cmocka_unit_test_setup_teardown(verify_tells_before_it_mends, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_passing_name_is_taken_away, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
