/*
 * conn_tls.c - TLS on a connection: the handshake, what comes in after it, and the way to the
 * kernel.
 *
 * Output is outq's (outq_tls.c).  Input goes from the socket into the session, and out of it in
 * pieces no longer than a receive of our own, one for each conn_receive().  A record that is not
 * data is heard here, whoever has opened it, the kernel or we: tls_words.h says what it means, and
 * what follows from it is the same.
 * Invariant: the kernel takes over only when nothing is under way in either direction and every
 * octet that came has been read: then the next one on the socket begins a record.
 */
#include "io/conn_tls.h"

#include "io/base/log.h"
#include "io/base/must.h"
#include "io/socket.h"
#include "io/tls_kernel.h"
#include "io/tls_peer.h"
#include "io/tls_words.h"

#include <errno.h>

#define READ_OCTETS     4096u /* as one receive brings at most */
#define KERNEL_ENOTSUPP 524   /* of its own, no errno.h has it */

/* A client that changes its keys again and again, or sends one empty record behind the other, costs
 * us as much as one that sends commands; with nothing between it has no purpose. */
#define QUIET_RECORDS_MAX 16u

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

/* A kernel that has no use for them does not get them. */
static void
hand_over_secrets(struct tls *t, struct outq *q)
{
	if (!t->context->kernel_can_rekey)
		return;
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
	error = tls_kernel_take_over(&t->keys, c->fd);
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
	if (tls_settle(t) != 0) {
		fail(c);
		return;
	}
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

/* ---- records that are not data, and broken ones -------------------------------------------- */

static void
say_alert(struct conn *c, unsigned description)
{
	if (c->outq.in_kernel) {
		(void)tls_kernel_alert(c->fd, description);
		return;
	}
	tls_say_alert(c->outq.tls, description);
	send_now(c);
}

static void
break_off(struct conn *c, enum tls_failure failure, int error)
{
	count_add(&c->loop->tls->counts.failed[failure], 1);
	conn_end(c, CONN_END_RECEIVE_FAILED, error);
}

static void
refuse_record(struct conn *c, int error)
{
	say_alert(c, tls_alert_for(error));
	break_off(c, TLS_FAILURE_OTHER, -EPROTO);
}

/* True: so many records in a row had no octet of data that this one was refused. */
static bool
is_too_quiet(struct conn *c)
{
	if (++c->quiet_records <= QUIET_RECORDS_MAX)
		return false;
	refuse_record(c, -EPROTO);
	return true;
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
change_keys_in_kernel(struct conn *c)
{
	int error;

	if (c->outq.secrets == NULL)
		return -EOPNOTSUPP;
	error = tls_kernel_rekey_input(c->fd, c->outq.suite, c->outq.secrets);
	if (error != 0)
		give_up_rekeying(c->loop->tls, error);
	return error;
}

static int
change_input_keys(struct conn *c)
{
	return c->outq.in_kernel ? change_keys_in_kernel(c) : tls_rekey_input(c->outq.tls);
}

/*
 * The client has changed its keys.  Ours follow if it asks for it, before our next octets (RFC
 * 8446, section 4.6.3): between two sends of a reply if one is on its way.
 */
static void
follow_key_update(struct conn *c, bool ours_too)
{
	struct count *counts = c->loop->tls->counts.rekeys;

	if (is_too_quiet(c)) {
		count_add(&counts[TLS_REKEY_TOO_MANY], 1);
		return;
	}
	if (change_input_keys(c) != 0) {
		count_add(&counts[TLS_REKEY_UNABLE], 1);
		refuse_record(c, -EPROTO);
		return;
	}
	count_add(&counts[TLS_REKEY_DONE], 1);
	if (ours_too) {
		c->outq.new_keys_due = true;
		(void)conn_flush(c);
	}
	conn_receive(c, false);
}

static void
hear(struct conn *c, enum tls_word word)
{
	switch (word) {
	case TLS_WORD_NOTHING:
		if (!is_too_quiet(c))
			conn_receive(c, true);
		break;
	case TLS_WORD_GOODBYE:
		conn_end(c, CONN_END_CLOSED_BY_PEER, 0);
		break;
	case TLS_WORD_ALERT:
		break_off(c, TLS_FAILURE_ALERT, -ECONNRESET);
		break;
	case TLS_WORD_KEYS:
		follow_key_update(c, false);
		break;
	case TLS_WORD_KEYS_OF_BOTH:
		follow_key_update(c, true);
		break;
	case TLS_WORD_NONSENSE:
		refuse_record(c, -EPROTO);
		break;
	}
}

void
conn_tls_hear_kernel(struct conn *c, int error)
{
	enum tls_word word = TLS_WORD_NONSENSE;

	if (error == -EIO)
		error = tls_kernel_hear(c->fd, c->tls.version, &word);
	if (error == 0)
		hear(c, word);
	else if (error == -EAGAIN)
		conn_receive(c, true);
	else
		refuse_record(c, error);
}

/* ---- input --------------------------------------------------------------------------------- */

/* What came is data, or something to be heard, or it could not be read. */
static void
take_record(struct conn *c, int error, const struct tls_opened *record)
{
	if (error == -EAGAIN) {
		conn_receive(c, true);
	} else if (error == -ENOMEM) {
		conn_end(c, CONN_END_NO_MEMORY, error);
	} else if (error != 0) {
		refuse_record(c, error);
	} else if (record->type != TLS_RECORD_DATA) {
		hear(c, tls_word_of(c->tls.version, record->type, record->octets));
	} else if (record->octets.length == 0) {
		hear(c, TLS_WORD_NOTHING);
	} else {
		c->quiet_records = 0;
		c->ops->received(c, record->octets);
	}
}

static void
hand_on(struct conn *c)
{
	char octets[READ_OCTETS];
	struct tls_opened record;
	int error = tls_read(c->outq.tls, octets, sizeof(octets), &record);

	take_record(c, error, &record);
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

static void
received_in_handshake(struct conn *c, struct span octets)
{
	struct tls *t = c->outq.tls;

	if (tls_take(t, octets) != 0)
		fail(c);
	else if (tls_has_record(t))
		tls_want_turn(t);
	else
		conn_receive(c, true);
}

void
conn_tls_received(struct conn *c, struct span octets)
{
	struct tls *t = c->outq.tls;
	struct tls_opened record;
	int error;

	if (t->is_handshaking) {
		received_in_handshake(c, octets);
		return;
	}
	if (t->input != NULL) {
		error = tls_take(t, octets);
		if (error == 0)
			hand_on(c);
		else
			take_record(c, error, NULL);
		return;
	}
	error = tls_read_first(t, octets, &record);
	take_record(c, error, &record);
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
