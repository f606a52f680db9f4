/*
 * send_paths.c - where a RETR's bytes go: from a file to a socket in every way there is.
 *
 *   build/release/bench/micro/send_paths [--json] [DIRECTORY]     (a file of 64 MiB below /var/tmp)
 *
 * A client thread on another core asks for a message with one octet and reads it to its end; the
 * server thread hears the question and sends the next message of the file.
 *
 * CPU  that of the whole process less the client's thread, io_uring's workers included, for each
 *      message.  The cost of the question (one recv) is in every figure alike.
 * warm The file lies in the page cache; 16 questions come at once, as on a busy server.
 * cold Before each message the file's pages are given up (outside of what is counted), so that it
 *      comes from the disk; questions come one by one.
 * stall The longest time that the thread could do nothing else, by the clock, the sending itself
 *      included: what a shard's other guests would wait.  A wait for the ring is none, so the ways
 *      that go by the ring alone have 0.
 *
 * The last row is io/outq.c itself.  The first lines say what it chose for each size on this
 * machine, as seen in its state after outq_flush().
 */
#include "bench/micro/micro.h"
#include "core/limits.h"
#include "io/base/must.h"
#include "io/outq.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILE_OCTETS   (64u << 20)
#define COPY_OCTETS   (256u << 10) /* of a buffer that is read into and sent from */
#define STATUS        "+OK 4194304 octets\r\n"
#define WARM_NS       150000000u /* of sending, for each size and way */
#define COLD_MESSAGES 24u
#define BURST         16u

static const uint64_t sizes[] = { 1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20,
	4 << 20 };

enum {
	SIZES = sizeof(sizes) / sizeof(*sizes)
};

struct stage {
	int socket; /* the server's end */
	int file;
	char *map;
	char *buffer;
	int pipe[2];
	struct loop loop; /* its ring is used by the ways that need one */
	struct outq outq;
	int outq_error;
	bool outq_moved;
	uint64_t stalled_ns; /* the longest of this figure */
};

struct client {
	int socket;
	_Atomic uint64_t octets; /* of each message; 0: end */
	_Atomic unsigned burst;  /* questions at once */
	pthread_barrier_t begin;
	pthread_t thread;
};

/* ---- the client ---------------------------------------------------------------------------- */

static void
pin_to(unsigned core)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(core % (unsigned)sysconf(_SC_NPROCESSORS_ONLN), &set);
	(void)pthread_setaffinity_np(pthread_self(), sizeof(set), &set);
}

static void
read_away(int socket, uint64_t octets)
{
	while (octets > 0) {
		ssize_t n = recv(socket, NULL, octets, MSG_TRUNC);

		must(n > 0);
		octets -= (uint64_t)n;
	}
}

/* Ask for a burst of messages and read them, until the server says with a lone "." that it was the
 * last. */
static void
ask_on(struct client *c)
{
	static const char questions[BURST] = { 'R' };
	char first;

	for (;;) {
		must(send(c->socket, questions, c->burst, MSG_NOSIGNAL) == c->burst);
		must(recv(c->socket, &first, 1, 0) == 1);
		if (first == '.')
			return;
		read_away(c->socket, c->octets * c->burst - 1);
	}
}

static void *
client_main(void *argument)
{
	struct client *c = argument;

	pin_to(1);
	for (;;) {
		pthread_barrier_wait(&c->begin);
		if (c->octets == 0)
			return NULL;
		ask_on(c);
	}
}

static uint64_t
server_cpu_ns(const struct client *c)
{
	clockid_t clients;

	must(pthread_getcpuclockid(c->thread, &clients) == 0);
	return clock_ns(CLOCK_PROCESS_CPUTIME_ID) - clock_ns(clients);
}

/* ---- the ways ------------------------------------------------------------------------------ */

static void
send_all(int socket, const char *at, uint64_t length, int flags)
{
	while (length > 0) {
		ssize_t n = send(socket, at, length, MSG_NOSIGNAL | flags);

		must(n > 0);
		at += n;
		length -= (uint64_t)n;
	}
}

static void
way_pread_send(struct stage *s, uint64_t offset, uint64_t length)
{
	while (length > 0) {
		size_t part = length < COPY_OCTETS ? length : COPY_OCTETS;

		must(pread(s->file, s->buffer, part, (off_t)offset) == (ssize_t)part);
		send_all(s->socket, s->buffer, part, 0);
		offset += part;
		length -= part;
	}
}

static void
way_mmap_send(struct stage *s, uint64_t offset, uint64_t length)
{
	send_all(s->socket, s->map + offset, length, 0);
}

static void
way_sendfile(struct stage *s, uint64_t offset, uint64_t length)
{
	off_t at = (off_t)offset;

	while (length > 0) {
		ssize_t n = sendfile(s->socket, s->file, &at, length);

		must(n > 0);
		length -= (uint64_t)n;
	}
}

static void
way_more_sendfile(struct stage *s, uint64_t offset, uint64_t length)
{
	send_all(s->socket, STATUS, sizeof(STATUS) - 1, MSG_MORE);
	way_sendfile(s, offset, length - (sizeof(STATUS) - 1));
}

static void
way_splice(struct stage *s, uint64_t offset, uint64_t length)
{
	off_t at = (off_t)offset;

	while (length > 0) {
		ssize_t in = splice(s->file, &at, s->pipe[1], NULL, length, SPLICE_F_MOVE);

		must(in > 0);
		length -= (uint64_t)in;
		while (in > 0) {
			ssize_t out = splice(s->pipe[0], NULL, s->socket, NULL, (size_t)in,
				SPLICE_F_MOVE | (length > 0 ? SPLICE_F_MORE : 0));

			must(out > 0);
			in -= out;
		}
	}
}

static struct io_uring_sqe *
next_sqe(struct stage *s)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->loop.ring.uring);

	must(sqe != NULL);
	return sqe;
}

/* Submit, wait for one completion, return its result; the flags tell of notifications to come. */
static int
run_one(struct stage *s, unsigned *flags_out)
{
	struct io_uring_cqe *cqe;
	int result;

	must(io_uring_submit_and_wait(&s->loop.ring.uring, 1) >= 0);
	must(io_uring_peek_cqe(&s->loop.ring.uring, &cqe) == 0);
	result = cqe->res;
	*flags_out = cqe->flags;
	io_uring_cqe_seen(&s->loop.ring.uring, cqe);
	return result;
}

static void
way_ring_splice(struct stage *s, uint64_t offset, uint64_t length)
{
	unsigned flags;

	while (length > 0) {
		int in;

		io_uring_prep_splice(
			next_sqe(s), s->file, (int64_t)offset, s->pipe[1], -1, (unsigned)length, 0);
		in = run_one(s, &flags);
		must(in > 0);
		offset += (uint64_t)in;
		length -= (uint64_t)in;
		while (in > 0) {
			int out;

			io_uring_prep_splice(next_sqe(s), s->pipe[0], -1, s->socket, -1,
				(unsigned)in, length > 0 ? SPLICE_F_MORE : 0);
			out = run_one(s, &flags);
			must(out > 0);
			in -= out;
		}
	}
}

static void
ring_send_all(struct stage *s, const char *at, size_t length)
{
	unsigned flags;

	io_uring_prep_send(next_sqe(s), s->socket, at, length, MSG_WAITALL | MSG_NOSIGNAL);
	must(run_one(s, &flags) == (int)length);
}

static void
way_ring_read_send(struct stage *s, uint64_t offset, uint64_t length)
{
	unsigned flags;

	while (length > 0) {
		unsigned part = length < COPY_OCTETS ? (unsigned)length : COPY_OCTETS;

		io_uring_prep_read(next_sqe(s), s->file, s->buffer, part, offset);
		must(run_one(s, &flags) == (int)part);
		ring_send_all(s, s->buffer, part);
		offset += part;
		length -= part;
	}
}

static void
way_zero_copy(struct stage *s, uint64_t offset, uint64_t length)
{
	while (length > 0) {
		unsigned flags;
		int n;

		io_uring_prep_send_zc(next_sqe(s), s->socket, s->map + offset, length,
			MSG_WAITALL | MSG_NOSIGNAL, 0);
		n = run_one(s, &flags);
		must(n > 0);
		if (flags & IORING_CQE_F_MORE) /* the kernel says when it has let go of the pages */
			must(run_one(s, &flags) >= 0 && (flags & IORING_CQE_F_NOTIF));
		offset += (uint64_t)n;
		length -= (uint64_t)n;
	}
}

static void
outq_has_moved(struct outq *q, int error)
{
	struct stage *s = container_of(q, struct stage, outq);

	s->outq_error = error;
	s->outq_moved = true;
}

static void
way_outq(struct stage *s, uint64_t offset, uint64_t length)
{
	uint64_t began = wall_ns();
	int left;

	segments_put_file(&s->outq.segments, s->file, offset, length);
	while ((left = outq_flush(&s->outq)) == -EINPROGRESS) {
		uint64_t stalled = wall_ns() - began;

		if (stalled > s->stalled_ns)
			s->stalled_ns = stalled;
		for (s->outq_moved = false; !s->outq_moved;)
			must(loop_turn(&s->loop, 1000) == 0);
		must(s->outq_error == 0);
		began = wall_ns();
	}
	must(left == 0);
}

struct way {
	const char *name;
	void (*send)(struct stage *s, uint64_t offset, uint64_t length);
	bool waits_on_ring; /* for the disk, while a shard goes on */
	bool non_blocking;  /* wants the socket so */
};

static const struct way ways[] = {
	{ "pread, send", way_pread_send, false, false },
	{ "ring read, ring send", way_ring_read_send, true, false },
	{ "send from mmap", way_mmap_send, false, false },
	{ "status line with MSG_MORE, sendfile", way_more_sendfile, false, false },
	{ "sendfile, status line stored", way_sendfile, false, false },
	{ "splice by a pipe", way_splice, false, false },
	{ "ring splice", way_ring_splice, true, false },
	{ "zero-copy send from mmap", way_zero_copy, false, false },
	{ "outq", way_outq, true, true },
};

enum {
	WAYS = sizeof(ways) / sizeof(*ways)
};

/* ---- measuring ----------------------------------------------------------------------------- */

static void
set_blocking(int socket, bool blocking)
{
	int flags = fcntl(socket, F_GETFL);

	must(fcntl(socket, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK) == 0);
}

/* On a socket that does not wait one more call is needed: it is in outq's figures. */
static void
hear_question(struct stage *s, const struct way *way)
{
	struct pollfd asked = { .fd = s->socket, .events = POLLIN };
	char question;

	if (way->non_blocking)
		must(poll(&asked, 1, -1) == 1);
	must(recv(s->socket, &question, 1, 0) == 1);
}

/* Give the file's pages up; those that are mapped would be kept. */
static void
make_cold(struct stage *s)
{
	must(madvise(s->map, FILE_OCTETS, MADV_DONTNEED) == 0);
	must(posix_fadvise(s->file, 0, 0, POSIX_FADV_DONTNEED) == 0);
}

static void
answer_one(struct stage *s, const struct way *way, uint64_t octets, uint64_t *offset)
{
	uint64_t stalled;

	hear_question(s, way);
	stalled = wall_ns();
	way->send(s, *offset, octets);
	stalled = wall_ns() - stalled;
	if (!way->waits_on_ring && stalled > s->stalled_ns)
		s->stalled_ns = stalled;
	*offset = *offset + 2 * octets > FILE_OCTETS ? 0 : *offset + octets;
}

/* Send messages until the time or the count is used up.  Returns CPU ns for each. */
static double
send_messages(struct stage *s, struct client *c, const struct way *way, uint64_t octets, bool cold)
{
	uint64_t offset = 0, messages = 0, cpu = 0, spent = 0;
	unsigned burst = cold ? 1 : BURST;

	c->octets = octets;
	c->burst = burst;
	s->stalled_ns = 0;
	set_blocking(s->socket, !way->non_blocking);
	pthread_barrier_wait(&c->begin);
	while (cold ? messages < COLD_MESSAGES : spent < WARM_NS) {
		uint64_t cpu_before, began;

		if (cold)
			make_cold(s);
		cpu_before = server_cpu_ns(c);
		began = wall_ns();
		for (unsigned i = 0; i < burst; i++)
			answer_one(s, way, octets, &offset);
		spent += wall_ns() - began;
		cpu += server_cpu_ns(c) - cpu_before;
		messages += burst;
	}
	for (unsigned i = 0; i < burst; i++)
		hear_question(s, way);
	send_all(s->socket, ".", 1, 0);
	return (double)cpu / (double)messages;
}

struct table {
	double value[WAYS][SIZES];
};

static void
measure(struct stage *s, struct client *c, bool cold, struct table *cpu_us, struct table *stall_us)
{
	for (unsigned w = 0; w < WAYS; w++)
		for (unsigned z = 0; z < SIZES; z++) {
			double ns = send_messages(s, c, &ways[w], sizes[z], cold);

			cpu_us->value[w][z] = ns / 1e3;
			stall_us->value[w][z] = (double)s->stalled_ns / 1e3;
			if (isatty(STDERR_FILENO))
				fprintf(stderr, "\r\033[K%s: %s", cold ? "cold" : "warm",
					ways[w].name);
		}
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
}

/* Have the octets in the page cache, or not there. */
static void
prepare(struct stage *s, uint64_t offset, uint64_t octets, bool cold)
{
	if (cold)
		make_cold(s);
	for (uint64_t at = 0; !cold && at < octets; at += COPY_OCTETS)
		must(pread(s->file, s->buffer, COPY_OCTETS, (off_t)(offset + at)) == COPY_OCTETS);
}

/* What outq does first with the message at `offset`. */
static const char *
outq_choice(struct stage *s, uint64_t offset, uint64_t octets)
{
	bool reads;

	segments_put_file(&s->outq.segments, s->file, offset, octets);
	(void)outq_flush(&s->outq);
	reads = s->outq.doing == OUTQ_READING;
	while (!outq_stop(&s->outq))
		for (s->outq_moved = false; !s->outq_moved;)
			must(loop_turn(&s->loop, 1000) == 0);
	outq_clear(&s->outq);
	return reads ? "ring read, sendfile" : "sendfile";
}

/* ---- telling ------------------------------------------------------------------------------- */

static void
print_table(const char *title, const struct table *t, unsigned first_way)
{
	char text[16];

	printf("\n%-38s", title);
	for (unsigned z = 0; z < SIZES; z++)
		printf("%9s", size_text(sizes[z], text));
	printf("\n");
	for (unsigned w = first_way; w < WAYS; w++) {
		printf("%-38s", ways[w].name);
		for (unsigned z = 0; z < SIZES; z++)
			printf("%9.1f", t->value[w][z]);
		printf("\n");
	}
}

static void
print_json(const char *title, const struct table *t, bool last)
{
	printf("\"%s\": {", title);
	for (unsigned w = 0; w < WAYS; w++) {
		printf("%s\"%s\": {", w == 0 ? "" : ", ", ways[w].name);
		for (unsigned z = 0; z < SIZES; z++)
			printf("%s\"%llu\": %.2f", z == 0 ? "" : ", ", (unsigned long long)sizes[z],
				t->value[w][z]);
		printf("}");
	}
	printf("}%s", last ? "" : ", ");
}

/* Each size at a place of its own: what lies in the socket cannot be made cold again. */
static void
print_choices(struct stage *s, bool cold, bool json)
{
	char text[16];

	printf(json ? "\"outq_%s\": {" : "outq picks, %s:", cold ? "cold" : "warm");
	for (unsigned z = 0; z < SIZES; z++) {
		uint64_t offset = (8u << 20) * z + (cold ? 0 : 4u << 20);
		const char *choice;

		prepare(s, offset, sizes[z], cold);
		choice = outq_choice(s, offset, sizes[z]);
		if (json)
			printf("%s\"%llu\": \"%s\"", z == 0 ? "" : ", ",
				(unsigned long long)sizes[z], choice);
		else
			printf("%s %s %s", z == 0 ? "" : ",", size_text(sizes[z], text), choice);
	}
	printf(json ? "}, " : "\n");
}

/* ---- the stage ----------------------------------------------------------------------------- */

static void
make_file(struct stage *s, const char *directory)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/ringpost-send-XXXXXX", directory);
	s->file = mkostemp(path, O_CLOEXEC);
	if (s->file < 0) {
		perror(path);
		exit(73);
	}
	unlink(path);
	memset(s->buffer, 'm', COPY_OCTETS);
	for (uint64_t at = 0; at < FILE_OCTETS; at += COPY_OCTETS)
		must(pwrite(s->file, s->buffer, COPY_OCTETS, (off_t)at) == COPY_OCTETS);
	must(fsync(s->file) == 0); /* only clean pages can be given up */
	s->map = mmap(NULL, FILE_OCTETS, PROT_READ, MAP_SHARED, s->file, 0);
	must(s->map != MAP_FAILED);
}

static void
connect_both(struct stage *s, struct client *c)
{
	struct sockaddr_in here = { .sin_family = AF_INET };
	socklen_t length = sizeof(here);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(bind(listener, (struct sockaddr *)&here, sizeof(here)) == 0);
	must(listen(listener, 1) == 0);
	must(getsockname(listener, (struct sockaddr *)&here, &length) == 0);
	c->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(connect(c->socket, (struct sockaddr *)&here, sizeof(here)) == 0);
	s->socket = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	must(s->socket >= 0);
	must(setsockopt(s->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0);
	must(setsockopt(c->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof(yes)) == 0);
	close(listener);
}

static void
stage_init(struct stage *s, struct client *c, const char *directory)
{
	const struct loop_options options = {
		.ring = { .entries = 64, .buffers = 8, .buffer_octets = RECEIVE_BUFFER_OCTETS },
		.reply_blocks_max = 64,
		.cold_buffers_max = 4,
	};
	int error;

	*s = (struct stage){ .buffer = malloc(COPY_OCTETS) };
	must(s->buffer != NULL);
	error = loop_open(&s->loop, &options);
	if (error != 0) {
		fprintf(stderr, "send_paths: %s\n", ring_explain(error));
		exit(71);
	}
	make_file(s, directory);
	must(pipe2(s->pipe, O_CLOEXEC) == 0);
	(void)fcntl(s->pipe[1], F_SETPIPE_SZ, 1 << 20); /* the kernel may say no to a user */
	connect_both(s, c);
	outq_init(&s->outq, &s->loop, s->socket, outq_has_moved);
}

static void
stage_clear(struct stage *s)
{
	loop_close(&s->loop);
	munmap(s->map, FILE_OCTETS);
	free(s->buffer);
	close(s->pipe[0]);
	close(s->pipe[1]);
	close(s->socket);
	close(s->file);
}

int
main(int argc, char **argv)
{
	bool json = argc > 1 && strcmp(argv[1], "--json") == 0;
	static struct table warm, cold, stall, unused;
	struct client client = { 0 };
	struct stage stage;

	pin_to(0);
	stage_init(&stage, &client, argc > 1 + json ? argv[1 + json] : "/var/tmp");
	must(pthread_barrier_init(&client.begin, NULL, 2) == 0);
	must(pthread_create(&client.thread, NULL, client_main, &client) == 0);
	measure(&stage, &client, false, &warm, &unused);
	measure(&stage, &client, true, &cold, &stall);
	client.octets = 0;
	pthread_barrier_wait(&client.begin);
	pthread_join(client.thread, NULL);

	printf(json ? "{" : "");
	set_blocking(stage.socket, false);
	print_choices(&stage, false, json);
	print_choices(&stage, true, json);
	if (json) {
		print_json("warm_cpu_us", &warm, false);
		print_json("cold_cpu_us", &cold, false);
		print_json("cold_stall_us", &stall, true);
		printf("}\n");
	} else {
		print_table("warm: server CPU us per message", &warm, 0);
		print_table("cold: server CPU us per message", &cold, 0);
		print_table("cold: longest stall of the thread, us", &stall, 0);
	}
	close(client.socket);
	stage_clear(&stage);
	return 0;
}
