/*
 * test_lmtp_data.c - where a message ends, and nowhere else: the SMTP smuggling family.
 *
 * Every five octets over CR, LF, dot, NUL and x stand before the end of a message, which is then
 * heard in one piece, cut at every octet, and octet by octet.  What must come of it is said here
 * once more, slowly, from RFC 5321 alone.
 */
#include "core/lmtp/data.h"
#include "io/base/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#define MIDDLE_OCTETS 5u
#define TEXT_MAX      64u

struct text {
	char at[4 * TEXT_MAX];
	size_t length;
};

static void
put(struct text *t, struct span s)
{
	must(t->length + s.length <= sizeof(t->at));
	if (s.length > 0)
		memcpy(t->at + t->length, s.at, s.length);
	t->length += s.length;
}

static struct span
span_of_text(const struct text *t)
{
	return span_of(t->at, t->length);
}

/* ---- the model ----------------------------------------------------------------------------- */

/* Octets of `sent` up to and with the end line: the first CRLF.CRLF, where the CRLF of the DATA
 * command counts as the first one's. */
static size_t
model_end(struct span sent)
{
	if (sent.length >= 3 && memcmp(sent.at, ".\r\n", 3) == 0)
		return 3;
	for (size_t i = 0; i + 5 <= sent.length; i++)
		if (memcmp(sent.at + i, "\r\n.\r\n", 5) == 0)
			return i + 5;
	return 0;
}

static bool
model_has_bare(struct span text)
{
	for (size_t i = 0; i < text.length; i++) {
		bool pair_begins = i + 1 < text.length && text.at[i + 1] == '\n';

		if (text.at[i] == '\r' && !pair_begins)
			return true;
		if (text.at[i] == '\n' && (i == 0 || text.at[i - 1] != '\r'))
			return true;
	}
	return false;
}

/* One dot less on each line that begins with one; lines end with CRLF. */
static void
model_unstuffed(struct span text, struct text *to)
{
	bool at_start = true;

	for (size_t i = 0; i < text.length; i++) {
		if (!at_start || text.at[i] != '.')
			put(to, span_of(text.at + i, 1));
		at_start = text.at[i] == '\n' && i > 0 && text.at[i - 1] == '\r';
	}
}

static void
model_normalised(struct span text, struct text *to)
{
	for (size_t i = 0; i < text.length; i++) {
		if (text.at[i] != '\r' && text.at[i] != '\n') {
			put(to, span_of(text.at + i, 1));
			continue;
		}
		put(to, SPAN("\r\n"));
		i += text.at[i] == '\r' && i + 1 < text.length && text.at[i + 1] == '\n';
	}
}

/* ---- hearing ------------------------------------------------------------------------------- */

struct heard {
	struct text text;
	bool has_bare;
	bool has_ended;
	size_t octets; /* up to and with the end */
};

static void
hear(struct lmtp_data *d, struct span piece, struct heard *h)
{
	char *copy = malloc(piece.length + 1); /* so that nobody reads beyond it unseen */
	struct span input = span_of(copy, piece.length);
	struct span run;

	must(copy != NULL);
	memcpy(copy, piece.at, piece.length);
	while (!h->has_ended) {
		enum lmtp_data_result result = lmtp_data_next(d, &input, &run);

		if (result == LMTP_DATA_MORE)
			break;
		if (result == LMTP_DATA_RUN) {
			assert_true(run.length > 0);
			assert_false(model_has_bare(run));
			put(&h->text, run);
		}
		h->has_ended = result == LMTP_DATA_END;
	}
	if (!h->has_ended)
		assert_int_equal(input.length, 0);
	h->octets += piece.length - input.length;
	h->has_bare = d->has_bare;
	free(copy);
}

/* In two pieces; `step` 1: octet by octet. */
static void
hear_cut(struct span sent, size_t cut, size_t step, struct heard *h)
{
	struct lmtp_data d;

	*h = (struct heard){ 0 };
	lmtp_data_init(&d);
	if (step == 0) {
		hear(&d, span_of(sent.at, cut), h);
		if (!h->has_ended)
			hear(&d, span_after(sent, cut), h);
		return;
	}
	for (size_t i = 0; i < sent.length && !h->has_ended; i++)
		hear(&d, span_of(sent.at + i, 1), h);
}

static void
check_heard(struct span sent, const struct heard *h)
{
	size_t end = model_end(sent);
	struct span body = span_of(sent.at, end - 3);
	struct text unstuffed = { 0 }, expected = { 0 }, got = { 0 };

	assert_true(h->has_ended);
	assert_int_equal(h->octets, end);
	assert_int_equal(h->has_bare, model_has_bare(body));
	if (!h->has_bare) /* nothing was rebuilt */
		assert_true(span_equals(span_of_text(&h->text), body));
	assert_int_equal(model_end(span_of_text(&h->text)), 0);
	model_unstuffed(body, &unstuffed);
	model_normalised(span_of_text(&unstuffed), &expected);
	model_unstuffed(span_of_text(&h->text), &got);
	assert_true(span_equals(span_of_text(&got), span_of_text(&expected)));
}

static void
check_all_cuts(const char *before, struct span middle, const char *behind)
{
	struct text sent = { 0 };
	struct heard h;

	put(&sent, span_of_string(before));
	put(&sent, middle);
	put(&sent, span_of_string(behind));
	for (size_t cut = 0; cut <= sent.length; cut++) {
		hear_cut(span_of_text(&sent), cut, 0, &h);
		check_heard(span_of_text(&sent), &h);
	}
	hear_cut(span_of_text(&sent), 0, 1, &h);
	check_heard(span_of_text(&sent), &h);
}

static void
every_five_octets_as_an_end(void **state)
{
	static const char octets[] = { '\r', '\n', '.', '\0', 'x' };
	char middle[MIDDLE_OCTETS];
	unsigned all = 1;

	(void)state;
	for (size_t i = 0; i < MIDDLE_OCTETS; i++)
		all *= array_count(octets);
	for (unsigned n = 0; n < all; n++) {
		unsigned rest = n;

		for (size_t i = 0; i < MIDDLE_OCTETS; i++, rest /= array_count(octets))
			middle[i] = octets[rest % array_count(octets)];
		check_all_cuts("", span_of(middle, sizeof(middle)), "\r\n.\r\nQUIT\r\n");
		check_all_cuts("a\r\n", span_of(middle, sizeof(middle)), "\r\n.\r\nQUIT\r\n");
		check_all_cuts("a", span_of(middle, sizeof(middle)), "MAIL\r\n\r\n.\r\n.\r\n");
	}
}

/* A message as it should be is one run for each receive. */
static void
nothing_is_cut_that_need_not_be(void **state)
{
	static const char message[] = "Subject: one\r\n\r\n..dots\r\nand more than sixteen octets "
				      "on a line\r\n.undoubled\r\n";
	char sent[sizeof(message) + 16];
	struct lmtp_data d;
	struct span input;
	struct span run;

	(void)state;
	lmtp_data_init(&d);
	input = span_of(sent, (size_t)snprintf(sent, sizeof(sent), "%s.\r\nNOOP", message));
	assert_int_equal(lmtp_data_next(&d, &input, &run), LMTP_DATA_RUN);
	assert_true(span_equals(run, span_of_string(message)));
	assert_ptr_equal(run.at, sent);
	assert_int_equal(lmtp_data_next(&d, &input, &run), LMTP_DATA_END);
	assert_true(span_equals(input, SPAN("NOOP")));
}

static void
chunks_are_only_looked_at(void **state)
{
	static const struct {
		const char *text;
		bool has_bare;
	} cases[] = {
		{ "", false },
		{ "a\r\nb\r\n", false },
		{ "\r\n.\r\n", false },
		{ "no end", false },
		{ "a\nb", true },
		{ "\n", true },
		{ "a\rb", true },
		{ "a\r", true },
		{ "a\r\r\n", true },
		{ "a\r\n\n", true },
		{ "0123456789abcdef0123456789abcdef\r\n0123456789abcdef\n", true },
	};

	(void)state;
	for (size_t i = 0; i < array_count(cases); i++) {
		struct span text = span_of_string(cases[i].text);

		for (size_t cut = 0; cut <= text.length; cut++) {
			struct lmtp_data d;

			lmtp_data_init(&d);
			lmtp_data_check_chunk(&d, span_of(text.at, cut));
			lmtp_data_check_chunk(&d, span_after(text, cut));
			lmtp_data_end_chunks(&d);
			assert_int_equal(d.has_bare, cases[i].has_bare);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_five_octets_as_an_end),
		cmocka_unit_test(nothing_is_cut_that_need_not_be),
		cmocka_unit_test(chunks_are_only_looked_at),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
