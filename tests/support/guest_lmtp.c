/*
 * guest_lmtp.c - the bare LMTP session with everything around it played by one thread: what comes
 * is collected in a real draft, and delivered into memdrops.
 */
#include "tests/support/guest_lmtp.h"

#include "core/auth/address.h"
#include "core/lmtp_head.h"
#include "io/base/must.h"
#include "storage/draft.h"

#include <errno.h>
#include <stdlib.h>

#define RECIPIENTS  64u
#define ARRIVED_AT  1700000000
#define CHUNK_SPARE 1u

struct lmtp_guest {
	struct lmtp_session session;
	struct slab recipients;
	struct disk disk;
	struct draft_pool drafts;
	struct draft *draft;
	bool hears_octets;
};

static struct guest_account *
account_of(const struct guest *g, const char *address)
{
	return g->world->find(g->world->ctx, span_of_string(address));
}

/* ---- RECIPIENT ----------------------------------------------------------------------------- */

static bool
is_full(const struct guest *g, const struct guest_account *account)
{
	const struct memdrop *m = &account->memdrop;
	uint64_t octets = g->lmtp->session.declared_octets;

	for (uint32_t i = 0; i < m->count; i++)
		octets += m->entries[i].octets;
	return (account->quota_octets != 0 && octets > account->quota_octets) ||
		(account->quota_messages != 0 && m->count >= account->quota_messages);
}

static enum lmtp_verdict
judge(struct guest *g)
{
	static const struct address_rules rules = { "example.org", "+" };
	char *address = g->lmtp->session.asked->address;
	char canonical[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	const struct guest_account *account;

	if (g->world->login_unavailable)
		return LMTP_VERDICT_UNAVAILABLE;
	if (address_canonical(span_of_string(address), &rules, canonical) != 0)
		return LMTP_VERDICT_UNKNOWN;
	account = account_of(g, canonical);
	if (account == NULL)
		return LMTP_VERDICT_UNKNOWN;
	memcpy(address, canonical, sizeof(canonical));
	if (account->disabled)
		return LMTP_VERDICT_DISABLED;
	return is_full(g, account) ? LMTP_VERDICT_OVER_QUOTA : LMTP_VERDICT_GOOD;
}

/* ---- STORE --------------------------------------------------------------------------------- */

static void
drop_draft(struct lmtp_guest *l)
{
	if (l->draft != NULL)
		draft_free(l->draft);
	l->draft = NULL;
}

static int
put(struct guest *g)
{
	struct lmtp_guest *l = g->lmtp;
	struct span run = lmtp_session_run(&l->session);
	int error;

	if (g->world->store_error != 0)
		return g->world->store_error;
	if (l->draft == NULL)
		l->draft = draft_begin(&l->drafts);
	must(l->draft != NULL);
	do {
		error = lmtp_session_run_is_wire(&l->session) ? draft_put_wire(l->draft, &run)
							      : draft_put_text(l->draft, &run);
	} while (error == -EAGAIN && (error = draft_spill(l->draft)) == 0);
	return error;
}

static enum lmtp_next
store(struct guest *g)
{
	int error = put(g);

	if (error != 0)
		drop_draft(g->lmtp);
	return lmtp_session_stored(&g->lmtp->session, error);
}

/* ---- DELIVER ------------------------------------------------------------------------------- */

struct text {
	struct wire_decoder decoder;
	char *octets;
	size_t length;
};

static int
take(void *ctx, struct span piece)
{
	struct text *t = ctx;

	t->octets = realloc(t->octets, t->length + piece.length + CHUNK_SPARE);
	must(t->octets != NULL);
	t->length += wire_decode(&t->decoder, piece, t->octets + t->length);
	return 0;
}

static int
deliver_to(struct guest *g, const struct lmtp_recipient *r)
{
	const struct lmtp_session *s = &g->lmtp->session;
	struct guest_account *account = account_of(g, r->address);
	const struct lmtp_head head = {
		.sender = lmtp_session_sender(s),
		.recipient = r->address,
		.client = lmtp_session_client(s),
		.peer = "127.0.0.1",
		.hostname = s->policy->hostname,
		.id = "1",
		.is_secure = s->is_secure,
		.takes_utf8 = s->takes_utf8,
		.arrived_at = ARRIVED_AT,
	};
	struct text text = { .octets = malloc(LMTP_HEAD_OCTETS_MAX) };

	if (account->deliver_error != 0) {
		free(text.octets);
		return account->deliver_error;
	}
	must(text.octets != NULL);
	text.length = lmtp_head_put(&head, &g->world->head_settings, text.octets);
	wire_decoder_init(&text.decoder, false);
	must(draft_each(g->lmtp->draft, take, &text) == 0);
	memdrop_add(&account->memdrop, span_of(text.octets, text.length));
	free(text.octets);
	return 0;
}

static enum lmtp_next
deliver(struct guest *g)
{
	struct lmtp_guest *l = g->lmtp;

	if (l->draft == NULL)
		l->draft = draft_begin(&l->drafts);
	must(l->draft != NULL);
	while (draft_end(l->draft) == -EAGAIN)
		must(draft_spill(l->draft) == 0);
	for (struct lmtp_recipient *r = l->session.recipients; r != NULL; r = r->next)
		r->error = deliver_to(g, r);
	drop_draft(l);
	return lmtp_session_delivered(&l->session);
}

/* ---- the dialogue -------------------------------------------------------------------------- */

static enum lmtp_next
hear_xclient(struct guest *g)
{
	struct lmtp_session *s = &g->lmtp->session;
	struct xclient client = { 0 };
	enum xclient_outcome outcome =
		guest_hear_xclient(g, XCLIENT_FORM_LMTP, lmtp_session_run(s), &client);

	return lmtp_session_xclient_heard(s, outcome, client.helo);
}

/* Do what the session asks for until it wants a line or octets. */
static void
go_on(struct guest *g, enum lmtp_next next)
{
	struct lmtp_guest *l = g->lmtp;

	while (next != LMTP_NEXT_LINE && next != LMTP_NEXT_OCTETS) {
		switch (next) {
		case LMTP_NEXT_RECIPIENT:
			next = lmtp_session_recipient(&l->session, judge(g));
			break;
		case LMTP_NEXT_STORE:
			must(lmtp_session_collects(&l->session));
			next = store(g);
			break;
		case LMTP_NEXT_DELIVER:
			next = deliver(g);
			break;
		case LMTP_NEXT_XCLIENT:
			next = hear_xclient(g);
			break;
		case LMTP_NEXT_TLS:
			g->awaits_tls = true;
			guest_take_reply(g);
			return;
		case LMTP_NEXT_CLOSE:
		case LMTP_NEXT_REFUSE:
			g->closed = true;
			guest_take_reply(g);
			return;
		case LMTP_NEXT_LINE:
		case LMTP_NEXT_OCTETS:
			break;
		}
	}
	if (!lmtp_session_collects(&l->session))
		drop_draft(l);
	l->hears_octets = next == LMTP_NEXT_OCTETS;
	guest_take_reply(g);
}

void
guest_lmtp_connect(struct guest *g)
{
	const struct draft_options drafts = {
		.drafts_max = 1,
		.blocks_max = 64,
		.memory_octets_max = 65536,
		.octets_max = g->world->lmtp_policy.octets_max,
	};
	struct lmtp_guest *l = calloc(1, sizeof(*l));

	must(l != NULL && disk_open_root("/tmp", true, &l->disk) == 0);
	g->lmtp = l;
	slab_init(&l->recipients, sizeof(struct lmtp_recipient), RECIPIENTS);
	draft_pool_init(&l->drafts, &l->disk, &drafts);
	lmtp_session_init(
		&l->session, &g->world->lmtp_policy, &g->reply, &g->names, &l->recipients);
	if (g->world->takes_xclient)
		lmtp_session_allow_xclient(&l->session);
	go_on(g, lmtp_session_greet(&l->session));
}

void
guest_lmtp_hear(struct guest *g, struct span octets)
{
	struct lmtp_guest *l = g->lmtp;
	struct span line;

	if (!g->heard && lmtp_session_is_foreign(&l->session, octets))
		go_on(g, LMTP_NEXT_REFUSE);
	g->heard = true;
	while (!g->closed) {
		if (g->awaits_tls) { /* what came behind STARTTLS is TLS, or the end */
			line_reader_clear(&g->reader);
			guest_hear(g, octets);
			return;
		}
		if (l->hears_octets) {
			if (octets.length == 0)
				return;
			go_on(g, lmtp_session_octets(&l->session, &octets));
			continue;
		}
		switch (line_next(&g->reader, &octets, &line)) {
		case LINE_READY:
			go_on(g, lmtp_session_line(&l->session, line));
			break;
		case LINE_TOO_LONG:
			go_on(g, lmtp_session_line_too_long(&l->session));
			break;
		case LINE_NEEDS_MORE:
			must(octets.length == 0);
			return;
		case LINE_NO_MEMORY:
			must(!"one reader needs one block");
			return;
		}
	}
}

void
guest_lmtp_secure(struct guest *g)
{
	go_on(g, lmtp_session_secured(&g->lmtp->session));
}

void
guest_lmtp_disconnect(struct guest *g)
{
	struct lmtp_guest *l = g->lmtp;

	drop_draft(l);
	lmtp_session_end(&l->session);
	must(l->recipients.blocks_taken == 0 && l->drafts.blocks.blocks_taken == 0);
	slab_destroy(&l->recipients);
	draft_pool_destroy(&l->drafts);
	disk_close_root(&l->disk);
	free(l);
	g->lmtp = NULL;
}
