/*
 * clock.c - io/base/clock.h by the world's clock.
 */
#include "io/base/clock.h"

#include "tests/sim/sim.h"

uint64_t
clock_monotonic_ms(void)
{
	return sim.now_ns / SIM_MS;
}

uint64_t
clock_monotonic_ns(void)
{
	return sim.now_ns;
}

int64_t
clock_calendar_us(void)
{
	return (int64_t)(sim.now_ns / SIM_US);
}

void
clock_pause_ns(long ns)
{
	fiber_sleep((uint64_t)ns);
}

/* This clock is one already. */
void
clock_pretend(uint64_t ns)
{
	(void)ns;
	must(false);
}
