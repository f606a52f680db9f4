/*
 * test_mix.c - the grammar of a mix, and the client that plays one against scripted replies.
 *
 * The client is what makes the generator's figures honest, so here a server lies to it in each way
 * that it promises to notice, whole and one octet at a time.
 */
#include "bench/load/client.h"
#include "bench/load/mix.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---- the grammar ---- */

static int
read_mix(const char *text, struct mix *mix_out, char *errors, size_t size)
{
	FILE *from = fmemopen((void *)(uintptr_t)text, strlen(text), "r");
	FILE *to = fmemopen(errors, size, "w");
	int error;

	assert_non_null(from);
	assert_non_null(to);
	error = mix_read(from, "some/where/odd.mix", to, mix_out);
	fclose(from);
	fclose(to);
	return error;
}

static void
a_mix_is_read_as_written(void **state)
{
	char errors[256] = "";
	struct mix mix;

	(void)state;
	assert_int_equal(read_mix("# a comment\n\n connect # behind\nuser\r\npass\nstat\n"
				  "\ttop-all 10\nretr-one\nhold\ndele-all\nquit\n",
				 &mix, errors, sizeof(errors)),
		0);
	assert_string_equal(mix.name, "odd");
	assert_int_equal(mix.step_count, 9);
	assert_int_equal(mix.steps[0].verb, MIX_CONNECT);
	assert_int_equal(mix.steps[4].verb, MIX_TOP);
	assert_int_equal(mix.steps[4].reach, MIX_ALL_MESSAGES);
	assert_int_equal(mix.steps[4].lines, 10);
	assert_int_equal(mix.steps[5].reach, MIX_ONE_MESSAGE);
	assert_true(mix.holds);
	assert_true(mix.deletes);
}

static void
a_wrong_mix_is_refused_with_its_line(void **state)
{
	static const struct {
		const char *text, *where;
	} wrong[] = {
		{ "user\nquit\n", "odd.mix:1:" },
		{ "connect\nconnect\nquit\n", "odd.mix:2:" },
		{ "connect\nquit\nnoop\n", "odd.mix:3:" },
		{ "connect\nuser\n", "odd.mix:2:" },
		{ "", "odd.mix:0:" },
		{ "connect\n\n# x\nretr\nquit\n", "odd.mix:4:" },
		{ "connect\nuser\npass\nretr-all\nquit\n", "odd.mix:4:" },
		{ "connect\nstat\ntop-all\nquit\n", "odd.mix:3:" },
		{ "connect\nstat\ntop-all -1\nquit\n", "odd.mix:3:" },
		{ "connect\nstat 5\nquit\n", "odd.mix:2:" },
		{ "connect\nhold\nhold\nquit\n", "odd.mix:3:" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct mix mix = { .step_count = 77 };
		char errors[256] = "";

		/* fmemopen refuses an empty text on some systems */
		assert_int_equal(read_mix(wrong[i].text[0] == '\0' ? " " : wrong[i].text, &mix,
					 errors, sizeof(errors)),
			-EINVAL);
		if (wrong[i].text[0] != '\0')
			assert_non_null(strstr(errors, wrong[i].where));
		assert_int_equal(mix.step_count, 77);
	}
}

/* ---- the client ---- */

static const char session_steps[] = "connect\nuser\npass\nstat\nlist\nretr-all\ntop-all 1\nquit\n";

/* One session against `replies`, fed at most `piece` octets at a time; every command is written to
 * `commands`.  Returns what ended it. */
static enum client_next
play(struct client *c, const struct mix *mix, struct client_sizes *sizes,
	const char *const *replies, size_t piece, char *commands, size_t size)
{
	static const struct client_identity identity = { "u%@x", "a b" };
	enum client_next next = CLIENT_MORE;
	size_t written = 0;

	client_start(c, mix, &identity, sizes, 7);
	for (; *replies != NULL; replies++) {
		struct span left = span_of_string(*replies);

		next = CLIENT_MORE;
		while (next == CLIENT_MORE && left.length > 0) {
			size_t length = left.length < piece ? left.length : piece;

			next = client_feed(c, span_of(left.at, length));
			left = span_after(left, length);
		}
		if (next != CLIENT_COMMAND)
			break;
		assert_int_equal(left.length, 0);
		written += client_command(c, commands + written, size - written);
	}
	commands[written] = '\0';
	return next;
}

static enum client_next
play_steps(
	const char *steps, const char *const *replies, size_t piece, enum client_fault *fault_out)
{
	struct client_sizes *sizes = calloc(1, sizeof(*sizes));
	struct client c = { 0 };
	char errors[256], commands[1024];
	struct mix mix;
	enum client_next next;

	assert_non_null(sizes);
	assert_int_equal(read_mix(steps, &mix, errors, sizeof(errors)), 0);
	next = play(&c, &mix, sizes, replies, piece, commands, sizeof(commands));
	*fault_out = c.fault;
	free(sizes);
	return next;
}

static const char *const right_replies[] = { "+OK hello\r\n", "+OK\r\n", "+OK in\r\n",
	"+OK 2 20\r\n", "+OK list\r\n1 10\r\n2 10\r\n.\r\n",
	"+OK 10 octets\r\nA:b\r\n\r\n..\r\n.\r\n", "+OK 10 octets\r\n\r\n123456\r\n.\r\n",
	"+OK\r\nA: b\r\n\r\n..\r\n.\r\n", "+OK\r\n\r\n123456\r\n.\r\n", "+OK bye\r\n", NULL };

static void
a_right_session_goes_through_in_any_pieces(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 40; piece++) {
		struct client_sizes *sizes = calloc(1, sizeof(*sizes));
		struct client c = { 0 };
		char errors[256], commands[1024];
		struct mix mix;

		assert_non_null(sizes);
		assert_int_equal(read_mix(session_steps, &mix, errors, sizeof(errors)), 0);
		assert_int_equal(
			play(&c, &mix, sizes, right_replies, piece, commands, sizeof(commands)),
			CLIENT_BYE);
		assert_string_equal(commands,
			"USER u7@x\r\nPASS a b\r\nSTAT\r\nLIST\r\nRETR 1\r\nRETR 2\r\n"
			"TOP 1 1\r\nTOP 2 1\r\nQUIT\r\n");
		assert_int_equal(c.messages_retrieved, 2);
		free(sizes);
	}
}

/* right_replies with one of them changed. */
static void
assert_wrong(unsigned at, const char *lie, enum client_fault wanted)
{
	const char *replies[sizeof(right_replies) / sizeof(right_replies[0])];
	enum client_fault fault;

	memcpy(replies, right_replies, sizeof(replies));
	replies[at] = lie;
	for (size_t piece = 1; piece < 60; piece += 58) {
		assert_int_equal(play_steps(session_steps, replies, piece, &fault), CLIENT_WRONG);
		assert_int_equal(fault, wanted);
	}
}

static void
every_lie_is_noticed(void **state)
{
	(void)state;
	assert_wrong(0, "-ERR busy\r\n", CLIENT_FAULT_REFUSED);
	assert_wrong(0, "220 smtp\r\n", CLIENT_FAULT_MALFORMED);
	assert_wrong(0, "+OKAY\r\n", CLIENT_FAULT_MALFORMED);
	assert_wrong(1, "+OK bare\n", CLIENT_FAULT_MALFORMED);
	assert_wrong(3, "+OK many messages\r\n", CLIENT_FAULT_MALFORMED);
	assert_wrong(4, "+OK\r\n1 10\r\n.\r\n", CLIENT_FAULT_LINES);
	assert_wrong(4, "+OK\r\n1 10\r\n2 10\r\n3 1\r\n.\r\n", CLIENT_FAULT_LINES);
	assert_wrong(4, "+OK\r\n1 10\n2 10\r\n.\r\n", CLIENT_FAULT_MALFORMED);
	assert_wrong(5, "+OK 10 octets\r\nA: b\r\n\r\n.\r\n", CLIENT_FAULT_OCTETS);
	assert_wrong(5, "+OK 10 octets\r\nA: b\r\n\r\nxx\r\n.\r\n", CLIENT_FAULT_OCTETS);
	assert_wrong(7, "+OK\r\nA: b\r\n\r\n1\r\n2\r\n.\r\n", CLIENT_FAULT_LINES);
}

static void
octets_behind_a_reply_are_noticed(void **state)
{
	static const char *const status[] = { "+OK hello\r\n+", NULL };
	static const char *const listing[] = { "+OK\r\n", "+OK 1 2\r\n", "+OK\r\n1 2\r\n.\r\n.\r\n",
		NULL };
	enum client_fault fault;

	(void)state;
	assert_int_equal(play_steps("connect\nquit\n", status, 60, &fault), CLIENT_WRONG);
	assert_int_equal(fault, CLIENT_FAULT_EXTRA);
	assert_int_equal(
		play_steps("connect\nstat\nlist\nquit\n", listing, 60, &fault), CLIENT_WRONG);
	assert_int_equal(fault, CLIENT_FAULT_EXTRA);
}

static void
a_refusal_is_told_in_printable_words(void **state)
{
	static const struct client_identity identity = { "u", "p" };
	struct mix mix = { .step_count = 1 };
	struct client c = { 0 };
	char text[160];

	(void)state;
	client_start(&c, &mix, &identity, NULL, 1);
	assert_int_equal(
		client_feed(&c, span_of_string("-ERR \033[2J\303\251 busy\r\n")), CLIENT_WRONG);
	client_describe_fault(&c, c.fault, text, sizeof(text));
	assert_string_equal(text, "connect: refused (-ERR): -ERR ?[2J?? busy");
	client_describe_fault(&c, CLIENT_FAULT_TIMEOUT, text, sizeof(text));
	assert_string_equal(text, "connect: time-out");
}

static void
nothing_to_fetch_goes_straight_to_quit(void **state)
{
	static const char *const replies[] = { "+OK\r\n", "+OK 0 0\r\n", "+OK bye\r\n", NULL };
	enum client_fault fault;

	(void)state;
	assert_int_equal(
		play_steps("connect\nstat\nretr-all\nretr-one\nquit\n", replies, 60, &fault),
		CLIENT_BYE);
}

static void
deleted_messages_leave_the_listing(void **state)
{
	static const char *const replies[] = { "+OK\r\n", "+OK 2 4\r\n", "+OK\r\n", "+OK\r\n",
		"+OK\r\n.\r\n", "+OK\r\n", "+OK\r\n1 2\r\n2 2\r\n.\r\n", "+OK bye\r\n", NULL };
	enum client_fault fault;

	(void)state;
	assert_int_equal(play_steps("connect\nstat\ndele-all\nlist\nrset\nuidl\nquit\n", replies,
				 60, &fault),
		CLIENT_BYE);
}

/* ---- what is not looked at ---- */

enum {
	BIG_OCTETS = 40000,
	BIG_LINE = 100
};

/* A message of 100-octet lines, the first of them byte-stuffed. */
static char *
big_reply(size_t octets, const char *end)
{
	char *reply = malloc(octets + 256), *at;

	assert_non_null(reply);
	at = reply + sprintf(reply, "+OK %d octets\r\n.", BIG_OCTETS);
	for (size_t done = 0; done < octets; done += BIG_LINE) {
		memset(at, 'a', BIG_LINE - 2);
		at[0] = done == 0 ? '.' : 'a';
		memcpy(at + BIG_LINE - 2, "\r\n", 2);
		at += BIG_LINE;
	}
	strcpy(at, end);
	return reply;
}

/* A first session that looks at the message, then a second whose message is `second`, unseen. */
static enum client_next
fetch_twice(const char *steps, const char *second, uint64_t *discardable_out)
{
	struct client_sizes *sizes = calloc(1, sizeof(*sizes));
	char *first = big_reply(BIG_OCTETS, ".\r\n"), errors[256], commands[256];
	const char *replies[] = { "+OK\r\n", "+OK 1 40000\r\n", first, NULL };
	const char *head[] = { "+OK\r\n", "+OK 1 40000\r\n", NULL };
	struct client c = { 0 };
	struct mix mix;
	enum client_next next;
	size_t status = strcspn(second, "\n") + 1, used = status;

	assert_non_null(sizes);
	assert_int_equal(read_mix(steps, &mix, errors, sizeof(errors)), 0);
	assert_int_equal(
		play(&c, &mix, sizes, replies, 997, commands, sizeof(commands)), CLIENT_COMMAND);
	assert_int_equal(
		play(&c, &mix, sizes, head, 997, commands, sizeof(commands)), CLIENT_COMMAND);

	next = client_feed(&c, span_of(second, status + 10));
	used += 10;
	*discardable_out = next == CLIENT_MORE ? client_discardable(&c) : 0;
	if (*discardable_out > 0) {
		client_discarded(&c, 1000);
		next = client_feed(&c, span_of(second + used + 1000, strlen(second) - used - 1000));
	}
	free(first);
	free(sizes);
	return next;
}

static void
known_content_is_skipped_up_to_its_end(void **state)
{
	char *same = big_reply(BIG_OCTETS, ".\r\n");
	char *longer = big_reply(BIG_OCTETS + BIG_LINE, ".\r\n");
	char *cut = big_reply(BIG_OCTETS - BIG_LINE,
		".\r\n+OK and on it goes: a hundred octets and "
		"more that are no message, to stand in the place of one"
		", .......................\r\n");
	uint64_t discardable;

	(void)state;
	assert_int_equal(
		fetch_twice("connect\nstat\nretr-all\nquit\n", same, &discardable), CLIENT_COMMAND);
	assert_int_equal(discardable, BIG_OCTETS + 1 - 2 - 10); /* the dot; CRLF; what was fed */
	assert_int_equal(
		fetch_twice("connect\nstat\nretr-all\nquit\n", longer, &discardable), CLIENT_WRONG);
	assert_int_equal(
		fetch_twice("connect\nstat\nretr-all\nquit\n", cut, &discardable), CLIENT_WRONG);
	free(same);
	free(longer);
	free(cut);
}

static void
a_mix_that_deletes_looks_at_everything(void **state)
{
	char *same = big_reply(BIG_OCTETS, ".\r\n");
	uint64_t discardable;

	(void)state;
	assert_int_equal(
		fetch_twice("connect\nstat\nretr-all\ndele-all\nquit\n", same, &discardable),
		CLIENT_MORE);
	assert_int_equal(discardable, 0);
	free(same);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_mix_is_read_as_written),
		cmocka_unit_test(a_wrong_mix_is_refused_with_its_line),
		cmocka_unit_test(a_right_session_goes_through_in_any_pieces),
		cmocka_unit_test(every_lie_is_noticed),
		cmocka_unit_test(octets_behind_a_reply_are_noticed),
		cmocka_unit_test(a_refusal_is_told_in_printable_words),
		cmocka_unit_test(nothing_to_fetch_goes_straight_to_quit),
		cmocka_unit_test(deleted_messages_leave_the_listing),
		cmocka_unit_test(known_content_is_skipped_up_to_its_end),
		cmocka_unit_test(a_mix_that_deletes_looks_at_everything),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
