/*
 * ctl_quota.c - `ringpost quota`: what accounts hold, and what they may hold.
 *
 * The totals stand in each maildrop's index and change with every commit, so this reads the end of
 * one small file for each account; there is nothing that could be counted anew.
 */
#include "core/ctl/finder.h"
#include "core/ctl/mail.h"
#include "core/quota.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

struct quota_request {
	const struct ctl *ctl;
	bool json;
	bool all;
	int code;
};

static json_t *
json_limit(uint64_t limit)
{
	return limit == 0 ? json_null() : json_integer((json_int_t)limit);
}

static int
print_json(const char *address, uint64_t octets, uint32_t messages, struct quota quota)
{
	return mail_print_json(json_pack("{s:s, s:I, s:o, s:I, s:o}", "address", address, "octets",
		(json_int_t)octets, "quota_octets", json_limit(quota.octets), "messages",
		(json_int_t)messages, "quota_messages", json_limit(quota.messages)));
}

static void
print_limit(uint64_t limit)
{
	if (limit == 0)
		fputs("\tnone", stdout);
	else
		printf("\t%" PRIu64, limit);
}

static int
print_text(const char *address, uint64_t octets, uint32_t messages, struct quota quota)
{
	printf("%s\t%" PRIu64, address, octets);
	print_limit(quota.octets);
	printf("\t%" PRIu32, messages);
	print_limit(quota.messages);
	putchar('\n');
	return ferror(stdout) ? -EIO : 0;
}

/* A maildrop that cannot be read is told, and the others go on. */
static int
print_account(void *ctx, const struct account *account)
{
	struct quota_request *r = ctx;
	const struct ctl *ctl = r->ctl;
	const char *maildrop = account_maildrop(account);
	struct quota quota = quota_of(ctl->settings, account);
	uint64_t octets;
	uint32_t messages;
	int error =
		maildrop_usage(&ctl->disk, maildrop, &ctl->maildrop_options, &octets, &messages);

	if (error != 0) {
		r->code = ctl_errno(error, "the maildrop of %s", maildrop);
		return 0;
	}
	return (r->json ? print_json : print_text)(account->address, octets, messages, quota);
}

static int
print_one(struct quota_request *r, struct finder *finder, const char *text)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct found found;
	int error, code = ctl_address(r->ctl, text, address);

	if (code != EX_OK)
		return code;
	error = finder_find(finder, address, FINDER_FOR_MAIL, &found);
	if (error == -ENOENT)
		code = ctl_error(EX_NOUSER, "there is no account %s", address);
	else if (error != 0)
		code = finder_tell(error, &found, address);
	else if (print_account(r, &found.account) != 0)
		code = ctl_errno(-EIO, "account %s", address);
	explicit_bzero(&found, sizeof(found));
	return code;
}

static void
print_named(struct quota_request *r, struct accounts *a, int count, char **addresses)
{
	struct finder *finder;
	int error = finder_open(r->ctl, a, &finder);

	if (error != 0) {
		r->code = ctl_errno(error, "reading the accounts");
		return;
	}
	for (int i = 0; i < count; i++) {
		int code = print_one(r, finder, addresses[i]);

		if (code != EX_OK)
			r->code = code;
	}
	finder_close(finder);
}

static int
read_options(struct quota_request *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "all", no_argument, NULL, 'a' },
		{ "json", no_argument, NULL, 'j' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'a')
			r->all = true;
		else if (option == 'j')
			r->json = true;
		else
			return EX_USAGE;
	}
	return r->all == (optind == argc) ? EX_OK : ctl_usage(&ctl_quota_command);
}

static int
run(struct ctl *ctl, int argc, char **argv)
{
	struct quota_request r = { .ctl = ctl, .json = ctl->json };
	struct accounts *accounts;
	int error = 0;
	int code = read_options(&r, argc, argv);

	if (code == EX_OK)
		code = ctl_open_accounts(ctl, ACCOUNTS_READ, &accounts);
	if (code != EX_OK)
		return code;
	if (r.all)
		error = accounts_each(accounts, print_account, &r);
	else
		print_named(&r, accounts, argc - optind, argv + optind);
	accounts_close(accounts);
	return error == 0 ? r.code : ctl_errno(error, "listing the accounts");
}

const struct ctl_command ctl_quota_command = {
	.name = "quota",
	.run = run,
	.usage = "ADDRESS... [--json]\n"
		 "--all [--json]",
	.summary = "what accounts hold and may hold: address, octets, limit, messages, limit",
	.spool = CTL_NEEDS_SPOOL,
};
