/*
 * envelope.c - MAIL and RCPT (RFC 5321, sections 4.1.1.2 and 4.1.1.3): from whom, and to whom.
 *
 * Parameters: SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8 (RFC 6531).  SIZE lets us refuse what is
 * too large before it comes; the two others change nothing, for a message is stored as it came.
 */
#include "core/lmtp/session_internal.h"

#include "core/lmtp/path.h"
#include "io/base/must.h"

void
envelope_forget(struct lmtp_session *s)
{
	while (s->recipients != NULL) {
		struct lmtp_recipient *r = s->recipients;

		s->recipients = r->next;
		slab_give(s->recipient_blocks, r);
	}
	if (s->asked != NULL)
		slab_give(s->recipient_blocks, s->asked);
	s->asked = NULL;
	s->last = NULL;
	s->recipient_count = 0;
	s->sender_octets = 0;
	s->declared_octets = 0;
	s->failure = NULL;
	s->takes_utf8 = false;
	if (s->state == LMTP_MAIL || s->state == LMTP_CHUNKS || s->state == LMTP_DATA)
		s->state = LMTP_READY;
}

/* ---- MAIL ---------------------------------------------------------------------------------- */

struct mail_parameters {
	uint64_t octets;
	bool has_size;
	bool has_body;
	bool has_utf8;
};

/* NULL, or the reply to what is wrong with it. */
static const char *
read_parameter(struct span word, struct mail_parameters *p)
{
	const char *equals = memchr(word.at, '=', word.length);
	struct span name = equals == NULL ? word : span_of(word.at, (size_t)(equals - word.at));
	struct span value = span_after(word, name.length + 1);
	bool *seen;
	bool good;

	if (span_equals_nocase(name, SPAN("SIZE"))) {
		seen = &p->has_size;
		good = span_to_u64(value, UINT64_MAX, &p->octets);
	} else if (span_equals_nocase(name, SPAN("BODY"))) {
		seen = &p->has_body;
		good = span_equals_nocase(value, SPAN("7BIT")) ||
			span_equals_nocase(value, SPAN("8BITMIME"));
	} else if (span_equals_nocase(name, SPAN("SMTPUTF8"))) {
		seen = &p->has_utf8;
		good = equals == NULL;
	} else {
		return LMTP_UNKNOWN_PARAMETER;
	}
	if (*seen || !good)
		return LMTP_WRONG_PARAMETER;
	*seen = true;
	return NULL;
}

/* "FROM:" or "TO:" and the path behind it, off the front of *rest. */
static bool
take_path(const char *prefix, struct span *rest, struct span *mailbox_out)
{
	size_t length = strlen(prefix);

	if (rest->length < length ||
		!span_equals_nocase(span_of(rest->at, length), span_of(prefix, length)))
		return false;
	*rest = lmtp_without_blanks(span_after(*rest, length));
	if (!lmtp_path_take(rest, mailbox_out))
		return false;
	if (rest->length > 0 && rest->at[0] != ' ' && rest->at[0] != '\t')
		return false;
	*rest = lmtp_without_blanks(*rest);
	return true;
}

struct span
lmtp_session_sender(const struct lmtp_session *s)
{
	return span_of(s->name + LMTP_NAME_OCTETS_MAX, s->sender_octets);
}

enum lmtp_next
envelope_mail(struct lmtp_session *s, struct span args)
{
	struct mail_parameters p = { 0 };
	const char *wrong = NULL;
	struct span sender;

	if (!take_path("FROM:", &args, &sender))
		return lmtp_refuse(s, LMTP_WRONG_SENDER);
	while (args.length > 0 && wrong == NULL)
		wrong = read_parameter(lmtp_take_word(&args), &p);
	if (wrong != NULL)
		return lmtp_refuse(s, wrong);
	if (!p.has_utf8 && !lmtp_is_ascii(sender))
		return lmtp_refuse(s, LMTP_NEEDS_UTF8);
	if (p.octets > s->policy->octets_max)
		return lmtp_reply(s, LMTP_TOO_LARGE);
	memcpy(s->name + LMTP_NAME_OCTETS_MAX, sender.at, sender.length);
	s->sender_octets = (uint16_t)sender.length;
	s->declared_octets = p.octets;
	s->takes_utf8 = p.has_utf8;
	s->state = LMTP_MAIL;
	return lmtp_reply(s, LMTP_SENDER_OK);
}

/* ---- RCPT ---------------------------------------------------------------------------------- */

/* What is longer than any account's address is none's. */
static bool
ask_for(struct lmtp_session *s, struct span mailbox)
{
	char plain[LMTP_PATH_OCTETS_MAX];
	size_t length = lmtp_mailbox_plain(mailbox, plain);

	if (length > ACCOUNT_ADDRESS_OCTETS_MAX)
		length = 0;
	memcpy(s->asked->address, plain, length);
	s->asked->address[length] = '\0';
	return length > 0;
}

enum lmtp_next
envelope_rcpt(struct lmtp_session *s, struct span args)
{
	struct span mailbox;

	if (!take_path("TO:", &args, &mailbox) || mailbox.length == 0)
		return lmtp_refuse(s, LMTP_WRONG_RECIPIENT);
	if (args.length > 0)
		return lmtp_refuse(s, LMTP_UNKNOWN_PARAMETER);
	if (!s->takes_utf8 && !lmtp_is_ascii(mailbox))
		return lmtp_refuse(s, LMTP_NEEDS_UTF8);
	if (s->recipient_count >= s->policy->recipients_max)
		return lmtp_reply(s, LMTP_TOO_MANY_RECIPIENTS);
	s->asked = slab_take(s->recipient_blocks);
	if (s->asked == NULL)
		return lmtp_reply(s, LMTP_NO_MEMORY);
	*s->asked = (struct lmtp_recipient){ 0 };
	if (!ask_for(s, mailbox))
		return lmtp_session_recipient(s, LMTP_VERDICT_UNKNOWN);
	return LMTP_NEXT_RECIPIENT;
}

static void
take_in(struct lmtp_session *s)
{
	s->asked->next = NULL;
	if (s->last == NULL)
		s->recipients = s->asked;
	else
		s->last->next = s->asked;
	s->last = s->asked;
	s->asked = NULL;
	s->recipient_count++;
}

enum lmtp_next
lmtp_session_recipient(struct lmtp_session *s, enum lmtp_verdict verdict)
{
	static const char *const replies[] = {
		[LMTP_VERDICT_GOOD] = LMTP_RECIPIENT_OK,
		[LMTP_VERDICT_UNKNOWN] = LMTP_NO_SUCH_USER,
		[LMTP_VERDICT_DISABLED] = LMTP_DISABLED,
		[LMTP_VERDICT_OVER_QUOTA] = LMTP_OVER_QUOTA,
		[LMTP_VERDICT_UNAVAILABLE] = LMTP_ACCOUNTS_UNAVAILABLE,
	};

	must(s->asked != NULL);
	if (verdict == LMTP_VERDICT_GOOD) {
		take_in(s);
	} else {
		slab_give(s->recipient_blocks, s->asked);
		s->asked = NULL;
	}
	return lmtp_reply(s, replies[verdict]);
}
