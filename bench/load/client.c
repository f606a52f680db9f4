/*
 * client.c - one simulated POP3 client.
 *
 * The reply in hand is read in one of three ways: its status line, then (multi-line) line by line,
 * or, for a message whose length on the wire is known, unseen up to the CRLF of its last line,
 * where exactly CRLF . CRLF must follow.
 */
#include "bench/load/client.h"

#include "io/base/must.h"

#include <inttypes.h>

enum {
	UNSEEN_OCTETS_MIN = 4096
};

static const struct span message_end = { "\r\n.\r\n", 5 };

static const char *const fault_names[CLIENT_FAULT_COUNT] = {
	[CLIENT_FAULT_CONNECT] = "no connection",
	[CLIENT_FAULT_CLOSED] = "closed by the server",
	[CLIENT_FAULT_TIMEOUT] = "time-out",
	[CLIENT_FAULT_REFUSED] = "refused (-ERR)",
	[CLIENT_FAULT_MALFORMED] = "malformed reply",
	[CLIENT_FAULT_LINES] = "wrong number of lines",
	[CLIENT_FAULT_OCTETS] = "wrong number of octets",
	[CLIENT_FAULT_EXTRA] = "octets behind a reply",
};

const char *
client_fault_name(enum client_fault fault)
{
	return fault_names[fault];
}

static const struct mix_step *
client_step(const struct client *c)
{
	return &c->mix->steps[c->step];
}

enum mix_verb
client_verb(const struct client *c)
{
	return client_step(c)->verb;
}

static enum client_next
client_wrong(struct client *c, enum client_fault fault)
{
	c->fault = fault;
	c->reading = CLIENT_READS_NOTHING;
	return CLIENT_WRONG;
}

void
client_describe_fault(const struct client *c, enum client_fault fault, char *text_out, size_t size)
{
	bool words = fault == CLIENT_FAULT_REFUSED || fault == CLIENT_FAULT_MALFORMED;
	unsigned heard = words ? c->status_length : 0;

	while (heard > 0 && (c->status[heard - 1] == '\r' || c->status[heard - 1] == '\n'))
		heard--;
	snprintf(text_out, size, "%s: %s%s%.*s", mix_verb_name(client_verb(c)),
		client_fault_name(fault), heard > 0 ? ": " : "", (int)heard, c->status);
	for (char *at = text_out; *at != '\0'; at++) {
		if (*at < ' ' || *at > '~')
			*at = '?';
	}
}

static void
client_expect_reply(struct client *c)
{
	c->reading = CLIENT_READS_STATUS;
	c->status_length = 0;
	c->octets_announced = c->in_body = false;
	c->line_length = 0;
	c->announced = c->octets = c->wire_octets = 0;
	c->lines = c->body_lines = 0;
	c->unseen = 0;
	c->end_seen = 0;
}

void
client_start(struct client *c, const struct mix *mix, const struct client_identity *identity,
	struct client_sizes *sizes, uint32_t user)
{
	uint32_t chance = c->chance * 1664525 + user + 1013904223;

	*c = (struct client){
		.mix = mix,
		.identity = identity,
		.sizes = sizes,
		.user = user,
		.chance = chance,
	};
	client_expect_reply(c);
}

/* ---- the next command ---- */

/* xorshift32 */
static uint32_t
client_draw(struct client *c, uint32_t below)
{
	c->chance = c->chance == 0 ? 1 : c->chance;
	c->chance ^= c->chance << 13;
	c->chance ^= c->chance >> 17;
	c->chance ^= c->chance << 5;
	return c->chance % below;
}

/* To the next message of this step or to the next step, past those that have nothing to do. */
static void
client_advance(struct client *c)
{
	if (client_step(c)->reach == MIX_ALL_MESSAGES && c->message < c->messages) {
		c->message++;
		return;
	}
	do {
		c->step++;
	} while (client_step(c)->reach != MIX_ONCE && c->messages == 0);

	c->message = client_step(c)->reach == MIX_ONE_MESSAGE ? 1 + client_draw(c, c->messages) : 1;
}

static size_t
client_put_user(const struct client *c, char *to, size_t size)
{
	const char *pattern = c->identity->user_pattern, *mark = strchr(pattern, '%');

	if (mark == NULL)
		return (size_t)snprintf(to, size, "USER %s\r\n", pattern);
	return (size_t)snprintf(to, size, "USER %.*s%" PRIu32 "%s\r\n", (int)(mark - pattern),
		pattern, c->user, mark + 1);
}

size_t
client_command(struct client *c, char *command_out, size_t size)
{
	const struct mix_step *step = client_step(c);
	const char *name = mix_verb_name(step->verb);
	size_t length;

	client_expect_reply(c);
	if (step->verb == MIX_USER)
		length = client_put_user(c, command_out, size);
	else if (step->verb == MIX_PASS)
		length = (size_t)snprintf(command_out, size, "PASS %s\r\n", c->identity->password);
	else if (step->verb == MIX_TOP)
		length = (size_t)snprintf(
			command_out, size, "TOP %" PRIu32 " %u\r\n", c->message, step->lines);
	else if (step->reach != MIX_ONCE)
		length =
			(size_t)snprintf(command_out, size, "%s %" PRIu32 "\r\n", name, c->message);
	else
		length = (size_t)snprintf(command_out, size, "%s\r\n", name);
	return length < size ? length : size - 1;
}

void
client_release(struct client *c)
{
	must(client_verb(c) == MIX_HOLD);
	client_advance(c);
}

/* ---- replies ---- */

/* The reply is complete and right. */
static enum client_next
client_finish_reply(struct client *c)
{
	enum mix_verb verb = client_verb(c);

	c->reading = CLIENT_READS_NOTHING;
	if (verb == MIX_QUIT)
		return CLIENT_BYE;
	if (verb == MIX_DELE)
		c->deleted++;
	if (verb == MIX_RSET)
		c->deleted = 0;
	if (verb == MIX_RETR)
		c->messages_retrieved++;
	client_advance(c);
	return client_verb(c) == MIX_HOLD ? CLIENT_HOLD : CLIENT_COMMAND;
}

static struct client_size *
client_size_place(const struct client *c)
{
	uint32_t hash = (c->user * 2654435761u) ^ (c->message * 2246822519u);

	return &c->sizes->at[(hash ^ hash >> 16) % CLIENT_SIZES];
}

/* The number at the beginning of `text`, if there is one. */
static bool
leading_number(struct span text, uint64_t max, uint64_t *number_out)
{
	size_t digits = 0;

	while (digits < text.length && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	return span_to_u64(span_of(text.at, digits), max, number_out);
}

/* "+OK 5120 octets": some servers announce nothing here, then nothing is compared. */
static void
client_take_announcement(struct client *c, struct span text)
{
	const struct client_size *known = client_size_place(c);

	c->octets_announced = leading_number(text, UINT64_MAX, &c->announced);
	if (c->mix->deletes || !c->octets_announced || c->announced < UNSEEN_OCTETS_MIN)
		return;
	if (known->user == c->user && known->number == c->message &&
		known->octets == c->announced) {
		c->reading = CLIENT_READS_UNSEEN;
		c->unseen = known->wire_octets - 2;
	}
}

/* A whole status line stands in c->status (or as much of it as has room). */
static enum client_next
client_take_status(struct client *c)
{
	struct span line = span_of(c->status, c->status_length);
	struct span text = span_after(line, 4);
	enum mix_verb verb = client_verb(c);
	uint64_t messages;

	if (line.length >= 4 && memcmp(line.at, "-ERR", 4) == 0)
		return client_wrong(c, CLIENT_FAULT_REFUSED);
	if (line.length < 5 || memcmp(line.at, "+OK", 3) != 0 ||
		(line.at[3] != ' ' && line.at[3] != '\r'))
		return client_wrong(c, CLIENT_FAULT_MALFORMED);

	if (verb == MIX_STAT) {
		if (!leading_number(text, UINT32_MAX, &messages))
			return client_wrong(c, CLIENT_FAULT_MALFORMED);
		c->messages = (uint32_t)messages;
	}
	if (verb == MIX_RETR || verb == MIX_TOP || verb == MIX_LIST || verb == MIX_UIDL ||
		verb == MIX_CAPA)
		c->reading = CLIENT_READS_LINES;
	if (verb == MIX_RETR)
		client_take_announcement(c, text);
	return c->reading == CLIENT_READS_STATUS ? client_finish_reply(c) : CLIENT_MORE;
}

/* Take what belongs to the status line off `input`. */
static enum client_next
client_read_status(struct client *c, struct span *input)
{
	const char *end = memchr(input->at, '\n', input->length);
	size_t length = end == NULL ? input->length : (size_t)(end - input->at) + 1;
	size_t room = sizeof(c->status) - c->status_length;
	bool before_is_cr = length >= 2 ? input->at[length - 2] == '\r' : c->line_last == '\r';

	memcpy(c->status + c->status_length, input->at, length < room ? length : room);
	c->status_length += (unsigned)(length < room ? length : room);
	c->line_last = input->at[length - 1];
	*input = span_after(*input, length);

	if (end == NULL)
		return CLIENT_MORE;
	if (!before_is_cr)
		return client_wrong(c, CLIENT_FAULT_MALFORMED);
	return client_take_status(c);
}

/* The end line was read: does the sum agree? */
static enum client_next
client_finish_lines(struct client *c)
{
	enum mix_verb verb = client_verb(c);

	if ((verb == MIX_LIST || verb == MIX_UIDL) && c->lines != c->messages - c->deleted)
		return client_wrong(c, CLIENT_FAULT_LINES);
	if (verb == MIX_TOP && c->body_lines > client_step(c)->lines)
		return client_wrong(c, CLIENT_FAULT_LINES);
	if (verb == MIX_RETR && c->octets_announced) {
		if (c->octets != c->announced)
			return client_wrong(c, CLIENT_FAULT_OCTETS);
		*client_size_place(c) =
			(struct client_size){ c->user, c->message, c->announced, c->wire_octets };
	}
	return client_finish_reply(c);
}

/* A whole line was seen; its octets are counted as before byte-stuffing. */
static enum client_next
client_take_line(struct client *c, bool before_is_cr)
{
	uint64_t length = c->line_length;

	c->line_length = 0;
	if (!before_is_cr)
		return client_wrong(c, CLIENT_FAULT_MALFORMED);
	if (length == 3 && c->line_first == '.')
		return client_finish_lines(c);

	c->lines++;
	c->wire_octets += length;
	c->octets += c->line_first == '.' ? length - 1 : length;
	if (c->in_body)
		c->body_lines++;
	else if (length == 2)
		c->in_body = true;
	return CLIENT_MORE;
}

static enum client_next
client_read_line(struct client *c, struct span *input)
{
	const char *end = memchr(input->at, '\n', input->length);
	size_t length = end == NULL ? input->length : (size_t)(end - input->at) + 1;
	bool before_is_cr = length >= 2 ? input->at[length - 2] == '\r' : c->line_last == '\r';

	if (c->line_length == 0)
		c->line_first = input->at[0];
	c->line_length += length;
	c->line_last = input->at[length - 1];
	*input = span_after(*input, length);
	return end == NULL ? CLIENT_MORE : client_take_line(c, before_is_cr && c->line_length >= 2);
}

static enum client_next
client_read_unseen(struct client *c, struct span *input)
{
	size_t skip = input->length < c->unseen ? input->length : c->unseen;

	client_discarded(c, skip);
	*input = span_after(*input, skip);
	while (input->length > 0 && c->end_seen < message_end.length) {
		if (input->at[0] != message_end.at[c->end_seen])
			return client_wrong(c, CLIENT_FAULT_OCTETS);
		c->end_seen++;
		*input = span_after(*input, 1);
	}
	if (c->end_seen < message_end.length)
		return CLIENT_MORE;
	c->octets = c->announced;
	return client_finish_reply(c);
}

enum client_next
client_feed(struct client *c, struct span input)
{
	enum client_next next = CLIENT_MORE;

	while (next == CLIENT_MORE && input.length > 0) {
		switch (c->reading) {
		case CLIENT_READS_STATUS:
			next = client_read_status(c, &input);
			break;
		case CLIENT_READS_LINES:
			next = client_read_line(c, &input);
			break;
		case CLIENT_READS_UNSEEN:
			next = client_read_unseen(c, &input);
			break;
		case CLIENT_READS_NOTHING:
			next = client_wrong(c, CLIENT_FAULT_EXTRA);
			break;
		}
	}
	if (next != CLIENT_MORE && next != CLIENT_WRONG && input.length > 0)
		next = client_wrong(c, CLIENT_FAULT_EXTRA);
	return next;
}

uint64_t
client_discardable(const struct client *c)
{
	return c->reading == CLIENT_READS_UNSEEN ? c->unseen : 0;
}

void
client_discarded(struct client *c, uint64_t octets)
{
	must(octets <= c->unseen);
	c->unseen -= octets;
}
