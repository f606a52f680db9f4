/*
 * outq.c - the send queue of one connection.
 *
 * A reply is a list of segments: octets, or a span of an open file.  Handlers append segments; only
 * this file knows how each kind reaches the socket (measured in docs/PERFORMANCE.md):
 *   octets            by the ring, with all other sends of this turn in one system call; directly,
 * with MSG_MORE, where a file follows, so that both leave in one packet a warm file span  by one
 * sendfile(2) on the shard a cold one        read through the ring first (which waits elsewhere),
 * then as a warm one: the buffer is only the reason for the kernel to fill its page cache, and the
 * one sending path stays one Invariants
 *   1. At most one operation is in flight, so replies keep their order.
 *   2. A shard never waits for a disk: a span is sent only when it is known to be resident.
 *   3. No connection sends more than TURN_OCTETS in one turn of the loop.
 * Ownership: the connection owns the queue and keeps every file in it open until the queue is
 * empty.
 */
#include "io/outq.h"

#include "io/base/must.h"
#include "io/outq_internal.h"
#include "io/resident.h"
#include "io/socket.h"
#include "io/tls.h"

#include <errno.h>

#define TURN_OCTETS     (1024u * 1024)
#define TLS_TURN_OCTETS (256u * 1024) /* they are encrypted here */
#define CHUNK_OCTETS    (512u * 1024)
#define WARM_FOR_MS     100u

static void
note_warm(struct outq *q, int fd, uint64_t from, uint64_t length)
{
	q->warm_fd = fd;
	q->warm_from = from;
	q->warm_to = from + length;
	q->warm_at_ms = (uint32_t)q->loop->now_ms;
}

static void
op_done(struct op *op, int result, uint32_t flags)
{
	struct outq *q = container_of(op, struct outq, op);
	enum outq_doing did = (enum outq_doing)q->doing;

	(void)flags;
	q->doing = OUTQ_NOTHING;
	if (did == OUTQ_READING) {
		loop_give_cold_buffer(q->loop, q->cold_buffer);
		q->cold_buffer = NULL;
	}
	if (result > 0 && did == OUTQ_SENDING)
		count_add(&q->loop->sent, (uint64_t)result);
	if (result >= 0 && did == OUTQ_SENDING && q->tls != NULL)
		tls_sent(q->tls, (size_t)result);
	else if (result >= 0 && did == OUTQ_SENDING)
		segments_advance(&q->segments, (uint64_t)result);
	else if (result > 0 && did == OUTQ_READING)
		note_warm(q, q->segments.first->fd, q->segments.first->offset, (uint64_t)result);
	else if (result == 0 && did == OUTQ_READING)
		result = -EBADMSG; /* the file ends before the span does */
	q->moved(q, result < 0 ? result : 0);
}

static void
turn_came(struct deferred *d)
{
	struct outq *q = container_of(d, struct outq, turn);

	q->doing = OUTQ_NOTHING;
	q->moved(q, 0);
}

void
outq_init(struct outq *q, struct loop *loop, int fd, void (*moved)(struct outq *q, int error))
{
	*q = (struct outq){
		.loop = loop,
		.fd = fd,
		.moved = moved,
		.op.done = op_done,
		.warm_fd = -1,
	};
	segments_init(&q->segments, &loop->segments);
	deferred_init(&q->turn, turn_came);
}

/* Hold back partial packets while replies are put together from several files. */
void
outq_set_cork(struct outq *q, bool corked)
{
	if (q->corked == corked)
		return;
	q->corked = corked;
	socket_cork(q->fd, corked);
}

void
outq_wait_until_writable(struct outq *q)
{
	q->doing = OUTQ_POLLING;
	ring_poll_writable(&q->loop->ring, &q->op, q->fd);
}

/* ---- octets -------------------------------------------------------------------------------- */

/* Octets with a file behind them: into the same packet. */
static int
send_ahead_of_file(struct outq *q, struct segment *g)
{
	ssize_t n = socket_send(q->fd, segment_octets(g), true);

	if (n == -EAGAIN) {
		outq_wait_until_writable(q);
		return 0;
	}
	if (n < 0)
		return (int)n;
	count_add(&q->loop->sent, (uint64_t)n);
	outq_kernel_note(q, (uint64_t)n, false);
	segments_advance(&q->segments, (uint64_t)n);
	return 0;
}

static int
send_octets(struct outq *q, struct segment *g)
{
	if (g->next != NULL && g->next->fd >= 0)
		return send_ahead_of_file(q, g);
	q->doing = OUTQ_SENDING;
	if (q->in_kernel)
		ring_send_some(&q->loop->ring, &q->op, q->fd, segment_octets(g));
	else
		ring_send(&q->loop->ring, &q->op, q->fd, segment_octets(g));
	outq_kernel_note(q, 0, true);
	return 0;
}

/* ---- files --------------------------------------------------------------------------------- */

/* Have the kernel read the front of a file span into its page cache, off the shard. */
void
outq_read_ahead(struct outq *q, const struct segment *g)
{
	uint64_t length = g->end - g->offset;

	if (length > LOOP_COLD_BUFFER_OCTETS)
		length = LOOP_COLD_BUFFER_OCTETS;
	q->cold_buffer = loop_take_cold_buffer(q->loop, &q->turn);
	if (q->cold_buffer == NULL) {
		q->doing = OUTQ_WAITING;
		return;
	}
	q->doing = OUTQ_READING;
	ring_read(&q->loop->ring, &q->op, g->fd, q->cold_buffer, (uint32_t)length, g->offset);
}

/*
 * Octets from `offset` on that were resident a moment ago, and are taken to be still: pages go
 * under memory pressure only, and slowly.  What was just read from the disk counts too.
 */
uint64_t
outq_known_warm(const struct outq *q, int fd, uint64_t offset)
{
	bool is_fresh = (uint32_t)q->loop->now_ms - q->warm_at_ms <= WARM_FOR_MS;

	if (fd != q->warm_fd || !is_fresh || offset < q->warm_from || offset >= q->warm_to)
		return 0;
	return q->warm_to - offset;
}

/* One look at a whole chunk serves the messages that follow in it too. */
static bool
chunk_is_resident(struct outq *q, int fd, uint64_t offset)
{
	uint64_t length = resident_from(fd, offset, CHUNK_OCTETS);

	if (length == 0)
		return false;
	note_warm(q, fd, offset, length);
	return true;
}

/* How much of the front file may be sent now; 0: it is being read. */
static uint64_t
warm_part(struct outq *q, const struct segment *g)
{
	uint64_t length = g->end - g->offset;
	uint64_t warm = outq_known_warm(q, g->fd, g->offset);

	if (warm == 0 && chunk_is_resident(q, g->fd, g->offset))
		warm = outq_known_warm(q, g->fd, g->offset);
	if (warm != 0)
		return warm < length ? warm : length;
	if (length <= CHUNK_OCTETS && resident_span(g->fd, g->offset, length))
		return length;
	outq_read_ahead(q, g);
	return 0;
}

static int
send_file(struct outq *q, struct segment *g, uint64_t *sent_out)
{
	uint64_t length = warm_part(q, g);
	ssize_t n;

	if (length == 0)
		return 0;
	if (q->in_kernel)
		length = outq_kernel_part(q, g, length);
	if (g->next != NULL)
		outq_set_cork(q, true);
	n = socket_send_file(q->fd, g->fd, g->offset, length);
	if (n == -EAGAIN) {
		outq_wait_until_writable(q);
		return 0;
	}
	if (n <= 0)
		return n < 0 ? (int)n : -EBADMSG; /* 0: the file ends before the span does */
	*sent_out += (uint64_t)n;
	count_add(&q->loop->sent, (uint64_t)n);
	outq_kernel_note(q, (uint64_t)n, (uint64_t)n == length);
	segments_advance(&q->segments, (uint64_t)n);
	return 0;
}

/* It has had its share. */
static void
give_turn(struct outq *q)
{
	q->doing = OUTQ_GIVEN_TURN;
	loop_defer(q->loop, &q->turn);
}

/* ---- the queue ----------------------------------------------------------------------------- */

int
outq_flush(struct outq *q)
{
	uint64_t sent = 0;
	int error = 0;

	if (q->segments.failed)
		return -ENOMEM;
	while (q->doing == OUTQ_NOTHING && error == 0) {
		struct segment *g = q->segments.first;

		if (q->new_keys_due && (q->tls == NULL || !tls_has_output(q->tls))) {
			error = outq_change_keys(q);
		} else if (q->tls != NULL && sent >= TLS_TURN_OCTETS) {
			give_turn(q);
		} else if (q->tls != NULL && (g != NULL || tls_has_output(q->tls))) {
			error = outq_send_records(q, &sent);
		} else if (g == NULL && q->goodbye_due) {
			error = outq_say_goodbye(q);
		} else if (g == NULL) {
			outq_set_cork(q, false);
			return 0;
		} else if (sent >= TURN_OCTETS) {
			give_turn(q);
		} else if (g->fd < 0) {
			error = send_octets(q, g);
		} else if (outq_kernel_must_join(q, g)) {
			error = outq_kernel_join(q, g);
		} else {
			error = send_file(q, g, &sent);
		}
	}
	return error != 0 ? error : -EINPROGRESS;
}

bool
outq_stop(struct outq *q)
{
	switch ((enum outq_doing)q->doing) {
	case OUTQ_NOTHING:
		break;
	case OUTQ_WAITING:
	case OUTQ_GIVEN_TURN:
		deferred_forget(&q->turn);
		q->doing = OUTQ_NOTHING;
		break;
	case OUTQ_SENDING:
	case OUTQ_POLLING:
	case OUTQ_READING:
		ring_cancel(&q->loop->ring, &q->loop->unheard, &q->op);
		return false;
	}
	return true;
}

void
outq_clear(struct outq *q)
{
	must(q->doing == OUTQ_NOTHING);
	segments_clear(&q->segments);
}
