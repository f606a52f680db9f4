/*
 * test_proxyhdr.c - the header of a proxy: whole, in pieces, damaged.
 */
#include "io/proxyhdr.h"

#include "io/base/crc32c.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <netinet/in.h>

#define V2        "\r\n\r\n\0\r\nQUIT\n"
#define V4_ENDS   "\xC0\x00\x02\x07\xC0\x00\x02\x01\x30\x39\x00\x6E" /* 192.0.2.7:12345 to .1:110 */
#define V6_SOURCE "\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x07"
#define V6_TARGET "\x20\x01\x0D\xB8\0\0\0\0\0\0\0\0\0\0\0\x01"

/* A copy of exactly these octets, so that reading beyond them is seen. */
static enum proxyhdr_result
read_exactly(struct span octets, struct proxyhdr *h)
{
	char *copy = malloc(octets.length == 0 ? 1 : octets.length);
	enum proxyhdr_result result;

	assert_non_null(copy);
	memcpy(copy, octets.at, octets.length);
	result = proxyhdr_read(span_of(copy, octets.length), h);
	free(copy);
	return result;
}

/* Whole, with more behind it, and needing more at each octet before. */
static struct proxyhdr
expect_whole(struct span octets)
{
	char longer[PROXYHDR_OCTETS_MAX + 8];
	struct proxyhdr h;

	for (size_t n = 0; n < octets.length; n++)
		assert_int_equal(read_exactly(span_of(octets.at, n), &h), PROXYHDR_NEEDS_MORE);
	memcpy(longer, octets.at, octets.length);
	memcpy(longer + octets.length, "CAPA\r\n", 6);
	assert_int_equal(read_exactly(span_of(longer, octets.length + 6), &h), PROXYHDR_WHOLE);
	assert_int_equal(h.octets, octets.length);
	assert_int_equal(proxyhdr_read(octets, &h), PROXYHDR_WHOLE);
	assert_int_equal(h.octets, octets.length);
	return h;
}

static void
expect_wrong(struct span octets)
{
	struct proxyhdr h;

	assert_int_equal(read_exactly(octets, &h), PROXYHDR_WRONG);
}

static void
expect_source(const struct proxyhdr *h, const char *address, uint16_t port)
{
	char text[INET6_ADDRSTRLEN];
	const struct sockaddr_in *four = (const void *)&h->source;
	const struct sockaddr_in6 *six = (const void *)&h->source;

	assert_true(h->has_source);
	if (h->source.ss_family == AF_INET) {
		inet_ntop(AF_INET, &four->sin_addr, text, sizeof(text));
		assert_int_equal(ntohs(four->sin_port), port);
	} else {
		assert_int_equal(h->source.ss_family, AF_INET6);
		inet_ntop(AF_INET6, &six->sin6_addr, text, sizeof(text));
		assert_int_equal(ntohs(six->sin6_port), port);
	}
	assert_string_equal(text, address);
}

/* ---- version 1 ----------------------------------------------------------------------------- */

static void
test_lines(void **state)
{
	struct proxyhdr h;

	(void)state;
	h = expect_whole(SPAN("PROXY TCP4 192.0.2.7 192.0.2.1 12345 110\r\n"));
	expect_source(&h, "192.0.2.7", 12345);
	h = expect_whole(SPAN("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"));
	expect_source(&h, "0.0.0.0", 0);
	h = expect_whole(SPAN("PROXY TCP6 2001:db8::7 2001:db8::1 65535 995\r\n"));
	expect_source(&h, "2001:db8::7", 65535);
	h = expect_whole(SPAN("PROXY TCP6 ::ffff:192.0.2.7 ::1 1 995\r\n"));
	expect_source(&h, "192.0.2.7", 1);
	h = expect_whole(SPAN("PROXY UNKNOWN\r\n"));
	assert_false(h.has_source);
	h = expect_whole(SPAN("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"));
	assert_false(h.has_source);
}

static void
test_wrong_lines(void **state)
{
	static const char *const wrong[] = {
		"CAPA\r\n",
		"USER alice\r\n",
		"PROXX",
		"proxy TCP4 192.0.2.7 192.0.2.1 12345 110\r\n",
		"PROXY\r\n",
		"PROXY \r\n",
		"PROXY  TCP4 192.0.2.7 192.0.2.1 12345 110\r\n",
		"PROXY TCP5 192.0.2.7 192.0.2.1 12345 110\r\n",
		"PROXY UNKNOWNS\r\n",
		"PROXY TCP4\r\n",
		"PROXY TCP4 192.0.2.7\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 12345\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 12345 \r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 12345 110 \r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 12345 110 x\r\n",
		"PROXY TCP4 192.0.2.7  192.0.2.1 12345 110\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 65536 110\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 012 110\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 -1 110\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 12345 1e3\r\n",
		"PROXY TCP4 192.0.2 192.0.2.1 12345 110\r\n",
		"PROXY TCP4 192.0.2.256 192.0.2.1 12345 110\r\n",
		"PROXY TCP4 2001:db8::7 2001:db8::1 12345 110\r\n",
		"PROXY TCP6 192.0.2.7 192.0.2.1 12345 110\r\n",
		"PROXY TCP6 2001:db8::7 2001:db8:::1 12345 110\r\n",
		"PROXY TCP4 192.0.2.7 192.0.2.1 12345 110\n",
	};
	char line[128];

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		expect_wrong(span_of_string(wrong[i]));
	expect_wrong(SPAN("PROXY TCP4 192.0.2.7\0 192.0.2.1 12345 110\r\n"));

	/* the longest that there may be, and one that is longer */
	memset(line, 'x', sizeof(line));
	memcpy(line, "PROXY UNKNOWN ", 14);
	memcpy(line + 105, "\r\n", 2);
	(void)expect_whole(span_of(line, 107));
	memset(line + 105, 'x', 2);
	memcpy(line + 106, "\r\n", 2);
	expect_wrong(span_of(line, 107));
	expect_wrong(span_of(line, 108));
}

/* ---- version 2 ----------------------------------------------------------------------------- */

struct made {
	char octets[PROXYHDR_OCTETS_MAX + 64];
	size_t length;
};

static void
add(struct made *m, const void *octets, size_t length)
{
	assert_true(m->length + length <= sizeof(m->octets));
	memcpy(m->octets + m->length, octets, length);
	m->length += length;
}

static struct made
begin(uint8_t command, uint8_t family)
{
	struct made m = { .length = 0 };

	add(&m, V2, sizeof(V2) - 1);
	add(&m, &command, 1);
	add(&m, &family, 1);
	add(&m, "\0\0", 2);
	return m;
}

static void
add_value(struct made *m, uint8_t type, struct span value)
{
	char head[3] = { (char)type, (char)(value.length >> 8), (char)value.length };

	add(m, head, 3);
	add(m, value.at, value.length);
}

static struct span
finish(struct made *m)
{
	m->octets[14] = (char)((m->length - 16) >> 8);
	m->octets[15] = (char)(m->length - 16);
	return span_of(m->octets, m->length);
}

static struct span
finish_with_checksum(struct made *m)
{
	size_t at = m->length + 3;
	uint32_t sum;

	add_value(m, 0x03, SPAN("\0\0\0\0"));
	add_value(m, 0x04, SPAN("padding behind it"));
	finish(m);
	sum = htonl(crc32c(0, m->octets, m->length));
	memcpy(m->octets + at, &sum, 4);
	return span_of(m->octets, m->length);
}

static void
expect_text(struct span got, const char *text)
{
	assert_int_equal(got.length, strlen(text));
	assert_memory_equal(got.at, text, got.length);
}

static void
test_binary(void **state)
{
	struct made m = begin(0x21, 0x11);
	struct proxyhdr h;

	(void)state;
	add(&m, V4_ENDS, 12);
	h = expect_whole(finish(&m));
	expect_source(&h, "192.0.2.7", 12345);
	assert_false(h.client_spoke_tls);

	m = begin(0x21, 0x21);
	add(&m, V6_SOURCE V6_TARGET "\x30\x39\x03\xE3", 36);
	h = expect_whole(finish(&m));
	expect_source(&h, "2001:db8::7", 12345);

	m = begin(0x21, 0x21);
	add(&m, "\0\0\0\0\0\0\0\0\0\0\xFF\xFF\xC0\0\x02\x07" V6_TARGET "\0\x01\x03\xE3", 36);
	h = expect_whole(finish(&m));
	expect_source(&h, "192.0.2.7", 1);
}

static void
test_without_a_source(void **state)
{
	struct made m = begin(0x20, 0x00);
	char local[216] = "/run/somewhere";
	struct proxyhdr h;

	(void)state;
	h = expect_whole(finish(&m));
	assert_false(h.has_source);
	m = begin(0x20, 0x11); /* LOCAL: what it says is for nobody */
	add(&m, V4_ENDS, 12);
	add(&m, "\x03\0\xFF nonsense", 12);
	h = expect_whole(finish(&m));
	assert_false(h.has_source);
	m = begin(0x21, 0x00);
	h = expect_whole(finish(&m));
	assert_false(h.has_source);
	m = begin(0x21, 0x31);
	add(&m, local, sizeof(local));
	h = expect_whole(finish(&m));
	assert_false(h.has_source);
}

/* As HAProxy's send-proxy-v2-ssl-cn with its options makes it, and what is none of our business. */
static struct span
make_full(struct made *m)
{
	struct made ssl = { .length = 0 };

	*m = begin(0x21, 0x11);
	add(m, V4_ENDS, 12);
	add_value(m, 0x01, SPAN("pop3"));
	add_value(m, 0x02, SPAN("mail.example.org"));
	add_value(m, 0x05, SPAN("a unique id"));
	add(&ssl, "\x07\0\0\0\0", 5);
	add_value(&ssl, 0x21, SPAN("TLSv1.3"));
	add_value(&ssl, 0x22, SPAN("alice@example.org"));
	add_value(&ssl, 0x23, SPAN("TLS_AES_128_GCM_SHA256"));
	add_value(&ssl, 0x25, SPAN("RSA2048"));
	add_value(m, 0x20, span_of(ssl.octets, ssl.length));
	add_value(m, 0xEE, SPAN(""));
	return finish_with_checksum(m);
}

static void
test_values(void **state)
{
	struct made m;
	struct proxyhdr h = expect_whole(make_full(&m));

	(void)state;
	expect_source(&h, "192.0.2.7", 12345);
	assert_true(h.client_spoke_tls);
	assert_true(h.certificate_is_verified);
	expect_text(h.alpn, "pop3");
	expect_text(h.authority, "mail.example.org");
	expect_text(h.tls_version, "TLSv1.3");
	expect_text(h.cipher, "TLS_AES_128_GCM_SHA256");
	expect_text(h.common_name, "alice@example.org");
}

static void
test_certificates(void **state)
{
	static const struct {
		struct span value;
		bool tls, verified;
	} rows[] = {
		{ { "\0\0\0\0\1", 5 }, false, false },
		{ { "\1\0\0\0\0", 5 }, true, false }, /* nobody asked for a certificate */
		{ { "\3\0\0\0\0", 5 }, true, true },
		{ { "\5\0\0\0\0", 5 }, true, true },
		{ { "\3\0\0\0\1", 5 }, true, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct made m = begin(0x21, 0x11);
		struct proxyhdr h;

		add(&m, V4_ENDS, 12);
		add_value(&m, 0x20, rows[i].value);
		h = expect_whole(finish(&m));
		assert_int_equal(h.client_spoke_tls, rows[i].tls);
		assert_int_equal(h.certificate_is_verified, rows[i].verified);
	}
}

/* Its own checksum does not let a single bit pass, but for those that make it something else. */
static void
test_every_bit(void **state)
{
	struct made good;
	struct span header = make_full(&good);
	size_t checksum_at = header.length - 3 - strlen("padding behind it") - 7;

	(void)state;
	for (size_t bit = 0; bit < header.length * 8; bit++) {
		struct made m = good;
		struct proxyhdr h;
		enum proxyhdr_result result;

		m.octets[bit / 8] ^= (char)(1 << bit % 8);
		result = read_exactly(span_of(m.octets, m.length), &h);
		if (bit / 8 == 12 && bit % 8 == 0) /* LOCAL now, which carries nothing */
			assert_true(result == PROXYHDR_WHOLE && !h.has_source);
		else if (bit / 8 == 14 || bit / 8 == 15) /* its length */
			assert_true(result != PROXYHDR_WHOLE);
		else if (bit / 8 == checksum_at)
			assert_true(result == PROXYHDR_WHOLE);
		else
			assert_int_equal(result, PROXYHDR_WRONG);
	}
}

static void
test_wrong_binary(void **state)
{
	static const uint8_t families[] = { 0x01, 0x10, 0x12, 0x13, 0x22, 0x32, 0x41, 0xFF };
	static const uint8_t commands[] = { 0x00, 0x11, 0x22, 0x2F, 0x31, 0xFF };
	struct made m;
	char filler[PROXYHDR_OCTETS_MAX] = "";

	(void)state;
	expect_wrong(SPAN("\r\n\r\nx"));
	expect_wrong(SPAN("\x16\x03\x01"));
	for (size_t i = 0; i < sizeof(families); i++) {
		m = begin(0x21, families[i]);
		add(&m, filler, 216);
		expect_wrong(finish(&m));
	}
	for (size_t i = 0; i < sizeof(commands); i++) {
		m = begin(commands[i], 0x11);
		add(&m, V4_ENDS, 12);
		expect_wrong(finish(&m));
	}
	for (size_t short_by = 1; short_by <= 12; short_by++) {
		m = begin(0x21, 0x11);
		add(&m, V4_ENDS, 12 - short_by);
		expect_wrong(finish(&m));
	}
	/* values that say they are longer than the header, and none at all */
	m = begin(0x21, 0x11);
	add(&m, V4_ENDS "\x01\x00\x05pop3", 12 + 7);
	expect_wrong(finish(&m));
	m = begin(0x21, 0x11);
	add(&m, V4_ENDS "\x01\x00", 12 + 2);
	expect_wrong(finish(&m));
	/* the same within the value of TLS, and one too short for its flags */
	m = begin(0x21, 0x11);
	add(&m, V4_ENDS, 12);
	add_value(&m, 0x20, SPAN("\x01\0\0\0\0\x21\x00\x09TLSv1.3"));
	expect_wrong(finish(&m));
	m = begin(0x21, 0x11);
	add(&m, V4_ENDS, 12);
	add_value(&m, 0x20, SPAN("\x01\0\0\0"));
	expect_wrong(finish(&m));
	/* checksums of another length */
	m = begin(0x21, 0x11);
	add(&m, V4_ENDS, 12);
	add_value(&m, 0x03, SPAN("\0\0\0"));
	expect_wrong(finish(&m));
}

static void
test_longest(void **state)
{
	static const char filler[PROXYHDR_OCTETS_MAX];
	struct made m = begin(0x21, 0x11);
	struct proxyhdr h;

	(void)state;
	add(&m, V4_ENDS, 12);
	add_value(&m, 0x04, span_of(filler, PROXYHDR_OCTETS_MAX - 28 - 3));
	(void)expect_whole(finish(&m));
	m = begin(0x21, 0x11);
	add(&m, V4_ENDS, 12);
	add_value(&m, 0x04, span_of(filler, PROXYHDR_OCTETS_MAX - 28 - 2));
	expect_wrong(finish(&m));
	/* and it is refused by its length, before anything of it has come */
	assert_int_equal(read_exactly(span_of(m.octets, 16), &h), PROXYHDR_WRONG);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_wrong_lines),
		cmocka_unit_test(test_binary),
		cmocka_unit_test(test_without_a_source),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_every_bit),
		cmocka_unit_test(test_wrong_binary),
		cmocka_unit_test(test_longest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
