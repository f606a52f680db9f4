/*
 * mix.c - reading a mix: a row for each word, one pass, rules checked where a step is added.
 */
#include "bench/load/mix.h"

#include "io/base/must.h"
#include "io/base/span.h"

#include <errno.h>

struct word {
	const char *text;
	enum mix_verb verb;
	enum mix_reach reach;
	bool takes_lines;
};

static const struct word words[] = {
	{ "connect", MIX_CONNECT, MIX_ONCE, false },
	{ "capa", MIX_CAPA, MIX_ONCE, false },
	{ "user", MIX_USER, MIX_ONCE, false },
	{ "pass", MIX_PASS, MIX_ONCE, false },
	{ "stat", MIX_STAT, MIX_ONCE, false },
	{ "list", MIX_LIST, MIX_ONCE, false },
	{ "uidl", MIX_UIDL, MIX_ONCE, false },
	{ "retr-one", MIX_RETR, MIX_ONE_MESSAGE, false },
	{ "retr-all", MIX_RETR, MIX_ALL_MESSAGES, false },
	{ "top-all", MIX_TOP, MIX_ALL_MESSAGES, true },
	{ "dele-all", MIX_DELE, MIX_ALL_MESSAGES, false },
	{ "rset", MIX_RSET, MIX_ONCE, false },
	{ "noop", MIX_NOOP, MIX_ONCE, false },
	{ "hold", MIX_HOLD, MIX_ONCE, false },
	{ "quit", MIX_QUIT, MIX_ONCE, false },
};

static const char *const verb_names[MIX_VERB_COUNT] = {
	[MIX_CONNECT] = "connect",
	[MIX_CAPA] = "CAPA",
	[MIX_USER] = "USER",
	[MIX_PASS] = "PASS",
	[MIX_STAT] = "STAT",
	[MIX_LIST] = "LIST",
	[MIX_UIDL] = "UIDL",
	[MIX_RETR] = "RETR",
	[MIX_TOP] = "TOP",
	[MIX_DELE] = "DELE",
	[MIX_RSET] = "RSET",
	[MIX_NOOP] = "NOOP",
	[MIX_HOLD] = "hold",
	[MIX_QUIT] = "QUIT",
};

const char *
mix_verb_name(enum mix_verb verb)
{
	return verb_names[verb];
}

static const struct word *
word_find(const char *text)
{
	for (size_t i = 0; i < array_count(words); i++) {
		if (strcmp(words[i].text, text) == 0)
			return &words[i];
	}
	return NULL;
}

static bool
mix_has(const struct mix *mix, enum mix_verb verb)
{
	for (unsigned i = 0; i < mix->step_count; i++) {
		if (mix->steps[i].verb == verb)
			return true;
	}
	return false;
}

/* Take one step up; NULL or what forbids it here. */
static const char *
mix_add(struct mix *mix, const struct word *word, unsigned lines)
{
	if (mix->step_count == MIX_STEPS_MAX)
		return "more than 64 steps";
	if ((mix->step_count == 0) != (word->verb == MIX_CONNECT))
		return "`connect` comes first, and only there";
	if (mix_has(mix, MIX_QUIT))
		return "`quit` comes last, and only there";
	if (word->reach != MIX_ONCE && !mix_has(mix, MIX_STAT))
		return "`stat` must come before what goes through the messages";
	if (word->verb == MIX_HOLD && mix->holds)
		return "`hold` stands only once";

	mix->steps[mix->step_count++] = (struct mix_step){ word->verb, word->reach, lines };
	mix->holds |= word->verb == MIX_HOLD;
	mix->deletes |= word->verb == MIX_DELE;
	return NULL;
}

/* One line without its comment: NULL or what is wrong with it. */
static const char *
mix_read_line(struct mix *mix, char *line)
{
	char *rest, *text = strtok_r(line, " \t\r\n", &rest);
	const struct word *word;
	const char *argument;
	uint64_t lines = 0;

	if (text == NULL)
		return NULL;
	word = word_find(text);
	if (word == NULL)
		return "no such step (the words stand at the head of bench/load/mix.h)";
	argument = strtok_r(NULL, " \t\r\n", &rest);
	if (word->takes_lines &&
		(argument == NULL || !span_to_u64(span_of_string(argument), UINT32_MAX, &lines)))
		return "it takes the number of lines";
	if (word->takes_lines)
		argument = strtok_r(NULL, " \t\r\n", &rest);
	if (argument != NULL)
		return "something stands behind the step";
	return mix_add(mix, word, (unsigned)lines);
}

static void
mix_name_from_path(struct mix *mix, const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *base = slash == NULL ? path : slash + 1;
	const char *dot = strrchr(base, '.');
	int length = (int)(dot == NULL ? strlen(base) : (size_t)(dot - base));

	snprintf(mix->name, sizeof(mix->name), "%.*s", length, base);
}

int
mix_read(FILE *from, const char *path, FILE *errors, struct mix *mix_out)
{
	struct mix mix = { .step_count = 0 };
	const char *wrong = NULL;
	unsigned line_number = 0;
	char line[256];

	mix_name_from_path(&mix, path);
	while (wrong == NULL && fgets(line, sizeof(line), from) != NULL) {
		line_number++;
		line[strcspn(line, "#")] = '\0';
		wrong = mix_read_line(&mix, line);
	}
	if (wrong == NULL && !mix_has(&mix, MIX_QUIT))
		wrong = "`quit` is missing at the end";
	if (wrong != NULL) {
		fprintf(errors, "%s:%u: %s\n", path, line_number, wrong);
		return -EINVAL;
	}
	*mix_out = mix;
	return 0;
}

int
mix_load(const char *path, FILE *errors, struct mix *mix_out)
{
	FILE *from = fopen(path, "re");
	int error;

	if (from == NULL) {
		error = -errno;
		fprintf(errors, "%s: %s\n", path, strerror(-error));
		return error;
	}
	error = mix_read(from, path, errors, mix_out);
	fclose(from);
	return error;
}
