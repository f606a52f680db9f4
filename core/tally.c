/*
 * tally.c - see tally.h.
 *
 * A word is 44 bits of the digest and 20 bits of count; one whose count is 0 is free.  A word whose
 * count falls to zero becomes free, and probing looks at a fixed run of words, so nothing needs to
 * be moved.  Two threads may give one digest two words for a moment; its limit is then that much
 * too generous, never too strict.
 */
#include "core/tally.h"

#include "io/base/must.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#define COUNT_BITS 20u
#define COUNT_MASK (((uint64_t)1 << COUNT_BITS) - 1)
#define RUN_LENGTH 32u

struct tally {
	uint32_t each_max;
	uint64_t mask;
	_Atomic uint64_t words[];
};

int
tally_open(uint32_t all_max, uint32_t each_max, struct tally **tally_out)
{
	uint64_t words = 1024;
	struct tally *t;

	while (words < (uint64_t)all_max * 2)
		words *= 2;
	t = calloc(1, sizeof(*t) + words * sizeof(t->words[0]));
	if (t == NULL)
		return -ENOMEM;
	t->each_max = each_max < COUNT_MASK ? each_max : COUNT_MASK;
	t->mask = words - 1;
	*tally_out = t;
	return 0;
}

void
tally_close(struct tally *t)
{
	free(t);
}

/* Count one more in `word` if it is this one's, or free; false: it is another's. */
static bool
count_in(_Atomic uint64_t *word, uint64_t tag, bool may_claim, uint32_t max, bool *full_out)
{
	uint64_t seen = atomic_load_explicit(word, memory_order_relaxed);

	for (;;) {
		if ((seen & COUNT_MASK) != 0 && (seen & ~COUNT_MASK) != tag)
			return false;
		if ((seen & COUNT_MASK) == 0 && !may_claim)
			return false;
		if ((seen & COUNT_MASK) >= max) {
			*full_out = true;
			return true;
		}
		if (atomic_compare_exchange_weak_explicit(word, &seen,
			    tag | ((seen & COUNT_MASK) + 1), memory_order_relaxed,
			    memory_order_relaxed))
			return true;
	}
}

bool
tally_enter(struct tally *t, uint64_t who, uint32_t *ticket_out)
{
	uint64_t tag = who & ~COUNT_MASK;
	bool full = false;

	*ticket_out = TALLY_NO_TICKET;
	for (int may_claim = 0; may_claim <= 1; may_claim++) {
		for (uint64_t i = 0; i < RUN_LENGTH; i++) {
			uint64_t at = (who + i) & t->mask;

			if (!count_in(&t->words[at], tag, may_claim, t->each_max, &full))
				continue;
			if (!full)
				*ticket_out = (uint32_t)at;
			return !full;
		}
	}
	return true;
}

void
tally_leave(struct tally *t, uint32_t ticket)
{
	if (ticket == TALLY_NO_TICKET)
		return;
	must((atomic_load_explicit(&t->words[ticket], memory_order_relaxed) & COUNT_MASK) != 0);
	atomic_fetch_sub_explicit(&t->words[ticket], 1, memory_order_relaxed);
}
