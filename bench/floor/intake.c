/*
 * intake.c - an LMTP server that is nothing but its system calls: the floor under deliveries.
 *
 *   intake [--port P] [--threads N] [--files N] DIRECTORY
 *
 * What append.c does, with the message received by TCP before and an answer after it.  A thread
 * has one connection at a time and waits in every call, so nothing is handed from thread to
 * thread.  Of the dialogue it reads the first letter of each command, and of RCPT the first number
 * in the address, which chooses the file; a message is appended as it came, end line included.
 * Every answer is fixed.  While the core is the limit this is what a server could come to that does
 * nothing else; where all wait for the disk it is no bound, as the rate then depends on who meets in
 * one commit of the file system.
 *
 * It serves the generator: who sends something behind DATA, or behind the message, before its
 * answer has ended is not understood.
 * Ownership: a thread owns its buffer; the files stay, whoever started it removes DIRECTORY.
 */
#include "bench/floor/files.h"
#include "bench/floor/net.h"

#include <getopt.h>
#include <signal.h>
#include <stdbool.h>

enum {
	THREADS_MAX = 1024,
	BUFFER_OCTETS = 1 << 20, /* a message, its end line included */
	ANSWERS_OCTETS = 1024,
};

struct hand {
	pthread_t thread;
	int listen_fd;
	int fd;
	char *buffer;
	size_t used; /* of the buffer */
	unsigned file;
	size_t answer_octets;
	char answers[ANSWERS_OCTETS];
};

static struct files files;

static void
answer(struct hand *h, const char *text)
{
	size_t octets = strlen(text);

	must(h->answer_octets + octets <= sizeof(h->answers));
	memcpy(h->answers + h->answer_octets, text, octets);
	h->answer_octets += octets;
}

/* False: the client is gone. */
static bool
send_answers(struct hand *h)
{
	ssize_t octets = (ssize_t)h->answer_octets;

	h->answer_octets = 0;
	return send(h->fd, h->answers, (size_t)octets, MSG_NOSIGNAL) == octets;
}

static bool
receive(struct hand *h)
{
	ssize_t octets = recv(h->fd, h->buffer + h->used, BUFFER_OCTETS - h->used, 0);

	if (octets > 0)
		h->used += (size_t)octets;
	return octets > 0;
}

/* The first number in a line, which ends with LF. */
static unsigned
number_in(const char *line)
{
	line += strcspn(line, "0123456789\n");
	return (unsigned)strtoul(line, NULL, 10);
}

/* What follows a command. */
enum next {
	NEXT_LINE,
	NEXT_MESSAGE,
	NEXT_CLOSE,
};

static enum next
hear(struct hand *h, const char *line)
{
	switch (*line) {
	case 'D':
		answer(h, "354 go on\r\n");
		return NEXT_MESSAGE;
	case 'Q':
		answer(h, "221 2.0.0 bye\r\n");
		return NEXT_CLOSE;
	case 'R':
		h->file = number_in(line);
		break;
	}
	answer(h, "250 2.0.0 ok\r\n");
	return NEXT_LINE;
}

/* All whole lines that are in the buffer. */
static enum next
hear_lines(struct hand *h)
{
	enum next next = NEXT_LINE;
	char *line = h->buffer, *lf;

	while (next == NEXT_LINE &&
		(lf = memchr(line, '\n', (size_t)(h->buffer + h->used - line))) != NULL) {
		next = hear(h, line);
		line = lf + 1;
	}
	h->used -= (size_t)(line - h->buffer);
	memmove(h->buffer, line, h->used);
	return next;
}

static bool
message_has_ended(const struct hand *h)
{
	return h->used >= 5 && memcmp(h->buffer + h->used - 5, "\r\n.\r\n", 5) == 0;
}

static bool
take_message(struct hand *h)
{
	while (!message_has_ended(h)) {
		must(h->used < BUFFER_OCTETS);
		if (!receive(h))
			return false;
	}
	files_append(&files, h->file, h->buffer, h->used);
	h->used = 0;
	answer(h, "250 2.0.0 ok\r\n");
	return send_answers(h);
}

static void
serve(struct hand *h)
{
	bool goes_on;

	h->used = 0;
	h->answer_octets = 0;
	answer(h, "220 floor ready\r\n");
	goes_on = send_answers(h);
	while (goes_on && receive(h)) {
		enum next next = hear_lines(h);

		goes_on = send_answers(h) && next != NEXT_CLOSE;
		if (goes_on && next == NEXT_MESSAGE)
			goes_on = take_message(h);
	}
}

static void *
hand_run(void *argument)
{
	struct hand *h = argument;

	for (;;) {
		h->fd = accept4(h->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		if (h->fd < 0)
			continue;
		serve(h);
		close(h->fd);
	}
	return NULL;
}

static unsigned
number(const char *text, unsigned max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end != '\0' || value == 0 || value > max) {
		fprintf(stderr, "intake: \"%s\": 1 to %u\n", text, max);
		exit(64);
	}
	return (unsigned)value;
}

/* The calls of its threads wait. */
static int
listen_and_wait(unsigned port)
{
	int fd = net_listen("127.0.0.1", (uint16_t)port);

	if (fcntl(fd, F_SETFL, 0) < 0)
		net_die("fcntl", errno);
	return fd;
}

static void
start(unsigned threads, int listen_fd)
{
	struct hand *hands = calloc(threads, sizeof(*hands));

	must(hands != NULL);
	for (unsigned i = 0; i < threads; i++) {
		hands[i].listen_fd = listen_fd;
		hands[i].buffer = malloc(BUFFER_OCTETS);
		must(hands[i].buffer != NULL);
		if (pthread_create(&hands[i].thread, NULL, hand_run, &hands[i]) != 0)
			net_die("thread", EAGAIN);
	}
}

int
main(int argc, char **argv)
{
	static const struct option words[] = {
		{ "port", required_argument, NULL, 'p' },
		{ "threads", required_argument, NULL, 't' },
		{ "files", required_argument, NULL, 'f' },
		{ 0 },
	};
	unsigned port = 1224, threads = 40, count = 256;
	int option, listen_fd;

	while ((option = getopt_long(argc, argv, "", words, NULL)) != -1) {
		if (option == 'p')
			port = number(optarg, 65535);
		else if (option == 't')
			threads = number(optarg, THREADS_MAX);
		else if (option == 'f')
			count = number(optarg, FILES_MAX);
		else
			return 64;
	}
	if (argc - optind != 1) {
		fputs("usage: intake [--port P] [--threads N] [--files N] DIRECTORY\n", stderr);
		return 64;
	}
	files_open(&files, argv[optind], count);
	listen_fd = listen_and_wait(port);
	start(threads, listen_fd);
	pause();
	return 0;
}
