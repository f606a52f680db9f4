/*
 * mail.c - opening maildrops, looking for accounts, printing dates and JSON.
 */
#include "core/ctl/mail.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

int
mail_check_account(const struct ctl *ctl, const char *address)
{
	struct accounts_reader *reader;
	struct accounts *accounts;
	struct account account;
	int error, code = ctl_open_accounts(ctl, ACCOUNTS_READ, &accounts);

	if (code != EX_OK)
		return code;
	error = accounts_reader_open(accounts, &reader);
	if (error == 0) {
		error = accounts_find(reader, span_of_string(address), &account);
		accounts_reader_close(reader);
	}
	accounts_close(accounts);
	explicit_bzero(&account, sizeof(account));
	if (error == -ENOENT)
		return ctl_error(EX_NOUSER,
			"there is no account %s: `ringpost user add %s` makes it", address,
			address);
	return error == 0 ? EX_OK : ctl_errno(error, "account %s", address);
}

int
mail_open(const struct ctl *ctl, const char *text, struct maildrop **maildrop_out,
	char address_out[ACCOUNT_ADDRESS_OCTETS_MAX + 1])
{
	struct maildrop *m;
	int error, code = ctl_address(ctl, text, address_out);

	if (code != EX_OK)
		return code;
	error = maildrop_open(&ctl->disk, address_out, &ctl->maildrop_options, &m);
	if (error == -EBADMSG)
		return ctl_error(EX_DATAERR,
			"the maildrop of %s is damaged: `ringpost repair %s` keeps what is intact",
			address_out, address_out);
	if (error != 0)
		return ctl_errno(error, "the maildrop of %s", address_out);
	if (m->count == 0 && m->uid_validity == 0)
		code = mail_check_account(ctl, address_out);
	if (code != EX_OK) {
		maildrop_close(&ctl->disk, m);
		return code;
	}
	*maildrop_out = m;
	return EX_OK;
}

void
mail_put_date(int64_t seconds, char to[MAIL_DATE_OCTETS])
{
	time_t when = (time_t)seconds;
	struct tm tm;

	if (gmtime_r(&when, &tm) == NULL ||
		strftime(to, MAIL_DATE_OCTETS, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		strcpy(to, "-");
}

int
mail_print_json(json_t *object)
{
	int error = object == NULL ? -ENOMEM : 0;

	if (error == 0 && json_dumpf(object, stdout, JSON_COMPACT | JSON_PRESERVE_ORDER) != 0)
		error = -EIO;
	putchar('\n');
	json_decref(object);
	return error;
}
