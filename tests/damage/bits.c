/*
 * bits.c - a disk gives back one wrong bit, or a file that ends too early.
 *
 *   bits             with BIT_FLIPS=n and SEED=n in the environment (100,000 and 1)
 *
 * Every bit of an index: the same messages with the same unique-ids are there, whoever comes next.
 * Random bits of a log: every message is what was delivered, or known to be damaged; it is one at
 * most, verify names it, and a repair gives up no other.  A log cut at every octet of its last
 * record: said, and repaired at the cost of that record.
 */
#include "tests/unit/spool.h"

#include "storage/content.h"
#include "storage/maildrop_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define ALICE         "alice@example.org"
#define MESSAGES      12u
#define FILE_MAX      16384u
#define FLIPS         100000u
#define REPAIR_ONE_IN 25u /* a repair makes a new log: one flip of so many goes all the way */

/* What a client knows of a message. */
struct known {
	uint32_t uid;
	char id[MAILDROP_UNIQUE_ID_MAX + 1];
	struct maildrop_entry entry;
	char *wire;
};

struct image {
	char path[512];
	char octets[FILE_MAX];
	size_t length;
};

static struct spool spool;
static struct image log_image;
static struct image index_image;
static struct known known[MESSAGES];
static uint32_t known_count;
static unsigned long present; /* the bit, or the length, that is being tried */

static unsigned
number_from(const char *name, unsigned fallback)
{
	const char *text = getenv(name);

	return text == NULL ? fallback : (unsigned)strtoul(text, NULL, 10);
}

static void
read_image(struct image *image, const char *name)
{
	int fd;
	ssize_t n;

	spool_path(&spool, ALICE, name, image->path, sizeof(image->path));
	fd = open(image->path, O_RDONLY);
	n = read(fd, image->octets, FILE_MAX);
	assert_true(n > 0 && n < (ssize_t)FILE_MAX);
	image->length = (size_t)n;
	close(fd);
}

/* The first `length` octets of the image, in a new file: a maildrop that is open keeps its own. */
static void
write_image(const struct image *image, size_t length)
{
	int fd;

	unlink(image->path);
	fd = open(image->path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, image->octets, length), length);
	close(fd);
}

static void
flip(struct image *image, unsigned long bit)
{
	image->octets[bit / 8] = (char)(image->octets[bit / 8] ^ 1 << bit % 8);
}

/* A bit of the file as it lies there. */
static void
flip_in_place(const struct image *image, unsigned long bit)
{
	int fd = open(image->path, O_RDWR);
	char octet;

	assert_int_equal(pread(fd, &octet, 1, (off_t)(bit / 8)), 1);
	octet = (char)(octet ^ 1 << bit % 8);
	assert_int_equal(pwrite(fd, &octet, 1, (off_t)(bit / 8)), 1);
	close(fd);
}

/* No power will be lost here. */
static const struct maildrop_options quick = { .lock_timeout_ms = 2000 };

static void
deliver(unsigned first, unsigned count, bool with_ids)
{
	struct maildrop_writer *w;

	assert_int_equal(maildrop_writer_open(&spool.disk, ALICE, &quick, 0, &w), 0);
	for (unsigned n = first; n < first + count; n++) {
		char text[1024];
		char id[32];
		int length = snprintf(text, sizeof(text), "Subject: %u\n\n.%0*u\nend\n", n,
			(int)(n * 37 % 400), n);

		snprintf(id, sizeof(id), "id-of-%u", n);
		spool_add(w, text, (size_t)length, with_ids ? id : NULL, 0);
	}
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
}

static void
learn(void)
{
	struct maildrop *m = spool_open(&spool.disk, ALICE);

	known_count = m->count;
	assert_true(known_count <= MESSAGES);
	for (uint32_t i = 0; i < m->count; i++) {
		const struct maildrop_entry *e = &m->entries[i];

		known[i].uid = e->uid;
		known[i].entry = *e;
		maildrop_unique_id(m, e, known[i].id);
		known[i].wire = malloc(e->wire_octets);
		assert_non_null(known[i].wire);
		assert_int_equal(disk_read_at(&spool.disk, m->log_fd, known[i].wire, e->wire_octets,
					 e->wire_offset),
			e->wire_octets);
	}
	maildrop_close(&spool.disk, m);
}

static int
setup(void **state)
{
	const uint32_t gone[] = { 2, 4 };
	uint32_t removed;

	(void)state;
	spool_make(&spool);
	deliver(1, 1, false);
	deliver(2, 3, false);
	deliver(5, 2, true);
	assert_int_equal(maildrop_commit(&spool.disk, ALICE, &quick, gone, 2, &removed), 0);
	deliver(7, 2, true);
	deliver(9, 1, false);
	read_image(&log_image, "log");
	read_image(&index_image, "index");
	learn();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	print_message("# at %lu\n", present);
	for (uint32_t i = 0; i < known_count; i++)
		free(known[i].wire);
	spool_remove(&spool);
	return 0;
}

/* Is this message octet for octet what was delivered? */
static bool
is_as_delivered(const struct maildrop *m, const struct maildrop_entry *e, const struct known *k)
{
	char wire[2048];

	if (e->wire_octets != k->entry.wire_octets)
		return false;
	assert_true(e->wire_octets <= sizeof(wire));
	return disk_read_at(&spool.disk, m->log_fd, wire, e->wire_octets, e->wire_offset) ==
		(ssize_t)e->wire_octets &&
		memcmp(wire, k->wire, e->wire_octets) == 0;
}

/*
 * A client fetches all.  What is sent is right; returns the damaged ones, which are refused.
 * `missing_max` messages may be missing.  `may_return`: messages that were deleted may be back.
 */
static unsigned
fetch_all(const struct maildrop *m, unsigned missing_max, bool may_return)
{
	unsigned damaged = 0;
	unsigned missing = 0;
	uint32_t i = 0;

	for (uint32_t k = 0; k < known_count; k++) {
		char id[MAILDROP_UNIQUE_ID_MAX + 1];
		const struct maildrop_entry *e;

		for (; may_return && i < m->count && m->entries[i].uid < known[k].uid; i++)
			assert_true(m->entries[i].uid == 2 || m->entries[i].uid == 4);
		if (i == m->count || m->entries[i].uid != known[k].uid) {
			missing++;
			continue;
		}
		e = &m->entries[i++];
		maildrop_unique_id(m, e, id);
		assert_string_equal(id, known[k].id);
		assert_int_equal(e->octets, known[k].entry.octets);
		if (content_check(&spool.disk, m->log_fd, e) != 0)
			damaged++;
		else
			assert_true(is_as_delivered(m, e, &known[k]));
	}
	assert_true(missing <= missing_max);
	assert_int_equal(i, m->count);
	return damaged;
}

static void
hear_nothing(void *ctx, uint64_t offset, const char *text)
{
	(void)ctx;
	(void)offset;
	(void)text;
}

static int
verify(void)
{
	return maildrop_verify(&spool.disk, ALICE, &quick, hear_nothing, NULL);
}

static void
assert_all_is_there(void)
{
	struct maildrop *m = spool_open(&spool.disk, ALICE);

	assert_int_equal(fetch_all(m, 0, false), 0);
	maildrop_close(&spool.disk, m);
}

/* Repaired, all but `lost_max` messages are there, and it is whole. */
static void
repair(unsigned lost_max, bool may_return)
{
	struct maildrop *m;

	assert_int_equal(maildrop_repair(&spool.disk, ALICE, &quick, hear_nothing, NULL), 0);
	assert_int_equal(verify(), 0);
	m = spool_open(&spool.disk, ALICE);
	assert_int_equal(fetch_all(m, lost_max, may_return), 0);
	maildrop_close(&spool.disk, m);
}

static int
unlink_kept(void *ctx, const char *name)
{
	const char *directory = ctx;
	char path[LAYOUT_PATH_MAX];

	if (strncmp(name, "damaged-", 8) != 0)
		return 0;
	layout_join(directory, name, path);
	return disk_unlink(&spool.disk, path);
}

static void
forget_kept_logs(void)
{
	char directory[LAYOUT_PATH_MAX];

	assert_int_equal(layout_directory(ALICE, directory), 0);
	assert_int_equal(disk_list(&spool.disk, directory, unlink_kept, directory), 0);
}

/* The octets between the end of a record's content and the next record are nothing. */
static bool
is_padding(unsigned long octet)
{
	for (uint32_t i = 0; i < known_count; i++) {
		uint64_t end = known[i].entry.wire_offset + known[i].entry.wire_octets;

		if (octet >= end && octet < record_round_up(end))
			return true;
	}
	return false;
}

/* Spans of messages that were deleted. */
static bool
is_dead(unsigned long octet)
{
	/* uids 2 and 4 are the first and the last of the second record; 3 stands between them */
	const struct maildrop_entry *third = &known[1].entry;

	return octet < third->wire_offset + third->wire_octets + 1024 &&
		octet > known[0].entry.wire_offset + known[0].entry.wire_octets &&
		(octet < third->wire_offset || octet >= third->wire_offset + third->wire_octets);
}

static void
every_bit_of_the_index(void **state)
{
	(void)state;
	for (present = 0; present < index_image.length * 8; present++) {
		flip(&index_image, present);
		write_image(&index_image, index_image.length);
		if (present % 2 == 0)
			assert_all_is_there();
		else /* who delivers comes first, and looks at the end only */
			assert_int_equal(
				spool_deliver(&spool.disk, ALICE, "Subject: 10\n\nten\n"), 10);
		flip(&index_image, present);
		if (present % 2 == 0)
			continue;
		{
			struct maildrop *m = spool_open(&spool.disk, ALICE);

			assert_int_equal(m->count, known_count + 1);
			assert_int_equal(m->entries[known_count].uid, 10);
			m->count--;
			assert_int_equal(fetch_all(m, 0, false), 0);
			maildrop_close(&spool.disk, m);
		}
		write_image(&log_image, log_image.length);
	}
}

static void
every_length_of_the_index(void **state)
{
	(void)state;
	for (present = 0; present < index_image.length; present++) {
		write_image(&index_image, present);
		assert_all_is_there();
	}
}

static void
without_an_index(unsigned long bit)
{
	struct maildrop *m;
	int error;

	assert_int_equal(unlink(index_image.path), 0);
	error = maildrop_open(&spool.disk, ALICE, &quick, &m);
	if (error == 0) {
		/* The last commit is not distinguishable from a torn one;
		 * nothing else may be lost. */
		bool is_last = bit / 8 >= known[known_count - 1].entry.wire_offset -
				RECORD_HEADER_OCTETS - RECORD_ENTRY_OCTETS;

		assert_true(fetch_all(m, is_last ? 1 : 0, false) <= 1);
		maildrop_close(&spool.disk, m);
	} else {
		assert_int_equal(error, -EBADMSG);
	}
}

static void
random_bits_of_the_log(void **state)
{
	unsigned flips = number_from("BIT_FLIPS", FLIPS);
	unsigned seed = number_from("SEED", 1);
	unsigned damaged = 0;
	unsigned unavailable = 0;

	(void)state;
	write_image(&log_image, log_image.length);
	write_image(&index_image, index_image.length);
	for (unsigned i = 0; i < flips; i++) {
		unsigned long bit = (unsigned long)rand_r(&seed) % (log_image.length * 8);
		struct maildrop *m;
		int error;

		present = bit;
		flip_in_place(&log_image, bit);
		error = maildrop_open(&spool.disk, ALICE, &quick, &m);
		if (error == 0) {
			unsigned found = fetch_all(m, 0, false);

			assert_true(found <= 1);
			damaged += found;
			maildrop_close(&spool.disk, m);
		} else { /* the log's own header */
			assert_int_equal(error, -EBADMSG);
			assert_true(bit / 8 < LOG_HEADER_OCTETS);
			unavailable++;
		}
		if (i % REPAIR_ONE_IN != 0) {
			flip_in_place(&log_image, bit);
			continue;
		}
		assert_true(verify() > 0 || is_padding(bit / 8) || is_dead(bit / 8));
		if (i % 2 == 0)
			without_an_index(bit);
		else
			repair(1, false);
		if (i % 2 == 0) {
			write_image(&log_image, log_image.length);
			flip_in_place(&log_image, bit);
			unlink(index_image.path);
			repair(1, true);
		}
		forget_kept_logs();
		write_image(&log_image, log_image.length);
		write_image(&index_image, index_image.length);
	}
	print_message("# %u bits: %u messages refused, %u times the maildrop\n", flips, damaged,
		unavailable);
}

static void
every_length_of_the_last_record(void **state)
{
	const struct maildrop_entry *last = &known[known_count - 1].entry;
	size_t start = (size_t)last->wire_offset - RECORD_HEADER_OCTETS - RECORD_ENTRY_OCTETS;
	struct maildrop *m;

	(void)state;
	for (present = start; present < log_image.length; present++) {
		/* What the index covers was acknowledged: shorter than that is damage. */
		write_image(&log_image, present);
		write_image(&index_image, index_image.length);
		assert_int_equal(maildrop_open(&spool.disk, ALICE, &quick, &m), -EBADMSG);
		assert_true(verify() > 0);
		repair(1, false);
		forget_kept_logs();
		/* What it does not cover is a torn tail. */
		write_image(&log_image, present);
		unlink(index_image.path);
		m = spool_open(&spool.disk, ALICE);
		assert_int_equal(m->count, known_count - 1);
		assert_int_equal(fetch_all(m, 1, false), 0);
		maildrop_close(&spool.disk, m);
	}
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_bit_of_the_index),
		TEST(every_length_of_the_index),
		TEST(random_bits_of_the_log),
		TEST(every_length_of_the_last_record),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
