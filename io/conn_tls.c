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

#include <errno.h>

#define READ_OCTETS 4096u /* as one receive brings at most */

static const struct log_kind EVENT_KTLS_REFUSED = { "ktls_refused", LOG_WARNING };

/* ---- the kernel takes over ----------------------------------------------------------------- */

static void
log_refusal(struct tls_context *x, int error)
{
	if (x->last_refusal == error)
		return;
	x->last_refusal = error;
	log_event(EVENT_KTLS_REFUSED, kv_str("error", strerror(-error)));
}

static bool
may_go_to_kernel(const struct tls *t)
{
	return t->context->kernel_can && !t->kernel_refused;
}

/* True: the connection goes on, in the kernel or here; false: its end will be told from the loop.
 */
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
		c->tls.in_kernel = true;
		x->counts.in_kernel++;
		c->outq.tls = NULL;
		c->outq.in_kernel = true;
		tls_free(t);
		return true;
	}
	t->kernel_refused = true;
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
	if (n > 0)
		tls_sent(t, (size_t)n);
}

static void
fail(struct conn *c)
{
	send_now(c);
	conn_end(c, CONN_END_TLS_FAILED, (int)conn_tls_failure(c));
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
		c->tls = t->facts;
		send_now(c);
		if (!try_kernel(c))
			return;
		(void)conn_flush(c);
		c->ops->secured(c);
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
conn_start_tls(struct conn *c, struct tls_context *x, struct span octets)
{
	struct tls *t = tls_make(x, c, turn_came);

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
	/* while something is on its way out the kernel cannot take over: ask again when it has gone
	 */
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
	case TLS_KERNEL_NONSENSE:
		(void)tls_kernel_alert(c->fd, TLS_ALERT_UNEXPECTED_MESSAGE);
		conn_end(c, CONN_END_RECEIVE_FAILED, -EPROTO);
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
	if (c->outq.tls != NULL)
		tls_free(c->outq.tls);
	c->outq.tls = NULL;
}
