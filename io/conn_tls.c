/*
 * conn_tls.c - TLS on a connection: the handshake, what comes in after it, and the way to the
 * kernel.
 *
 * Output is outq's (outq_tls.c).  Input goes from the socket into the session, and out of it in
 * pieces no longer than a receive of our own, one for each conn_receive().
 * Invariant: the kernel takes over only when nothing is under way in either direction and every
 * octet that came has been read: then the next one on the socket begins a record.
 */
#include "io/conn_tls.h"

#include "io/base/log.h"
#include "io/base/must.h"
#include "io/socket.h"
#include "io/tls_kernel.h"
#include "io/tls_peer.h"

#include <errno.h>

#define READ_OCTETS     4096u /* as one receive brings at most */
#define KERNEL_ENOTSUPP 524   /* of its own, no errno.h has it */

/* A client that changes its keys again and again costs us as much as one that sends commands; with
 * nothing between it has no purpose. */
#define KEY_UPDATES_IN_A_ROW_MAX 16u

static const struct log_kind EVENT_KTLS_REFUSED = { "ktls_refused", LOG_WARNING };
static const struct log_kind EVENT_KTLS_REKEY_REFUSED = { "ktls_rekey_refused", LOG_WARNING };

/* ---- the kernel takes over ----------------------------------------------------------------- */

static void
log_refusal(struct tls_context *x, int error)
{
	if (x->last_refusal == error)
		return;
	x->last_refusal = error;
	log_event(EVENT_KTLS_REFUSED, kv_str("error", strerror(-error)));
}

/* The kernel does not know the cipher, or not in this version of TLS; or it is something else. */
static enum tls_records
records_after(int error)
{
	bool is_unknown = error == -ENOENT || error == -EINVAL || error == -EOPNOTSUPP ||
		error == -KERNEL_ENOTSUPP;

	return is_unknown ? TLS_RECORDS_CIPHER : TLS_RECORDS_REFUSED;
}

static void
settle_records(struct conn *c, enum tls_records records)
{
	c->tls.records = records & 0xf;
	count_add(&c->loop->tls->counts.records[records], 1);
}

static void
hand_over_secrets(struct tls *t, struct outq *q)
{
	q->secrets = t->secrets;
	q->suite = t->facts.suite;
	t->secrets = NULL;
}

static bool
may_go_to_kernel(const struct tls *t)
{
	return t->context->kernel_can && !t->kernel_refused;
}

/* True: the connection goes on, in the kernel or here;
 * false: its end will be told from the loop. */
static bool
try_kernel(struct conn *c)
{
	struct tls *t = c->outq.tls;
	struct tls_context *x = t->context;
	int error;

	if (!may_go_to_kernel(t) || tls_has_output(t) || !tls_is_between_records(t) ||
		c->outq.doing != OUTQ_NOTHING)
		return true;
	must(!c->receive_in_flight);
	error = tls_kernel_take_over(t, c->fd);
	if (error == 0) {
		settle_records(c, TLS_RECORDS_BY_KERNEL);
		hand_over_secrets(t, &c->outq);
		c->outq.tls = NULL;
		c->outq.in_kernel = true;
		tls_free(t);
		return true;
	}
	t->kernel_refused = true;
	settle_records(c, records_after(error));
	log_refusal(x, error);
	if (error != -EPROTO && x->options->ktls != TLS_KTLS_REQUIRE)
		return true;
	tls_fail(t, TLS_FAILURE_KTLS);
	loop_defer(c->loop, &t->turn);
	return false;
}

/* ---- the handshake ------------------------------------------------------------------------- */

/* What ends a handshake is short: as a rule the socket takes it at once, and the kernel can take
 * over before the first reply. */
static void
send_now(struct conn *c)
{
	struct tls *t = c->outq.tls;
	struct span output = tls_output(t);
	ssize_t n;

	if (output.length == 0 || c->outq.doing != OUTQ_NOTHING)
		return;
	n = socket_send(c->fd, output, false);
	if (n <= 0)
		return;
	count_add(&c->loop->sent, (uint64_t)n);
	tls_sent(t, (size_t)n);
}

static void
fail(struct conn *c)
{
	send_now(c);
	conn_end(c, CONN_END_TLS_FAILED, (int)conn_tls_failure(c));
}

/* What is known of the client goes with wolfSSL: it is told now or never. */
static void
handshake_done(struct conn *c)
{
	struct tls *t = c->outq.tls;
	struct tls_peer peer;

	tls_peer_read(t, &peer);
	c->tls = t->facts;
	if (!may_go_to_kernel(t))
		settle_records(c, (enum tls_records)t->facts.records);
	send_now(c);
	if (!try_kernel(c))
		return;
	(void)conn_flush(c);
	c->ops->secured(c, &peer);
	explicit_bzero(&peer, sizeof(peer));
}

static void
go_on_with_handshake(struct conn *c)
{
	struct tls *t = c->outq.tls;
	int progress = tls_handshake(t);

	if (progress < 0) {
		fail(c);
	} else if (progress == 0) {
		(void)conn_flush(c);
		conn_receive(c, true);
	} else {
		handshake_done(c);
	}
}

/* ---- input --------------------------------------------------------------------------------- */

static void
hand_on(struct conn *c)
{
	struct tls *t = c->outq.tls;
	char plain[READ_OCTETS];
	ssize_t length = tls_read(t, plain, sizeof(plain));

	if (tls_has_output(t)) /* it had something to answer: a KeyUpdate */
		(void)conn_flush(c);
	if (length > 0)
		c->ops->received(c, span_of(plain, (size_t)length));
	else if (length == -EAGAIN)
		conn_receive(c, true);
	else if (length == 0)
		conn_end(c, CONN_END_CLOSED_BY_PEER, 0);
	else
		conn_end(c, CONN_END_RECEIVE_FAILED, -EPROTO);
}

static void
turn_came(struct deferred *turn)
{
	struct tls *t = container_of(turn, struct tls, turn);
	struct conn *c = t->owner;

	if (c->state != CONN_OPEN || c->close_when_drained)
		return;
	if (t->failure != TLS_FAILURE_NONE)
		fail(c);
	else if (t->is_handshaking)
		go_on_with_handshake(c);
	else
		hand_on(c);
}

bool
conn_start_tls(struct conn *c, struct tls_context *x, const char *alpn, struct span octets)
{
	struct tls *t = tls_make(x, alpn, c, turn_came);

	must(c->outq.tls == NULL && !c->outq.in_kernel && segments_is_empty(&c->outq.segments));
	must(c->outq.doing == OUTQ_NOTHING && !c->receive_in_flight);
	if (t == NULL)
		return false;
	c->outq.tls = t;
	if (octets.length > 0 && tls_take(t, octets) != 0)
		loop_defer(
			c->loop, &t->turn); /* told from there, not from within the caller's call */
	else if (tls_has_record(t))
		tls_want_turn(t);
	else
		conn_receive(c, true);
	return true;
}

void
conn_tls_received(struct conn *c, struct span octets)
{
	struct tls *t = c->outq.tls;
	int error = tls_take(t, octets);

	if (error != 0 && t->is_handshaking)
		fail(c);
	else if (error != 0)
		conn_end(c, CONN_END_RECEIVE_FAILED, error);
	else if (!t->is_handshaking)
		hand_on(c);
	else if (tls_has_record(t))
		tls_want_turn(t);
	else
		conn_receive(c, true);
}

bool
conn_tls_needs_octets(struct conn *c)
{
	struct tls *t = c->outq.tls;

	if (t->is_handshaking)
		return true;
	if (tls_has_plain(t)) {
		loop_defer(c->loop, &t->turn);
		return false;
	}
	/* while something is on its way out the kernel cannot take over:
	 * ask again when it has gone */
	t->wants_octets = may_go_to_kernel(t) && c->outq.doing != OUTQ_NOTHING;
	return !t->wants_octets && try_kernel(c);
}

void
conn_tls_drained(struct conn *c)
{
	struct tls *t = c->outq.tls;

	if (t == NULL || !t->wants_octets)
		return;
	t->wants_octets = false;
	conn_receive(c, true);
}

/* ---- new keys ------------------------------------------------------------------------------ */

static void
end_in_order(struct conn *c)
{
	(void)tls_kernel_alert(c->fd, TLS_ALERT_UNEXPECTED_MESSAGE);
	conn_end(c, CONN_END_RECEIVE_FAILED, -EPROTO);
}

/* Who could not be followed says so once for the shard; nobody tries in vain again. */
static void
give_up_rekeying(struct tls_context *x, int error)
{
	if (x->kernel_can_rekey)
		log_event(EVENT_KTLS_REKEY_REFUSED, kv_str("error", strerror(-error)));
	x->kernel_can_rekey = false;
}

static int
change_input_keys(struct conn *c)
{
	struct tls_context *x = c->loop->tls;
	int error;

	if (c->outq.secrets == NULL)
		return -EOPNOTSUPP;
	error = tls_kernel_rekey_input(c->fd, c->outq.suite, c->outq.secrets);
	if (error != 0)
		give_up_rekeying(x, error);
	return error;
}

/*
 * The client has changed its keys.  Ours follow if it asks for it, before our next octets (RFC
 * 8446, section 4.6.3): between two sends of a reply if one is on its way.
 */
static void
follow_key_update(struct conn *c, bool ours_too)
{
	struct tls_counts *counts = &c->loop->tls->counts;
	enum tls_rekey outcome = TLS_REKEY_DONE;

	if (++c->key_updates > KEY_UPDATES_IN_A_ROW_MAX)
		outcome = TLS_REKEY_TOO_MANY;
	else if (change_input_keys(c) != 0)
		outcome = TLS_REKEY_UNABLE;
	count_add(&counts->rekeys[outcome], 1);
	if (outcome != TLS_REKEY_DONE) {
		end_in_order(c);
		return;
	}
	if (ours_too) {
		c->outq.new_keys_due = true;
		(void)conn_flush(c);
	}
	conn_receive(c, false);
}

void
conn_tls_hear_kernel(struct conn *c)
{
	switch (tls_kernel_hear(c->fd)) {
	case TLS_KERNEL_NOTHING:
		conn_receive(c, true);
		break;
	case TLS_KERNEL_GOODBYE:
		conn_end(c, CONN_END_CLOSED_BY_PEER, 0);
		break;
	case TLS_KERNEL_KEYS:
		follow_key_update(c, false);
		break;
	case TLS_KERNEL_KEYS_OF_BOTH:
		follow_key_update(c, true);
		break;
	case TLS_KERNEL_NONSENSE:
		end_in_order(c);
		break;
	case TLS_KERNEL_ALERT:
		conn_end(c, CONN_END_RECEIVE_FAILED, -ECONNRESET);
		break;
	}
}

/* ---- the end ------------------------------------------------------------------------------- */

bool
conn_tls_is_handshaking(const struct conn *c)
{
	return c->outq.tls != NULL && c->outq.tls->is_handshaking;
}

enum tls_failure
conn_tls_failure(struct conn *c)
{
	struct tls *t = c->outq.tls;

	if (t->failure == TLS_FAILURE_NONE)
		tls_fail(t, TLS_FAILURE_CLOSED);
	return (enum tls_failure)t->failure;
}

void
conn_tls_too_slow(struct conn *c)
{
	tls_fail(c->outq.tls, TLS_FAILURE_DEADLINE);
	conn_end(c, CONN_END_TLS_FAILED, TLS_FAILURE_DEADLINE);
}

void
conn_tls_forget(struct conn *c)
{
	struct outq *q = &c->outq;

	if (q->secrets != NULL)
		tls_secrets_free(c->loop->tls, q->secrets, tls_secret_octets(q->suite));
	q->secrets = NULL;
	if (q->tls == NULL)
		return;
	if (c->tls.suite != 0 && c->tls.records == TLS_RECORDS_NO_OCCASION)
		settle_records(c, TLS_RECORDS_NO_OCCASION);
	tls_free(q->tls);
	q->tls = NULL;
}
