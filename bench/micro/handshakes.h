/*
 * handshakes.h - TLS handshakes in memory, the same for two libraries: what the server's side
 * costs.
 *
 * A library hands down a table of functions; the driver here makes a client and a server of it,
 * lets them talk through memory, and counts the CPU time of the server's calls alone: its object
 * made, all steps of the handshake, the ticket written, the object freed.  The client is the same
 * library, its time is not counted.  Figures are the smallest of several turns, as other work on
 * the machine only adds.
 *
 * The keys below are for measuring; they secure nothing.
 */
#ifndef BENCH_MICRO_HANDSHAKES_H
#define BENCH_MICRO_HANDSHAKES_H

#include "bench/micro/micro.h"
#include "io/base/must.h"

#include <stddef.h>
#include <stdlib.h>

#define TURNS           5
#define TURN_NS         200000000u
#define STEPS_MAX       20
#define RECORD_OCTETS   16384u
#define RECORDS_BETWEEN 64u /* looks at the clock */

enum certificate {
	CERTIFICATE_ECDSA,
	CERTIFICATE_RSA
};
enum group {
	GROUP_X25519,
	GROUP_P256
};
enum cipher {
	CIPHER_AES_128_GCM,
	CIPHER_AES_256_GCM,
	CIPHER_CHACHA20_POLY1305
};
enum side {
	SIDE_CLIENT,
	SIDE_SERVER
};
enum step {
	STEP_WAITS,
	STEP_DONE
};

/* Octets on their way from one end to the other. */
struct pipe_buffer {
	char octets[65536];
	size_t start, end;
};

static inline void
pipe_put(struct pipe_buffer *p, const void *octets, size_t length)
{
	must(length <= sizeof(p->octets) - p->end);
	memcpy(p->octets + p->end, octets, length);
	p->end += length;
}

static inline size_t
pipe_get(struct pipe_buffer *p, void *to, size_t size)
{
	size_t length = p->end - p->start < size ? p->end - p->start : size;

	memcpy(to, p->octets + p->start, length);
	p->start += length;
	if (p->start == p->end)
		p->start = p->end = 0;
	return length;
}

/* One end of a connection, lent to the library's object for its life. */
struct tls_end {
	struct pipe_buffer *in, *out;
};

/* All of it fails by must(): a benchmark that goes wrong has no figures. */
struct tls_library {
	/* "wolfSSL 5.5.4" */
	const char *(*name)(void);

	/* TLS 1.3 alone, one ticket for each handshake.  A client checks no certificate and resumes
	 * with the session that was kept last, if one was. */
	void *(*context_make)(enum side, enum certificate, enum group);
	void (*context_free)(void *context);

	void *(*end_make)(void *context, enum side, struct tls_end *end);
	enum step (*handshake)(void *tls, enum side);
	bool (*was_resumed)(void *tls);
	/* The client reads the ticket and keeps it in its context. */
	void (*keep_session)(void *tls, void *context);
	void (*end_free)(void *tls);

	/* Seals RECORD_OCTETS in place, under the next nonce of the key. */
	void *(*sealer_make)(enum cipher);
	void (*seal)(void *sealer, unsigned char *record);
	void (*sealer_free)(void *sealer);
};

struct handshake_kind {
	const char *name;
	enum certificate certificate;
	enum group group;
	bool resumed;
};

/* One handshake; returns the server's CPU time. */
static uint64_t
handshake_ns(const struct tls_library *l, void *server_context, void *client_context, bool resumed,
	bool keep)
{
	static struct pipe_buffer to_server, to_client;
	struct tls_end server_end = { .in = &to_server, .out = &to_client };
	struct tls_end client_end = { .in = &to_client, .out = &to_server };
	enum step client_is = STEP_WAITS, server_is = STEP_WAITS;
	void *server, *client;
	uint64_t ns, start;

	to_server.start = to_server.end = to_client.start = to_client.end = 0;
	client = l->end_make(client_context, SIDE_CLIENT, &client_end);
	start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	server = l->end_make(server_context, SIDE_SERVER, &server_end);
	ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
	for (unsigned i = 0; client_is != STEP_DONE || server_is != STEP_DONE; i++) {
		must(i < STEPS_MAX);
		if (client_is != STEP_DONE)
			client_is = l->handshake(client, SIDE_CLIENT);
		start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
		if (server_is != STEP_DONE)
			server_is = l->handshake(server, SIDE_SERVER);
		ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
	}
	must(l->was_resumed(server) == resumed);
	if (keep)
		l->keep_session(client, client_context);
	start = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	l->end_free(server);
	ns += clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
	l->end_free(client);
	return ns;
}

/* CPU µs of one handshake, the smallest mean of TURNS. */
static double
handshake_us(const struct tls_library *l, const struct handshake_kind *kind)
{
	void *server = l->context_make(SIDE_SERVER, kind->certificate, kind->group);
	void *client = l->context_make(SIDE_CLIENT, kind->certificate, kind->group);
	double best = 0;

	handshake_ns(l, server, client, false, kind->resumed); /* warms up; brings the ticket */
	for (unsigned turn = 0; turn < TURNS; turn++) {
		uint64_t ns = 0;
		unsigned count = 0;
		double mean;

		for (; ns < TURN_NS; count++)
			ns += handshake_ns(l, server, client, kind->resumed, kind->resumed);
		mean = (double)ns / count / 1e3;
		if (turn == 0 || mean < best)
			best = mean;
	}
	l->context_free(client);
	l->context_free(server);
	return best;
}

/* MB (10^6) sealed in a second of CPU, the best of TURNS. */
static double
seal_mb_s(const struct tls_library *l, enum cipher cipher)
{
	static unsigned char record[RECORD_OCTETS];
	void *sealer = l->sealer_make(cipher);
	double best = 0;

	for (unsigned turn = 0; turn < TURNS; turn++) {
		uint64_t start = clock_ns(CLOCK_THREAD_CPUTIME_ID), ns = 0, octets = 0;
		double rate;

		while (ns < TURN_NS) {
			for (unsigned i = 0; i < RECORDS_BETWEEN; i++)
				l->seal(sealer, record);
			octets += (uint64_t)RECORDS_BETWEEN * RECORD_OCTETS;
			ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - start;
		}
		rate = (double)octets / 1e6 / ((double)ns / 1e9);
		if (rate > best)
			best = rate;
	}
	l->sealer_free(sealer);
	return best;
}

/* The whole program: main() is this with the library's table. */
static int
handshakes_main(const struct tls_library *l, int argc, char **argv)
{
	static const struct handshake_kind kinds[] = {
		{ "full ECDSA X25519", CERTIFICATE_ECDSA, GROUP_X25519, false },
		{ "resumed X25519", CERTIFICATE_ECDSA, GROUP_X25519, true },
		{ "full ECDSA P-256", CERTIFICATE_ECDSA, GROUP_P256, false },
		{ "resumed P-256", CERTIFICATE_ECDSA, GROUP_P256, true },
		{ "full RSA-2048 X25519", CERTIFICATE_RSA, GROUP_X25519, false },
	};
	static const char *const ciphers[] = {
		[CIPHER_AES_128_GCM] = "AES-128-GCM",
		[CIPHER_AES_256_GCM] = "AES-256-GCM",
		[CIPHER_CHACHA20_POLY1305] = "ChaCha20-Poly1305",
	};
	struct figures f;
	char name[80];

	figures_begin(&f, argc, argv);
	if (!f.json)
		printf("%s: TLS 1.3 in memory, the server's side\n", l->name());
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		double us = handshake_us(l, &kinds[i]);

		figures_put(&f, kinds[i].name, us, "us");
		snprintf(name, sizeof(name), "%s, a core", kinds[i].name);
		figures_put(&f, name, 1e6 / us, "per_s");
	}
	for (enum cipher c = CIPHER_AES_128_GCM; c <= CIPHER_CHACHA20_POLY1305; c++)
		figures_put(&f, ciphers[c], seal_mb_s(l, c), "MB_s");
	figures_end(&f);
	return 0;
}

/* clang-format off */
static const char ecdsa_certificate[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIBfjCCASWgAwIBAgIUCgoJv82R4kOng80vx+a6yLeS4dQwCgYIKoZIzj0EAwIw\n"
	"FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTIzNTEwN1oYDzIxMjYxMDI4\n"
	"MjM1MTA3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO\n"
	"PQMBBwNCAASfBRKCtrBteqm1UuxcIVOrXEaFeM5ooc/JqfUoG8Ek0fNIDyl5/vpz\n"
	"AFeTDRrPWaHnUxE4yYXkSdAMMq+P2dMfo1MwUTAdBgNVHQ4EFgQUc492Q2S06hTA\n"
	"iVsvfm61gUcj5VIwHwYDVR0jBBgwFoAUc492Q2S06hTAiVsvfm61gUcj5VIwDwYD\n"
	"VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiB50hqOfklI6z7DYmnwdJuk\n"
	"PXXNOxvGtnNej41sr3RwyQIgdQXnCwso7weFLshriTnKzg4d4xkykpS0pD6/wkkx\n"
	"9o0=\n"
	"-----END CERTIFICATE-----\n";

static const char ecdsa_key[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgiBpnmpvPWVQjnO7I\n"
	"xYMuUBZAgnoJJmffwXjXrSrXh+ihRANCAASfBRKCtrBteqm1UuxcIVOrXEaFeM5o\n"
	"oc/JqfUoG8Ek0fNIDyl5/vpzAFeTDRrPWaHnUxE4yYXkSdAMMq+P2dMf\n"
	"-----END PRIVATE KEY-----\n";

static const char rsa_certificate[] =
	"-----BEGIN CERTIFICATE-----\n"
	"MIIDCzCCAfOgAwIBAgIUbDkiC7INzelGPOungCYPSxvBJiAwDQYJKoZIhvcNAQEL\n"
	"BQAwFDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTIzNTEwN1oYDzIxMjYx\n"
	"MDI4MjM1MTA3WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwggEiMA0GCSqGSIb3DQEB\n"
	"AQUAA4IBDwAwggEKAoIBAQDGe77jNUlomDFOQ83Z5t6eJ2lP1arrGVUWE02SQO6S\n"
	"orUEyFw8SF9TTgQGpaFX72dlY1RdMoWXLveWPXTxa5NIXWALjBOK0HQy67EQlmVY\n"
	"XNAqbf4qMTWfXJ4W5vyowRZumprvrdD9W3hH2UrUZE2c7nHRhC4T6A3cNqCCvLyF\n"
	"H8z/2NmeUrUp4fsD4R8gzPIM5rM+WKIp70gcbz34caw6b6qNE0tbXfctt+yMVXz9\n"
	"kMTMCzCa46txu7hQjjALys2uDIBUCIDfQBexYmeios7DMLlYTfFs+yCvPdCzMIa7\n"
	"HhO0Mu1O8BAR9fwh1H2OyqKUsS0lzG2t09NtqOgXVMjpAgMBAAGjUzBRMB0GA1Ud\n"
	"DgQWBBRd99op73mYXM/3sJY4j+Ve52PqhTAfBgNVHSMEGDAWgBRd99op73mYXM/3\n"
	"sJY4j+Ve52PqhTAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBCwUAA4IBAQBN\n"
	"pPVct+VaUMrUNbeVzqORRf0ie7FL+j2SBJ/YoeYPWmUkwfYChQDU8sJRQuAjniip\n"
	"svt0QUe/mlwyhdkHje2CylzJzsD5eJ/SdD+b8s9NR4pnNoWmFVBZ7d6js9zu3Fzo\n"
	"0tKFYyAOeG6sop/ZeUdBjLyA9OvJGziLAiB2DrLq3a9ND0Yx6pc438Dmz0Bl49tg\n"
	"eQzvfYs3q69brTBZKPHk3aVYT6tzvZijySARfbjM6PJRp9jdYLmsS+AJ5fnLgQ0J\n"
	"uj4x4kKuNC3fTG+tzrMxeY+O8tk3gn6IoSpSwZ08LlcAVMQOk4yM0UQDlS/YxFgU\n"
	"phUmKsbbXLY69uJWFSAz\n"
	"-----END CERTIFICATE-----\n";

static const char rsa_key[] =
	"-----BEGIN PRIVATE KEY-----\n"
	"MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDGe77jNUlomDFO\n"
	"Q83Z5t6eJ2lP1arrGVUWE02SQO6SorUEyFw8SF9TTgQGpaFX72dlY1RdMoWXLveW\n"
	"PXTxa5NIXWALjBOK0HQy67EQlmVYXNAqbf4qMTWfXJ4W5vyowRZumprvrdD9W3hH\n"
	"2UrUZE2c7nHRhC4T6A3cNqCCvLyFH8z/2NmeUrUp4fsD4R8gzPIM5rM+WKIp70gc\n"
	"bz34caw6b6qNE0tbXfctt+yMVXz9kMTMCzCa46txu7hQjjALys2uDIBUCIDfQBex\n"
	"Ymeios7DMLlYTfFs+yCvPdCzMIa7HhO0Mu1O8BAR9fwh1H2OyqKUsS0lzG2t09Nt\n"
	"qOgXVMjpAgMBAAECggEAOxyThxtRl4Lr/EEZR3IIjtVx+cLKumW6/24URiBsbONk\n"
	"Qd5iCdoL+cVcUZZ2bLfx9TIV6AOp4ZKtTeNTtqqxHHYiqo23LDpUwO2MuEHyQNSz\n"
	"ck97yJkLPUDaHDwCt0d6JMqKpiMAANSDB/Lg5ExTCQ/CegGBr5AGwLTMLOOEyahd\n"
	"1COPD4ZdJWITZ8FPA9nZSkgMjO+C1IhhbQLxhDVEbUYzPWzaEJQcjn07itDaKqVt\n"
	"J/c7tLU8/JdrsVl53S2BZZ8K1iiSumB/9UzgZvct/Nrd2jLQnljJwogcp9CHQdaN\n"
	"392DPoSKhEYEnHFX+66Y03FLHeYo2NhAAc4p3p9KeQKBgQD7inqDCKRvDfj6yj3t\n"
	"Lo9PAtXkrPJOOj6z3tVxH6EqJ3JiLtHNlewZWe+cImcbdor3I4oY2gtPqf66RkqO\n"
	"kNrAE/E1FGjA2qclMIYGrbNizPAzmNTMlgAQmNMa6gKe7r3V6I8DbQw4J82LdwFy\n"
	"mZ7SMrblEJv1Kje/+VjHwkGZowKBgQDKAHxidCMn3drgq4c/ahWXcWcnApCJ3n3m\n"
	"JUChSVBocC8ksoMu83Qo+YHT6ke3BlU19ySuWmVjBcWlLnm7XOJGEKueEvVVh21z\n"
	"LMaVbFmEuYNnwCWBRExNdB6zKeHD/JEkWEC9ySEv3EzkKV580XYmPXyzYg8lZbeA\n"
	"8mH37KfUAwKBgC/dlxiOMXQsjX9zsrsKjBy15mvgeS9np/zkX2tqYGm8HekPDb94\n"
	"Uvg0BAOLDGHOef0zVxkJjPN43s8lhxR//hBk+xZlrtVcBkhuZmKo9STM6Lx4za2s\n"
	"sZB29Fz/wMXrmlY1LdmyC4w4DsYGPFFJaE6JdgI62eKaSQeP9FP25DLPAoGAeHUr\n"
	"t2Y8JKTmxf1jjIxNTd8BPUEJQj3cY+apEMTwXycu5bpSAiiJh3mqUt2tYFY1cBXt\n"
	"2M7tEMy7XNJHI1SzVkbQoFX72MIGoZz82tQe2cfqtW7erqQ0wCdTu1FpYP726m56\n"
	"RPJwiOLdM138C4C47PrTpwD9uTZb5Fgl1btZJVMCgYAmw6W4g40cSvl9gq0xsYIc\n"
	"w03T9YFqgRTiRTJDgQ+nIfW/9QzH2qqAtib3zaRzCBZHs34eFxKh6egoXPISwNYV\n"
	"pd56Y6ZQT6NWWmv2lYewwrh+hkEDUYWQQOOvv2tyFgU8toQsU4XTSYblRFgRpv7f\n"
	"L4bjkcvtfNIciiwv20XKkw==\n"
	"-----END PRIVATE KEY-----\n";
/* clang-format on */

#endif
