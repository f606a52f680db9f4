/*
 * states.c - choosing the moments at which the power goes.
 *
 * A quarter of them anywhere, a quarter right behind an acknowledgement (the moment in which it is
 * worth something), a half right before a flush, where most is in the air: of a few flushes the one
 * with most writes before it.
 */
#include "tests/power/states.h"
#include "io/base/must.h"

#include <stdlib.h>

#define FLUSHES_LOOKED_AT 12

struct places {
	const struct power_log *log;
	size_t begin;
	size_t *acknowledgements;
	size_t acknowledgement_count;
	size_t *flushes;
	size_t flush_count;
};

static bool
mark_begins_with(const struct power_record *record, const char *word)
{
	size_t octets = strlen(word);

	return record->kind == POWER_MARK && record->payload.length >= octets &&
		memcmp(record->payload.at, word, octets) == 0;
}

static bool
is_acknowledgement(const struct power_record *record)
{
	return mark_begins_with(record, "delivered ") || mark_begins_with(record, "deleted ");
}

static void
find_places(struct places *p, const struct power_log *log)
{
	p->log = log;
	p->begin = log->count;
	p->acknowledgements = calloc(log->count, sizeof(size_t));
	p->flushes = calloc(log->count, sizeof(size_t));
	must(p->acknowledgements != NULL && p->flushes != NULL);
	for (size_t i = 0; i < log->count; i++) {
		if (mark_begins_with(&log->records[i], "begin"))
			p->begin = i;
		if (i <= p->begin)
			continue;
		if (is_acknowledgement(&log->records[i]))
			p->acknowledgements[p->acknowledgement_count++] = i;
		if (log->records[i].kind == POWER_FLUSH)
			p->flushes[p->flush_count++] = i;
	}
}

static size_t
place_anywhere(const struct places *p, uint64_t *seed)
{
	return p->begin + 1 + cut_random(seed) % (p->log->count - p->begin);
}

static size_t
place_behind_acknowledgement(const struct places *p, uint64_t *seed)
{
	return p->acknowledgements[cut_random(seed) % p->acknowledgement_count] + 1;
}

/* Records between the flush before and this one. */
static size_t
window_of(const struct places *p, size_t flush)
{
	return p->flushes[flush] - (flush > 0 ? p->flushes[flush - 1] : p->begin);
}

static size_t
place_before_flush(const struct places *p, uint64_t *seed)
{
	size_t best;

	if (p->flush_count == 0)
		return p->log->count;
	best = cut_random(seed) % p->flush_count;
	for (unsigned i = 1; i < FLUSHES_LOOKED_AT; i++) {
		size_t other = cut_random(seed) % p->flush_count;

		if (window_of(p, other) > window_of(p, best))
			best = other;
	}
	return p->flushes[best];
}

/* Behind an acknowledgement, but not behind the flush that follows it. */
static size_t
place_of_control(const struct places *p, uint64_t *seed)
{
	size_t at = place_behind_acknowledgement(p, seed);
	size_t end = at;

	while (end < p->log->count && p->log->records[end].kind != POWER_FLUSH)
		end++;
	return at + cut_random(seed) % (end - at + 1);
}

static void
choose(const struct places *p, const struct states_wish *wish, struct state *state)
{
	uint64_t seed = state_seed(wish, state);

	state->kind = (enum cut_kind)(cut_random(&seed) % 8);
	if (state->kind >= CUT_KINDS)
		state->kind = CUT_SOME; /* the rich kind: five in eight */
	if (wish->is_control) {
		state->at = place_of_control(p, &seed);
		return;
	}
	switch (cut_random(&seed) % 4) {
	case 0:
		state->at = place_anywhere(p, &seed);
		break;
	case 1:
		state->at = place_behind_acknowledgement(p, &seed);
		break;
	default:
		state->at = place_before_flush(p, &seed);
	}
}

static int
by_place(const void *a, const void *b)
{
	const struct state *left = a;
	const struct state *right = b;

	if (left->at != right->at)
		return left->at < right->at ? -1 : 1;
	return left->number < right->number ? -1 : left->number > right->number;
}

struct state *
states_plan(const struct power_log *log, const struct states_wish *wish)
{
	struct places places = { 0 };
	struct state *states = NULL;

	find_places(&places, log);
	if (places.acknowledgement_count > 0) {
		states = calloc(wish->count, sizeof(*states));
		must(states != NULL);
		for (uint32_t i = 0; i < wish->count; i++) {
			states[i].number = i;
			choose(&places, wish, &states[i]);
		}
		qsort(states, wish->count, sizeof(*states), by_place);
	}
	free(places.acknowledgements);
	free(places.flushes);
	return states;
}

uint64_t
state_seed(const struct states_wish *wish, const struct state *state)
{
	uint64_t seed = wish->seed + ((uint64_t)state->number << 32);

	return cut_random(&seed);
}

const char *
state_kind_name(enum cut_kind kind)
{
	static const char *const names[CUT_KINDS] = {
		[CUT_ALL] = "all written",
		[CUT_NONE] = "nothing since the flush",
		[CUT_SOME] = "some, torn",
		[CUT_PREFIX] = "in order, the last torn",
	};

	return names[kind];
}
