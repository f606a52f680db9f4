/*
 * ctl_user.c - `ringpost user`: accounts, one at a time.
 *
 * One row for each form (add, passwd, ...) says which options and arguments it takes.  passwd and
 * set read an account, change it and put it back; of two operators who do so at once the later one
 * wins.
 */
#include "core/auth/password.h"
#include "core/ctl/ask_secret.h"
#include "core/ctl/user.h"
#include "io/base/must.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

int
user_take_hash(const char *text, struct account *account_out)
{
	const char *close = text[0] == '{' ? strchr(text, '}') : NULL;
	int error;

	if (close != NULL && close[1] == '$')
		text = close + 1;
	error = password_check_hash(text);
	if (error == 0)
		snprintf(
			account_out->password_hash, sizeof(account_out->password_hash), "%s", text);
	return error;
}

/* The password of the request, by hash or by asking, into `account`. */
static int
take_password(const struct user_request *r, struct account *account)
{
	char secret[PASSWORD_SECRET_OCTETS_MAX + 1];
	int error, code;

	if (r->given & USER_PASSWORD_HASH) {
		error = user_take_hash(r->password_hash, account);
		if (error == 0)
			return EX_OK;
		return ctl_error(EX_DATAERR, "--password-hash: %s",
			error == -ENOTSUP ? "accepted are $y$ $6$ $5$ $2a$ $2b$ $2y$ and {PLAIN}"
					  : "this is no hash in crypt(5) form");
	}
	code = ask_secret(account->address, secret);
	if (code != EX_OK)
		return code;
	error = password_make(
		r->ctl->settings->password_scheme, span_of_string(secret), account->password_hash);
	explicit_bzero(secret, sizeof(secret));
	if (error == -ERANGE)
		return ctl_error(EX_DATAERR, "this password is too long for %s",
			r->ctl->settings->password_scheme);
	return error == 0 ? EX_OK : ctl_errno(error, "hashing the password");
}

static void
take_options(const struct user_request *r, struct account *account)
{
	if (r->given & (USER_READ_ONLY | USER_READ_WRITE))
		account->read_only = (r->given & USER_READ_ONLY) != 0;
	if (r->given & (USER_DISABLED | USER_ENABLED))
		account->enabled = (r->given & USER_ENABLED) != 0;
	if (r->given & USER_QUOTA_OCTETS)
		account->quota_octets = r->quota_octets;
	if (r->given & USER_QUOTA_MESSAGES)
		account->quota_messages = (uint32_t)r->quota_messages;
}

/* A limit as accounts.h has it: "default" is 0, "none" (or 0) is `none`, a number is itself. */
static bool
take_quota(const char *text, uint64_t none, uint64_t *quota_out)
{
	if (strcmp(text, "default") == 0) {
		*quota_out = 0;
		return true;
	}
	if (strcmp(text, "none") == 0) {
		*quota_out = none;
		return true;
	}
	/* JSON's integers are signed */
	if (!span_to_octets(
		    span_of_string(text), none == UINT64_MAX ? INT64_MAX : none - 1, quota_out))
		return false;
	if (*quota_out == 0)
		*quota_out = none;
	return true;
}

/* What accounts.h answered about one address. */
static int
tell(int error, const char *address)
{
	if (error == 0)
		return EX_OK;
	if (error == -ENOENT)
		return ctl_error(EX_NOUSER, "there is no account %s", address);
	if (error == -EEXIST)
		return ctl_error(EX_CANTCREAT,
			"the account %s exists: `ringpost user passwd` or `set` changes it",
			address);
	return ctl_errno(error, "account %s", address);
}

static int
find_account(struct accounts *a, const char *address, struct account *account_out)
{
	struct accounts_reader *reader;
	int error = accounts_reader_open(a, &reader);

	if (error != 0)
		return error;
	error = accounts_find(reader, span_of_string(address), account_out);
	accounts_reader_close(reader);
	return error;
}

static int
user_add(struct user_request *r)
{
	struct account account = { .enabled = true };
	struct accounts *a;
	int code = ctl_address(r->ctl, r->argument, account.address);

	if (code == EX_OK)
		code = take_password(r, &account);
	if (code == EX_OK)
		code = ctl_open_accounts(r->ctl, ACCOUNTS_WRITE, &a);
	if (code != EX_OK)
		return code;
	take_options(r, &account);
	code = tell(accounts_add(a, &account), account.address);
	accounts_close(a);
	return code;
}

/* Read the account, let `change` (if any) and the options have it, put it back. */
static int
change_account(struct user_request *r,
	int (*change)(const struct user_request *r, struct account *account))
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct account account;
	struct accounts *a;
	int code = ctl_address(r->ctl, r->argument, address);

	if (code == EX_OK)
		code = ctl_open_accounts(r->ctl, ACCOUNTS_WRITE, &a);
	if (code != EX_OK)
		return code;
	code = tell(find_account(a, address, &account), address);
	if (code == EX_OK && change != NULL)
		code = change(r, &account);
	if (code == EX_OK) {
		take_options(r, &account);
		code = tell(accounts_replace(a, &account), address);
	}
	accounts_close(a);
	return code;
}

static int
user_passwd(struct user_request *r)
{
	return change_account(r, take_password);
}

static int
user_set(struct user_request *r)
{
	return change_account(r, NULL);
}

/* The account goes first, so that nobody logs in while the mail goes.  With --mail a missing
 * account is told only after the mail is gone: a second run finishes what a first one could not. */
static int
user_del(struct user_request *r)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct accounts *a;
	int error, code = ctl_address(r->ctl, r->argument, address);

	if (code == EX_OK)
		code = ctl_open_accounts(r->ctl, ACCOUNTS_WRITE, &a);
	if (code != EX_OK)
		return code;
	error = accounts_remove(a, span_of_string(address));
	accounts_close(a);
	if ((r->given & USER_MAIL) != 0 && (error == 0 || error == -ENOENT)) {
		int mail_error = maildrop_remove(&r->ctl->disk, address, &r->ctl->maildrop_options);

		if (mail_error != 0 && mail_error != -ENOENT)
			return ctl_errno(mail_error, "mail of %s", address);
	}
	return tell(error, address);
}

/* null: the default; 0: no limit. */
static json_t *
json_quota(uint64_t quota, uint64_t none)
{
	if (quota == 0)
		return json_null();
	return json_integer(quota == none ? 0 : (json_int_t)quota);
}

static int
print_json(const struct account *account)
{
	json_t *object = json_pack("{s:s, s:b, s:b, s:o, s:o, s:s}", "address", account->address,
		"enabled", account->enabled, "read_only", account->read_only, "quota_octets",
		json_quota(account->quota_octets, ACCOUNT_QUOTA_OCTETS_NONE), "quota_messages",
		json_quota(account->quota_messages, ACCOUNT_QUOTA_MESSAGES_NONE), "password_scheme",
		password_scheme_name(account->password_hash));

	if (object == NULL)
		return -ENOMEM;
	json_dumpf(object, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER);
	putchar('\n');
	json_decref(object);
	return 0;
}

static int
print_json_line(void *ctx, const struct account *account)
{
	(void)ctx;
	return print_json(account);
}

static int
print_line(void *ctx, const struct account *account)
{
	(void)ctx;
	printf("%s\t%s\t%s\n", account->address, account->enabled ? "enabled" : "disabled",
		account->read_only ? "read-only" : "read-write");
	return ferror(stdout) ? -EIO : 0;
}

static int
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

static void
print_quota(const char *name, uint64_t quota, uint64_t none)
{
	if (quota == 0 || quota == none)
		printf("%s: %s\n", name, quota == 0 ? "default" : "none");
	else
		printf("%s: %" PRIu64 "\n", name, quota);
}

static void
print_text(const struct account *account)
{
	printf("address: %s\nenabled: %s\nread-only: %s\n", account->address,
		account->enabled ? "yes" : "no", account->read_only ? "yes" : "no");
	print_quota("quota-octets", account->quota_octets, ACCOUNT_QUOTA_OCTETS_NONE);
	print_quota("quota-messages", account->quota_messages, ACCOUNT_QUOTA_MESSAGES_NONE);
	printf("password: %s\n", password_scheme_name(account->password_hash));
}

static int
user_show(struct user_request *r)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct account account;
	struct accounts *a;
	int code = ctl_address(r->ctl, r->argument, address);

	if (code == EX_OK)
		code = ctl_open_accounts(r->ctl, ACCOUNTS_READ, &a);
	if (code != EX_OK)
		return code;
	code = tell(find_account(a, address, &account), address);
	accounts_close(a);
	if (code != EX_OK)
		return code;
	if (r->json)
		return print_json(&account) == 0 ? EX_OK : EX_TEMPFAIL;
	print_text(&account);
	return EX_OK;
}

#define ACCOUNT_OPTIONS                                                                            \
	(USER_READ_ONLY | USER_READ_WRITE | USER_DISABLED | USER_ENABLED | USER_QUOTA_OCTETS |     \
		USER_QUOTA_MESSAGES)

static const struct form {
	const char *name;
	int (*run)(struct user_request *r);
	unsigned options; /* allowed */
	int arguments;
} forms[] = {
	{ "add", user_add, ACCOUNT_OPTIONS | USER_PASSWORD_HASH, 1 },
	{ "passwd", user_passwd, USER_PASSWORD_HASH, 1 },
	{ "set", user_set, ACCOUNT_OPTIONS, 1 },
	{ "del", user_del, USER_MAIL, 1 },
	{ "list", user_list, USER_JSON, 0 },
	{ "show", user_show, USER_JSON, 1 },
	{ "load", user_load, USER_JSON, 1 },
};

static const struct option options[] = {
	{ "json", no_argument, NULL, USER_JSON },
	{ "password-hash", required_argument, NULL, USER_PASSWORD_HASH },
	{ "read-only", no_argument, NULL, USER_READ_ONLY },
	{ "read-write", no_argument, NULL, USER_READ_WRITE },
	{ "disabled", no_argument, NULL, USER_DISABLED },
	{ "enabled", no_argument, NULL, USER_ENABLED },
	{ "quota-octets", required_argument, NULL, USER_QUOTA_OCTETS },
	{ "quota-messages", required_argument, NULL, USER_QUOTA_MESSAGES },
	{ "mail", no_argument, NULL, USER_MAIL },
	{ 0 },
};

/* The value of one option into `r`; false: it is not what the option wants. */
static bool
take_option(struct user_request *r, int option)
{
	r->given |= (unsigned)option;
	switch (option) {
	case USER_JSON:
		r->json = true;
		return true;
	case USER_PASSWORD_HASH:
		r->password_hash = optarg;
		return true;
	case USER_QUOTA_OCTETS:
		return take_quota(optarg, ACCOUNT_QUOTA_OCTETS_NONE, &r->quota_octets);
	case USER_QUOTA_MESSAGES:
		return take_quota(optarg, ACCOUNT_QUOTA_MESSAGES_NONE, &r->quota_messages);
	default:
		return true;
	}
}

static bool
is_contradictory(unsigned given)
{
	return (given & (USER_READ_ONLY | USER_READ_WRITE)) == (USER_READ_ONLY | USER_READ_WRITE) ||
		(given & (USER_DISABLED | USER_ENABLED)) == (USER_DISABLED | USER_ENABLED);
}

static int
read_request(const struct form *form, struct user_request *r, int argc, char **argv)
{
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			return EX_USAGE;
		if (((unsigned)option & form->options) == 0)
			return ctl_usage(&ctl_user_command);
		if (!take_option(r, option))
			return ctl_error(EX_USAGE,
				"\"%s\" is no limit: a number (20M is 20 times 2^20), default, or none",
				optarg);
	}
	if (argc - optind != form->arguments || is_contradictory(r->given) ||
		(form->run == user_set && r->given == 0))
		return ctl_usage(&ctl_user_command);
	r->argument = form->arguments > 0 ? argv[optind] : NULL;
	return EX_OK;
}

static int
run(struct ctl *ctl, int argc, char **argv)
{
	struct user_request r = { .ctl = ctl, .json = ctl->json };

	for (size_t i = 0; argc > 1 && i < array_count(forms); i++) {
		int code;

		if (strcmp(forms[i].name, argv[1]) != 0)
			continue;
		code = read_request(&forms[i], &r, argc - 1, argv + 1);
		return code == EX_OK ? forms[i].run(&r) : code;
	}
	return ctl_usage(&ctl_user_command);
}

const struct ctl_command ctl_user_command = {
	.name = "user",
	.run = run,
	.usage = "add ADDRESS [--password-hash H] [--read-only] [--disabled] [--quota-octets N]"
		 " [--quota-messages N]\n"
		 "passwd ADDRESS [--password-hash H]\n"
		 "set ADDRESS [--read-only | --read-write] [--disabled | --enabled]"
		 " [--quota-octets N] [--quota-messages N]\n"
		 "del ADDRESS [--mail]\n"
		 "list [--json]\n"
		 "show ADDRESS [--json]\n"
		 "load FILE [--json]",
	.summary = "add, change, remove and list accounts",
	.spool = CTL_MAKES_SPOOL,
};
