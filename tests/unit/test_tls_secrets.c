/*
 * test_tls_secrets.c - new keys of TLS 1.3 against known answers.
 *
 * The client's secret and keys are those of RFC 8448, section 3; the others were made with `openssl
 * kdf TLS13-KDF`.
 */
#include "io/base/must.h"
#include "io/tls.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define AES_128 0x1301
#define AES_256 0x1302
#define CHACHA  0x1303

static void
read_hex(const char *hex, unsigned char *to)
{
	unsigned octet;

	for (; sscanf(hex, "%2x", &octet) == 1; hex += 2)
		*to++ = (unsigned char)octet;
}

static void
assert_octets(const unsigned char *octets, const char *hex)
{
	unsigned char wanted[TLS_HASH_OCTETS_MAX];

	read_hex(hex, wanted);
	assert_memory_equal(octets, wanted, strlen(hex) / 2);
}

static const char secret_of_rfc8448[] =
	"9e40646ce79a7f9dc05af8889bce6552875afa0b06df0087f792ebb7c17504a5";

static void
keys_come_of_a_secret(void **state)
{
	unsigned char secret[TLS_HASH_OCTETS_MAX];
	struct tls_traffic_keys keys;

	(void)state;
	read_hex(secret_of_rfc8448, secret);
	assert_int_equal(tls_secret_derive_keys(AES_128, secret, &keys), 0);
	assert_octets(keys.key, "17422dda596ed5d9acd890e3c63f5051");
	assert_octets(keys.iv, "5b78923dee08579033e523d9");
}

static void
a_secret_moves_on(void **state)
{
	static const struct {
		uint16_t suite;
		const char *next, *key, *iv;
	} rows[] = {
		{ AES_128, "fcdfcc72725aaee48bf64e4fd8b749cdbdbab39d90da0b26e2245ca6ea167207",
			"3879d82f5f14056e623f2ce5bfc66fce", "5dfb2c5938c3379b6cc5d1f2" },
		{ CHACHA, "fcdfcc72725aaee48bf64e4fd8b749cdbdbab39d90da0b26e2245ca6ea167207",
			"e94818cd08e6071fae4cf6b04d62e583b7a04ea41aebd72044aa5f1f11919816",
			"5dfb2c5938c3379b6cc5d1f2" },
	};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++) {
		unsigned char secret[TLS_HASH_OCTETS_MAX];
		struct tls_traffic_keys keys;

		read_hex(secret_of_rfc8448, secret);
		assert_int_equal(tls_secret_move_on(rows[i].suite, secret), 0);
		assert_octets(secret, rows[i].next);
		assert_int_equal(tls_secret_derive_keys(rows[i].suite, secret, &keys), 0);
		assert_octets(keys.key, rows[i].key);
		assert_octets(keys.iv, rows[i].iv);
	}
}

static void
a_secret_of_the_longer_hash_moves_on(void **state)
{
	unsigned char secret[TLS_HASH_OCTETS_MAX];
	struct tls_traffic_keys keys;

	(void)state;
	for (unsigned i = 0; i < sizeof(secret); i++)
		secret[i] = (unsigned char)i;
	assert_int_equal(tls_secret_move_on(AES_256, secret), 0);
	assert_octets(secret,
		"401331b63e9d59f202e8f041042d9516f4cd7fa2e2ee14631d3b49fc340d7af3"
		"7fc2c0c9f252d8036f81ec5b85cbe5db");
	assert_int_equal(tls_secret_derive_keys(AES_256, secret, &keys), 0);
	assert_octets(keys.key, "eb354f3b48924ed78de34dd8aa6a6a0a51d857ddad1454d5cfa7b69f60712911");
	assert_octets(keys.iv, "8478ffbe4f2e5450789775b3");
}

static void
tls_1_2_has_no_such_secrets(void **state)
{
	unsigned char secret[TLS_HASH_OCTETS_MAX] = { 1 };
	struct tls_traffic_keys keys;

	(void)state;
	assert_int_equal(tls_secret_octets(0xc02b), 0);
	assert_int_equal(tls_secret_move_on(0xc02b, secret), -EINVAL);
	assert_int_equal(secret[0], 1);
	assert_int_equal(tls_secret_derive_keys(0xc02b, secret, &keys), -EINVAL);
}

/* What a session costs in the kernel beside one in clear: one block. */
static void
secrets_are_kept_in_blocks_of_64_octets_and_wiped(void **state)
{
	struct tls_context x = { 0 };
	unsigned char *s;

	(void)state;
	slab_init(&x.secrets_256, 2 * TLS_HASH_OCTETS_MIN, 4);
	assert_int_equal(x.secrets_256.block_octets, 64);
	s = slab_take(&x.secrets_256);
	assert_non_null(s);
	assert_ptr_equal(tls_secrets_of(s, AES_128, TLS_SIDE_SERVER),
		tls_secrets_of(s, AES_128, TLS_SIDE_CLIENT) + TLS_HASH_OCTETS_MIN);
	memset(s, 0x5a, 64);
	tls_secrets_free(&x, s, TLS_HASH_OCTETS_MIN);
	assert_ptr_equal(slab_take(&x.secrets_256), s);
	for (unsigned i = sizeof(void *); i < 64; i++) /* the slab's link lies in front */
		assert_int_equal(s[i], 0);
	tls_secrets_free(&x, NULL, 0);
	slab_give(&x.secrets_256, s);
	slab_destroy(&x.secrets_256);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_come_of_a_secret),
		cmocka_unit_test(a_secret_moves_on),
		cmocka_unit_test(a_secret_of_the_longer_hash_moves_on),
		cmocka_unit_test(tls_1_2_has_no_such_secrets),
		cmocka_unit_test(secrets_are_kept_in_blocks_of_64_octets_and_wiped),
	};

	return cmocka_run_group_tests_name("tls secrets", tests, NULL, NULL);
}
