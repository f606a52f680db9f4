/*
 * authorization.c - the AUTHORIZATION state (RFC 1939, section 4): who is there?
 *
 * USER always says +OK; only PASS tells.  A wrong name and a wrong password get the same words,
 * after the same work (core/auth).  Whatever the client uses, all
 * that is asked in the end is one struct login_question.
 */
#include "core/pop3/session_internal.h"

#include "core/limits.h"

#include <errno.h>

static_assert(sizeof(struct pop3_login) <= LINE_OCTETS_MAX, "a login fits the blocks of lines");

/* ---- what is known of a login -------------------------------------------------------------- */

struct pop3_login *
authorization_login(struct pop3_session *s)
{
	if (s->login == NULL) {
		s->login = slab_take(s->logins);
		if (s->login != NULL)
			memset(s->login, 0, offsetof(struct pop3_login, user));
	}
	return s->login;
}

void
authorization_end_exchange(struct pop3_session *s)
{
	if (s->login == NULL || s->login->sasl == NULL)
		return;
	sasl_close(s->login->sasl);
	s->login->sasl = NULL;
}

void
authorization_forget_user(struct pop3_session *s)
{
	struct pop3_login *login = s->login;

	if (login == NULL)
		return;
	authorization_end_exchange(s);
	login->has_user = false;
	login->user_octets = 0;
	login->secret = span_of(NULL, 0);
	if (login->stamp[0] == '\0' && !login->has_exporter && login->certificate_name[0] == '\0')
		authorization_forget(s);
}

void
authorization_forget(struct pop3_session *s)
{
	struct pop3_login *login = s->login;

	if (login == NULL)
		return;
	authorization_end_exchange(s);
	explicit_bzero(login->exporter, sizeof(login->exporter));
	slab_give(s->logins, login);
	s->login = NULL;
}

/* ---- USER, PASS, APOP ---------------------------------------------------------------------- */

static void
note_name(struct pop3_login *login, struct span name)
{
	if (name.length > sizeof(login->user))
		name.length = sizeof(login->user);
	memcpy(login->user, name.at, name.length);
	login->user_octets = (uint16_t)name.length;
	login->has_user = true;
}

/* USER name: remembered until PASS. */
enum pop3_next
authorization_user(struct pop3_session *s, const struct pop3_args *args)
{
	if (!pop3_takes_passwords(s))
		return pop3_reply(s, POP3_PLAINTEXT_REFUSED);
	if (args->text.length == 0)
		return pop3_reply(s, POP3_NEEDS_NAME);
	if (authorization_login(s) == NULL)
		return pop3_reply(s, POP3_NO_MEMORY);
	note_name(s->login, args->text);
	return pop3_reply(s, POP3_USER_OK);
}

static enum pop3_next
ask(struct pop3_session *s, enum login_kind kind)
{
	s->login->question = (uint8_t)kind;
	return POP3_NEXT_VERIFY;
}

/* PASS secret: everything behind one blank, blanks and all. */
enum pop3_next
authorization_pass(struct pop3_session *s, const struct pop3_args *args)
{
	if (!pop3_takes_passwords(s))
		return pop3_reply(s, POP3_PLAINTEXT_REFUSED);
	if (s->login == NULL || !s->login->has_user)
		return pop3_reply(s, POP3_USER_FIRST);
	s->login->secret = args->text;
	return ask(s, LOGIN_PASSWORD);
}

#define DIGEST_DIGITS 32u /* MD5 in hexadecimal */

static bool
is_hexadecimal(struct span s)
{
	for (size_t i = 0; i < s.length; i++) {
		if (s.at[i] == '\0' || strchr("0123456789abcdefABCDEF", s.at[i]) == NULL)
			return false;
	}
	return true;
}

/* APOP name digest (RFC 1939, section 7).  The password itself is not sent,
 * so TLS is not needed. */
enum pop3_next
authorization_apop(struct pop3_session *s, const struct pop3_args *args)
{
	struct span text = args->text;
	struct span digest;

	if (s->login == NULL || s->login->stamp[0] == '\0')
		return pop3_reply(s, POP3_NO_STAMP);
	if (text.length < DIGEST_DIGITS + 2)
		return pop3_reply(s, POP3_NEEDS_DIGEST);
	digest = span_after(text, text.length - DIGEST_DIGITS);
	text.length -= DIGEST_DIGITS;
	if (text.at[text.length - 1] != ' ' || !is_hexadecimal(digest))
		return pop3_reply(s, POP3_NEEDS_DIGEST);
	while (text.length > 0 && text.at[text.length - 1] == ' ')
		text.length--;
	if (text.length == 0)
		return pop3_reply(s, POP3_NEEDS_DIGEST);
	note_name(s->login, text);
	s->login->secret = digest;
	return ask(s, LOGIN_APOP);
}

/* ---- AUTH (RFC 5034) ----------------------------------------------------------------------- */

unsigned
authorization_mechanisms(const struct pop3_session *s)
{
	unsigned mechanisms = s->policy->mechanisms;

	if (!pop3_takes_passwords(s))
		mechanisms &= ~SASL_SHOWS_SECRET;
	if (s->login == NULL || !s->login->has_exporter)
		mechanisms &= ~SASL_BIT(SASL_SCRAM_SHA_256_PLUS);
	if (s->login == NULL || s->login->certificate_name[0] == '\0')
		mechanisms &= ~SASL_BIT(SASL_EXTERNAL);
	return mechanisms;
}

/* AUTH alone: the mechanisms, one a line.  Outlook asks so. */
static enum pop3_next
list_mechanisms(struct pop3_session *s)
{
	unsigned mechanisms = authorization_mechanisms(s);

	if (mechanisms == 0)
		return pop3_reply(s, POP3_MECHANISM_NOT_HERE);
	pop3_reply(s, POP3_AUTH_LIST_OK);
	for (unsigned m = 0; m < SASL_MECHANISMS; m++) {
		if ((mechanisms & SASL_BIT(m)) != 0) {
			pop3_reply(s, sasl_mechanism_name((enum sasl_mechanism)m));
			pop3_reply(s, "\r\n");
		}
	}
	return pop3_reply(s, ".\r\n");
}

static enum pop3_next
count_failure(struct pop3_session *s, const char *line)
{
	authorization_forget_user(s);
	if (++s->failed_logins >= s->policy->failed_logins_max)
		return pop3_end_session(s, POP3_END_FAILED_LOGINS, POP3_TOO_MANY_FAILURES);
	return pop3_reply(s, line);
}

static enum pop3_next
give_up(struct pop3_session *s, const char *line)
{
	authorization_forget_user(s);
	return pop3_reply(s, line);
}

/* The exchange said what it wants next. */
static enum pop3_next
follow(struct pop3_session *s, enum sasl_next next)
{
	switch (next) {
	case SASL_NEXT_CHALLENGE:
		pop3_reply(s, "+ ");
		segments_put(s->reply, sasl_challenge(s->login->sasl));
		return pop3_reply(s, "\r\n");
	case SASL_NEXT_FIND:
		return ask(s, LOGIN_KEYS);
	case SASL_NEXT_VERIFY:
		return ask(s, LOGIN_PASSWORD);
	case SASL_NEXT_TOKEN:
		return ask(s, LOGIN_TOKEN);
	case SASL_NEXT_PROVEN:
		return ask(s, LOGIN_PROVEN);
	case SASL_NEXT_REFUSED:
		if (s->login->question == LOGIN_TOKEN) /* it was counted before it was explained */
			return count_failure(s, POP3_LOGIN_FAILED);
		return ask(s, LOGIN_DISPROVEN);
	case SASL_NEXT_MALFORMED:
		return count_failure(s, POP3_AUTH_MALFORMED);
	case SASL_NEXT_NO_MEMORY:
		break;
	}
	return give_up(s, POP3_NO_MEMORY);
}

static struct sasl_facts
facts_of(const struct pop3_login *login)
{
	return (struct sasl_facts){
		.exporter =
			span_of(login->exporter, login->has_exporter ? SASL_EXPORTER_OCTETS : 0),
		.certificate_name =
			login->certificate_name[0] == '\0' ? NULL : login->certificate_name,
	};
}

static enum pop3_next
begin_exchange(struct pop3_session *s, enum sasl_mechanism mechanism, struct span initial)
{
	struct sasl_facts facts;

	if (authorization_login(s) == NULL)
		return pop3_reply(s, POP3_NO_MEMORY);
	authorization_end_exchange(s);
	s->login->has_user = false;
	facts = facts_of(s->login);
	if (sasl_open(mechanism, &facts, &s->login->sasl) != 0)
		return give_up(s, POP3_NO_MEMORY);
	s->login->mechanism = (uint8_t)mechanism;
	s->login->question = LOGIN_PASSWORD;
	return follow(s,
		initial.length == 0 ? sasl_begin(s->login->sasl)
				    : sasl_step(s->login->sasl, initial));
}

enum pop3_next
authorization_auth(struct pop3_session *s, const struct pop3_args *args)
{
	struct span name = args->text;
	struct span initial;
	enum sasl_mechanism mechanism;
	const char *blank;

	if (name.length == 0)
		return list_mechanisms(s);
	blank = memchr(name.at, ' ', name.length);
	if (blank != NULL)
		name.length = (size_t)(blank - name.at);
	initial = span_after(args->text, name.length);
	while (initial.length > 0 && initial.at[0] == ' ')
		initial = span_after(initial, 1);
	if (!sasl_mechanism_find(name, &mechanism))
		return pop3_reply(s, POP3_UNKNOWN_MECHANISM);
	if ((SASL_BIT(mechanism) & SASL_SHOWS_SECRET) != 0 && !pop3_takes_passwords(s))
		return pop3_reply(s, POP3_PLAINTEXT_REFUSED);
	if ((SASL_BIT(mechanism) & authorization_mechanisms(s)) == 0)
		return pop3_reply(s, POP3_MECHANISM_NOT_HERE);
	return begin_exchange(s, mechanism, initial);
}

enum pop3_next
authorization_response(struct pop3_session *s, struct span line)
{
	if (span_equals(line, SPAN("*")))
		return give_up(s, POP3_AUTH_CANCELLED);
	return follow(s, sasl_step(s->login->sasl, line));
}

const char *
pop3_session_long_word(const struct pop3_session *s)
{
	if (pop3_in_exchange(s))
		return "";
	return s->state == POP3_AUTHORIZATION ? "AUTH " : NULL;
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

/* ---- for whom a proxy speaks --------------------------------------------------------------- */

/* XCLIENT ADDR=... PORT=..., as Dovecot's proxy says it before it logs in. */
enum pop3_next
authorization_xclient(struct pop3_session *s, const struct pop3_args *args)
{
	if (authorization_login(s) == NULL)
		return pop3_reply(s, POP3_NO_MEMORY);
	s->login->secret = args->text;
	return POP3_NEXT_XCLIENT;
}

struct span
pop3_session_xclient(const struct pop3_session *s)
{
	return s->login->secret;
}

enum pop3_next
pop3_session_xclient_heard(struct pop3_session *s, enum xclient_outcome outcome)
{
	authorization_forget_user(s);
	switch (outcome) {
	case XCLIENT_GOOD:
		return pop3_reply(s, POP3_XCLIENT_OK);
	case XCLIENT_MALFORMED:
		return pop3_reply(s, POP3_XCLIENT_MALFORMED);
	case XCLIENT_TURNED_AWAY:
		return pop3_end_session(s, POP3_END_TURNED_AWAY, "");
	case XCLIENT_NOT_ALLOWED:
		break;
	}
	return pop3_end_session(s, POP3_END_XCLIENT, POP3_XCLIENT_REFUSED);
}

/* ---- the question and its answer ----------------------------------------------------------- */

struct login_question
pop3_session_question(const struct pop3_session *s)
{
	const struct pop3_login *login = s->login;
	struct login_question q = {
		.kind = (enum login_kind)login->question,
		.name = span_of(login->user, login->user_octets),
		.acts_for = span_of("", 0),
		.secret = login->secret,
		.stamp = span_of_string(login->stamp),
		.sasl = (enum sasl_mechanism)login->mechanism,
		.mechanism = login->question == LOGIN_APOP ? "APOP" : "USER",
	};
	struct sasl_identity who;

	if (login->sasl == NULL)
		return q;
	who = sasl_identity(login->sasl);
	q.name = who.name;
	q.acts_for = who.acts_for;
	q.secret = who.secret;
	q.mechanism = sasl_mechanism_name(q.sasl);
	return q;
}

/* A wrong token is explained to the client before it is refused. */
static enum pop3_next
refuse_login(struct pop3_session *s)
{
	if (s->login->question == LOGIN_TOKEN)
		return follow(s, sasl_verified(s->login->sasl, false));
	return count_failure(s, POP3_LOGIN_FAILED);
}

enum pop3_next
pop3_session_answered(struct pop3_session *s, const struct login_answer *answer)
{
	must(s->login != NULL);
	if (s->login->question == LOGIN_KEYS && answer->verdict == LOGIN_GOOD)
		return follow(s, sasl_found(s->login->sasl, answer->keys));
	switch (answer->verdict) {
	case LOGIN_GOOD:
		authorization_forget_user(s);
		s->may_not_delete = answer->may_not_delete;
		return POP3_NEXT_OPEN;
	case LOGIN_BAD:
		return refuse_login(s);
	case LOGIN_TOO_SOON:
		return give_up(s, POP3_TOO_SOON);
	case LOGIN_TOO_MANY:
		return give_up(s, POP3_TOO_MANY_SESSIONS);
	case LOGIN_UNAVAILABLE:
		break;
	}
	return give_up(s, POP3_LOGIN_UNKNOWABLE);
}

enum pop3_next
pop3_session_opened(struct pop3_session *s, int error, const struct maildrop *maildrop)
{
	if (error == -EBUSY)
		return pop3_reply(s, POP3_IN_USE);
	if (error != 0)
		return pop3_reply(s, POP3_MAILDROP_FAILED);
	authorization_forget(s);
	listing_init(&s->listing, maildrop);
	s->state = POP3_TRANSACTION;
	s->unknown_in_a_row = 0;
	pop3_reply(s, "+OK ");
	segments_put_u64(s->reply, s->listing.count);
	return pop3_reply(s, " messages\r\n");
}
