/*
 * user_show.c - `ringpost user show` and `list`: accounts in words or as JSON.
 *
 * list is about the spool's own accounts; show is about any that can log in here, whichever source
 * it comes from.
 */
#include "core/auth/password.h"
#include "core/ctl/mail.h"
#include "core/ctl/user.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

/* ---- app passwords ------------------------------------------------------------------------- */

static const char *
scope_word(const struct app_password *p)
{
	if (p->read_only)
		return "read-only";
	return p->no_delete ? "no-delete" : "all";
}

/* "2026-03-01T12:00:00Z", or `never`. */
static const char *
time_text(int64_t at, const char *never, char text_out[MAIL_DATE_OCTETS])
{
	if (at == 0)
		return never;
	mail_put_date(at, text_out);
	return text_out;
}

void
user_print_app(const char *before, const struct user_app *app)
{
	const struct app_password *p = &app->password;
	char created[MAIL_DATE_OCTETS], expires[MAIL_DATE_OCTETS], used[MAIL_DATE_OCTETS];

	printf("%s%s\t%s\tmade %s\texpires %s\tlast used %s %s\n", before, p->name, scope_word(p),
		time_text(p->created_at, "?", created), time_text(p->expires_at, "never", expires),
		time_text(app->last_use.at, "never", used), app->last_use.peer);
}

json_t *
user_app_json(const struct user_app *app)
{
	const struct app_password *p = &app->password;

	return json_pack("{s:s, s:s, s:I, s:o, s:o, s:s}", "name", p->name, "scope", scope_word(p),
		"created_at", (json_int_t)p->created_at, "expires_at",
		p->expires_at == 0 ? json_null() : json_integer(p->expires_at), "last_used_at",
		app->last_use.at == 0 ? json_null() : json_integer(app->last_use.at),
		"last_used_from", app->last_use.peer);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

/* null: the default; 0: no limit. */
static json_t *
json_quota(uint64_t quota, uint64_t none)
{
	if (quota == 0)
		return json_null();
	return json_integer(quota == none ? 0 : (json_int_t)quota);
}

static const char *
password_word(const struct account *account, bool is_proven_elsewhere)
{
	if (is_proven_elsewhere)
		return "source";
	return account->password_hash[0] == '\0' ? "none"
						 : password_scheme_name(account->password_hash);
}

/* All but the address. */
static int
put_account(json_t *object, const struct account *account, bool is_proven_elsewhere)
{
	json_t *fields = json_pack("{s:b, s:b, s:b, s:s, s:s, s:s, s:o, s:o, s:s}", "enabled",
		account->enabled, "read_only", account->read_only, "no_delete", account->no_delete,
		"networks", account->networks, "maildrop", account->maildrop, "backend",
		account->backend, "quota_octets",
		json_quota(account->quota_octets, ACCOUNT_QUOTA_OCTETS_NONE), "quota_messages",
		json_quota(account->quota_messages, ACCOUNT_QUOTA_MESSAGES_NONE), "password_scheme",
		password_word(account, is_proven_elsewhere));
	int error = fields == NULL ? -ENOMEM : json_object_update(object, fields);

	json_decref(fields);
	return error == 0 ? 0 : -ENOMEM;
}

static json_t *
json_last_login(const struct login_note *note)
{
	if (note->at == 0)
		return json_null();
	return json_pack("{s:I, s:s, s:s}", "at", (json_int_t)note->at, "from", note->peer,
		"protocol", note->protocol);
}

static json_t *
json_apps(const struct user_kept *kept)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < kept->app_count; i++) {
		if (json_array_append_new(list, user_app_json(&kept->apps[i])) != 0) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static int
print_json(const char *address, const struct found *found, const struct user_kept *kept)
{
	json_t *object = json_pack("{s:s, s:s?}", "address", address, "source", found->source);
	int error = object == NULL ? -ENOMEM : 0;

	if (error == 0 && found->source != NULL)
		error = put_account(object, &found->account, found->is_proven_there);
	if (error == 0)
		error = json_object_set_new(
			object, "last_login", json_last_login(&kept->last_login));
	if (error == 0)
		error = json_object_set_new(object, "app_passwords", json_apps(kept));
	if (error != 0) {
		json_decref(object);
		return -ENOMEM;
	}
	return mail_print_json(object);
}

static int
print_json_line(void *ctx, const struct account *account)
{
	json_t *object = json_pack("{s:s}", "address", account->address);

	(void)ctx;
	if (object == NULL || put_account(object, account, false) != 0) {
		json_decref(object);
		return -ENOMEM;
	}
	return mail_print_json(object);
}

/* ---- text ---------------------------------------------------------------------------------- */

static void
print_quota(const char *name, uint64_t quota, uint64_t none)
{
	if (quota == 0 || quota == none)
		printf("%s: %s\n", name, quota == 0 ? "default" : "none");
	else
		printf("%s: %" PRIu64 "\n", name, quota);
}

static void
print_account(const struct account *account, bool is_proven_elsewhere)
{
	printf("enabled: %s\nread-only: %s\nno-delete: %s\n", account->enabled ? "yes" : "no",
		account->read_only ? "yes" : "no", account->no_delete ? "yes" : "no");
	printf("networks: %s\nmaildrop: %s\nbackend: %s\n",
		account->networks[0] != '\0' ? account->networks : "any",
		account->maildrop[0] != '\0' ? account->maildrop : "its own",
		account->backend[0] != '\0' ? account->backend : "this host");
	print_quota("quota-octets", account->quota_octets, ACCOUNT_QUOTA_OCTETS_NONE);
	print_quota("quota-messages", account->quota_messages, ACCOUNT_QUOTA_MESSAGES_NONE);
	printf("password: %s\n",
		is_proven_elsewhere ? "its source is asked" : password_word(account, false));
}

static void
print_text(const char *address, const struct found *found, const struct user_kept *kept)
{
	const struct login_note *last = &kept->last_login;
	char at[MAIL_DATE_OCTETS];

	printf("address: %s\nsource: %s\n", address,
		found->source != NULL ? found->source : "cannot be said now");
	if (found->source != NULL)
		print_account(&found->account, found->is_proven_there);
	if (last->at == 0)
		printf("last-login: never\n");
	else
		printf("last-login: %s from %s by %s\n", time_text(last->at, "", at), last->peer,
			last->protocol);
	for (unsigned i = 0; i < kept->app_count; i++)
		user_print_app("app-password: ", &kept->apps[i]);
}

/* ---- the forms ----------------------------------------------------------------------------- */

static int
print_line(void *ctx, const struct account *account)
{
	(void)ctx;
	printf("%s\t%s\t%s\n", account->address, account->enabled ? "enabled" : "disabled",
		account->read_only ? "read-only" : "read-write");
	return ferror(stdout) ? -EIO : 0;
}

int
user_list(struct user_request *r)
{
	struct accounts *a;
	int error, code = ctl_open_accounts(r->ctl, ACCOUNTS_READ, &a);

	if (code != EX_OK)
		return code;
	error = accounts_each(a, r->json ? print_json_line : print_line, NULL);
	accounts_close(a);
	return error == 0 ? EX_OK : ctl_errno(error, "listing the accounts");
}

/* Where a source is silent the line says so, and what the spool knows is shown all the same. */
static int
show(const struct user_request *r, struct accounts *a, const char *address)
{
	struct found found;
	struct user_kept kept;
	int code = user_find(r->ctl, a, address, &found);
	int error;

	if (code == EX_NOUSER)
		return code;
	error = user_read_kept(a, address, &kept);
	if (error != 0)
		code = ctl_errno(error, "app passwords and last login of %s", address);
	else if (!r->json)
		print_text(address, &found, &kept);
	else if (print_json(address, &found, &kept) != 0)
		code = EX_TEMPFAIL;
	explicit_bzero(&found, sizeof(found));
	return code;
}

int
user_show(struct user_request *r)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct accounts *a;
	int code = ctl_address(r->ctl, r->argument, address);

	if (code == EX_OK)
		code = ctl_open_accounts(r->ctl, ACCOUNTS_READ, &a);
	if (code != EX_OK)
		return code;
	code = show(r, a, address);
	accounts_close(a);
	return code;
}
