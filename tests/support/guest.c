/*
 * guest.c - see guest.h.
 */
#include "tests/support/guest.h"

#include "core/version.h"
#include "io/base/must.h"
#include "storage/content.h"
#include "storage/topscan.h"
#include "tests/support/guest_lmtp.h"

#include <errno.h>
#include <gsasl.h>
#include <stdlib.h>
#include <unistd.h>

#define REPLY_BLOCKS 64u

static char *
room_to_say(struct guest *g, size_t octets)
{
	char *at;

	while (g->said_room - g->said_octets < octets) {
		g->said_room = g->said_room * 2 + 4096;
		g->said = realloc(g->said, g->said_room);
		must(g->said != NULL);
	}
	at = g->said + g->said_octets;
	g->said_octets += octets;
	return at;
}

/* Take the whole reply, as a socket would. */
void
guest_take_reply(struct guest *g)
{
	must(!g->reply.failed);
	while (!segments_is_empty(&g->reply)) {
		const struct segment *first = g->reply.first;
		size_t octets = (size_t)(first->end - first->offset);
		char *to = room_to_say(g, octets);

		if (first->fd >= 0)
			must(pread(first->fd, to, octets, (off_t)first->offset) == (ssize_t)octets);
		else
			memcpy(to, segment_octets(first).at, octets);
		segments_advance(&g->reply, octets);
	}
	must(g->reply.length == 0);
}

/* What the server keeps of a secret for SCRAM; for an unknown name a dummy. */
static struct scram_keys
keys_for(enum sasl_mechanism mechanism, struct span secret)
{
	Gsasl_hash hash = mechanism == SASL_SCRAM_SHA_1 ? GSASL_HASH_SHA1 : GSASL_HASH_SHA256;
	struct scram_keys keys = { .iterations = 64, .salt_octets = 8, .salt = "saltsalt" };
	char *text = strndup(secret.at, secret.length);
	char salted[SCRAM_KEY_OCTETS_MAX];
	char client_key[SCRAM_KEY_OCTETS_MAX];

	must(text != NULL);
	must(gsasl_scram_secrets_from_password(hash, text, keys.iterations, (const char *)keys.salt,
		     keys.salt_octets, salted, client_key, (char *)keys.server_key,
		     (char *)keys.stored_key) == GSASL_OK);
	free(text);
	return keys;
}

/* The token of NAME is "token-NAME". */
static bool
is_token_of(struct span token, struct span name)
{
	struct span prefix = SPAN("token-");

	return token.length == prefix.length + name.length &&
		memcmp(token.at, prefix.at, prefix.length) == 0 &&
		memcmp(token.at + prefix.length, name.at, name.length) == 0;
}

static bool
is_right(const struct guest *g, const struct login_question *q)
{
	if (g->account == NULL)
		return false;
	switch (q->kind) {
	case LOGIN_PASSWORD:
		return span_equals(g->account->secret, q->secret);
	case LOGIN_TOKEN:
		return is_token_of(q->secret, q->name);
	case LOGIN_PROVEN:
		return true;
	case LOGIN_DISPROVEN:
	case LOGIN_APOP:
	case LOGIN_KEYS:
		break;
	}
	return false;
}

/* Who may log in. */
static struct guest_account *
find(const struct guest *g, struct span name)
{
	struct guest_account *account = g->world->find(g->world->ctx, name);

	return account == NULL || account->disabled ? NULL : account;
}

static enum pop3_next
verify(struct guest *g)
{
	struct login_question q = pop3_session_question(&g->session);
	struct login_answer answer = { .verdict = LOGIN_BAD };
	struct scram_keys keys;

	g->account = find(g, q.name);
	if (g->world->login_unavailable) {
		answer.verdict = LOGIN_UNAVAILABLE;
	} else if (q.kind == LOGIN_KEYS) {
		keys = keys_for(
			q.sasl, g->account == NULL ? SPAN("nobody knows") : g->account->secret);
		answer.keys = &keys;
		answer.verdict = LOGIN_GOOD;
	} else if (is_right(g, &q)) {
		if (q.acts_for.length > 0)
			g->account = g->account->is_master ? find(g, q.acts_for) : NULL;
		if (g->account != NULL) {
			answer.verdict = g->world->good_is;
			answer.may_not_delete = g->account->read_only;
		}
	}
	return pop3_session_answered(&g->session, &answer);
}

static enum pop3_next
open_maildrop(struct guest *g)
{
	if (g->world->open_error != 0)
		return pop3_session_opened(&g->session, g->world->open_error, NULL);
	g->maildrop = memdrop_snapshot(&g->account->memdrop);
	return pop3_session_opened(&g->session, 0, g->maildrop);
}

static enum pop3_next
check(struct guest *g)
{
	const struct maildrop_entry *message = pop3_session_check(&g->session);
	struct disk disk;
	int error;

	if (g->world->check_error != 0)
		return pop3_session_checked(&g->session, g->world->check_error);
	must(disk_open_root("/", true, &disk) == 0);
	error = content_check(&disk, g->maildrop->log_fd, message);
	disk_close_root(&disk);
	return pop3_session_checked(&g->session, error);
}

static enum pop3_next
scan(struct guest *g)
{
	struct pop3_scan asked = pop3_session_scan(&g->session);
	struct disk disk;
	uint64_t octets = 0;
	int error;

	if (g->world->scan_error != 0)
		return pop3_session_scanned(&g->session, g->world->scan_error, 0);
	must(disk_open_root("/", true, &disk) == 0);
	error = topscan(&disk, asked.log_fd, asked.offset, asked.length, asked.lines, &octets);
	disk_close_root(&disk);
	return pop3_session_scanned(&g->session, error, octets);
}

static enum pop3_next
commit(struct guest *g)
{
	uint32_t count = listing_deleted(&g->session.listing);
	uint32_t *uids;

	if (g->world->commit_error != 0)
		return pop3_session_committed(&g->session, g->world->commit_error);
	uids = malloc((count + 1) * sizeof(*uids));
	must(uids != NULL);
	listing_deleted_uids(&g->session.listing, uids);
	memdrop_remove(&g->account->memdrop, uids, count);
	free(uids);
	return pop3_session_committed(&g->session, 0);
}

enum xclient_outcome
guest_hear_xclient(const struct guest *g, enum xclient_form form, struct span arguments,
	struct xclient *client_out)
{
	if (!g->world->takes_xclient)
		return XCLIENT_NOT_ALLOWED;
	return xclient_read(arguments, form, client_out) ? XCLIENT_GOOD : XCLIENT_MALFORMED;
}

static enum pop3_next
hear_xclient(struct guest *g)
{
	return pop3_session_xclient_heard(&g->session,
		guest_hear_xclient(g, XCLIENT_FORM_POP3, pop3_session_xclient(&g->session),
			&(struct xclient){ 0 }));
}

/* Do what the session asks for until it wants the next line. */
static void
go_on(struct guest *g, enum pop3_next next)
{
	while (next != POP3_NEXT_LINE) {
		switch (next) {
		case POP3_NEXT_DRAIN:
			guest_take_reply(g);
			next = pop3_session_drained(&g->session);
			break;
		case POP3_NEXT_VERIFY:
			next = verify(g);
			break;
		case POP3_NEXT_OPEN:
			next = open_maildrop(g);
			break;
		case POP3_NEXT_CHECK:
			next = check(g);
			break;
		case POP3_NEXT_SCAN:
			next = scan(g);
			break;
		case POP3_NEXT_COMMIT:
			next = commit(g);
			break;
		case POP3_NEXT_XCLIENT:
			next = hear_xclient(g);
			break;
		case POP3_NEXT_TLS:
			g->awaits_tls = true;
			guest_take_reply(g);
			return;
		case POP3_NEXT_CLOSE:
		case POP3_NEXT_REFUSE:
			g->closed = true;
			guest_take_reply(g);
			return;
		case POP3_NEXT_LINE:
			break;
		}
	}
	guest_take_reply(g);
}

void
guest_connect(struct guest *g, const struct guest_world *world)
{
	*g = (struct guest){ .world = world };
	segments_pool_init(&g->pool, REPLY_BLOCKS);
	segments_init(&g->reply, &g->pool);
	slab_init(&g->names, LINE_BLOCK_OCTETS, 1);
	slab_init(&g->blocks, LINE_BLOCK_OCTETS, 1);
	slab_init(&g->long_blocks, LONG_LINE_BLOCK_OCTETS, 1);
	g->lines = (struct line_pool){ &g->blocks, &g->long_blocks };
	line_reader_init(&g->reader, &g->lines);
	if (world->speaks_lmtp) {
		guest_lmtp_connect(g);
		return;
	}
	pop3_session_init(&g->session, &world->policy, &g->reply, &g->names);
	if (world->takes_xclient)
		pop3_session_allow_xclient(&g->session);
	go_on(g, pop3_session_greet(&g->session, NULL));
}

void
guest_hear(struct guest *g, struct span octets)
{
	struct span line;

	if (g->closed || octets.length == 0)
		return;
	if (g->awaits_tls) { /* these are no TLS: the handshake fails */
		g->closed = true;
		return;
	}
	if (g->lmtp != NULL) {
		guest_lmtp_hear(g, octets);
		return;
	}
	if (!g->heard && pop3_session_is_foreign(&g->session, octets))
		go_on(g, POP3_NEXT_REFUSE);
	g->heard = true;
	while (!g->closed) {
		line_reader_allow_long(&g->reader, pop3_session_long_word(&g->session));
		switch (line_next(&g->reader, &octets, &line)) {
		case LINE_READY:
			must(line.length <= LONG_LINE_OCTETS_MAX);
			go_on(g, pop3_session_line(&g->session, line));
			if (g->awaits_tls) {
				line_reader_clear(&g->reader);
				guest_hear(g, octets); /* what came behind STLS */
				return;
			}
			break;
		case LINE_TOO_LONG:
			go_on(g, pop3_session_line_too_long(&g->session));
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
guest_hear_cut(struct guest *g, struct span octets, unsigned random)
{
	while (octets.length > 0) {
		size_t cut = octets.length;
		char *piece;

		if (random != 0) {
			random = random * 1103515245u + 12345u;
			cut = 1 + (random >> 16) % 20;
		}
		if (cut > octets.length)
			cut = octets.length;
		piece = malloc(cut);
		must(piece != NULL);
		memcpy(piece, octets.at, cut);
		guest_hear(g, span_of(piece, cut));
		free(piece);
		octets = span_after(octets, cut);
	}
}

/* As if TLS had agreed upon it. */
static const char exporter[] = "0123456789abcdef0123456789abcdef";

void
guest_secure(struct guest *g)
{
	const struct sasl_facts facts = { .exporter = span_of(exporter, SASL_EXPORTER_OCTETS) };

	if (g->closed)
		return;
	must(g->awaits_tls);
	g->awaits_tls = false;
	if (g->lmtp != NULL) {
		guest_lmtp_secure(g);
		return;
	}
	go_on(g, pop3_session_secured(&g->session, &facts));
}

void
guest_disconnect(struct guest *g)
{
	line_reader_clear(&g->reader);
	segments_clear(&g->reply);
	if (g->lmtp != NULL)
		guest_lmtp_disconnect(g);
	else
		pop3_session_end(&g->session);
	if (g->maildrop != NULL)
		memdrop_release(g->maildrop);
	g->maildrop = NULL;
	segments_pool_destroy(&g->pool);
	slab_destroy(&g->names);
	slab_destroy(&g->blocks);
	slab_destroy(&g->long_blocks);
}

void
guest_forget(struct guest *g)
{
	free(g->said);
	*g = (struct guest){ 0 };
}
