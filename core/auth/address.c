/*
 * address.c - the canonical form of a login name.
 */
#include "core/auth/address.h"

#include <errno.h>

/* Octets of the UTF-8 character at the start of `s` (RFC 3629: shortest form, no surrogates, up to
 * U+10FFFF), or 0 where there is none. */
static size_t
utf8_length(struct span s)
{
	const unsigned char *at = (const unsigned char *)s.at;
	size_t length = at[0] < 0x80 ? 1 : at[0] < 0xe0 ? 2 : at[0] < 0xf0 ? 3 : 4;

	if ((at[0] >= 0x80 && at[0] < 0xc2) || at[0] > 0xf4 || length > s.length)
		return 0;
	for (size_t i = 1; i < length; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	}
	if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
		(at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
		return 0;
	return length;
}

/* Visible characters only: no controls (C1 too), no blanks, no broken UTF-8. */
static bool
is_visible(struct span s)
{
	while (s.length > 0) {
		size_t length = utf8_length(s);
		unsigned char first = (unsigned char)s.at[0];

		if (length == 0 || first <= 0x20 || first == 0x7f)
			return false;
		if (first == 0xc2 && (unsigned char)s.at[1] <= 0xa0)
			return false;
		s = span_after(s, length);
	}
	return true;
}

/* Dots part the labels of a domain, none of which is empty. */
static bool
is_domain(struct span s)
{
	char before = '.';

	for (size_t i = 0; i < s.length; i++) {
		char c = s.at[i];

		if ((unsigned char)c < 0x80 && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') &&
			!(c >= '0' && c <= '9') && c != '-' && c != '_' && c != '.')
			return false;
		if (c == '.' && before == '.')
			return false;
		before = c;
	}
	return before != '.';
}

/* The local part without its detail.  A separator in front cuts nothing: nothing would be left. */
static struct span
without_detail(struct span local, const char *separator)
{
	const char *cut;

	if (separator[0] == '\0' || local.length < 2)
		return local;
	cut = memmem(local.at + 1, local.length - 1, separator, strlen(separator));
	return cut == NULL ? local : span_of(local.at, (size_t)(cut - local.at));
}

static char *
put_lower(char *to, struct span s)
{
	for (size_t i = 0; i < s.length; i++) {
		char c = s.at[i];

		*to++ = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
	}
	return to;
}

int
address_canonical(struct span login, const struct address_rules *rules,
	char address_out[ACCOUNT_ADDRESS_OCTETS_MAX + 1])
{
	const char *at = login.length == 0 ? NULL : memchr(login.at, '@', login.length);
	struct span domain = span_of_string(rules->default_domain);
	struct span local = login;
	char *end;

	if (at != NULL) {
		local.length = (size_t)(at - login.at);
		domain = span_after(login, local.length + 1);
	}
	if (local.length == 0 || domain.length == 0 || !is_visible(local) || !is_visible(domain) ||
		!is_domain(domain))
		return -EINVAL;
	local = without_detail(local, rules->detail_separator);
	if (local.length > ADDRESS_LOCAL_OCTETS_MAX ||
		local.length + 1 + domain.length > ACCOUNT_ADDRESS_OCTETS_MAX)
		return -EINVAL;
	end = put_lower(address_out, local);
	*end++ = '@';
	end = put_lower(end, domain);
	*end = '\0';
	return 0;
}
