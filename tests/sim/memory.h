/*
 * memory.h - whose memory is whose.
 *
 * Every malloc() of the server's code comes here (the linker sees to it, -Wl,--wrap): a block
 * belongs to the process that was running.  The simulator's own blocks belong to none.
 */
#ifndef TESTS_SIM_MEMORY_H
#define TESTS_SIM_MEMORY_H

#include "tests/sim/sim.h"

void memory_free_all(struct sim_process *p);
void fiber_forget_all(struct sim_process *p);
/* The world is over. */
void fiber_forget_world(void);

#endif
