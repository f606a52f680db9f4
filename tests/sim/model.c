/*
 * model.c - see model.h.
 */
#include "tests/sim/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define SIZE_MIN 120u

static struct drop {
	struct model_message *messages;
	struct model_batch *batches;
	struct model_removal *removals;
} drops[SIM_ACCOUNTS];

uint32_t model_sizes = 3000;

void
model_begin(void)
{
	memset(drops, 0, sizeof(drops));
}

void
model_end(void)
{
	for (unsigned n = 0; n < SIM_ACCOUNTS; n++) {
		struct drop *d = &drops[n];

		while (d->messages != NULL) {
			struct model_message *m = d->messages;

			d->messages = m->next;
			sim_free(m->text);
			sim_free(m);
		}
		while (d->batches != NULL) {
			struct model_batch *b = d->batches;

			d->batches = b->next;
			sim_free(b);
		}
		while (d->removals != NULL) {
			struct model_removal *r = d->removals;

			d->removals = r->next;
			sim_free(r);
		}
	}
}

/* ---- texts --------------------------------------------------------------------------------- */

struct model_message *
model_find(unsigned drop, uint32_t octets)
{
	struct model_message *m = drops[drop].messages;

	while (m != NULL && m->octets != octets)
		m = m->next;
	return m;
}

static bool
is_taken(const struct model_recipient *recipients, unsigned count, uint32_t length)
{
	for (unsigned i = 0; i < count; i++) {
		uint32_t octets = length + (uint32_t)strlen(recipients[i].prefix);

		if (model_find(recipients[i].drop, octets) != NULL)
			return true;
	}
	return false;
}

/* A line of up to `room` octets with its end; dots at its beginning are likely. */
static size_t
put_line(char *to, size_t room)
{
	size_t length = sim_chance(6) ? 0 : sim_below(90);
	size_t dots = sim_chance(4) ? 1 + sim_below(3) : 0;

	if (sim_chance(40))
		length = sim_below(3000);
	if (length + 2 > room || room - length - 2 < 2)
		length = room - 2;
	for (size_t i = 0; i < length; i++)
		to[i] = i < dots ? '.'
				 : (char)(i % 19 == 0               ? ' '
						   : sim_chance(50) ? 0xE4
								    : 'a' + i % 26);
	memcpy(to + length, "\r\n", 2);
	return length + 2;
}

/* A header field, a blank line (or not: then all is header), lines. */
static void
put_text(char *to, size_t length)
{
	size_t at = (size_t)sprintf(to, "Subject: %08" PRIx32 "\r\n", (uint32_t)sim_random());

	if (!sim_chance(10)) {
		memcpy(to + at, "\r\n", 2);
		at += 2;
		while (at < length)
			at += put_line(to + at, length - at);
	} else {
		memcpy(to + at, "X: ", 3);
		memset(to + at + 3, 'x', length - at - 5);
		memcpy(to + length - 2, "\r\n", 2);
	}
	to[length] = '\0';
}

char *
model_text(const struct model_recipient *recipients, unsigned count)
{
	uint32_t length = SIZE_MIN + sim_below(sim_chance(3) ? model_sizes : 3000);
	char *text;

	if (sim_chance(12))
		length += sim_below(30000);
	while (is_taken(recipients, count, length))
		length++;
	text = sim_allocate(length + 1);
	put_text(text, length);
	return text;
}

struct model_batch *
model_batch(unsigned drop, bool by_server)
{
	struct model_batch *b = sim_allocate(sizeof(*b));

	*b = (struct model_batch){
		.next = drops[drop].batches,
		.drop = drop,
		.started_ns = MODEL_NEVER,
		.ended_ns = MODEL_NEVER,
		.by_server = by_server,
	};
	drops[drop].batches = b;
	return b;
}

struct model_message *
model_message(struct model_batch *b, const struct model_recipient *r, const char *text)
{
	struct model_message *m = sim_allocate(sizeof(*m));
	uint32_t octets = (uint32_t)(strlen(r->prefix) + strlen(text));

	*m = (struct model_message){
		.next = drops[b->drop].messages,
		.batch = b,
		.text = sim_allocate(octets + 1),
		.octets = octets,
		.known_ns = MODEL_NEVER,
		.gone_ns = MODEL_NEVER,
	};
	sprintf(m->text, "%s%s", r->prefix, text);
	drops[b->drop].messages = m;
	return m;
}

/* ---- what happens -------------------------------------------------------------------------- */

void
model_batch_starts(struct model_batch *b)
{
	b->started_ns = sim.now_ns;
}

void
model_batch_is_acknowledged(struct model_batch *b)
{
	b->ended_ns = sim.now_ns;
	for (struct model_message *m = drops[b->drop].messages; m != NULL; m = m->next)
		if (m->batch == b && m->known_ns > sim.now_ns)
			m->known_ns = sim.now_ns;
}

static void
ends_by(uint64_t *ended_ns, uint64_t at_ns)
{
	if (at_ns < *ended_ns)
		*ended_ns = at_ns;
}

void
model_batch_fails(struct model_batch *b, uint64_t ns)
{
	ends_by(&b->ended_ns, sim.now_ns + ns);
}

struct model_removal *
model_removal(unsigned drop, struct model_message **messages, unsigned count, bool is_vague)
{
	struct model_removal *r = sim_allocate(sizeof(*r) + count * sizeof(messages[0]));

	*r = (struct model_removal){
		.next = drops[drop].removals,
		.started_ns = sim.now_ns,
		.ended_ns = MODEL_NEVER,
		.is_vague = is_vague,
		.count = count,
	};
	memcpy(r->messages, messages, count * sizeof(messages[0]));
	drops[drop].removals = r;
	return r;
}

static void
all_are_gone(struct model_removal *r, uint64_t at_ns)
{
	r->outcome = OUTCOME_ALL;
	ends_by(&r->ended_ns, at_ns);
	for (unsigned i = 0; i < r->count && !r->is_vague; i++)
		ends_by(&r->messages[i]->gone_ns, at_ns);
}

void
model_removal_spares(struct model_removal *r, const struct model_message *m)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->messages[i] == m)
			r->messages[i--] = r->messages[--r->count];
}

void
model_removal_is_acknowledged(struct model_removal *r)
{
	if (r->outcome == OUTCOME_NONE)
		sim_violation("QUIT said +OK, but its messages were seen again");
	r->is_vague = false;
	all_are_gone(r, sim.now_ns);
}

void
model_removal_fails(struct model_removal *r, uint64_t ns)
{
	ends_by(&r->ended_ns, sim.now_ns + ns);
}

void
model_crash(bool machine)
{
	for (unsigned n = 0; n < SIM_ACCOUNTS; n++) {
		for (struct model_removal *r = drops[n].removals; r != NULL; r = r->next)
			ends_by(&r->ended_ns, sim.now_ns);
		for (struct model_batch *b = drops[n].batches; b != NULL; b = b->next)
			if (b->started_ns <= sim.now_ns && (machine || b->by_server))
				ends_by(&b->ended_ns, sim.now_ns);
	}
}

/* ---- what is seen -------------------------------------------------------------------------- */

static bool
removes(const struct model_removal *r, const struct model_message *m)
{
	for (unsigned i = 0; i < r->count; i++)
		if (r->messages[i] == m)
			return true;
	return false;
}

/* May somebody have removed it by then?  `but`: somebody else than this one. */
static bool
may_be_removed(const struct drop *d, const struct model_message *m, uint64_t by_ns,
	const struct model_removal *but)
{
	for (const struct model_removal *r = d->removals; r != NULL; r = r->next)
		if (r != but && r->outcome != OUTCOME_NONE && r->started_ns <= by_ns &&
			removes(r, m))
			return true;
	return false;
}

static double
seconds(uint64_t ns)
{
	return ns == MODEL_NEVER ? -1 : (double)(ns - sim.began_ns) / 1e9;
}

static void
check_present(struct model_message *m, uint64_t asked_ns, uint64_t let_in_ns)
{
	if (m->batch->started_ns > let_in_ns)
		sim_violation(
			"a message of %" PRIu32 " octets is there before it was sent", m->octets);
	if (m->gone_ns < asked_ns)
		sim_violation("the message of %" PRIu32 " octets, gone at %.6f, has come back",
			m->octets, seconds(m->gone_ns));
	ends_by(&m->known_ns, let_in_ns);
}

static void
check_absent(const struct drop *d, struct model_message *m, uint64_t asked_ns, uint64_t let_in_ns)
{
	if (m->known_ns < asked_ns) {
		if (!may_be_removed(d, m, let_in_ns, NULL))
			sim_violation("the message of %" PRIu32 " octets, known at %.6f, is lost "
				      "(asked at %.6f, let in at %.6f)",
				m->octets, seconds(m->known_ns), seconds(asked_ns),
				seconds(let_in_ns));
		ends_by(&m->gone_ns, let_in_ns);
	} else if (m->known_ns == MODEL_NEVER && m->batch->ended_ns < asked_ns) {
		ends_by(&m->gone_ns, let_in_ns);
	}
}

/* Of one commit there are all, or none; but those that somebody may have removed since. */
static void
check_batches(const struct drop *d, uint64_t asked_ns, uint64_t let_in_ns)
{
	for (const struct model_message *m = d->messages; m != NULL; m = m->next) {
		if (m->is_listed || m->gone_ns < asked_ns || may_be_removed(d, m, let_in_ns, NULL))
			continue;
		for (const struct model_message *o = d->messages; o != NULL; o = o->next)
			if (o->batch == m->batch && o->is_listed)
				sim_violation("half a commit is there: %" PRIu32
					      " octets, but not %" PRIu32,
					o->octets, m->octets);
	}
}

static void
check_removal(const struct drop *d, struct model_removal *r, uint64_t asked_ns, uint64_t let_in_ns)
{
	const struct model_message *present = NULL;
	const struct model_message *absent = NULL;

	for (unsigned i = 0; i < r->count; i++) {
		const struct model_message *m = r->messages[i];

		if (m->is_listed)
			present = m;
		else if (m->known_ns < asked_ns && !may_be_removed(d, m, let_in_ns, r))
			absent = m;
	}
	if (present != NULL && absent != NULL && !r->is_vague)
		sim_violation("half of a session's deletions were done: %" PRIu32
			      " octets are gone, %" PRIu32 " are there",
			absent->octets, present->octets);
	if (absent != NULL)
		all_are_gone(r, let_in_ns);
	else if (present != NULL && r->ended_ns < asked_ns)
		r->outcome = OUTCOME_NONE;
}

void
model_check_listing(unsigned drop, uint64_t asked_ns, uint64_t let_in_ns,
	struct model_message **messages, unsigned count)
{
	struct drop *d = &drops[drop];

	for (struct model_message *m = d->messages; m != NULL; m = m->next)
		m->is_listed = false;
	for (unsigned i = 0; i < count; i++) {
		if (messages[i]->is_listed)
			sim_violation("%" PRIu32 " octets are listed twice", messages[i]->octets);
		messages[i]->is_listed = true;
	}
	for (struct model_message *m = d->messages; m != NULL; m = m->next) {
		if (m->is_listed)
			check_present(m, asked_ns, let_in_ns);
		else if (m->gone_ns >= asked_ns)
			check_absent(d, m, asked_ns, let_in_ns);
	}
	check_batches(d, asked_ns, let_in_ns);
	for (struct model_removal *r = d->removals; r != NULL; r = r->next)
		if (r->outcome == OUTCOME_UNKNOWN)
			check_removal(d, r, asked_ns, let_in_ns);
}

void
model_check_unique_id(unsigned drop, struct model_message *m, struct span id)
{
	if (id.length == 0 || id.length >= MODEL_ID_OCTETS)
		sim_violation("a unique-id has %zu octets", id.length);
	if (m->unique_id[0] != '\0') {
		if (!span_equals(id, span_of_string(m->unique_id)))
			sim_violation("the unique-id of %" PRIu32 " octets was %s, and is %.*s",
				m->octets, m->unique_id, (int)id.length, id.at);
		return;
	}
	for (const struct model_message *o = drops[drop].messages; o != NULL; o = o->next)
		if (span_equals(id, span_of_string(o->unique_id)))
			sim_violation("unique-id %.*s stands for %" PRIu32 " and %" PRIu32
				      " octets",
				(int)id.length, id.at, o->octets, m->octets);
	memcpy(m->unique_id, id.at, id.length);
}

/* ---- replies ------------------------------------------------------------------------------- */

/* Where the blank line that ends the header ends; 0: there is none. */
static size_t
header_length(const struct model_message *m)
{
	const char *blank = strstr(m->text, "\r\n\r\n");

	return blank == NULL ? 0 : (size_t)(blank - m->text) + 4;
}

/* The first `length` octets of the text, stuffed, and the end line. */
static size_t
put_stuffed(const struct model_message *m, size_t length, char *to)
{
	size_t put = 0;

	for (size_t i = 0; i < length; i++) {
		if (m->text[i] == '.' && (i == 0 || m->text[i - 1] == '\n'))
			to[put++] = '.';
		to[put++] = m->text[i];
	}
	return put;
}

char *
model_retr_reply(const struct model_message *m, size_t *length_out)
{
	char *reply = sim_allocate(2 * (size_t)m->octets + 64);
	size_t length = (size_t)sprintf(reply, "+OK %" PRIu32 " octets\r\n", m->octets);

	length += put_stuffed(m, m->octets, reply + length);
	memcpy(reply + length, ".\r\n", 3);
	*length_out = length + 3;
	return reply;
}

char *
model_top_reply(const struct model_message *m, uint32_t lines, size_t *length_out)
{
	static const char first[] = "+OK top of message follows\r\n";
	size_t header = header_length(m);
	size_t end = header == 0 ? m->octets : header;
	size_t length = sizeof(first) - 1;
	char *reply;

	while (end < m->octets && lines > 0) {
		end = (size_t)(strstr(m->text + end, "\r\n") - m->text) + 2;
		lines--;
	}
	if (end == m->octets && header != 0)
		return model_retr_reply(m, length_out);
	reply = sim_allocate(2 * end + 64);
	memcpy(reply, first, length);
	length += put_stuffed(m, end, reply + length);
	length += (size_t)sprintf(reply + length, "%s", header == 0 ? "\r\n.\r\n" : ".\r\n");
	*length_out = length;
	return reply;
}
