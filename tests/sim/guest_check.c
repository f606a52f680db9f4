/*
 * guest_check.c - what a guest must hear.
 *
 * A reply follows from what was asked, from the model, and from what the session has said before.
 * It may be [SYS/TEMP] only if there was cause.
 */
#include "tests/sim/guest_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

bool
guest_is_excused(const struct guest *g)
{
	return g->has_given_cause || sim.stops || (!g->must_succeed && sim.excuses != g->excuses);
}

static bool
begins_with(struct span s, const char *text)
{
	size_t length = strlen(text);

	return s.length >= length && memcmp(s.at, text, length) == 0;
}

static void
complain(const struct guest *g, const char *what, struct span heard)
{
	const struct asked *a = &g->asked[g->answered];

	sim_violation("u%u asked for %d (%" PRIu32 ", %" PRIu32 "), %s: %.*s", g->account, a->what,
		a->number, a->lines, what, heard.length < 200 ? (int)heard.length : 200, heard.at);
}

static void
expect(const struct guest *g, struct span heard, bool is_right)
{
	if (!is_right)
		complain(g, "and heard", heard);
}

static void
expect_text(const struct guest *g, struct span heard, const char *text)
{
	expect(g, heard, span_equals(heard, span_of_string(text)));
}

/* The message with that number, if it is there; it must be asked for with `heard` as the answer if
 * it is not. */
static struct seat *
seat_of(const struct guest *g, uint32_t number)
{
	if (number == 0 || number > g->count || g->seats[number - 1].is_deleted)
		return NULL;
	return &g->seats[number - 1];
}

static void
check_stat(const struct guest *g, struct span heard)
{
	char text[64];
	uint64_t octets = 0;
	uint32_t count = 0;

	if (!g->has_listing) {
		expect(g, heard, begins_with(heard, "+OK "));
		return;
	}
	for (uint32_t n = 1; n <= g->count; n++) {
		if (seat_of(g, n) != NULL) {
			count++;
			octets += g->seats[n - 1].message->octets;
		}
	}
	snprintf(text, sizeof(text), "+OK %" PRIu32 " %" PRIu64 "\r\n", count, octets);
	expect_text(g, heard, text);
}

/* "number value" lines behind the first, up to the end line.  False: that was the last. */
static bool
next_line(struct span *rest, uint32_t *number_out, struct span *value_out)
{
	const char *end = memchr(rest->at, '\n', rest->length);
	const char *blank = memchr(rest->at, ' ', (size_t)(end - rest->at));
	uint64_t number;

	if (begins_with(*rest, ".\r\n"))
		return false;
	if (blank == NULL ||
		!span_to_u64(span_of(rest->at, (size_t)(blank - rest->at)), UINT32_MAX, &number))
		sim_violation("not a line of a listing: %.*s", (int)(end - rest->at), rest->at);
	*number_out = (uint32_t)number;
	*value_out = span_of(blank + 1, (size_t)(end - 1 - (blank + 1)));
	*rest = span_after(*rest, (size_t)(end + 1 - rest->at));
	return true;
}

static struct span
behind_first_line(struct span heard)
{
	const char *end = memchr(heard.at, '\n', heard.length);

	return span_after(heard, (size_t)(end + 1 - heard.at));
}

/* A maildrop without a log, and so without mail, can be claimed by nobody. */
static void
check_claim(struct guest *g)
{
	const struct guest *holder = guest_holders[g->account];

	if (guest_expects_claims && holder != NULL && !guest_is_excused(holder) &&
		!guest_is_excused(g))
		sim_violation("u%u has two sessions at once", g->account);
	guest_holders[g->account] = g;
}

/* The first LIST: what is there is compared with what may be. */
static void
take_listing(struct guest *g, struct span heard)
{
	struct span rest = behind_first_line(heard);
	struct model_message **messages = NULL;
	struct span value;
	uint32_t number;

	while (next_line(&rest, &number, &value)) {
		uint64_t octets = 0;

		expect(g, heard, number == g->count + 1);
		expect(g, heard, span_to_u64(value, UINT32_MAX, &octets));
		messages = sim_grow(messages, (g->count + 1) * sizeof(struct model_message *));
		messages[g->count] = model_find(g->account, (uint32_t)octets);
		if (messages[g->count] == NULL)
			complain(g, "and heard of a message that was never sent", heard);
		g->count++;
	}
	g->seats = sim_allocate(g->count * sizeof(*g->seats));
	for (uint32_t i = 0; i < g->count; i++)
		g->seats[i] = (struct seat){ .message = messages[i] };
	model_check_listing(g->account, g->asked_ns, g->let_in_ns, messages, g->count);
	sim_free(messages);
	g->has_listing = true;
	if (g->count > 0)
		check_claim(g);
}

static void
check_listing(struct guest *g, struct span heard, bool of_ids)
{
	struct span rest = behind_first_line(heard);
	struct span value;
	uint32_t number;
	uint32_t expected = 1;
	char text[32];
	char before[9] = "";

	while (next_line(&rest, &number, &value)) {
		while (expected <= g->count && seat_of(g, expected) == NULL)
			expected++;
		expect(g, heard, number == expected && expected <= g->count);
		expected++;
		if (of_ids) {
			model_check_unique_id(g->account, g->seats[number - 1].message, value);
			expect(g, heard, value.length == 16 && memcmp(value.at, before, 8) > 0);
			memcpy(before, value.at, 8);
			continue;
		}
		snprintf(text, sizeof(text), "%" PRIu32, g->seats[number - 1].message->octets);
		expect(g, heard, span_equals(value, span_of_string(text)));
	}
	while (expected <= g->count && seat_of(g, expected) == NULL)
		expected++;
	expect(g, heard, expected == g->count + 1);
}

static void
check_one(const struct guest *g, struct span heard, const struct asked *a)
{
	const struct seat *s = seat_of(g, a->number);
	char text[64];

	if (s == NULL) {
		expect_text(g, heard, "-ERR no such message\r\n");
	} else if (a->what == ASK_LIST_ONE) {
		snprintf(text, sizeof(text), "+OK %" PRIu32 " %" PRIu32 "\r\n", a->number,
			s->message->octets);
		expect_text(g, heard, text);
	} else {
		snprintf(text, sizeof(text), "+OK %" PRIu32 " ", a->number);
		expect(g, heard, begins_with(heard, text));
		model_check_unique_id(g->account, s->message,
			span_of(heard.at + strlen(text), heard.length - strlen(text) - 2));
	}
}

static void
check_message(const struct guest *g, struct span heard, const struct asked *a)
{
	const struct seat *s = seat_of(g, a->number);
	size_t length;
	char *reply;

	if (s == NULL) {
		expect_text(g, heard, "-ERR no such message\r\n");
		return;
	}
	reply = a->what == ASK_RETR ? model_retr_reply(s->message, &length)
				    : model_top_reply(s->message, a->lines, &length);
	if (!span_equals(heard, span_of(reply, length)))
		sim_violation("message %" PRIu32 " of %" PRIu32 " octets is not what was sent "
			      "(reply of %zu octets, not %zu): %.*s",
			a->number, s->message->octets, heard.length, length,
			heard.length < 100 ? (int)heard.length : 100, heard.at);
	sim_free(reply);
}

static void
check_dele(struct guest *g, struct span heard, uint32_t number)
{
	struct seat *s = seat_of(g, number);

	if (s == NULL) {
		expect_text(g, heard, "-ERR no such message\r\n");
		return;
	}
	expect_text(g, heard, "+OK marked for deletion\r\n");
	s->is_deleted = true;
}

static void
check_quit(struct guest *g, struct span heard)
{
	expect(g, heard, begins_with(heard, "+OK "));
	guest_counts.farewells++;
	for (uint32_t i = 0; i < g->count && g->removal != NULL; i++)
		if (!g->seats[i].is_deleted)
			model_removal_spares(g->removal, g->seats[i].message);
	if (g->removal != NULL)
		model_removal_is_acknowledged(g->removal);
	g->removal = NULL;
	g->is_cut = true;
}

static void
check_pass(struct guest *g, struct span heard)
{
	if (guest_expects_claims && begins_with(heard, "-ERR [IN-USE]")) {
		g->is_kept_out = true;
		return;
	}
	expect(g, heard, begins_with(heard, "+OK "));
	g->is_in = true;
	g->let_in_ns = sim.now_ns;
}

/* "-ERR [SYS/TEMP]", and there was cause. */
static bool
take_refusal(struct guest *g, const struct asked *a, struct span heard)
{
	bool is_refused = begins_with(heard, "-ERR [SYS/TEMP]");

	if (a->what == ASK_PASS || a->what == ASK_WRONG_PASS) /* USER was */
		is_refused |= begins_with(heard, "-ERR USER first\r\n");
	if (!is_refused || !guest_is_excused(g))
		return false;
	if (a->what == ASK_QUIT && g->removal != NULL)
		model_removal_fails(g->removal, 0);
	if (a->what == ASK_QUIT) {
		g->removal = NULL;
		g->is_cut = true;
	}
	return true;
}

void
guest_check(struct guest *g, const struct asked *a, struct span heard)
{
	if (take_refusal(g, a, heard))
		return;
	switch (a->what) {
	case ASK_GREETING:
	case ASK_USER:
	case ASK_NOOP:
		expect(g, heard, begins_with(heard, "+OK "));
		break;
	case ASK_PASS:
		check_pass(g, heard);
		break;
	case ASK_WRONG_PASS:
		expect_text(g, heard, "-ERR [AUTH] wrong name or password\r\n");
		break;
	case ASK_CAPA:
		expect(g, heard, begins_with(heard, "+OK capabilities follow\r\n"));
		break;
	case ASK_UNKNOWN:
		expect_text(g, heard, "-ERR unknown command\r\n");
		break;
	case ASK_STAT:
		check_stat(g, heard);
		break;
	case ASK_LIST:
		if (!g->has_listing)
			take_listing(g, heard);
		else
			check_listing(g, heard, false);
		break;
	case ASK_UIDL:
		check_listing(g, heard, true);
		break;
	case ASK_LIST_ONE:
	case ASK_UIDL_ONE:
		check_one(g, heard, a);
		break;
	case ASK_RETR:
	case ASK_TOP:
		check_message(g, heard, a);
		break;
	case ASK_DELE:
		check_dele(g, heard, a->number);
		break;
	case ASK_RSET:
		expect(g, heard, begins_with(heard, "+OK "));
		for (uint32_t i = 0; i < g->count; i++)
			g->seats[i].is_deleted = false;
		break;
	case ASK_QUIT:
		check_quit(g, heard);
		break;
	}
}
