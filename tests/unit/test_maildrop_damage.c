/*
 * test_maildrop_damage.c - torn tails, lost indexes, damaged octets: never fewer messages than were
 * committed, and damage costs the damaged message at most.
 */
#include "tests/unit/spool.h"

#include "io/base/crc32c.h"
#include "storage/maildrop_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#define ALICE "alice@example.org"

static struct spool spool;
static char log_path[512];
static char index_path[512];

static int
setup(void **state)
{
	(void)state;
	spool_make(&spool);
	spool_path(&spool, ALICE, "log", log_path, sizeof(log_path));
	spool_path(&spool, ALICE, "index", index_path, sizeof(index_path));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	spool_remove(&spool);
	return 0;
}

static size_t
file_octets(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return (size_t)st.st_size;
}

static size_t
read_file(const char *path, char *to, size_t room)
{
	int fd = open(path, O_RDONLY);
	ssize_t n = pread(fd, to, room, 0);

	assert_true(n >= 0 && (size_t)n < room);
	close(fd);
	return (size_t)n;
}

static void
write_file(const char *path, const char *octets, size_t length)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, octets, length), length);
	close(fd);
}

static void
flip(const char *path, size_t at)
{
	int fd = open(path, O_RDWR);
	char octet;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &octet, 1, (off_t)at), 1);
	octet ^= 0x20;
	assert_int_equal(pwrite(fd, &octet, 1, (off_t)at), 1);
	close(fd);
}

static void
append(const char *path, const void *octets, size_t length)
{
	int fd = open(path, O_WRONLY | O_APPEND);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, octets, length), length);
	close(fd);
}

/* Findings of verify and repair; the last text is kept for a failed test to show. */
static char last_finding[256];

static void
note_finding(void *ctx, uint64_t offset, const char *text)
{
	snprintf(last_finding, sizeof(last_finding), "%llu: %s", (unsigned long long)offset, text);
	if (ctx != NULL)
		++*(int *)ctx;
}

static int
verify(void)
{
	last_finding[0] = '\0';
	return maildrop_verify(&spool.disk, ALICE, &spool_options, note_finding, NULL);
}

static int
repair(int *findings)
{
	*findings = 0;
	return maildrop_repair(&spool.disk, ALICE, &spool_options, note_finding, findings);
}

static void
assert_uids(const uint32_t *uids, uint32_t count)
{
	struct maildrop *m = spool_open(&spool.disk, ALICE);

	assert_int_equal(m->count, count);
	for (uint32_t i = 0; i < count; i++)
		assert_int_equal(m->entries[i].uid, uids[i]);
	maildrop_close(&spool.disk, m);
}

#define ASSERT_UIDS(...)                                                                           \
	assert_uids((const uint32_t[]){ __VA_ARGS__ },                                             \
		sizeof((const uint32_t[]){ __VA_ARGS__ }) / sizeof(uint32_t))

static void
expunge(uint32_t uid)
{
	uint32_t removed;

	assert_int_equal(maildrop_commit(&spool.disk, ALICE, &spool_options, &uid, 1, &removed), 0);
	assert_int_equal(removed, 1);
}

/* Five single deliveries, the third deleted, and three messages in one record, two with ids. */
static void
fill(void)
{
	struct maildrop_writer *w;
	char text[64];

	for (int i = 1; i <= 5; i++) {
		snprintf(text, sizeof(text), "Subject: %d\n\nbody %d\n", i, i);
		assert_int_equal(spool_deliver(&spool.disk, ALICE, text), i);
	}
	expunge(3);
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), 0);
	spool_add(w, "six", 3, "id-of-six", 0);
	spool_add(w, "seven", 5, NULL, 0);
	spool_add(w, "eight", 5, "id-of-eight", 0);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
}

static void
index_is_rebuilt_wherever_it_is_damaged(void **state)
{
	size_t octets;

	(void)state;
	fill();
	assert_int_equal(verify(), 0);
	octets = file_octets(index_path);
	for (size_t at = 0; at < octets; at += 13) {
		flip(index_path, at);
		ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8);
		assert_int_equal(verify(), 0);
		octets = file_octets(index_path);
	}
	for (size_t length = 0; length < octets; length += 31) {
		assert_int_equal(truncate(index_path, (off_t)length), 0);
		ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8);
		octets = file_octets(index_path);
	}
	append(index_path, "garbage", 7);
	ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8);
	assert_int_equal(spool_deliver(&spool.disk, ALICE, "nine"), 9);
	assert_int_equal(unlink(index_path), 0);
	assert_int_equal(spool_deliver(&spool.disk, ALICE, "ten"), 10);
	ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8, 9, 10);
	assert_int_equal(verify(), 0);
}

/* A writer that finds a damaged slot in the middle of the index at its next look at all of it. */
static void
commit_gets_over_a_damaged_index(void **state)
{
	(void)state;
	fill();
	flip(index_path, INDEX_HEADER_OCTETS + 70);
	expunge(4);
	ASSERT_UIDS(1, 2, 5, 6, 7, 8);
	flip(index_path, INDEX_HEADER_OCTETS + 70);
	assert_int_equal(spool_deliver(&spool.disk, ALICE, "nine"), 9);
	ASSERT_UIDS(1, 2, 5, 6, 7, 8, 9);
	assert_int_equal(verify(), 0);
}

/* The log cut anywhere in its last commit, with the index as it was before that commit. */
static void
torn_tail_is_cut_off(void **state)
{
	size_t before;
	size_t after;
	size_t index_before;
	char *octets;
	int fd;

	(void)state;
	fill();
	before = file_octets(log_path);
	index_before = file_octets(index_path);
	spool_deliver(&spool.disk, ALICE, "nine");
	after = file_octets(log_path);
	octets = malloc(after);
	assert_non_null(octets);
	fd = open(log_path, O_RDONLY);
	assert_int_equal(pread(fd, octets, after, 0), after);
	close(fd);

	for (size_t length = before; length <= after; length++) {
		assert_int_equal(truncate(log_path, (off_t)before), 0);
		assert_int_equal(truncate(index_path, (off_t)index_before), 0);
		append(log_path, octets + before, length - before);
		if (length == after)
			ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8, 9);
		else
			ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8);
		assert_int_equal(file_octets(log_path), length == after ? after : before);
		assert_int_equal(verify(), 0);
		index_before = file_octets(index_path);
		if (length == after)
			continue;

		/* Blocks that never reached the disk read as zeros; but so does the padding. */
		if (after - length < RECORD_ALIGNMENT)
			continue;
		assert_int_equal(truncate(log_path, (off_t)before), 0);
		append(log_path, octets + before, length - before);
		assert_int_equal(truncate(log_path, (off_t)after), 0);
		assert_int_equal(spool_deliver(&spool.disk, ALICE, "other nine"), 9);
		ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8, 9);
		expunge(9);
		ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8);

		/* Back to where it was, by way of a rebuild. */
		assert_int_equal(truncate(log_path, (off_t)before), 0);
		assert_int_equal(unlink(index_path), 0);
		ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8);
		index_before = file_octets(index_path);
	}
	free(octets);
}

/* A commit of several records is there whole or not at all. */
static void
torn_commit_of_many_records(void **state)
{
	struct maildrop_writer *w;
	size_t before;
	size_t after;
	char *large = malloc(1500000);

	(void)state;
	assert_non_null(large);
	memset(large, 'L', 1500000);
	fill();
	before = file_octets(log_path);
	for (int missing = 0; missing < 3; missing++) {
		size_t index_before = file_octets(index_path);

		assert_int_equal(
			maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), 0);
		for (int i = 0; i < 70; i++)
			spool_add(w, "small", 5, NULL, 0);
		spool_add(w, large, 1500000, NULL, 0);
		spool_add(w, "last", 4, NULL, 0);
		assert_int_equal(maildrop_writer_commit(w), 0);
		maildrop_writer_close(w);
		after = file_octets(log_path);
		assert_int_equal(truncate(index_path, (off_t)index_before), 0);
		if (missing == 0) /* the first record is */
			flip(log_path, before + 20);
		else if (missing == 1) /* the content of the large one is */
			flip(log_path, before + 100000);
		else /* the end is */
			assert_int_equal(truncate(log_path, (off_t)after - 8), 0);
		ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8);
		assert_int_equal(file_octets(log_path), before);
	}
	free(large);
}

static void
damage_before_the_last_commit_is_said(void **state)
{
	struct maildrop *m;
	struct maildrop_writer *w;
	size_t size;
	uint32_t removed;

	(void)state;
	fill();
	size = file_octets(log_path);
	flip(log_path, LOG_HEADER_OCTETS + 60);
	assert_int_equal(unlink(index_path), 0);
	assert_int_equal(maildrop_open(&spool.disk, ALICE, &spool_options, &m), -EBADMSG);
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), -EBADMSG);
	assert_int_equal(maildrop_commit(&spool.disk, ALICE, &spool_options,
				 (const uint32_t[]){ 1 }, 1, &removed),
		-EBADMSG);
	assert_int_equal(file_octets(log_path), size);
	flip(log_path, LOG_HEADER_OCTETS + 60);
	ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8);

	/* Shorter than what was committed. */
	assert_int_equal(truncate(log_path, (off_t)size - 8), 0);
	assert_int_equal(maildrop_open(&spool.disk, ALICE, &spool_options, &m), -EBADMSG);
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), -EBADMSG);
	assert_true(verify() > 0);
}

static void
unknown_version_is_not_touched(void **state)
{
	struct maildrop *m;
	char header[LOG_HEADER_OCTETS];
	uint32_t crc;
	int fd;

	(void)state;
	fill();
	fd = open(log_path, O_RDWR);
	assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
	header[8]++;
	crc = crc32c(0, header, sizeof(header) - 4);
	memcpy(header + sizeof(header) - 4, &crc, 4);
	assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
	close(fd);
	assert_int_equal(maildrop_open(&spool.disk, ALICE, &spool_options, &m), -EPROTONOSUPPORT);
	assert_int_equal(verify(), -EPROTONOSUPPORT);
}

/*
 * One octet of the log at a time, with the index and without: verify sees it, repair loses one
 * message at most and changes no uid and no unique-id.
 */
static void
any_flipped_octet_costs_one_message(bool with_index)
{
	static const uint32_t uids[] = { 1, 2, 4, 5, 6, 7, 8 };
	char log[4096];
	char index[4096];
	size_t log_octets;
	size_t index_octets;
	uint32_t uid_validity;
	struct maildrop *m;

	fill();
	log_octets = read_file(log_path, log, sizeof(log));
	index_octets = read_file(index_path, index, sizeof(index));
	m = spool_open(&spool.disk, ALICE);
	uid_validity = m->uid_validity;
	maildrop_close(&spool.disk, m);

	for (size_t at = 0; at < log_octets; at += 3) {
		uint32_t found = 0;
		bool again_three = false;
		int findings;

		write_file(log_path, log, log_octets);
		write_file(index_path, index, index_octets);
		flip(log_path, at);
		if (!with_index)
			assert_int_equal(unlink(index_path), 0);
		assert_int_equal(repair(&findings), 0);
		assert_int_equal(verify(), 0);
		m = spool_open(&spool.disk, ALICE);
		assert_int_equal(m->uid_validity, uid_validity);
		assert_true(m->next_uid >= 9 || (!with_index && m->next_uid >= 6));
		for (uint32_t i = 0; i < m->count; i++) {
			char id[MAILDROP_UNIQUE_ID_MAX + 1];

			while (found < 7 && uids[found] < m->entries[i].uid)
				found++;
			if (m->entries[i].uid == 3)
				again_three = true; /* the record that expunged it was hit */
			else
				assert_int_equal(m->entries[i].uid, uids[found]);
			maildrop_unique_id(m, &m->entries[i], id);
			if (m->entries[i].uid == 6)
				assert_string_equal(id, "id-of-six");
			if (m->entries[i].uid == 8)
				assert_string_equal(id, "id-of-eight");
		}
		assert_false(with_index && again_three);
		if (with_index)
			assert_true(m->count >= 6);
		maildrop_close(&spool.disk, m);
	}
}

static void
flipped_octets_with_index(void **state)
{
	(void)state;
	any_flipped_octet_costs_one_message(true);
}

static void
flipped_octets_without_index(void **state)
{
	(void)state;
	any_flipped_octet_costs_one_message(false);
}

/* A message that holds the octets of a log, this one's own included, is a message. */
static void
message_cannot_pass_for_a_record(void **state)
{
	char octets[4096];
	struct maildrop_writer *w;
	ssize_t length;
	int findings;
	int fd;

	(void)state;
	fill();
	fd = open(log_path, O_RDONLY);
	length = pread(fd, octets, sizeof(octets), 0);
	close(fd);
	assert_int_equal(maildrop_compact(&spool.disk, ALICE, &spool_options, &(uint64_t){ 0 },
				 &(uint64_t){ 0 }),
		0);
	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &spool_options, 0, &w), 0);
	for (int i = 0; i < 8; i++) {
		char shifted[4096 + 8] = { 0 };

		memcpy(shifted + i, octets, (size_t)length);
		spool_add(w, shifted, (size_t)length + (size_t)i, NULL, 0);
	}
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
	spool_deliver(&spool.disk, ALICE, "last");
	flip(log_path, LOG_HEADER_OCTETS + 5); /* every record must be looked for */
	assert_int_equal(unlink(index_path), 0);
	assert_int_equal(repair(&findings), 0);
	ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17);
}

static int
find_damaged(void *ctx, const char *name)
{
	int *count = ctx;

	*count += strncmp(name, "damaged-", 8) == 0;
	return 0;
}

static void
repair_keeps_the_damaged_log(void **state)
{
	char directory[LAYOUT_PATH_MAX];
	struct maildrop *before;
	int findings;
	int kept = 0;

	(void)state;
	fill();
	assert_int_equal(layout_directory(ALICE, directory), 0);
	assert_int_equal(repair(&findings), 0);
	assert_int_equal(findings, 0);
	assert_int_equal(disk_list(&spool.disk, directory, find_damaged, &kept), 0);
	assert_int_equal(kept, 0);

	before = spool_open(&spool.disk, ALICE);
	flip(log_path, 0);
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(repair(&findings), 0);
		assert_int_equal(findings, 1);
		if (i == 0) {
			/* Its file still has a name, and yet it is not the maildrop any more. */
			assert_false(maildrop_is_current(&spool.disk, before));
			maildrop_close(&spool.disk, before);
		}
		ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8);
		flip(log_path, 0);
	}
	flip(log_path, 0);
	assert_int_equal(disk_list(&spool.disk, directory, find_damaged, &kept), 0);
	assert_int_equal(kept, 2);
	assert_int_equal(maildrop_remove(&spool.disk, ALICE, &spool_options), 0);
	assert_int_equal(access(log_path, F_OK), -1);
	assert_int_equal(maildrop_remove(&spool.disk, ALICE, &spool_options), 0);
	assert_uids(NULL, 0);
}

/* Content that nobody looked at is what verify is for. */
static void
verify_sees_content(void **state)
{
	struct maildrop *m;
	uint64_t at;

	(void)state;
	fill();
	m = spool_open(&spool.disk, ALICE);
	at = m->entries[1].wire_offset + 20;
	maildrop_close(&spool.disk, m);
	flip(log_path, at);
	ASSERT_UIDS(1, 2, 4, 5, 6, 7, 8);
	assert_int_equal(verify(), 1);
	assert_non_null(strstr(last_finding, "uid 2"));
}

/* Put the checksums right again after a change at `at`: only a bug of ours writes such octets, and
 * they are answered all the same. */
static void
forge_index(char *index, size_t at)
{
	char *slot = index + at / INDEX_SLOT_OCTETS * INDEX_SLOT_OCTETS;
	uint32_t crc = crc32c(0, slot, INDEX_SLOT_OCTETS - 4);

	memcpy(slot + INDEX_SLOT_OCTETS - 4, &crc, sizeof(crc));
}

static void
forge_record(char *log, size_t record, uint32_t entries_octets, bool has_entry)
{
	struct log_salt salt = log_salt((const uint8_t *)log + 16);
	char *entry = log + record + RECORD_HEADER_OCTETS;
	bool has_id = has_entry && entry[49] != 0 && entries_octets >= RECORD_ENTRY_OCTETS_MAX;
	uint32_t crc = has_id ? crc32c(0, entry + RECORD_ENTRY_OCTETS, RECORD_ID_OCTETS) : 0;

	if (has_entry) {
		crc = crc32c(crc, entry, 60) ^ salt.crc;
		memcpy(entry + 60, &crc, sizeof(crc));
	}
	crc = crc32c(0, log + record, 44);
	crc = crc32c(crc, entry, entries_octets) ^ salt.crc;
	memcpy(log + record + 44, &crc, sizeof(crc));
}

/* No power will be lost here. */
static const struct maildrop_options quick = { .lock_timeout_ms = 2000 };

static void
use_forged_maildrop(void)
{
	struct maildrop_writer *w;
	struct maildrop *m;
	uint32_t removed;
	int findings;

	if (maildrop_open(&spool.disk, ALICE, &quick, &m) == 0)
		maildrop_close(&spool.disk, m);
	verify();
	if (maildrop_writer_open(&spool.disk, ALICE, &quick, 0, &w) == 0) {
		struct maildrop_delivery delivery = { .unique_id = "forged" };
		uint32_t uid;

		if (maildrop_writer_begin(w, &delivery) == 0) {
			maildrop_writer_text(w, SPAN("text"));
			maildrop_writer_end(w, &uid);
			maildrop_writer_commit(w);
		}
		maildrop_writer_close(w);
	}
	maildrop_commit(&spool.disk, ALICE, &quick, (const uint32_t[]){ 2, 6 }, 2, &removed);
	maildrop_reclaim(&spool.disk, ALICE, &quick);
	/* A forged count is no damage that repair could mend; verify goes on to say it. */
	if (repair(&findings) == 0)
		assert_true(verify() >= 0);
}

static void
make_directory(void)
{
	char directory[LAYOUT_PATH_MAX];

	assert_int_equal(layout_directory(ALICE, directory), 0);
	assert_int_equal(disk_make_directory(&spool.disk, directory, 0700), 0);
}

static void
forged_octets_are_answered(void **state)
{
	char log[4096];
	char index[4096];
	size_t log_octets;
	size_t index_octets;

	(void)state;
	fill();
	log_octets = read_file(log_path, log, sizeof(log));
	index_octets = read_file(index_path, index, sizeof(index));
	srand(11);
	for (int round = 0; round < 1000; round++) {
		char changed[4096];
		size_t at;

		write_file(log_path, log, log_octets);
		write_file(index_path, index, index_octets);
		if (round % 2 == 0) {
			memcpy(changed, index, index_octets);
			at = (size_t)rand() % index_octets;
			changed[at] = (char)rand();
			forge_index(changed, at);
			write_file(index_path, changed, index_octets);
		} else {
			bool has_entry = rand() % 4 != 0;
			size_t limit = RECORD_HEADER_OCTETS + (has_entry ? 60 : 0);

			memcpy(changed, log, log_octets);
			changed[LOG_HEADER_OCTETS + (size_t)rand() % limit] = (char)rand();
			forge_record(changed, LOG_HEADER_OCTETS, RECORD_ENTRY_OCTETS, has_entry);
			write_file(log_path, changed, log_octets);
			if (rand() % 2 == 0)
				assert_int_equal(unlink(index_path), 0);
		}
		use_forged_maildrop();
		/* Damaged logs are kept; that would be many. */
		assert_int_equal(maildrop_remove(&spool.disk, ALICE, &quick), 0);
		make_directory();
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(index_is_rebuilt_wherever_it_is_damaged),
		TEST(commit_gets_over_a_damaged_index),
		TEST(torn_tail_is_cut_off),
		TEST(torn_commit_of_many_records),
		TEST(damage_before_the_last_commit_is_said),
		TEST(unknown_version_is_not_touched),
		TEST(flipped_octets_with_index),
		TEST(flipped_octets_without_index),
		TEST(message_cannot_pass_for_a_record),
		TEST(repair_keeps_the_damaged_log),
		TEST(verify_sees_content),
		TEST(forged_octets_are_answered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
