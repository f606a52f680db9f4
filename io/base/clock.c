/*
 * clock.c - see clock.h.
 */
#include "io/base/clock.h"

#include <time.h>

static uint64_t pretended_ns;

static uint64_t
read_ns(clockid_t id)
{
	struct timespec ts;

	if (pretended_ns != 0)
		return pretended_ns;
	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

uint64_t
clock_monotonic_ms(void)
{
	return read_ns(CLOCK_MONOTONIC) / 1000000;
}

uint64_t
clock_monotonic_ns(void)
{
	return read_ns(CLOCK_MONOTONIC);
}

int64_t
clock_calendar_us(void)
{
	return (int64_t)(read_ns(CLOCK_REALTIME) / 1000);
}

void
clock_pause_ns(long ns)
{
	struct timespec pause = { .tv_nsec = ns };

	if (pretended_ns != 0)
		pretended_ns += (uint64_t)ns;
	else
		nanosleep(&pause, NULL);
}

void
clock_pretend(uint64_t ns)
{
	pretended_ns = ns;
}
