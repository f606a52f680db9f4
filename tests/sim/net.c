/*
 * net.c - see net.h.
 *
 * Connections and listening sockets stay until the world is over, for events may name them.
 */
#include "tests/sim/net.h"

#include "tests/sim/files.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>

#define LATENCY_NS    (200u * SIM_US)
#define DARK_NS       (20u * (uint64_t)SIM_S)
#define WINDOW_MIN    2048u
#define WINDOW_SPREAD 200000u
#define BACKLOG_MAX   512u

struct stream {
	char *octets; /* a ring of `window` */
	size_t window;
	size_t head;
	size_t length;  /* unread, on their way included */
	size_t arrived; /* unread and here */
	bool ended;     /* the writer has nothing more to say */
	bool end_arrived;
};

struct net_conn {
	struct net_conn *next; /* of all */
	struct net_conn *next_waiting;
	struct stream in;  /* to the server */
	struct stream out; /* to the guest */
	struct list waiters;
	struct fiber *guest; /* waits for a change */
	unsigned address;
	unsigned port;
	bool server_has_closed;
	bool guest_has_left;
	bool server_is_reset; /* and has been told */
	bool guest_is_reset;
};

struct net_listener {
	struct net_listener *next;
	unsigned port;
	bool is_open;
	struct list waiters;
	struct net_conn *first; /* to be accepted */
	struct net_conn **last;
	unsigned waiting;
};

static struct net_conn *conns;
static struct net_listener *listeners;
static bool is_dark;

/* ---- streams ------------------------------------------------------------------------------- */

static void
stream_init(struct stream *s)
{
	s->window = WINDOW_MIN + (sim_chance(4) ? sim_below(64) : sim_below(WINDOW_SPREAD));
	s->octets = sim_allocate(s->window);
}

static size_t
stream_put(struct stream *s, struct span octets)
{
	size_t room = s->window - s->length;
	size_t count = octets.length < room ? octets.length : room;
	size_t at = (s->head + s->length) % s->window;
	size_t first = s->window - at < count ? s->window - at : count;

	if (count == 0)
		return 0;
	memcpy(s->octets + at, octets.at, first);
	memcpy(s->octets, octets.at + first, count - first);
	s->length += count;
	return count;
}

static size_t
stream_take(struct stream *s, char *to, size_t size)
{
	size_t count = size < s->arrived ? size : s->arrived;
	size_t first = s->window - s->head < count ? s->window - s->head : count;

	if (count == 0)
		return 0;
	memcpy(to, s->octets + s->head, first);
	memcpy(to + first, s->octets, count - first);
	s->head = (s->head + count) % s->window;
	s->length -= count;
	s->arrived -= count;
	return count;
}

/* ---- changes ------------------------------------------------------------------------------- */

static void
tell(struct list *waiters)
{
	for (struct list *i = waiters->next, *next; i != waiters; i = next) {
		struct net_waiter *w = container_of(i, struct net_waiter, item);

		next = i->next;
		w->changed(w);
	}
}

static void
tell_guest(struct net_conn *c)
{
	if (c->guest != NULL)
		fiber_wake(c->guest);
}

static void
arrive_at_server(void *ctx, uint64_t count)
{
	struct net_conn *c = ctx;

	c->in.arrived += count;
	if (count == 0)
		c->in.end_arrived = true;
	tell(&c->waiters);
}

static void
arrive_at_guest(void *ctx, uint64_t count)
{
	struct net_conn *c = ctx;

	c->out.arrived += count;
	if (count == 0)
		c->out.end_arrived = true;
	tell_guest(c);
}

static void
reset_arrives_at_server(void *ctx, uint64_t number)
{
	struct net_conn *c = ctx;

	(void)number;
	c->server_is_reset = true;
	tell(&c->waiters);
}

static void
reset_arrives_at_guest(void *ctx, uint64_t number)
{
	struct net_conn *c = ctx;

	(void)number;
	c->guest_is_reset = true;
	tell_guest(c);
}

static uint64_t
latency(void)
{
	return sim_below(LATENCY_NS);
}

/* Octets arrive in up to three pieces, and never before those that were sent earlier: what counts
 * is how many have arrived, not which. */
static void
send_off(struct net_conn *c, size_t count, void (*arrive)(void *ctx, uint64_t number))
{
	while (count > 0) {
		size_t piece = sim_chance(3) ? 1 + sim_below((uint32_t)count) : count;

		sim_later(latency(), NULL, arrive, c, piece);
		count -= piece;
	}
}

/* ---- the server's end ---------------------------------------------------------------------- */

static void
end_of_server(struct net_conn *c)
{
	if (is_dark)
		sim_later(sim_below(UINT32_MAX) % DARK_NS, NULL, reset_arrives_at_guest, c, 0);
	else if (c->in.length > 0)
		sim_later(latency(), NULL, reset_arrives_at_guest, c, 0);
	else if (!c->out.ended)
		sim_later(LATENCY_NS, NULL, arrive_at_guest, c, 0);
	c->out.ended = true;
}

static void
conn_closed(void *what)
{
	struct net_conn *c = what;

	c->server_has_closed = true;
	list_init(&c->waiters);
	end_of_server(c);
}

static void
listener_closed(void *what)
{
	struct net_listener *l = what;

	l->is_open = false;
	list_init(&l->waiters);
	for (; l->first != NULL; l->first = l->first->next_waiting) {
		l->first->server_has_closed = true;
		sim_later(latency(), NULL, reset_arrives_at_guest, l->first, 0);
	}
}

int
net_listen(unsigned port)
{
	struct net_listener *l = sim_allocate(sizeof(*l));

	*l = (struct net_listener){ .next = listeners, .port = port, .is_open = true };
	l->last = &l->first;
	list_init(&l->waiters);
	listeners = l;
	return files_add(FILE_LISTENER, l, listener_closed);
}

struct net_listener *
net_listener_of(int fd)
{
	return files_get(fd, FILE_LISTENER);
}

int
net_accept(struct net_listener *l)
{
	struct net_conn *c = l->first;

	if (c == NULL)
		return -EAGAIN;
	l->first = c->next_waiting;
	if (l->first == NULL)
		l->last = &l->first;
	l->waiting--;
	return files_add(FILE_SOCKET, c, conn_closed);
}

static struct net_conn *
conn_of(int fd)
{
	return files_get(fd, FILE_SOCKET);
}

ssize_t
net_receive(int fd, void *to, size_t size)
{
	struct net_conn *c = conn_of(fd);

	if (c->in.arrived > 0 && (!c->server_is_reset || sim_chance(2))) {
		size_t count = stream_take(&c->in, to, size);

		tell_guest(c);
		return (ssize_t)count;
	}
	if (c->server_is_reset)
		return -ECONNRESET;
	return c->in.end_arrived && c->in.length == 0 ? 0 : -EAGAIN;
}

bool
net_has_more(int fd)
{
	return conn_of(fd)->in.arrived > 0;
}

ssize_t
net_send(int fd, struct span octets)
{
	struct net_conn *c = conn_of(fd);
	size_t count;

	if (c->server_is_reset)
		return sim_chance(2) ? -EPIPE : -ECONNRESET;
	must(!c->out.ended);
	if (c->guest_has_left) { /* it goes out, and a reset comes back */
		sim_later(latency(), NULL, reset_arrives_at_server, c, 0);
		return (ssize_t)octets.length;
	}
	count = stream_put(&c->out, octets);
	send_off(c, count, arrive_at_guest);
	return count > 0 ? (ssize_t)count : -EAGAIN;
}

bool
net_can_send(int fd)
{
	const struct net_conn *c = conn_of(fd);

	return c->server_is_reset || c->guest_has_left || c->out.window - c->out.length >= 1024;
}

void
net_shut_server(int fd)
{
	struct net_conn *c = conn_of(fd);

	if (!c->out.ended)
		sim_later(LATENCY_NS, NULL, arrive_at_guest, c, 0);
	c->out.ended = true;
}

void
net_close(int fd)
{
	enum file_kind kind = files_kind(fd);

	if (kind == FILE_SOCKET && !list_is_empty(&conn_of(fd)->waiters))
		sim_violation("descriptor %d is closed with an operation in flight", fd);
	files_close(fd, kind);
}

int
net_peer(int fd, struct sockaddr_storage *peer_out)
{
	const struct net_conn *c = conn_of(fd);
	struct sockaddr_in *in = (struct sockaddr_in *)peer_out;

	if (c->server_is_reset)
		return -ENOTCONN;
	*in = (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(0x0A000000u + c->address),
		.sin_port = htons(40000),
	};
	return 0;
}

void
net_watch(int fd, struct net_waiter *w)
{
	list_append(&conn_of(fd)->waiters, &w->item);
}

void
net_watch_listener(struct net_listener *l, struct net_waiter *w)
{
	list_append(&l->waiters, &w->item);
}

/* ---- the guest's end ----------------------------------------------------------------------- */

static struct net_listener *
choose_listener(unsigned port)
{
	unsigned count = 0;
	struct net_listener *chosen = NULL;

	for (struct net_listener *l = listeners; l != NULL; l = l->next)
		if (l->is_open && l->port == port && l->waiting < BACKLOG_MAX &&
			sim_chance(++count))
			chosen = l;
	return chosen;
}

static void
reach_listener(void *ctx, uint64_t number)
{
	struct net_listener *l = ctx;

	(void)number;
	tell(&l->waiters);
}

struct net_conn *
net_connect(unsigned port, unsigned address)
{
	struct net_listener *l = choose_listener(port);
	struct net_conn *c;

	if (l == NULL)
		return NULL;
	c = sim_allocate(sizeof(*c));
	*c = (struct net_conn){ .next = conns, .address = address, .port = port };
	conns = c;
	stream_init(&c->in);
	stream_init(&c->out);
	list_init(&c->waiters);
	*l->last = c;
	l->last = &c->next_waiting;
	l->waiting++;
	sim_later(latency(), NULL, reach_listener, l, 0);
	return c;
}

size_t
net_write(struct net_conn *c, struct span octets)
{
	size_t count;

	must(!c->in.ended);
	if (c->guest_is_reset)
		return octets.length;
	if (c->server_has_closed) {
		sim_later(latency(), NULL, reset_arrives_at_guest, c, 0);
		return octets.length;
	}
	count = stream_put(&c->in, octets);
	send_off(c, count, arrive_at_server);
	return count;
}

size_t
net_read(struct net_conn *c, void *to, size_t size)
{
	size_t count = stream_take(&c->out, to, size);

	if (count > 0)
		tell(&c->waiters);
	return count;
}

enum net_state
net_state(const struct net_conn *c)
{
	if (c->guest_is_reset)
		return NET_RESET;
	return c->out.end_arrived && c->out.length == 0 ? NET_ENDED : NET_OPEN;
}

void
net_shut(struct net_conn *c)
{
	if (!c->in.ended)
		sim_later(LATENCY_NS, NULL, arrive_at_server, c, 0);
	c->in.ended = true;
}

void
net_reset(struct net_conn *c)
{
	c->guest_has_left = true;
	c->guest = NULL;
	sim_later(latency(), NULL, reset_arrives_at_server, c, 0);
}

void
net_leave(struct net_conn *c)
{
	if (c->out.length > 0) {
		net_reset(c);
		return;
	}
	c->guest_has_left = true;
	c->guest = NULL;
	net_shut(c);
}

void
net_wait(struct net_conn *c, uint64_t ns)
{
	c->guest = fiber_self();
	fiber_wait(ns);
	c->guest = NULL;
}

/* ---- the whole ----------------------------------------------------------------------------- */

void
net_go_dark(bool dark)
{
	is_dark = dark;
}

void
net_forget_world(void)
{
	while (conns != NULL) {
		struct net_conn *c = conns;

		conns = c->next;
		sim_free(c->in.octets);
		sim_free(c->out.octets);
		sim_free(c);
	}
	while (listeners != NULL) {
		struct net_listener *l = listeners;

		listeners = l->next;
		sim_free(l);
	}
}
