/*
 * connection.c - what a connection does when something of it completes.
 */
#include "bench/load/connection.h"

#include "io/base/must.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <unistd.h>

enum {
	/* Less than this is read like anything else; a receive of its own would cost more. */
	DISCARD_OCTETS_MIN = 8192,
	/* Of a message that goes out by TLS: so much is encrypted at a time. */
	MESSAGE_PIECE_OCTETS = 65536,
};

enum op_kind {
	OP_CONNECT,
	OP_RECEIVE,
	OP_DISCARD,
	OP_SEND,
	OP_SEND_WATCHED,
	OP_CANCEL,
};

/* ---- operations ---- */

/* Room for a linked pair, so that a submission never falls between its halves. */
static struct io_uring_sqe *
worker_sqe(struct worker *w)
{
	if (io_uring_sq_space_left(&w->ring) < 4)
		io_uring_submit(&w->ring);
	return io_uring_get_sqe(&w->ring);
}

static void
op_name(struct worker *w, struct io_uring_sqe *sqe, struct connection *c, enum op_kind kind)
{
	uint64_t index = (uint64_t)(c - w->connections);

	io_uring_sqe_set_data64(sqe, index << 40 | (uint64_t)c->generation << 8 | kind);
}

static void
connection_receive(struct worker *w, struct connection *c, bool poll_first)
{
	uint64_t discardable = c->tls == NULL ? client_discardable(&c->client) : 0;
	struct io_uring_sqe *sqe;

	must(!c->receive_in_flight);
	sqe = worker_sqe(w);
	if (discardable >= DISCARD_OCTETS_MIN) {
		if (discardable > DISCARD_OCTETS_MAX)
			discardable = DISCARD_OCTETS_MAX;
		io_uring_prep_recv(sqe, c->fd, w->nowhere, discardable, MSG_TRUNC);
		op_name(w, sqe, c, OP_DISCARD);
	} else {
		io_uring_prep_recv(sqe, c->fd, NULL, 0, 0);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = BUFFER_GROUP;
		if (poll_first)
			sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
		op_name(w, sqe, c, OP_RECEIVE);
	}
	c->receive_in_flight = true;
}

static void
connection_send(struct worker *w, struct connection *c, struct span octets, bool watched)
{
	struct io_uring_sqe *sqe = worker_sqe(w);

	must(!watched || !c->send_in_flight);
	io_uring_prep_send(sqe, c->fd, octets.at, octets.length, MSG_NOSIGNAL | MSG_WAITALL);
	if (!watched)
		sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
	op_name(w, sqe, c, watched ? OP_SEND_WATCHED : OP_SEND);
	c->send_in_flight |= watched;
}

/* Call everything of this connection home. */
static void
connection_cancel(struct worker *w, struct connection *c)
{
	struct io_uring_sqe *sqe;

	if (c->cancelled)
		return;
	c->cancelled = true;
	sqe = worker_sqe(w);
	io_uring_prep_cancel_fd(sqe, c->fd, IORING_ASYNC_CANCEL_ALL);
	op_name(w, sqe, c, OP_CANCEL);
}

/* ---- a session's beginning and end ---- */

void
connection_enter(struct worker *w, struct connection *c, enum connection_state state)
{
	if (c->state == CONNECTION_TALKING)
		w->setting_up--;
	if (c->state == CONNECTION_HOLDING)
		counter_change(&w->tally.held, (uint64_t)-1);
	if (state == CONNECTION_TALKING)
		w->setting_up++;
	if (state == CONNECTION_HOLDING)
		counter_change(&w->tally.held, 1);
	if (state == CONNECTION_UNUSED)
		w->unused[w->unused_count++] = (uint32_t)(c - w->connections);
	c->state = state;
}

/* 127.1.0.1 and on: 28,000 ports for each would do,
 * but even use keeps the kernel's search short. */
static int
connection_bind(const struct worker *w, const struct connection *c)
{
	uint32_t number = (uint32_t)(c - w->connections) + w->index * 1000003u;
	struct sockaddr_in source = { .sin_family = AF_INET };
	int on = 1;

	source.sin_addr.s_addr = htonl(0x7f010001u + number % 4096);
	if (setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
		bind(c->fd, (struct sockaddr *)&source, sizeof(source)) < 0)
		return -errno;
	return 0;
}

static int
connection_open(struct worker *w, struct connection *c)
{
	int on = 1;

	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return -errno;
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return w->plan->spread ? connection_bind(w, c) : 0;
}

static void
connection_connect(struct worker *w, struct connection *c)
{
	struct io_uring_sqe *sqe = worker_sqe(w);

	io_uring_prep_connect(
		sqe, c->fd, (const struct sockaddr *)&w->plan->server, sizeof(w->plan->server));
	sqe->flags |= IOSQE_IO_LINK;
	op_name(w, sqe, c, OP_CONNECT);
	c->connect_in_flight = true;
}

void
connection_begin(struct worker *w, struct connection *c, uint64_t due, uint64_t now)
{
	uint64_t turn = w->index + w->sessions_begun * w->plan->threads;
	int error = connection_open(w, c);

	if (error != 0) {
		if (c->fd >= 0)
			close(c->fd);
		connection_enter(w, c, CONNECTION_UNUSED);
		w->error = error;
		return;
	}
	connection_enter(w, c, CONNECTION_TALKING);
	w->sessions_begun++;
	w->tally.connections++;
	w->active++;
	c->generation++;
	c->cancelled = c->shaking = false;
	c->message = span_of(NULL, 0);
	c->heard_at = now;
	c->began_at = c->asked_at[0] = due;
	c->asked = 1;
	c->heard = 0;
	client_start(&c->client, w->plan->mix, &w->plan->identity, w->memory,
		1 + (uint32_t)(turn % w->plan->users));
	connection_connect(w, c);
	connection_receive(w, c, true);
}

static void
connection_finish(struct worker *w, struct connection *c, uint64_t now)
{
	if (c->connect_in_flight || c->receive_in_flight || c->send_in_flight) {
		connection_cancel(w, c);
		return;
	}
	close(c->fd);
	tlsclient_free(c->tls, c->state != CONNECTION_FAILING);
	c->tls = NULL;
	w->active--;
	if (c->state == CONNECTION_FAILING) {
		connection_enter(w, c, CONNECTION_RESTING);
		return;
	}
	connection_enter(w, c, CONNECTION_UNUSED);
	worker_fill(w, now);
}

static void
connection_succeed(struct worker *w, struct connection *c, uint64_t now)
{
	uint64_t messages = c->client.messages_retrieved + c->client.messages_delivered;
	struct tally_slot *slot = worker_slot(w, now);

	counter_change(&w->tally.sessions, 1);
	w->tally.messages += messages;
	slot->sessions++;
	slot->messages += (uint32_t)messages;
	histogram_add(&w->tally.session, now - c->began_at);
	connection_finish(w, c, now);
}

void
connection_fail(struct worker *w, struct connection *c, enum client_fault fault, uint64_t now)
{
	struct tally *t = &w->tally;

	if (c->state == CONNECTION_FAILING)
		return;
	if (t->first_fault[0] == '\0')
		client_describe_fault(&c->client, fault, t->first_fault, sizeof(t->first_fault));
	counter_change(&t->failed, 1);
	t->faults[fault]++;
	worker_slot(w, now)->failed++;
	connection_enter(w, c, CONNECTION_FAILING);
	connection_finish(w, c, now);
}

/* ---- TLS ---- */

/* Let out what TLS has to say; while a send is on its way it gathers. */
static void
connection_flush(struct worker *w, struct connection *c)
{
	struct span output;

	if (c->send_in_flight)
		return;
	output = tlsclient_take_output(c->tls);
	if (output.length > 0)
		connection_send(w, c, output, true);
}

static void connection_ask(struct worker *w, struct connection *c, uint64_t now);

static void
connection_note_handshake(struct worker *w, struct connection *c, uint64_t now)
{
	struct tally *t = &w->tally;

	t->handshakes++;
	t->resumed += tlsclient_was_resumed(c->tls);
	if (t->tls[0] == '\0')
		tlsclient_describe(c->tls, t->tls, sizeof(t->tls));
	histogram_add(&t->latency[MIX_TLS], now - c->shook_at);
}

/* One step of the handshake; false: it failed, and the session with it. */
static bool
connection_shake(struct worker *w, struct connection *c, uint64_t now)
{
	int done = tlsclient_handshake(c->tls);

	connection_flush(w, c);
	if (done < 0) {
		connection_fail(w, c, CLIENT_FAULT_TLS, now);
		return false;
	}
	if (done == 0)
		return true;
	c->shaking = false;
	connection_note_handshake(w, c, now);
	connection_ask(w, c, now); /* nothing yet where the greeting is still to come */
	return c->state != CONNECTION_FAILING;
}

static bool
connection_begin_tls(struct worker *w, struct connection *c, uint64_t now)
{
	c->tls = tlsclient_make(w->tls);
	if (c->tls == NULL) {
		w->error = -ENOMEM;
		connection_fail(w, c, CLIENT_FAULT_TLS, now);
		return false;
	}
	c->shaking = true;
	c->shook_at = now;
	return connection_shake(w, c, now);
}

/* ---- commands ---- */

/* Send the next piece of a message; by TLS only when the one before is out. */
static void
connection_pump(struct worker *w, struct connection *c, uint64_t now)
{
	struct span piece = c->message;

	if (c->send_in_flight || piece.length == 0)
		return;
	if (c->tls == NULL) {
		c->message = span_of(NULL, 0);
		connection_send(w, c, piece, true);
		return;
	}
	if (piece.length > MESSAGE_PIECE_OCTETS)
		piece.length = MESSAGE_PIECE_OCTETS;
	c->message = span_after(c->message, piece.length);
	if (tlsclient_write(c->tls, piece) != 0)
		connection_fail(w, c, CLIENT_FAULT_TLS, now);
	else
		connection_flush(w, c);
}

/* Send what may be asked now. */
static void
connection_ask(struct worker *w, struct connection *c, uint64_t now)
{
	unsigned depth = w->plan->depth, count;
	size_t length = client_commands(
		&c->client, c->commands, (size_t)depth * CLIENT_COMMAND_OCTETS, depth, &count);
	struct span commands = span_of(c->commands, length);

	for (unsigned i = 0; i < count; i++)
		c->asked_at[c->asked++ % depth] = now;
	if (count > 0 && length == 0) {
		c->message = client_message(&c->client);
		w->tally.octets += c->message.length;
		worker_slot(w, now)->octets += c->message.length;
		connection_pump(w, c, now);
	} else if (length > 0 && c->tls == NULL) {
		connection_send(w, c, commands, false);
	} else if (length > 0) {
		if (tlsclient_write(c->tls, commands) != 0)
			connection_fail(w, c, CLIENT_FAULT_TLS, now);
		else
			connection_flush(w, c);
	}
}

void
connection_release(struct worker *w, struct connection *c, uint64_t now)
{
	connection_enter(w, c, CONNECTION_TALKING);
	c->heard_at = now;
	connection_ask(w, c, now);
}

/* ---- completions ---- */

/* A reply is complete and right; false: the session is over. */
static bool
connection_take_reply(struct worker *w, struct connection *c, enum mix_verb verb,
	enum client_next next, uint64_t now)
{
	histogram_add(&w->tally.latency[verb], now - c->asked_at[c->heard++ % w->plan->depth]);
	switch (next) {
	case CLIENT_COMMAND:
	case CLIENT_MORE:
	case CLIENT_WRONG:
		break;
	case CLIENT_SECURE:
		return connection_begin_tls(w, c, now);
	case CLIENT_HOLD:
		connection_enter(w, c, CONNECTION_HOLDING);
		worker_fill(w, now);
		break;
	case CLIENT_BYE:
		connection_enter(w, c, CONNECTION_PARTING);
		break;
	}
	return true;
}

/* What the server said, in clear; false: the session is over. */
static bool
connection_hear(struct worker *w, struct connection *c, struct span input, uint64_t now)
{
	while (input.length > 0) {
		enum mix_verb verb = client_verb(&c->client);
		enum client_next next = client_feed(&c->client, &input);

		if (next == CLIENT_MORE)
			break;
		if (next == CLIENT_WRONG) {
			connection_fail(w, c, c->client.fault, now);
			return false;
		}
		if (!connection_take_reply(w, c, verb, next, now))
			return false;
	}
	if (c->state == CONNECTION_TALKING && !c->shaking)
		connection_ask(w, c, now);
	return c->state != CONNECTION_FAILING;
}

/* The same out of TLS records. */
static bool
connection_decrypt(struct worker *w, struct connection *c, struct span input, uint64_t now)
{
	ssize_t length;

	tlsclient_take(c->tls, input);
	if (c->shaking && !connection_shake(w, c, now))
		return false;
	while (!c->shaking && (length = tlsclient_read(c->tls, w->plain, PLAIN_OCTETS)) != 0) {
		if (length == -EPIPE && c->state == CONNECTION_PARTING)
			return true;
		if (length < 0) {
			connection_fail(w, c,
				length == -EPIPE ? CLIENT_FAULT_CLOSED : CLIENT_FAULT_TLS, now);
			return false;
		}
		if (!connection_hear(w, c, span_of(w->plain, (size_t)length), now))
			return false;
	}
	return true;
}

static void
connection_ended(struct worker *w, struct connection *c, int result, uint64_t now)
{
	if (c->state == CONNECTION_PARTING && result == 0)
		connection_succeed(w, c, now);
	else if (result == -ECANCELED && c->connect_in_flight)
		connection_fail(w, c, CLIENT_FAULT_CONNECT, now);
	else
		connection_fail(w, c, CLIENT_FAULT_CLOSED, now);
}

static void
connection_received(struct worker *w, struct connection *c, int result, const char *octets,
	bool discarded, uint64_t now)
{
	unsigned heard = c->heard;
	struct span input;
	bool goes_on = true;

	c->receive_in_flight = false;
	if (c->state == CONNECTION_FAILING) {
		connection_finish(w, c, now);
		return;
	}
	if (result == -ENOBUFS) {
		connection_receive(w, c, false);
		return;
	}
	if (result <= 0) {
		connection_ended(w, c, result, now);
		return;
	}
	c->heard_at = now;
	w->tally.octets += (uint64_t)result;
	worker_slot(w, now)->octets += (uint64_t)result;
	input = span_of(octets, (size_t)result);
	if (discarded)
		client_discarded(&c->client, input.length);
	else if (c->tls != NULL)
		goes_on = connection_decrypt(w, c, input, now);
	else
		goes_on = connection_hear(w, c, input, now);
	/* The answer, the end, or whatever should not come while we hold. */
	if (goes_on)
		connection_receive(w, c, c->heard != heard);
}

static void
connection_connected(struct worker *w, struct connection *c, int result, uint64_t now)
{
	c->connect_in_flight = false;
	if (c->state == CONNECTION_FAILING)
		connection_finish(w, c, now);
	else if (result < 0)
		connection_fail(w, c, CLIENT_FAULT_CONNECT, now);
	else if (w->plan->tls == PLAN_IMPLICIT)
		connection_begin_tls(w, c, now);
}

/* A failure is told by the receive too. */
static void
connection_sent(struct worker *w, struct connection *c, int result, uint64_t now)
{
	c->send_in_flight = false;
	c->heard_at = now;
	if (c->state == CONNECTION_FAILING) {
		connection_finish(w, c, now);
		return;
	}
	if (result < 0)
		return;
	if (c->tls != NULL)
		connection_flush(w, c);
	connection_pump(w, c, now);
}

void
connection_completed(
	struct worker *w, const struct io_uring_cqe *cqe, const char *octets, uint64_t now)
{
	uint64_t data = io_uring_cqe_get_data64(cqe);
	struct connection *c = &w->connections[data >> 40];

	if (c->generation != (uint32_t)(data >> 8))
		return;
	switch ((enum op_kind)(data & 0xff)) {
	case OP_CONNECT:
		connection_connected(w, c, cqe->res, now);
		break;
	case OP_RECEIVE:
		connection_received(w, c, cqe->res, octets, false, now);
		break;
	case OP_DISCARD:
		connection_received(w, c, cqe->res, NULL, true, now);
		break;
	case OP_SEND_WATCHED:
		connection_sent(w, c, cqe->res, now);
		break;
	case OP_SEND: /* the receive learns of it too */
	case OP_CANCEL:
		break;
	}
}
