/*
 * client.c - one simulated POP3 client: its commands, and its replies as far as the status line.
 *
 * The reply in hand is read in one of three ways: its status line, then (multi-line) line by line
 * (client_lines.c), or, for a message whose length on the wire is known, unseen up to the CRLF of
 * its last line, where exactly CRLF . CRLF must follow. A place in the session is found from the
 * one before it and from what STAT, LIST and UIDL said, so the command that is asked and the reply
 * that is awaited go the same way, one behind the other.
 */
#include "bench/load/client.h"

#include "bench/load/client_lines.h"
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
	[CLIENT_FAULT_LATE] = "no connection was free",
	[CLIENT_FAULT_TLS] = "TLS failed",
	[CLIENT_FAULT_REFUSED] = "refused (-ERR)",
	[CLIENT_FAULT_MALFORMED] = "malformed reply",
	[CLIENT_FAULT_LINES] = "wrong number of lines",
	[CLIENT_FAULT_OCTETS] = "wrong number of octets",
	[CLIENT_FAULT_CONTENT] = "not the message of the source",
	[CLIENT_FAULT_MESSAGES] = "not as many messages as in the source",
	[CLIENT_FAULT_SUM] = "LIST and STAT disagree",
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
	return &c->mix->steps[c->awaited.step];
}

enum mix_verb
client_verb(const struct client *c)
{
	return client_step(c)->verb;
}

enum client_next
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
	c->sum = c->largest_octets = 0;
	c->unseen = 0;
	c->end_seen = 0;
	c->replies_left = client_verb(c) == MIX_MESSAGE ? c->recipients : 1;
}

/* xorshift32 */
static uint32_t
draw(uint32_t chance)
{
	chance = chance == 0 ? 1 : chance;
	chance ^= chance << 13;
	chance ^= chance >> 17;
	chance ^= chance << 5;
	return chance;
}

void
client_start(struct client *c, const struct mix *mix, const struct client_identity *identity,
	struct client_memory *memory, uint32_t user)
{
	uint32_t chance = draw(c->chance * 1664525 + user + 1013904223);

	*c = (struct client){
		.mix = mix,
		.identity = identity,
		.memory = memory,
		.user = user,
		.chance = chance,
		.asked = { 0, 1 },
		.awaited = { 0, 1 },
		.outstanding = 1,
	};
	client_expect_reply(c);
}

/* ---- the next command ---- */

/* What a step goes through: first to last, nothing where last < first. */
struct range {
	uint32_t first, last;
};

static struct range
client_range_of_messages(const struct client *c, const struct mix_step *step)
{
	uint32_t one = c->messages == 0 ? 0 : 1 + c->chance % c->messages;
	uint32_t first = c->messages > step->argument ? c->messages - step->argument + 1 : 1;

	switch (step->reach) {
	case MIX_ONE_MESSAGE:
		return (struct range){ c->messages == 0 ? 1 : one, one };
	case MIX_LARGEST_MESSAGE:
		return (struct range){ c->largest == 0 ? 1 : c->largest, c->largest };
	case MIX_NEW_MESSAGES:
		if (c->first_new != 0 && c->first_new < first)
			first = c->first_new;
		return (struct range){ first, c->messages };
	case MIX_ALL_MESSAGES:
		return (struct range){ 1, c->messages };
	case MIX_RECIPIENTS:
		return (struct range){ 1, step->argument };
	case MIX_ONCE:
		break;
	}
	return (struct range){ 1, 1 };
}

static struct range
client_range(const struct client *c, unsigned number)
{
	const struct mix_step *step = &c->mix->steps[number];

	if (step->percent < 100 && draw(c->chance + number * 2654435761u) % 100 >= step->percent)
		return (struct range){ 1, 0 };
	return client_range_of_messages(c, step);
}

/* To the next message of this step or to the next step, past those that have nothing to do. */
static struct client_place
client_behind(const struct client *c, struct client_place place)
{
	struct range range = client_range(c, place.step);

	if (place.message < range.last)
		return (struct client_place){ place.step, place.message + 1 };
	do {
		range = client_range(c, ++place.step);
	} while (range.last < range.first);
	return (struct client_place){ place.step, range.first };
}

/* Whether what comes behind `verb` depends on its reply. */
static bool
client_must_hear(const struct client *c, enum mix_verb verb)
{
	switch (verb) {
	case MIX_CONNECT:
	case MIX_PASS: /* servers that hand over to another process lose what came with it */
	case MIX_STLS:
	case MIX_STAT:
	case MIX_LHLO:
	case MIX_DATA:
	case MIX_MESSAGE:
	case MIX_HOLD:
	case MIX_QUIT:
		return true;
	case MIX_LIST:
		return c->mix->looks_at_sizes;
	case MIX_UIDL:
		return c->mix->looks_at_unique_ids;
	case MIX_TLS:
	case MIX_CAPA:
	case MIX_USER:
	case MIX_RETR:
	case MIX_TOP:
	case MIX_DELE:
	case MIX_RSET:
	case MIX_NOOP:
	case MIX_MAIL:
	case MIX_RCPT:
		break;
	}
	return false;
}

static size_t
client_put_name(const struct client *c, uint32_t user, char *to, size_t size)
{
	const char *pattern = c->identity->user_pattern, *mark = strchr(pattern, '%');

	if (mark == NULL)
		return (size_t)snprintf(to, size, "%s", pattern);
	return (size_t)snprintf(
		to, size, "%.*s%" PRIu32 "%s", (int)(mark - pattern), pattern, user, mark + 1);
}

static size_t
client_put_recipient(const struct client *c, uint32_t message, char *to, size_t size)
{
	char name[CLIENT_COMMAND_OCTETS];
	uint32_t user = 1 + (c->user - 1 + message - 1) % c->identity->users;

	client_put_name(c, user, name, sizeof(name) - 16);
	return (size_t)snprintf(to, size, "RCPT TO:<%s>\r\n", name);
}

/* The command at c->asked. */
static size_t
client_put_command(const struct client *c, char *to, size_t size)
{
	const struct mix_step *step = &c->mix->steps[c->asked.step];
	const char *name = mix_verb_name(step->verb);
	char user[CLIENT_COMMAND_OCTETS];
	size_t length;

	if (step->verb == MIX_USER) {
		client_put_name(c, c->user, user, sizeof(user) - 16);
		length = (size_t)snprintf(to, size, "USER %s\r\n", user);
	} else if (step->verb == MIX_PASS)
		length = (size_t)snprintf(to, size, "PASS %s\r\n", c->identity->password);
	else if (step->verb == MIX_TOP)
		length = (size_t)snprintf(
			to, size, "TOP %" PRIu32 " %u\r\n", c->asked.message, step->argument);
	else if (step->verb == MIX_LHLO)
		length = (size_t)snprintf(to, size, "LHLO bench.example\r\n");
	else if (step->verb == MIX_MAIL)
		length = (size_t)snprintf(to, size, "MAIL FROM:<bench@bench.example>\r\n");
	else if (step->verb == MIX_RCPT)
		length = client_put_recipient(c, c->asked.message, to, size);
	else if (step->verb == MIX_STLS && c->mix->lmtp)
		length = (size_t)snprintf(to, size, "STARTTLS\r\n");
	else if (step->verb == MIX_MESSAGE)
		length = 0;
	else if (step->reach != MIX_ONCE)
		length = (size_t)snprintf(to, size, "%s %" PRIu32 "\r\n", name, c->asked.message);
	else
		length = (size_t)snprintf(to, size, "%s\r\n", name);
	return length < size ? length : size - 1;
}

static void
client_ask(struct client *c)
{
	c->asked = client_behind(c, c->asked);
	if (c->outstanding++ == 0) {
		c->awaited = c->asked;
		client_expect_reply(c);
	}
	if (c->mix->steps[c->asked.step].verb == MIX_MAIL)
		c->recipients = 0;
}

size_t
client_commands(
	struct client *c, char *commands_out, size_t size, unsigned depth, unsigned *count_out)
{
	size_t length = 0;

	*count_out = 0;
	if (c->outstanding > depth / 2)
		return 0; /* gather, so that a send is worth its cost */
	while (c->outstanding < depth && size - length >= CLIENT_COMMAND_OCTETS) {
		enum mix_verb last = c->mix->steps[c->asked.step].verb;

		if (c->outstanding > 0 && client_must_hear(c, last))
			break;
		if (last == MIX_QUIT)
			break;
		if (c->outstanding > 0 &&
			c->mix->steps[client_behind(c, c->asked).step].verb == MIX_HOLD)
			break;
		client_ask(c);
		length += client_put_command(c, commands_out + length, CLIENT_COMMAND_OCTETS);
		++*count_out;
	}
	return length;
}

struct span
client_message(const struct client *c)
{
	const struct source *source = c->memory->source;

	if (client_verb(c) != MIX_MESSAGE)
		return span_of(NULL, 0);
	return source_wire(
		source, draw(c->chance + c->awaited.step * 40503u) % source->message_count);
}

/* ---- replies ---- */

/* A reply is complete and right: what it means for the session. */
static void
client_note_reply(struct client *c, enum mix_verb verb)
{
	if (verb == MIX_DELE)
		c->deleted++;
	else if (verb == MIX_RSET)
		c->deleted = 0;
	else if (verb == MIX_RETR)
		c->messages_retrieved++;
	else if (verb == MIX_RCPT)
		c->recipients++;
	else if (verb == MIX_MESSAGE)
		c->messages_delivered += c->recipients;
}

enum client_next
client_finish_reply(struct client *c)
{
	enum mix_verb verb = client_verb(c);
	struct client_place behind;

	client_note_reply(c, verb);
	c->outstanding--;
	c->reading = CLIENT_READS_NOTHING;
	if (verb == MIX_QUIT)
		return CLIENT_BYE;
	if (verb == MIX_STLS)
		return CLIENT_SECURE;
	behind = client_behind(c, c->awaited);
	if (c->outstanding > 0) {
		c->awaited = behind;
		client_expect_reply(c);
	} else if (c->mix->steps[behind.step].verb == MIX_HOLD) {
		c->asked = c->awaited = behind;
		return CLIENT_HOLD;
	}
	return CLIENT_COMMAND;
}

static struct client_size *
client_size_place(const struct client *c)
{
	uint32_t hash = (c->user * 2654435761u) ^ (c->awaited.message * 2246822519u);

	return &c->memory->sizes[(hash ^ hash >> 16) % CLIENT_SIZES];
}

void
client_remember_size(struct client *c)
{
	*client_size_place(c) =
		(struct client_size){ c->user, c->awaited.message, c->announced, c->wire_octets };
}

/* "+OK 5120 octets": some servers announce nothing here, then nothing is compared with it. */
static enum client_next
client_take_announcement(struct client *c, struct span text)
{
	const struct client_size *known = client_size_place(c);

	c->octets_announced = leading_number(text, UINT64_MAX, &c->announced);
	if (c->memory->known != NULL || c->mix->deletes || !c->octets_announced ||
		c->announced < UNSEEN_OCTETS_MIN)
		return CLIENT_MORE;
	if (known->user == c->user && known->number == c->awaited.message &&
		known->octets == c->announced) {
		c->reading = CLIENT_READS_UNSEEN;
		c->unseen = known->wire_octets - 2;
	}
	return CLIENT_MORE;
}

/* "+OK 2 320" */
static enum client_next
client_take_stat(struct client *c, struct span text)
{
	const struct compare_memory *known = c->memory->known;
	uint64_t messages;
	const char *blank = memchr(text.at, ' ', text.length);

	if (!leading_number(text, UINT32_MAX, &messages) || blank == NULL ||
		!leading_number(span_after(text, (size_t)(blank - text.at) + 1), UINT64_MAX,
			&c->octets_by_stat))
		return client_wrong(c, CLIENT_FAULT_MALFORMED);
	c->messages = (uint32_t)messages;
	if (known != NULL && known->numbers_stay &&
		messages != source_drop_of(known->source, c->user).count)
		return client_wrong(c, CLIENT_FAULT_MESSAGES);
	return client_finish_reply(c);
}

/* RETR or TOP: what follows is held against the source. */
static enum client_next
client_begin_message(struct client *c, struct span text)
{
	bool whole = client_verb(c) == MIX_RETR;

	c->reading = CLIENT_READS_LINES;
	if (whole)
		client_take_announcement(c, text);
	if (c->memory->known != NULL &&
		!compare_begin(&c->compare, c->memory->known, c->user, c->awaited.message, whole))
		return client_wrong(c, CLIENT_FAULT_CONTENT);
	return CLIENT_MORE;
}

static enum client_next
client_take_pop3_status(struct client *c)
{
	struct span line = span_of(c->status, c->status_length);
	struct span text = span_after(line, 4);
	enum mix_verb verb = client_verb(c);

	if (line.length >= 4 && memcmp(line.at, "-ERR", 4) == 0)
		return client_wrong(c, CLIENT_FAULT_REFUSED);
	if (line.length < 5 || memcmp(line.at, "+OK", 3) != 0 ||
		(line.at[3] != ' ' && line.at[3] != '\r'))
		return client_wrong(c, CLIENT_FAULT_MALFORMED);

	if (verb == MIX_STAT)
		return client_take_stat(c, text);
	if (verb == MIX_RETR || verb == MIX_TOP)
		return client_begin_message(c, text);
	if (verb != MIX_LIST && verb != MIX_UIDL && verb != MIX_CAPA)
		return client_finish_reply(c);
	c->reading = CLIENT_READS_LINES;
	return CLIENT_MORE;
}

/* "250-more", "250 the last one"; each recipient of a message has one of his own. */
static enum client_next
client_take_lmtp_status(struct client *c)
{
	char wanted = client_verb(c) == MIX_DATA ? '3' : '2';
	const char *line = c->status;

	for (unsigned i = 0; i < 3; i++) {
		if (c->status_length < 5 || line[i] < '0' || line[i] > '9')
			return client_wrong(c, CLIENT_FAULT_MALFORMED);
	}
	if (line[3] != ' ' && line[3] != '-' && line[3] != '\r')
		return client_wrong(c, CLIENT_FAULT_MALFORMED);
	if (line[0] != wanted)
		return client_wrong(c, CLIENT_FAULT_REFUSED);
	if (line[3] != '-')
		c->replies_left--;
	c->status_length = 0;
	return c->replies_left > 0 ? CLIENT_MORE : client_finish_reply(c);
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
	return c->mix->lmtp ? client_take_lmtp_status(c) : client_take_pop3_status(c);
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
client_feed(struct client *c, struct span *input)
{
	enum client_next next = CLIENT_MORE;

	while (next == CLIENT_MORE && input->length > 0) {
		switch (c->reading) {
		case CLIENT_READS_STATUS:
			next = client_read_status(c, input);
			break;
		case CLIENT_READS_LINES:
			next = client_read_line(c, input);
			break;
		case CLIENT_READS_UNSEEN:
			next = client_read_unseen(c, input);
			break;
		case CLIENT_READS_NOTHING:
			next = client_wrong(c, CLIENT_FAULT_EXTRA);
			break;
		}
	}
	if (next != CLIENT_MORE && next != CLIENT_WRONG && input->length > 0 && c->outstanding == 0)
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
