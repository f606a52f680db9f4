/*
 * test_mbox.c - where messages begin and end in an mbox, their dates, ids and quoting; every file
 * is also scanned in pieces of one octet, which must not change anything.
 */
#include "storage/convert/mbox.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define DATE         "Sat Nov 21 22:24:08 2026"
#define DATE_SECONDS 1795299848
#define FROM         "From a@example.org " DATE "\n"
#define FOUND_MAX    8

struct found {
	struct span file;
	unsigned count;
	struct mbox_message messages[FOUND_MAX];
};

static int
remember(void *ctx, const struct mbox_message *message)
{
	struct found *found = ctx;

	assert_true(found->count < FOUND_MAX);
	found->messages[found->count++] = *message;
	return 0;
}

static int
scan(struct span file, size_t piece, struct found *found)
{
	struct mbox_scanner scanner;
	int error = 0;

	*found = (struct found){ .file = file };
	mbox_scanner_init(&scanner, remember, found);
	while (error == 0 && file.length > 0) {
		size_t length = file.length < piece ? file.length : piece;

		error = mbox_scan(&scanner, span_of(file.at, length));
		file = span_after(file, length);
	}
	return error != 0 ? error : mbox_scan_end(&scanner);
}

/* Scan whole and octet by octet; both must find the same. */
static void
scan_twice(struct span file, struct found *found)
{
	struct found again;

	assert_int_equal(scan(file, SIZE_MAX, found), 0);
	assert_int_equal(scan(file, 1, &again), 0);
	assert_int_equal(found->count, again.count);
	for (unsigned i = 0; i < found->count; i++) {
		struct mbox_message *a = &found->messages[i], *b = &again.messages[i];

		assert_int_equal(a->offset, b->offset);
		assert_int_equal(a->length, b->length);
		assert_int_equal(a->arrived_at, b->arrived_at);
		assert_int_equal(a->is_internal_data, b->is_internal_data);
		assert_string_equal(a->unique_id, b->unique_id);
		assert_memory_equal(a->digest, b->digest, sizeof(a->digest));
	}
}

static void
assert_text(const struct found *found, unsigned n, const char *text)
{
	const struct mbox_message *m = &found->messages[n];

	assert_true(n < found->count);
	assert_int_equal(m->length, strlen(text));
	assert_memory_equal(found->file.at + m->offset, text, m->length);
}

static void
messages_are_split_at_from_lines_behind_blank_lines(void **state)
{
	struct found found;

	(void)state;
	scan_twice(SPAN(FROM "Subject: one\n\nbody\n\n\n" FROM "Subject: two\n\n" FROM "\n" FROM
			     "Subject: four\n\nnot one\n" FROM
			     "\nFrom here on it is text\n\nFrom 1 to 10\nno line end"),
		&found);
	assert_int_equal(found.count, 4);
	assert_text(&found, 0, "Subject: one\n\nbody\n\n");
	assert_text(&found, 1, "Subject: two\n");
	assert_text(&found, 2, "");
	assert_text(&found, 3,
		"Subject: four\n\nnot one\n" FROM
		"\nFrom here on it is text\n\nFrom 1 to 10\nno line end");
	assert_int_equal(found.messages[3].arrived_at, DATE_SECONDS);
}

static void
crlf_files_are_split_too(void **state)
{
	struct found found;

	(void)state;
	scan_twice(SPAN("\r\nFrom a " DATE "\r\nS: 1\r\n\r\nb\r\n\r\nFrom a " DATE
			"\r\nS: 2\r\n\r\n.\r\n\r\n"),
		&found);
	assert_int_equal(found.count, 2);
	assert_text(&found, 0, "S: 1\r\n\r\nb\r\n");
	assert_text(&found, 1, "S: 2\r\n\r\n.\r\n");
}

static void
what_is_no_mbox_is_refused(void **state)
{
	struct found found;
	char line[3000];

	(void)state;
	assert_int_equal(scan(SPAN("Subject: a\n\nb\n"), SIZE_MAX, &found), -EBADMSG);
	assert_int_equal(scan(SPAN("Fro"), 1, &found), -EBADMSG);
	memset(line, 'x', sizeof(line));
	assert_int_equal(scan(span_of(line, sizeof(line)), 100, &found), -EBADMSG);
	assert_int_equal(scan(SPAN(""), 1, &found), 0);
	assert_int_equal(scan(SPAN("\n\n"), 1, &found), 0);
	assert_int_equal(found.count, 0);
}

static void
unique_ids_come_from_x_uidl(void **state)
{
	struct found found;

	(void)state;
	scan_twice(SPAN(FROM "X-UIDL: first-line\nSubject: 1\n\nX-UIDL: body\n\n" FROM
			     "Subject: 2\nx-uidl:\t <second>  \nX-UIDL: later\n\nb\n\n" FROM
			     "X-UIDL: two words\nSubject: 3\n\n\n" FROM "X-UIDL: alone\n\n"),
		&found);
	assert_int_equal(found.count, 4);
	assert_string_equal(found.messages[0].unique_id, "first-line");
	assert_text(&found, 0, "Subject: 1\n\nX-UIDL: body\n"); /* the mailbox's own line is gone */
	assert_string_equal(found.messages[1].unique_id, "<second>");
	assert_text(&found, 1, "Subject: 2\nx-uidl:\t <second>  \nX-UIDL: later\n\nb\n");
	assert_string_equal(found.messages[2].unique_id, "");
	assert_text(&found, 2, "X-UIDL: two words\nSubject: 3\n\n");
	assert_string_equal(found.messages[3].unique_id, "alone");
	assert_text(&found, 3, "");
}

static void
internal_data_is_marked(void **state)
{
	struct found found;

	(void)state;
	scan_twice(
		SPAN(FROM "Subject: DON'T DELETE THIS MESSAGE -- FOLDER INTERNAL DATA\n\nx\n\n" FROM
			  "Subject: about FOLDER INTERNAL DATA\n\nx\n"),
		&found);
	assert_int_equal(found.count, 2);
	assert_true(found.messages[0].is_internal_data);
	assert_false(found.messages[1].is_internal_data);
}

static void
digest_of(struct span file, unsigned n, uint8_t digest[MBOX_DIGEST_OCTETS])
{
	struct found found;

	scan_twice(file, &found);
	assert_true(n < found.count);
	memcpy(digest, found.messages[n].digest, MBOX_DIGEST_OCTETS);
}

static void
digest_stays_when_a_mail_program_takes_notes(void **state)
{
	uint8_t fresh[MBOX_DIGEST_OCTETS], later[MBOX_DIGEST_OCTETS], other[MBOX_DIGEST_OCTETS];

	(void)state;
	digest_of(SPAN(FROM "Subject: 1\n\nbody\n"), 0, fresh);
	digest_of(SPAN(FROM "Subject: 0\n\n\n" FROM
			    "Subject: 1\nStatus: RO\nX-Keywords: a\n b\nX-UID: 5\n\nbody\n\n" FROM),
		1, later);
	assert_memory_equal(fresh, later, sizeof(fresh));
	digest_of(SPAN(FROM "Subject: 1\n\nbodY\n"), 0, other);
	assert_memory_not_equal(fresh, other, sizeof(fresh));
	digest_of(SPAN(FROM "Subject: 2\n\nbody\n"), 0, other);
	assert_memory_not_equal(fresh, other, sizeof(fresh));
	digest_of(SPAN(FROM "Subject: 1\n\nbody\n\n\n"), 0, other);
	assert_memory_not_equal(fresh, other, sizeof(fresh));
}

static void
lines_may_have_any_length(void **state)
{
	size_t size = 5000000;
	char *file = malloc(size);
	struct found found;

	(void)state;
	assert_non_null(file);
	memset(file, 'x', size);
	memcpy(file, FROM "A: ", strlen(FROM "A: "));
	memcpy(file + 100000, "\n\n", 2);
	memcpy(file + size - 1, "\n", 1);
	for (size_t piece = 1023; piece < 1027; piece++) {
		assert_int_equal(scan(span_of(file, size), piece, &found), 0);
		assert_int_equal(found.count, 1);
		assert_int_equal(found.messages[0].length, size - strlen(FROM));
	}
	free(file);
}

static void
dates_of_from_lines(void **state)
{
	static const struct {
		const char *line;
		int64_t seconds;
	} good[] = {
		{ "From a@b " DATE, DATE_SECONDS },
		{ "From a@b  Sat Nov 21 22:24 2026", DATE_SECONDS - 8 },
		{ "From \"a b\"@c Sat Nov 21 22:24:08 2026 +0130", DATE_SECONDS - 5400 },
		{ "From a Sat Nov 21 22:24:08 -0800 2026", DATE_SECONDS + 28800 },
		{ "From a sat nov 21 22:24:08 CET 2026", DATE_SECONDS - 3600 },
		{ "From a Sat Nov 21 22:24:08 2026 EST", DATE_SECONDS + 18000 },
		{ "From a Sat Nov 21 22:24:08 2026 remote from vax", DATE_SECONDS },
		{ "From Sat Mar x Sun Mar  1 00:00:00 2020", 1583020800 },
		{ "From  Thu Jan  1 00:00:00 1970", 0 },
	};
	static const char *const bad[] = { "From", "From a", "from a " DATE,
		"From a Sat Nov 21 22:24:08", "From a Sat Nov 32 22:24:08 2026",
		"From a Sat Nov 21 25:24:08 2026", "From a Sat Nov 21 22:24:08 26",
		"From a Nov 21 22:24:08 2026", "Fromage " DATE };
	int64_t seconds;

	(void)state;
	for (unsigned i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_true(mbox_parse_from_line(span_of_string(good[i].line), &seconds));
		assert_int_equal(seconds, good[i].seconds);
	}
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(mbox_parse_from_line(span_of_string(bad[i]), &seconds));
}

static void
dates_come_back_as_they_were_put(void **state)
{
	static const int64_t dates[] = { 0, 59, 951782400, DATE_SECONDS, 4102444799, 253402300799 };
	char line[MBOX_FROM_LINE_PUT];
	int64_t seconds;
	size_t length;

	(void)state;
	for (unsigned i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		length = mbox_put_from_line(dates[i], line);
		assert_int_equal(length, strlen(line));
		assert_true(mbox_parse_from_line(span_of(line, length - 1), &seconds));
		assert_int_equal(seconds, dates[i]);
	}
	mbox_put_from_line(INT64_MAX, line);
	assert_string_equal(line, "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n");
	mbox_put_from_line(-1, line);
	assert_string_equal(line, "From MAILER-DAEMON Thu Jan  1 00:00:00 1970\n");
}

struct text {
	char octets[4096];
	size_t length;
};

static int
append(void *ctx, struct span out)
{
	struct text *text = ctx;

	assert_true(out.length <= sizeof(text->octets) - text->length);
	memcpy(text->octets + text->length, out.at, out.length);
	text->length += out.length;
	return 0;
}

static void
quote(enum mbox_quoting quoting, struct span in, size_t piece, struct text *out)
{
	struct mbox_quoter quoter;

	*out = (struct text){ 0 };
	mbox_quoter_init(&quoter, quoting);
	while (in.length > 0) {
		size_t length = in.length < piece ? in.length : piece;

		assert_int_equal(mbox_quote(&quoter, span_of(in.at, length), append, out), 0);
		in = span_after(in, length);
	}
	assert_int_equal(mbox_quote_end(&quoter, append, out), 0);
}

static void
quoting_is_undone_in_full(void **state)
{
	static const char plain[] =
		"From a\n\n>From b\n>>From c\nFrom\n> From\n>>Fro\n\nFFrom \n>\nxFrom y\n"
		">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>From d\r\n\r\nFrom e\r\n>>>>";
	static const char quoted[] =
		">From a\n\n>>From b\n>>>From c\nFrom\n> From\n>>Fro\n\nFFrom \n>\nxFrom y\n"
		">>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>>From d\r\n\r\n>From e\r\n>>>>";
	struct text there, back;

	(void)state;
	for (size_t piece = 1; piece < sizeof(quoted) + 1; piece++) {
		quote(MBOX_QUOTE, SPAN(plain), piece, &there);
		assert_int_equal(there.length, sizeof(quoted) - 1);
		assert_memory_equal(there.octets, quoted, there.length);
		quote(MBOX_UNQUOTE, span_of(there.octets, there.length), piece, &back);
		assert_int_equal(back.length, sizeof(plain) - 1);
		assert_memory_equal(back.octets, plain, back.length);
	}
	quote(MBOX_UNQUOTE, SPAN("From x\n>From"), 3, &back);
	assert_int_equal(back.length, 12);
	assert_memory_equal(back.octets, "From x\n>From", 12);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_are_split_at_from_lines_behind_blank_lines),
		cmocka_unit_test(crlf_files_are_split_too),
		cmocka_unit_test(what_is_no_mbox_is_refused),
		cmocka_unit_test(unique_ids_come_from_x_uidl),
		cmocka_unit_test(internal_data_is_marked),
		cmocka_unit_test(digest_stays_when_a_mail_program_takes_notes),
		cmocka_unit_test(lines_may_have_any_length),
		cmocka_unit_test(dates_of_from_lines),
		cmocka_unit_test(dates_come_back_as_they_were_put),
		cmocka_unit_test(quoting_is_undone_in_full),
	};

	return cmocka_run_group_tests_name("mbox", tests, NULL, NULL);
}
