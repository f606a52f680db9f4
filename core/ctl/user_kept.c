/*
 * user_kept.c - who an address is, for `ringpost user`, and what the spool keeps of it.
 */
#include "core/ctl/user.h"
#include "core/sources.h"

#include <errno.h>
#include <string.h>

/* What an operator may wonder about when no source knows a name. */
static const char *
hint_of(struct accounts *a, const char *address)
{
	struct user_kept kept;
	struct account account;
	int error = finder_find_own(a, address, &account);

	explicit_bzero(&account, sizeof(account));
	if (error == 0)
		return ": the spool has one, but \"lmdb\" is not among the `sources`";
	if (user_read_kept(a, address, &kept) == 0 &&
		(kept.app_count > 0 || kept.last_login.at != 0))
		return "; app passwords or a last login of it are kept until `ringpost user "
		       "forget`";
	return "";
}

int
user_find(const struct ctl *ctl, struct accounts *a, const char *address, struct found *found_out)
{
	struct finder *finder;
	int error = finder_open(ctl, a, &finder);

	if (error != 0)
		return ctl_errno(error, "account %s", address);
	error = finder_find(finder, address, FINDER_FOR_LOGIN, found_out);
	finder_close(finder);
	if (error == 0)
		return EX_OK;
	if (error == -ENOENT)
		return ctl_error(
			EX_NOUSER, "there is no account %s%s", address, hint_of(a, address));
	return finder_tell(error, found_out, address);
}

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
