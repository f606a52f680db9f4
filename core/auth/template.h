/*
 * template.h - an operator's text into which an address is put: "(mail=%u)", "uid=%n,ou=%d".
 *
 * %u is the whole address, %n the local part, %d the domain, %% a percent sign.  Pure.
 */
#ifndef CORE_AUTH_TEMPLATE_H
#define CORE_AUTH_TEMPLATE_H

#include "io/base/span.h"

#include <stdbool.h>

enum template_escape {
	TEMPLATE_AS_IT_IS,
	TEMPLATE_LDAP_FILTER, /* RFC 4515: what is neither letter, digit nor harmless is \XX */
};

/* NULL, or what is wrong with it. */
const char *template_fault(const char *template);

/* `address` is canonical.  False: more than `room` octets, the NUL included; a faulty template. */
bool template_fill(const char *template, struct span address, enum template_escape escape, char *to,
	size_t room);

#endif
