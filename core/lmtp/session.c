/*
 * session.c - the LMTP session: the command table and what holds in every state.
 *
 * A command is one row and one short handler.  MAIL and RCPT are in envelope.c, DATA, BDAT and the
 * replies to a message in content.c.
 */
#include "core/lmtp/session_internal.h"

#include "core/limits.h"
#include "core/lmtp/path.h"
#include "io/base/must.h"

#define ALWAYS (LMTP_CLEAR | LMTP_READY | LMTP_MAIL | LMTP_CHUNKS)

static_assert(LMTP_NAME_OCTETS_MAX + LMTP_PATH_OCTETS_MAX <= LINE_OCTETS_MAX,
	"client and sender fit one block");

static enum lmtp_next any_lhlo(struct lmtp_session *s, struct span args);
static enum lmtp_next any_helo(struct lmtp_session *s, struct span args);
static enum lmtp_next any_starttls(struct lmtp_session *s, struct span args);
static enum lmtp_next any_xclient(struct lmtp_session *s, struct span args);
static enum lmtp_next any_rset(struct lmtp_session *s, struct span args);
static enum lmtp_next any_noop(struct lmtp_session *s, struct span args);
static enum lmtp_next any_vrfy(struct lmtp_session *s, struct span args);
static enum lmtp_next any_not_here(struct lmtp_session *s, struct span args);
static enum lmtp_next any_help(struct lmtp_session *s, struct span args);
static enum lmtp_next any_quit(struct lmtp_session *s, struct span args);

/* BDAT is heard in every state: whatever is wrong, its octets must not be read as commands. */
static const struct lmtp_command commands[] = {
	{ "MAIL", LMTP_READY, ARGS_SOME, envelope_mail, LMTP_WRONG_SENDER },
	{ "RCPT", LMTP_MAIL, ARGS_SOME, envelope_rcpt, LMTP_WRONG_RECIPIENT },
	{ "DATA", LMTP_MAIL, ARGS_NONE, content_data, LMTP_TAKES_NO_ARGUMENT },
	{ "BDAT", ALWAYS, ARGS_ANY, content_bdat, LMTP_WRONG_CHUNK },
	{ "LHLO", ALWAYS, ARGS_SOME, any_lhlo, LMTP_NEEDS_NAME },
	{ "RSET", ALWAYS, ARGS_NONE, any_rset, LMTP_TAKES_NO_ARGUMENT },
	{ "NOOP", ALWAYS, ARGS_ANY, any_noop, NULL },
	{ "QUIT", ALWAYS, ARGS_NONE, any_quit, LMTP_TAKES_NO_ARGUMENT },
	{ "STARTTLS", ALWAYS, ARGS_NONE, any_starttls, LMTP_TAKES_NO_ARGUMENT },
	{ "XCLIENT", LMTP_CLEAR | LMTP_READY, ARGS_SOME, any_xclient, LMTP_XCLIENT_MALFORMED },
	{ "VRFY", ALWAYS, ARGS_SOME, any_vrfy, LMTP_NEEDS_ARGUMENT },
	{ "EXPN", ALWAYS, ARGS_ANY, any_not_here, NULL },
	{ "HELP", ALWAYS, ARGS_ANY, any_help, NULL },
	{ "HELO", ALWAYS, ARGS_ANY, any_helo, NULL },
	{ "EHLO", ALWAYS, ARGS_ANY, any_helo, NULL },
};

/* Browsers, proxies and scanners that took us for a web server. */
static const char *const foreign_verbs[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS",
	"CONNECT", "TRACE", "PATCH", "PRI" };

void
lmtp_session_init(struct lmtp_session *s, const struct lmtp_policy *policy, struct segments *reply,
	struct slab *names, struct slab *recipient_blocks)
{
	*s = (struct lmtp_session){
		.policy = policy,
		.reply = reply,
		.names = names,
		.recipient_blocks = recipient_blocks,
		.state = LMTP_CLEAR,
	};
}

/* All that was heard. */
static void
forget(struct lmtp_session *s)
{
	envelope_forget(s);
	if (s->name != NULL)
		slab_give(s->names, s->name);
	s->name = NULL;
	s->name_octets = 0;
	s->name_is_told = false;
	s->state = LMTP_CLEAR;
}

void
lmtp_session_end(struct lmtp_session *s)
{
	forget(s);
	s->state = LMTP_ENDED;
}

enum lmtp_next
lmtp_end_session(struct lmtp_session *s, enum lmtp_end why, const char *line)
{
	lmtp_reply(s, line);
	s->end = (uint8_t)why;
	s->state = LMTP_ENDED;
	return why == LMTP_END_QUIT ? LMTP_NEXT_CLOSE : LMTP_NEXT_REFUSE;
}

enum lmtp_next
lmtp_session_break(struct lmtp_session *s, enum lmtp_end why)
{
	return lmtp_end_session(s, why, why == LMTP_END_TIMED_OUT ? LMTP_TIMED_OUT : LMTP_CLOSING);
}

enum lmtp_next
lmtp_session_greet(struct lmtp_session *s)
{
	lmtp_reply(s, "220 ");
	lmtp_reply(s, s->policy->hostname);
	lmtp_reply(s, " LMTP ");
	lmtp_reply(s, s->policy->greeting);
	return lmtp_reply(s, "\r\n");
}

enum lmtp_next
lmtp_session_secured(struct lmtp_session *s)
{
	forget(s);
	s->errors_in_a_row = 0;
	s->is_secure = true;
	return LMTP_NEXT_LINE;
}

/* ---- reading a line ------------------------------------------------------------------------ */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct span
lmtp_without_blanks(struct span s)
{
	while (s.length > 0 && is_blank(s.at[0]))
		s = span_after(s, 1);
	while (s.length > 0 && is_blank(s.at[s.length - 1]))
		s.length--;
	return s;
}

struct span
lmtp_take_word(struct span *rest)
{
	size_t length = 0;
	struct span word;

	while (length < rest->length && !is_blank(rest->at[length]))
		length++;
	word = span_of(rest->at, length);
	*rest = lmtp_without_blanks(span_after(*rest, length));
	return word;
}

static const struct lmtp_command *
find_command(struct span word)
{
	for (size_t i = 0; i < array_count(commands); i++)
		if (span_equals_nocase(word, span_of_string(commands[i].name)))
			return &commands[i];
	return NULL;
}

static bool
is_foreign_verb(struct span word)
{
	for (size_t i = 0; i < array_count(foreign_verbs); i++)
		if (span_equals_nocase(word, span_of_string(foreign_verbs[i])))
			return true;
	return false;
}

enum lmtp_next
lmtp_refuse(struct lmtp_session *s, const char *line)
{
	if (++s->errors_in_a_row >= LMTP_ERRORS_MAX)
		return lmtp_end_session(s, LMTP_END_ERRORS, LMTP_TOO_MANY_ERRORS);
	return lmtp_reply(s, line);
}

/* What a command is answered with that does not belong where the session is. */
static const char *
out_of_place(const struct lmtp_session *s)
{
	switch ((enum lmtp_state)s->state) {
	case LMTP_CLEAR:
		return LMTP_LHLO_FIRST;
	case LMTP_READY:
		return LMTP_MAIL_FIRST;
	case LMTP_MAIL:
		return LMTP_MAIL_ALREADY;
	case LMTP_CHUNKS:
	case LMTP_DATA:
	case LMTP_ENDED:
		break;
	}
	return LMTP_CHUNKS_ALREADY;
}

static enum lmtp_next
do_command(struct lmtp_session *s, const struct lmtp_command *command, struct span args)
{
	uint8_t errors = s->errors_in_a_row;
	enum lmtp_next next;

	if ((command->states & s->state) == 0)
		return lmtp_refuse(s, out_of_place(s));
	if ((command->args == ARGS_NONE && args.length > 0) ||
		(command->args == ARGS_SOME && args.length == 0))
		return lmtp_refuse(s, command->refusal);
	next = command->handle(s, args);
	if (s->errors_in_a_row == errors)
		s->errors_in_a_row = 0;
	return next;
}

enum lmtp_next
lmtp_session_line(struct lmtp_session *s, struct span line)
{
	struct span args = line;
	struct span word = lmtp_take_word(&args);
	const struct lmtp_command *command = find_command(word);
	bool is_first = !s->heard_a_line;

	must((s->state & ALWAYS) != 0 && !s->in_chunk);
	s->heard_a_line = true;
	if (command != NULL)
		return do_command(s, command, args);
	if (is_first && is_foreign_verb(word))
		return lmtp_end_session(s, LMTP_END_FOREIGN_PROTOCOL, LMTP_FOREIGN);
	return lmtp_refuse(s, word.length == 0 ? LMTP_EMPTY_LINE : LMTP_UNKNOWN_COMMAND);
}

enum lmtp_next
lmtp_session_line_too_long(struct lmtp_session *s)
{
	s->heard_a_line = true;
	return lmtp_refuse(s, LMTP_LINE_TOO_LONG);
}

/* A TLS record begins with its type, handshake, 0x16 (RFC 8446, section 5.1); no command does. */
bool
lmtp_session_is_foreign(struct lmtp_session *s, struct span first_octets)
{
	if (first_octets.length == 0 || first_octets.at[0] != 0x16)
		return false;
	lmtp_end_session(s, LMTP_END_FOREIGN_PROTOCOL, LMTP_FOREIGN);
	return true;
}

/* ---- commands of any state ----------------------------------------------------------------- */

/* Whatever the client calls itself; it goes into Received lines, so it must not break them. */
static bool
is_name(struct span name)
{
	for (size_t i = 0; i < name.length; i++)
		if ((unsigned char)name.at[i] <= 0x20 || name.at[i] == 0x7f)
			return false;
	return name.length <= LMTP_NAME_OCTETS_MAX;
}

/* LHLO name: what EHLO is in SMTP (RFC 2033, section 4.1).  Begins anew. */
static enum lmtp_next
any_lhlo(struct lmtp_session *s, struct span args)
{
	struct span name = lmtp_take_word(&args);

	if (!is_name(name) || args.length > 0)
		return lmtp_refuse(s, LMTP_NEEDS_NAME);
	envelope_forget(s);
	if (s->name == NULL)
		s->name = slab_take(s->names);
	if (s->name == NULL)
		return lmtp_reply(s, LMTP_NO_MEMORY);
	if (!s->name_is_told) {
		memcpy(s->name, name.at, name.length);
		s->name_octets = (uint16_t)name.length;
	}
	s->state = LMTP_READY;
	lmtp_reply(s, "250-");
	lmtp_reply(s, s->policy->hostname);
	lmtp_reply(s, "\r\n250-PIPELINING\r\n250-ENHANCEDSTATUSCODES\r\n250-8BITMIME\r\n250-SIZE ");
	segments_put_u64(s->reply, s->policy->octets_max);
	if (s->policy->offers_tls && !s->is_secure)
		lmtp_reply(s, "\r\n250-STARTTLS");
	if (s->takes_xclient)
		lmtp_reply(s, "\r\n250-XCLIENT " LMTP_XCLIENT_ATTRIBUTES);
	return lmtp_reply(s, "\r\n250-CHUNKING\r\n250 SMTPUTF8\r\n");
}

static enum lmtp_next
any_helo(struct lmtp_session *s, struct span args)
{
	(void)args;
	return lmtp_refuse(s, LMTP_NOT_SMTP);
}

/* STARTTLS (RFC 3207). */
static enum lmtp_next
any_starttls(struct lmtp_session *s, struct span args)
{
	(void)args;
	if (s->is_secure)
		return lmtp_refuse(s, LMTP_TLS_ALREADY);
	if (!s->policy->offers_tls)
		return lmtp_refuse(s, LMTP_TLS_NOT_HERE);
	lmtp_reply(s, LMTP_STARTTLS_OK);
	return LMTP_NEXT_TLS;
}

/* XCLIENT NAME=VALUE... (Postfix' XCLIENT_README).  All begins anew, with the greeting. */
static enum lmtp_next
any_xclient(struct lmtp_session *s, struct span args)
{
	s->run = args;
	return LMTP_NEXT_XCLIENT;
}

/* Its name, as if it had said LHLO itself. */
static void
note_told_name(struct lmtp_session *s, const char *helo)
{
	struct span name = span_of_string(helo);

	if (name.length == 0 || !is_name(name))
		return;
	s->name = slab_take(s->names);
	if (s->name == NULL)
		return;
	memcpy(s->name, name.at, name.length);
	s->name_octets = (uint16_t)name.length;
	s->name_is_told = true;
}

enum lmtp_next
lmtp_session_xclient_heard(struct lmtp_session *s, enum xclient_outcome outcome, const char *helo)
{
	s->run = span_of(NULL, 0);
	switch (outcome) {
	case XCLIENT_GOOD:
		forget(s);
		note_told_name(s, helo);
		return lmtp_session_greet(s);
	case XCLIENT_MALFORMED:
		return lmtp_refuse(s, LMTP_XCLIENT_MALFORMED);
	case XCLIENT_TURNED_AWAY:
		return lmtp_end_session(s, LMTP_END_TURNED_AWAY, "");
	case XCLIENT_NOT_ALLOWED:
		break;
	}
	return lmtp_end_session(s, LMTP_END_XCLIENT, LMTP_XCLIENT_REFUSED);
}

static enum lmtp_next
any_rset(struct lmtp_session *s, struct span args)
{
	(void)args;
	envelope_forget(s);
	return lmtp_reply(s, LMTP_OK);
}

static enum lmtp_next
any_noop(struct lmtp_session *s, struct span args)
{
	(void)args;
	return lmtp_reply(s, LMTP_OK);
}

static enum lmtp_next
any_vrfy(struct lmtp_session *s, struct span args)
{
	(void)args;
	return lmtp_reply(s, LMTP_CANNOT_VERIFY);
}

static enum lmtp_next
any_not_here(struct lmtp_session *s, struct span args)
{
	(void)args;
	return lmtp_refuse(s, LMTP_NOT_IMPLEMENTED);
}

static enum lmtp_next
any_help(struct lmtp_session *s, struct span args)
{
	(void)args;
	return lmtp_reply(s, LMTP_HELP);
}

static enum lmtp_next
any_quit(struct lmtp_session *s, struct span args)
{
	(void)args;
	return lmtp_end_session(s, LMTP_END_QUIT, LMTP_QUIT_OK);
}

const char *
lmtp_end_word(enum lmtp_end end)
{
	static const char *const words[] = {
		[LMTP_END_NONE] = "none",
		[LMTP_END_QUIT] = "quit",
		[LMTP_END_ERRORS] = "errors",
		[LMTP_END_BROKEN_CHUNK] = "broken_chunk",
		[LMTP_END_FOREIGN_PROTOCOL] = "foreign_protocol",
		[LMTP_END_TIMED_OUT] = "timed_out",
		[LMTP_END_SHUTDOWN] = "shutdown",
		[LMTP_END_XCLIENT] = "xclient",
		[LMTP_END_TURNED_AWAY] = "turned_away",
	};

	return words[end];
}
