/*
 * settings_text.c - see settings_text.h.
 *
 * As in libconfuse, a comment begins where a word could begin: in a=b#c or http://x it does not.
 */
#include "core/settings_text.h"

#include <string.h>

struct reader {
	char *at;
	char *end;
};

static int
follows(const struct reader *r, const char *mark)
{
	size_t length = strlen(mark);

	return (size_t)(r->end - r->at) >= length && memcmp(r->at, mark, length) == 0;
}

static void
blank(struct reader *r)
{
	if (*r->at != '\n')
		*r->at = ' ';
	r->at++;
}

static void
blank_line(struct reader *r)
{
	while (r->at < r->end && *r->at != '\n')
		blank(r);
}

static void
blank_block(struct reader *r)
{
	blank(r);
	blank(r);
	while (r->at < r->end && !follows(r, "*/"))
		blank(r);
	for (int i = 0; i < 2 && r->at < r->end; i++)
		blank(r);
}

static void
pass_quoted(struct reader *r)
{
	char quote = *r->at++;

	while (r->at < r->end && *r->at != quote)
		r->at += *r->at == '\\' && r->at + 1 < r->end ? 2 : 1;
	if (r->at < r->end)
		r->at++;
}

void
settings_blank_comments(char *text, size_t length)
{
	struct reader r = { .at = text, .end = text + length };
	char before = '\n';

	while (r.at < r.end) {
		if (strchr(" \t\r\n={}(),+;", before) == NULL || before == '\0')
			before = *r.at++;
		else if (*r.at == '#' || follows(&r, "//"))
			blank_line(&r);
		else if (follows(&r, "/*"))
			blank_block(&r);
		else if (*r.at == '"' || *r.at == '\'')
			pass_quoted(&r);
		else
			before = *r.at++;
	}
}
