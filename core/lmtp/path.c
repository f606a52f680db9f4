/*
 * path.c - see path.h.
 */
#include "core/lmtp/path.h"

static bool
is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

/* atext, dots, and what is above ASCII. */
static bool
is_local(char c)
{
	return !is_control(c) && strchr(" <>()[]\\,;:@\"", c) == NULL;
}

static bool
is_domain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '-' || c == '_' || c == '.' || (unsigned char)c >= 0x80;
}

static bool
is_literal(char c)
{
	return !is_control(c) && strchr(" []\\<>@", c) == NULL;
}

static size_t
run_of(struct span s, bool (*belongs)(char c))
{
	size_t length = 0;

	while (length < s.length && belongs(s.at[length]))
		length++;
	return length;
}

/* A quoted string at the front, its quotes included; 0: it has no end, or holds a control. */
static size_t
quoted_length(struct span s)
{
	for (size_t i = 1; i < s.length && !is_control(s.at[i]); i++) {
		if (s.at[i] == '"')
			return i + 1;
		if (s.at[i] == '\\' && (++i == s.length || is_control(s.at[i])))
			return 0;
	}
	return 0;
}

static size_t
local_length(struct span s)
{
	return s.length > 0 && s.at[0] == '"' ? quoted_length(s) : run_of(s, is_local);
}

/* A name, or an address in brackets. */
static size_t
domain_length(struct span s)
{
	size_t length;

	if (s.length == 0 || s.at[0] != '[')
		return run_of(s, is_domain);
	length = 1 + run_of(span_after(s, 1), is_literal);
	return length > 1 && length < s.length && s.at[length] == ']' ? length + 1 : 0;
}

/* "@host,@host:", which nobody follows any more (RFC 5321, appendix C). */
static bool
pass_over_route(struct span *rest)
{
	while (rest->length > 0 && rest->at[0] == '@') {
		size_t length = domain_length(span_after(*rest, 1));

		if (length == 0 || 1 + length >= rest->length)
			return false;
		*rest = span_after(*rest, 1 + length);
		if (rest->at[0] == ':') {
			*rest = span_after(*rest, 1);
			return true;
		}
		if (rest->at[0] != ',')
			return false;
		*rest = span_after(*rest, 1);
	}
	return false;
}

/* A domain may be missing: <postmaster>. */
static bool
take_mailbox(struct span *rest, struct span *mailbox_out)
{
	size_t local = local_length(*rest);
	size_t length = local;

	if (local < rest->length && rest->at[local] == '@') {
		size_t domain = domain_length(span_after(*rest, local + 1));

		if (domain == 0)
			return false;
		length += 1 + domain;
	}
	if (local == 0 || length > LMTP_PATH_OCTETS_MAX)
		return false;
	*mailbox_out = span_of(rest->at, length);
	*rest = span_after(*rest, length);
	return true;
}

bool
lmtp_path_take(struct span *rest, struct span *mailbox_out)
{
	struct span s = *rest;

	if (s.length < 2 || s.at[0] != '<')
		return false;
	s = span_after(s, 1);
	*mailbox_out = span_of(s.at, 0);
	if (s.at[0] == '@') {
		if (!pass_over_route(&s) || !take_mailbox(&s, mailbox_out))
			return false;
	} else if (s.at[0] != '>' && !take_mailbox(&s, mailbox_out)) {
		return false;
	}
	if (s.length == 0 || s.at[0] != '>')
		return false;
	*rest = span_after(s, 1);
	return true;
}

size_t
lmtp_mailbox_plain(struct span mailbox, char *to)
{
	size_t local = local_length(mailbox);
	size_t put = 0;

	if (mailbox.length == 0 || mailbox.at[0] != '"') {
		memcpy(to, mailbox.at, mailbox.length);
		return mailbox.length;
	}
	for (size_t i = 1; i + 1 < local; i++) {
		i += mailbox.at[i] == '\\';
		to[put++] = mailbox.at[i];
	}
	memcpy(to + put, mailbox.at + local, mailbox.length - local);
	return put + mailbox.length - local;
}

bool
lmtp_is_ascii(struct span s)
{
	for (size_t i = 0; i < s.length; i++)
		if ((unsigned char)s.at[i] >= 0x80)
			return false;
	return true;
}
