/*
 * test_login_cache.c - a good login is found until its time is over, and nothing else ever is.
 */
#include "core/auth/login_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>

#define HASH  SPAN("$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7")
#define ALICE SPAN("alice@example.org")

static struct login_proof
prove(struct login_cache *c, struct span address, struct span secret, struct span hash)
{
	struct login_proof proof;

	assert_int_equal(login_cache_prove(c, address, secret, hash, &proof), 0);
	return proof;
}

static void
a_good_login_is_found_until_it_expires(void **state)
{
	struct login_cache *c;
	struct login_proof proof;

	(void)state;
	assert_int_equal(login_cache_create(100, 10, &c), 0);
	proof = prove(c, ALICE, SPAN("secret"), HASH);
	assert_false(login_cache_find(c, &proof, 5000));
	login_cache_add(c, &proof, 5000);
	assert_true(login_cache_find(c, &proof, 5000));
	assert_true(login_cache_find(c, &proof, 14999));
	assert_false(login_cache_find(c, &proof, 15000));
	/* Proven again in earnest: ten seconds more. */
	login_cache_add(c, &proof, 15000);
	assert_true(login_cache_find(c, &proof, 24999));
	/* The same login makes the same proof again. */
	proof = prove(c, ALICE, SPAN("secret"), HASH);
	assert_true(login_cache_find(c, &proof, 20000));
	login_cache_destroy(c);
}

static void
another_name_secret_or_hash_is_another_login(void **state)
{
	static const struct {
		struct span address, secret, hash;
	} others[] = {
		{ SPAN("alicf@example.org"), SPAN("secret"), HASH },
		{ ALICE, SPAN("secreT"), HASH },
		{ ALICE, SPAN("secret "), HASH },
		{ ALICE, SPAN(""), HASH },
		{ ALICE, SPAN("secret"), SPAN("$6$changed") },
		/* the same octets, cut elsewhere */
		{ SPAN("alice@example.orgs"), SPAN("ecret"), HASH },
		{ SPAN("alice@example.or"), SPAN("gsecret"), HASH },
	};
	struct login_cache *c;
	struct login_proof proof;

	(void)state;
	assert_int_equal(login_cache_create(100, 10, &c), 0);
	proof = prove(c, ALICE, SPAN("secret"), HASH);
	login_cache_add(c, &proof, 0);
	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		proof = prove(c, others[i].address, others[i].secret, others[i].hash);
		assert_false(login_cache_find(c, &proof, 1));
	}
	login_cache_destroy(c);
}

static void
each_cache_has_its_own_key(void **state)
{
	struct login_cache *a, *b;
	struct login_proof of_a, of_b;

	(void)state;
	assert_int_equal(login_cache_create(100, 10, &a), 0);
	assert_int_equal(login_cache_create(100, 10, &b), 0);
	of_a = prove(a, ALICE, SPAN("secret"), HASH);
	of_b = prove(b, ALICE, SPAN("secret"), HASH);
	assert_memory_not_equal(&of_a, &of_b, sizeof(of_a));
	login_cache_destroy(a);
	login_cache_destroy(b);
}

static void
switched_off_it_remembers_nothing(void **state)
{
	static const unsigned sizes[][2] = { { 0, 10 }, { 100, 0 }, { 0, 0 } };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct login_cache *c;
		struct login_proof proof;

		assert_int_equal(login_cache_create(sizes[i][0], sizes[i][1], &c), 0);
		proof = prove(c, ALICE, SPAN("secret"), HASH);
		login_cache_add(c, &proof, 0);
		assert_false(login_cache_find(c, &proof, 0));
		login_cache_destroy(c);
	}
}

static struct login_proof
prove_number(struct login_cache *c, unsigned number)
{
	char address[32];
	int length = snprintf(address, sizeof(address), "user%u@example.org", number);

	return prove(c, span_of(address, (size_t)length), SPAN("secret"), HASH);
}

/* One set of eight: the ninth login costs the one that would expire first, and only that. */
static void
a_full_set_forgets_what_expires_first(void **state)
{
	struct login_cache *c;
	struct login_proof proof;

	(void)state;
	assert_int_equal(login_cache_create(8, 1000, &c), 0);
	for (unsigned i = 0; i < 8; i++) {
		proof = prove_number(c, i);
		login_cache_add(c, &proof, 100 + (i + 4) % 8); /* number 4 is the oldest */
	}
	proof = prove_number(c, 8);
	login_cache_add(c, &proof, 200);
	for (unsigned i = 0; i < 9; i++) {
		proof = prove_number(c, i);
		assert_int_equal(login_cache_find(c, &proof, 200), i != 4);
	}
	login_cache_destroy(c);
}

/* With room for twice as many, hardly any of 10,000 logins is forgotten. */
static void
many_logins_fit(void **state)
{
	struct login_cache *c;
	struct login_proof proof;
	unsigned found = 0;

	(void)state;
	assert_int_equal(login_cache_create(20000, 1000, &c), 0);
	for (unsigned i = 0; i < 10000; i++) {
		proof = prove_number(c, i);
		login_cache_add(c, &proof, i);
	}
	for (unsigned i = 0; i < 10000; i++) {
		proof = prove_number(c, i);
		found += login_cache_find(c, &proof, 10000);
	}
	assert_true(found > 9800);
	login_cache_destroy(c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_good_login_is_found_until_it_expires),
		cmocka_unit_test(another_name_secret_or_hash_is_another_login),
		cmocka_unit_test(each_cache_has_its_own_key),
		cmocka_unit_test(switched_off_it_remembers_nothing),
		cmocka_unit_test(a_full_set_forgets_what_expires_first),
		cmocka_unit_test(many_logins_fit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
