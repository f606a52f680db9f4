/*
 * admission.c - see admission.h.
 */
#include "core/auth/admission.h"

#include "core/digest.h"
#include "core/meters.h"
#include "core/tally.h"
#include "io/base/must.h"

#include <errno.h>
#include <stdlib.h>

#define LOGINS_REMEMBERED 1048576u /* accounts that logged in within the delay: 8 MiB */

struct admission {
	uint64_t login_ticks;
	uint64_t burst_ticks;
	struct digest_keys keys;
	struct tally *sessions; /* NULL: no limit */
	struct meters *logins;  /* NULL: no delay */
};

int
admission_open(const struct admission_options *options, struct admission **admission_out)
{
	struct admission *a;
	int error;

	*admission_out = NULL;
	if (options->sessions_max == 0 && options->delay_s == 0)
		return 0;
	a = calloc(1, sizeof(*a));
	if (a == NULL)
		return -ENOMEM;
	a->login_ticks = (uint64_t)options->delay_s * METERS_TICKS_PER_S;
	a->burst_ticks = a->login_ticks * options->burst;
	error = digest_keys_draw(&a->keys);
	if (error == 0 && options->sessions_max != 0)
		error = tally_open(options->connections, options->sessions_max, &a->sessions);
	if (error == 0 && options->delay_s != 0)
		error = meters_open(LOGINS_REMEMBERED, &a->logins);
	if (error != 0) {
		admission_close(a);
		return error;
	}
	*admission_out = a;
	return 0;
}

void
admission_close(struct admission *a)
{
	if (a == NULL)
		return;
	meters_close(a->logins);
	tally_close(a->sessions);
	free(a);
}

enum login_verdict
admission_enter(struct admission *a, struct span account, uint64_t now_ms,
	struct admission_ticket *ticket_out)
{
	uint64_t who = digest_text(&a->keys, account);
	uint32_t place = TALLY_NO_TICKET;

	if (a->sessions != NULL && !tally_enter(a->sessions, who, &place))
		return LOGIN_TOO_MANY;
	if (a->logins != NULL &&
		!meters_take(a->logins, who, now_ms, a->login_ticks, a->burst_ticks)) {
		if (a->sessions != NULL)
			tally_leave(a->sessions, place);
		return LOGIN_TOO_SOON;
	}
	ticket_out->place = place == TALLY_NO_TICKET ? 0 : place + 1;
	return LOGIN_GOOD;
}

void
admission_leave(struct admission *a, struct admission_ticket *ticket)
{
	if (ticket->place != 0)
		tally_leave(a->sessions, ticket->place - 1);
	ticket->place = 0;
}

void
admission_take_back(
	struct admission *a, struct span account, uint64_t now_ms, struct admission_ticket *ticket)
{
	admission_leave(a, ticket);
	if (a->logins != NULL)
		meters_give_back(a->logins, digest_text(&a->keys, account), now_ms, a->login_ticks);
}
