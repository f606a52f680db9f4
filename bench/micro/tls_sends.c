/*
 * tls_sends.c - what 4 MiB over TLS without kTLS must cost: sealing, and a plain send.
 *
 *   taskset -c 0 build/release-tuned/bench/micro/tls_sends [--json]
 *
 * 128 MiB in memory, as many as the mail of bench/tls-figures, are sealed record by record (16 KiB)
 * by wolfCrypt's AEAD alone, no TLS around it, into one buffer of 64 KiB, which goes out by one
 * send(2) over a TCP connection of loopback to a thread on another core that throws it away.
 * Counted is the CPU time of the sending thread: sealing alone, sending alone, and both, in turns;
 * figures are the smallest of several turns.
 */
#include <wolfssl/options.h>

#include "bench/floor/net.h"
#include "bench/micro/micro.h"
#include "io/base/must.h"

#include <fcntl.h>
#include <stdbool.h>
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/aes.h>
#include <wolfssl/wolfcrypt/chacha20_poly1305.h>

#define TURNS           5
#define MESSAGE_OCTETS  (4u << 20)
#define MESSAGES        32u
#define RECORD_OCTETS   16384u
#define HEADER_OCTETS   5u
#define TAG_OCTETS      16u
#define NONCE_OCTETS    12u
#define SEALED_OCTETS   (HEADER_OCTETS + RECORD_OCTETS + TAG_OCTETS)
#define RECORDS_AT_ONCE 4u
#define DRAIN_OCTETS    (256u << 10)

enum cipher {
	CIPHER_NONE,
	CIPHER_AES_128_GCM,
	CIPHER_CHACHA20_POLY1305
};

struct sender {
	Aes aes;
	uint64_t nonce;
	int fd; /* -1: nothing is sent */
	enum cipher cipher;
	const unsigned char *mail; /* MESSAGES, one behind the other */
	int file_fd;               /* of the same; it is read out of it where `reads` is set */
	bool reads;
	unsigned char read[RECORDS_AT_ONCE * RECORD_OCTETS];
	unsigned char sealed[RECORDS_AT_ONCE * SEALED_OCTETS];
};

static const unsigned char key[32] = "a key that secures nothing";

static void
seal(struct sender *s, const unsigned char *record, unsigned char *to)
{
	unsigned char nonce[NONCE_OCTETS] = { 0 };
	unsigned char *sealed = to + HEADER_OCTETS;
	unsigned char *tag = sealed + RECORD_OCTETS;

	if (s->cipher == CIPHER_NONE)
		return;
	s->nonce++;
	memcpy(nonce, &s->nonce, sizeof(s->nonce));
	memset(to, 23, HEADER_OCTETS);
	if (s->cipher == CIPHER_AES_128_GCM)
		must(wc_AesGcmEncrypt(&s->aes, sealed, record, RECORD_OCTETS, nonce, sizeof(nonce),
			     tag, TAG_OCTETS, to, HEADER_OCTETS) == 0);
	else
		must(wc_ChaCha20Poly1305_Encrypt(key, nonce, to, HEADER_OCTETS, record,
			     RECORD_OCTETS, sealed, tag) == 0);
}

static void
send_all(int fd, const unsigned char *octets, size_t length, bool more)
{
	while (length > 0) {
		ssize_t n = send(fd, octets, length, MSG_NOSIGNAL | (more ? MSG_MORE : 0));

		must(n > 0);
		octets += n;
		length -= (size_t)n;
	}
}

/* The next octets of the mail: where they lie, or read out of the page cache. */
static const unsigned char *
octets_at(struct sender *s, size_t at)
{
	if (!s->reads)
		return s->mail + at;
	must(pread(s->file_fd, s->read, sizeof(s->read), (off_t)at) == (ssize_t)sizeof(s->read));
	return s->read;
}

static void
send_message(struct sender *s, size_t message)
{
	for (uint32_t at = 0; at < MESSAGE_OCTETS; at += RECORDS_AT_ONCE * RECORD_OCTETS) {
		const unsigned char *octets = octets_at(s, message + at);

		for (uint32_t i = 0; i < RECORDS_AT_ONCE; i++)
			seal(s, octets + i * RECORD_OCTETS, s->sealed + i * SEALED_OCTETS);
		if (s->fd >= 0)
			send_all(s->fd, s->sealed, sizeof(s->sealed),
				at + RECORDS_AT_ONCE * RECORD_OCTETS < MESSAGE_OCTETS);
	}
}

/* CPU µs of the sender for each MB (10^6 octets) of mail, in one turn. */
static double
turn_us(struct sender *s)
{
	uint64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID);

	for (unsigned i = 0; i < MESSAGES; i++)
		send_message(s, (size_t)i * MESSAGE_OCTETS);
	return (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - start) / 1e3 /
		(MESSAGES * (MESSAGE_OCTETS / 1e6));
}

/* ---- the other end ---- */

static void *
drain(void *arg)
{
	int fd = *(int *)arg;
	cpu_set_t own;

	/* anywhere but on the sender's core */
	must(sched_getaffinity(getpid(), sizeof(own), &own) == 0);
	if (CPU_COUNT(&own) == 1)
		net_pin(CPU_ISSET(0, &own) ? 1 : 0);
	while (recv(fd, NULL, DRAIN_OCTETS, MSG_TRUNC) > 0)
		;
	return NULL;
}

static int
connect_to_drain(pthread_t *thread_out)
{
	static int accepted;
	struct sockaddr_in sin;
	socklen_t size = sizeof(sin);
	int listening = net_listen("127.0.0.1", 0), fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;

	must(getsockname(listening, (struct sockaddr *)&sin, &size) == 0);
	must(fd >= 0 && connect(fd, (struct sockaddr *)&sin, size) == 0);
	must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) == 0);
	accepted = accept(listening, NULL, NULL);
	must(accepted >= 0);
	must(pthread_create(thread_out, NULL, drain, &accepted) == 0);
	close(listening);
	return fd;
}

static void
make_mail(struct sender *s)
{
	size_t size = (size_t)MESSAGES * MESSAGE_OCTETS;
	unsigned char *mail = malloc(size);

	must(mail != NULL);
	memset(mail, 'm', size);
	s->mail = mail;
	s->file_fd = open("/var/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	must(s->file_fd >= 0);
	for (size_t at = 0; at < size; at += MESSAGE_OCTETS)
		must(write(s->file_fd, mail + at, MESSAGE_OCTETS) == (ssize_t)MESSAGE_OCTETS);
}

int
main(int argc, char **argv)
{
	static const struct {
		const char *name;
		enum cipher cipher;
		bool sends, reads;
	} rows[] = {
		{ "send", CIPHER_NONE, true, false },
		{ "AES-128-GCM", CIPHER_AES_128_GCM, false, false },
		{ "AES-128-GCM and send", CIPHER_AES_128_GCM, true, false },
		{ "read, AES-128-GCM and send", CIPHER_AES_128_GCM, true, true },
		{ "ChaCha20-Poly1305", CIPHER_CHACHA20_POLY1305, false, false },
		{ "ChaCha20-Poly1305 and send", CIPHER_CHACHA20_POLY1305, true, false },
	};
	static struct sender s;
	double best[sizeof(rows) / sizeof(rows[0])];
	struct figures f;
	pthread_t thread;
	int fd = connect_to_drain(&thread);

	figures_begin(&f, argc, argv);
	make_mail(&s);
	must(wc_AesInit(&s.aes, NULL, INVALID_DEVID) == 0);
	must(wc_AesGcmSetKey(&s.aes, key, 16) == 0);
	for (unsigned turn = 0; turn < TURNS; turn++) {
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			double us;

			s.cipher = rows[i].cipher;
			s.fd = rows[i].sends ? fd : -1;
			s.reads = rows[i].reads;
			us = turn_us(&s);
			if (turn == 0 || us < best[i])
				best[i] = us;
		}
	}
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		figures_put(&f, rows[i].name, best[i], "us_MB");
	figures_end(&f);
	close(fd);
	pthread_join(thread, NULL);
	return 0;
}
