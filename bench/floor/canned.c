/*
 * canned.c - a POP3 server of fixed replies: the floor for the mixes login, poll, churn and idle.
 *
 * Two engines serve the same dialogue, so that what io_uring gains is measured and not claimed:
 *   ring   multishot accept, single receive with provided buffers, direct send(2) and close(2)
 *   epoll  edge-triggered, accept4, recv, send
 * Each thread is a server of its own with its own listener (SO_REUSEPORT).
 * It serves clients that read what they asked for: one whose socket does not take a whole reply is
 * closed, and the number of these is shown at the end.
 * Ownership: a connection is its descriptor and one entry of its thread's table of lines.
 */
#include "bench/floor/dialogue.h"
#include "bench/floor/net.h"

#include <getopt.h>
#include <liburing.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/mman.h>

enum {
	RING_ENTRIES = 1024,
	RING_COMPLETIONS = 16384,
	BUFFER_COUNT = 1024, /* a power of two */
	BUFFER_OCTETS = 2048,
	BUFFER_GROUP = 0,
};

struct options {
	const char *address;
	uint16_t port;
	bool epoll;
	unsigned threads;
	int cpu; /* of the first thread, the next ones follow; -1: not pinned */
	unsigned messages;
	uint64_t octets;
};

struct server {
	const struct options *options;
	const struct dialogue *dialogue;
	unsigned index;
	pthread_t thread;

	int listen_fd;
	struct dialogue_line *lines; /* by descriptor */
	struct dialogue_output output;

	struct io_uring ring;
	struct io_uring_buf_ring *buffers;
	char *buffer_memory;
	char input[BUFFER_OCTETS];
};

static atomic_ulong slow_clients;

/* Send all of the output or give the client up; false: it is to be closed. */
static bool
server_send(struct server *s, int fd)
{
	size_t length = s->output.length;
	ssize_t sent = send(fd, s->output.at, length, MSG_NOSIGNAL);

	s->output.length = 0;
	if (sent >= 0 && (size_t)sent < length)
		atomic_fetch_add(&slow_clients, 1);
	return sent == (ssize_t)length;
}

static bool
server_greet(struct server *s, int fd)
{
	s->lines[fd] = (struct dialogue_line){ 0 };
	dialogue_put(&s->output, DIALOGUE_GREETING);
	return server_send(s, fd);
}

/* Answer one receive; false: the connection is to be closed. */
static bool
server_answer(struct server *s, int fd, struct span input)
{
	enum dialogue_next next = DIALOGUE_LINE;
	size_t used;

	while (input.length > 0 && next != DIALOGUE_QUIT) {
		next = dialogue_feed(s->dialogue, &s->lines[fd], input, &s->output, &used);
		input = span_after(input, used);
		if (next == DIALOGUE_RETR)
			dialogue_put(&s->output, SPAN("-ERR no mail here, ask the sender\r\n"));
		if (next == DIALOGUE_FULL && !server_send(s, fd))
			return false;
	}
	if (s->output.length > 0 && !server_send(s, fd))
		return false;
	return next != DIALOGUE_QUIT;
}

/* ---- the ring ---- */

enum {
	OP_ACCEPT,
	OP_RECV
};

static struct io_uring_sqe *
ring_sqe(struct server *s)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);

	if (sqe == NULL) {
		io_uring_submit(&s->ring);
		sqe = io_uring_get_sqe(&s->ring);
		must(sqe != NULL);
	}
	return sqe;
}

static void
ring_arm_accept(struct server *s)
{
	struct io_uring_sqe *sqe = ring_sqe(s);

	io_uring_prep_multishot_accept(sqe, s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	io_uring_sqe_set_data64(sqe, OP_ACCEPT);
}

/* The client's next line cannot be there yet: poll first, do not try to receive. */
static void
ring_arm_receive(struct server *s, int fd)
{
	struct io_uring_sqe *sqe = ring_sqe(s);

	io_uring_prep_recv(sqe, fd, NULL, 0, 0);
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	io_uring_sqe_set_data64(sqe, (uint64_t)fd << 8 | OP_RECV);
}

static void
ring_give_buffer(struct server *s, unsigned id)
{
	io_uring_buf_ring_add(s->buffers, s->buffer_memory + (size_t)id * BUFFER_OCTETS,
		BUFFER_OCTETS, (unsigned short)id, io_uring_buf_ring_mask(BUFFER_COUNT), 0);
	io_uring_buf_ring_advance(s->buffers, 1);
}

static void
ring_make(struct server *s)
{
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
			IORING_SETUP_CQSIZE,
		.cq_entries = RING_COMPLETIONS,
	};
	struct io_uring_buf_reg reg = { .ring_entries = BUFFER_COUNT, .bgid = BUFFER_GROUP };
	size_t size = BUFFER_COUNT * sizeof(struct io_uring_buf);
	int error = io_uring_queue_init_params(RING_ENTRIES, &s->ring, &params);

	if (error < 0)
		net_die("io_uring", -error);
	s->buffers = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (s->buffers == MAP_FAILED)
		net_die("mmap", errno);
	io_uring_buf_ring_init(s->buffers);
	reg.ring_addr = (uint64_t)(uintptr_t)s->buffers;
	error = io_uring_register_buf_ring(&s->ring, &reg, 0);
	if (error < 0)
		net_die("io_uring buffers", -error);
	s->buffer_memory = malloc((size_t)BUFFER_COUNT * BUFFER_OCTETS);
	must(s->buffer_memory != NULL);
	for (unsigned id = 0; id < BUFFER_COUNT; id++)
		ring_give_buffer(s, id);
}

static void
ring_accepted(struct server *s, const struct io_uring_cqe *cqe)
{
	if (cqe->res >= 0) {
		if (server_greet(s, cqe->res))
			ring_arm_receive(s, cqe->res);
		else
			close(cqe->res);
	}
	if (!(cqe->flags & IORING_CQE_F_MORE))
		ring_arm_accept(s);
}

static void
ring_received(struct server *s, const struct io_uring_cqe *cqe)
{
	int fd = (int)(io_uring_cqe_get_data64(cqe) >> 8);
	bool stays = cqe->res == -ENOBUFS;

	if (cqe->flags & IORING_CQE_F_BUFFER) {
		unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

		if (cqe->res > 0)
			stays = server_answer(s, fd,
				span_of(s->buffer_memory + (size_t)id * BUFFER_OCTETS,
					(size_t)cqe->res));
		ring_give_buffer(s, id);
	}
	if (stays)
		ring_arm_receive(s, fd);
	else
		close(fd);
}

static void
ring_serve(struct server *s)
{
	struct io_uring_cqe *cqe;
	unsigned head, count;

	ring_make(s);
	ring_arm_accept(s);
	for (;;) {
		int error = io_uring_submit_and_wait(&s->ring, 1);

		if (error < 0 && error != -EINTR)
			net_die("io_uring wait", -error);
		count = 0;
		io_uring_for_each_cqe(&s->ring, head, cqe)
		{
			if ((io_uring_cqe_get_data64(cqe) & 0xff) == OP_ACCEPT)
				ring_accepted(s, cqe);
			else
				ring_received(s, cqe);
			count++;
		}
		io_uring_cq_advance(&s->ring, count);
	}
}

/* ---- epoll ---- */

static void
epoll_accept(struct server *s, int epoll_fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int fd;

	while ((fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		event.data.fd = fd;
		if (!server_greet(s, fd) || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			close(fd);
	}
}

/* Edge-triggered: a receive that did not fill the buffer has taken all there was. */
static void
epoll_received(struct server *s, int fd)
{
	ssize_t got;

	do {
		got = recv(fd, s->input, sizeof(s->input), 0);
		if (got < 0 && errno == EAGAIN)
			return;
		if (got <= 0 || !server_answer(s, fd, span_of(s->input, (size_t)got))) {
			close(fd);
			return;
		}
	} while (got == (ssize_t)sizeof(s->input));
}

static void
epoll_serve(struct server *s)
{
	struct epoll_event events[256], listening = { .events = EPOLLIN };
	int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

	listening.data.fd = s->listen_fd;
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &listening) < 0)
		net_die("epoll", errno);
	for (;;) {
		int count = epoll_wait(epoll_fd, events, array_count(events), -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == s->listen_fd)
				epoll_accept(s, epoll_fd);
			else
				epoll_received(s, events[i].data.fd);
		}
	}
}

/* ---- threads ---- */

static void *
server_run(void *arg)
{
	struct server *s = arg;

	if (s->options->cpu >= 0)
		net_pin(s->options->cpu + (int)s->index);
	if (s->options->epoll)
		epoll_serve(s);
	else
		ring_serve(s);
	return NULL;
}

static void
server_start(
	struct server *s, const struct options *o, const struct dialogue *d, size_t descriptors)
{
	s->options = o;
	s->dialogue = d;
	s->listen_fd = net_listen(o->address, o->port);
	s->lines = calloc(descriptors, sizeof(*s->lines));
	must(s->lines != NULL);
	dialogue_output_make(&s->output, d);
	if (pthread_create(&s->thread, NULL, server_run, s) != 0)
		net_die("thread", EAGAIN);
}

static void __attribute__((noreturn)) usage(FILE *to, int code)
{
	fputs("usage: canned [--engine ring|epoll] [--address A] [--port P] [--threads N]\n"
	      "              [--cpu N] [--messages N] [--size OCTETS]\n"
	      "A POP3 server of fixed replies: the floor for login, poll, churn and idle.\n",
		to);
	exit(code);
}

static struct options
options_read(int argc, char **argv)
{
	struct options o = { "127.0.0.1", 1210, false, 1, -1, 50, 2048 };
	static const struct option names[] = {
		{ "engine", required_argument, NULL, 'e' },
		{ "address", required_argument, NULL, 'a' },
		{ "port", required_argument, NULL, 'p' },
		{ "threads", required_argument, NULL, 't' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "messages", required_argument, NULL, 'm' },
		{ "size", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'e':
			o.epoll = strcmp(optarg, "epoll") == 0;
			if (!o.epoll && strcmp(optarg, "ring") != 0)
				usage(stderr, 64);
			break;
		case 'a':
			o.address = optarg;
			break;
		case 'p':
			o.port = (uint16_t)atoi(optarg);
			break;
		case 't':
			o.threads = (unsigned)atoi(optarg);
			break;
		case 'c':
			o.cpu = atoi(optarg);
			break;
		case 'm':
			o.messages = (unsigned)atoi(optarg);
			break;
		case 's':
			o.octets = strtoull(optarg, NULL, 10);
			break;
		case 'h':
			usage(stdout, 0);
		default:
			usage(stderr, 64);
		}
	}
	return o;
}

int
main(int argc, char **argv)
{
	struct options o = options_read(argc, argv);
	size_t descriptors = net_raise_descriptors();
	struct server *servers = calloc(o.threads, sizeof(*servers));
	static struct dialogue d;
	sigset_t ending;
	int signal_number;

	must(servers != NULL);
	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ending, NULL);

	dialogue_build(&d, o.messages, o.octets);
	for (unsigned i = 0; i < o.threads; i++) {
		servers[i].index = i;
		server_start(&servers[i], &o, &d, descriptors);
	}
	sigwait(&ending, &signal_number);
	if (atomic_load(&slow_clients) > 0)
		fprintf(stderr, "floor: %lu clients closed because they did not read\n",
			atomic_load(&slow_clients));
	return 0;
}
