/*
 * courier.h - a process that brings mail into the spool with the storage room's own functions, as
 * an import does, beside the server and against its locks.
 */
#ifndef TESTS_SIM_COURIER_H
#define TESTS_SIM_COURIER_H

#include "tests/sim/disk.h"

/* `visits` times to some of the first `accounts`, over about `stay_s`. */
void courier_start(const struct disk *disk, unsigned accounts, unsigned visits, unsigned stay_s);
/* How many visits are still to come. */
unsigned courier_left(void);
/* It dies; what it has left to do a new process does. */
void courier_dies(void);
void courier_goes_on(void);
void courier_forget_world(void);

/* Look at every octet of a maildrop, as `ringpost verify` does; a violation if it is not whole. */
void courier_verify(unsigned account);

#endif
