/*
 * mail.c - opening maildrops, looking for accounts, printing dates and JSON.
 */
#include "core/ctl/mail.h"

#include "core/ctl/finder.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

int
mail_find_maildrop(const struct ctl *ctl, const char *address,
	char maildrop_out[ACCOUNT_ADDRESS_OCTETS_MAX + 1])
{
	struct accounts *accounts;
	struct finder *finder;
	struct found found;
	int error, code = ctl_open_accounts(ctl, ACCOUNTS_READ, &accounts);

	if (code != EX_OK)
		return code;
	error = finder_open(ctl, accounts, &finder);
	if (error != 0) {
		accounts_close(accounts);
		return ctl_errno(error, "account %s", address);
	}
	error = finder_find(finder, address, FINDER_FOR_MAIL, &found);
	finder_close(finder);
	accounts_close(accounts);
	if (error == 0)
		snprintf(maildrop_out, ACCOUNT_ADDRESS_OCTETS_MAX + 1, "%s",
			account_maildrop(&found.account));
	else if (error == -ENOENT)
		code = ctl_error(EX_NOUSER,
			"there is no account %s: `ringpost user add %s` makes it", address,
			address);
	else
		code = finder_tell(error, &found, address);
	explicit_bzero(&found, sizeof(found));
	return code;
}

int
mail_check_account(const struct ctl *ctl, const char *address)
{
	char maildrop[ACCOUNT_ADDRESS_OCTETS_MAX + 1];

	return mail_find_maildrop(ctl, address, maildrop);
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
