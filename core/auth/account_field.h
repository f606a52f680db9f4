/*
 * account_field.h - what a database or a directory says of an account, field by field, as text.
 *
 * password (a hash as password_take_hash() reads it), disabled, read_only, no_delete, quota_octets,
 * quota_messages, networks, maildrop, backend.  Pure.
 */
#ifndef CORE_AUTH_ACCOUNT_FIELD_H
#define CORE_AUTH_ACCOUNT_FIELD_H

#include "core/auth/address.h"

enum account_field {
	ACCOUNT_FIELD_PASSWORD,
	ACCOUNT_FIELD_DISABLED,
	ACCOUNT_FIELD_READ_ONLY,
	ACCOUNT_FIELD_NO_DELETE,
	ACCOUNT_FIELD_QUOTA_OCTETS,
	ACCOUNT_FIELD_QUOTA_MESSAGES,
	ACCOUNT_FIELD_NETWORKS,
	ACCOUNT_FIELD_MAILDROP,
	ACCOUNT_FIELD_BACKEND,
	ACCOUNT_FIELDS,
};

extern const char *const account_field_names[ACCOUNT_FIELDS];
/* All names with commas between, for messages. */
#define ACCOUNT_FIELD_NAMES                                                                        \
	"password, disabled, read_only, no_delete, quota_octets, quota_messages, networks, "       \
	"maildrop, backend"

bool account_field_find(struct span name, enum account_field *field_out);

/* An account of which nothing is known but its address: enabled, without a password. */
void account_field_begin(struct span address, struct account *account_out);

/* One field; an empty text leaves it as it is.  0; -EBADMSG: that is no such value; -ENOTSUP: a
 * hash of a scheme that is not accepted. */
int account_field_set(struct account *account, enum account_field field, const char *text,
	const struct address_rules *rules);

#endif
