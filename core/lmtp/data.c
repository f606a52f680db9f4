/*
 * data.c - see data.h.
 *
 * One state for each thing that can be split between two inputs.  Within an input, take_run() looks
 * as far ahead as it must, so that a message that is as it should be comes out as one run for each
 * receive.
 */
#include "core/lmtp/data.h"

#include <stddef.h>

enum data_state {
	AT_LINE_START, /* behind CRLF, or at the beginning: only here a dot can be the end */
	IN_LINE,
	HOLDS_CR,      /* it came last and is not given out yet */
	HOLDS_DOT,     /* it came last, at a line's start */
	HOLDS_DOT_CR,  /* both */
	OWES_NEWLINE,  /* for a CR or LF that stood alone */
	AT_TEXT_START, /* behind such a one: a dot here is text */
};

typedef char chars __attribute__((vector_size(16)));

/* Where the next CR or LF is; `end`: there is none. */
static const char *
next_newline(const char *at, const char *end)
{
	for (; end - at >= (ptrdiff_t)sizeof(chars); at += sizeof(chars)) {
		chars octets;
		uint64_t found[2];

		memcpy(&octets, at, sizeof(octets));
		octets = (chars)((octets == '\r') | (octets == '\n'));
		memcpy(found, &octets, sizeof(found));
		if ((found[0] | found[1]) != 0)
			break;
	}
	while (at < end && *at != '\r' && *at != '\n')
		at++;
	return at;
}

void
lmtp_data_init(struct lmtp_data *d)
{
	*d = (struct lmtp_data){ .state = AT_LINE_START };
}

static enum lmtp_data_result
give(struct lmtp_data *d, enum data_state state, struct span run, struct span *run_out)
{
	d->state = (uint8_t)state;
	*run_out = run;
	return LMTP_DATA_RUN;
}

/* A CR or LF stood alone: a line end takes its place. */
static enum lmtp_data_result
give_newline(struct lmtp_data *d, struct span *run_out)
{
	d->has_bare = true;
	return give(d, AT_TEXT_START, SPAN("\r\n"), run_out);
}

/* What stands at `at` ends the run: a dot at a line's start that is not followed by text.  How many
 * octets of it are taken in, and in what state. */
static size_t
hold_dot(struct lmtp_data *d, const char *at, const char *end)
{
	bool with_cr = at + 1 < end && at[1] == '\r';

	d->state = with_cr ? HOLDS_DOT_CR : HOLDS_DOT;
	return with_cr ? 2 : 1;
}

/* The same for a CR or LF that is not one of a pair within this input. */
static size_t
hold_newline(struct lmtp_data *d, const char *at, const char *end)
{
	d->state = *at == '\r' && at + 1 == end ? HOLDS_CR : OWES_NEWLINE;
	return 1;
}

static bool
is_text(const char *at, const char *end)
{
	return at < end && *at != '\r' && *at != '\n';
}

/* From the front of *input as far as it goes; an empty run if something else comes first. */
static void
take_run(struct lmtp_data *d, struct span *input, struct span *run_out)
{
	const char *begin = input->at;
	const char *end = begin + input->length;
	const char *at = begin;
	size_t held = 0;

	while (at < end && held == 0) {
		if (d->state == AT_LINE_START && *at == '.' && !is_text(at + 1, end)) {
			held = hold_dot(d, at, end);
			break;
		}
		d->state = IN_LINE;
		at = next_newline(at, end);
		if (at == end)
			break;
		if (*at == '\r' && at + 1 < end && at[1] == '\n') {
			d->state = AT_LINE_START;
			at += 2;
		} else {
			held = hold_newline(d, at, end);
		}
	}
	*run_out = span_of(begin, (size_t)(at - begin));
	*input = span_after(*input, run_out->length + held);
}

/* A state that waits for the next octet has got it. */
static enum lmtp_data_result
resolve(struct lmtp_data *d, struct span *input, struct span *run_out)
{
	char octet = input->at[0];

	switch ((enum data_state)d->state) {
	case HOLDS_CR:
		if (octet != '\n')
			return give_newline(d, run_out);
		*input = span_after(*input, 1);
		return give(d, AT_LINE_START, SPAN("\r\n"), run_out);
	case HOLDS_DOT:
		if (octet != '\n' && octet != '\r')
			return give(d, IN_LINE, SPAN("."), run_out);
		*input = span_after(*input, 1);
		if (octet == '\n')
			return give_newline(d, run_out);
		d->state = HOLDS_DOT_CR;
		return LMTP_DATA_MORE;
	case HOLDS_DOT_CR: /* a dot with nothing behind it is what stuffing has put there */
		if (octet != '\n')
			return give_newline(d, run_out);
		*input = span_after(*input, 1);
		return LMTP_DATA_END;
	case AT_TEXT_START:
		if (octet == '.')
			return give(d, IN_LINE, SPAN("."), run_out);
		d->state = IN_LINE;
		return LMTP_DATA_MORE;
	case AT_LINE_START:
	case IN_LINE:
	case OWES_NEWLINE:
		break;
	}
	return LMTP_DATA_MORE;
}

enum lmtp_data_result
lmtp_data_next(struct lmtp_data *d, struct span *input, struct span *run_out)
{
	enum lmtp_data_result result;

	for (;;) {
		if (d->state == OWES_NEWLINE)
			return give_newline(d, run_out);
		if (input->length == 0)
			return LMTP_DATA_MORE;
		if (d->state == AT_LINE_START || d->state == IN_LINE) {
			take_run(d, input, run_out);
			if (run_out->length > 0)
				return LMTP_DATA_RUN;
			continue;
		}
		result = resolve(d, input, run_out);
		if (result != LMTP_DATA_MORE)
			return result;
	}
}

void
lmtp_data_check_chunk(struct lmtp_data *d, struct span octets)
{
	const char *at = octets.at;
	const char *end = octets.at + octets.length;

	if (octets.length == 0)
		return;
	if (d->state == HOLDS_CR) {
		d->has_bare |= *at != '\n';
		at += *at == '\n';
	}
	d->state = IN_LINE;
	while ((at = next_newline(at, end)) < end && !d->has_bare) {
		if (*at == '\r' && at + 1 == end)
			d->state = HOLDS_CR;
		else
			d->has_bare = at[0] != '\r' || at[1] != '\n';
		at += d->state == HOLDS_CR ? 1 : 2;
	}
}

void
lmtp_data_end_chunks(struct lmtp_data *d)
{
	d->has_bare |= d->state == HOLDS_CR;
}
