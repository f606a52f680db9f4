/*
 * user.h - what the forms of `ringpost user` share.
 */
#ifndef CORE_CTL_USER_H
#define CORE_CTL_USER_H

#include "core/ctl/ctl.h"

enum user_option {
	USER_JSON = 1 << 0,
	USER_PASSWORD_HASH = 1 << 1,
	USER_READ_ONLY = 1 << 2,
	USER_READ_WRITE = 1 << 3,
	USER_DISABLED = 1 << 4,
	USER_ENABLED = 1 << 5,
	USER_QUOTA_OCTETS = 1 << 6,
	USER_QUOTA_MESSAGES = 1 << 7,
	USER_MAIL = 1 << 8,
};

struct user_request {
	const struct ctl *ctl;
	bool json;
	unsigned given; /* enum user_option, together */
	const char *password_hash;
	uint64_t quota_octets;
	uint64_t quota_messages;
	const char *argument; /* ADDRESS or FILE; NULL where the form has none */
};

/* A hash as an operator or another server writes it into *account_out: Dovecot's
 * "{SHA512-CRYPT}$6$..." is "$6$...".  0, -ENOTSUP: a scheme that is not accepted, -EINVAL: no
 * hash. */
int user_take_hash(const char *text, struct account *account_out);

/* `ringpost user load` (user_load.c). */
int user_load(struct user_request *r);

#endif
