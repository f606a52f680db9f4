/*
 * clock.h - the seam to time.
 *
 * Two clocks: a monotonic one for limits and durations, and the calendar for what is written down.
 * Tests put their own in place of the kernel's.
 */
#ifndef IO_BASE_CLOCK_H
#define IO_BASE_CLOCK_H

#include <stdint.h>

/* Milliseconds on a clock that only goes forward. */
uint64_t clock_monotonic_ms(void);
/* Nanoseconds on the same clock. */
uint64_t clock_monotonic_ns(void);
/* Microseconds since 1970, UTC. */
int64_t clock_calendar_us(void);

/* Let `ns` pass (below a second). */
void clock_pause_ns(long ns);

/* From now on both clocks stand at `ns` until told otherwise (tests only);
 * 0: the kernel's again. */
void clock_pretend(uint64_t ns);

#endif
