/*
 * ctl_user.c - `ringpost user`: accounts, one at a time.
 *
 * One row for each form (add, passwd, ...) says which options and arguments it takes.  passwd and
 * set read an account, change it and put it back; of two operators who do so at once the later one
 * wins.
 */
#include "core/auth/password.h"
#include "core/auth/password_legacy.h"
#include "core/ctl/ask_secret.h"
#include "core/ctl/user.h"
#include "core/network.h"
#include "io/base/clock.h"
#include "io/base/must.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <string.h>

int
user_take_hash(const char *text, struct account *account_out)
{
	return password_take_hash(text, account_out->password_hash);
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
			error == -ENOTSUP ? "of a scheme that is not accepted (crypt(5), {PLAIN}, "
					    "{SCRAM-SHA-256}, {SSHA512}, {PBKDF2}, {ARGON2ID}, ...)"
					  : "this is no hash of that scheme");
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
	if (r->given & (USER_NO_DELETE | USER_MAY_DELETE))
		account->no_delete = (r->given & USER_NO_DELETE) != 0;
	if (r->given & USER_NETWORKS)
		snprintf(account->networks, sizeof(account->networks), "%s", r->networks);
	if (r->given & USER_MAILDROP)
		strcpy(account->maildrop, r->maildrop);
	if (r->given & USER_BACKEND)
		snprintf(account->backend, sizeof(account->backend), "%s", r->backend);
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

int
user_tell(int error, const char *address)
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

/* The same where only the spool's own can be meant. */
static int
tell_own(const struct user_request *r, int error, const char *address)
{
	if (error == -ENOENT && r->ctl->settings->sources.count > 0)
		return ctl_error(EX_NOUSER,
			"the spool has no account %s; one of another source is changed there",
			address);
	return user_tell(error, address);
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
	code = user_tell(accounts_add(a, &account), account.address);
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
	code = tell_own(r, finder_find_own(a, address, &account), address);
	if (code == EX_OK && change != NULL)
		code = change(r, &account);
	if (code == EX_OK) {
		take_options(r, &account);
		code = user_tell(accounts_replace(a, &account), address);
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
	return tell_own(r, error, address);
}

/* `user forget ADDRESS`, or --unused AGE: of all that are not the spool's own. */
static int
forget_unused(const struct user_request *r, struct accounts *a)
{
	uint64_t forgotten;
	int error =
		accounts_forget_unused(a, clock_calendar_us() / 1000000 - r->unused_s, &forgotten);

	printf(r->json ? "{\"forgotten\":%" PRIu64 "}\n" : "forgot %" PRIu64 " addresses\n",
		forgotten);
	return error == 0 ? EX_OK : ctl_errno(error, "forgetting stopped");
}

static int
user_forget(struct user_request *r)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	bool is_one = (r->given & USER_UNUSED) == 0;
	struct accounts *a;
	int error, code = is_one ? ctl_address(r->ctl, r->argument, address) : EX_OK;

	if (code == EX_OK)
		code = ctl_open_accounts(r->ctl, ACCOUNTS_WRITE, &a);
	if (code != EX_OK)
		return code;
	if (is_one) {
		error = accounts_forget(a, span_of_string(address));
		code = error == -ENOENT ? ctl_error(EX_NOUSER, "nothing is kept of %s", address)
					: user_tell(error, address);
	} else {
		code = forget_unused(r, a);
	}
	accounts_close(a);
	return code;
}

#define ACCOUNT_OPTIONS                                                                            \
	(USER_READ_ONLY | USER_READ_WRITE | USER_DISABLED | USER_ENABLED | USER_QUOTA_OCTETS |     \
		USER_QUOTA_MESSAGES | USER_NO_DELETE | USER_MAY_DELETE | USER_NETWORKS |           \
		USER_MAILDROP | USER_BACKEND)

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
	{ "forget", user_forget, USER_UNUSED | USER_JSON, 1 },
	{ "list", user_list, USER_JSON, 0 },
	{ "show", user_show, USER_JSON, 1 },
	{ "load", user_load, USER_JSON, 1 },
	{ "import", user_import, USER_JSON, 2 },
};

static const struct form app_forms[] = {
	{ "add", user_app_add, USER_READ_ONLY | USER_NO_DELETE | USER_EXPIRES | USER_JSON, 2 },
	{ "list", user_app_list, USER_JSON, 1 },
	{ "revoke", user_app_revoke, 0, 2 },
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
	{ "no-delete", no_argument, NULL, USER_NO_DELETE },
	{ "may-delete", no_argument, NULL, USER_MAY_DELETE },
	{ "networks", required_argument, NULL, USER_NETWORKS },
	{ "maildrop", required_argument, NULL, USER_MAILDROP },
	{ "backend", required_argument, NULL, USER_BACKEND },
	{ "expires", required_argument, NULL, USER_EXPIRES },
	{ "unused", required_argument, NULL, USER_UNUSED },
	{ 0 },
};

const char *
user_fault_of_networks(const char *text)
{
	struct network network;
	char one[64];

	if (strlen(text) > ACCOUNT_TEXT_OCTETS_MAX)
		return "too many networks: 255 octets are there for them";
	for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
		size_t length = strcspn(text, " ");

		if (length >= sizeof(one))
			return "no network";
		memcpy(one, text, length);
		one[length] = '\0';
		if (network_read(one, &network) != NULL)
			return "no network: write 192.0.2.0/24 or 2001:db8::/32, with blanks between them";
		text += length;
	}
	return NULL;
}

static const char *
fault_of_host(const char *text)
{
	if (strlen(text) > ACCOUNT_TEXT_OCTETS_MAX)
		return "a host name of more than 255 octets";
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text <= ' ' || *text == 0x7f)
			return "no host name";
	}
	return NULL;
}

/* "30d", "12h", or seconds. */
static const char *
take_age(const char *text, int64_t *seconds_out)
{
	static const struct {
		char unit;
		int64_t seconds;
	} units[] = { { 'd', 86400 }, { 'h', 3600 }, { 'm', 60 }, { 's', 1 } };
	struct span number = span_of_string(text);
	int64_t factor = 1;
	uint64_t count;

	for (size_t i = 0; i < array_count(units); i++) {
		if (number.length > 0 && number.at[number.length - 1] == units[i].unit) {
			number.length--;
			factor = units[i].seconds;
			break;
		}
	}
	if (!span_to_u64(number, 100000000000u / (uint64_t)factor, &count) || count == 0)
		return "no time: write 90d, 12h or seconds";
	*seconds_out = (int64_t)count * factor;
	return NULL;
}

/* The value of one option into `r`; NULL, or what is wrong with it. */
static const char *
take_option(struct user_request *r, int option)
{
	static const char no_limit[] =
		"no limit: a number (20M is 20 times 2^20), default, or none";

	r->given |= (unsigned)option;
	switch (option) {
	case USER_JSON:
		r->json = true;
		break;
	case USER_PASSWORD_HASH:
		r->password_hash = optarg;
		break;
	case USER_QUOTA_OCTETS:
		return take_quota(optarg, ACCOUNT_QUOTA_OCTETS_NONE, &r->quota_octets) ? NULL
										       : no_limit;
	case USER_QUOTA_MESSAGES:
		return take_quota(optarg, ACCOUNT_QUOTA_MESSAGES_NONE, &r->quota_messages)
			? NULL
			: no_limit;
	case USER_NETWORKS:
		r->networks = optarg;
		return user_fault_of_networks(optarg);
	case USER_MAILDROP:
		if (optarg[0] == '\0')
			break;
		return ctl_address_quietly(r->ctl, optarg, r->maildrop) == 0 ? NULL : "no address";
	case USER_BACKEND:
		r->backend = optarg;
		return fault_of_host(optarg);
	case USER_EXPIRES:
		return take_age(optarg, &r->expires_s);
	case USER_UNUSED:
		return take_age(optarg, &r->unused_s);
	default:
		break;
	}
	return NULL;
}

static bool
is_contradictory(unsigned given)
{
	return (given & (USER_READ_ONLY | USER_READ_WRITE)) == (USER_READ_ONLY | USER_READ_WRITE) ||
		(given & (USER_NO_DELETE | USER_MAY_DELETE)) ==
		(USER_NO_DELETE | USER_MAY_DELETE) ||
		(given & (USER_DISABLED | USER_ENABLED)) == (USER_DISABLED | USER_ENABLED);
}

static int
read_request(const struct form *form, struct user_request *r, int argc, char **argv)
{
	int arguments = form->arguments;
	const char *fault;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			return EX_USAGE;
		if (((unsigned)option & form->options) == 0)
			return ctl_usage(&ctl_user_command);
		fault = take_option(r, option);
		if (fault != NULL)
			return ctl_error(EX_USAGE, "\"%s\" is %s", optarg, fault);
	}
	if (r->given & USER_UNUSED) /* stands for an address */
		arguments = 0;
	if (argc - optind != arguments || is_contradictory(r->given) ||
		(form->run == user_set && r->given == 0))
		return ctl_usage(&ctl_user_command);
	r->argument = arguments > 0 ? argv[optind] : NULL;
	r->name = arguments > 1 ? argv[optind + 1] : NULL;
	return EX_OK;
}

static int
run_form(const struct form *form, size_t count, struct user_request *r, int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < count; i++) {
		int code;

		if (strcmp(form[i].name, argv[1]) != 0)
			continue;
		code = read_request(&form[i], r, argc - 1, argv + 1);
		return code == EX_OK ? form[i].run(r) : code;
	}
	return ctl_usage(&ctl_user_command);
}

static int
run(struct ctl *ctl, int argc, char **argv)
{
	struct user_request r = { .ctl = ctl, .json = ctl->json };

	if (argc > 2 && strcmp(argv[1], "app-password") == 0)
		return run_form(app_forms, array_count(app_forms), &r, argc - 1, argv + 1);
	return run_form(forms, array_count(forms), &r, argc, argv);
}

const struct ctl_command ctl_user_command = {
	.name = "user",
	.run = run,
	.usage =
		"add ADDRESS [--password-hash H] [--read-only] [--no-delete] [--disabled]"
		" [--quota-octets N] [--quota-messages N] [--networks N...]"
		" [--maildrop ADDRESS] [--backend HOST]\n"
		"passwd ADDRESS [--password-hash H]\n"
		"set ADDRESS [--read-only | --read-write] [--no-delete | --may-delete]"
		" [--disabled | --enabled] [--quota-octets N] [--quota-messages N] [--networks N...]"
		" [--maildrop ADDRESS] [--backend HOST]\n"
		"del ADDRESS [--mail]\n"
		"forget ADDRESS | --unused 400d [--json]\n"
		"list [--json]\n"
		"show ADDRESS [--json]\n"
		"load FILE [--json]\n"
		"import passwd-file|dovecot FILE [--json]\n"
		"app-password add ADDRESS NAME [--read-only] [--no-delete] [--expires 90d] [--json]\n"
		"app-password list ADDRESS [--json]\n"
		"app-password revoke ADDRESS NAME",
	.summary = "add, change, remove and list accounts",
	.spool = CTL_MAKES_SPOOL,
};
