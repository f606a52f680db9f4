/*
 * conn.c - one connection; see conn.h.
 *
 * Invariants
 *   1. Each operation in flight has its flag (receive_in_flight, close_in_flight, outq.doing); the
 *      descriptor is closed only when neither receive nor send is in flight, and gone() is called
 * only when none at all is.
 *   2. An upper room hears of the end once: either it asked for it, or ended() told it.
 * The timer moves lazily: progress only notes the time, and a timer that fires too early for the
 * deadline is armed again.  A command costs no timer operation at all.
 */
#include "io/conn.h"

#include "io/base/must.h"
#include "io/conn_tls.h"
#include "io/socket.h"

#include <errno.h>

#define LINGER_MS 2000u

static void outq_moved(struct outq *q, int error);
static void receive_done(struct op *op, int result, uint32_t flags);
static void close_done(struct op *op, int result, uint32_t flags);
static void timer_fired(struct timer *t);

void
conn_open(struct conn *c, struct loop *loop, int fd, const struct conn_ops *ops)
{
	*c = (struct conn){
		.ops = ops,
		.loop = loop,
		.fd = fd,
		.receive_op.done = receive_done,
		.close_op.done = close_done,
	};
	outq_init(&c->outq, loop, fd, outq_moved);
	timer_init(&c->timer, timer_fired);
}

/* ---- the end ------------------------------------------------------------------------------- */

/* Go on with closing as far as operations in flight allow. */
static void
go_on_closing(struct conn *c)
{
	must(c->state == CONN_CLOSING);
	if (c->receive_in_flight || c->close_in_flight || c->outq.doing != OUTQ_NOTHING)
		return;
	outq_clear(&c->outq);
	conn_tls_forget(c);
	if (c->fd >= 0) {
		c->close_in_flight = true;
		ring_close_file(&c->loop->ring, &c->close_op, c->fd);
		c->fd = -1;
		return;
	}
	c->state = CONN_GONE;
	c->ops->gone(c);
}

static void
close_done(struct op *op, int result, uint32_t flags)
{
	struct conn *c = container_of(op, struct conn, close_op);

	(void)result;
	(void)flags;
	c->close_in_flight = false;
	go_on_closing(c);
}

static void
start_closing(struct conn *c)
{
	timer_disarm(&c->loop->timers, &c->timer);
	c->state = CONN_CLOSING;
	if (c->receive_in_flight)
		ring_cancel(&c->loop->ring, &c->loop->unheard, &c->receive_op);
	outq_stop(&c->outq);
	go_on_closing(c);
}

static void
start_lingering(struct conn *c)
{
	socket_shut(c->fd);
	c->state = CONN_LINGERING;
	conn_set_deadline(c, LINGER_MS);
	if (!c->receive_in_flight)
		conn_receive(c, true);
}

void
conn_end(struct conn *c, enum conn_end why, int error)
{
	if (c->close_when_drained || c->state == CONN_LINGERING) {
		start_closing(c);
		return;
	}
	if (c->state != CONN_OPEN)
		return;
	if (conn_tls_is_handshaking(c)) {
		why = CONN_END_TLS_FAILED;
		error = (int)conn_tls_failure(c);
	}
	/* who only stops talking may still be listening, and so may who hears why TLS failed */
	if (why != CONN_END_CLOSED_BY_PEER && why != CONN_END_TLS_FAILED)
		c->state = CONN_ENDED;
	c->ops->ended(c, why, error);
}

void
conn_abort(struct conn *c)
{
	if (c->state != CONN_CLOSING && c->state != CONN_GONE)
		start_closing(c);
}

/* A queue that cannot move any more has nothing left to wait for. */
static void
close_after_output(struct conn *c)
{
	int error;

	if (c->state == CONN_ENDED) {
		start_closing(c);
		return;
	}
	must(c->state == CONN_OPEN);
	c->close_when_drained = true;
	c->outq.goodbye_due = c->outq.tls != NULL || c->outq.in_kernel;
	error = outq_flush(&c->outq);
	if (error == -EINPROGRESS)
		return;
	if (error == 0 && c->linger_when_drained)
		start_lingering(c);
	else
		start_closing(c);
}

void
conn_close(struct conn *c)
{
	close_after_output(c);
}

void
conn_refuse(struct conn *c)
{
	c->linger_when_drained = true;
	close_after_output(c);
}

/* ---- time ---------------------------------------------------------------------------------- */

static void
set_limit(struct conn *c, uint32_t ms)
{
	c->deadline_ms = c->loop->now_ms + ms;
	if (!timer_is_armed(&c->timer) || c->timer.due_tick * TIMER_TICK_MS > c->deadline_ms)
		timer_arm(&c->loop->timers, &c->timer, c->deadline_ms);
}

void
conn_set_deadline(struct conn *c, uint32_t ms)
{
	c->limit_ms = 0;
	set_limit(c, ms);
}

void
conn_set_idle_limit(struct conn *c, uint32_t ms)
{
	c->limit_ms = ms;
	set_limit(c, ms);
}

static void
note_progress(struct conn *c)
{
	if (c->limit_ms != 0)
		c->deadline_ms = c->loop->now_ms + c->limit_ms;
}

static void
timer_fired(struct timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);

	if (c->loop->now_ms < c->deadline_ms) {
		timer_arm(&c->loop->timers, &c->timer, c->deadline_ms);
		return;
	}
	if (c->close_when_drained || c->state == CONN_LINGERING)
		start_closing(c);
	else if (conn_tls_is_handshaking(c) && c->state == CONN_OPEN)
		conn_tls_too_slow(c);
	else if (c->state == CONN_OPEN)
		c->ops->timed_out(c);
}

/* ---- input --------------------------------------------------------------------------------- */

void
conn_receive(struct conn *c, bool expect_wait)
{
	must(!c->receive_in_flight);
	if (c->outq.tls != NULL && c->state == CONN_OPEN && !conn_tls_needs_octets(c))
		return;
	/* a kernel that has a KeyUpdate among what it holds decrypted says nothing by poll: only a
	 * look finds it */
	if (c->outq.secrets != NULL)
		expect_wait = false;
	c->receive_in_flight = true;
	ring_receive(&c->loop->ring, &c->receive_op, c->fd, expect_wait, !c->is_in);
}

/* TLS has to look at each record, so there it is left to the ring. */
struct span
conn_receive_now(struct conn *c, char *to, size_t size)
{
	ssize_t n;

	must(!c->receive_in_flight);
	if (!c->more_is_there || c->state != CONN_OPEN || c->close_when_drained ||
		c->outq.tls != NULL || c->outq.in_kernel)
		return span_of(NULL, 0);
	n = socket_receive(c->fd, to, size);
	c->more_is_there = n == (ssize_t)size || n == 0;
	if (n <= 0)
		return span_of(NULL, 0);
	note_progress(c);
	count_add(&c->loop->received, (uint64_t)n);
	return span_of(to, (size_t)n);
}

static void
hand_on(struct conn *c, struct span octets)
{
	if (c->outq.tls != NULL) {
		conn_tls_received(c, octets);
		return;
	}
	c->quiet_records = 0;
	c->ops->received(c, octets);
}

/* The kernel opens the records, and has one that is not data, or is broken. */
static bool
is_word_of_kernel(const struct conn *c, int error)
{
	return c->outq.in_kernel && c->state == CONN_OPEN &&
		(error == -EIO || error == -EBADMSG || error == -EMSGSIZE || error == -EINVAL);
}

static void
receive_done(struct op *op, int result, uint32_t flags)
{
	struct conn *c = container_of(op, struct conn, receive_op);
	struct ring *ring = &c->loop->ring;

	must(c->receive_in_flight);
	c->receive_in_flight = false;
	c->more_is_there = (flags & OP_SOCKET_NONEMPTY) != 0;
	if (result > 0 && c->state == CONN_OPEN && !c->close_when_drained) {
		note_progress(c);
		count_add(&c->loop->received, (uint64_t)result);
		hand_on(c, ring_received(ring, result, flags));
		ring_give_back(ring, flags);
		return;
	}
	if (result > 0)
		ring_give_back(ring, flags);
	if (c->state == CONN_CLOSING)
		go_on_closing(c);
	else if (result == -ENOBUFS || (result > 0 && c->state == CONN_LINGERING))
		conn_receive(c, true);
	else if (is_word_of_kernel(c, result))
		conn_tls_hear_kernel(c, result);
	else if (result <= 0)
		conn_end(
			c, result == 0 ? CONN_END_CLOSED_BY_PEER : CONN_END_RECEIVE_FAILED, result);
}

/* ---- output -------------------------------------------------------------------------------- */

static void
output_failed(struct conn *c, int error)
{
	bool from_peer = error == -EPIPE || error == -ECONNRESET || error == -ETIMEDOUT ||
		error == -EPROTO; /* TLS is broken */

	if (error == -ENOMEM)
		conn_end(c, CONN_END_NO_MEMORY, error);
	else if (from_peer)
		conn_end(c, CONN_END_SEND_FAILED, error);
	else
		conn_end(c, CONN_END_FILE_FAILED, error);
}

bool
conn_flush(struct conn *c)
{
	int error;

	if (c->state != CONN_OPEN)
		return true;
	error = outq_flush(&c->outq);
	if (error == 0)
		return true;
	c->wants_drained = true;
	if (error != -EINPROGRESS) {
		/* Tell it from the loop, not from within the caller's own call. */
		c->outq.doing = OUTQ_GIVEN_TURN;
		loop_defer(c->loop, &c->outq.turn);
	}
	return false;
}

static void
outq_moved(struct outq *q, int error)
{
	struct conn *c = container_of(q, struct conn, outq);

	if (c->state == CONN_CLOSING) {
		go_on_closing(c);
		return;
	}
	if (error == 0) {
		note_progress(c);
		error = outq_flush(q);
	}
	if (error == -EINPROGRESS)
		return;
	if (error != 0) {
		output_failed(c, error);
		return;
	}
	if (c->state == CONN_OPEN && !c->close_when_drained)
		conn_tls_drained(c);
	if (c->close_when_drained && c->state == CONN_OPEN) {
		if (c->linger_when_drained)
			start_lingering(c);
		else
			start_closing(c);
	} else if (c->wants_drained && c->state == CONN_OPEN) {
		c->wants_drained = false;
		c->ops->drained(c);
	}
}
