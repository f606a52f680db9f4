/*
 * mail.h - what the commands on maildrops share (list, show, import, export, verify, repair,
 * compact).
 */
#ifndef CORE_CTL_MAIL_H
#define CORE_CTL_MAIL_H

#include "core/ctl/ctl.h"

/* The account of this canonical address, in whatever source, as one that gets mail.  EX_OK;
 * EX_NOUSER: there is none; another code: it cannot be found out.  All are told. */
int mail_check_account(const struct ctl *ctl, const char *address);
/* The same, and whose maildrop it opens and gets mail in: mostly its own. */
int mail_find_maildrop(const struct ctl *ctl, const char *address,
	char maildrop_out[ACCOUNT_ADDRESS_OCTETS_MAX + 1]);

/* The snapshot of the maildrop of an address from the command line; the caller closes it.  Errors
 * are told: EX_NOUSER where there is neither mail nor an account. */
int mail_open(const struct ctl *ctl, const char *text, struct maildrop **maildrop_out,
	char address_out[ACCOUNT_ADDRESS_OCTETS_MAX + 1]);

/* "2026-11-21T22:24:08Z" */
#define MAIL_DATE_OCTETS 32u
void mail_put_date(int64_t seconds, char to[MAIL_DATE_OCTETS]);

/* A JSON object in one line on stdout; takes the reference. */
struct json_t;
int mail_print_json(struct json_t *object);

#endif
