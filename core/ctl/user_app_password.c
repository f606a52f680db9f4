/*
 * user_app_password.c - `ringpost user app-password add|list|revoke`.
 *
 * We make the secret: it is printed once and nobody can read it again.
 */
#include "core/auth/app_password.h"
#include "core/ctl/user.h"
#include "io/base/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

static int
tell_name(int error, const char *address, const char *name)
{
	switch (error) {
	case 0:
		return EX_OK;
	case -ENOENT:
		return ctl_error(EX_NOUSER,
			"there is no account %s, or no app password \"%s\" of it", address, name);
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

static const char *
scope_word(const struct app_password *p)
{
	if (p->read_only)
		return "read-only";
	return p->no_delete ? "no-delete" : "all";
}

/* "2026-03-01T12:00:00Z", or `never`. */
static const char *
time_text(int64_t at, const char *never, char text_out[32])
{
	time_t seconds = (time_t)at;
	struct tm tm;

	if (at == 0 || gmtime_r(&seconds, &tm) == NULL)
		return never;
	strftime(text_out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return text_out;
}

int
user_app_add(struct user_request *r)
{
	char text[APP_PASSWORD_TEXT_OCTETS + 1];
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct app_password p = { .created_at = clock_calendar_us() / 1000000,
		.expires_at = r->expires_at,
		.read_only = (r->given & USER_READ_ONLY) != 0,
		.no_delete = (r->given & USER_NO_DELETE) != 0 };
	struct accounts *a;
	int error, code = ctl_address(r->ctl, r->argument, address);

	if (code == EX_OK && !app_password_name_is_good(span_of_string(r->name)))
		code = ctl_error(EX_DATAERR, "\"%s\" is no name: 1 to %u octets, no controls",
			r->name, APP_PASSWORD_NAME_OCTETS_MAX);
	if (code != EX_OK)
		return code;
	strcpy(p.name, r->name);
	error = app_password_make(text, &p);
	if (error != 0)
		return ctl_errno(error, "making a secret");
	code = ctl_open_accounts(r->ctl, ACCOUNTS_WRITE, &a);
	if (code != EX_OK)
		return code;
	code = tell_name(
		accounts_add_app_password(a, span_of_string(address), &p), address, p.name);
	accounts_close(a);
	if (code == EX_OK)
		printf(r->json ? "{\"app_password\":\"%s\"}\n" : "%s\n", text);
	explicit_bzero(text, sizeof(text));
	return code;
}

struct listing {
	struct accounts_reader *last; /* for the last use, while the list is being read */
	const char *address;
	bool json;
};

static int
print_one(void *ctx, const struct app_password *p)
{
	const struct listing *l = ctx;
	struct login_note note = { .at = 0 };
	char created[32], expires[32], used[32];
	json_t *object;
	int error = accounts_last_login(
		l->last, span_of_string(l->address), span_of_string(p->name), &note);

	if (error != 0 && error != -ENOENT)
		return error;
	if (!l->json) {
		printf("%s\t%s\tmade %s\texpires %s\tlast used %s %s\n", p->name, scope_word(p),
			time_text(p->created_at, "?", created),
			time_text(p->expires_at, "never", expires),
			time_text(note.at, "never", used), note.peer);
		return 0;
	}
	object = json_pack("{s:s, s:s, s:I, s:o, s:o, s:s}", "name", p->name, "scope",
		scope_word(p), "created_at", (json_int_t)p->created_at, "expires_at",
		p->expires_at == 0 ? json_null() : json_integer(p->expires_at), "last_used_at",
		note.at == 0 ? json_null() : json_integer(note.at), "last_used_from", note.peer);
	if (object == NULL)
		return -ENOMEM;
	json_dumpf(object, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(object);
	return 0;
}

/* Two readers: one walks over the app passwords, the other looks up when each was used. */
static int
list_all(struct accounts *a, const char *address, bool json)
{
	struct listing l = { .address = address, .json = json };
	struct accounts_reader *reader;
	struct account account;
	int error = accounts_reader_open(a, &reader);

	if (error != 0)
		return error;
	error = accounts_find(reader, span_of_string(address), &account);
	if (error == 0)
		error = accounts_reader_open(a, &l.last);
	if (error == 0) {
		error = accounts_each_app_password(reader, span_of_string(address), print_one, &l);
		accounts_reader_close(l.last);
	}
	accounts_reader_close(reader);
	return error;
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
	code = user_tell(list_all(a, address, r->json), address);
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
