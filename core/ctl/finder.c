/*
 * finder.c - see finder.h.
 */
#include "core/ctl/finder.h"

#include "core/auth/search.h"
#include "core/sources.h"
#include "io/base/must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static_assert(FOUND_SAID_OCTETS >= SOURCE_SAID_OCTETS, "all that a source says");

struct finder {
	const struct ctl *ctl;
	struct accounts *accounts;
	struct address_rules rules;
	struct source
		*sources[SOURCES_MAX]; /* by their place in the settings; NULL: not asked yet */
};

int
finder_open(const struct ctl *ctl, struct accounts *accounts, struct finder **finder_out)
{
	struct finder *f = calloc(1, sizeof(*f));

	if (f == NULL)
		return -ENOMEM;
	f->ctl = ctl;
	f->accounts = accounts;
	f->rules = (struct address_rules){ ctl->settings->default_domain,
		ctl->settings->detail_separator };
	*finder_out = f;
	return 0;
}

void
finder_close(struct finder *f)
{
	for (unsigned i = 0; i < SOURCES_MAX; i++)
		if (f->sources[i] != NULL)
			source_tear_down(f->sources[i]);
	free(f);
}

int
finder_find_own(struct accounts *a, const char *address, struct account *account_out)
{
	struct accounts_reader *reader;
	int error = accounts_reader_open(a, &reader);

	if (error != 0)
		return error;
	error = accounts_find(reader, span_of_string(address), account_out);
	accounts_reader_close(reader);
	return error;
}

/* In one line, whatever it said. */
static void
take_said(struct source *source, char said_out[SOURCE_SAID_OCTETS])
{
	source_said(source, said_out);
	for (char *c = said_out; *c != '\0'; c++) {
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = ' ';
	}
}

static int
ask_source(struct finder *f, struct source *source, const char *address, struct found *found)
{
	int error = ctl_become_owner(f->ctl);

	if (error == 0)
		error = source_ask(source, span_of_string(address), &found->account);
	if (ctl_become_root_again() != 0)
		error = -EPERM;
	if (error != 0 && error != -ENOENT)
		take_said(source, found->said);
	return error;
}

/* What the source at this place says. */
static int
ask(struct finder *f, unsigned place, const char *name, const char *address, enum finder_for whom,
	struct found *found)
{
	struct source **source = &f->sources[place];
	int error = 0;

	if (*source == NULL)
		error = sources_open(f->ctl->settings, name, &f->rules, source);
	if (error != 0)
		return error;
	if (*source == NULL)
		return finder_find_own(f->accounts, address, &found->account);
	if ((*source)->knows_all && whom == FINDER_FOR_MAIL)
		return -ENOENT;
	error = ask_source(f, *source, address, found);
	found->is_proven_there = error == 0 && (*source)->ops->prove != NULL;
	return error;
}

int
finder_find(struct finder *f, const char *address, enum finder_for whom, struct found *found_out)
{
	const struct settings_texts names = sources_names(f->ctl->settings);
	int silence = 0;

	*found_out = (struct found){ 0 };
	for (unsigned i = 0; i < names.count && found_out->source == NULL; i++) {
		bool is_here = strcmp(names.at[i], SOURCES_LMDB) == 0;
		int error;

		if (silence != 0 && !is_here)
			continue;
		error = ask(f, i, names.at[i], address, whom, found_out);
		if (error == 0) {
			found_out->source = names.at[i];
		} else if (error != -ENOENT && silence == 0) {
			silence = error;
			found_out->silent = names.at[i];
		}
	}
	if (silence != 0)
		return silence;
	return found_out->source != NULL ? 0 : -ENOENT;
}

int
finder_tell(int error, const struct found *found, const char *address)
{
	if (strcmp(found->silent, SOURCES_LMDB) == 0)
		return ctl_errno(error, "account %s", address);
	switch (error) {
	case -EBADMSG:
	case -ENOTSUP:
		return ctl_error(EX_DATAERR, "what source \"%s\" says of %s makes no sense%s%s",
			found->silent, address, found->said[0] != '\0' ? ": " : "", found->said);
	default:
		return ctl_error(EX_TEMPFAIL,
			"source \"%s\" cannot say whether there is an account %s: %s%s%s",
			found->silent, address, strerror(-error),
			found->said[0] != '\0' ? ": " : "", found->said);
	}
}
