/*
 * penalties.c - see penalties.h.
 *
 * A failure is as much in the meter as runs out of it in `forget_ms`.  The meter holds no more than
 * what the longest delay needs: an attack that has gone on for a day is forgotten as fast as one of
 * minutes.
 */
#include "core/auth/penalties.h"

#include "core/digest.h"
#include "core/meters.h"
#include "core/network.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#define FIRST_DELAY_MS 250u
#define ENTRIES        131072u /* of each table, 1 MiB */

struct penalties {
	struct penalties_options options;
	uint64_t failure_ticks;
	uint64_t most_ticks;
	struct digest_keys keys;
	struct meters *addresses;
	struct meters *accounts;
};

/* How many failures bring the longest delay. */
static uint32_t
failures_for(uint32_t delay_ms)
{
	uint32_t failures = 1;

	for (uint64_t delay = FIRST_DELAY_MS; delay < delay_ms; delay *= 2)
		failures++;
	return failures;
}

int
penalties_open(const struct penalties_options *options, struct penalties **penalties_out)
{
	struct penalties *p = calloc(1, sizeof(*p));
	int error;

	if (p == NULL)
		return -ENOMEM;
	p->options = *options;
	p->failure_ticks = (uint64_t)options->forget_ms * METERS_TICKS_PER_MS;
	p->most_ticks = p->failure_ticks * failures_for(options->max_ms);
	error = digest_keys_draw(&p->keys);
	if (error == 0)
		error = meters_open(ENTRIES, &p->addresses);
	if (error == 0)
		error = meters_open(ENTRIES, &p->accounts);
	if (error != 0) {
		penalties_close(p);
		return error;
	}
	*penalties_out = p;
	return 0;
}

void
penalties_close(struct penalties *p)
{
	if (p == NULL)
		return;
	meters_close(p->accounts);
	meters_close(p->addresses);
	free(p);
}

static bool
is_exempt(const struct penalties *p, const struct login_peer *peer)
{
	struct sockaddr_storage address = { .ss_family = peer->family };

	if (peer->family == AF_INET6)
		memcpy(&((struct sockaddr_in6 *)&address)->sin6_addr, peer->address, 16);
	else if (peer->family == AF_INET)
		memcpy(&((struct sockaddr_in *)&address)->sin_addr, peer->address, 4);
	else
		return true; /* a local socket has no address to slow anybody down by */
	return network_text_holds(p->options.exempt, &address);
}

/* A part of a failure that is not forgotten yet counts as one. */
static uint64_t
failures_in(const struct penalties *p, const struct meters *m, uint64_t who, uint64_t now_ms)
{
	return (meters_level(m, who, now_ms) + p->failure_ticks - 1) / p->failure_ticks;
}

uint32_t
penalties_delay_ms(const struct penalties *p, const struct login_peer *peer, const char *account,
	uint64_t now_ms)
{
	uint64_t failures, of_account, delay;

	if (is_exempt(p, peer))
		return 0;
	failures = failures_in(
		p, p->addresses, digest_address(&p->keys, peer->family, peer->address), now_ms);
	if (account[0] != '\0') {
		of_account = failures_in(
			p, p->accounts, digest_text(&p->keys, span_of_string(account)), now_ms);
		if (of_account > failures)
			failures = of_account;
	}
	if (failures == 0)
		return 0;
	delay = (uint64_t)FIRST_DELAY_MS << (failures - 1);
	return delay < p->options.max_ms ? (uint32_t)delay : p->options.max_ms;
}

void
penalties_note_failure(
	struct penalties *p, const struct login_peer *peer, const char *account, uint64_t now_ms)
{
	if (is_exempt(p, peer))
		return;
	meters_add(p->addresses, digest_address(&p->keys, peer->family, peer->address), now_ms,
		p->failure_ticks, p->most_ticks);
	if (account[0] != '\0')
		meters_add(p->accounts, digest_text(&p->keys, span_of_string(account)), now_ms,
			p->failure_ticks, p->most_ticks);
}
