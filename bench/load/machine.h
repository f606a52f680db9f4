/*
 * machine.h - on what, and with what, a run was made.
 */
#ifndef BENCH_LOAD_MACHINE_H
#define BENCH_LOAD_MACHINE_H

struct machine {
	char processor[128];
	char kernel[160];
	char system[128]; /* the distribution */
	char commit[80];  /* of the checkout we stand in, "-dirty" if changed; empty: in none */
	char time[32];    /* now, UTC */
	const char *compiler, *wolfssl;
	unsigned cores;
	double memory_gb;
};

void machine_read(struct machine *machine_out);

#endif
