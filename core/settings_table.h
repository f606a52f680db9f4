/*
 * settings_table.h - one row for each setting: the single place that knows its name, default and
 * bounds.
 *
 * Parsing, defaults, checks, `--check` and the reference all walk these rows; a default is written
 * as the operator would write it and goes through the same parser.  Private to core/settings*.c.
 */
#ifndef CORE_SETTINGS_TABLE_H
#define CORE_SETTINGS_TABLE_H

#include "core/settings.h"

#include <stddef.h>

enum setting_kind {
	SETTING_NUMBER,    /* unsigned */
	SETTING_OCTETS,    /* uint64_t; may end with K, M, G or T (1024 times the one before) */
	SETTING_YES_NO,    /* bool */
	SETTING_TEXT,      /* char *, owned by its struct */
	SETTING_CHOICE,    /* an enum: the place of the word in `words` */
	SETTING_TEXTS,     /* struct settings_texts: one or more, or none */
	SETTING_ADDRESSES, /* only in a listen section: one or more "host:port" */
};

struct setting {
	const char *name;
	enum setting_kind kind;
	size_t offset;            /* of the field in the struct that the rows are about */
	const char *fallback;     /* the default; NULL: must be given */
	unsigned min, max;        /* of the number; of a text: its octets; OCTETS up to 0: any */
	const char *zero_word;    /* NUMBER and OCTETS from 0: may be written instead of 0 */
	const char *const *words; /* CHOICE, or the only TEXTs allowed; ends with NULL */
	/* TEXT: what is wrong with it beyond its length, or NULL. */
	const char *(*fault)(const char *text);
	const char *group; /* heading of the reference that starts with this row */
	const char *explanation;
};

#define SETTINGS_ROWS_MAX 96u

extern const struct setting settings_rows[];
extern const size_t settings_row_count;
extern const struct setting listener_rows[];
extern const size_t listener_row_count;
extern const struct setting domain_rows[]; /* their fallback is the server's value */
extern const size_t domain_row_count;
extern const struct setting source_rows[];
extern const size_t source_row_count;

#define SETTING_WHY_OCTETS 256

/* Read `text` into the field of `row` in the struct at `base`; a text that was there is freed.  On
 * a mistake returns false, leaves the field alone and says in `why` what is wrong and what is
 * allowed. */
bool setting_read(
	const struct setting *row, const char *text, void *base, char why[SETTING_WHY_OCTETS]);
/* The value as setting_read() takes it, quoted where the file wants quotes. */
void setting_print(const struct setting *row, const void *base, FILE *to);
void setting_print_quoted(const char *text, FILE *to);
/* "600 to 86400", "yes or no", ... for messages and the reference. */
void setting_allowed(const struct setting *row, char to[SETTING_WHY_OCTETS]);
/* Free what setting_read() allocated in the struct at `base`. */
void setting_forget(const struct setting *row, void *base);

/* Tells the operator of a mistake; line 0: it is one of the file as a whole. */
typedef void settings_mistake(int line, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* What does not fit together in the listeners. */
void settings_check_listeners(const struct settings *s, settings_mistake *mistake);
/* What is wrong with the sources as a whole; one line to `why`, or false: nothing. */
bool settings_fault_of_sources(const struct settings *s, char why[SETTING_WHY_OCTETS]);
/* What is wrong with the name of a domain, or NULL. */
const char *settings_fault_of_domain(const char *text);
/* "127.0.0.1:110" or "[::1]:110" into a socket address; false: it is none. */
bool settings_read_address(
	const char *text, struct sockaddr_storage *address_out, socklen_t *octets_out);

#endif
