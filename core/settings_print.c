/*
 * settings_print.c - the table on paper: effective settings, the reference, the manual page.
 */
#include "core/settings.h"
#include "core/settings_table.h"

#include <ctype.h>
#include <string.h>

/* A section for each run of listeners with one name, its addresses as one list. */
static unsigned
print_listener(const struct settings *s, unsigned first, FILE *to)
{
	const struct settings_listener *l = &s->listeners[first];
	unsigned i = first;

	fputs("listen ", to);
	setting_print_quoted(l->name, to);
	fputs(" {\n\taddress = {", to);
	for (; i < s->listener_count && strcmp(s->listeners[i].name, l->name) == 0; i++) {
		fputs(i == first ? "" : ", ", to);
		setting_print_quoted(s->listeners[i].address_text, to);
	}
	fputs("}\n", to);
	for (size_t row = 0; row < listener_row_count; row++) {
		if (listener_rows[row].kind == SETTING_ADDRESSES)
			continue;
		fprintf(to, "\t%s = ", listener_rows[row].name);
		setting_print(&listener_rows[row], l, to);
		putc('\n', to);
	}
	fputs("}\n", to);
	return i;
}

static void
print_domain(const struct settings_domain *d, FILE *to)
{
	fputs("domain ", to);
	setting_print_quoted(d->name, to);
	fputs(" {\n", to);
	for (size_t row = 0; row < domain_row_count; row++) {
		fprintf(to, "\t%s = ", domain_rows[row].name);
		setting_print(&domain_rows[row], d, to);
		putc('\n', to);
	}
	fputs("}\n", to);
}

static void
print_source(const struct settings_source *source, FILE *to)
{
	fputs("source ", to);
	setting_print_quoted(source->name, to);
	fputs(" {\n", to);
	for (size_t row = 0; row < source_row_count; row++) {
		fprintf(to, "\t%s = ", source_rows[row].name);
		setting_print(&source_rows[row], source, to);
		putc('\n', to);
	}
	fputs("}\n", to);
}

void
settings_print(const struct settings *s, FILE *to)
{
	for (size_t i = 0; i < settings_row_count; i++) {
		if (settings_rows[i].group != NULL)
			fprintf(to, "%s# %s\n", i == 0 ? "" : "\n", settings_rows[i].group);
		fprintf(to, "%s = ", settings_rows[i].name);
		setting_print(&settings_rows[i], s, to);
		putc('\n', to);
	}
	putc('\n', to);
	for (unsigned i = 0; i < s->listener_count;)
		i = print_listener(s, i, to);
	for (unsigned i = 0; i < s->domain_count; i++)
		print_domain(&s->domains[i], to);
	for (unsigned i = 0; i < s->source_section_count; i++)
		print_source(&s->source_sections[i], to);
}

/* Is the default written with quotes in a file? */
static const char *
quote_of(const struct setting *row)
{
	return row->kind == SETTING_TEXT ? "\"" : "";
}

static const char *
fallback_of(const struct setting *row)
{
	return row->kind == SETTING_TEXTS ? "{}" : row->fallback;
}

/* What holds when a row without a default is not given. */
static const char *
without_fallback(const struct setting *row)
{
	bool of_domain = row >= domain_rows && row < domain_rows + domain_row_count;

	return of_domain ? "Default: the server's." : "Must be given.";
}

static void
print_row(const struct setting *row, FILE *to)
{
	char allowed[SETTING_WHY_OCTETS];

	setting_allowed(row, allowed);
	fprintf(to, "\n### `%s`\n\n%s\n\n", row->name, row->explanation);
	if (row->fallback == NULL)
		fprintf(to, "%s ", without_fallback(row));
	else
		fprintf(to, "Default: `%s%s%s`. ", quote_of(row), fallback_of(row), quote_of(row));
	fprintf(to, "Allowed: %s.\n", allowed);
}

void
settings_print_reference(FILE *to)
{
	fputs("# Settings\n\n"
	      "This page is made from the table in `core/settings_table.c` by `ringpost settings`; do not\n"
	      "edit it. `ringpostd -c FILE --check` says whether a file is right and prints the settings\n"
	      "that are in effect. Every setting has a default, so that this is a whole file:\n\n"
	      "    listen pop3 {\n"
	      "        address = {\"0.0.0.0:110\", \"[::]:110\"}\n"
	      "    }\n\n"
	      "A line reads `name = value`; `#` begins a comment. Texts stand in double quotes, where\n"
	      "`\\` takes the next character as it is and `${NAME}` is replaced from the environment.\n",
		to);
	for (size_t i = 0; i < settings_row_count; i++) {
		if (settings_rows[i].group != NULL)
			fprintf(to, "\n## %s\n", settings_rows[i].group);
		print_row(&settings_rows[i], to);
	}
	fputs("\n## `listen NAME { ... }`\n\n"
	      "Where clients connect. There may be several sections, each with a name of its own; at\n"
	      "least one is needed.\n",
		to);
	for (size_t i = 0; i < listener_row_count; i++)
		print_row(&listener_rows[i], to);
	fputs("\n## `domain NAME { ... }`\n\n"
	      "What differs for the accounts of one domain, `domain \"example.org\" { quota_octets = 1G }`.\n",
		to);
	for (size_t i = 0; i < domain_row_count; i++)
		print_row(&domain_rows[i], to);
	fputs("\n## `source NAME { ... }`\n\n"
	      "A place outside the spool where accounts are looked up, named by `sources`\n"
	      "(docs/OPERATING.md has examples).\n",
		to);
	for (size_t i = 0; i < source_row_count; i++)
		print_row(&source_rows[i], to);
}

/* Running text of the table in man(7): backquoted words are bold,
 * backslashes and dashes are safe. */
static void
print_man_text(const char *text, FILE *to)
{
	bool bold = false;

	for (; *text != '\0'; text++) {
		if (*text == '`') {
			bold = !bold;
			fputs(bold ? "\\fB" : "\\fR", to);
		} else if (*text == '\\') {
			fputs("\\e", to);
		} else if (*text == '-') {
			fputs("\\-", to);
		} else {
			putc(*text, to);
		}
	}
}

static void
print_man_row(const struct setting *row, FILE *to)
{
	char allowed[SETTING_WHY_OCTETS];

	setting_allowed(row, allowed);
	fprintf(to, ".TP\n.B %s\n", row->name);
	print_man_text(row->explanation, to);
	if (row->fallback == NULL) {
		putc('\n', to);
		print_man_text(without_fallback(row), to);
	} else {
		fprintf(to, "\nDefault: %s", quote_of(row));
		print_man_text(fallback_of(row), to);
		fprintf(to, "%s.", quote_of(row));
	}
	fputs("\nAllowed: ", to);
	print_man_text(allowed, to);
	fputs(".\n", to);
}

void
settings_print_manual(FILE *to)
{
	fputs(".\\\" Made by `ringpost settings --man` from core/settings_table.c; do not edit.\n"
	      ".TH RINGPOST.CONF 5 \"\" ringpost \"ringpost manual\"\n"
	      ".SH NAME\nringpost.conf \\- settings of ringpostd and ringpost\n"
	      ".SH SYNOPSIS\n.I " SETTINGS_PATH_DEFAULT "\n"
	      ".SH DESCRIPTION\n"
	      "Every setting has a default; only a place to listen must be given:\n"
	      ".PP\n.nf\n"
	      "    listen pop3 {\n"
	      "        address = {\"0.0.0.0:110\", \"[::]:110\"}\n"
	      "    }\n"
	      ".fi\n.PP\n"
	      "A line reads\n.IR \"name \" =\\  value ;\n"
	      ".B #\nbegins a comment.\n"
	      "Texts stand in double quotes, where a backslash takes the next character as it is and\n"
	      ".BI ${ NAME }\nis replaced from the environment.\n"
	      ".B ringpostd \\-\\-check\nvalidates a file and prints the settings in effect.\n",
		to);
	for (size_t i = 0; i < settings_row_count; i++) {
		const char *group = settings_rows[i].group;

		if (group != NULL) {
			fputs(".SH \"", to);
			for (; *group != '\0'; group++)
				putc(toupper((unsigned char)*group), to);
			fputs("\"\n", to);
		}
		print_man_row(&settings_rows[i], to);
	}
	fputs(".SH LISTENERS\n"
	      "Settings within a section\n.BI \"listen \" NAME \" { \" ... \" }\" .\n"
	      "There may be several sections, each with a name of its own.\n",
		to);
	for (size_t i = 0; i < listener_row_count; i++)
		print_man_row(&listener_rows[i], to);
	fputs(".SH DOMAINS\n"
	      "Settings within a section\n.BI \"domain \" NAME \" { \" ... \" }\" ,\n"
	      "for the accounts of that domain.\n",
		to);
	for (size_t i = 0; i < domain_row_count; i++)
		print_man_row(&domain_rows[i], to);
	fputs(".SH SOURCES\n"
	      "Settings within a section\n.BI \"source \" NAME \" { \" ... \" }\" ,\n"
	      "a place outside the spool where accounts are looked up, named by\n.BR sources .\n",
		to);
	for (size_t i = 0; i < source_row_count; i++)
		print_man_row(&source_rows[i], to);
	fputs(".SH \"SEE ALSO\"\n.BR ringpost (1),\n.BR ringpostd (8)\n", to);
}
