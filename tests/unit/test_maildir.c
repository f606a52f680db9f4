/*
 * test_maildir.c - a Maildir as a source: order, dates, unique-ids, identities, what is left out.
 */
#include "storage/convert/source.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
	char path[64];
	unsigned reports;
	char last_report[256];
	struct source_options options;
	struct source *source;
};

static void
count_report(void *ctx, const char *text)
{
	struct fixture *f = ctx;

	f->reports++;
	snprintf(f->last_report, sizeof(f->last_report), "%s", text);
}

static void
put_file(struct fixture *f, const char *name, const char *text, long modified_at)
{
	char path[512];
	struct timespec times[2] = { { .tv_sec = modified_at }, { .tv_sec = modified_at } };
	int fd;

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	assert_int_equal(futimens(fd, times), 0);
	close(fd);
}

static void
put_directory(struct fixture *f, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", f->path, name);
	assert_int_equal(mkdir(path, 0700), 0);
}

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -1;
	snprintf(f->path, sizeof(f->path), "/tmp/test_maildir.XXXXXX");
	if (mkdtemp(f->path) == NULL)
		return -1;
	f->options = (struct source_options){ .report = count_report, .ctx = f };
	put_directory(f, "cur");
	put_directory(f, "new");
	put_directory(f, "tmp");
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;
	char command[128];

	source_close(f->source);
	snprintf(command, sizeof(command), "rm -rf '%s'", f->path);
	free(f);
	return system(command);
}

static void
open_source(struct fixture *f)
{
	source_close(f->source);
	f->source = NULL;
	assert_int_equal(source_open_maildir(f->path, &f->options, &f->source), 0);
}

struct text {
	char octets[64];
	size_t length;
};

static int
append(void *ctx, struct span piece)
{
	struct text *text = ctx;

	assert_true(piece.length < sizeof(text->octets) - text->length);
	memcpy(text->octets + text->length, piece.at, piece.length);
	text->length += piece.length;
	return 0;
}

static void
assert_message(struct fixture *f, size_t index, const char *text, int64_t arrived_at,
	const char *unique_id, uint32_t uid)
{
	const struct source_message *m = &f->source->messages[index];
	struct text got = { .length = 0 };

	assert_true(index < f->source->count);
	assert_int_equal(source_read(f->source, index, append, &got), 0);
	assert_string_equal(got.octets, text);
	assert_int_equal(m->octets, strlen(text));
	assert_int_equal(m->arrived_at, arrived_at);
	assert_string_equal(source_string(f->source, m->unique_id), unique_id);
	assert_int_equal(m->uid, uid);
}

static void
order_is_by_time_then_name(void **state)
{
	struct fixture *f = *state;

	put_file(f, "new/1500000002.b.host", "four", 5);
	put_file(f, "cur/1500000002.a.host:2,S", "three", 5);
	put_file(f, "cur/1500000001.z.host:2,", "two", 5);
	put_file(f, "cur/no-time", "one", 1400000000);
	put_file(f, "cur/20260101120000.x", "five", 1600000000);
	put_file(f, "tmp/1500000001.t.host", "half written", 5);
	put_file(f, "cur/.hidden", "no", 5);
	open_source(f);
	assert_int_equal(f->source->count, 5);
	assert_int_equal(f->source->octets, 3 + 3 + 5 + 4 + 4);
	assert_message(f, 0, "one", 1400000000, "", 0);
	assert_message(f, 1, "two", 1500000001, "", 0);
	assert_message(f, 2, "three", 1500000002, "", 0);
	assert_message(f, 3, "four", 1500000002, "", 0);
	assert_message(f, 4, "five", 1600000000, "", 0);
	assert_int_equal(f->reports, 0);
}

static void
dovecot_uids_and_ids(void **state)
{
	struct fixture *f = *state;

	put_file(f, "dovecot-uidlist",
		"3 V255 N20 G0\n7 Pseven :1500000009.a\n8 :1500000001.b\n"
		"12 Pseven :1500000000.d\n13 P\300 :1500000007.e\n",
		5);
	put_file(f, "cur/1500000009.a:2,S", "seven", 5);
	put_file(f, "new/1500000001.b", "eight", 5);
	put_file(f, "cur/1500000000.d:2,S", "twelve", 5);
	put_file(f, "cur/1500000007.e:2,S", "thirteen", 5);
	put_file(f, "cur/1400000000.unlisted:2,S", "other", 5);
	open_source(f);
	assert_int_equal(f->source->count, 5);
	assert_int_equal(f->source->uid_validity, 255);
	assert_int_equal(f->source->next_uid, 20);
	assert_message(f, 0, "seven", 1500000009, "seven", 7);
	assert_message(f, 1, "eight", 1500000001, "00000008000000ff", 8);
	assert_message(f, 2, "twelve", 1500000000, "", 12); /* "seven" is taken */
	assert_message(f, 3, "thirteen", 1500000007, "", 13);
	assert_message(f, 4, "other", 1400000000, "", 0);

	/* Dovecot appends lines without touching the first one. */
	put_file(f, "dovecot-uidlist", "3 V255 N1 G0\n7 :1500000009.a\n", 5);
	open_source(f);
	assert_int_equal(f->source->next_uid, 8);

	f->options.new_unique_ids = true;
	open_source(f);
	assert_int_equal(f->source->uid_validity, 0);
	assert_message(f, 0, "other", 1400000000, "", 0);
}

static void
dovecot_order_may_forbid_uids(void **state)
{
	struct fixture *f = *state;

	put_file(f, "dovecot-uidlist",
		"3 V255 N20 G0\n7 :1500000009.a\n8 O2 :1500000001.b\n9 O1 :1500000005.c\n", 5);
	put_file(f, "cur/1500000009.a:2,S", "seven", 5);
	put_file(f, "new/1500000001.b", "eight", 5);
	put_file(f, "cur/1500000005.c:2,S", "nine", 5);
	open_source(f);
	assert_int_equal(f->source->uid_validity, 0);
	assert_message(f, 0, "nine", 1500000005, "00000009000000ff", 0);
	assert_message(f, 1, "eight", 1500000001, "00000008000000ff", 0);
	assert_message(f, 2, "seven", 1500000009, "00000007000000ff", 0);
}

static void
courier_ids_in_order_of_time(void **state)
{
	struct fixture *f = *state;

	put_file(f, "courierpop3dsizelist", "/3 9 77\n1500000002.b:2,S 3 1:77:0\n", 5);
	put_file(f, "cur/1500000002.b:2,RS", "two", 5);
	put_file(f, "cur/1500000001.a:2,S", "one", 5);
	open_source(f);
	assert_int_equal(f->source->uid_validity, 0);
	assert_message(f, 0, "one", 1500000001, "", 0);
	assert_message(f, 1, "two", 1500000002, "UID1-77", 0);
}

static void
identity_survives_flags_and_neighbours(void **state)
{
	struct fixture *f = *state;
	struct source_identity identity;
	char from[128], to[128];

	put_file(f, "new/1500000002.b", "two", 5);
	open_source(f);
	identity = f->source->messages[0].identity;

	snprintf(from, sizeof(from), "%s/new/1500000002.b", f->path);
	snprintf(to, sizeof(to), "%s/cur/1500000002.b:2,FS", f->path);
	assert_int_equal(rename(from, to), 0);
	/* Moved since the directory was read: found again. */
	assert_message(f, 0, "two", 1500000002, "", 0);

	put_file(f, "cur/1500000001.a", "one", 5);
	put_file(f, "new/1500000002.b", "two", 5); /* as if seen in new/ and then in cur/ */
	open_source(f);
	assert_int_equal(f->source->count, 2);
	assert_memory_equal(&f->source->messages[1].identity, &identity, sizeof(identity));
	assert_memory_not_equal(&f->source->messages[0].identity, &identity, sizeof(identity));

	put_file(f, "new/1500000002.b", "other text, same name", 5);
	open_source(f);
	assert_int_equal(f->source->count, 3);
}

static void
what_cannot_be_read_is_reported(void **state)
{
	struct fixture *f = *state;
	char path[128];

	put_file(f, "cur/1500000001.a", "one", 5);
	put_directory(f, "cur/1500000002.directory");
	snprintf(path, sizeof(path), "%s/new/1500000003.nowhere", f->path);
	assert_int_equal(symlink("/nonexistent/file", path), 0);
	snprintf(path, sizeof(path), "%s/new/1500000004.fifo", f->path);
	assert_int_equal(mkfifo(path, 0600), 0);
	open_source(f);
	assert_int_equal(f->source->count, 1);
	assert_int_equal(f->source->damaged, 3);
	assert_int_equal(f->reports, 3);

	snprintf(path, sizeof(path), "%s/cur/1500000001.a", f->path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(source_read(f->source, 0, append, &(struct text){ .length = 0 }), -ENOENT);
}

static void
what_is_no_maildir_is_refused(void **state)
{
	struct fixture *f = *state;
	char path[128];

	put_file(f, "dovecot-uidlist", "garbage\n", 5);
	assert_int_equal(source_open_maildir(f->path, &f->options, &f->source), -EBADMSG);
	assert_non_null(strstr(f->last_report, "dovecot-uidlist"));
	f->options.new_unique_ids = true;
	open_source(f);
	assert_int_equal(f->source->count, 0);
	source_close(f->source);
	f->source = NULL;

	snprintf(path, sizeof(path), "%s/tmp", f->path);
	assert_int_equal(source_open_maildir(path, &f->options, &f->source), -EBADMSG);
	snprintf(path, sizeof(path), "%s/nowhere", f->path);
	assert_int_equal(source_open_maildir(path, &f->options, &f->source), -ENOENT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(order_is_by_time_then_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(dovecot_uids_and_ids, set_up, tear_down),
		cmocka_unit_test_setup_teardown(dovecot_order_may_forbid_uids, set_up, tear_down),
		cmocka_unit_test_setup_teardown(courier_ids_in_order_of_time, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			identity_survives_flags_and_neighbours, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_cannot_be_read_is_reported, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_is_no_maildir_is_refused, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("maildir", tests, NULL, NULL);
}
