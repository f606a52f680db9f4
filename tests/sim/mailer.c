/*
 * mailer.c - see mailer.h.
 *
 * A transaction is said at once, as far as PIPELINING lets it: up to DATA, or whole with BDAT.  A
 * reply may be a temporary failure, or the dialogue be cut off, only if since the mailer came
 * something has gone wrong that cannot be hidden.  What 250 was said for the model holds the server
 * to; of all else it may be there or not.
 */
#include "tests/sim/mailer.h"

#include "tests/sim/model.h"
#include "tests/sim/talk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define WORK_GOES_ON (200u * (uint64_t)SIM_S)
#define SENDER       "sender@example.net"

struct letter {
	unsigned account;
	bool is_refused;
	char prefix[128];
	struct model_batch *batch;
};

struct mailer {
	struct talk talk;
	uint64_t excuses;
	unsigned accounts;
	struct letter letters[SIM_ACCOUNTS];
	unsigned count;
	char *text;
	bool is_vain; /* what is sent must be refused: a line feed alone */
};

struct mailer_counts mailer_counts;

static bool
is_excused(const struct mailer *m)
{
	return sim.stops || sim.excuses != m->excuses;
}

/* ---- the dialogue -------------------------------------------------------------------------- */

/* The octets of the reply at the front of what was heard; 0: it is not all there. */
static size_t
reply_length(struct span heard)
{
	size_t length = 0;

	for (;;) {
		const char *line = heard.at + length;
		const char *end = memchr(line, '\n', heard.length - length);

		if (end == NULL)
			return 0;
		length = (size_t)(end + 1 - heard.at);
		if (end - line < 4 || line[3] != '-')
			return length;
	}
}

/* The code of the next reply; 0: the dialogue is over. */
static unsigned
hear_code(struct mailer *m)
{
	for (;;) {
		struct span heard = talk_heard(&m->talk);
		size_t length = reply_length(heard);
		uint64_t code;

		if (length > 0) {
			if (length < 5 || !span_to_u64(span_of(heard.at, 3), 999, &code))
				sim_violation("not an LMTP reply: %.*s", (int)length, heard.at);
			sim_note("lmtp reply", code, length);
			talk_understood(&m->talk, length);
			return (unsigned)code;
		}
		if (talk_hear(&m->talk))
			continue;
		if (!is_excused(m))
			sim_violation("a mailer was cut off");
		return 0;
	}
}

/* True: it is `wanted`; false: it is a failure that has its cause, and this ends here. */
static bool
hear(struct mailer *m, unsigned wanted, const char *what)
{
	unsigned code = hear_code(m);

	if (code == wanted)
		return true;
	if (code != 0 && (code / 100 != 4 || !is_excused(m)))
		sim_violation("%s was answered with %u", what, code);
	return false;
}

static void
say(struct mailer *m, const char *line)
{
	talk_say(&m->talk, span_of_string(line));
	talk_say(&m->talk, SPAN("\r\n"));
}

/* ---- one transaction ----------------------------------------------------------------------- */

static void
choose_letters(struct mailer *m)
{
	unsigned wanted = 1 + (sim_chance(3) ? sim_below(m->accounts) : 0);
	unsigned account = sim_below(m->accounts);

	m->count = 0;
	m->is_vain = sim_chance(12);
	for (; m->count < wanted; m->count++) {
		struct letter *l = &m->letters[m->count];

		*l = (struct letter){ .account = (account + m->count) % m->accounts };
		snprintf(l->prefix, sizeof(l->prefix),
			"Return-Path: <" SENDER ">\r\nDelivered-To: u%u@example.org\r\n",
			l->account);
	}
}

static void
write_text(struct mailer *m)
{
	struct model_recipient recipients[SIM_ACCOUNTS];

	for (unsigned i = 0; i < m->count; i++)
		recipients[i] =
			(struct model_recipient){ m->letters[i].account, m->letters[i].prefix };
	sim_free(m->text);
	m->text = model_text(recipients, m->count);
	for (unsigned i = 0; i < m->count; i++) {
		m->letters[i].batch = model_batch(m->letters[i].account, true);
		(void)model_message(m->letters[i].batch, &recipients[i], m->text);
	}
}

static void
say_envelope(struct mailer *m)
{
	char line[128];

	say(m, "MAIL FROM:<" SENDER ">");
	for (unsigned i = 0; i < m->count; i++) {
		snprintf(line, sizeof(line), "RCPT TO:<u%u@example.org>", m->letters[i].account);
		say(m, line);
	}
	if (sim_chance(4)) /* one more, who is not here */
		say(m, "RCPT TO:<nobody@example.org>");
	else
		say(m, "NOOP");
}

/* False: there is nobody to send it to. */
static bool
hear_envelope(struct mailer *m)
{
	unsigned accepted = 0;
	unsigned last;

	if (!hear(m, 250, "MAIL")) {
		return false;
	}
	for (unsigned i = 0; i < m->count; i++) {
		m->letters[i].is_refused = !hear(m, 250, "RCPT");
		accepted += !m->letters[i].is_refused;
	}
	last = hear_code(m);
	if (last != 550 && last != 250 && !is_excused(m))
		sim_violation("an unknown recipient was answered with %u", last);
	return accepted > 0 && !m->talk.is_over;
}

/* From here on it may be there. */
static void
post(struct mailer *m)
{
	for (unsigned i = 0; i < m->count && !m->is_vain; i++)
		if (!m->letters[i].is_refused)
			model_batch_starts(m->letters[i].batch);
}

/* As DATA: stuffed, with its end; a line feed alone somewhere if it is in vain. */
static void
say_stuffed(struct mailer *m)
{
	const char *at = m->text;

	if (m->is_vain)
		talk_say(&m->talk, SPAN("X: a line feed\nalone\r\n"));
	while (*at != '\0') {
		const char *end = strstr(at, "\r\n") + 2;

		if (*at == '.')
			talk_say(&m->talk, SPAN("."));
		talk_say(&m->talk, span_of(at, (size_t)(end - at)));
		at = end;
	}
	talk_say(&m->talk, SPAN(".\r\n"));
}

/* As chunks of any size; returns how many there are before the last. */
static unsigned
say_chunks(struct mailer *m)
{
	struct span rest = span_of_string(m->text);
	unsigned count = 0;
	char line[64];

	if (m->is_vain)
		talk_say(&m->talk, SPAN("BDAT 4\r\nX:\n\n")), count++;
	while (rest.length > 0 && count < 20 && sim_chance(2)) {
		size_t length = sim_below((uint32_t)rest.length);

		snprintf(line, sizeof(line), "BDAT %zu", length);
		say(m, line);
		talk_say(&m->talk, span_of(rest.at, length));
		rest = span_after(rest, length);
		count++;
	}
	snprintf(line, sizeof(line), "BDAT %zu LAST", rest.length);
	say(m, line);
	talk_say(&m->talk, rest);
	return count;
}

/* Each recipient's own reply. */
static void
hear_fates(struct mailer *m)
{
	for (unsigned i = 0; i < m->count; i++) {
		struct letter *l = &m->letters[i];
		unsigned code;

		if (l->is_refused)
			continue;
		code = hear_code(m);
		if (m->is_vain && code / 100 == 2)
			sim_violation("a message with a line feed alone was taken");
		if (code == 250) {
			mailer_counts.delivered++;
			model_batch_is_acknowledged(l->batch);
			continue;
		}
		mailer_counts.failed++;
		model_batch_fails(l->batch, code == 0 ? WORK_GOES_ON : 0);
		if (!m->is_vain && !is_excused(m))
			sim_violation("mail for u%u was answered with %u", l->account, code);
	}
}

/* Nobody hears what comes of it. */
static void
lose_interest(struct mailer *m)
{
	for (unsigned i = 0; i < m->count; i++)
		model_batch_fails(m->letters[i].batch, WORK_GOES_ON);
}

static bool
send_data(struct mailer *m)
{
	say_envelope(m);
	say(m, "DATA");
	if (!hear_envelope(m)) {
		if (!m->talk.is_over) /* nobody, or nobody's mail: it must not be taken */
			(void)hear_code(m);
		return false;
	}
	if (!hear(m, 354, "DATA"))
		return false;
	post(m);
	say_stuffed(m);
	return true;
}

static bool
send_chunks(struct mailer *m)
{
	unsigned chunks;

	say_envelope(m);
	if (!hear_envelope(m))
		return false;
	post(m);
	chunks = say_chunks(m);
	for (unsigned i = 0; i < chunks; i++) {
		unsigned code = hear_code(m);

		if (code != 250 && !m->is_vain && !is_excused(m))
			sim_violation("a chunk was answered with %u", code);
	}
	return true;
}

/* False: leave. */
static bool
send_one(struct mailer *m)
{
	choose_letters(m);
	write_text(m);
	if (!(sim_chance(2) ? send_data(m) : send_chunks(m))) {
		lose_interest(m);
		return false;
	}
	if (sim_chance(25)) { /* gone, with all said and nothing heard */
		(void)net_write(m->talk.conn, span_of(m->talk.out, m->talk.out_length));
		lose_interest(m);
		return false;
	}
	hear_fates(m);
	return !m->talk.is_over;
}

void
mailer_visit(unsigned accounts, unsigned address)
{
	struct mailer m = { .accounts = accounts };
	unsigned messages = sim_below(5);
	bool goes_on;

	mailer_counts.sessions++;
	talk_open(&m.talk, MAILER_PORT, address, &m.excuses);
	goes_on = hear(&m, 220, "nothing");
	if (goes_on) {
		say(&m, "LHLO client.example.net");
		goes_on = hear(&m, 250, "LHLO");
	}
	for (unsigned i = 0; i < messages && goes_on; i++)
		goes_on = send_one(&m);
	if (goes_on) {
		say(&m, "QUIT");
		(void)hear(&m, 221, "QUIT");
	}
	if (sim_chance(8))
		talk_reset(&m.talk);
	else
		talk_close(&m.talk);
	sim_free(m.text);
}
