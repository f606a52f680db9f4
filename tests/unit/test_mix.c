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
	assert_int_equal(mix.steps[4].argument, 10);
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
		{ "connect\nramp\nquit\n", "odd.mix:2:" },
		{ "connect\nstat\n101% retr-all\nquit\n", "odd.mix:3:" },
		{ "connect\n50% stat\nquit\n", "odd.mix:2:" },
		{ "connect\n50%\nquit\n", "odd.mix:2:" },
		{ "connect\nstat\nretr-new 1\nquit\n", "odd.mix:3:" },
		{ "connect\nstat\nuidl\nretr-new\nquit\n", "odd.mix:4:" },
		{ "connect\nstat\nretr-largest\nquit\n", "odd.mix:3:" },
		{ "connect\nmail\nquit\n", "odd.mix:2:" },
		{ "connect\nuser\nlhlo\nquit\n", "odd.mix:3:" },
		{ "connect\nlhlo\nstat\nquit\n", "odd.mix:3:" },
		{ "connect\nlhlo\nrcpt 1\nquit\n", "odd.mix:3:" },
		{ "connect\nlhlo\nmail\nrcpt 0\nquit\n", "odd.mix:4:" },
		{ "connect\nlhlo\nmail\ndata\nquit\n", "odd.mix:4:" },
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
play(struct client *c, const struct mix *mix, struct client_memory *memory,
	const char *const *replies, size_t piece, char *commands, size_t size)
{
	static const struct client_identity identity = { "u%@x", "a b", 9 };
	enum client_next next = CLIENT_MORE;
	size_t written = 0, must_fit;
	unsigned count;

	client_start(c, mix, &identity, memory, 7);
	for (; *replies != NULL; replies++) {
		struct span left = span_of_string(*replies);

		next = CLIENT_MORE;
		while (next == CLIENT_MORE && left.length > 0) {
			size_t length = left.length < piece ? left.length : piece;
			struct span input = span_of(left.at, length);

			next = client_feed(c, &input);
			left = span_after(left, length);
		}
		if (next != CLIENT_COMMAND)
			break;
		assert_int_equal(left.length, 0);
		must_fit = size - written;
		assert_true(must_fit >= CLIENT_COMMAND_OCTETS);
		written += client_commands(c, commands + written, must_fit, 1, &count);
		assert_int_equal(count, 1);
	}
	commands[written] = '\0';
	return next;
}

static enum client_next
play_steps(
	const char *steps, const char *const *replies, size_t piece, enum client_fault *fault_out)
{
	struct client_memory *memory = calloc(1, sizeof(*memory));
	struct client c = { 0 };
	char errors[256], commands[2048];
	struct mix mix;
	enum client_next next;

	assert_non_null(memory);
	assert_int_equal(read_mix(steps, &mix, errors, sizeof(errors)), 0);
	next = play(&c, &mix, memory, replies, piece, commands, sizeof(commands));
	*fault_out = c.fault;
	free(memory);
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
		struct client_memory *memory = calloc(1, sizeof(*memory));
		struct client c = { 0 };
		char errors[256], commands[2048];
		struct mix mix;

		assert_non_null(memory);
		assert_int_equal(read_mix(session_steps, &mix, errors, sizeof(errors)), 0);
		assert_int_equal(
			play(&c, &mix, memory, right_replies, piece, commands, sizeof(commands)),
			CLIENT_BYE);
		assert_string_equal(commands,
			"USER u7@x\r\nPASS a b\r\nSTAT\r\nLIST\r\nRETR 1\r\nRETR 2\r\n"
			"TOP 1 1\r\nTOP 2 1\r\nQUIT\r\n");
		assert_int_equal(c.messages_retrieved, 2);
		free(memory);
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
	static const struct client_identity identity = { "u", "p", 1 };
	struct mix mix = { .step_count = 1 };
	struct client c = { 0 };
	struct span words = span_of_string("-ERR \033[2J\303\251 busy\r\n");
	char text[160];

	(void)state;
	client_start(&c, &mix, &identity, NULL, 1);
	assert_int_equal(client_feed(&c, &words), CLIENT_WRONG);
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
	struct client_memory *memory = calloc(1, sizeof(*memory));
	char *first = big_reply(BIG_OCTETS, ".\r\n"), errors[256], commands[2048];
	const char *replies[] = { "+OK\r\n", "+OK 1 40000\r\n", first, NULL };
	const char *head[] = { "+OK\r\n", "+OK 1 40000\r\n", NULL };
	struct client c = { 0 };
	struct mix mix;
	enum client_next next;
	size_t status = strcspn(second, "\n") + 1, used = status;
	struct span input;

	assert_non_null(memory);
	assert_int_equal(read_mix(steps, &mix, errors, sizeof(errors)), 0);
	assert_int_equal(
		play(&c, &mix, memory, replies, 997, commands, sizeof(commands)), CLIENT_COMMAND);
	assert_int_equal(
		play(&c, &mix, memory, head, 997, commands, sizeof(commands)), CLIENT_COMMAND);

	input = span_of(second, status + 10);
	next = client_feed(&c, &input);
	used += 10;
	*discardable_out = next == CLIENT_MORE ? client_discardable(&c) : 0;
	if (*discardable_out > 0) {
		client_discarded(&c, 1000);
		input = span_of(second + used + 1000, strlen(second) - used - 1000);
		next = client_feed(&c, &input);
	}
	free(first);
	free(memory);
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

/* ---- listings that are looked at ---- */

static const char leave_steps[] = "connect\nstat\nuidl\nretr-new 1\nquit\n";

/* Two sessions of one user: the listing of the first, of the second, and what the second asks. */
static void
assert_fetches(unsigned first_count, const char *first, unsigned second_count, const char *second,
	const char *wanted)
{
	struct client_memory *memory = calloc(1, sizeof(*memory));
	uint64_t last_unique_ids[7] = { 0 };
	char stats[2][32], errors[256], commands[4096];
	const char *replies[] = { "+OK\r\n", NULL, NULL, NULL };
	struct client c = { 0 };
	struct mix mix;

	assert_non_null(memory);
	memory->last_unique_ids = last_unique_ids;
	assert_int_equal(read_mix(leave_steps, &mix, errors, sizeof(errors)), 0);
	snprintf(stats[0], sizeof(stats[0]), "+OK %u 100\r\n", first_count);
	snprintf(stats[1], sizeof(stats[1]), "+OK %u 100\r\n", second_count);
	for (int turn = 0; turn < 2; turn++) {
		replies[1] = stats[turn];
		replies[2] = turn == 0 ? first : second;
		assert_int_equal(play(&c, &mix, memory, replies, 7, commands, sizeof(commands)),
			CLIENT_COMMAND);
	}
	assert_string_equal(strrchr(commands, '\n') == NULL ? "" : commands, wanted);
	free(memory);
}

static void
only_what_is_new_is_fetched(void **state)
{
	(void)state;
	/* nothing came: the last one as if it had */
	assert_fetches(2, "+OK\r\n1 a\r\n2 b\r\n.\r\n", 2, "+OK\r\n1 a\r\n2 b\r\n.\r\n",
		"STAT\r\nUIDL\r\nRETR 2\r\n");
	/* two came */
	assert_fetches(2, "+OK\r\n1 a\r\n2 b\r\n.\r\n", 4,
		"+OK\r\n1 a\r\n2 b\r\n3 c\r\n4 d\r\n.\r\n", "STAT\r\nUIDL\r\nRETR 3\r\n");
	/* one was deleted meanwhile, one came */
	assert_fetches(2, "+OK\r\n1 a\r\n2 b\r\n.\r\n", 2, "+OK\r\n1 b\r\n2 c\r\n.\r\n",
		"STAT\r\nUIDL\r\nRETR 2\r\n");
	assert_fetches(1, "+OK\r\n1 a\r\n.\r\n", 0, "+OK\r\n.\r\n", "STAT\r\nUIDL\r\nQUIT\r\n");
}

static void
the_largest_is_fetched(void **state)
{
	static const char *const replies[] = { "+OK\r\n", "+OK 3 60\r\n",
		"+OK\r\n1 20\r\n2 30\r\n3 10\r\n.\r\n", NULL };
	struct client_memory *memory = calloc(1, sizeof(*memory));
	char errors[256], commands[4096];
	struct client c = { 0 };
	struct mix mix;

	(void)state;
	assert_non_null(memory);
	assert_int_equal(
		read_mix("connect\nstat\nlist\nretr-largest\nquit\n", &mix, errors, sizeof(errors)),
		0);
	assert_int_equal(
		play(&c, &mix, memory, replies, 5, commands, sizeof(commands)), CLIENT_COMMAND);
	assert_string_equal(commands, "STAT\r\nLIST\r\nRETR 2\r\n");
	free(memory);
}

static void
some_sessions_fetch_and_some_do_not(void **state)
{
	static const struct client_identity identity = { "u", "p", 1 };
	struct client_memory *memory = calloc(1, sizeof(*memory));
	char errors[256], command[CLIENT_COMMAND_OCTETS];
	struct client c = { 0 };
	struct mix mix;
	unsigned fetched = 0, count;

	(void)state;
	assert_non_null(memory);
	assert_int_equal(
		read_mix("connect\nstat\n30% retr-all\nquit\n", &mix, errors, sizeof(errors)), 0);
	for (int session = 0; session < 1000; session++) {
		struct span greeting = SPAN("+OK\r\n"), stat = SPAN("+OK 1 1\r\n");

		client_start(&c, &mix, &identity, memory, 1);
		client_feed(&c, &greeting);
		client_commands(&c, command, sizeof(command), 1, &count);
		client_feed(&c, &stat);
		client_commands(&c, command, sizeof(command), 1, &count);
		fetched += strncmp(command, "RETR", 4) == 0;
	}
	assert_in_range(fetched, 250, 350);
	free(memory);
}

/* ---- pipelining ---- */

static void
pipelined_commands_wait_for_what_they_depend_on(void **state)
{
	static const struct client_identity identity = { "u", "p", 1 };
	static const struct {
		const char *reply, *commands;
		unsigned count;
	} turns[] = {
		{ "+OK hello\r\n", "USER u\r\nPASS p\r\n", 2 },
		{ "+OK\r\n+OK\r\n", "STAT\r\n", 1 },
		{ "+OK 3 6\r\n", "RETR 1\r\nRETR 2\r\nRETR 3\r\nDELE 1\r\n", 4 },
		{ "+OK 2\r\n\r\n.\r\n", "", 0 },
		{ "+OK 2\r\n\r\n.\r\n+OK 2\r\n", "DELE 2\r\nDELE 3\r\n", 2 },
		{ "\r\n.\r\n+OK\r\n+OK\r\n", "QUIT\r\n", 1 },
		{ "+OK\r\n", "", 0 },
	};
	struct client_memory *memory = calloc(1, sizeof(*memory));
	char errors[256], commands[4 * CLIENT_COMMAND_OCTETS];
	enum client_next next = CLIENT_MORE;
	struct client c = { 0 };
	struct mix mix;

	(void)state;
	assert_non_null(memory);
	assert_int_equal(read_mix("connect\nuser\npass\nstat\nretr-all\ndele-all\nquit\n", &mix,
				 errors, sizeof(errors)),
		0);
	client_start(&c, &mix, &identity, memory, 1);
	for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
		struct span input = span_of_string(turns[i].reply);
		unsigned count;
		size_t length;

		while (input.length > 0) {
			next = client_feed(&c, &input);
			assert_int_not_equal(next, CLIENT_WRONG);
		}
		length = client_commands(&c, commands, sizeof(commands), 4, &count);
		assert_int_equal(length, strlen(turns[i].commands));
		assert_memory_equal(commands, turns[i].commands, length);
		assert_int_equal(count, turns[i].count);
	}
	assert_int_equal(c.messages_retrieved, 3);
	{
		struct span bye = SPAN("+OK\r\n");

		assert_int_equal(client_feed(&c, &bye), CLIENT_BYE);
	}
	free(memory);
}

/* ---- LMTP ---- */

static char mail_text[] = "Subject: x\r\n\r\n..\r\n.\r\n";

static void
mail_is_delivered_and_each_recipient_heard(void **state)
{
	static const struct client_identity identity = { "u%@x", "p", 2 };
	static const struct {
		const char *reply, *commands;
	} turns[] = {
		{ "220 hello\r\n", "LHLO bench.example\r\n" },
		{ "250-here\r\n250 8BITMIME\r\n", "MAIL FROM:<bench@bench.example>\r\n" },
		{ "250 2.1.0 ok\r\n", "RCPT TO:<u2@x>\r\n" },
		{ "250 2.1.5 ok\r\n", "RCPT TO:<u1@x>\r\n" },
		{ "250 2.1.5 ok\r\n", "DATA\r\n" },
		{ "354 go on\r\n", "" },
		{ "250 2.0.0 u2\r\n250 2.0.0 u1\r\n", "QUIT\r\n" },
	};
	struct source_message message = { 0, sizeof(mail_text) - 1, 17, 1, true };
	struct source source = { .at = mail_text, .messages = &message, .message_count = 1 };
	struct client_memory *memory = calloc(1, sizeof(*memory));
	struct span half = SPAN("250 2.0.0 u2\r\n"), refused = SPAN("452 4.2.2 full\r\n");
	char errors[256], commands[CLIENT_COMMAND_OCTETS];
	struct client c = { 0 };
	struct mix mix;
	unsigned count;

	(void)state;
	assert_non_null(memory);
	memory->source = &source;
	assert_int_equal(
		read_mix("connect\nlhlo\nmail\nrcpt 2\ndata\nquit\n", &mix, errors, sizeof(errors)),
		0);
	for (int lies = 0; lies < 2; lies++) {
		client_start(&c, &mix, &identity, memory, 2);
		for (size_t i = 0; i < sizeof(turns) / sizeof(turns[0]); i++) {
			struct span reply = span_of_string(turns[i].reply);

			if (lies && i == 6)
				break;
			assert_int_equal(client_feed(&c, &reply), CLIENT_COMMAND);
			commands[client_commands(&c, commands, sizeof(commands), 1, &count)] = '\0';
			assert_string_equal(commands, turns[i].commands);
			assert_int_equal(count, 1);
			assert_int_equal(
				client_message(&c).length, i == 5 ? sizeof(mail_text) - 1 : 0);
		}
	}
	assert_int_equal(client_feed(&c, &half), CLIENT_MORE);
	assert_int_equal(client_feed(&c, &refused), CLIENT_WRONG);
	assert_int_equal(c.fault, CLIENT_FAULT_REFUSED);
	free(memory);
}

static void
a_secured_mix_asks_for_tls_first(void **state)
{
	char errors[256];
	struct mix mix;

	(void)state;
	assert_int_equal(read_mix("connect\nuser\nquit\n", &mix, errors, sizeof(errors)), 0);
	assert_true(mix_secure(&mix));
	assert_int_equal(mix.step_count, 4);
	assert_int_equal(mix.steps[1].verb, MIX_STLS);
	assert_int_equal(mix.steps[2].verb, MIX_USER);
	assert_int_equal(read_mix("connect\nlhlo\nquit\n", &mix, errors, sizeof(errors)), 0);
	assert_true(mix_secure(&mix));
	assert_int_equal(mix.steps[1].verb, MIX_LHLO);
	assert_int_equal(mix.steps[2].verb, MIX_STLS);
	assert_int_equal(mix.steps[3].verb, MIX_LHLO);
	assert_int_equal(mix.steps[4].verb, MIX_QUIT);
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
		cmocka_unit_test(only_what_is_new_is_fetched),
		cmocka_unit_test(the_largest_is_fetched),
		cmocka_unit_test(some_sessions_fetch_and_some_do_not),
		cmocka_unit_test(pipelined_commands_wait_for_what_they_depend_on),
		cmocka_unit_test(mail_is_delivered_and_each_recipient_heard),
		cmocka_unit_test(a_secured_mix_asks_for_tls_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
