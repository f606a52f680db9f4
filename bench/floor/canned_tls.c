/*
 * canned_tls.c - fixed replies over TLS: the floor for the mix login with --tls implicit.
 *
 * The same dialogue as canned.c behind the same wolfSSL that the house is linked with, in user
 * space: X25519 first, one stateless ticket for each handshake, no session cache.  One receive, one
 * send for each turn of a connection, under edge-triggered epoll.  Nothing is looked up, logged,
 * limited or timed.
 * Invariants
 *   1. What a receive brings is handed to wolfSSL whole before the next; it keeps what is no record
 *      yet, so a connection has no input buffer.
 *   2. All that a turn makes goes into one output and out by one call.  A client that does not take
 *      it is closed.
 * Ownership: a connection owns its descriptor and its WOLFSSL, and is freed with them.
 */
#include <wolfssl/options.h>

#include "bench/floor/dialogue.h"
#include "bench/floor/net.h"

#include <getopt.h>
#include <signal.h>
#include <sys/epoll.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>

enum {
	INPUT_OCTETS = 16384,
	PLAIN_OCTETS = 4096,
	OUTPUT_OCTETS = 262144, /* a server's flight, or the longest reply in records */
};

struct options {
	const char *address, *certificate, *key;
	uint16_t port;
	int cpu; /* -1: not pinned */
	unsigned messages;
	uint64_t octets;
};

struct connection {
	struct server *server;
	WOLFSSL *ssl;
	struct dialogue_line line;
	int fd;
	bool is_secured;
};

struct server {
	struct dialogue dialogue;
	struct dialogue_output replies; /* plain */
	WOLFSSL_CTX *ctx;
	int listen_fd, epoll_fd;
	struct span input; /* what came and wolfSSL has not taken yet */
	size_t output_length;
	char input_octets[INPUT_OCTETS];
	char output[OUTPUT_OCTETS];
};

/* ---- wolfSSL's way in and out ---- */

static int
get_input(WOLFSSL *ssl, char *to, int size, void *arg)
{
	struct server *s = ((struct connection *)arg)->server;
	size_t length = s->input.length < (size_t)size ? s->input.length : (size_t)size;

	(void)ssl;
	if (length == 0)
		return WOLFSSL_CBIO_ERR_WANT_READ;
	memcpy(to, s->input.at, length);
	s->input = span_after(s->input, length);
	return (int)length;
}

static int
put_output(WOLFSSL *ssl, char *octets, int length, void *arg)
{
	struct server *s = ((struct connection *)arg)->server;

	(void)ssl;
	if ((size_t)length > sizeof(s->output) - s->output_length)
		return WOLFSSL_CBIO_ERR_GENERAL;
	memcpy(s->output + s->output_length, octets, (size_t)length);
	s->output_length += (size_t)length;
	return length;
}

/* Tickets under one key, which secures nothing. */
static int
seal_ticket(WOLFSSL *ssl, unsigned char name[WOLFSSL_TICKET_NAME_SZ],
	unsigned char iv[WOLFSSL_TICKET_IV_SZ], unsigned char mac[WOLFSSL_TICKET_MAC_SZ], int seals,
	unsigned char *ticket, int length, int *length_out, void *arg)
{
	static const unsigned char key[CHACHA20_POLY1305_AEAD_KEYSIZE] = "a key for measuring";
	static uint64_t count;

	(void)ssl;
	(void)arg;
	*length_out = length;
	if (!seals)
		return wc_ChaCha20Poly1305_Decrypt(key, iv, name, WOLFSSL_TICKET_NAME_SZ, ticket,
			       (word32)length, mac, ticket) == 0
			? WOLFSSL_TICKET_RET_OK
			: WOLFSSL_TICKET_RET_REJECT;
	memset(name, 'k', WOLFSSL_TICKET_NAME_SZ);
	memset(iv, 0, WOLFSSL_TICKET_IV_SZ);
	memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
	count++;
	memcpy(iv, &count, sizeof(count));
	return wc_ChaCha20Poly1305_Encrypt(key, iv, name, WOLFSSL_TICKET_NAME_SZ, ticket,
		       (word32)length, ticket, mac) == 0
		? WOLFSSL_TICKET_RET_OK
		: WOLFSSL_TICKET_RET_FATAL;
}

static WOLFSSL_CTX *
context_make(const struct options *o)
{
	WOLFSSL_CTX *ctx;

	wolfSSL_Init();
	ctx = wolfSSL_CTX_new(wolfTLS_server_method());
	must(ctx != NULL);
	wolfSSL_CTX_SetIORecv(ctx, get_input);
	wolfSSL_CTX_SetIOSend(ctx, put_output);
	wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
	must(wolfSSL_CTX_set1_curves_list(ctx, "X25519:P-256") == WOLFSSL_SUCCESS);
	must(wolfSSL_CTX_set_TicketEncCb(ctx, seal_ticket) == WOLFSSL_SUCCESS);
	if (wolfSSL_CTX_use_certificate_chain_file(ctx, o->certificate) != WOLFSSL_SUCCESS)
		net_die(o->certificate, EINVAL);
	if (wolfSSL_CTX_use_PrivateKey_file(ctx, o->key, WOLFSSL_FILETYPE_PEM) != WOLFSSL_SUCCESS)
		net_die(o->key, EINVAL);
	return ctx;
}

/* ---- a connection ---- */

static struct connection *
connection_make(struct server *s, int fd)
{
	struct connection *c = calloc(1, sizeof(*c));

	must(c != NULL);
	c->server = s;
	c->fd = fd;
	c->ssl = wolfSSL_new(s->ctx);
	must(c->ssl != NULL);
	wolfSSL_SetIOReadCtx(c->ssl, c);
	wolfSSL_SetIOWriteCtx(c->ssl, c);
	return c;
}

static void
connection_free(struct connection *c)
{
	close(c->fd);
	wolfSSL_free(c->ssl);
	free(c);
}

/* The plain replies become records; false: the connection is over. */
static bool
connection_seal(struct connection *c)
{
	struct dialogue_output *replies = &c->server->replies;
	int length = (int)replies->length;

	replies->length = 0;
	return length == 0 || wolfSSL_write(c->ssl, replies->at, length) == length;
}

static bool
connection_answer(struct connection *c, struct span input)
{
	struct server *s = c->server;
	enum dialogue_next next = DIALOGUE_LINE;
	size_t used;

	while (input.length > 0 && next != DIALOGUE_QUIT) {
		next = dialogue_feed(&s->dialogue, &c->line, input, &s->replies, &used);
		input = span_after(input, used);
		if (next == DIALOGUE_RETR)
			dialogue_put(&s->replies, SPAN("-ERR no mail here\r\n"));
		if (next == DIALOGUE_FULL && !connection_seal(c))
			return false;
	}
	if (!connection_seal(c))
		return false;
	if (next == DIALOGUE_QUIT)
		(void)wolfSSL_shutdown(c->ssl);
	return next != DIALOGUE_QUIT;
}

/* All records that came; false: the connection is over. */
static bool
connection_read(struct connection *c)
{
	char plain[PLAIN_OCTETS];
	int length;

	if (!c->is_secured) {
		if (wolfSSL_accept(c->ssl) != WOLFSSL_SUCCESS)
			return wolfSSL_get_error(c->ssl, 0) == WOLFSSL_ERROR_WANT_READ;
		c->is_secured = true;
		dialogue_put(&c->server->replies, DIALOGUE_GREETING);
		if (!connection_seal(c))
			return false;
	}
	while ((length = wolfSSL_read(c->ssl, plain, sizeof(plain))) > 0)
		if (!connection_answer(c, span_of(plain, (size_t)length)))
			return false;
	return wolfSSL_get_error(c->ssl, length) == WOLFSSL_ERROR_WANT_READ;
}

static bool
connection_send(struct connection *c)
{
	struct server *s = c->server;
	size_t length = s->output_length;

	s->output_length = 0;
	return length == 0 || send(c->fd, s->output, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static void
connection_run(struct connection *c)
{
	struct server *s = c->server;
	bool stays = true;
	ssize_t got;

	do {
		got = recv(c->fd, s->input_octets, sizeof(s->input_octets), 0);
		if (got <= 0) {
			if (got == 0 || errno != EAGAIN)
				connection_free(c);
			return;
		}
		s->input = span_of(s->input_octets, (size_t)got);
		stays = connection_read(c);
		stays = connection_send(c) && stays;
	} while (stays && got == (ssize_t)sizeof(s->input_octets));
	if (!stays)
		connection_free(c);
}

/* ---- the loop ---- */

static void
server_accept(struct server *s)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLET };
	int fd;

	while ((fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		event.data.ptr = connection_make(s, fd);
		if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
			connection_free(event.data.ptr);
	}
}

static void __attribute__((noreturn)) server_run(struct server *s)
{
	struct epoll_event events[256], listening = { .events = EPOLLIN, .data.ptr = NULL };

	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epoll_fd < 0 || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &listening) < 0)
		net_die("epoll", errno);
	for (;;) {
		int count = epoll_wait(s->epoll_fd, events, array_count(events), -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr == NULL)
				server_accept(s);
			else
				connection_run(events[i].data.ptr);
		}
	}
}

static void __attribute__((noreturn)) usage(FILE *to, int code)
{
	fputs("usage: canned_tls --certificate FILE --key FILE [--address A] [--port P] [--cpu N]\n"
	      "                  [--messages N] [--size OCTETS]\n"
	      "A POP3 server of fixed replies over TLS: the floor for login with --tls implicit.\n",
		to);
	exit(code);
}

static struct options
options_read(int argc, char **argv)
{
	struct options o = { "127.0.0.1", NULL, NULL, 1995, -1, 50, 2048 };
	static const struct option names[] = {
		{ "address", required_argument, NULL, 'a' },
		{ "certificate", required_argument, NULL, 'C' },
		{ "key", required_argument, NULL, 'k' },
		{ "port", required_argument, NULL, 'p' },
		{ "cpu", required_argument, NULL, 'c' },
		{ "messages", required_argument, NULL, 'm' },
		{ "size", required_argument, NULL, 's' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (c) {
		case 'a':
			o.address = optarg;
			break;
		case 'C':
			o.certificate = optarg;
			break;
		case 'k':
			o.key = optarg;
			break;
		case 'p':
			o.port = (uint16_t)atoi(optarg);
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
	if (o.certificate == NULL || o.key == NULL)
		usage(stderr, 64);
	return o;
}

int
main(int argc, char **argv)
{
	struct options o = options_read(argc, argv);
	static struct server s;

	net_raise_descriptors();
	if (o.cpu >= 0)
		net_pin(o.cpu);
	dialogue_build(&s.dialogue, o.messages, o.octets);
	dialogue_output_make(&s.replies, &s.dialogue);
	s.ctx = context_make(&o);
	s.listen_fd = net_listen(o.address, o.port);
	server_run(&s);
}
