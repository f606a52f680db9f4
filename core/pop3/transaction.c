/*
 * transaction.c - the TRANSACTION and UPDATE states (RFC 1939, sections 5 and 6).
 */
#include "core/pop3/session_internal.h"

#include "core/limits.h"

#include <errno.h>

enum listing_kind {
	LISTING_OF_OCTETS,
	LISTING_OF_UNIQUE_IDS,
};

/* STAT: "+OK nn mm", nn directly behind the blank; some clients parse nothing else. */
enum pop3_next
transaction_stat(struct pop3_session *s, const struct pop3_args *args)
{
	(void)args;
	pop3_reply(s, "+OK ");
	segments_put_u64(s->reply, s->listing.count);
	pop3_reply(s, " ");
	segments_put_u64(s->reply, s->listing.octets);
	return pop3_reply(s, "\r\n");
}

/* ---- LIST and UIDL ------------------------------------------------------------------------- */

/* "number value\r\n", put together here: a large maildrop asks for it a million times. */
static void
put_listing_line(
	struct pop3_session *s, uint32_t message_number, const struct maildrop_entry *message)
{
	char line[2 * SPAN_U64_DIGITS_MAX + MAILDROP_UNIQUE_ID_MAX];
	size_t length = span_put_u64(message_number, line);

	line[length++] = ' ';
	if (s->listing_kind == LISTING_OF_OCTETS)
		length += span_put_u64(message->octets, line + length);
	else
		length += maildrop_unique_id(s->listing.maildrop, message, line + length);
	line[length++] = '\r';
	line[length++] = '\n';
	segments_put(s->reply, span_of(line, length));
}

/* Put lines until the listing or the mark is reached. */
static enum pop3_next
go_on_listing(struct pop3_session *s)
{
	uint64_t mark = s->reply->length + LISTING_MARK_OCTETS;

	while (s->listing_cursor <= s->listing.maildrop->count) {
		uint32_t number = s->listing_cursor;
		const struct maildrop_entry *message;

		if (s->reply->length >= mark || s->reply->failed)
			return POP3_NEXT_DRAIN;
		message = listing_find(&s->listing, number);
		if (message != NULL)
			put_listing_line(s, number, message);
		s->listing_cursor++;
	}
	return pop3_reply(s, ".\r\n");
}

enum pop3_next
pop3_session_drained(struct pop3_session *s)
{
	return go_on_listing(s);
}

static enum pop3_next
list_messages(struct pop3_session *s, const struct pop3_args *args, enum listing_kind kind)
{
	const struct maildrop_entry *message;

	s->listing_kind = kind;
	if (args->has_message) {
		message = listing_find(&s->listing, args->message_number);
		if (message == NULL)
			return pop3_reply(s, POP3_NO_SUCH_MESSAGE);
		pop3_reply(s, "+OK ");
		put_listing_line(s, args->message_number, message);
		return POP3_NEXT_LINE;
	}
	pop3_reply(s, "+OK ");
	segments_put_u64(s->reply, s->listing.count);
	pop3_reply(s, " messages\r\n");
	s->listing_cursor = 1;
	return go_on_listing(s);
}

enum pop3_next
transaction_list(struct pop3_session *s, const struct pop3_args *args)
{
	return list_messages(s, args, LISTING_OF_OCTETS);
}

enum pop3_next
transaction_uidl(struct pop3_session *s, const struct pop3_args *args)
{
	return list_messages(s, args, LISTING_OF_UNIQUE_IDS);
}

/* ---- RETR and TOP -------------------------------------------------------------------------- */

/* The whole reply lies in the file as it is sent, if what lies there is what was delivered. */
static enum pop3_next
send_whole(struct pop3_session *s, const struct pop3_args *args, bool for_top)
{
	s->listing_cursor = args->message_number;
	s->check_is_for_top = for_top;
	return POP3_NEXT_CHECK;
}

const struct maildrop_entry *
pop3_session_check(const struct pop3_session *s)
{
	const struct maildrop_entry *message = listing_find(&s->listing, s->listing_cursor);

	must(message != NULL);
	return message;
}

enum pop3_next
pop3_session_checked(struct pop3_session *s, int error)
{
	const struct maildrop_entry *message = pop3_session_check(s);

	if (error != 0)
		return pop3_reply(
			s, error == -EBADMSG ? POP3_MESSAGE_DAMAGED : POP3_MESSAGE_FAILED);
	if (s->check_is_for_top) {
		s->topped++;
	} else {
		s->retrieved++;
		s->octets_retrieved += message->octets;
	}
	segments_put_file(
		s->reply, s->listing.maildrop->log_fd, message->wire_offset, message->wire_octets);
	return POP3_NEXT_LINE;
}

/* RETR msg (RFC 1939, section 5). */
enum pop3_next
transaction_retr(struct pop3_session *s, const struct pop3_args *args)
{
	const struct maildrop_entry *message = listing_find(&s->listing, args->message_number);

	if (message == NULL)
		return pop3_reply(s, POP3_NO_SUCH_MESSAGE);
	return send_whole(s, args, false);
}

static uint64_t
content_offset(const struct maildrop_entry *message)
{
	return message->wire_offset + wire_status_octets(message->octets);
}

static uint64_t
body_octets(const struct maildrop_entry *message)
{
	return message->wire_octets - wire_status_octets(message->octets) - message->header_octets -
		WIRE_END_OCTETS;
}

/* The header, its blank line (also where the message has none), `octets` of the body, the end. */
static enum pop3_next
send_top(struct pop3_session *s, const struct maildrop_entry *message, uint64_t octets)
{
	pop3_reply(s, POP3_TOP_OK);
	segments_put_file(s->reply, s->listing.maildrop->log_fd, content_offset(message),
		message->header_octets + octets);
	return pop3_reply(s, message->header_ended ? WIRE_END : "\r\n" WIRE_END);
}

/* TOP msg n (RFC 1939, section 7).  As many lines as there are, or more, is RETR,
 * octet for octet. */
enum pop3_next
transaction_top(struct pop3_session *s, const struct pop3_args *args)
{
	const struct maildrop_entry *message = listing_find(&s->listing, args->message_number);

	if (message == NULL)
		return pop3_reply(s, POP3_NO_SUCH_MESSAGE);
	if (args->lines >= message->body_lines && message->header_ended)
		return send_whole(s, args, true);
	s->topped++;
	if (args->lines == 0 || message->body_lines == 0)
		return send_top(s, message, 0);
	s->listing_cursor = args->message_number;
	s->scan_lines = args->lines;
	return POP3_NEXT_SCAN;
}

struct pop3_scan
pop3_session_scan(const struct pop3_session *s)
{
	const struct maildrop_entry *message = listing_find(&s->listing, s->listing_cursor);

	must(message != NULL);
	return (struct pop3_scan){
		.log_fd = s->listing.maildrop->log_fd,
		.offset = content_offset(message) + message->header_octets,
		.length = body_octets(message),
		.lines = s->scan_lines,
	};
}

enum pop3_next
pop3_session_scanned(struct pop3_session *s, int error, uint64_t octets)
{
	const struct maildrop_entry *message = listing_find(&s->listing, s->listing_cursor);

	must(message != NULL);
	if (error != 0)
		return pop3_reply(s, POP3_MESSAGE_FAILED);
	return send_top(s, message, octets);
}

/* ---- DELE, RSET, QUIT ---------------------------------------------------------------------- */

enum pop3_next
transaction_dele(struct pop3_session *s, const struct pop3_args *args)
{
	int error;

	if (listing_find(&s->listing, args->message_number) == NULL)
		return pop3_reply(s, POP3_NO_SUCH_MESSAGE);
	if (s->may_not_delete)
		return pop3_reply(s, POP3_READ_ONLY);
	error = listing_mark_deleted(&s->listing, args->message_number);
	return pop3_reply(s, error == 0 ? POP3_DELE_OK : POP3_NO_MEMORY);
}

enum pop3_next
transaction_rset(struct pop3_session *s, const struct pop3_args *args)
{
	(void)args;
	listing_restore_all(&s->listing);
	pop3_reply(s, "+OK ");
	segments_put_u64(s->reply, s->listing.count);
	return pop3_reply(s, " messages\r\n");
}

/* QUIT: the UPDATE state.  +OK means that the deletions are durable. */
enum pop3_next
transaction_quit(struct pop3_session *s, const struct pop3_args *args)
{
	(void)args;
	if (listing_deleted(&s->listing) == 0)
		return pop3_end_session(s, POP3_END_QUIT, POP3_QUIT_OK);
	s->state = POP3_UPDATE;
	return POP3_NEXT_COMMIT;
}

enum pop3_next
pop3_session_committed(struct pop3_session *s, int error)
{
	must(s->state == POP3_UPDATE);
	if (error != 0)
		return pop3_end_session(s, POP3_END_UPDATE_FAILED, POP3_UPDATE_FAILED);
	return pop3_end_session(s, POP3_END_QUIT, POP3_QUIT_OK);
}
