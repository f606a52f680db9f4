/*
 * authorization.c - the AUTHORIZATION state (RFC 1939, section 4): who is there?
 *
 * USER always says +OK; only PASS tells.  A wrong name and a wrong password get the same words,
 * after the same work (core/auth).
 */
#include "core/pop3/session_internal.h"

#include "core/limits.h"

#include <errno.h>

/* USER name: remembered until PASS. */
enum pop3_next
authorization_user(struct pop3_session *s, const struct pop3_args *args)
{
	char *block = (char *)s->user;

	if (!pop3_takes_passwords(s))
		return pop3_reply(s, POP3_PLAINTEXT_REFUSED);
	if (args->text.length == 0)
		return pop3_reply(s, POP3_NEEDS_NAME);
	if (block == NULL)
		block = slab_take(s->names);
	if (block == NULL)
		return pop3_reply(s, POP3_NO_MEMORY);
	memcpy(block, args->text.at, args->text.length);
	s->user = block;
	s->user_octets = (uint32_t)args->text.length;
	return pop3_reply(s, POP3_USER_OK);
}

/* PASS secret: everything behind one blank, blanks and all. */
enum pop3_next
authorization_pass(struct pop3_session *s, const struct pop3_args *args)
{
	if (!pop3_takes_passwords(s))
		return pop3_reply(s, POP3_PLAINTEXT_REFUSED);
	if (s->user == NULL)
		return pop3_reply(s, POP3_USER_FIRST);
	s->secret = args->text;
	return POP3_NEXT_VERIFY;
}

/* STLS (RFC 2595, section 4). */
enum pop3_next
authorization_stls(struct pop3_session *s, const struct pop3_args *args)
{
	(void)args;
	if (s->is_secure)
		return pop3_reply(s, POP3_TLS_ALREADY);
	if (!s->policy->offers_tls)
		return pop3_reply(s, POP3_TLS_NOT_HERE);
	pop3_reply(s, POP3_STLS_OK);
	return POP3_NEXT_TLS;
}

void
pop3_session_credentials(
	const struct pop3_session *s, struct span *name_out, struct span *secret_out)
{
	*name_out = span_of(s->user, s->user_octets);
	*secret_out = s->secret;
}

static enum pop3_next
login_failed(struct pop3_session *s)
{
	if (++s->failed_logins >= s->policy->failed_logins_max)
		return pop3_end_session(s, POP3_END_FAILED_LOGINS, POP3_TOO_MANY_FAILURES);
	return pop3_reply(s, POP3_LOGIN_FAILED);
}

enum pop3_next
pop3_session_verified(struct pop3_session *s, enum pop3_verdict verdict, bool read_only)
{
	must(s->user != NULL);
	slab_give(s->names, (void *)s->user);
	s->user = NULL;
	s->secret = span_of(NULL, 0);
	switch (verdict) {
	case POP3_VERDICT_GOOD:
		s->read_only = read_only;
		return POP3_NEXT_OPEN;
	case POP3_VERDICT_BAD:
		return login_failed(s);
	case POP3_VERDICT_UNAVAILABLE:
		break;
	}
	return pop3_reply(s, POP3_LOGIN_UNKNOWABLE);
}

enum pop3_next
pop3_session_opened(struct pop3_session *s, int error, const struct maildrop *maildrop)
{
	if (error == -EBUSY)
		return pop3_reply(s, POP3_IN_USE);
	if (error != 0)
		return pop3_reply(s, POP3_MAILDROP_FAILED);
	listing_init(&s->listing, maildrop);
	s->state = POP3_TRANSACTION;
	s->unknown_in_a_row = 0;
	pop3_reply(s, "+OK ");
	segments_put_u64(s->reply, s->listing.count);
	return pop3_reply(s, " messages\r\n");
}
