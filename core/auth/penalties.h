/*
 * penalties.h - who guesses passwords waits, a little longer each time.
 *
 * Failed logins are counted by address (IPv4 /32, IPv6 /64) and by account, known or not, in tables
 * that all shards share (core/meters.h), and are forgotten one by one as time passes.  The next
 * login from there, or for that name, waits: 0.25 s after one failure, then twice as long with
 * each, up to the longest that the settings allow.  The greater of the two delays counts.
 *
 * Who asks this serves the delay before it finds out whether a login is good, so that good and bad
 * wait alike; what is known to be good without a look (core/auth/login_cache.h) need not wait:
 * neither the victim of an attack nor his neighbours are locked out.
 */
#ifndef CORE_AUTH_PENALTIES_H
#define CORE_AUTH_PENALTIES_H

#include "core/auth/login.h"

struct penalties;

struct penalties_options {
	uint32_t max_ms;    /* the longest delay */
	uint32_t forget_ms; /* in which a failure is forgotten */
	const char *exempt; /* networks with blanks between them: their failures do not count;
			     * borrowed */
};

/* 0, -ENOMEM, -EIO (no random octets). */
int penalties_open(const struct penalties_options *options, struct penalties **penalties_out);
void penalties_close(struct penalties *p);

/* Milliseconds that a login from `peer` for `account` is to wait (canonical;
 * "": no possible one). */
uint32_t penalties_delay_ms(const struct penalties *p, const struct login_peer *peer,
	const char *account, uint64_t now_ms);
/* It has failed. */
void penalties_note_failure(
	struct penalties *p, const struct login_peer *peer, const char *account, uint64_t now_ms);

#endif
