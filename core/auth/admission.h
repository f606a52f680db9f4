/*
 * admission.h - how often and how many times at once an account may be logged in.
 *
 * Asked when a login is good, of tables that all shards share: the sessions that there are
 * (core/tally.h), and LOGIN-DELAY (RFC 2449, section 6.5) as a leaky bucket (core/meters.h), so
 * that the burst that a client with three folders makes is no matter and the average is.
 */
#ifndef CORE_AUTH_ADMISSION_H
#define CORE_AUTH_ADMISSION_H

#include "core/auth/login.h"

struct admission;

struct admission_options {
	uint32_t sessions_max; /* of one account at once; 0: no limit */
	uint32_t delay_s;      /* from one login to the next; 0: none */
	uint32_t burst;        /* logins that may come at once all the same */
	uint32_t connections;  /* that there are at most, of all accounts */
};

/* What a session was counted by; all zero: it was not. */
struct admission_ticket {
	uint32_t place; /* and one */
};

/* 0, -ENOMEM, -EIO (no random octets).  NULL in *admission_out: there is nothing to be asked. */
int admission_open(const struct admission_options *options, struct admission **admission_out);
void admission_close(struct admission *a);

/* LOGIN_GOOD: counted.  LOGIN_TOO_SOON, LOGIN_TOO_MANY: not.  `account` is canonical. */
enum login_verdict admission_enter(struct admission *a, struct span account, uint64_t now_ms,
	struct admission_ticket *ticket_out);
/* The session is over; *ticket is zeroed. */
void admission_leave(struct admission *a, struct admission_ticket *ticket);
/* The login came to nothing after all, and does not delay the next one. */
void admission_take_back(
	struct admission *a, struct span account, uint64_t now_ms, struct admission_ticket *ticket);

#endif
