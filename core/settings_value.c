/*
 * settings_value.c - one value of one row: read it, check it, print it.
 *
 * What setting_print() writes, setting_read() takes back unchanged.
 */
#include "core/settings_table.h"
#include "io/base/must.h"
#include "io/base/span.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static_assert(sizeof(enum session_policy) == sizeof(unsigned) &&
		sizeof(enum verify_on_read) == sizeof(unsigned) &&
		sizeof(enum protocol) == sizeof(unsigned) &&
		sizeof(enum bare_newlines) == sizeof(unsigned) &&
		sizeof(enum delivery_sync) == sizeof(unsigned) &&
		sizeof(enum listener_tls) == sizeof(unsigned) &&
		sizeof(enum source_kind) == sizeof(unsigned),
	"a choice is stored as an unsigned");

static void *
field_of(const struct setting *row, void *base)
{
	return (char *)base + row->offset;
}

static const void *
const_field_of(const struct setting *row, const void *base)
{
	return (const char *)base + row->offset;
}

/* The place of `text` in `words`, or -1. */
static int
word_find(const char *const *words, const char *text)
{
	for (int i = 0; words[i] != NULL; i++) {
		if (strcmp(words[i], text) == 0)
			return i;
	}
	return -1;
}

static void
put_words(const char *const *words, char to[SETTING_WHY_OCTETS])
{
	size_t used = 0;

	to[0] = '\0';
	for (int i = 0; words[i] != NULL && used < SETTING_WHY_OCTETS; i++)
		used += (size_t)snprintf(
			to + used, SETTING_WHY_OCTETS - used, "%s%s", i == 0 ? "" : ", ", words[i]);
}

static uint64_t
octets_max(const struct setting *row)
{
	return row->max == 0 ? INT64_MAX : row->max;
}

static void
put_octets_allowed(const struct setting *row, char to[SETTING_WHY_OCTETS])
{
	char word[32] = "";

	if (row->zero_word != NULL)
		snprintf(word, sizeof(word), "%s (0), or ", row->zero_word);
	snprintf(to, SETTING_WHY_OCTETS, "%s%u to %" PRIu64 ", or with K, M, G or T behind it",
		word, row->zero_word != NULL ? 1 : row->min, octets_max(row));
}

void
setting_allowed(const struct setting *row, char to[SETTING_WHY_OCTETS])
{
	switch (row->kind) {
	case SETTING_NUMBER:
		if (row->zero_word != NULL)
			snprintf(to, SETTING_WHY_OCTETS, "%s (0), or 1 to %u", row->zero_word,
				row->max);
		else
			snprintf(to, SETTING_WHY_OCTETS, "%u to %u", row->min, row->max);
		return;
	case SETTING_OCTETS:
		put_octets_allowed(row, to);
		return;
	case SETTING_YES_NO:
		snprintf(to, SETTING_WHY_OCTETS, "yes or no");
		return;
	case SETTING_CHOICE:
		put_words(row->words, to);
		return;
	case SETTING_TEXT:
		if (row->words != NULL)
			put_words(row->words, to);
		else
			snprintf(to, SETTING_WHY_OCTETS, "%u to %u octets", row->min, row->max);
		return;
	case SETTING_TEXTS:
		snprintf(to, SETTING_WHY_OCTETS, "a text of %u to %u octets, or a list of such",
			row->min, row->max);
		return;
	case SETTING_ADDRESSES:
		snprintf(to, SETTING_WHY_OCTETS,
			"\"127.0.0.1:110\" or \"[::1]:110\", port 1 to 65535, or the path of a "
			"local socket, up to 106 octets");
		return;
	}
}

/* Always false, for `return fail(...)`. */
static bool
fail(const struct setting *row, const char *wrong, char why[SETTING_WHY_OCTETS])
{
	char allowed[SETTING_WHY_OCTETS];

	setting_allowed(row, allowed);
	snprintf(why, SETTING_WHY_OCTETS, "%.120s; allowed: %.120s", wrong, allowed);
	return false;
}

static bool
read_number(const struct setting *row, const char *text, void *base, char why[SETTING_WHY_OCTETS])
{
	uint64_t value = 0;
	bool is_word = row->zero_word != NULL && strcmp(text, row->zero_word) == 0;

	if (!is_word && !span_to_u64(span_of_string(text), UINT64_MAX, &value))
		return fail(row, "not a whole number", why);
	if (value < row->min || value > row->max)
		return fail(row, "out of range", why);
	*(unsigned *)field_of(row, base) = (unsigned)value;
	return true;
}

static bool
read_octets(const struct setting *row, const char *text, void *base, char why[SETTING_WHY_OCTETS])
{
	uint64_t value = 0;
	bool is_word = row->zero_word != NULL && strcmp(text, row->zero_word) == 0;

	if (!is_word && !span_to_octets(span_of_string(text), UINT64_MAX, &value))
		return fail(row, "not a number of octets", why);
	if (value < row->min || value > octets_max(row))
		return fail(row, "out of range", why);
	*(uint64_t *)field_of(row, base) = value;
	return true;
}

static void
print_octets(uint64_t octets, FILE *to)
{
	static const char units[] = "KMGT";
	unsigned unit = 0;

	while (octets != 0 && octets % 1024 == 0 && units[unit] != '\0') {
		octets /= 1024;
		unit++;
	}
	fprintf(to, "%" PRIu64 "%.1s", octets, unit > 0 ? &units[unit - 1] : "");
}

static bool
read_yes_no(const struct setting *row, const char *text, void *base, char why[SETTING_WHY_OCTETS])
{
	static const char *const words[] = { "no", "yes", "false", "true", "off", "on", NULL };
	int place = word_find(words, text);

	if (place < 0)
		return fail(row, "neither yes nor no", why);
	*(bool *)field_of(row, base) = place % 2 == 1;
	return true;
}

static bool
read_choice(const struct setting *row, const char *text, void *base, char why[SETTING_WHY_OCTETS])
{
	int place = word_find(row->words, text);

	if (place < 0)
		return fail(row, "no such choice", why);
	*(unsigned *)field_of(row, base) = (unsigned)place;
	return true;
}

static bool
read_text(const struct setting *row, const char *text, void *base, char why[SETTING_WHY_OCTETS])
{
	const char *fault = row->fault != NULL ? row->fault(text) : NULL;
	char **field = field_of(row, base);
	char *copy;

	if (row->words != NULL && word_find(row->words, text) < 0)
		return fail(row, "no such choice", why);
	if (strlen(text) < row->min || strlen(text) > row->max)
		return fail(row, strlen(text) < row->min ? "too short" : "too long", why);
	if (fault != NULL)
		return fail(row, fault, why);
	copy = strdup(text);
	if (copy == NULL)
		return fail(row, "out of memory", why);
	free(*field);
	*field = copy;
	return true;
}

/* One more text behind those that are there. */
static bool
read_one_of_texts(
	const struct setting *row, const char *text, void *base, char why[SETTING_WHY_OCTETS])
{
	struct settings_texts *texts = field_of(row, base);
	char **longer;

	if (strlen(text) < row->min || strlen(text) > row->max)
		return fail(row, strlen(text) < row->min ? "too short" : "too long", why);
	if (row->fault != NULL && row->fault(text) != NULL)
		return fail(row, row->fault(text), why);
	longer = realloc(texts->at, (texts->count + 1) * sizeof(*longer));
	if (longer == NULL)
		return fail(row, "out of memory", why);
	texts->at = longer;
	longer[texts->count] = strdup(text);
	if (longer[texts->count] == NULL)
		return fail(row, "out of memory", why);
	texts->count++;
	return true;
}

static bool
read_local_address(const char *path, struct sockaddr_storage *address_out, socklen_t *octets_out)
{
	struct sockaddr_un local = { .sun_family = AF_UNIX };
	size_t length = strlen(path);

	if (length + 1 >= sizeof(local.sun_path)) /* listener.c puts a "~" behind it for a moment */
		return false;
	memcpy(local.sun_path, path, length);
	*address_out = (struct sockaddr_storage){ 0 };
	memcpy(address_out, &local, sizeof(local));
	*octets_out = sizeof(local);
	return true;
}

bool
settings_read_address(const char *text, struct sockaddr_storage *address_out, socklen_t *octets_out)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	const char *colon = strrchr(text, ':');
	char host[INET6_ADDRSTRLEN + 2];
	size_t length;
	uint64_t port;

	if (text[0] == '/')
		return read_local_address(text, address_out, octets_out);
	if (colon == NULL || !span_to_u64(span_of_string(colon + 1), UINT16_MAX, &port) ||
		port == 0)
		return false;
	length = (size_t)(colon - text);
	if (length == 0 || length >= sizeof(host))
		return false;
	memcpy(host, text, length);
	host[length] = '\0';
	*address_out = (struct sockaddr_storage){ 0 };
	if (host[0] != '[') {
		four.sin_port = htons((uint16_t)port);
		if (inet_pton(AF_INET, host, &four.sin_addr) != 1)
			return false;
		memcpy(address_out, &four, sizeof(four));
		*octets_out = sizeof(four);
		return true;
	}
	if (host[length - 1] != ']')
		return false;
	host[length - 1] = '\0';
	six.sin6_port = htons((uint16_t)port);
	if (inet_pton(AF_INET6, host + 1, &six.sin6_addr) != 1)
		return false;
	memcpy(address_out, &six, sizeof(six));
	*octets_out = sizeof(six);
	return true;
}

bool
setting_read(const struct setting *row, const char *text, void *base, char why[SETTING_WHY_OCTETS])
{
	struct sockaddr_storage address;
	socklen_t octets;

	switch (row->kind) {
	case SETTING_NUMBER:
		return read_number(row, text, base, why);
	case SETTING_OCTETS:
		return read_octets(row, text, base, why);
	case SETTING_YES_NO:
		return read_yes_no(row, text, base, why);
	case SETTING_TEXT:
		return read_text(row, text, base, why);
	case SETTING_CHOICE:
		return read_choice(row, text, base, why);
	case SETTING_TEXTS:
		return read_one_of_texts(row, text, base, why);
	case SETTING_ADDRESSES: /* checked here, kept by settings.c: each gives a listener */
		return settings_read_address(text, &address, &octets) ||
			fail(row, "not an address with a port", why);
	}
	must(!"a kind of setting without a reader");
	return false;
}

void
setting_print_quoted(const char *text, FILE *to)
{
	putc('"', to);
	for (; *text != '\0'; text++) {
		if (strchr("\"\\$", *text) !=
			NULL) /* libconfuse puts the environment in for ${...} */
			putc('\\', to);
		putc(*text, to);
	}
	putc('"', to);
}

static void
print_texts(const struct settings_texts *texts, FILE *to)
{
	putc('{', to);
	for (unsigned i = 0; i < texts->count; i++) {
		fputs(i == 0 ? "" : ", ", to);
		setting_print_quoted(texts->at[i], to);
	}
	putc('}', to);
}

static void
forget_texts(struct settings_texts *texts)
{
	for (unsigned i = 0; i < texts->count; i++)
		free(texts->at[i]);
	free(texts->at);
	*texts = (struct settings_texts){ 0 };
}

void
setting_print(const struct setting *row, const void *base, FILE *to)
{
	const void *field = const_field_of(row, base);

	switch (row->kind) {
	case SETTING_NUMBER:
		if (*(const unsigned *)field == 0 && row->zero_word != NULL)
			fputs(row->zero_word, to);
		else
			fprintf(to, "%u", *(const unsigned *)field);
		return;
	case SETTING_OCTETS:
		if (*(const uint64_t *)field == 0 && row->zero_word != NULL)
			fputs(row->zero_word, to);
		else
			print_octets(*(const uint64_t *)field, to);
		return;
	case SETTING_YES_NO:
		fputs(*(const bool *)field ? "yes" : "no", to);
		return;
	case SETTING_TEXT:
		setting_print_quoted(*(char *const *)field, to);
		return;
	case SETTING_CHOICE:
		fputs(row->words[*(const unsigned *)field], to);
		return;
	case SETTING_TEXTS:
		print_texts(field, to);
		return;
	case SETTING_ADDRESSES:
		must(!"settings.c prints the addresses of a listener");
	}
}

void
setting_forget(const struct setting *row, void *base)
{
	if (row->kind == SETTING_TEXT)
		free(*(char **)field_of(row, base));
	else if (row->kind == SETTING_TEXTS)
		forget_texts(field_of(row, base));
}
