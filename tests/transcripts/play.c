/*
 * play.c - plays transcripts on the bare session: play [-v] FILE...
 *
 * Each file is played step by step, then with all input of a connection at once, one octet at a
 * time, and cut at random by several seeds; the server's octets must be the same each time.
 * Speaks TAP: one line for each file.
 */
#include "tests/support/guest.h"
#include "tests/transcripts/transcript.h"

#include "core/version.h"
#include "io/base/must.h"

#include <stdio.h>
#include <stdlib.h>

#define RANDOM_CUTS 20u
#define CUT_MAX     40u

/* Accounts and maildrops of one play; fresh for each. */
struct stage {
	const struct transcript *t;
	struct guest_account accounts[TRANSCRIPT_ACCOUNTS_MAX];
	struct guest_world world;
};

static struct guest_account *
find_account(void *ctx, struct span name)
{
	struct stage *stage = ctx;

	for (unsigned i = 0; i < stage->t->account_count; i++) {
		const struct transcript_account *account = &stage->t->accounts[i];
		char full[512];

		snprintf(full, sizeof(full), "%s@example.org", account->name);
		if (span_equals(name, span_of_string(account->name)) ||
			span_equals(name, span_of_string(full)))
			return &stage->accounts[i];
	}
	return NULL;
}

static void
stage_set(struct stage *stage, const struct transcript *t)
{
	*stage = (struct stage){ .t = t };
	stage->world = (struct guest_world){
		.find = find_account,
		.ctx = stage,
		.policy = {
			.greeting = t->greeting,
			.implementation = "ringpost " RINGPOST_VERSION,
			.plaintext_auth = t->plaintext_auth,
			.offers_tls = t->offers_tls,
			.expire_days = t->expire_days,
			.login_delay_s = t->login_delay_s,
			.mechanisms = t->mechanisms,
			.failed_logins_max = t->failed_logins,
		},
		.speaks_lmtp = t->speaks_lmtp,
		.takes_xclient = t->takes_xclient,
		.lmtp_policy = {
			.hostname = "host.example.org",
			.greeting = t->greeting,
			.offers_tls = t->offers_tls,
			.normalises_newlines = t->normalises_newlines,
			.octets_max = t->lmtp_octets,
			.recipients_max = (uint32_t)t->lmtp_recipients,
		},
		.head_settings = {
			.add_return_path = t->add_return_path,
			.add_delivered_to = t->add_delivered_to,
			.add_received = t->add_received,
		},
		.store_error = t->store_error,
		.login_unavailable = t->login_unavailable,
		.good_is = t->good_is,
		.open_error = t->open_error,
		.check_error = t->check_error,
		.scan_error = t->scan_error,
		.commit_error = t->commit_error,
	};
	for (unsigned i = 0; i < t->account_count; i++) {
		const struct transcript_account *account = &t->accounts[i];

		stage->accounts[i].secret = span_of(account->secret.octets, account->secret.length);
		stage->accounts[i].read_only = account->read_only;
		stage->accounts[i].disabled = account->disabled;
		stage->accounts[i].quota_octets = account->quota_octets;
		stage->accounts[i].quota_messages = (uint32_t)account->quota_messages;
		stage->accounts[i].deliver_error = account->deliver_error;
		stage->accounts[i].is_master = account->is_master;
		memdrop_init(&stage->accounts[i].memdrop);
		for (unsigned m = 0; m < account->message_count; m++)
			memdrop_add(&stage->accounts[i].memdrop,
				span_of(account->messages[m].octets, account->messages[m].length));
	}
}

static void
stage_clear(struct stage *stage)
{
	for (unsigned i = 0; i < stage->t->account_count; i++)
		memdrop_destroy(&stage->accounts[i].memdrop);
}

/* ---- step by step -------------------------------------------------------------------------- */

/* One play with its marks: `at` is how far what the guest said was matched. */
struct play {
	struct stage stage;
	struct guest guest;
	size_t at;
	unsigned line; /* of the step that failed */
	const char *why;
	struct text transcript_of_all; /* what the server said on all connections */
};

static bool
fails(struct play *p, const char *why)
{
	p->why = why;
	return false;
}

/* The next line the server said, without its CRLF; false: there is none whole. */
static bool
next_line(struct play *p, struct span *line_out)
{
	struct span rest = span_of(p->guest.said + p->at, p->guest.said_octets - p->at);
	const char *end = rest.length == 0 ? NULL : memchr(rest.at, '\n', rest.length);

	if (end == NULL || end == rest.at || end[-1] != '\r')
		return false;
	*line_out = span_of(rest.at, (size_t)(end - rest.at) - 1);
	p->at += line_out->length + 2;
	return true;
}

static void
keep_what_was_said(struct text *all, const struct guest *g)
{
	all->octets = realloc(all->octets, all->length + g->said_octets + 1);
	must(all->octets != NULL);
	if (g->said_octets > 0)
		memcpy(all->octets + all->length, g->said, g->said_octets);
	all->length += g->said_octets;
}

static void
hang_up(struct guest *g, struct text *all)
{
	keep_what_was_said(all, g);
	guest_disconnect(g);
	guest_forget(g);
}

/* Lines up to one that fits; those passed over are what S-has and S-lacks before it are about. */
static bool
pass_over(struct play *p, const struct step *steps, unsigned index)
{
	unsigned first = index;
	size_t from = p->at;
	struct span line;
	bool found = false;

	while (first > 0 &&
		(steps[first - 1].kind == STEP_HAS || steps[first - 1].kind == STEP_LACKS))
		first--;
	while (!found) {
		if (!next_line(p, &line))
			return fails(p, "no line came that fits");
		found = text_fits(&steps[index].text, line);
	}
	for (; first < index; first++) {
		size_t end = p->at;
		bool seen = false;

		p->at = from;
		while (p->at < end && next_line(p, &line) && p->at < end)
			seen = seen || text_fits(&steps[first].text, line);
		p->at = end;
		if (seen != (steps[first].kind == STEP_HAS)) {
			p->line = steps[first].line;
			return fails(p, seen ? "it is there" : "it is not there");
		}
	}
	return true;
}

static bool
begins_connection(const struct step *step)
{
	return step->kind == STEP_RESET || step->kind == STEP_AGAIN || step->kind == STEP_POP3 ||
		step->kind == STEP_LMTP;
}

/* What the connection that this step begins speaks; the others speak what was spoken before. */
static void
choose_protocol(struct guest_world *world, const struct step *step)
{
	if (step->kind == STEP_POP3 || step->kind == STEP_LMTP)
		world->speaks_lmtp = step->kind == STEP_LMTP;
}

static bool
play_step(struct play *p, const struct step *steps, unsigned index)
{
	const struct step *step = &steps[index];
	struct span text = span_of(step->text.octets, step->text.length);
	struct span line;

	p->line = step->line;
	switch (step->kind) {
	case STEP_SEND:
		for (unsigned i = 0; i < step->times; i++)
			guest_hear(&p->guest, text);
		return true;
	case STEP_TLS:
		guest_secure(&p->guest);
		return true;
	case STEP_RESET:
	case STEP_AGAIN:
	case STEP_POP3:
	case STEP_LMTP:
		if (p->at != p->guest.said_octets)
			return fails(p, "more was said");
		if (p->guest.closed != (step->kind != STEP_RESET))
			return fails(p, p->guest.closed ? "it has closed" : "it has not closed");
		hang_up(&p->guest, &p->transcript_of_all);
		p->at = 0;
		choose_protocol(&p->stage.world, step);
		guest_connect(&p->guest, &p->stage.world);
		return true;
	case STEP_LINE:
		for (unsigned i = 0; i < step->times; i++) {
			if (!next_line(p, &line))
				return fails(p, "no line came");
			if (!text_fits(&step->text, line)) {
				p->at -= line.length + 2;
				return fails(p, "another line came");
			}
		}
		return true;
	case STEP_PASS_OVER:
		return pass_over(p, steps, index);
	case STEP_HAS:
	case STEP_LACKS:
		return true;
	case STEP_SILENCE:
		return p->at == p->guest.said_octets || fails(p, "something was said");
	case STEP_CLOSE:
		if (p->at != p->guest.said_octets)
			return fails(p, "more was said");
		return p->guest.closed || fails(p, "it has not closed");
	}
	return false;
}

static void
tell_failure(const struct play *p, const struct transcript *t)
{
	size_t left = p->guest.said_octets - p->at;

	printf("# %s:%u: %s\n", t->path, p->line, p->why);
	printf("# said: %.*s\n", (int)(left > 200 ? 200 : left),
		left > 0 ? p->guest.said + p->at : "");
}

static bool
play_step_by_step(const struct transcript *t, struct text *all_out)
{
	struct play p = { 0 };
	bool good = true;

	stage_set(&p.stage, t);
	guest_connect(&p.guest, &p.stage.world);
	for (unsigned i = 0; i < t->step_count && good; i++)
		good = play_step(&p, t->steps, i);
	if (good && p.at != p.guest.said_octets)
		good = fails(&p, "more was said at the end");
	if (!good)
		tell_failure(&p, t);
	hang_up(&p.guest, &p.transcript_of_all);
	stage_clear(&p.stage);
	*all_out = p.transcript_of_all;
	return good;
}

/* ---- cut otherwise ------------------------------------------------------------------------- */

/* 0: all at once; 1: one octet at a time; else a seed. */
static size_t
next_cut(unsigned way, unsigned *random, size_t left)
{
	size_t cut;

	if (way == 0)
		return left;
	if (way == 1)
		return 1;
	*random = *random * 1103515245u + 12345u;
	cut = 1 + (*random >> 16) % CUT_MAX;
	return cut < left ? cut : left;
}

static void
hear_in_pieces(struct guest *g, struct span input, unsigned way)
{
	unsigned random = way;

	while (input.length > 0) {
		size_t cut = next_cut(way, &random, input.length);
		char *piece = malloc(cut); /* so that nobody reads beyond it unseen */

		must(piece != NULL);
		memcpy(piece, input.at, cut);
		guest_hear(g, span_of(piece, cut));
		free(piece);
		input = span_after(input, cut);
	}
}

/* What the client sends on the connection that step *index belongs to, up to its end or to where
 * TLS begins; *index goes behind that. */
static struct text
input_of_connection(const struct transcript *t, unsigned *index)
{
	struct text input = { 0 };

	for (; *index < t->step_count; (*index)++) {
		const struct step *step = &t->steps[*index];

		if (begins_connection(step) || step->kind == STEP_TLS)
			break;
		if (step->kind != STEP_SEND)
			continue;
		input.octets =
			realloc(input.octets, input.length + step->times * step->text.length + 1);
		must(input.octets != NULL);
		for (unsigned i = 0; i < step->times; i++) {
			memcpy(input.octets + input.length, step->text.octets, step->text.length);
			input.length += step->text.length;
		}
	}
	(*index)++;
	return input;
}

static bool
tls_begins(const struct transcript *t, unsigned index, struct guest *guest)
{
	if (index > t->step_count || t->steps[index - 1].kind != STEP_TLS)
		return false;
	guest_secure(guest);
	return true;
}

/* The step before `index` begins another connection. */
static bool
next_connection(const struct transcript *t, unsigned index, struct guest_world *world)
{
	if (index > t->step_count || index == 0 || !begins_connection(&t->steps[index - 1]))
		return false;
	choose_protocol(world, &t->steps[index - 1]);
	return true;
}

static bool
play_cut(const struct transcript *t, unsigned way, const struct text *expected)
{
	struct stage stage;
	struct text all = { 0 };
	unsigned index = 0;
	bool same;

	stage_set(&stage, t);
	do {
		struct guest guest;

		guest_connect(&guest, &stage.world);
		do {
			struct text input = input_of_connection(t, &index);

			hear_in_pieces(&guest, span_of(input.octets, input.length), way);
			free(input.octets);
		} while (tls_begins(t, index, &guest));
		hang_up(&guest, &all);
	} while (next_connection(t, index, &stage.world));
	stage_clear(&stage);
	same = span_equals(
		span_of(all.octets, all.length), span_of(expected->octets, expected->length));
	if (!same)
		printf("# %s: other octets when cut %s (%u)\n", t->path,
			way == 0 ? "nowhere" : "otherwise", way);
	free(all.octets);
	return same;
}

static bool
play(const struct transcript *t)
{
	struct text all = { 0 };
	bool good = play_step_by_step(t, &all);

	for (unsigned way = 0; way < 2 + RANDOM_CUTS && good; way++)
		good = play_cut(t, way, &all);
	free(all.octets);
	return good;
}

int
main(int argc, char **argv)
{
	bool all_good = true;

	for (int i = 1; i < argc; i++) {
		struct transcript *t = transcript_read(argv[i]);
		bool good = t != NULL;

		if (good && t->server_only) {
			printf("ok %d - %s # SKIP over TCP only\n", i, argv[i]);
		} else {
			good = good && play(t);
			printf("%s %d - %s\n", good ? "ok" : "not ok", i, argv[i]);
		}
		if (t != NULL)
			transcript_free(t);
		all_good = all_good && good;
	}
	printf("1..%d\n", argc - 1);
	return all_good ? 0 : 1;
}
