/*
 * test_maildrop_faults.c - the power goes at every call to the disk (that a call fails, and life
 * goes on, is for tests/faults).
 *
 * One story is told again and again: deliver into an empty maildrop, deliver more, delete, reclaim,
 * delete all, deliver, import with unique-ids, compact.  What was acknowledged must be there
 * afterwards, what was deleted and acknowledged must not, what was under way is there whole or not
 * at all, and no uid ever stands for two messages.
 */
#include "tests/unit/fault_disk.h"

#define ALICE        "alice@example.org"
#define MESSAGES_MAX 32u

/* What the world was told.  Message n of the story says "message n". */
enum fate {
	UNKNOWN,
	NOT_YET,
	THERE,
	GONE
};

struct told {
	enum fate fate[MESSAGES_MAX];
	uint32_t uid[MESSAGES_MAX]; /* of those that were acknowledged */
	uint32_t uid_validity;
	bool broken; /* a step failed: the story ends, or goes on, but nothing is promised of it */
};

static void
text_of(unsigned n, char *to, size_t size)
{
	snprintf(to, size, "Subject: %u\r\n\r\nmessage %u\r\n%0*d\r\n", n, n,
		n % 4 == 0 ? 6000 : 10, 0);
}

/* Deliver messages [first, last] in one commit. */
static void
story_deliver(const struct disk *d, struct told *told, unsigned first, unsigned last, bool with_ids)
{
	struct maildrop_writer *w;
	uint32_t uids[MESSAGES_MAX];
	int error = maildrop_writer_open(d, ALICE, &spool_options, 0, &w);
	uint32_t uid_validity;

	if (error != 0) {
		told->broken = true;
		return;
	}
	uid_validity = maildrop_writer_uid_validity(w);
	for (unsigned n = first; error == 0 && n <= last; n++) {
		struct maildrop_delivery delivery = { .arrived_at = n };
		char text[8192];
		char id[32];

		text_of(n, text, sizeof(text));
		snprintf(id, sizeof(id), "imported-%u", n);
		if (with_ids)
			delivery.unique_id = id;
		error = maildrop_writer_begin(w, &delivery);
		if (error != 0)
			break;
		error = maildrop_writer_text(w, span_of_string(text));
		if (error == 0)
			error = maildrop_writer_end(w, &uids[n]);
		else if (n % 2 == 0)
			assert_int_not_equal(maildrop_writer_end(w, &uids[n]), 0);
	}
	if (error == 0)
		error = maildrop_writer_commit(w);
	for (unsigned n = first; n <= last; n++) {
		told->fate[n] = error == 0 ? THERE : UNKNOWN;
		told->uid[n] = error == 0 ? uids[n] : 0;
	}
	if (error == 0)
		told->uid_validity = uid_validity;
	else
		told->broken = true;
	maildrop_writer_close(w);
}

static void
story_delete(const struct disk *d, struct told *told, const unsigned *numbers, unsigned count)
{
	uint32_t uids[MESSAGES_MAX];
	uint32_t uid_count = 0;
	uint32_t removed;
	int error;

	for (unsigned i = 0; i < count; i++) {
		if (told->fate[numbers[i]] == THERE)
			uids[uid_count++] = told->uid[numbers[i]];
	}
	error = maildrop_commit(d, ALICE, &spool_options, uids, uid_count, &removed);
	if (error == 0)
		assert_int_equal(removed, uid_count);
	else
		told->broken = true;
	for (unsigned i = 0; i < count; i++) {
		if (told->fate[numbers[i]] == THERE)
			told->fate[numbers[i]] = error == 0 ? GONE : UNKNOWN;
	}
}

static void
tell_story(const struct disk *d, struct told *told)
{
	uint64_t before;
	uint64_t after;

	story_deliver(d, told, 0, 0, false);
	story_deliver(d, told, 1, 5, false);
	story_delete(d, told, (const unsigned[]){ 0, 2, 3 }, 3);
	told->broken |= maildrop_reclaim(d, ALICE, &spool_options) != 0;
	story_deliver(d, told, 6, 7, true);
	told->broken |= maildrop_compact(d, ALICE, &spool_options, &before, &after) != 0;
	story_deliver(d, told, 8, 8, false);
	story_delete(d, told, (const unsigned[]){ 1, 4, 5, 6, 7, 8 }, 6);
	told->broken |= maildrop_reclaim(d, ALICE, &spool_options) != 0;
	story_deliver(d, told, 9, 12, false);
	story_delete(d, told, (const unsigned[]){ 10 }, 1);
}

/* Which message of the story this is, by its content. */
static unsigned
read_number(const struct disk *d, const struct maildrop *m, const struct maildrop_entry *e)
{
	char octets[8192];
	char expected[8192];
	unsigned n;
	char *text;

	assert_true(e->wire_octets < sizeof(octets));
	assert_int_equal(
		disk_read_at(d, m->log_fd, octets, e->wire_octets, e->wire_offset), e->wire_octets);
	octets[e->wire_octets - 3] = '\0';
	text = strchr(octets, '\n') + 1;
	assert_int_equal(sscanf(text, "Subject: %u", &n), 1);
	text_of(n, expected, sizeof(expected));
	assert_string_equal(text, expected);
	return n;
}

static void
note_finding(void *ctx, uint64_t offset, const char *text)
{
	(void)ctx;
	print_error("%llu: %s\n", (unsigned long long)offset, text);
}

static void
check_world(const struct disk *d, const struct told *told)
{
	bool found[MESSAGES_MAX] = { false };
	uint32_t highest = 0;
	struct maildrop *m;
	uint32_t uid;

	assert_int_equal(maildrop_open(d, ALICE, &spool_options, &m), 0);
	for (uint32_t i = 0; i < m->count; i++) {
		unsigned n = read_number(d, m, &m->entries[i]);
		char id[MAILDROP_UNIQUE_ID_MAX + 1];
		char expected[32];

		assert_true(n < MESSAGES_MAX && !found[n]);
		found[n] = true;
		assert_int_not_equal(told->fate[n], GONE);
		assert_int_not_equal(told->fate[n], NOT_YET);
		if (told->uid[n] != 0)
			assert_int_equal(m->entries[i].uid, told->uid[n]);
		for (unsigned other = 0; other < MESSAGES_MAX; other++)
			assert_true(other == n || told->uid[other] != m->entries[i].uid);
		snprintf(expected, sizeof(expected), "imported-%u", n);
		maildrop_unique_id(m, &m->entries[i], id);
		if (n == 6 || n == 7)
			assert_string_equal(id, expected);
	}
	for (unsigned n = 0; n < MESSAGES_MAX; n++) {
		if (told->fate[n] == THERE)
			assert_true(found[n]);
		if (told->uid[n] > highest)
			highest = told->uid[n];
	}
	/* Commits are all or none. */
	if (told->fate[1] == UNKNOWN && told->fate[5] == UNKNOWN && told->uid[1] == 0)
		assert_int_equal(found[1], found[5]);
	if (told->fate[6] == UNKNOWN && told->uid[6] == 0)
		assert_int_equal(found[6], found[7]);
	if (told->fate[9] == UNKNOWN && told->fate[12] == UNKNOWN)
		assert_int_equal(found[9], found[12]);
	if (told->uid_validity != 0)
		assert_int_equal(m->uid_validity, told->uid_validity);
	maildrop_close(d, m);

	assert_int_equal(maildrop_verify(d, ALICE, &spool_options, note_finding, NULL), 0);
	uid = spool_deliver(d, ALICE, "Subject: 31\r\n\r\nthe end\r\n");
	assert_true(uid > highest);
}

enum ending {
	GOES_ON,
	POWER_LOSS,
	KILLED_THEN_POWER_LOSS
};

/* Tell the story with one fault; true while the fault was met. */
static bool
tell_with_fault(unsigned fail_at, int error, enum ending ending, unsigned seed)
{
	struct spool spool;
	struct fault_disk fault;
	struct told told = { .uid_validity = 0 };
	bool was_hit;

	for (unsigned n = 0; n < MESSAGES_MAX; n++)
		told.fate[n] = NOT_YET;
	spool_make(&spool);
	fault_init(&fault, &spool.disk, fail_at, error, ending != GOES_ON);
	tell_story(&fault.disk, &told);
	was_hit = fault.was_hit;
	if (ending == KILLED_THEN_POWER_LOSS) {
		/* Another process goes on with what the dead one has left in the cache. */
		fault.was_hit = false;
		fault.fail_at = 0;
		story_deliver(&fault.disk, &told, 20, 20, false);
		assert_int_equal(told.fate[20], THERE);
	}
	if (ending != GOES_ON)
		fault_power_loss(&fault, seed);
	fault_evict(&fault);
	check_world(&spool.disk, &told);
	assert_true(was_hit || !told.broken);
	fault_free(&fault);
	spool_remove(&spool);
	return was_hit;
}

static void
the_story_without_a_fault(void **state)
{
	(void)state;
	assert_false(tell_with_fault(0, 0, GOES_ON, 0));
	for (unsigned seed = 0; seed < 20; seed++)
		assert_false(tell_with_fault(0, 0, POWER_LOSS, seed));
}

static void
tell_with_every_seed(enum ending ending)
{
	for (unsigned seed = 0; seed < 4; seed++) {
		unsigned n = 1;

		while (tell_with_fault(n, -EIO, ending, seed * 100003 + n))
			n++;
		assert_true(n > 150);
	}
}

static void
the_power_goes_at_every_call(void **state)
{
	(void)state;
	tell_with_every_seed(POWER_LOSS);
}

static void
the_power_goes_after_a_kill_at_every_call(void **state)
{
	(void)state;
	tell_with_every_seed(KILLED_THEN_POWER_LOSS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_story_without_a_fault),
		cmocka_unit_test(the_power_goes_at_every_call),
		cmocka_unit_test(the_power_goes_after_a_kill_at_every_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
