/*
 * arrivals.c - steps of 1, or exponential ones of mean 1, through the number of sessions expected
 * so far; the time at which so many are expected is when the next one is due.
 */
#include "bench/load/arrivals.h"

#include <math.h>

/* xorshift64*, then the upper 53 bits: above 0, up to 1 */
static double
draw_fraction(struct arrivals *a)
{
	a->chance ^= a->chance >> 12;
	a->chance ^= a->chance << 25;
	a->chance ^= a->chance >> 27;
	return (double)((a->chance * 0x2545f4914f6cdd1d >> 11) + 1) / 0x1p53;
}

static void
arrivals_set_time(struct arrivals *a)
{
	double seconds = a->expected / a->per_s;

	/* rate(t) = per_s * t / duration, so t^2 * per_s / (2 * duration) are expected by t */
	if (a->ramps)
		seconds = sqrt(2 * seconds * (double)a->duration_ns / 1e9);
	a->next_at = a->began_at + (uint64_t)(seconds * 1e9);
}

void
arrivals_start(struct arrivals *a, double share, uint64_t seed, uint64_t now)
{
	a->began_at = now;
	a->chance = (seed + 1) * 0x9e3779b97f4a7c15;
	a->expected = a->evenly ? share : -log(draw_fraction(a));
	arrivals_set_time(a);
}

void
arrivals_advance(struct arrivals *a)
{
	a->expected += a->evenly ? 1 : -log(draw_fraction(a));
	arrivals_set_time(a);
}
