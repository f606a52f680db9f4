/*
 * parsing.c - what the pure part of a session costs: lines cut, commands answered, no I/O at all.
 *
 *   build/release/bench/micro/parsing [--json]
 *
 * The session is core/pop3's own, driven as service.c drives it; its maildrop is made up, its reply
 * is thrown away.  Instructions are counted where perf_event_open(2) is allowed and the machine has
 * a counter (a virtual one often has not), else left out.
 */
#include "bench/micro/micro.h"
#include "core/line.h"
#include "core/pop3/session.h"
#include "io/base/must.h"

#include <linux/perf_event.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	LINES = 64,
	ROUNDS = 50000,
	SESSIONS = 200000,
	MESSAGES = 100,
	REPLY_BLOCKS = 1024,
};

/* ---- instructions -------------------------------------------------------------------------- */

static int counter = -1;

static void
counter_open(void)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_HARDWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_HW_INSTRUCTIONS,
		.exclude_kernel = 1,
		.exclude_hv = 1,
	};

	counter = (int)syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0);
}

static uint64_t
counter_read(void)
{
	uint64_t value = 0;

	if (counter >= 0 && read(counter, &value, sizeof(value)) != sizeof(value))
		return 0;
	return value;
}

/* ---- lines --------------------------------------------------------------------------------- */

static struct span
make_lines(char *to, size_t room)
{
	size_t length = 0;

	for (unsigned i = 0; i < LINES; i++)
		length += (size_t)snprintf(to + length, room - length, "RETR %u\r\n", i + 1);
	return span_of(to, length);
}

/* Cut all lines of `input`, given in pieces of `piece` octets; returns how many there were. */
static unsigned
cut(struct line_reader *r, struct span input, size_t piece)
{
	unsigned count = 0;
	struct span line;

	while (input.length > 0) {
		size_t length = input.length < piece ? input.length : piece;
		struct span part = span_of(input.at, length);

		input = span_after(input, length);
		while (line_next(r, &part, &line) == LINE_READY)
			count++;
	}
	return count;
}

static double
time_lines(size_t piece)
{
	static char text[LINES * 16];
	struct span input = make_lines(text, sizeof(text));
	struct line_reader reader;
	struct slab blocks;
	struct line_pool pool = { &blocks, NULL };
	uint64_t start;

	slab_init(&blocks, LINE_BLOCK_OCTETS, 1);
	line_reader_init(&reader, &pool);
	start = wall_ns();
	for (unsigned i = 0; i < ROUNDS; i++)
		must(cut(&reader, input, piece) == LINES);
	start = wall_ns() - start;
	line_reader_clear(&reader);
	slab_destroy(&blocks);
	return (double)start / ROUNDS / LINES;
}

/* ---- sessions ------------------------------------------------------------------------------ */

struct stage {
	struct segments_pool pool;
	struct segments reply;
	struct slab names;
	struct slab blocks;
	struct maildrop maildrop;
	struct maildrop_entry entries[MESSAGES];
	uint64_t said; /* octets of replies */
};

static const struct pop3_policy policy = {
	.greeting = "ready",
	.implementation = "ringpost",
	.plaintext_auth = true,
	.failed_logins_max = 3,
};

static const struct login_answer good = { .verdict = LOGIN_GOOD };

static void
stage_init(struct stage *s)
{
	*s = (struct stage){ 0 };
	segments_pool_init(&s->pool, REPLY_BLOCKS);
	segments_init(&s->reply, &s->pool);
	slab_init(&s->names, LINE_BLOCK_OCTETS, 1);
	slab_init(&s->blocks, LINE_BLOCK_OCTETS, 1);
	for (uint32_t i = 0; i < MESSAGES; i++)
		s->entries[i] = (struct maildrop_entry){
			.wire_offset = 64 + i * 20480,
			.wire_octets = 20400,
			.octets = 20380,
			.uid = i + 1,
		};
	s->maildrop = (struct maildrop){
		.address = "user1@example.org",
		.log_fd = -1,
		.count = MESSAGES,
		.octets = MESSAGES * 20380,
		.entries = s->entries,
		.unique_ids = "",
		.uid_validity = 1700000000,
		.next_uid = MESSAGES + 1,
	};
}

static void
stage_clear(struct stage *s)
{
	segments_pool_destroy(&s->pool);
	slab_destroy(&s->names);
	slab_destroy(&s->blocks);
}

static void
throw_reply_away(struct stage *s)
{
	s->said += s->reply.length;
	segments_clear(&s->reply);
}

/* Grant whatever the session asks for until it wants a line; false at its end. */
static bool
go_on(struct stage *s, struct pop3_session *session, enum pop3_next next)
{
	while (next != POP3_NEXT_LINE) {
		switch (next) {
		case POP3_NEXT_DRAIN:
			throw_reply_away(s);
			next = pop3_session_drained(session);
			break;
		case POP3_NEXT_VERIFY:
			next = pop3_session_answered(session, &good);
			break;
		case POP3_NEXT_OPEN:
			next = pop3_session_opened(session, 0, &s->maildrop);
			break;
		case POP3_NEXT_CHECK:
			next = pop3_session_checked(session, 0);
			break;
		case POP3_NEXT_CLOSE:
			throw_reply_away(s);
			return false;
		case POP3_NEXT_LINE:
		case POP3_NEXT_SCAN:
		case POP3_NEXT_COMMIT:
		case POP3_NEXT_XCLIENT:
		case POP3_NEXT_TLS:
		case POP3_NEXT_REFUSE:
			must(!"no such wish in these sessions");
			return false;
		}
	}
	throw_reply_away(s);
	return true;
}

static void
play(struct stage *s, const char *const *commands)
{
	struct pop3_session session;
	const struct line_pool pool = { &s->blocks, NULL };
	struct line_reader reader;
	struct span line;
	bool open;

	line_reader_init(&reader, &pool);
	pop3_session_init(&session, &policy, &s->reply, &s->names);
	open = go_on(s, &session, pop3_session_greet(&session, NULL));
	for (; *commands != NULL; commands++) {
		struct span input = span_of_string(*commands);

		must(open && line_next(&reader, &input, &line) == LINE_READY);
		open = go_on(s, &session, pop3_session_line(&session, line));
	}
	must(!open);
	line_reader_clear(&reader);
	pop3_session_end(&session);
}

static void
time_sessions(struct figures *f, const char *name, const char *const *commands, unsigned count)
{
	struct stage stage;
	uint64_t start, instructions;
	char text[64];

	stage_init(&stage);
	for (unsigned i = 0; i < count / 10; i++)
		play(&stage, commands);
	stage.said = 0;
	instructions = counter_read();
	start = wall_ns();
	for (unsigned i = 0; i < count; i++)
		play(&stage, commands);
	start = wall_ns() - start;
	instructions = counter_read() - instructions;

	snprintf(text, sizeof(text), "%s session", name);
	figures_put(f, text, (double)start / count, "ns");
	if (counter >= 0)
		figures_put(f, text, (double)instructions / count, "instructions");
	snprintf(text, sizeof(text), "%s session replies", name);
	figures_put(f, text, (double)stage.said / count, "octets");
	stage_clear(&stage);
}

int
main(int argc, char **argv)
{
	static const char *const login[] = { "USER user1\r\n", "PASS secret\r\n", "STAT\r\n",
		"QUIT\r\n", NULL };
	static const char *const poll[] = { "USER user1\r\n", "PASS secret\r\n", "STAT\r\n",
		"UIDL\r\n", "LIST\r\n", "QUIT\r\n", NULL };
	struct figures figures;

	figures_begin(&figures, argc, argv);
	counter_open();
	figures_put(&figures, "line cut, whole", time_lines(4096), "ns");
	figures_put(&figures, "line cut, in pieces of 5 octets", time_lines(5), "ns");
	time_sessions(&figures, "login", login, SESSIONS);
	time_sessions(&figures, "poll of 100 messages", poll, SESSIONS / 20);
	if (!figures.json && counter < 0)
		printf("(no counter of instructions on this machine)\n");
	figures_end(&figures);
	return 0;
}
