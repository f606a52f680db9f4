/*
 * client_lines.c - the lines of a multi-line reply: counted, added up, compared.
 *
 * Lines of listings are kept only where somebody looks at them: a generator that reads each number
 * of each LIST is slower than the servers it measures.
 */
#include "bench/load/client_lines.h"

bool
leading_number(struct span text, uint64_t max, uint64_t *number_out)
{
	size_t digits = 0;

	while (digits < text.length && text.at[digits] >= '0' && text.at[digits] <= '9')
		digits++;
	return span_to_u64(span_of(text.at, digits), max, number_out);
}

/* FNV-1a */
static uint64_t
hash_of(struct span octets)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < octets.length; i++)
		hash = (hash ^ (unsigned char)octets.at[i]) * 0x100000001b3;
	return hash == 0 ? 1 : hash;
}

static bool
client_keeps_lines(const struct client *c)
{
	enum mix_verb verb = client_verb(c);

	return (verb == MIX_LIST && (c->memory->known != NULL || c->mix->looks_at_sizes)) ||
		(verb == MIX_UIDL && (c->memory->known != NULL || c->mix->looks_at_unique_ids));
}

/* "7 5120" of LIST */
static bool
client_take_size(struct client *c, uint64_t number, struct span value)
{
	uint64_t octets;

	if (!span_to_u64(value, UINT64_MAX, &octets))
		return false;
	c->sum += octets;
	if (octets >= c->largest_octets) {
		c->largest_octets = octets;
		c->largest = (uint32_t)number;
	}
	return true;
}

/* "7 0000000767e8f1a2" of UIDL: 1 to 70 octets of 0x21 to 0x7e (RFC 1939, section 7) */
static bool
client_take_unique_id(struct client *c, uint64_t number, struct span value)
{
	uint64_t hash = hash_of(value);

	if (value.length < 1 || value.length > 70)
		return false;
	for (size_t i = 0; i < value.length; i++) {
		if (value.at[i] < 0x21 || value.at[i] > 0x7e)
			return false;
	}
	if (c->memory->last_unique_ids != NULL && c->memory->last_unique_ids[c->user - 1] == hash)
		c->first_new = (uint32_t)number + 1;
	c->last_unique_id = hash;
	return true;
}

/* A whole line of a listing stands in c->line. */
static bool
client_take_listing_line(struct client *c)
{
	struct span line = span_of(c->line, c->line_kept >= 2 ? c->line_kept - 2 : 0);
	const char *blank = memchr(line.at, ' ', line.length);
	struct span value;
	uint64_t number;

	if (blank == NULL || c->line_length > c->line_kept ||
		!span_to_u64(span_of(line.at, (size_t)(blank - line.at)), UINT32_MAX, &number))
		return false;
	if (number < 1 || number > c->messages || (c->deleted == 0 && number != c->lines + 1))
		return false;
	value = span_after(line, (size_t)(blank - line.at) + 1);
	return client_verb(c) == MIX_LIST ? client_take_size(c, number, value)
					  : client_take_unique_id(c, number, value);
}

static enum client_next
client_finish_listing(struct client *c)
{
	bool list = client_verb(c) == MIX_LIST;

	if (c->lines != c->messages - c->deleted)
		return client_wrong(c, CLIENT_FAULT_LINES);
	if (list && c->memory->known != NULL && c->deleted == 0 && c->sum != c->octets_by_stat)
		return client_wrong(c, CLIENT_FAULT_SUM);
	if (!list && c->memory->last_unique_ids != NULL && c->lines > 0)
		c->memory->last_unique_ids[c->user - 1] = c->last_unique_id;
	return client_finish_reply(c);
}

static enum client_next
client_finish_message(struct client *c)
{
	bool retr = client_verb(c) == MIX_RETR;
	unsigned asked = c->mix->steps[c->awaited.step].argument;

	if (!retr && c->body_lines > asked)
		return client_wrong(c, CLIENT_FAULT_LINES);
	if (retr && c->octets_announced && c->octets != c->announced && !c->memory->lenient)
		return client_wrong(c, CLIENT_FAULT_OCTETS);
	if (c->memory->known != NULL &&
		!compare_end(&c->compare, !retr && c->in_body && c->body_lines == asked))
		return client_wrong(c, CLIENT_FAULT_CONTENT);
	if (retr && c->octets_announced)
		client_remember_size(c);
	return client_finish_reply(c);
}

/* The end line was read: does the sum agree? */
static enum client_next
client_finish_lines(struct client *c)
{
	enum mix_verb verb = client_verb(c);

	if (verb == MIX_LIST || verb == MIX_UIDL)
		return client_finish_listing(c);
	if (verb == MIX_RETR || verb == MIX_TOP)
		return client_finish_message(c);
	return client_finish_reply(c);
}

/* A whole line was seen; its octets are counted as before byte-stuffing. */
static enum client_next
client_take_line(struct client *c, bool before_is_cr)
{
	uint64_t length = c->line_length;

	if (!before_is_cr)
		return client_wrong(c, CLIENT_FAULT_MALFORMED);
	if (length == 3 && c->line_first == '.')
		return client_finish_lines(c);
	if (client_keeps_lines(c) && !client_take_listing_line(c))
		return client_wrong(c, CLIENT_FAULT_MALFORMED);

	c->line_length = 0;
	c->lines++;
	c->wire_octets += length;
	c->octets += c->line_first == '.' ? length - 1 : length;
	if (c->in_body)
		c->body_lines++;
	else if (length == 2)
		c->in_body = true;
	return CLIENT_MORE;
}

static void
client_keep(struct client *c, struct span piece)
{
	size_t room;

	if (c->line_length == 0)
		c->line_kept = 0;
	room = sizeof(c->line) - c->line_kept;
	memcpy(c->line + c->line_kept, piece.at, piece.length < room ? piece.length : room);
	c->line_kept += (unsigned)(piece.length < room ? piece.length : room);
}

static bool
client_agrees(struct client *c, struct span piece)
{
	enum mix_verb verb = client_verb(c);

	if (c->memory->known == NULL || (verb != MIX_RETR && verb != MIX_TOP))
		return true;
	return compare_octets(&c->compare, piece);
}

enum client_next
client_read_line(struct client *c, struct span *input)
{
	const char *end = memchr(input->at, '\n', input->length);
	size_t length = end == NULL ? input->length : (size_t)(end - input->at) + 1;
	bool before_is_cr = length >= 2 ? input->at[length - 2] == '\r' : c->line_last == '\r';
	struct span piece = span_of(input->at, length);

	if (client_keeps_lines(c))
		client_keep(c, piece);
	if (c->line_length == 0)
		c->line_first = input->at[0];
	c->line_length += length;
	c->line_last = input->at[length - 1];
	*input = span_after(*input, length);
	if (!client_agrees(c, piece))
		return client_wrong(c, CLIENT_FAULT_CONTENT);
	return end == NULL ? CLIENT_MORE : client_take_line(c, before_is_cr && c->line_length >= 2);
}
