/*
 * guest.c - see guest.h.
 *
 * A guest says some commands at once, then hears the replies to them in order: for each it has
 * noted what it asked for, and guest_check.c knows what must come.  The dialogue may be cut off
 * only if since the guest came something has gone wrong that cannot be hidden (sim.excuses), or if
 * the guest itself has given cause.
 */
#include "tests/sim/guest_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define UNKNOWN_MAX  5u
#define WORK_GOES_ON (200u * (uint64_t)SIM_S)
#define IDLE_LIMIT_S 600u
#define LONG_PAUSE_S 900u

struct guest_counts guest_counts;
bool guest_expects_claims;
struct guest *guest_holders[SIM_ACCOUNTS];

/* ---- asking -------------------------------------------------------------------------------- */

static void
ask(struct guest *g, enum ask what, const char *line, uint32_t number, uint32_t lines)
{
	char text[128];

	must(g->asked_count < ASKED_MAX);
	g->asked[g->asked_count++] = (struct asked){ what, number, lines };
	if (line == NULL)
		return;
	if (what == ASK_TOP)
		snprintf(text, sizeof(text), "%s %" PRIu32 " %" PRIu32, line, number, lines);
	else if (what == ASK_LIST_ONE || what == ASK_UIDL_ONE || what == ASK_RETR ||
		what == ASK_DELE)
		snprintf(text, sizeof(text), "%s %" PRIu32, line, number);
	else
		snprintf(text, sizeof(text), "%s", line);
	talk_say(&g->talk, span_of_string(text));
	talk_say(&g->talk, SPAN("\r\n"));
}

/* ---- hearing ------------------------------------------------------------------------------- */

static bool
has_many_lines(const struct asked *a)
{
	return a->what == ASK_CAPA || a->what == ASK_LIST || a->what == ASK_UIDL ||
		a->what == ASK_RETR || a->what == ASK_TOP;
}

/* The octets of the reply at the front of what was heard; 0: it is not all there. */
static size_t
reply_length(const struct asked *a, struct span heard)
{
	const char *end = memchr(heard.at, '\n', heard.length);
	const char *last;

	if (end == NULL)
		return 0;
	if (!has_many_lines(a) || heard.at[0] != '+')
		return (size_t)(end + 1 - heard.at);
	last = memmem(end - 1, heard.length - (size_t)(end - 1 - heard.at), "\r\n.\r\n", 5);
	return last == NULL ? 0 : (size_t)(last + 5 - heard.at);
}

static void
be_cut_off(struct guest *g)
{
	if (!g->is_cut && !guest_is_excused(g))
		sim_violation("u%u was cut off (%s) while waiting for %d", g->account,
			g->talk.was_reset ? "reset" : "closed",
			g->answered < g->asked_count ? (int)g->asked[g->answered].what : -1);
	if (!g->is_cut)
		guest_counts.lost++;
	g->is_cut = true;
	if (guest_holders[g->account] == g)
		guest_holders[g->account] = NULL;
}

/* All replies that are due; false: there will be no more. */
static bool
hear_all(struct guest *g)
{
	while (g->answered < g->asked_count && !g->is_cut) {
		const struct asked *a = &g->asked[g->answered];
		struct span heard = talk_heard(&g->talk);
		size_t length = reply_length(a, heard);

		if (length == 0) {
			if (!talk_hear(&g->talk))
				be_cut_off(g);
			continue;
		}
		sim_note("reply", g->account * 100 + a->what, length);
		guest_counts.replies++;
		guest_check(g, a, span_of(heard.at, length));
		talk_understood(&g->talk, length);
		g->answered++;
	}
	if (g->is_cut)
		return false;
	if (talk_heard(&g->talk).length > 0)
		sim_violation("u%u heard what it never asked for", g->account);
	g->asked_count = g->answered = 0;
	return true;
}

/* ---- sessions ------------------------------------------------------------------------------ */

static bool
log_in(struct guest *g)
{
	unsigned wrong = sim_chance(10) && !g->must_succeed ? 1 : 0;
	bool at_once = sim_chance(3);

	ask(g, ASK_GREETING, NULL, 0, 0);
	if (!at_once && !hear_all(g))
		return false;
	if (sim_chance(5))
		ask(g, ASK_CAPA, "CAPA", 0, 0);
	for (unsigned i = 0; i <= wrong; i++) {
		char user[64];

		snprintf(user, sizeof(user), "USER u%u@example.org", g->account);
		ask(g, ASK_USER, user, 0, 0);
		if (!at_once && !hear_all(g))
			return false;
		g->asked_ns = sim.now_ns;
		ask(g, i < wrong ? ASK_WRONG_PASS : ASK_PASS,
			i < wrong ? "PASS wrong" : "PASS secret", 0, 0);
		if (!hear_all(g))
			return false;
	}
	return g->is_in;
}

/* What we have asked to be deleted by now goes with QUIT. */
static void
say_quit(struct guest *g)
{
	struct model_message **marked = sim_allocate((g->count + 1) * sizeof(*marked));
	unsigned count = 0;

	for (uint32_t i = 0; i < g->count; i++)
		if (g->seats[i].was_marked)
			marked[count++] = g->seats[i].message;
	if (count > 0)
		g->removal =
			model_removal(g->account, marked, count, sim.one_in[FAULT_MEMORY] != 0);
	sim_free(marked);
	ask(g, ASK_QUIT, "QUIT", 0, 0);
}

static void
ask_to_delete(struct guest *g, uint32_t number)
{
	ask(g, ASK_DELE, "DELE", number, 0);
	if (number >= 1 && number <= g->count)
		g->seats[number - 1].was_marked = true;
}

static void
ask_anything(struct guest *g, unsigned *unknown)
{
	uint32_t number = sim_below(g->count + 2);
	uint32_t lines = sim_chance(5) ? 99999999 : sim_below(20);

	switch (sim_below(14)) {
	case 0:
		ask(g, ASK_STAT, "STAT", 0, 0);
		break;
	case 1:
		ask(g, ASK_LIST, "LIST", 0, 0);
		break;
	case 2:
		ask(g, ASK_UIDL, "UIDL", 0, 0);
		break;
	case 3:
		ask(g, ASK_LIST_ONE, "LIST", number, 0);
		break;
	case 4:
		ask(g, ASK_UIDL_ONE, "UIDL", number, 0);
		break;
	case 5:
	case 6:
	case 7:
		ask(g, ASK_TOP, "TOP", number, lines);
		break;
	case 8:
	case 9:
		ask_to_delete(g, number);
		break;
	case 10:
		if ((*unknown)++ < UNKNOWN_MAX)
			ask(g, ASK_UNKNOWN, "XYZZY", 0, 0);
		break;
	case 11:
		ask(g, ASK_NOOP, "NOOP", 0, 0);
		break;
	case 12:
		if (sim_chance(3)) {
			ask(g, ASK_RSET, "RSET", 0, 0);
			for (uint32_t i = 0; i < g->count; i++)
				g->seats[i].was_marked = false;
		}
		break;
	default:
		ask(g, ASK_RETR, "RETR", number, 0);
		break;
	}
}

/* Think for a while; a guest that thinks too long may find itself alone. */
static void
pause_some(struct guest *g)
{
	if (sim_chance(3))
		fiber_sleep(sim_below(2000) * (uint64_t)SIM_MS);
	if (sim_chance(40))
		fiber_sleep(sim_below(IDLE_LIMIT_S - 100) * (uint64_t)SIM_S);
	if (sim_chance(150) && !g->must_succeed) {
		g->has_given_cause = true;
		fiber_sleep(LONG_PAUSE_S * (uint64_t)SIM_S);
	}
}

static bool
ask_at_random(struct guest *g)
{
	unsigned turns = sim_below(5);
	unsigned unknown = 0;

	for (unsigned turn = 0; turn < turns; turn++) {
		unsigned count = 1 + sim_below(12);

		for (unsigned i = 0; i < count; i++)
			ask_anything(g, &unknown);
		if (!hear_all(g))
			return false;
		pause_some(g);
	}
	return true;
}

/* What a client of the usual kind does: all is fetched, all is deleted. */
static bool
fetch_all(struct guest *g, bool deletes)
{
	for (uint32_t n = 1; n <= g->count; n++) {
		ask(g, ASK_RETR, "RETR", n, 0);
		if (deletes)
			ask_to_delete(g, n);
		if (g->asked_count >= ASKED_MAX - 4 && !hear_all(g))
			return false;
	}
	return hear_all(g);
}

static void
give_way(const struct guest *g)
{
	if (guest_holders[g->account] == g)
		guest_holders[g->account] = NULL;
}

/* QUIT and hear what comes of it; or leave in one of the other ways. */
static void
leave(struct guest *g)
{
	give_way(g);
	switch (g->must_succeed ? 4 : sim_below(12)) {
	case 0: /* without a word */
		break;
	case 1: /* in the middle of QUIT's work */
		say_quit(g);
		(void)net_write(g->talk.conn, span_of(g->talk.out, g->talk.out_length));
		g->talk.out_length = 0;
		fiber_sleep(sim_below(10) * SIM_MS);
		g->is_cut = true;
		talk_reset(&g->talk);
		return;
	case 2: /* nothing more to say than QUIT */
		say_quit(g);
		g->talk.shuts = true;
		(void)hear_all(g);
		break;
	default:
		say_quit(g);
		(void)hear_all(g);
		break;
	}
	talk_close(&g->talk);
}

static void
forget(struct guest *g)
{
	give_way(g);
	if (g->removal != NULL)
		model_removal_fails(g->removal, WORK_GOES_ON);
	if (g->talk.conn != NULL)
		talk_close(&g->talk);
	sim_free(g->seats);
}

static bool
look_around(struct guest *g)
{
	ask(g, ASK_STAT, "STAT", 0, 0);
	ask(g, ASK_LIST, "LIST", 0, 0);
	ask(g, ASK_STAT, "STAT", 0, 0);
	ask(g, ASK_UIDL, "UIDL", 0, 0);
	return hear_all(g);
}

void
guest_visit(unsigned account, unsigned address)
{
	struct guest g = { .account = account };
	bool goes_on;

	guest_counts.sessions++;
	talk_open(&g.talk, GUEST_PORT, address, &g.excuses);
	goes_on = log_in(&g) && look_around(&g) && g.has_listing;
	if (goes_on) {
		switch (sim_below(4)) {
		case 0:
			goes_on = fetch_all(&g, sim_chance(2));
			break;
		case 1:
			break;
		default:
			goes_on = ask_at_random(&g);
			break;
		}
	}
	if (goes_on)
		leave(&g);
	forget(&g);
}

/* Who was cut off may still be let go of. */
static bool
inspect(unsigned account)
{
	struct guest g = { .account = account, .must_succeed = true };
	bool is_done;

	talk_open(&g.talk, GUEST_PORT, 1, &g.excuses);
	is_done = log_in(&g) && look_around(&g) && fetch_all(&g, false);
	if (is_done)
		leave(&g);
	else if (!g.is_kept_out)
		sim_violation("u%u cannot be inspected", account);
	forget(&g);
	return is_done;
}

void
guest_inspect(unsigned account)
{
	for (unsigned tries = 0; !inspect(account); tries++) {
		if (tries > 20)
			sim_violation("u%u is in use for ever", account);
		fiber_sleep(IDLE_LIMIT_S / 10 * (uint64_t)SIM_S);
	}
}
