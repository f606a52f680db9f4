/*
 * mbox.c - where the messages of an mbox begin and end, and what they are known by.
 *
 * One pass over the file.  A line is looked at when it is whole; one that is longer than any From_
 * line may be is text from then on and is not kept.
 * Invariants
 *   1. A blank line is held back (blank_octets) until the next line says whether it separates two
 *      messages or belongs to the text.
 *   2. The digest does not change when a mail program notes in the header what was read (Status and
 *      its like), nor when messages before or behind this one come or go.
 */
#include "storage/convert/mbox.h"

#include "io/base/crc32c.h"
#include "storage/uid.h"

#include <errno.h>

/* Fields that mail programs add, change and remove in place. */
static const struct span volatile_fields[] = {
	{ "Status:", 7 },
	{ "X-Status:", 9 },
	{ "X-Keywords:", 11 },
	{ "X-UID:", 6 },
	{ "X-UIDL:", 7 },
	{ "X-IMAP:", 7 },
	{ "X-IMAPbase:", 11 },
	{ "Content-Length:", 15 },
};

void
mbox_scanner_init(struct mbox_scanner *s,
	int (*found)(void *ctx, const struct mbox_message *message), void *ctx)
{
	memset(s, 0, sizeof(*s));
	s->found = found;
	s->ctx = ctx;
}

static bool
begins_with(struct span line, struct span word)
{
	return line.length >= word.length &&
		span_equals_nocase(span_of(line.at, word.length), word);
}

static struct span
without_line_end(struct span line)
{
	if (line.length > 0 && line.at[line.length - 1] == '\n')
		line.length--;
	if (line.length > 0 && line.at[line.length - 1] == '\r')
		line.length--;
	return line;
}

static struct span
without_blanks(struct span s)
{
	while (s.length > 0 && (*s.at == ' ' || *s.at == '\t'))
		s = span_after(s, 1);
	while (s.length > 0 && (s.at[s.length - 1] == ' ' || s.at[s.length - 1] == '\t'))
		s.length--;
	return s;
}

static void
sha_update(struct mbox_scanner *s, struct span octets)
{
	wc_Sha256Update(&s->sha, (const byte *)octets.at, (word32)octets.length);
}

static void
body_text(struct mbox_scanner *s, struct span text)
{
	s->body_octets += text.length;
	s->body_crc = crc32c(s->body_crc, text.at, text.length);
}

static void
message_begin(struct mbox_scanner *s, struct span from_line)
{
	s->message = (struct mbox_message){ .offset = s->offset + from_line.length };
	from_line = without_line_end(from_line);
	(void)mbox_parse_from_line(from_line, &s->message.arrived_at);
	s->in_message = true;
	s->in_header = true;
	s->at_first_line = true;
	s->field_is_volatile = false;
	s->body_octets = 0;
	s->body_crc = 0;
	wc_InitSha256(&s->sha);
	sha_update(s, from_line);
}

static int
message_end(struct mbox_scanner *s)
{
	uint8_t hash[WC_SHA256_DIGEST_SIZE];

	if (!s->in_message)
		return 0;
	s->message.length = s->offset - s->blank_octets - s->message.offset;
	sha_update(s, span_of(&s->body_octets, sizeof(s->body_octets)));
	sha_update(s, span_of(&s->body_crc, sizeof(s->body_crc)));
	wc_Sha256Final(&s->sha, hash);
	wc_Sha256Free(&s->sha);
	memcpy(s->message.digest, hash, sizeof(s->message.digest));
	s->messages++;
	s->in_message = false;
	s->blank_octets = 0;
	return s->found(s->ctx, &s->message);
}

/* X-UIDL gives the unique-id; as the first line it is the mailbox's own, and no text. */
static void
header_unique_id(struct mbox_scanner *s, struct span line)
{
	struct span id = without_blanks(span_after(without_line_end(line), strlen("X-UIDL:")));

	if (s->message.unique_id[0] != '\0' || !uid_is_unique_id(id))
		return;
	memcpy(s->message.unique_id, id.at, id.length);
	if (s->at_first_line)
		s->message.offset += line.length;
}

static void
header_line(struct mbox_scanner *s, struct span line)
{
	if (*line.at != ' ' && *line.at != '\t') {
		s->field_is_volatile = false;
		for (size_t i = 0; i < sizeof(volatile_fields) / sizeof(volatile_fields[0]); i++)
			s->field_is_volatile |= begins_with(line, volatile_fields[i]);
	}
	if (begins_with(line, SPAN("X-UIDL:")))
		header_unique_id(s, line);
	if (s->messages == 0 && begins_with(line, SPAN("Subject:")) &&
		memmem(line.at, line.length, "FOLDER INTERNAL DATA", 20) != NULL)
		s->message.is_internal_data = true;
	if (!s->field_is_volatile)
		sha_update(s, line);
	s->at_first_line = false;
}

/* The beginning of a line of text, or all of it. */
static void
text_line(struct mbox_scanner *s, struct span line)
{
	if (s->blank_octets > 0) {
		s->in_header = false;
		body_text(s, s->blank_octets == 2 ? SPAN("\r\n") : SPAN("\n"));
		s->blank_octets = 0;
	}
	if (s->in_header)
		header_line(s, line);
	else
		body_text(s, line);
}

/* More of a line that is too long to be kept. */
static void
text_more(struct mbox_scanner *s, struct span piece)
{
	if (!s->in_header)
		body_text(s, piece);
	else if (!s->field_is_volatile)
		sha_update(s, piece);
}

static bool
is_from_line(const struct mbox_scanner *s, struct span line)
{
	int64_t arrived_at;

	if (line.length < 5 || memcmp(line.at, "From ", 5) != 0)
		return false;
	if (!s->in_message)
		return true; /* the first of the file, whatever its date looks like */
	return s->blank_octets > 0 && mbox_parse_from_line(without_line_end(line), &arrived_at);
}

static int
whole_line(struct mbox_scanner *s, struct span line)
{
	int result = 0;

	if (is_from_line(s, line)) {
		result = message_end(s);
		message_begin(s, line);
	} else if (without_line_end(line).length == 0) {
		if (s->in_message && s->blank_octets > 0)
			text_line(s, span_of("", 0)); /* lets the blank line before out */
		if (s->in_message)
			s->blank_octets = line.length;
	} else if (!s->in_message) {
		result = -EBADMSG;
	} else {
		text_line(s, line);
	}
	s->offset += line.length;
	s->line_octets = 0;
	return result;
}

/* A part of a line that did not come in one piece. */
static int
part_of_line(struct mbox_scanner *s, struct span part, bool ends)
{
	uint64_t before = s->line_octets;

	s->line_octets += part.length;
	if (s->line_octets <= sizeof(s->line)) {
		memcpy(s->line + before, part.at, part.length);
		return ends ? whole_line(s, span_of(s->line, (size_t)s->line_octets)) : 0;
	}
	if (!s->in_message)
		return -EBADMSG;
	if (before <= sizeof(s->line) && before > 0)
		text_line(s, span_of(s->line, (size_t)before));
	if (before == 0)
		text_line(s, part);
	else
		text_more(s, part);
	if (ends) {
		s->offset += s->line_octets;
		s->line_octets = 0;
	}
	return 0;
}

int
mbox_scan(struct mbox_scanner *s, struct span piece)
{
	int result = 0;

	while (result == 0 && piece.length > 0) {
		const char *line_end = memchr(piece.at, '\n', piece.length);
		size_t length = piece.length;

		if (line_end != NULL)
			length = (size_t)(line_end - piece.at) + 1;
		if (line_end != NULL && s->line_octets == 0 && length <= sizeof(s->line))
			result = whole_line(s, span_of(piece.at, length));
		else
			result = part_of_line(s, span_of(piece.at, length), line_end != NULL);
		piece = span_after(piece, length);
	}
	return result;
}

int
mbox_scan_end(struct mbox_scanner *s)
{
	int result = 0;

	/* The last line has no line end. */
	if (s->line_octets > sizeof(s->line))
		s->offset += s->line_octets;
	else if (s->line_octets > 0)
		result = whole_line(s, span_of(s->line, (size_t)s->line_octets));
	return result == 0 ? message_end(s) : result;
}
