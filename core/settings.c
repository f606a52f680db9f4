/*
 * settings.c - from the operator's file to struct settings, with every mistake named.
 *
 * libconfuse gives tokens with their lines; what they mean, and whether they are right, is the
 * table's to say (settings_table.c).  A wrong value is noted and reading goes on, so that one run
 * shows them all; a syntax error or an unknown name ends the reading, for nothing behind it can be
 * trusted.
 *
 * libconfuse hands its callbacks no context, so the load in progress is a thread-local of this
 * file.
 */
#include "core/settings.h"

#include "core/network.h"
#include "core/settings_table.h"
#include "core/settings_text.h"
#include "io/base/must.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTING_NAME_OCTETS 64

struct load {
	const char *path;
	FILE *errors;
	struct settings *settings;
	unsigned mistakes;
	int lines[SETTINGS_ROWS_MAX]; /* for each row: where it was set, 0: not yet */
};

static _Thread_local struct load *loading;

/* `line` 0: the file as a whole. */
__attribute__((format(printf, 2, 3))) static void
mistake(int line, const char *format, ...)
{
	va_list args;

	if (line > 0)
		fprintf(loading->errors, "%s:%d: ", loading->path, line);
	else
		fprintf(loading->errors, "%s: ", loading->path);
	va_start(args, format);
	vfprintf(loading->errors, format, args);
	va_end(args);
	putc('\n', loading->errors);
	loading->mistakes++;
}

static void
mistake_in_value(int line, const struct setting *row, const char *text, const char *why)
{
	const char *quote = row->kind == SETTING_TEXT ? "\"" : "";

	mistake(line, "%s = %s%s%s: %s", row->name, quote, text, quote, why);
}

static const struct setting *
find_row(const struct setting *rows, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(rows[i].name, name) == 0)
			return &rows[i];
	}
	return NULL;
}

/* How many letters must change to make `b` of `a` (Levenshtein). */
static unsigned
distance(const char *a, const char *b)
{
	unsigned row[SETTING_NAME_OCTETS + 1];
	size_t length = strlen(b);

	must(length <= SETTING_NAME_OCTETS);
	for (unsigned j = 0; j <= length; j++)
		row[j] = j;
	for (unsigned i = 1; a[i - 1] != '\0'; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= length; j++) {
			unsigned least = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < least)
				least = row[j] + 1;
			if (row[j - 1] + 1 < least)
				least = row[j - 1] + 1;
			row[j] = least;
		}
	}
	return row[length];
}

static const char *
nearest_name(const struct setting *rows, size_t count, const char *name)
{
	const char *best = rows[0].name;

	for (size_t i = 1; i < count; i++) {
		if (distance(name, rows[i].name) < distance(name, best))
			best = rows[i].name;
	}
	return best;
}

static void
put_names(const struct setting *rows, size_t count, char to[SETTING_WHY_OCTETS])
{
	size_t used = 0;

	to[0] = '\0';
	for (size_t i = 0; i < count && used < SETTING_WHY_OCTETS; i++)
		used += (size_t)snprintf(to + used, SETTING_WHY_OCTETS - used, "%s%s",
			i == 0 ? "" : ", ", rows[i].name);
}

/* `section`: "listen", "domain", "source", or what libconfuse calls the file as a whole. */
static void
unknown_name(int line, const char *section, const char *name)
{
	char allowed[SETTING_WHY_OCTETS];

	if (strcmp(section, "listen") == 0)
		put_names(listener_rows, listener_row_count, allowed);
	else if (strcmp(section, "domain") == 0)
		put_names(domain_rows, domain_row_count, allowed);
	else if (strcmp(section, "source") == 0)
		put_names(source_rows, source_row_count, allowed);
	else
		allowed[0] = '\0';
	if (allowed[0] != '\0')
		mistake(line, "%s has no setting \"%s\"; allowed: %s", section, name, allowed);
	else
		mistake(line,
			"no setting is called \"%s\"; the nearest is \"%s\", ringpost.conf(5) lists all",
			name, nearest_name(settings_rows, settings_row_count, name));
}

/* libconfuse's own complaints: syntax and unknown names. */
__attribute__((format(printf, 2, 0))) static void
on_syntax_error(cfg_t *cfg, const char *format, va_list args)
{
	static const char unknown[] = "no such option '";
	char text[256];
	size_t length;

	vsnprintf(text, sizeof(text), format, args);
	length = strlen(text);
	if (strncmp(text, unknown, sizeof(unknown) - 1) != 0 || text[length - 1] != '\'') {
		mistake(cfg->line,
			"%s; allowed: name = value, and listen NAME { ... } with a name of its own",
			text);
		return;
	}
	text[length - 1] = '\0';
	unknown_name(cfg->line, cfg_name(cfg), text + sizeof(unknown) - 1);
}

static void
note_line(const struct setting *row, int line)
{
	int *first = &loading->lines[row - settings_rows];

	if (*first != 0)
		mistake(line, "%s is set in line %d already; allowed: once", row->name, *first);
	else
		*first = line;
}

/* The value of a setting outside sections: checked and stored. */
static int
on_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct setting *row = find_row(settings_rows, settings_row_count, opt->name);
	char why[SETTING_WHY_OCTETS];

	if (row->kind != SETTING_TEXTS) /* a list comes one by one, and a second one adds to it */
		note_line(row, cfg->line);
	if (!setting_read(row, text, loading->settings, why))
		mistake_in_value(cfg->line, row, text, why);
	*(const char **)result = text;
	return 0;
}

/* A value in a listen section: checked while the line is known, stored by take_listener(). */
static int
on_listener_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct setting *row = find_row(listener_rows, listener_row_count, opt->name);
	struct settings_listener unused = { 0 };
	char why[SETTING_WHY_OCTETS];

	if (!setting_read(row, text, &unused, why))
		mistake_in_value(cfg->line, row, text, why);
	setting_forget(row, &unused);
	*(const char **)result = text;
	return 0;
}

static int
on_listener(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);

	if (cfg_size(section, "address") == 0)
		mistake(cfg->line, "listen %s has no address; needed: address = \"127.0.0.1:110\"",
			cfg_title(section));
	return 0;
}

static int
on_domain_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct setting *row = find_row(domain_rows, domain_row_count, opt->name);
	struct settings_domain unused = { 0 };
	char why[SETTING_WHY_OCTETS];

	if (!setting_read(row, text, &unused, why))
		mistake_in_value(cfg->line, row, text, why);
	*(const char **)result = text;
	return 0;
}

static int
on_domain(cfg_t *cfg, cfg_opt_t *opt)
{
	const char *name = cfg_title(cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1));
	const char *fault = settings_fault_of_domain(name);

	if (fault != NULL)
		mistake(cfg->line, "domain \"%s\": %s", name, fault);
	return 0;
}

static int
on_source_value(cfg_t *cfg, cfg_opt_t *opt, const char *text, void *result)
{
	const struct setting *row = find_row(source_rows, source_row_count, opt->name);
	struct settings_source unused = { 0 };
	char why[SETTING_WHY_OCTETS];

	if (!setting_read(row, text, &unused, why))
		mistake_in_value(cfg->line, row, text, why);
	setting_forget(row, &unused);
	*(const char **)result = text;
	return 0;
}

static int
on_source(cfg_t *cfg, cfg_opt_t *opt)
{
	cfg_t *section = cfg_opt_getnsec(opt, cfg_opt_size(opt) - 1);
	char allowed[SETTING_WHY_OCTETS];

	setting_allowed(find_row(source_rows, source_row_count, "kind"), allowed);
	if (cfg_size(section, "kind") == 0)
		mistake(cfg->line, "source %s has no kind; allowed: %s", cfg_title(section),
			allowed);
	return 0;
}

static cfg_opt_t
option_of(const struct setting *row, cfg_callback_t callback)
{
	bool is_list = row->kind == SETTING_ADDRESSES || row->kind == SETTING_TEXTS;
	cfg_flag_t list = is_list ? CFGF_LIST : CFGF_NONE;

	return (cfg_opt_t){
		.name = row->name,
		.type = CFGT_STR,
		.flags = CFGF_NODEFAULT | list,
		.parsecb = callback,
	};
}

/* Undefined for a field without a fallback: only `address`, which has none, is not filled. */
static void
put_fallbacks(const struct setting *rows, size_t count, void *base)
{
	char why[SETTING_WHY_OCTETS];

	for (size_t i = 0; i < count; i++) {
		if (rows[i].fallback != NULL &&
			rows[i].kind != SETTING_TEXTS) /* none, to begin with */
			must(setting_read(&rows[i], rows[i].fallback, base, why));
	}
}

static unsigned
count_addresses(cfg_t *cfg)
{
	unsigned count = 0;

	for (unsigned i = 0; i < cfg_size(cfg, "listen"); i++)
		count += cfg_size(cfg_getnsec(cfg, "listen", i), "address");
	return count;
}

static bool
read_networks(const struct settings_texts *texts, struct network **networks_out)
{
	struct network *networks;

	if (texts->count == 0)
		return true;
	networks = calloc(texts->count, sizeof(*networks));
	for (unsigned i = 0; networks != NULL && i < texts->count; i++)
		must(network_read(texts->at[i], &networks[i]) == NULL);
	*networks_out = networks;
	return networks != NULL;
}

static bool
take_listener(cfg_t *section, unsigned index, struct settings_listener *l)
{
	char why[SETTING_WHY_OCTETS];

	put_fallbacks(listener_rows, listener_row_count, l);
	for (size_t i = 0; i < listener_row_count; i++) {
		const struct setting *row = &listener_rows[i];

		if (row->kind == SETTING_ADDRESSES)
			continue;
		for (unsigned n = 0; n < cfg_size(section, row->name); n++)
			if (!setting_read(row, cfg_getnstr(section, row->name, n), l, why))
				return false;
	}
	if (!read_networks(&l->networks, &l->allowed) ||
		!read_networks(&l->proxy_networks, &l->proxies) ||
		!read_networks(&l->xclient_networks, &l->xclients))
		return false;
	l->name = strdup(cfg_title(section));
	l->address_text = strdup(cfg_getnstr(section, "address", index));
	return l->name != NULL && l->address_text != NULL &&
		settings_read_address(l->address_text, &l->address, &l->address_octets);
}

/* Every value was checked on its way in, so only memory can fail here. */
static void
take_listeners(cfg_t *cfg, struct settings *s)
{
	unsigned count = count_addresses(cfg);

	if (count == 0) {
		mistake(0,
			"nothing to listen on; needed: listen pop3 { address = \"127.0.0.1:110\" }");
		return;
	}
	s->listeners = calloc(count, sizeof(*s->listeners));
	if (s->listeners == NULL) {
		mistake(0, "out of memory");
		return;
	}
	for (unsigned i = 0; i < cfg_size(cfg, "listen"); i++) {
		cfg_t *section = cfg_getnsec(cfg, "listen", i);

		for (unsigned j = 0; j < cfg_size(section, "address"); j++) {
			if (!take_listener(section, j, &s->listeners[s->listener_count++]))
				mistake(0, "out of memory");
		}
	}
	settings_check_listeners(s, mistake);
}

static bool
take_domain(cfg_t *section, const struct settings *s, struct settings_domain *d)
{
	char why[SETTING_WHY_OCTETS];

	*d = (struct settings_domain){
		.name = strdup(cfg_title(section)),
		.quota_octets = s->quota_octets,
		.quota_messages = s->quota_messages,
	};
	for (size_t i = 0; i < domain_row_count; i++) {
		if (cfg_size(section, domain_rows[i].name) > 0)
			must(setting_read(
				&domain_rows[i], cfg_getstr(section, domain_rows[i].name), d, why));
	}
	return d->name != NULL;
}

static bool
take_source(cfg_t *section, struct settings_source *source)
{
	char why[SETTING_WHY_OCTETS];

	put_fallbacks(source_rows, source_row_count, source);
	for (size_t i = 0; i < source_row_count; i++)
		for (unsigned n = 0; n < cfg_size(section, source_rows[i].name); n++)
			if (!setting_read(&source_rows[i],
				    cfg_getnstr(section, source_rows[i].name, n), source, why))
				return false;
	source->name = strdup(cfg_title(section));
	return source->name != NULL;
}

static void
take_sources(cfg_t *cfg, struct settings *s)
{
	unsigned count = cfg_size(cfg, "source");
	char why[SETTING_WHY_OCTETS];

	s->source_sections = calloc(count + 1, sizeof(*s->source_sections));
	for (unsigned i = 0; s->source_sections != NULL && i < count; i++) {
		s->source_section_count++;
		if (!take_source(cfg_getnsec(cfg, "source", i), &s->source_sections[i]))
			mistake(0, "out of memory");
	}
	if (s->source_sections == NULL)
		mistake(0, "out of memory");
	if (loading->mistakes == 0 && settings_fault_of_sources(s, why))
		mistake(0, "%s", why);
}

static int
compare_domains(const void *a, const void *b)
{
	return strcmp(((const struct settings_domain *)a)->name,
		((const struct settings_domain *)b)->name);
}

/* After all else: what a section leaves out is the server's value. */
static void
take_domains(cfg_t *cfg, struct settings *s)
{
	unsigned count = cfg_size(cfg, "domain");

	if (count == 0)
		return;
	s->domains = calloc(count, sizeof(*s->domains));
	for (unsigned i = 0; s->domains != NULL && i < count; i++) {
		if (!take_domain(cfg_getnsec(cfg, "domain", i), s, &s->domains[i]))
			break;
		s->domain_count++;
	}
	if (s->domain_count < count)
		mistake(0, "out of memory");
	else
		qsort(s->domains, count, sizeof(*s->domains), compare_domains);
}

/* A directory or a missing file is told apart first: libconfuse's scanner would end the process. */
static FILE *
open_file(const char *path)
{
	struct stat st;
	FILE *file = fopen(path, "re");

	if (file != NULL && fstat(fileno(file), &st) == 0 && !S_ISDIR(st.st_mode))
		return file;
	if (file != NULL) {
		fclose(file);
		errno = EISDIR;
	}
	mistake(0, "cannot be read: %s", strerror(errno));
	return NULL;
}

/* The file without its comments, as a stream over *text_out, which the caller frees; NULL after it
 * has said why. */
static FILE *
open_text(const char *path, char **text_out)
{
	FILE *file = open_file(path);
	FILE *stream = NULL;
	size_t room = 0;
	ssize_t length;

	*text_out = NULL;
	if (file == NULL)
		return NULL;
	length = getdelim(text_out, &room, EOF, file);
	if (length < 0 && !ferror(file)) /* it is empty */
		length = 0;
	if (length >= 0 && *text_out != NULL) {
		settings_blank_comments(*text_out, (size_t)length);
		stream = fmemopen(*text_out, (size_t)length, "r");
	}
	if (stream == NULL)
		mistake(0, "cannot be read: %s", strerror(errno));
	fclose(file);
	return stream;
}

static void
parse(struct load *load, cfg_opt_t *options)
{
	char *text;
	FILE *file = open_text(load->path, &text);
	cfg_t *cfg = file == NULL ? NULL : cfg_init(options, CFGF_NONE);

	if (cfg == NULL) {
		if (file != NULL) {
			mistake(0, "out of memory");
			fclose(file);
		}
		free(text);
		return;
	}
	cfg_set_error_function(cfg, on_syntax_error);
	cfg_set_validate_func(cfg, "listen", on_listener);
	cfg_set_validate_func(cfg, "domain", on_domain);
	cfg_set_validate_func(cfg, "source", on_source);
	if (cfg_parse_fp(cfg, file) != CFG_SUCCESS && load->mistakes == 0)
		mistake(0, "cannot be read");
	if (load->mistakes == 0)
		take_listeners(cfg, load->settings);
	if (load->mistakes == 0)
		take_domains(cfg, load->settings);
	if (load->mistakes == 0)
		take_sources(cfg, load->settings);
	cfg_free(cfg);
	fclose(file);
	free(text);
}

static unsigned
cores_allowed(void)
{
	cpu_set_t cores;

	if (sched_getaffinity(0, sizeof(cores), &cores) != 0)
		return 1;
	return (unsigned)CPU_COUNT(&cores);
}

/* The system's, if it is one that may stand in a reply. */
static bool
take_hostname(struct settings *s)
{
	char name[HOST_NAME_MAX + 1] = "";
	const char *taken = "localhost";

	if (gethostname(name, sizeof(name) - 1) == 0)
		for (char *at = name; *at != '\0'; at++)
			*at = (char)tolower((unsigned char)*at);
	if (settings_fault_of_domain(name) == NULL)
		taken = name;
	free((char *)s->hostname);
	s->hostname = strdup(taken);
	return s->hostname != NULL;
}

/* Builds libconfuse's view of the table and reads the file through it. */
static void
load_file(struct load *load)
{
	cfg_opt_t in_listener[SETTINGS_ROWS_MAX + 1];
	cfg_opt_t in_domain[SETTINGS_ROWS_MAX + 1];
	cfg_opt_t in_source[SETTINGS_ROWS_MAX + 1];
	cfg_opt_t options[SETTINGS_ROWS_MAX + 4];

	for (size_t i = 0; i < listener_row_count; i++)
		in_listener[i] = option_of(&listener_rows[i], on_listener_value);
	in_listener[listener_row_count] = (cfg_opt_t)CFG_END();
	for (size_t i = 0; i < domain_row_count; i++)
		in_domain[i] = option_of(&domain_rows[i], on_domain_value);
	in_domain[domain_row_count] = (cfg_opt_t)CFG_END();
	for (size_t i = 0; i < source_row_count; i++)
		in_source[i] = option_of(&source_rows[i], on_source_value);
	in_source[source_row_count] = (cfg_opt_t)CFG_END();
	for (size_t i = 0; i < settings_row_count; i++)
		options[i] = option_of(&settings_rows[i], on_value);
	options[settings_row_count] = (cfg_opt_t)CFG_SEC(
		"listen", in_listener, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
	options[settings_row_count + 1] = (cfg_opt_t)CFG_SEC(
		"domain", in_domain, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
	options[settings_row_count + 2] = (cfg_opt_t)CFG_SEC(
		"source", in_source, CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES);
	options[settings_row_count + 3] = (cfg_opt_t)CFG_END();
	parse(load, options);
}

bool
settings_load(const char *path, FILE *errors, struct settings **settings_out)
{
	struct settings *s = calloc(1, sizeof(*s));
	struct load load = { .path = path, .errors = errors, .settings = s };

	if (s == NULL) {
		fprintf(errors, "%s: out of memory\n", path);
		return false;
	}
	put_fallbacks(settings_rows, settings_row_count, s);
	loading = &load;
	load_file(&load);
	loading = NULL;
	if (load.mistakes > 0) {
		settings_free(s);
		return false;
	}
	if (s->hostname[0] == '\0' && !take_hostname(s)) {
		fprintf(errors, "%s: out of memory\n", path);
		settings_free(s);
		return false;
	}
	if (s->auth_workers == 0)
		s->auth_workers = cores_allowed();
	*settings_out = s;
	return true;
}

void
settings_free(struct settings *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->listener_count; i++) {
		free((char *)s->listeners[i].name);
		free((char *)s->listeners[i].address_text);
		free(s->listeners[i].allowed);
		free(s->listeners[i].proxies);
		free(s->listeners[i].xclients);
		for (size_t row = 0; row < listener_row_count; row++)
			setting_forget(&listener_rows[row], &s->listeners[i]);
	}
	free(s->listeners);
	for (unsigned i = 0; i < s->domain_count; i++)
		free((char *)s->domains[i].name);
	free(s->domains);
	for (unsigned i = 0; i < s->source_section_count; i++) {
		free((char *)s->source_sections[i].name);
		for (size_t row = 0; row < source_row_count; row++)
			setting_forget(&source_rows[row], &s->source_sections[i]);
	}
	free(s->source_sections);
	for (size_t i = 0; i < settings_row_count; i++)
		setting_forget(&settings_rows[i], s);
	free(s);
}
