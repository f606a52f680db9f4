/*
 * content.c - DATA and BDAT (RFC 5321, section 4.1.1.4; RFC 3030): the message, and what becomes of
 * it.
 *
 * Whatever is wrong with a message, its octets are heard to their end, so that client and server
 * stay in step; then each recipient that was accepted gets a reply, in order (RFC 2033, section
 * 4.2).  The same after the last chunk.
 */
#include "core/lmtp/session_internal.h"

#include "io/base/must.h"

#include <errno.h>

static const char *
reply_to_delivery(int error)
{
	switch (error) {
	case -EDQUOT:
		return LMTP_OVER_QUOTA;
	case -ENOSPC:
		return LMTP_DISK_FULL;
	case -EFBIG:
		return LMTP_TOO_LARGE;
	case -ENOMEM:
		return LMTP_NO_MEMORY;
	default:
		return LMTP_DELIVERY_FAILED;
	}
}

/* "250 2.0.0 <alice@example.org> has it": the address tells replies apart in a client's log. */
static void
reply_for(struct lmtp_session *s, const struct lmtp_recipient *r)
{
	if (r->error != 0) {
		s->failed++;
		lmtp_reply(s, reply_to_delivery(r->error));
		return;
	}
	s->delivered++;
	lmtp_reply(s, "250 2.0.0 <");
	lmtp_reply(s, r->address);
	lmtp_reply(s, "> has it\r\n");
}

enum lmtp_next
lmtp_session_delivered(struct lmtp_session *s)
{
	must(s->state == LMTP_DATA || s->state == LMTP_CHUNKS);
	s->messages++;
	for (const struct lmtp_recipient *r = s->recipients; r != NULL; r = r->next)
		reply_for(s, r);
	envelope_forget(s);
	return LMTP_NEXT_LINE;
}

/* All of the message was heard. */
static enum lmtp_next
end_message(struct lmtp_session *s)
{
	if (s->failure == NULL)
		return LMTP_NEXT_DELIVER;
	s->messages++;
	s->failed += s->recipient_count;
	for (uint32_t i = 0; i < s->recipient_count; i++)
		lmtp_reply(s, s->failure);
	envelope_forget(s);
	return LMTP_NEXT_LINE;
}

/* Before what could not be stored: which of the two comes first is a matter of how the message was cut
 * on its way, and what the client hears is not. */
static void
note_bare_newlines(struct lmtp_session *s)
{
	bool was_told = s->failure != NULL && strcmp(s->failure, LMTP_CHUNKS_FAILED) == 0;

	if (s->data.has_bare && !s->policy->normalises_newlines && !was_told)
		s->failure = LMTP_BARE_NEWLINE;
}

/* ---- DATA ---------------------------------------------------------------------------------- */

enum lmtp_next
content_data(struct lmtp_session *s, struct span args)
{
	(void)args;
	if (s->recipient_count == 0)
		return lmtp_refuse(s, LMTP_RCPT_FIRST);
	s->state = LMTP_DATA;
	lmtp_data_init(&s->data);
	lmtp_reply(s, LMTP_GO_AHEAD);
	return LMTP_NEXT_OCTETS;
}

static enum lmtp_next
hear_data(struct lmtp_session *s, struct span *input)
{
	for (;;) {
		switch (lmtp_data_next(&s->data, input, &s->run)) {
		case LMTP_DATA_MORE:
			return LMTP_NEXT_OCTETS;
		case LMTP_DATA_END:
			return end_message(s);
		case LMTP_DATA_RUN:
			note_bare_newlines(s);
			if (s->failure == NULL)
				return LMTP_NEXT_STORE;
		}
	}
}

/* ---- BDAT ---------------------------------------------------------------------------------- */

/* All of a chunk was heard.  What failed is told once; what follows has failed because of it. */
static enum lmtp_next
end_chunk(struct lmtp_session *s)
{
	const char *failure = s->failure;

	s->in_chunk = false;
	if (s->refusal != NULL)
		return lmtp_refuse(s, s->refusal);
	if (s->chunk_is_last) {
		lmtp_data_end_chunks(&s->data);
		note_bare_newlines(s);
		return end_message(s);
	}
	if (failure == NULL)
		return lmtp_reply(s, LMTP_CHUNK_OK);
	s->failure = LMTP_CHUNKS_FAILED;
	return lmtp_reply(s, failure);
}

static enum lmtp_next
hear_chunk(struct lmtp_session *s, struct span *input)
{
	size_t length = input->length;

	if (length > s->chunk_left)
		length = (size_t)s->chunk_left;
	s->run = span_of(input->at, length);
	s->chunk_left -= length;
	*input = span_after(*input, length);
	if (s->refusal == NULL) {
		lmtp_data_check_chunk(&s->data, s->run);
		note_bare_newlines(s);
		if (s->failure == NULL)
			return LMTP_NEXT_STORE;
	}
	return s->chunk_left > 0 ? LMTP_NEXT_OCTETS : end_chunk(s);
}

/* "BDAT octets" or "BDAT octets LAST". */
static bool
read_chunk(struct lmtp_session *s, struct span args)
{
	struct span number = lmtp_take_word(&args);

	s->chunk_is_last = args.length > 0;
	return span_to_u64(number, UINT64_MAX, &s->chunk_left) &&
		(args.length == 0 || span_equals_nocase(args, SPAN("LAST")));
}

/* NULL: the chunk belongs to a message. */
static const char *
refusal_of_chunk(const struct lmtp_session *s)
{
	if (s->state == LMTP_CLEAR)
		return LMTP_LHLO_FIRST;
	if (s->state == LMTP_READY)
		return LMTP_MAIL_FIRST;
	return s->recipient_count == 0 ? LMTP_RCPT_FIRST : NULL;
}

/* Who does not say how long a chunk is cannot be followed: its octets would be read as commands. */
enum lmtp_next
content_bdat(struct lmtp_session *s, struct span args)
{
	if (!read_chunk(s, args))
		return lmtp_end_session(s, LMTP_END_BROKEN_CHUNK, LMTP_WRONG_CHUNK);
	s->refusal = refusal_of_chunk(s);
	if (s->refusal == NULL && s->state == LMTP_MAIL) {
		s->state = LMTP_CHUNKS;
		lmtp_data_init(&s->data);
	}
	s->in_chunk = true;
	return s->chunk_left > 0 ? LMTP_NEXT_OCTETS : end_chunk(s);
}

/* ---- both ---------------------------------------------------------------------------------- */

enum lmtp_next
lmtp_session_octets(struct lmtp_session *s, struct span *input)
{
	must(s->state == LMTP_DATA || s->in_chunk);
	return s->in_chunk ? hear_chunk(s, input) : hear_data(s, input);
}

enum lmtp_next
lmtp_session_stored(struct lmtp_session *s, int error)
{
	if (error == 0)
		s->octets_stored += s->run.length;
	else
		s->failure = reply_to_delivery(error);
	s->run = span_of(NULL, 0);
	return s->in_chunk && s->chunk_left == 0 ? end_chunk(s) : LMTP_NEXT_OCTETS;
}
