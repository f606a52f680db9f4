/*
 * mix.c - reading a mix: a row for each word, one pass, rules checked where a step is added.
 */
#include "bench/load/mix.h"

#include "io/base/must.h"
#include "io/base/span.h"

#include <errno.h>

enum flavour {
	POP3,
	LMTP,
	EITHER,
};

struct word {
	const char *text;
	enum mix_verb verb;
	enum mix_reach reach;
	enum flavour flavour;
	bool takes_number;
};

static const struct word words[] = {
	{ "connect", MIX_CONNECT, MIX_ONCE, EITHER, false },
	{ "capa", MIX_CAPA, MIX_ONCE, POP3, false },
	{ "user", MIX_USER, MIX_ONCE, POP3, false },
	{ "pass", MIX_PASS, MIX_ONCE, POP3, false },
	{ "stat", MIX_STAT, MIX_ONCE, POP3, false },
	{ "list", MIX_LIST, MIX_ONCE, POP3, false },
	{ "uidl", MIX_UIDL, MIX_ONCE, POP3, false },
	{ "retr-one", MIX_RETR, MIX_ONE_MESSAGE, POP3, false },
	{ "retr-largest", MIX_RETR, MIX_LARGEST_MESSAGE, POP3, false },
	{ "retr-new", MIX_RETR, MIX_NEW_MESSAGES, POP3, true },
	{ "retr-all", MIX_RETR, MIX_ALL_MESSAGES, POP3, false },
	{ "top-all", MIX_TOP, MIX_ALL_MESSAGES, POP3, true },
	{ "dele-all", MIX_DELE, MIX_ALL_MESSAGES, POP3, false },
	{ "rset", MIX_RSET, MIX_ONCE, POP3, false },
	{ "noop", MIX_NOOP, MIX_ONCE, EITHER, false },
	{ "hold", MIX_HOLD, MIX_ONCE, EITHER, false },
	{ "lhlo", MIX_LHLO, MIX_ONCE, LMTP, false },
	{ "mail", MIX_MAIL, MIX_ONCE, LMTP, false },
	{ "rcpt", MIX_RCPT, MIX_RECIPIENTS, LMTP, true },
	{ "data", MIX_DATA, MIX_ONCE, LMTP, false },
	{ "quit", MIX_QUIT, MIX_ONCE, EITHER, false },
};

static const char *const verb_names[MIX_VERB_COUNT] = {
	[MIX_CONNECT] = "connect",
	[MIX_STLS] = "STLS",
	[MIX_TLS] = "TLS",
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
	[MIX_LHLO] = "LHLO",
	[MIX_MAIL] = "MAIL",
	[MIX_RCPT] = "RCPT",
	[MIX_DATA] = "DATA",
	[MIX_MESSAGE] = "message",
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

/* A word's own conditions; NULL or which one is not met. */
static const char *
mix_forbids(const struct mix *mix, const struct word *word)
{
	enum mix_verb before =
		mix->step_count == 0 ? MIX_CONNECT : mix->steps[mix->step_count - 1].verb;
	bool has_lmtp = mix_has(mix, MIX_LHLO);

	if (word->flavour == POP3 && has_lmtp)
		return "that is POP3, and this mix speaks LMTP";
	if (word->flavour == LMTP && word->verb != MIX_LHLO && !has_lmtp)
		return "`lhlo` must come before";
	if (word->verb == MIX_LHLO && mix->step_count != 1)
		return "`lhlo` comes right behind `connect`";
	if (word->verb == MIX_RCPT && before != MIX_MAIL && before != MIX_RCPT)
		return "`rcpt` stands behind `mail`";
	if (word->verb == MIX_DATA && before != MIX_RCPT)
		return "`data` stands behind `rcpt`";
	if (word->flavour == POP3 && word->reach != MIX_ONCE && !mix_has(mix, MIX_STAT))
		return "`stat` must come before what goes through the messages";
	if (word->reach == MIX_NEW_MESSAGES && !mix_has(mix, MIX_UIDL))
		return "`uidl` must come before `retr-new`";
	if (word->reach == MIX_LARGEST_MESSAGE && !mix_has(mix, MIX_LIST))
		return "`list` must come before `retr-largest`";
	if (word->verb == MIX_HOLD && mix->holds)
		return "`hold` stands only once";
	return NULL;
}

static void
mix_push(struct mix *mix, const struct mix_step *step)
{
	mix->steps[mix->step_count++] = *step;
}

/* Take one step up; NULL or what forbids it here. */
static const char *
mix_add(struct mix *mix, const struct word *word, unsigned number, unsigned percent)
{
	const struct mix_step step = { word->verb, word->reach, number, percent };
	const char *wrong;

	if (mix->step_count + 1 >= MIX_STEPS_MAX)
		return "too many steps";
	if ((mix->step_count == 0) != (word->verb == MIX_CONNECT))
		return "`connect` comes first, and only there";
	if (mix_has(mix, MIX_QUIT))
		return "`quit` comes last, and only there";
	wrong = mix_forbids(mix, word);
	if (wrong != NULL)
		return wrong;
	if (percent != 100 && (word->flavour != POP3 || word->reach == MIX_ONCE))
		return "`%` is for what goes through the messages";

	mix_push(mix, &step);
	if (word->verb == MIX_DATA)
		mix_push(mix, &(struct mix_step){ MIX_MESSAGE, MIX_ONCE, 0, 100 });
	mix->holds |= word->verb == MIX_HOLD;
	mix->deletes |= word->verb == MIX_DELE;
	mix->lmtp |= word->verb == MIX_LHLO;
	mix->looks_at_sizes |= word->reach == MIX_LARGEST_MESSAGE;
	mix->looks_at_unique_ids |= word->reach == MIX_NEW_MESSAGES;
	return NULL;
}

bool
mix_secure(struct mix *mix)
{
	unsigned more = mix->lmtp ? 2 : 1;

	if (mix->step_count + more > MIX_STEPS_MAX)
		return false;
	memmove(&mix->steps[1 + more], &mix->steps[1],
		(mix->step_count - 1) * sizeof(mix->steps[0]));
	mix->step_count += more;
	if (mix->lmtp)
		mix->steps[1] = (struct mix_step){ MIX_LHLO, MIX_ONCE, 0, 100 };
	mix->steps[more] = (struct mix_step){ MIX_STLS, MIX_ONCE, 0, 100 };
	return true;
}

/* "30%" before a step: true, and its text is used up. */
static bool
percent_read(const char *text, unsigned *percent_out)
{
	size_t length = strlen(text);
	uint64_t percent;

	if (length < 2 || text[length - 1] != '%' ||
		!span_to_u64(span_of(text, length - 1), 100, &percent))
		return false;
	*percent_out = (unsigned)percent;
	return true;
}

/* One line without its comment: NULL or what is wrong with it. */
static const char *
mix_read_line(struct mix *mix, char *line)
{
	static const char blanks[] = " \t\r\n";
	char *rest, *text = strtok_r(line, blanks, &rest);
	const struct word *word;
	const char *argument;
	unsigned percent = 100;
	uint64_t number = 0;

	if (text == NULL)
		return NULL;
	if (strcmp(text, "ramp") == 0 && mix->step_count == 0) {
		mix->ramps = true;
		return strtok_r(NULL, blanks, &rest) == NULL ? NULL
							     : "something stands behind `ramp`";
	}
	if (percent_read(text, &percent))
		text = strtok_r(NULL, blanks, &rest);
	word = text == NULL ? NULL : word_find(text);
	if (word == NULL)
		return "no such step (the words stand at the head of bench/load/mix.h)";
	argument = strtok_r(NULL, blanks, &rest);
	if (word->takes_number &&
		(argument == NULL || !span_to_u64(span_of_string(argument), UINT32_MAX, &number)))
		return "it takes a number";
	if (word->reach == MIX_RECIPIENTS && (number == 0 || number > 1000))
		return "1 to 1000 recipients";
	if (word->takes_number)
		argument = strtok_r(NULL, blanks, &rest);
	if (argument != NULL)
		return "something stands behind the step";
	return mix_add(mix, word, (unsigned)number, percent);
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
