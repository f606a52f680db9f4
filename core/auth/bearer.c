/*
 * bearer.c - see bearer.h.
 */
#include "core/auth/bearer.h"

#include <errno.h>

#define SEPARATOR '\1'

/* Take `prefix` off the front of *s, in any case of letters; false: it is not there. */
static bool
take(struct span *s, const char *prefix)
{
	size_t length = strlen(prefix);

	if (s->length < length || strncasecmp(s->at, prefix, length) != 0)
		return false;
	*s = span_after(*s, length);
	return true;
}

/* Take what stands before `end` off the front of *s, and `end` with it; false: there is none. */
static bool
take_until(struct span *s, char end, struct span *taken_out)
{
	const char *at = s->length == 0 ? NULL : memchr(s->at, end, s->length);

	if (at == NULL)
		return false;
	*taken_out = span_of(s->at, (size_t)(at - s->at));
	*s = span_after(*s, taken_out->length + 1);
	return true;
}

static bool
is_token(struct span s)
{
	static const char others[] = "-._~+/";
	size_t i = 0;

	for (; i < s.length; i++) {
		char c = s.at[i];
		bool is_alnum =
			(c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

		if (!is_alnum && (c == '\0' || strchr(others, c) == NULL))
			break;
	}
	if (i == 0)
		return false;
	while (i < s.length && s.at[i] == '=')
		i++;
	return i == s.length;
}

/* Pairs "key=value^A", among them the token, and a ^A behind the last. */
static bool
read_pairs(struct span said, struct span *token_out)
{
	struct span pair;
	bool has_token = false;

	while (take_until(&said, SEPARATOR, &pair)) {
		if (pair.length == 0)
			return has_token && said.length == 0;
		if (!take(&pair, "auth="))
			continue;
		if (has_token || !take(&pair, "Bearer "))
			return false;
		while (pair.length > 0 && pair.at[0] == ' ')
			pair = span_after(pair, 1);
		if (!is_token(pair))
			return false;
		*token_out = pair;
		has_token = true;
	}
	return false;
}

bool
bearer_read_oauth(struct span said, struct bearer *bearer_out)
{
	struct bearer b = { .name = span_of("", 0) };
	struct span header;

	/* gs2-header: no channel is bound to; then "a=name" or nothing. */
	if (!take(&said, "n,") && !take(&said, "y,"))
		return false;
	if (!take_until(&said, ',', &header))
		return false;
	if (header.length > 0 && !take(&header, "a="))
		return false;
	b.name = header;
	if (said.length == 0 || said.at[0] != SEPARATOR)
		return false;
	said = span_after(said, 1);
	if (!read_pairs(said, &b.token))
		return false;
	*bearer_out = b;
	return true;
}

bool
bearer_read_xoauth2(struct span said, struct bearer *bearer_out)
{
	struct bearer b;

	if (!take(&said, "user=") || !take_until(&said, SEPARATOR, &b.name) || b.name.length == 0)
		return false;
	if (!read_pairs(said, &b.token))
		return false;
	*bearer_out = b;
	return true;
}

int
bearer_unescape_name(struct span name, char *to)
{
	size_t length = 0;

	while (name.length > 0) {
		if (name.at[0] == '\0' || name.at[0] == ',')
			return -EINVAL;
		if (name.at[0] != '=') {
			to[length++] = name.at[0];
			name = span_after(name, 1);
		} else if (take(&name, "=2C")) {
			to[length++] = ',';
		} else if (take(&name, "=3D")) {
			to[length++] = '=';
		} else {
			return -EINVAL;
		}
	}
	return (int)length;
}
