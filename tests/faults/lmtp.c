/*
 * lmtp.c - an LMTP session from greeting to QUIT: the pure session with real accounts, drafts and
 * the desk behind it.
 *
 * A 250 for a recipient means that the message is there.  A fault is never told as an unknown user,
 * and each recipient that was accepted gets one answer.
 */
#include "core/line.h"
#include "core/lmtp/session.h"
#include "io/base/must.h"
#include "storage/desk.h"
#include "storage/draft.h"
#include "tests/faults/stage.h"

#include <errno.h>
#include <string.h>

#define HEARERS_MAX 4u

struct delivery {
	struct lmtp_recipient recipient;
	struct desk_delivery desk;
};

struct server {
	struct stage *stage;
	struct accounts_reader *accounts;
	struct lmtp_session session;
	struct segments_pool pool;
	struct segments reply;
	struct slab names;
	struct slab recipients;
	struct draft_pool drafts;
	struct draft *draft;
	uint32_t uids[HEARERS_MAX];
	char said[4096];
	size_t said_octets;
	bool is_over;
};

static const struct lmtp_policy policy = {
	.hostname = "mail.example.org",
	.greeting = "ready",
	.octets_max = 1000000,
	.recipients_max = HEARERS_MAX,
};

static void
take_reply(struct server *v)
{
	if (v->reply.failed) { /* a reply with a hole is never sent: the connection ends */
		segments_clear(&v->reply);
		v->is_over = true;
		return;
	}
	while (!segments_is_empty(&v->reply)) {
		struct span octets = segment_octets(v->reply.first);

		assert_true(v->said_octets + octets.length < sizeof(v->said));
		memcpy(v->said + v->said_octets, octets.at, octets.length);
		v->said_octets += octets.length;
		segments_advance(&v->reply, octets.length);
	}
	v->said[v->said_octets] = '\0';
}

static enum lmtp_next
look_up(struct server *v)
{
	struct account account;
	int error = accounts_find(v->accounts, span_of_string(v->session.asked->address), &account);

	return lmtp_session_recipient(&v->session,
		error == 0                 ? LMTP_VERDICT_GOOD
			: error == -ENOENT ? LMTP_VERDICT_UNKNOWN
					   : LMTP_VERDICT_UNAVAILABLE);
}

static enum lmtp_next
store(struct server *v)
{
	struct span run = lmtp_session_run(&v->session);
	int error = 0;

	if (v->draft == NULL)
		v->draft = draft_begin(&v->drafts);
	if (v->draft == NULL)
		error = -ENOMEM;
	while (error == 0 && run.length > 0) {
		error = draft_put_wire(v->draft, &run);
		if (error == -EAGAIN)
			error = draft_spill(v->draft);
	}
	return lmtp_session_stored(&v->session, error);
}

/* Each recipient alone: the desk takes batches of one address. */
static enum lmtp_next
deliver(struct server *v)
{
	unsigned i = 0;
	int error = -ENOMEM;

	if (v->draft != NULL)
		while ((error = draft_end(v->draft)) == -EAGAIN &&
			(error = draft_spill(v->draft)) == 0)
			;
	for (struct lmtp_recipient *r = v->session.recipients; r != NULL; r = r->next) {
		struct delivery *d = container_of(r, struct delivery, recipient);

		d->desk = (struct desk_delivery){ .address = r->address, .draft = v->draft };
		d->desk.error = error;
		if (error == 0)
			desk_deliver(v->stage->disk, &spool_options, &d->desk);
		r->error = d->desk.error;
		v->uids[i++] = d->desk.uid;
	}
	return lmtp_session_delivered(&v->session);
}

static void
forget_draft(struct server *v)
{
	if (v->draft != NULL)
		draft_free(v->draft);
	v->draft = NULL;
}

/* True: octets of a message are wanted. */
static bool
go_on(struct server *v, enum lmtp_next next)
{
	while (next == LMTP_NEXT_RECIPIENT || next == LMTP_NEXT_STORE ||
		next == LMTP_NEXT_DELIVER) {
		if (next == LMTP_NEXT_RECIPIENT)
			next = look_up(v);
		else if (next == LMTP_NEXT_STORE)
			next = store(v);
		else
			next = deliver(v);
	}
	if (!lmtp_session_collects(&v->session))
		forget_draft(v);
	v->is_over |= next == LMTP_NEXT_CLOSE || next == LMTP_NEXT_REFUSE;
	take_reply(v);
	return next == LMTP_NEXT_OCTETS && !v->is_over;
}

/* True: the answer begins with `code`. */
static bool
command(struct server *v, const char *line, const char *code)
{
	v->said_octets = 0;
	v->said[0] = '\0';
	if (!v->is_over)
		go_on(v, lmtp_session_line(&v->session, span_of_string(line)));
	return strncmp(v->said, code, strlen(code)) == 0;
}

static bool
rcpt(struct server *v, const char *address)
{
	char line[128];

	snprintf(line, sizeof(line), "RCPT TO:<%s>", address);
	if (command(v, line, "250 "))
		return true;
	assert_true(v->said[0] == '\0' || v->said[0] == '4');
	return false;
}

static void
send_message(struct server *v, unsigned n)
{
	char text[MODEL_TEXT_MAX];
	size_t length = model_text(n, text);
	char *dot = strstr(text, "\r\n.message") + 2;
	struct span left;

	memmove(dot + 1, dot, length + 1 - (size_t)(dot - text));
	length++;
	memcpy(text + length, ".\r\n", 3);
	left = span_of(text, length + 3);
	v->said_octets = 0;
	v->said[0] = '\0';
	while (left.length > 0 && go_on(v, lmtp_session_octets(&v->session, &left)))
		;
	assert_true(v->is_over || left.length == 0);
}

/* The answers to a message, one for each of those that were accepted, in their order. */
static void
hear_fates(struct server *v, unsigned n, struct model *const *accepted, unsigned count)
{
	const char *at = v->said;

	for (unsigned i = 0; i < count; i++) {
		bool is_there = strncmp(at, "250 ", 4) == 0;

		assert_true(is_there || v->is_over || *at == '4');
		model_delivered(accepted[i], n, n, &v->uids[i], is_there ? 0 : -EIO);
		at = strchr(at, '\n') == NULL ? "" : strchr(at, '\n') + 1;
	}
	assert_int_equal(*at, '\0');
}

static void
transaction(struct server *v, unsigned n)
{
	struct stage *s = v->stage;
	struct model *accepted[2];
	unsigned count = 0;

	if (!command(v, "MAIL FROM:<sender@example.net>", "250 ")) {
		s->failed = true;
		return;
	}
	if (rcpt(v, s->alice.address))
		accepted[count++] = &s->alice;
	if (rcpt(v, s->bob.address))
		accepted[count++] = &s->bob;
	s->failed |= count < 2;
	s->failed |= !command(v, "RCPT TO:<nobody@example.org>", "550 ");
	if (count > 0 && command(v, "DATA", "354 ")) {
		send_message(v, n);
		hear_fates(v, n, accepted, count);
	}
	s->failed |= !command(v, "RSET", "250 ");
}

static void
play(struct server *v)
{
	const struct draft_options options = {
		.drafts_max = 1,
		.blocks_max = 4,
		.memory_octets_max = 2 * DRAFT_BLOCK_OCTETS,
	};

	segments_pool_init(&v->pool, 64);
	segments_init(&v->reply, &v->pool);
	slab_init(&v->names, LINE_BLOCK_OCTETS, 1);
	slab_init(&v->recipients, sizeof(struct delivery), HEARERS_MAX);
	draft_pool_init(&v->drafts, v->stage->disk, &options);
	lmtp_session_init(&v->session, &policy, &v->reply, &v->names, &v->recipients);
	go_on(v, lmtp_session_greet(&v->session));
	if (command(v, "LHLO client.example.net", "250-")) {
		transaction(v, 11); /* is spilled */
		transaction(v, 12);
	} else {
		v->stage->failed = true;
	}
	v->stage->failed |= !command(v, "QUIT", "221 ");
	forget_draft(v);
	segments_clear(&v->reply);
	lmtp_session_end(&v->session);
	draft_pool_destroy(&v->drafts);
	slab_destroy(&v->recipients);
	slab_destroy(&v->names);
	segments_pool_destroy(&v->pool);
}

void
stage_lmtp(struct stage *s)
{
	struct server v = { .stage = s };
	struct accounts *accounts;
	int error = accounts_open(s->accounts, ACCOUNTS_READ, &accounts);

	s->failed |= error != 0;
	if (error != 0)
		return;
	error = accounts_reader_open(accounts, &v.accounts);
	s->failed |= error != 0;
	if (error == 0) {
		play(&v);
		accounts_reader_close(v.accounts);
	}
	accounts_close(accounts);
}
