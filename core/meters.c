/*
 * meters.c - see meters.h.
 *
 * A word is 20 bits of the digest and the time, in 44 bits of ticks (34 years), at which the bucket
 * will be dry; one that is dry is free.  The rest of the digest chooses a set of eight words, which
 * is a cache line: looking one up touches nothing else.
 *
 * Words are changed by compare-and-swap, and whoever loses looks at the set again.  Two threads may
 * give one digest two words for a moment; its limit is then that much too generous.  In a full set
 * a stranger with the same 20 bits shares a bucket: one in 130,000.
 */
#include "core/meters.h"

#include "io/base/must.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#define TIME_BITS 44u
#define TIME_MASK (((uint64_t)1 << TIME_BITS) - 1)
#define WAYS      8u

struct set {
	_Atomic uint64_t words[WAYS];
};
static_assert(sizeof(struct set) == 64, "a set is a cache line");

struct meters {
	uint64_t mask;
	size_t octets;
	struct set *sets;
};

int
meters_open(uint32_t entries, struct meters **meters_out)
{
	struct meters *m = malloc(sizeof(*m));
	uint64_t sets = 1;
	void *pages;

	if (m == NULL)
		return -ENOMEM;
	while (sets * WAYS < entries)
		sets *= 2;
	m->mask = sets - 1;
	m->octets = sets * sizeof(struct set);
	pages = mmap(NULL, m->octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (pages == MAP_FAILED) {
		free(m);
		return -ENOMEM;
	}
	m->sets = pages;
	*meters_out = m;
	return 0;
}

void
meters_close(struct meters *m)
{
	if (m == NULL)
		return;
	munmap(m->sets, m->octets);
	free(m);
}

static struct set *
set_of(const struct meters *m, uint64_t who)
{
	return &m->sets[who & m->mask];
}

static uint64_t
tag_of(uint64_t who)
{
	return who & ~TIME_MASK;
}

static uint64_t
ticks_of(uint64_t now_ms)
{
	return now_ms * METERS_TICKS_PER_MS & TIME_MASK;
}

static uint64_t
level_of(uint64_t word, uint64_t now)
{
	return (word & TIME_MASK) > now ? (word & TIME_MASK) - now : 0;
}

/* The word of `who`; if there is none, the one that is dry first.  *seen_out: what it held. */
static _Atomic uint64_t *
find_word(struct set *set, uint64_t who, uint64_t now, uint64_t *seen_out)
{
	_Atomic uint64_t *first = NULL;
	uint64_t first_seen = 0;

	for (unsigned i = 0; i < WAYS; i++) {
		uint64_t seen = atomic_load_explicit(&set->words[i], memory_order_relaxed);

		if (level_of(seen, now) > 0 && (seen & ~TIME_MASK) == tag_of(who)) {
			*seen_out = seen;
			return &set->words[i];
		}
		if (first == NULL || level_of(seen, now) < level_of(first_seen, now)) {
			first = &set->words[i];
			first_seen = seen;
		}
	}
	*seen_out = first_seen;
	return first;
}

static uint64_t
level_in(uint64_t seen, uint64_t who, uint64_t now)
{
	return (seen & ~TIME_MASK) == tag_of(who) ? level_of(seen, now) : 0;
}

uint64_t
meters_level(const struct meters *m, uint64_t who, uint64_t now_ms)
{
	uint64_t now = ticks_of(now_ms);
	uint64_t seen;

	(void)find_word(set_of(m, who), who, now, &seen);
	return level_in(seen, who, now);
}

static bool
store(_Atomic uint64_t *word, uint64_t seen, uint64_t who, uint64_t dry_at)
{
	return atomic_compare_exchange_strong_explicit(word, &seen,
		tag_of(who) | (dry_at & TIME_MASK), memory_order_relaxed, memory_order_relaxed);
}

bool
meters_take(struct meters *m, uint64_t who, uint64_t now_ms, uint64_t ticks, uint64_t most)
{
	uint64_t now = ticks_of(now_ms);
	_Atomic uint64_t *word;
	uint64_t seen, level;

	do {
		word = find_word(set_of(m, who), who, now, &seen);
		level = level_in(seen, who, now);
		if (level + ticks > most)
			return false;
	} while (!store(word, seen, who, now + level + ticks));
	return true;
}

void
meters_add(struct meters *m, uint64_t who, uint64_t now_ms, uint64_t ticks, uint64_t most)
{
	uint64_t now = ticks_of(now_ms);
	_Atomic uint64_t *word;
	uint64_t seen, level;

	do {
		word = find_word(set_of(m, who), who, now, &seen);
		level = level_in(seen, who, now) + ticks;
	} while (!store(word, seen, who, now + (level < most ? level : most)));
}

void
meters_give_back(struct meters *m, uint64_t who, uint64_t now_ms, uint64_t ticks)
{
	uint64_t now = ticks_of(now_ms);
	_Atomic uint64_t *word;
	uint64_t seen, level;

	do {
		word = find_word(set_of(m, who), who, now, &seen);
		level = level_in(seen, who, now);
		if (level == 0)
			return;
	} while (!store(word, seen, who, now + level - (ticks < level ? ticks : level)));
}
