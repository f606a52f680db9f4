/*
 * outq_tls.c - the send queue over TLS.
 *
 * In user space the front of the queue is gathered, files read out of the page cache, sealed into
 * records, and the records sent.  In the kernel the queue is sent as in clear; what is left to do is
 * to see where records end.
 * Invariant: what ends a reply, its last TLS_TAIL_OCTETS, lies within one record: a client is known
 * that waits for ever when they come in two.
 */
#include "io/base/must.h"
#include "io/outq_internal.h"
#include "io/resident.h"
#include "io/socket.h"
#include "io/tls.h"
#include "io/tls_hello.h"
#include "io/tls_kernel.h"
#include "io/tls_words.h"

#include <errno.h>

#define JOIN_OCTETS 1024u /* of octets behind a file, in one record with its end */

/* ---- in user space ------------------------------------------------------------------------- */

/* The front of a file, without waiting for the disk; 0: the file is shorter than it should be. */
static ssize_t
read_resident(const struct outq *q, int fd, uint64_t offset, char *to, size_t size)
{
	ssize_t n = resident_read(fd, offset, to, size);
	uint64_t warm;

	if (n != -EAGAIN)
		return n;
	warm = outq_known_warm(q, fd, offset); /* it was read a moment ago */
	return warm == 0 ? n : resident_read_waiting(fd, offset, to, warm < size ? warm : size);
}

/* Octets of segment `g` into `to`; what stands in its way is a negative errno. */
static ssize_t
gather_segment(const struct outq *q, const struct segment *g, char *to, size_t size)
{
	uint64_t length = g->end - g->offset;
	ssize_t n;

	if (length < size)
		size = length;
	if (g->fd < 0) {
		memcpy(to, segment_octets(g).at, size);
		return (ssize_t)size;
	}
	n = read_resident(q, g->fd, g->offset, to, size);
	return n == 0 ? -EBADMSG : n;
}

/* As much of the queue as fits into `to` and can be had now; how much, or why there is nothing. */
static ssize_t
gather(const struct outq *q, char *to, size_t size)
{
	const struct segment *g = q->segments.first;
	size_t length = 0;

	while (g != NULL && length < size) {
		ssize_t n = gather_segment(q, g, to + length, size - length);

		if (n < 0)
			return length > 0 ? (ssize_t)length : n;
		length += (size_t)n;
		if ((uint64_t)n < g->end - g->offset)
			break;
		g = g->next;
	}
	return (ssize_t)length;
}

static void
advance(struct outq *q, uint64_t count)
{
	while (count > 0) {
		const struct segment *g = q->segments.first;
		uint64_t part = g->end - g->offset;

		if (part > count)
			part = count;
		segments_advance(&q->segments, part);
		count -= part;
	}
}

/* How much of what is there may go, so that what ends the queue is not torn apart: by the end of
 * what is there, or by the end of its last full record. */
static size_t
without_torn_tail(size_t length, uint64_t left)
{
	size_t tail = length % TLS_RECORD_PLAIN_MAX;

	if (left > 0 && left < TLS_TAIL_OCTETS && length > TLS_TAIL_OCTETS)
		return length - TLS_TAIL_OCTETS;
	if (left == 0 && tail > 0 && tail < TLS_TAIL_OCTETS && length > TLS_RECORD_PLAIN_MAX)
		return length - tail - TLS_TAIL_OCTETS;
	return length;
}

/* All that could be had of the front file is part of what must not be torn apart. */
static bool
must_wait_for_more(const struct outq *q, size_t length)
{
	const struct segment *g = q->segments.first;

	return length <= TLS_TAIL_OCTETS && g->fd >= 0 && length < g->end - g->offset &&
		q->segments.length - length < TLS_TAIL_OCTETS;
}

static int
fill_records(struct outq *q)
{
	ssize_t length = gather(q, q->tls->context->scratch, TLS_SCRATCH_OCTETS);
	size_t part;
	int error;

	if (length >= 0 && must_wait_for_more(q, (size_t)length))
		length = -EAGAIN;
	if (length == -EAGAIN) {
		outq_read_ahead(q, q->segments.first);
		return 0;
	}
	if (length < 0)
		return (int)length;
	part = without_torn_tail((size_t)length, q->segments.length - (uint64_t)length);
	error = tls_write(q->tls, part);
	if (error == 0)
		advance(q, part);
	return error;
}

/* No key is used for ever: in TLS 1.3 there is a next one, in TLS 1.2 there is not. */
static int
renew_keys(struct outq *q)
{
	if (q->tls->secrets == NULL)
		return -EPROTO;
	q->new_keys_due = true;
	return 0;
}

/*
 * A short reply is sent by the ring, as in clear; a long one right away, for the next records can be
 * made as soon as the socket has taken these.  Between its parts the socket is corked: what is left
 * over behind a full packet would go out alone with the next acknowledgement (MSG_MORE does not
 * outlast the call).
 */
static int
send_output(struct outq *q, uint64_t *sent_out)
{
	struct span output = tls_output(q->tls);
	bool more = q->segments.length > 0;
	ssize_t n;

	if (!more && !q->corked && output.length < TLS_RECORD_PLAIN_MAX) {
		q->doing = OUTQ_SENDING;
		ring_send(&q->loop->ring, &q->op, q->fd, output);
		return 0;
	}
	if (more)
		outq_set_cork(q, true);
	n = socket_send(q->fd, output, more);
	if (n < 0 && n != -EAGAIN)
		return (int)n;
	if (n > 0) {
		tls_sent(q->tls, (size_t)n);
		*sent_out += (uint64_t)n;
	}
	if (tls_has_output(q->tls))
		outq_wait_until_writable(q);
	return 0;
}

int
outq_send_records(struct outq *q, uint64_t *sent_out)
{
	int error = 0;

	if (!tls_has_output(q->tls) && tls_keys_are_used_up(&q->tls->keys))
		return renew_keys(q);
	if (!tls_has_output(q->tls))
		error = fill_records(q);
	if (error != 0 || !tls_has_output(q->tls))
		return error;
	return send_output(q, sent_out);
}

/* ---- in the kernel ------------------------------------------------------------------------- */

/*
 * A sendfile closes the record it ends in; before that records are of 2^14 octets.  So a part must
 * not leave a rest that is too short, nor end shortly behind such a record.
 */
uint64_t
outq_kernel_part(const struct outq *q, const struct segment *g, uint64_t warm)
{
	uint64_t rest = g->end - g->offset - warm;
	uint64_t tail = (q->record_fill + warm) % TLS_RECORD_PLAIN_MAX;
	bool joins = g->next != NULL && g->next->fd < 0;

	if (warm <= 2 * TLS_TAIL_OCTETS)
		return warm;
	if (rest > 0)
		return rest < TLS_TAIL_OCTETS ? warm - TLS_TAIL_OCTETS : warm;
	if (joins)
		return warm - TLS_TAIL_OCTETS;
	if (tail > 0 && tail < TLS_TAIL_OCTETS)
		return warm - tail - TLS_TAIL_OCTETS;
	return warm;
}

void
outq_kernel_note(struct outq *q, uint64_t count, bool closes)
{
	q->record_fill = closes ? 0 : (uint16_t)((q->record_fill + count) % TLS_RECORD_PLAIN_MAX);
}

bool
outq_kernel_must_join(const struct outq *q, const struct segment *g)
{
	return q->in_kernel && g->fd >= 0 && g->next != NULL && g->next->fd < 0 &&
		g->end - g->offset <= 2 * TLS_TAIL_OCTETS;
}

int
outq_kernel_join(struct outq *q, struct segment *g)
{
	char joined[2 * TLS_TAIL_OCTETS + JOIN_OCTETS];
	struct span octets = segment_octets(g->next);
	size_t front = (size_t)(g->end - g->offset);
	size_t behind = octets.length < JOIN_OCTETS ? octets.length : JOIN_OCTETS;
	bool closes = behind == octets.length && g->next->next == NULL;
	ssize_t n = read_resident(q, g->fd, g->offset, joined, front);

	if (n == -EAGAIN) {
		outq_read_ahead(q, g);
		return 0;
	}
	if (n != (ssize_t)front)
		return n < 0 ? (int)n : -EBADMSG;
	memcpy(joined + front, octets.at, behind);
	n = socket_send(q->fd, span_of(joined, front + behind), !closes);
	if (n == -EAGAIN) {
		outq_wait_until_writable(q);
		return 0;
	}
	if (n < 0)
		return (int)n;
	count_add(&q->loop->sent, (uint64_t)n);
	outq_kernel_note(q, (uint64_t)n, closes && (size_t)n == front + behind);
	advance(q, (uint64_t)n);
	return 0;
}

/* ---- of either kind ------------------------------------------------------------------------ */

/*
 * KeyUpdate (RFC 8446, section 4.6.3) is the last record under the old keys; the kernel closes a
 * record that is open for it.  Nothing is in flight here, so what was sent before it stays before
 * it.
 */
int
outq_change_keys(struct outq *q)
{
	int error = q->tls != NULL ? tls_rekey_output(q->tls)
				   : tls_kernel_rekey_output(q->fd, q->suite, q->secrets);

	if (error == -EAGAIN) {
		outq_wait_until_writable(q);
		return 0;
	}
	q->new_keys_due = false;
	outq_kernel_note(q, 0, true);
	return error == 0 ? 0 : -EPROTO;
}

int
outq_say_goodbye(struct outq *q)
{
	int error = 0;

	if (q->tls != NULL) {
		tls_say_alert(q->tls, TLS_ALERT_CLOSE_NOTIFY);
	} else if (q->in_kernel) {
		error = tls_kernel_alert(q->fd, TLS_ALERT_CLOSE_NOTIFY);
		if (error == -EAGAIN) {
			outq_wait_until_writable(q);
			return 0;
		}
	}
	q->goodbye_due = false;
	return error;
}
