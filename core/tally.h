/*
 * tally.h - how many there are of each: one table that all shards share, without a lock.
 *
 * Who is counted is a digest (core/digest.h); an atomic word each, changed by compare-and-swap.
 */
#ifndef CORE_TALLY_H
#define CORE_TALLY_H

#include <stdbool.h>
#include <stdint.h>

struct tally;

/* Nobody was counted: the table has no place left there. */
#define TALLY_NO_TICKET UINT32_MAX

/* For up to `all_max` at once, `each_max` of one (up to 2^20 - 1).  0 or -ENOMEM. */
int tally_open(uint32_t all_max, uint32_t each_max, struct tally **tally_out);
void tally_close(struct tally *t);

/* Count one more of `who`.  False: there are as many as there may be.  True: *ticket_out is for
 * tally_leave(); where no place is left it is TALLY_NO_TICKET: rather let one in than turn one away
 * wrongly. */
bool tally_enter(struct tally *t, uint64_t who, uint32_t *ticket_out);
/* TALLY_NO_TICKET is nobody. */
void tally_leave(struct tally *t, uint32_t ticket);

#endif
