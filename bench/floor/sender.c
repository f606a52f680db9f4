/*
 * sender.c - a bare sendfile(2) loop behind the canned dialogue: the floor for the mix fetch.
 *
 * RETR n streams span n of one file, in which status line, message and end line stand as they go on
 * the wire, by non-blocking sendfile under edge-triggered epoll.  Nothing else is done with it.
 * The file holds `drops` maildrops of `messages` each, so that the memory walked through is as
 * large as the measured server's; connections take the maildrops in turn. Invariants
 *   1. While a message is on its way no further line is read, so replies keep their order.
 *   2. Edges are not lost: one that comes while a message is on its way is remembered, and a socket
 *      that was readable stays so until a receive comes back short.
 * Ownership: a connection is its descriptor and one entry of its thread's table; the file is
 * shared.
 */
#include "bench/floor/dialogue.h"
#include "bench/floor/net.h"

#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>

enum {
	INPUT_OCTETS = 512,
	LINE_OCTETS = 76
};

struct options {
	const char *address, *directory;
	uint16_t port;
	unsigned threads, messages, drops;
	int cpu; /* of the first thread, the next ones follow; -1: not pinned */
	uint64_t octets;
};

/* The prebuilt file. */
struct mail {
	int fd;
	unsigned messages, drops;
	uint64_t span_octets;
};

struct connection {
	struct dialogue_line line;
	unsigned drop;
	off_t offset; /* of the span on its way */
	uint64_t left;
	bool readable; /* an edge said so, and no receive has come back short since */
	unsigned input_at, input_length;
	char input[INPUT_OCTETS];
};

struct server {
	const struct options *options;
	const struct dialogue *dialogue;
	const struct mail *mail;
	unsigned index, accepted;
	pthread_t thread;
	int listen_fd, epoll_fd;
	struct connection **connections; /* by descriptor; made at the first use, kept */
	struct dialogue_output output;
};

/* ---- the file ---- */

/* Status line, lines of 76 letters up to exactly `octets`, end line. */
static char *
mail_make_span(uint64_t octets, uint64_t *length_out)
{
	char *span = malloc(octets + 64), *at;
	uint64_t left = octets;

	must(span != NULL);
	at = span + sprintf(span, "+OK %llu octets\r\n", (unsigned long long)octets);
	while (left > 0) {
		uint64_t line = left < LINE_OCTETS + 4 ? left : LINE_OCTETS + 2;

		memset(at, 'a', line - 2);
		memcpy(at + line - 2, "\r\n", 2);
		at += line;
		left -= line;
	}
	memcpy(at, ".\r\n", 3);
	*length_out = (uint64_t)(at + 3 - span);
	return span;
}

static void
mail_build(struct mail *m, const struct options *o)
{
	char *span = mail_make_span(o->octets, &m->span_octets);
	uint64_t count = (uint64_t)o->messages * o->drops;

	m->messages = o->messages;
	m->drops = o->drops;
	m->fd = open(o->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (m->fd < 0)
		net_die(o->directory, errno);
	for (uint64_t i = 0; i < count; i++) {
		if (write(m->fd, span, m->span_octets) != (ssize_t)m->span_octets)
			net_die("write", errno == 0 ? ENOSPC : errno);
	}
	free(span);
}

/* ---- a connection ---- */

enum step {
	STEP_WAIT,
	STEP_GO_ON,
	STEP_CLOSE
};

/* Send what is left of the span until the socket is full. */
static enum step
connection_stream(struct server *s, struct connection *c, int fd)
{
	while (c->left > 0) {
		ssize_t sent = sendfile(fd, s->mail->fd, &c->offset, c->left);

		if (sent < 0 && errno == EAGAIN)
			return STEP_WAIT;
		if (sent <= 0)
			return STEP_CLOSE;
		c->left -= (uint64_t)sent;
	}
	return STEP_GO_ON;
}

/* The short replies; a client that does not take them is closed. */
static enum step
connection_send(struct server *s, int fd)
{
	size_t length = s->output.length;

	s->output.length = 0;
	if (length > 0 && send(fd, s->output.at, length, MSG_NOSIGNAL) != (ssize_t)length)
		return STEP_CLOSE;
	return STEP_GO_ON;
}

/* Answer the input in hand up to the next message, whose span is then named. */
static enum step
connection_answer(struct server *s, struct connection *c, int fd)
{
	size_t used;
	enum dialogue_next next = dialogue_feed(s->dialogue, &c->line,
		span_of(c->input + c->input_at, c->input_length - c->input_at), &s->output, &used);
	uint64_t place;

	c->input_at += (unsigned)used;
	if (connection_send(s, fd) == STEP_CLOSE || next == DIALOGUE_QUIT)
		return STEP_CLOSE;
	if (next == DIALOGUE_RETR) {
		place = (uint64_t)c->drop * s->mail->messages + c->line.number - 1;
		c->offset = (off_t)(place * s->mail->span_octets);
		c->left = s->mail->span_octets;
	}
	return STEP_GO_ON;
}

static enum step
connection_receive(struct connection *c, int fd)
{
	ssize_t got;

	if (!c->readable)
		return STEP_WAIT;
	got = recv(fd, c->input, sizeof(c->input), 0);
	c->readable = got == (ssize_t)sizeof(c->input);
	if (got < 0 && errno == EAGAIN)
		return STEP_WAIT;
	if (got <= 0)
		return STEP_CLOSE;
	c->input_at = 0;
	c->input_length = (unsigned)got;
	return STEP_GO_ON;
}

static void
connection_run(struct server *s, int fd, bool readable)
{
	struct connection *c = s->connections[fd];
	enum step step = STEP_GO_ON;

	c->readable |= readable;
	while (step == STEP_GO_ON) {
		if (c->left > 0)
			step = connection_stream(s, c, fd);
		else if (c->input_at < c->input_length)
			step = connection_answer(s, c, fd);
		else
			step = connection_receive(c, fd);
	}
	if (step == STEP_CLOSE)
		close(fd);
}

/* ---- the loop ---- */

static void
server_accept(struct server *s)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET };
	int fd;

	while ((fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		if (s->connections[fd] == NULL)
			s->connections[fd] = malloc(sizeof(struct connection));
		must(s->connections[fd] != NULL);
		*s->connections[fd] = (struct connection){
			.drop = s->accepted++ % s->mail->drops,
		};
		dialogue_put(&s->output, DIALOGUE_GREETING);
		event.data.fd = fd;
		if (connection_send(s, fd) == STEP_CLOSE ||
			epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			close(fd);
	}
}

static void *
server_run(void *arg)
{
	struct server *s = arg;
	struct epoll_event events[256], listening = { .events = EPOLLIN };

	if (s->options->cpu >= 0)
		net_pin(s->options->cpu + (int)s->index);
	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	listening.data.fd = s->listen_fd;
	if (s->epoll_fd < 0 || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &listening) < 0)
		net_die("epoll", errno);
	for (;;) {
		int count = epoll_wait(s->epoll_fd, events, array_count(events), -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == s->listen_fd)
				server_accept(s);
			else
				connection_run(s, events[i].data.fd,
					(events[i].events & ~(uint32_t)EPOLLOUT) != 0);
		}
	}
	return NULL;
}

static void __attribute__((noreturn)) usage(FILE *to, int code)
{
	fputs("usage: sender [--address A] [--port P] [--threads N] [--cpu N]\n"
	      "              [--size OCTETS] [--messages N] [--drops N] [--directory DIR]\n"
	      "A POP3 server of canned replies whose RETR is a bare sendfile: the floor for fetch.\n"
	      "The mail is one unlinked file in DIR (/var/tmp), drops * messages * size large.\n",
		to);
	exit(code);
}

static struct options
options_read(int argc, char **argv)
{
	struct options o = { "127.0.0.1", "/var/tmp", 1220, 1, 50, 1, -1, 65536 };
	static const struct option names[] = {
		{ "address", required_argument, NULL, 'a' },
		{ "port", required_argument, NULL, 'p' },
		{ "threads", required_argument, NULL, 't' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "size", required_argument, NULL, 's' },
		{ "messages", required_argument, NULL, 'm' },
		{ "drops", required_argument, NULL, 'd' },
		{ "directory", required_argument, NULL, 'D' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
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
		case 's':
			o.octets = strtoull(optarg, NULL, 10);
			break;
		case 'm':
			o.messages = (unsigned)atoi(optarg);
			break;
		case 'd':
			o.drops = (unsigned)atoi(optarg);
			break;
		case 'D':
			o.directory = optarg;
			break;
		case 'h':
			usage(stdout, 0);
		default:
			usage(stderr, 64);
		}
	}
	if (o.octets < 2 || o.drops == 0)
		usage(stderr, 64);
	return o;
}

int
main(int argc, char **argv)
{
	struct options o = options_read(argc, argv);
	size_t descriptors = net_raise_descriptors();
	struct server *servers = calloc(o.threads, sizeof(*servers));
	static struct dialogue d;
	static struct mail mail;
	sigset_t ending;
	int signal_number;

	must(servers != NULL);
	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &ending, NULL);

	dialogue_build(&d, o.messages, o.octets);
	mail_build(&mail, &o);
	for (unsigned i = 0; i < o.threads; i++) {
		struct server *s = &servers[i];

		s->options = &o;
		s->dialogue = &d;
		s->mail = &mail;
		s->index = i;
		s->listen_fd = net_listen(o.address, o.port);
		s->connections = calloc(descriptors, sizeof(struct connection *));
		must(s->connections != NULL);
		dialogue_output_make(&s->output, &d);
		if (pthread_create(&s->thread, NULL, server_run, s) != 0)
			net_die("thread", EAGAIN);
	}
	sigwait(&ending, &signal_number);
	return 0;
}
