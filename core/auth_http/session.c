/*
 * session.c - see session.h.
 *
 * Each header that we know is a row of a table; the others are passed over.  A header that is there
 * twice, a value that cannot be read, a line that is no header: nginx says no such thing, so the
 * question is not to be trusted, and is answered 400.
 */
#include "core/auth_http/session.h"

#include "core/pop3/reply.h"
#include "io/base/must.h"
#include "io/proxyhdr.h"

#define APOP_DIGEST_OCTETS 32u
#define RETRY_S            "1" /* the delays of failed logins are behind the question already */

/* ---- values -------------------------------------------------------------------------------- */

static int
hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* nginx writes %XX for what would not fit a header (NGX_ESCAPE_MAIL_AUTH).  What is longer than
 * `max` octets is cut.  False: a % that is none of these. */
static bool
read_escaped(struct span value, char *to, size_t max, uint16_t *octets_out)
{
	size_t octets = 0;

	for (size_t i = 0; i < value.length; i++) {
		char c = value.at[i];

		if (c == '%') {
			int high = i + 2 < value.length ? hex_value(value.at[i + 1]) : -1;
			int low = high < 0 ? -1 : hex_value(value.at[i + 2]);

			if (low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (octets < max)
			to[octets++] = c;
	}
	*octets_out = (uint16_t)octets;
	return true;
}

static bool
read_method(struct auth_http_session *s, struct span value)
{
	s->is_plain = span_equals_nocase(value, SPAN("plain"));
	s->is_apop = span_equals_nocase(value, SPAN("apop"));
	return true;
}

static bool
read_name(struct auth_http_session *s, struct span value)
{
	return read_escaped(value, s->name, sizeof(s->name), &s->name_octets);
}

static bool
read_secret(struct auth_http_session *s, struct span value)
{
	return read_escaped(value, s->secret, sizeof(s->secret), &s->secret_octets);
}

static bool
read_stamp(struct auth_http_session *s, struct span value)
{
	return read_escaped(value, s->stamp, sizeof(s->stamp), &s->stamp_octets);
}

static bool
read_protocol(struct auth_http_session *s, struct span value)
{
	s->is_pop3 = span_equals_nocase(value, SPAN("pop3"));
	return true;
}

static bool
read_attempt(struct auth_http_session *s, struct span value)
{
	return span_to_u64(value, UINT64_MAX, &s->attempt);
}

/* An address, or "unix:" where the client came by a local socket. */
static bool
read_client(struct auth_http_session *s, struct span value)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	char text[INET6_ADDRSTRLEN];

	s->has_client = true;
	memset(&s->client, 0, sizeof(s->client));
	s->client.ss_family = AF_UNIX;
	if (value.length >= 5 && memcmp(value.at, "unix:", 5) == 0)
		return true;
	if (value.length >= sizeof(text))
		return false;
	memcpy(text, value.at, value.length);
	text[value.length] = '\0';
	if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
		memcpy(&s->client, &four, sizeof(four));
		return true;
	}
	if (inet_pton(AF_INET6, text, &six.sin6_addr) != 1)
		return false;
	memcpy(&s->client, &six, sizeof(six));
	proxyhdr_unmap(&s->client);
	return true;
}

static bool
read_tls(struct auth_http_session *s, struct span value)
{
	s->client_speaks_tls = span_equals_nocase(value, SPAN("on"));
	return true;
}

struct header {
	const char *name;
	bool (*read)(struct auth_http_session *s, struct span value);
};

static const struct header headers[] = {
	{ "Auth-Method", read_method },
	{ "Auth-User", read_name },
	{ "Auth-Pass", read_secret },
	{ "Auth-Salt", read_stamp },
	{ "Auth-Protocol", read_protocol },
	{ "Auth-Login-Attempt", read_attempt },
	{ "Client-IP", read_client },
	{ "Auth-SSL", read_tls },
};

/* ---- answers ------------------------------------------------------------------------------- */

static void
put(struct auth_http_session *s, struct span octets)
{
	segments_put(s->reply, octets);
}

static void
put_header(struct auth_http_session *s, struct span name, struct span value)
{
	put(s, name);
	put(s, SPAN(": "));
	put(s, value);
	put(s, SPAN("\r\n"));
}

static enum auth_http_next
end_with(struct auth_http_session *s, enum auth_http_end end, enum auth_http_next next)
{
	put(s, SPAN("Content-Length: 0\r\nConnection: close\r\n\r\n"));
	s->end = (uint8_t)end;
	return next;
}

/* nginx takes any other status for a fault of ours, and its client hears "internal server error". */
static enum auth_http_next
refuse(struct auth_http_session *s, struct span status)
{
	put(s, SPAN("HTTP/1.0 "));
	put(s, status);
	put(s, SPAN("\r\n"));
	return end_with(s, AUTH_HTTP_END_MALFORMED, AUTH_HTTP_NEXT_REFUSE);
}

static enum auth_http_next
malformed(struct auth_http_session *s)
{
	return refuse(s, SPAN("400 Bad Request"));
}

/* What the client hears: a line of POP3, without its -ERR, which nginx puts there itself. */
static enum auth_http_next
say_no(struct auth_http_session *s, enum auth_http_end end, struct span line, bool may_try_again)
{
	struct span words = span_after(line, strlen("-ERR "));

	words.length -= strlen("\r\n");
	put(s, SPAN("HTTP/1.0 200 OK\r\n"));
	put_header(s, SPAN("Auth-Status"), words);
	if (may_try_again)
		put_header(s, SPAN("Auth-Wait"), SPAN(RETRY_S));
	return end_with(s, end, AUTH_HTTP_NEXT_CLOSE);
}

/* Could it stand in a header?  nginx reads no escapes there, and takes blanks off both ends. */
static bool
fits_header(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if ((unsigned char)text.at[i] < ' ' || text.at[i] == '\x7f')
			return false;
	return text.length > 0 && text.at[0] != ' ' && text.at[text.length - 1] != ' ';
}

static enum auth_http_next
say_where(struct auth_http_session *s, const char *backend, struct span plain_secret)
{
	struct backend place = s->policy->backend;
	char port[SPAN_U64_DIGITS_MAX];
	bool is_known = backend[0] == '\0' || backend_read(backend, place.port, &place);

	/* by APOP nginx has heard no password, and it needs one to log in there */
	if (!is_known || (s->is_apop && !fits_header(plain_secret)))
		return say_no(s, AUTH_HTTP_END_NO_BACKEND, SPAN(POP3_LOGIN_UNKNOWABLE), false);
	put(s, SPAN("HTTP/1.0 200 OK\r\nAuth-Status: OK\r\n"));
	put_header(s, SPAN("Auth-Server"), span_of_string(place.address));
	put_header(s, SPAN("Auth-Port"), span_of(port, span_put_u64(place.port, port)));
	if (s->is_apop)
		put_header(s, SPAN("Auth-Pass"), plain_secret);
	return end_with(s, AUTH_HTTP_END_ANSWERED, AUTH_HTTP_NEXT_CLOSE);
}

enum auth_http_next
auth_http_session_answered(struct auth_http_session *s, enum login_verdict verdict,
	const char *backend, struct span plain_secret)
{
	bool may_try_again = s->attempt < s->policy->failed_logins_max;

	explicit_bzero(s->secret, sizeof(s->secret));
	switch (verdict) {
	case LOGIN_GOOD:
		return say_where(s, backend, plain_secret);
	case LOGIN_BAD:
		return say_no(s, AUTH_HTTP_END_ANSWERED, SPAN(POP3_LOGIN_FAILED), may_try_again);
	case LOGIN_TOO_SOON:
	case LOGIN_TOO_MANY:
	case LOGIN_UNAVAILABLE:
		break;
	}
	return say_no(s, AUTH_HTTP_END_ANSWERED, SPAN(POP3_LOGIN_UNKNOWABLE), may_try_again);
}

/* ---- the question -------------------------------------------------------------------------- */

static bool
is_digest(struct span text)
{
	for (size_t i = 0; i < text.length; i++)
		if (hex_value(text.at[i]) < 0)
			return false;
	return text.length == APOP_DIGEST_OCTETS;
}

/* The headers have ended. */
static enum auth_http_next
take_question(struct auth_http_session *s)
{
	if (!s->has_client)
		return malformed(s);
	if (!s->is_pop3 || (!s->is_plain && !s->is_apop))
		return say_no(s, AUTH_HTTP_END_NOT_OFFERED, SPAN(POP3_MECHANISM_NOT_HERE), false);
	if (s->is_plain && !s->client_speaks_tls && !s->policy->plaintext_auth)
		return say_no(s, AUTH_HTTP_END_CLEAR, SPAN(POP3_PLAINTEXT_REFUSED), false);
	if (s->is_apop &&
		(s->stamp_octets == 0 || !is_digest(span_of(s->secret, s->secret_octets))))
		return malformed(s);
	return AUTH_HTTP_NEXT_VERIFY;
}

struct login_question
auth_http_session_question(const struct auth_http_session *s)
{
	return (struct login_question){
		.kind = s->is_apop ? LOGIN_APOP : LOGIN_PASSWORD,
		.mechanism = s->is_apop ? "APOP" : "USER",
		.name = span_of(s->name, s->name_octets),
		.secret = span_of(s->secret, s->secret_octets),
		.stamp = span_of(s->stamp, s->stamp_octets),
	};
}

static bool
begins_with_get(struct span octets)
{
	size_t length = octets.length < 4 ? octets.length : 4;

	return memcmp(octets.at, "GET ", length) == 0;
}

/* "GET /any/place HTTP/1.0" */
static bool
is_request_line(struct span line)
{
	const char *version = memrchr(line.at, ' ', line.length);

	return line.length > 4 && begins_with_get(line) && version != NULL &&
		version > line.at + 4 && line.at + line.length - version > 8 &&
		memcmp(version, " HTTP/1.", 8) == 0;
}

static struct span
trimmed(struct span s)
{
	while (s.length > 0 && (s.at[0] == ' ' || s.at[0] == '\t'))
		s = span_after(s, 1);
	while (s.length > 0 && (s.at[s.length - 1] == ' ' || s.at[s.length - 1] == '\t'))
		s.length--;
	return s;
}

static enum auth_http_next
hear_header(struct auth_http_session *s, struct span line)
{
	const char *colon = memchr(line.at, ':', line.length);
	struct span name;

	if (colon == NULL || colon == line.at || line.at[0] == ' ' || line.at[0] == '\t')
		return malformed(s);
	name = span_of(line.at, (size_t)(colon - line.at));
	for (size_t i = 0; i < array_count(headers); i++) {
		if (!span_equals_nocase(name, span_of_string(headers[i].name)))
			continue;
		if ((s->seen & 1u << i) != 0 ||
			!headers[i].read(s, trimmed(span_after(line, name.length + 1))))
			return malformed(s);
		s->seen |= (uint16_t)(1u << i);
	}
	return AUTH_HTTP_NEXT_LINE;
}

enum auth_http_next
auth_http_session_line(struct auth_http_session *s, struct span line)
{
	if (++s->lines > AUTH_HTTP_LINES_MAX)
		return auth_http_session_line_too_long(s);
	if (s->lines == 1)
		return is_request_line(line) ? AUTH_HTTP_NEXT_LINE : malformed(s);
	return line.length == 0 ? take_question(s) : hear_header(s, line);
}

enum auth_http_next
auth_http_session_line_too_long(struct auth_http_session *s)
{
	return refuse(s, SPAN("431 Request Header Fields Too Large"));
}

bool
auth_http_session_is_foreign(struct auth_http_session *s, struct span first_octets)
{
	if (begins_with_get(first_octets))
		return false;
	(void)refuse(s, SPAN("405 Method Not Allowed\r\nAllow: GET"));
	return true;
}

void
auth_http_session_timed_out(struct auth_http_session *s)
{
	(void)refuse(s, SPAN("408 Request Timeout"));
	s->end = AUTH_HTTP_END_TIMED_OUT;
}

/* ---- the session --------------------------------------------------------------------------- */

void
auth_http_session_init(
	struct auth_http_session *s, const struct auth_http_policy *policy, struct segments *reply)
{
	*s = (struct auth_http_session){ .policy = policy, .reply = reply };
}

void
auth_http_session_end(struct auth_http_session *s)
{
	explicit_bzero(s->secret, sizeof(s->secret));
}

const char *
auth_http_end_word(enum auth_http_end end)
{
	static const char *const words[] = {
		[AUTH_HTTP_END_NONE] = "none",
		[AUTH_HTTP_END_ANSWERED] = "answered",
		[AUTH_HTTP_END_NOT_OFFERED] = "not_offered",
		[AUTH_HTTP_END_CLEAR] = "clear",
		[AUTH_HTTP_END_NO_BACKEND] = "no_backend",
		[AUTH_HTTP_END_MALFORMED] = "malformed",
		[AUTH_HTTP_END_TIMED_OUT] = "timed_out",
	};

	return words[end];
}
