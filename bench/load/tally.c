/*
 * tally.c - adding up.
 */
#include "bench/load/tally.h"

#include <string.h>

static void
counter_add(atomic_uint_fast64_t *into, const atomic_uint_fast64_t *from)
{
	atomic_fetch_add_explicit(
		into, atomic_load_explicit(from, memory_order_relaxed), memory_order_relaxed);
}

void
tally_add(struct tally *into, const struct tally *from)
{
	counter_add(&into->sessions, &from->sessions);
	counter_add(&into->held, &from->held);
	counter_add(&into->failed, &from->failed);
	into->connections += from->connections;
	into->messages += from->messages;
	into->octets += from->octets;
	into->cpu_ns += from->cpu_ns;
	into->waiting_ns += from->waiting_ns;
	into->handshakes += from->handshakes;
	into->resumed += from->resumed;
	if (into->tls[0] == '\0')
		memcpy(into->tls, from->tls, sizeof(into->tls));
	for (int fault = 0; fault < CLIENT_FAULT_COUNT; fault++)
		into->faults[fault] += from->faults[fault];
	if (into->first_fault[0] == '\0')
		memcpy(into->first_fault, from->first_fault, sizeof(into->first_fault));
	for (int verb = 0; verb < MIX_VERB_COUNT; verb++)
		histogram_merge(&into->latency[verb], &from->latency[verb]);
	histogram_merge(&into->session, &from->session);
	histogram_merge(&into->lateness, &from->lateness);
	for (int slot = 0; slot < TALLY_SLOTS; slot++) {
		into->slots[slot].octets += from->slots[slot].octets;
		into->slots[slot].sessions += from->slots[slot].sessions;
		into->slots[slot].messages += from->slots[slot].messages;
		into->slots[slot].failed += from->slots[slot].failed;
	}
}
