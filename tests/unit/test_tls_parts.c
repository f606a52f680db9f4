/*
 * test_tls_parts.c - the pure parts of TLS: records and ClientHellos, names, tickets.
 */
#include "io/base/must.h"
#include "io/tls_credentials.h"
#include "io/tls_hello.h"
#include "io/tls_tickets.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

/* A ClientHello is put together here, octet by octet. */
struct hello {
	unsigned char octets[512];
	size_t length;
};

static void
put(struct hello *h, const void *octets, size_t length)
{
	memcpy(h->octets + h->length, octets, length);
	h->length += length;
}

static void
put_u16(struct hello *h, size_t number)
{
	unsigned char octets[2] = { (unsigned char)(number >> 8), (unsigned char)number };

	put(h, octets, 2);
}

static void
patch_u16(struct hello *h, size_t at)
{
	h->octets[at] = (unsigned char)((h->length - at - 2) >> 8);
	h->octets[at + 1] = (unsigned char)(h->length - at - 2);
}

/* An extension that is a list; it ends with 0; NULL: no such extension. */
static void
put_list(struct hello *h, size_t extension, const uint16_t *list)
{
	size_t at;

	if (list == NULL)
		return;
	put_u16(h, extension);
	at = h->length;
	put_u16(h, 0);
	put_u16(h, 0);
	for (; *list != 0; list++)
		put_u16(h, *list);
	patch_u16(h, at + 2);
	patch_u16(h, at);
}

static struct hello
hello_with(uint16_t suite, const char *host, const uint16_t *schemes, const uint16_t *groups)
{
	static const unsigned char head[] = { 22, 3, 1, 0, 0, 1, 0, 0, 0, 3, 3 };
	const unsigned char middle[] = { 0, 0, 2, (unsigned char)(suite >> 8), (unsigned char)suite,
		1, 0 };
	struct hello h = { .length = 0 };
	size_t extensions;

	put(&h, head, sizeof(head));
	h.length += 32;
	put(&h, middle, sizeof(middle));
	extensions = h.length;
	put_u16(&h, 0);
	if (host != NULL) {
		put_u16(&h, 0);
		put_u16(&h, strlen(host) + 5);
		put_u16(&h, strlen(host) + 3);
		put(&h, "", 1);
		put_u16(&h, strlen(host));
		put(&h, host, strlen(host));
	}
	put_list(&h, 13, schemes);
	put_list(&h, 10, groups);
	patch_u16(&h, extensions);
	patch_u16(&h, 7);
	patch_u16(&h, 3);
	return h;
}

static struct hello
hello_of(const char *host, const uint16_t *schemes)
{
	return hello_with(0x1301, host, schemes, NULL);
}

static void
a_suite_of_tls_1_2_says_whose_key_signs(void **state)
{
	static const uint16_t both[] = { 0x0403, 0x0804, 0 };
	static const struct {
		uint16_t suite;
		bool ecdsa, rsa;
	} rows[] = {
		{ 0x1303, true, true },
		{ 0xc02c, true, false },
		{ 0xcca8, false, true },
		{ 0x002f, false, false },
	};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		struct hello h = hello_with(rows[i].suite, NULL, both, NULL);
		struct tls_hello read;

		tls_hello_read(span_of(h.octets, h.length), &read);
		assert_int_equal(read.takes_ecdsa, rows[i].ecdsa);
		assert_int_equal(read.takes_rsa, rows[i].rsa);
	}
}

static void
a_hello_says_host_and_signatures(void **state)
{
	static const uint16_t both[] = { 0x0403, 0x0804, 0 };
	static const uint16_t rsa[] = { 0x0401, 0x0804, 0 };
	static const uint16_t ecdsa[] = { 0x0503, 0 };
	struct hello h = hello_of("pop.example.org", both);
	struct tls_hello read;
	size_t length;

	(void)state;
	assert_int_equal(tls_record_length(span_of(h.octets, h.length), &length), 0);
	assert_int_equal(length, h.length);
	tls_hello_read(span_of(h.octets, h.length), &read);
	assert_true(span_equals(read.server_name, SPAN("pop.example.org")));
	assert_true(read.takes_ecdsa && read.takes_rsa);

	h = hello_of(NULL, rsa);
	tls_hello_read(span_of(h.octets, h.length), &read);
	assert_int_equal(read.server_name.length, 0);
	assert_true(!read.takes_ecdsa && read.takes_rsa);

	h = hello_of("x", ecdsa);
	tls_hello_read(span_of(h.octets, h.length), &read);
	assert_true(read.takes_ecdsa && !read.takes_rsa);
}

/* Under a sanitizer each cut and each flipped octet would show a read beyond what is there. */
static void
a_hello_may_lack_all_our_groups(void **state)
{
	static const struct {
		uint16_t groups[4];
		bool lacks;
	} rows[] = {
		{ { 0x001d }, false },
		{ { 0x0a0a, 0x0019, 0x0017 }, false },
		{ { 0x0018 }, false },
		{ { 0x0019 }, true },
		{ { 0x0016, 0x001e, 0x0100 }, true },
	};
	struct tls_hello read;
	struct hello h = hello_with(0x1301, "x", NULL, NULL);

	(void)state;
	tls_hello_read(span_of(h.octets, h.length), &read);
	assert_false(read.lacks_groups);
	for (size_t i = 0; i < array_count(rows); i++) {
		h = hello_with(0x1301, "x", NULL, rows[i].groups);
		tls_hello_read(span_of(h.octets, h.length), &read);
		assert_int_equal(read.lacks_groups, rows[i].lacks);
	}
}

static void
a_damaged_hello_harms_nobody(void **state)
{
	static const uint16_t both[] = { 0x0403, 0x0804, 0 };
	struct hello h = hello_of("pop.example.org", both);
	struct tls_hello read;

	(void)state;
	for (size_t length = 0; length <= h.length; length++) {
		unsigned char *exact = malloc(length + 1);

		must(exact != NULL);
		memcpy(exact, h.octets, length);
		tls_hello_read(span_of(exact, length), &read);
		assert_true(read.server_name.length <= 15);
		free(exact);
	}
	for (size_t at = 0; at < h.length; at++) {
		unsigned char *exact = malloc(h.length);

		must(exact != NULL);
		memcpy(exact, h.octets, h.length);
		exact[at] = 0xff;
		tls_hello_read(span_of(exact, h.length), &read);
		assert_true(read.server_name.length < h.length);
		free(exact);
	}
}

static void
only_records_are_records(void **state)
{
	size_t length;

	(void)state;
	assert_int_equal(tls_record_length(SPAN(""), &length), -EAGAIN);
	assert_int_equal(tls_record_length(SPAN("\x16"), &length), -EAGAIN);
	assert_int_equal(tls_record_length(SPAN("\x16\x03\x03\x00\x02x"), &length), -EAGAIN);
	assert_int_equal(tls_record_length(SPAN("\x17\x03\x03\x00\x02xyz"), &length), 0);
	assert_int_equal(length, 7);
	assert_int_equal(tls_record_length(SPAN("U"), &length), -EPROTO);
	assert_int_equal(tls_record_length(SPAN("\r\n"), &length), -EPROTO);
	assert_int_equal(tls_record_length(SPAN("\x16\x02"), &length), -EPROTO);
	assert_int_equal(tls_record_length(SPAN("\x16\x03\x03\xff\xff"), &length), -EMSGSIZE);
	assert_int_equal(tls_record_length(SPAN("\x18\x03\x03"), &length), -EPROTO);
}

static void
a_star_stands_for_one_label(void **state)
{
	(void)state;
	assert_true(tls_name_fits("pop.example.org", SPAN("pop.example.org")));
	assert_true(tls_name_fits("pop.example.org", SPAN("POP.Example.ORG.")));
	assert_false(tls_name_fits("pop.example.org", SPAN("example.org")));
	assert_true(tls_name_fits("*.example.org", SPAN("pop.example.org")));
	assert_false(tls_name_fits("*.example.org", SPAN("a.pop.example.org")));
	assert_false(tls_name_fits("*.example.org", SPAN("example.org")));
	assert_false(tls_name_fits("*.example.org", SPAN(".example.org")));
	assert_false(tls_name_fits("*.example.org", SPAN("")));
}

static void
the_host_then_the_client_choose(void **state)
{
	char *one[] = { (char *)"one.example.org" };
	char *two[] = { (char *)"*.example.net" };
	struct tls_identity identities[] = {
		{ .names = one, .name_count = 1, .kind = TLS_KEY_RSA },
		{ .names = two, .name_count = 1, .kind = TLS_KEY_ECDSA },
		{ .names = one, .name_count = 1, .kind = TLS_KEY_ECDSA },
		{ .name_count = 0, .kind = TLS_KEY_RSA },
	};
	const struct tls_credentials c = { .identities = identities, .count = 4 };
	static const struct {
		struct span host;
		bool ecdsa, rsa;
		unsigned chosen;
	} rows[] = {
		{ SPAN("one.example.org"), true, true, 2 },
		{ SPAN("one.example.org"), false, true, 0 },
		{ SPAN("pop.example.net"), true, true, 1 },
		{ SPAN("pop.example.net"), false, true, 0 },
		{ SPAN("elsewhere"), true, true, 2 },
		{ SPAN(""), true, true, 2 },
		{ SPAN(""), false, true, 0 },
		{ SPAN(""), false, false, 2 },
	};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		const struct tls_hello hello = {
			.server_name = rows[i].host,
			.takes_ecdsa = rows[i].ecdsa,
			.takes_rsa = rows[i].rsa,
		};

		assert_int_equal(tls_credentials_choose(&c, &hello), rows[i].chosen);
	}
}

static void
a_ticket_opens_with_its_key_only(void **state)
{
	static const unsigned char secret[TLS_SECRET_OCTETS] = "secret",
				   other[TLS_SECRET_OCTETS] = "other";
	unsigned char nonce[TLS_TICKET_NONCE_OCTETS], tag[TLS_TICKET_TAG_OCTETS];
	unsigned char ticket[] = "what a session needs to go on", sealed[sizeof(ticket)];
	struct tls_ticket_key key, same, next, foreign;

	(void)state;
	tls_ticket_key_derive(secret, 7, &key);
	tls_ticket_key_derive(secret, 7, &same);
	tls_ticket_key_derive(secret, 8, &next);
	tls_ticket_key_derive(other, 7, &foreign);
	assert_memory_equal(key.name, same.name, sizeof(key.name));
	assert_memory_not_equal(key.name, next.name, sizeof(key.name));
	assert_memory_not_equal(key.name, foreign.name, sizeof(key.name));
	assert_memory_not_equal(key.key, next.key, sizeof(key.key));

	assert_int_equal(tls_ticket_seal(&key, nonce, tag, ticket, sizeof(ticket)), 0);
	memcpy(sealed, ticket, sizeof(ticket));
	assert_int_equal(tls_ticket_open(&next, nonce, tag, ticket, sizeof(ticket)), -EBADMSG);
	memcpy(ticket, sealed, sizeof(ticket));
	ticket[3] ^= 1;
	assert_int_equal(tls_ticket_open(&key, nonce, tag, ticket, sizeof(ticket)), -EBADMSG);
	memcpy(ticket, sealed, sizeof(ticket));
	assert_int_equal(tls_ticket_open(&same, nonce, tag, ticket, sizeof(ticket)), 0);
	assert_string_equal((const char *)ticket, "what a session needs to go on");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_hello_says_host_and_signatures),
		cmocka_unit_test(a_suite_of_tls_1_2_says_whose_key_signs),
		cmocka_unit_test(a_hello_may_lack_all_our_groups),
		cmocka_unit_test(a_damaged_hello_harms_nobody),
		cmocka_unit_test(only_records_are_records),
		cmocka_unit_test(a_star_stands_for_one_label),
		cmocka_unit_test(the_host_then_the_client_choose),
		cmocka_unit_test(a_ticket_opens_with_its_key_only),
	};

	return cmocka_run_group_tests_name("tls_parts", tests, NULL, NULL);
}
