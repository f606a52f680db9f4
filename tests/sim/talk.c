/*
 * talk.c - see talk.h.
 */
#include "tests/sim/talk.h"

#include <string.h>

#define PATIENCE_S 2000u
#define READ_MAX   32768u
#define TRIES_MAX  1000u

void
talk_open(struct talk *t, unsigned port, unsigned address, uint64_t *excuses_out)
{
	*t = (struct talk){ .is_slow = sim_chance(8) };
	for (unsigned tries = 0; tries < TRIES_MAX; tries++) {
		*excuses_out = sim.excuses;
		t->conn = net_connect(port, address);
		if (t->conn != NULL)
			return;
		fiber_sleep(sim_below(2000) * (uint64_t)SIM_MS);
	}
	sim_violation("nobody listens on port %u any more", port);
}

static void
forget(struct talk *t)
{
	sim_free(t->out);
	sim_free(t->in);
	*t = (struct talk){ 0 };
}

void
talk_close(struct talk *t)
{
	net_leave(t->conn);
	forget(t);
}

void
talk_reset(struct talk *t)
{
	net_reset(t->conn);
	forget(t);
}

void
talk_say(struct talk *t, struct span octets)
{
	if (t->out_length + octets.length > t->out_room) {
		t->out_room = (t->out_length + octets.length) * 2;
		t->out = sim_grow(t->out, t->out_room);
	}
	memcpy(t->out + t->out_length, octets.at, octets.length);
	t->out_length += octets.length;
}

struct span
talk_heard(const struct talk *t)
{
	return span_of(t->in == NULL ? "" : t->in + t->in_from, t->in_length - t->in_from);
}

void
talk_understood(struct talk *t, size_t count)
{
	t->in_from += count;
	must(t->in_from <= t->in_length);
	if (t->in_from == t->in_length)
		t->in_from = t->in_length = 0;
}

static bool
say_some(struct talk *t)
{
	size_t length = t->out_length;
	size_t count;

	if (length == 0)
		return false;
	if (sim_chance(4))
		length = 1 + sim_below((uint32_t)length);
	count = net_write(t->conn, span_of(t->out, length));
	memmove(t->out, t->out + count, t->out_length - count);
	t->out_length -= count;
	if (t->out_length == 0 && t->shuts)
		net_shut(t->conn);
	return count > 0;
}

static bool
hear_some(struct talk *t)
{
	size_t size = sim_chance(4) ? 1 + sim_below(100) : READ_MAX;
	size_t count;

	if (t->in_length + size > t->in_room) {
		t->in_room = (t->in_length + size) * 2;
		t->in = sim_grow(t->in, t->in_room);
	}
	if (t->is_slow)
		fiber_sleep(sim_below(300 * SIM_MS));
	count = net_read(t->conn, t->in + t->in_length, size);
	t->in_length += count;
	return count > 0;
}

bool
talk_hear(struct talk *t)
{
	uint64_t end_ns = sim.now_ns + PATIENCE_S * (uint64_t)SIM_S;

	for (;;) {
		bool said = say_some(t);

		if (hear_some(t))
			return true;
		if (net_state(t->conn) != NET_OPEN) {
			t->is_over = true;
			t->was_reset = net_state(t->conn) == NET_RESET;
			return false;
		}
		if (sim.now_ns >= end_ns)
			sim_violation("no answer for %u s", PATIENCE_S);
		if (said && t->out_length > 0)
			fiber_sleep(sim_below(5 * SIM_MS));
		else
			net_wait(t->conn, t->out_length > 0 ? SIM_S : end_ns - sim.now_ns);
	}
}
