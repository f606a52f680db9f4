/*
 * session.c - the POP3 session: the command table and what holds in every state.
 *
 * A command is one row and one short handler.  Handlers of the AUTHORIZATION state are in
 * authorization.c, those of the TRANSACTION and UPDATE states in transaction.c.
 */
#include "core/pop3/session_internal.h"

#include "core/limits.h"

#define ANY_STATE    (POP3_AUTHORIZATION | POP3_TRANSACTION)
#define BEFORE_LOGIN POP3_AUTHORIZATION
#define AFTER_LOGIN  POP3_TRANSACTION

static const struct pop3_command commands[] = {
	{ "USER", BEFORE_LOGIN, ARGS_TEXT, authorization_user, POP3_NEEDS_NAME },
	{ "PASS", BEFORE_LOGIN, ARGS_VERBATIM, authorization_pass, POP3_NEEDS_SECRET },
	{ "APOP", BEFORE_LOGIN, ARGS_TEXT, authorization_apop, POP3_NEEDS_DIGEST },
	{ "AUTH", BEFORE_LOGIN, ARGS_TEXT, authorization_auth, POP3_UNKNOWN_MECHANISM },
	{ "STAT", AFTER_LOGIN, ARGS_NONE, transaction_stat, POP3_TAKES_NO_ARGUMENT },
	{ "LIST", AFTER_LOGIN, ARGS_OPTIONAL_MESSAGE, transaction_list, POP3_NO_SUCH_MESSAGE },
	{ "UIDL", AFTER_LOGIN, ARGS_OPTIONAL_MESSAGE, transaction_uidl, POP3_NO_SUCH_MESSAGE },
	{ "RETR", AFTER_LOGIN, ARGS_MESSAGE, transaction_retr, POP3_NEEDS_MESSAGE },
	{ "DELE", AFTER_LOGIN, ARGS_MESSAGE, transaction_dele, POP3_NEEDS_MESSAGE },
	{ "TOP", AFTER_LOGIN, ARGS_MESSAGE_AND_LINES, transaction_top, POP3_NEEDS_TOP_ARGUMENTS },
	{ "RSET", AFTER_LOGIN, ARGS_NONE, transaction_rset, POP3_TAKES_NO_ARGUMENT },
	{ "STLS", BEFORE_LOGIN, ARGS_NONE, authorization_stls, POP3_TAKES_NO_ARGUMENT },
	{ "XCLIENT", BEFORE_LOGIN, ARGS_TEXT, authorization_xclient, POP3_XCLIENT_MALFORMED },
	{ "NOOP", ANY_STATE, ARGS_NONE, any_noop, POP3_TAKES_NO_ARGUMENT },
	{ "CAPA", ANY_STATE, ARGS_NONE, any_capa, POP3_TAKES_NO_ARGUMENT },
	{ "UTF8", ANY_STATE, ARGS_NONE, any_utf8, POP3_TAKES_NO_ARGUMENT },
	{ "LANG", ANY_STATE, ARGS_TEXT, any_lang, POP3_NO_SUCH_LANGUAGE },
	{ "QUIT", BEFORE_LOGIN, ARGS_NONE, any_quit, POP3_TAKES_NO_ARGUMENT },
	{ "QUIT", AFTER_LOGIN, ARGS_NONE, transaction_quit, POP3_TAKES_NO_ARGUMENT },
};

/* Browsers, proxies and scanners that took us for a web server. */
static const char *const foreign_verbs[] = {
	"GET",
	"HEAD",
	"POST",
	"PUT",
	"DELETE",
	"OPTIONS",
	"CONNECT",
	"TRACE",
	"PATCH",
	"PRI",
};

void
pop3_session_init(struct pop3_session *s, const struct pop3_policy *policy, struct segments *reply,
	struct slab *logins)
{
	*s = (struct pop3_session){
		.policy = policy,
		.reply = reply,
		.logins = logins,
		.state = POP3_AUTHORIZATION,
	};
}

void
pop3_session_end(struct pop3_session *s)
{
	authorization_forget(s);
	listing_clear(&s->listing);
	s->state = POP3_ENDED;
}

enum pop3_next
pop3_end_session(struct pop3_session *s, enum pop3_end why, const char *line)
{
	pop3_reply(s, line);
	s->end = (uint8_t)why;
	s->state = POP3_ENDED;
	return why == POP3_END_QUIT ? POP3_NEXT_CLOSE : POP3_NEXT_REFUSE;
}

enum pop3_next
pop3_session_greet(struct pop3_session *s, const char *stamp)
{
	pop3_reply(
		s, s->takes_xclient ? "+OK [XCLIENT] " : "+OK "); /* Dovecot looks for it there */
	pop3_reply(s, s->policy->greeting);
	if (stamp != NULL && authorization_login(s) != NULL) {
		must(strlen(stamp) <= POP3_STAMP_OCTETS_MAX);
		strcpy(s->login->stamp, stamp);
		pop3_reply(s, " ");
		pop3_reply(s, s->login->stamp);
	}
	return pop3_reply(s, "\r\n");
}

/* Note what is known of the client; without memory some mechanisms are not offered. */
static void
note_facts(struct pop3_session *s, const struct sasl_facts *facts)
{
	if (facts->exporter.length != SASL_EXPORTER_OCTETS && facts->certificate_name == NULL)
		return;
	if (authorization_login(s) == NULL)
		return;
	if (facts->exporter.length == SASL_EXPORTER_OCTETS) {
		memcpy(s->login->exporter, facts->exporter.at, SASL_EXPORTER_OCTETS);
		s->login->has_exporter = true;
	}
	if (facts->certificate_name != NULL &&
		strlen(facts->certificate_name) <= SASL_NAME_OCTETS_MAX)
		strcpy(s->login->certificate_name, facts->certificate_name);
}

enum pop3_next
pop3_session_secured(struct pop3_session *s, const struct sasl_facts *facts)
{
	must(s->state == POP3_AUTHORIZATION);
	authorization_forget_user(s);
	s->unknown_in_a_row = 0;
	s->is_secure = true;
	note_facts(s, facts);
	return POP3_NEXT_LINE;
}

/* ---- reading a line ------------------------------------------------------------------------ */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span
without_blanks(struct span s)
{
	while (s.length > 0 && is_blank(s.at[0]))
		s = span_after(s, 1);
	while (s.length > 0 && is_blank(s.at[s.length - 1]))
		s.length--;
	return s;
}

/* The word at the front of *rest, which then begins at the blank behind it. */
static struct span
take_word(struct span *rest)
{
	size_t length = 0;
	struct span word;

	while (length < rest->length && !is_blank(rest->at[length]))
		length++;
	word = span_of(rest->at, length);
	*rest = span_after(*rest, length);
	return word;
}

/* A decimal number up to 2^32 - 1 at the front of *rest. */
static bool
take_number(struct span *rest, uint32_t *number_out)
{
	uint64_t number;

	*rest = without_blanks(*rest);
	if (!span_to_u64(take_word(rest), UINT32_MAX, &number))
		return false;
	*number_out = (uint32_t)number;
	return true;
}

/* False: the arguments are not of that kind. */
static bool
read_args(enum pop3_args_kind kind, struct span rest, struct pop3_args *args)
{
	struct span trimmed = without_blanks(rest);

	switch (kind) {
	case ARGS_NONE:
		return trimmed.length == 0;
	case ARGS_OPTIONAL_MESSAGE:
		if (trimmed.length == 0)
			return true;
		args->has_message = true;
		return take_number(&trimmed, &args->message_number) && trimmed.length == 0;
	case ARGS_MESSAGE:
		args->has_message = true;
		return take_number(&trimmed, &args->message_number) && trimmed.length == 0;
	case ARGS_MESSAGE_AND_LINES:
		return take_number(&trimmed, &args->message_number) &&
			take_number(&trimmed, &args->lines) && trimmed.length == 0;
	case ARGS_TEXT:
		args->text = trimmed;
		return true;
	case ARGS_VERBATIM:
		args->text = span_after(rest, 1);
		return rest.length > 0;
	}
	return false;
}

static const struct pop3_command *
find_command(const struct pop3_session *s, struct span word)
{
	const struct pop3_command *in_other_state = NULL;

	if (word.length == 0)
		return NULL;
	for (size_t i = 0; i < array_count(commands); i++) {
		/* The first letter tells most of them apart. */
		if ((word.at[0] & ~0x20) != commands[i].name[0] ||
			!span_equals_nocase(word, span_of_string(commands[i].name)))
			continue;
		if ((commands[i].states & s->state) != 0)
			return &commands[i];
		in_other_state = &commands[i];
	}
	return in_other_state;
}

static bool
is_foreign_verb(struct span word)
{
	for (size_t i = 0; i < array_count(foreign_verbs); i++)
		if (span_equals_nocase(word, span_of_string(foreign_verbs[i])))
			return true;
	return false;
}

static enum pop3_next
refuse_unknown(struct pop3_session *s, const char *line)
{
	unsigned max =
		s->state == POP3_AUTHORIZATION ? UNKNOWN_BEFORE_LOGIN_MAX : UNKNOWN_AFTER_LOGIN_MAX;

	if (++s->unknown_in_a_row >= max)
		return pop3_end_session(s, POP3_END_UNKNOWN_COMMANDS, POP3_TOO_MANY_UNKNOWN);
	return pop3_reply(s, line);
}

enum pop3_next
pop3_session_line(struct pop3_session *s, struct span line)
{
	struct span rest = line;
	struct span word = take_word(&rest);
	const struct pop3_command *command = find_command(s, word);
	struct pop3_args args = { 0 };
	bool is_first = !s->heard_a_line;

	must(s->state == POP3_AUTHORIZATION || s->state == POP3_TRANSACTION);
	s->heard_a_line = true;
	if (pop3_in_exchange(s))
		return authorization_response(s, line);
	if (command == NULL) {
		if (is_first && is_foreign_verb(word))
			return pop3_end_session(s, POP3_END_FOREIGN_PROTOCOL, POP3_FOREIGN);
		return refuse_unknown(s, word.length == 0 ? POP3_EMPTY_LINE : POP3_UNKNOWN_COMMAND);
	}
	s->unknown_in_a_row = 0;
	if ((command->states & s->state) == 0)
		return pop3_reply(s,
			s->state == POP3_AUTHORIZATION ? POP3_WRONG_STATE_BEFORE
						       : POP3_WRONG_STATE_AFTER);
	if (!read_args(command->args, rest, &args))
		return pop3_reply(s, command->refusal);
	return command->handle(s, &args);
}

enum pop3_next
pop3_session_line_too_long(struct pop3_session *s)
{
	s->heard_a_line = true;
	authorization_end_exchange(s);
	return refuse_unknown(s, POP3_LINE_TOO_LONG);
}

/* A TLS record begins with its type, handshake, 0x16 (RFC 8446, section 5.1); no command does. */
bool
pop3_session_is_foreign(struct pop3_session *s, struct span first_octets)
{
	if (first_octets.length == 0 || first_octets.at[0] != 0x16)
		return false;
	pop3_end_session(s, POP3_END_FOREIGN_PROTOCOL, POP3_FOREIGN);
	return true;
}

/* ---- commands of any state ----------------------------------------------------------------- */

/* SASL (RFC 5034, section 3): what AUTH takes. */
static void
put_mechanisms(struct pop3_session *s)
{
	unsigned mechanisms = authorization_mechanisms(s);

	if (mechanisms == 0)
		return;
	pop3_reply(s, "SASL");
	for (unsigned m = 0; m < SASL_MECHANISMS; m++) {
		if ((mechanisms & SASL_BIT(m)) != 0) {
			pop3_reply(s, " ");
			pop3_reply(s, sasl_mechanism_name((enum sasl_mechanism)m));
		}
	}
	pop3_reply(s, "\r\n");
}

/* CAPA (RFC 2449).  Each line is there only while it is true. */
enum pop3_next
any_capa(struct pop3_session *s, const struct pop3_args *args)
{
	(void)args;
	pop3_reply(s, POP3_CAPA_OK "TOP\r\nUIDL\r\nRESP-CODES\r\nAUTH-RESP-CODE\r\nPIPELINING\r\n");
	if (pop3_offers_tls(s))
		pop3_reply(s, "STLS\r\n");
	if (pop3_takes_passwords(s))
		pop3_reply(s, "USER\r\nUTF8 USER\r\n");
	else
		pop3_reply(s, "UTF8\r\n");
	put_mechanisms(s);
	if (s->takes_xclient && s->state == POP3_AUTHORIZATION)
		pop3_reply(s, "XCLIENT\r\n");
	pop3_reply(s, "LANG\r\nEXPIRE ");
	if (s->policy->expire_days == 0)
		pop3_reply(s, "NEVER");
	else
		segments_put_u64(s->reply, s->policy->expire_days);
	if (s->policy->login_delay_s != 0) {
		pop3_reply(s, "\r\nLOGIN-DELAY ");
		segments_put_u64(s->reply, s->policy->login_delay_s);
	}
	pop3_reply(s, "\r\nIMPLEMENTATION ");
	pop3_reply(s, s->policy->implementation);
	return pop3_reply(s, "\r\n.\r\n");
}

enum pop3_next
any_noop(struct pop3_session *s, const struct pop3_args *args)
{
	(void)args;
	return pop3_reply(s, POP3_NOOP_OK);
}

/* UTF8 (RFC 6856, section 2).  Messages are served as they were delivered in any case, so after
 * login, where Outlook sends it, it changes nothing either. */
enum pop3_next
any_utf8(struct pop3_session *s, const struct pop3_args *args)
{
	(void)args;
	return pop3_reply(s, POP3_UTF8_OK);
}

/* LANG (RFC 6856, section 3): we speak English; "*" leaves the choice to us. */
enum pop3_next
any_lang(struct pop3_session *s, const struct pop3_args *args)
{
	if (args->text.length == 0)
		return pop3_reply(s, POP3_LANG_LIST_OK "en English\r\ni-default Default\r\n.\r\n");
	if (span_equals_nocase(args->text, SPAN("en")) ||
		span_equals_nocase(args->text, SPAN("i-default")) ||
		span_equals(args->text, SPAN("*")))
		return pop3_reply(s, POP3_LANG_OK);
	return pop3_reply(s, POP3_NO_SUCH_LANGUAGE);
}

enum pop3_next
any_quit(struct pop3_session *s, const struct pop3_args *args)
{
	(void)args;
	return pop3_end_session(s, POP3_END_QUIT, POP3_QUIT_OK);
}

const char *
pop3_end_word(enum pop3_end end)
{
	static const char *const words[] = {
		[POP3_END_NONE] = "none",
		[POP3_END_QUIT] = "quit",
		[POP3_END_UPDATE_FAILED] = "update_failed",
		[POP3_END_FAILED_LOGINS] = "failed_logins",
		[POP3_END_UNKNOWN_COMMANDS] = "unknown_commands",
		[POP3_END_FOREIGN_PROTOCOL] = "foreign_protocol",
		[POP3_END_XCLIENT] = "xclient",
		[POP3_END_TURNED_AWAY] = "turned_away",
	};

	return words[end];
}
