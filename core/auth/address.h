/*
 * address.h - from what a client calls itself to the one name of its maildrop.
 *
 * A canonical address is local@domain: ASCII letters in lower case, octets above 0x7F as they came
 * (valid UTF-8; no case folding, for that depends on language and Unicode version, and two programs
 * must always agree).  Every name in the accounts and below the spool went through here.
 */
#ifndef CORE_AUTH_ADDRESS_H
#define CORE_AUTH_ADDRESS_H

#include "io/base/span.h"
#include "storage/accounts.h"

#define ADDRESS_LOCAL_OCTETS_MAX 64u /* RFC 5321, section 4.5.3.1.1 */

struct address_rules {
	const char *default_domain;   /* lower-case; put behind a name without "@"; "" for none */
	const char *detail_separator; /* in the local part: cut off from here on; "" to keep it */
};

/* Returns 0, or -EINVAL for what can be no account: no or several "@", an empty part, too long,
 * controls, blanks, NUL, broken UTF-8.  *address_out is set on success only.  On -EINVAL a login
 * goes on with a dummy hash, so that the client learns nothing from the time it takes. */
int address_canonical(struct span login, const struct address_rules *rules,
	char address_out[ACCOUNT_ADDRESS_OCTETS_MAX + 1]);

#endif
