/*
 * user_find.c - an account as a login would find it, and what the spool keeps of it.
 *
 * The sources of the settings are asked in their order, here and now, each once and within its time
 * limit.  Started as root, it asks as the owner of the spool, as the server does: a database may
 * know its guests by their user.
 */
#include "core/ctl/user.h"
#include "core/sources.h"

#include <errno.h>
#include <string.h>

static int
find_in_spool(struct accounts *a, const char *address, struct account *account_out)
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
ask_source(const struct ctl *ctl, const char *name, const char *address, struct user_found *found)
{
	const struct address_rules rules = { ctl->settings->default_domain,
		ctl->settings->detail_separator };
	struct source *source;
	int error = sources_open(ctl->settings, name, &rules, &source);

	if (error != 0)
		return error;
	found->is_proven_there = source != NULL && source->ops->prove != NULL;
	if (source == NULL)
		return find_in_spool(found->accounts, address, &found->account);
	error = ctl_become_owner(ctl);
	if (error == 0)
		error = source_ask(source, span_of_string(address), &found->account);
	if (ctl_become_root_again() != 0)
		error = -EPERM;
	if (error != 0 && error != -ENOENT)
		take_said(source, found->said);
	source_tear_down(source);
	return error;
}

int
user_find(const struct ctl *ctl, struct accounts *a, const char *address,
	struct user_found *found_out)
{
	const struct settings_texts names = sources_names(ctl->settings);
	int silence = 0;

	*found_out = (struct user_found){ .accounts = a };
	for (unsigned i = 0; i < names.count && found_out->source == NULL; i++) {
		bool is_here = strcmp(names.at[i], SOURCES_LMDB) == 0;
		int error;

		if (silence != 0 && !is_here)
			continue;
		error = ask_source(ctl, names.at[i], address, found_out);
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

/* What an operator may wonder about when no source knows a name. */
static const char *
hint_of(const struct user_found *found, const char *address)
{
	struct user_kept kept;
	struct account account;
	int error = find_in_spool(found->accounts, address, &account);

	explicit_bzero(&account, sizeof(account));
	if (error == 0)
		return ": the spool has one, but \"lmdb\" is not among the `sources`";
	if (user_read_kept(found->accounts, address, &kept) == 0 &&
		(kept.app_count > 0 || kept.last_login.at != 0))
		return "; app passwords or a last login of it are kept until `ringpost user "
		       "forget`";
	return "";
}

int
user_tell_found(int error, const struct user_found *found, const char *address)
{
	if (error == 0)
		return EX_OK;
	if (error == -ENOENT)
		return ctl_error(
			EX_NOUSER, "there is no account %s%s", address, hint_of(found, address));
	if (strcmp(found->silent, SOURCES_LMDB) == 0)
		return user_tell(error, address);
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

/* ---- what is kept of it -------------------------------------------------------------------- */

static int
take_app(void *ctx, const struct app_password *p)
{
	struct user_kept *kept = ctx;

	if (kept->app_count == APP_PASSWORDS_MAX)
		return -EBADMSG;
	kept->apps[kept->app_count++].password = *p;
	return 0;
}

static int
read_kept(struct accounts_reader *reader, struct span address, struct user_kept *kept_out)
{
	int error = accounts_each_app_password(reader, address, take_app, kept_out);

	if (error == 0)
		error = accounts_last_login(reader, address, span_of("", 0), &kept_out->last_login);
	for (unsigned i = 0; i < kept_out->app_count && (error == 0 || error == -ENOENT); i++) {
		struct user_app *app = &kept_out->apps[i];

		error = accounts_last_login(
			reader, address, span_of_string(app->password.name), &app->last_use);
	}
	return error == -ENOENT ? 0 : error;
}

int
user_read_kept(struct accounts *a, const char *address, struct user_kept *kept_out)
{
	struct accounts_reader *reader;
	int error = accounts_reader_open(a, &reader);

	memset(kept_out, 0, sizeof(*kept_out));
	if (error != 0)
		return error;
	error = read_kept(reader, span_of_string(address), kept_out);
	accounts_reader_close(reader);
	return error;
}
