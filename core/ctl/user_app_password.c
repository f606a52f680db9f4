/*
 * user_app_password.c - `ringpost user app-password add|list|revoke`.
 *
 * We make the secret: it is printed once and nobody can read it again.  They are kept in the spool
 * for accounts of every source; whether there is such an account is asked before one is made.
 */
#include "core/auth/app_password.h"
#include "core/ctl/mail.h"
#include "core/ctl/user.h"
#include "io/base/clock.h"

#include <errno.h>
#include <string.h>

static int
tell_name(int error, const char *address, const char *name)
{
	switch (error) {
	case 0:
		return EX_OK;
	case -ENOENT:
		return ctl_error(EX_NOUSER, "%s has no app password \"%s\"", address, name);
	case -EEXIST:
		return ctl_error(EX_CANTCREAT,
			"%s has an app password \"%s\": revoke it first, or take another name",
			address, name);
	case -EDQUOT:
		return ctl_error(EX_CANTCREAT, "%s has %u app passwords: revoke one first", address,
			APP_PASSWORDS_MAX);
	default:
		return ctl_errno(error, "app password of %s", address);
	}
}

/* For an account that can log in, whichever source it comes from. */
static int
add(const struct user_request *r, struct accounts *a, const char *address, struct app_password *p)
{
	char text[APP_PASSWORD_TEXT_OCTETS + 1];
	struct found found;
	int code = user_find(r->ctl, a, address, &found);
	int error;

	explicit_bzero(&found, sizeof(found));
	if (code != EX_OK)
		return code;
	error = app_password_make(text, p);
	if (error != 0)
		return ctl_errno(error, "making a secret");
	code = tell_name(
		accounts_add_app_password(a, span_of_string(address), p), address, p->name);
	if (code == EX_OK)
		printf(r->json ? "{\"app_password\":\"%s\"}\n" : "%s\n", text);
	explicit_bzero(text, sizeof(text));
	return code;
}

int
user_app_add(struct user_request *r)
{
	int64_t now = clock_calendar_us() / 1000000;
	struct app_password p = { .created_at = now,
		.expires_at = (r->given & USER_EXPIRES) != 0 ? now + r->expires_s : 0,
		.read_only = (r->given & USER_READ_ONLY) != 0,
		.no_delete = (r->given & USER_NO_DELETE) != 0 };
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct accounts *a;
	int code = ctl_address(r->ctl, r->argument, address);

	if (code == EX_OK && !app_password_name_is_good(span_of_string(r->name)))
		code = ctl_error(EX_DATAERR, "\"%s\" is no name: 1 to %u octets, no controls",
			r->name, APP_PASSWORD_NAME_OCTETS_MAX);
	if (code == EX_OK)
		code = ctl_open_accounts(r->ctl, ACCOUNTS_WRITE, &a);
	if (code != EX_OK)
		return code;
	strcpy(p.name, r->name);
	code = add(r, a, address, &p);
	accounts_close(a);
	return code;
}

static int
print_apps(const struct user_kept *kept, bool json)
{
	int error = 0;

	for (unsigned i = 0; i < kept->app_count && error == 0; i++) {
		if (json)
			error = mail_print_json(user_app_json(&kept->apps[i]));
		else
			user_print_app("", &kept->apps[i]);
	}
	return error;
}

/* They are told without asking anybody; that there are none may be for want of an account. */
static int
list(const struct user_request *r, struct accounts *a, const char *address)
{
	struct found found;
	struct user_kept kept;
	int code, error = user_read_kept(a, address, &kept);

	if (error == 0)
		error = print_apps(&kept, r->json);
	if (error != 0)
		return ctl_errno(error, "app passwords of %s", address);
	if (kept.app_count > 0)
		return EX_OK;
	code = user_find(r->ctl, a, address, &found);
	explicit_bzero(&found, sizeof(found));
	return code;
}

int
user_app_list(struct user_request *r)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct accounts *a;
	int code = ctl_address(r->ctl, r->argument, address);

	if (code == EX_OK)
		code = ctl_open_accounts(r->ctl, ACCOUNTS_READ, &a);
	if (code != EX_OK)
		return code;
	code = list(r, a, address);
	accounts_close(a);
	return code;
}

int
user_app_revoke(struct user_request *r)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct accounts *a;
	int code = ctl_address(r->ctl, r->argument, address);

	if (code == EX_OK)
		code = ctl_open_accounts(r->ctl, ACCOUNTS_WRITE, &a);
	if (code != EX_OK)
		return code;
	code = tell_name(
		accounts_remove_app_password(a, span_of_string(address), span_of_string(r->name)),
		address, r->name);
	accounts_close(a);
	return code;
}
