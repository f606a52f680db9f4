/*
 * test_password.c - right, wrong and cannot tell are three answers.
 */
#include "core/auth/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

/* Made by libcrypt from Python, of SECRET; with low costs, so that the test is quick. */
#define SECRET "secret \xc3\xa4:x"
static const char *const hashes[] = {
	"$y$j75$Dk7xM4vkIeD8H3hFjIaqP.$NkU1lTs38IRFr/huY1k3qbHJtN.Ht9w/p4Z0Zepwwy3",
	"$6$rounds=1000$saltsalt$m5Jqz8uFV7nO71WGpVCvcvDAWNW5sytuqB0nA/k3swCJs2szIYT9nbxE7n/"
	"Ohl1xhbyPC0IjxbcRPPAubZtp/.",
	"$5$rounds=1000$saltsalt$HO39oMQzn5oOVJPK/Myhay6nfkPTmdS0w4ZyaBZx5KC",
	"$2b$04$abcdefghijklmnopqrstuuD4hy2rv31TW7l62qNPnhJQAjRo187Ye",
	"$2a$04$abcdefghijklmnopqrstuuD4hy2rv31TW7l62qNPnhJQAjRo187Ye",
	"$2y$04$abcdefghijklmnopqrstuuD4hy2rv31TW7l62qNPnhJQAjRo187Ye",
	"{PLAIN}" SECRET,
};
#define HASH_COUNT (sizeof(hashes) / sizeof(hashes[0]))

/* 1: right, 0: wrong, negative: cannot tell. */
static int
verdict(struct span secret, const char *hash)
{
	bool right;
	int error = password_verify(secret, hash, &right);

	return error != 0 ? error : right;
}

static void
every_scheme_knows_its_secret(void **state)
{
	(void)state;
	for (size_t i = 0; i < HASH_COUNT; i++) {
		assert_int_equal(verdict(SPAN(SECRET), hashes[i]), 1);
		assert_int_equal(verdict(SPAN(SECRET "y"), hashes[i]), 0);
		assert_int_equal(verdict(SPAN("secret"), hashes[i]), 0);
		assert_int_equal(verdict(SPAN(""), hashes[i]), 0);
		assert_int_equal(password_check_hash(hashes[i]), 0);
	}
}

static void
odd_secrets_are_wrong_not_errors(void **state)
{
	char longest[PASSWORD_SECRET_OCTETS_MAX + 2000];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	for (size_t i = 0; i < HASH_COUNT; i++) {
		assert_int_equal(verdict(SPAN(SECRET "\0"), hashes[i]), 0);
		assert_int_equal(verdict(SPAN(SECRET "\0more"), hashes[i]), 0);
		assert_int_equal(
			verdict(span_of(longest, PASSWORD_SECRET_OCTETS_MAX), hashes[i]), 0);
		assert_int_equal(
			verdict(span_of(longest, PASSWORD_SECRET_OCTETS_MAX + 1), hashes[i]), 0);
		assert_int_equal(verdict(span_of(longest, sizeof(longest)), hashes[i]), 0);
	}
}

static void
what_cannot_be_verified_is_an_error(void **state)
{
	static const struct {
		const char *hash;
		int error;
	} bad[] = {
		{ "", -EINVAL },
		{ "secret", -ENOTSUP },
		{ "*", -ENOTSUP },
		{ "!$6$saltsalt$x", -ENOTSUP },
		{ "{ROT13}frperg", -ENOTSUP },
		{ "$3$$8846f7eaee8fb117ad06bdd830b7586c", -ENOTSUP }, /* NT */
		{ "abJnggxhB/yW", -ENOTSUP },                         /* DES has thirteen digits */
		{ "abJnggxhB/yW:", -ENOTSUP },
		{ "{SSHA}abc", -EINVAL },
		{ "{PLAIN}", -EINVAL },
		{ "$y$j9T", -EINVAL },
		{ "$y$", -EINVAL },
		{ "$2b$99$abcdefghijklmnopqrstuu", -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(verdict(SPAN("secret"), bad[i].hash), bad[i].error);
}

static void
new_hashes_fit_their_secret_only(void **state)
{
	static const char *const schemes[] = { "yescrypt", "sha512-crypt", "bcrypt", "plain" };
	char first[ACCOUNT_HASH_OCTETS_MAX + 1], second[ACCOUNT_HASH_OCTETS_MAX + 1];

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(password_make(schemes[i], SPAN(SECRET), first), 0);
		assert_int_equal(password_make(schemes[i], SPAN(SECRET), second), 0);
		assert_string_equal(password_scheme_name(first), schemes[i]);
		assert_int_equal(verdict(SPAN(SECRET), first), 1);
		assert_int_equal(verdict(SPAN("other"), first), 0);
		if (i < 3)
			assert_string_not_equal(first, second); /* each has a salt of its own */
	}
}

static void
what_can_be_no_password_is_not_made_one(void **state)
{
	char longest[PASSWORD_SECRET_OCTETS_MAX + 1];
	char hash[ACCOUNT_HASH_OCTETS_MAX + 1];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	assert_int_equal(password_make("yescrypt", SPAN(""), hash), -EINVAL);
	assert_int_equal(password_make("yescrypt", SPAN("a\0b"), hash), -EINVAL);
	assert_int_equal(
		password_make("yescrypt", span_of(longest, sizeof(longest)), hash), -EINVAL);
	assert_int_equal(password_make("bcrypt", span_of(longest, 73), hash), -ERANGE);
	assert_int_equal(password_make("bcrypt", span_of(longest, 72), hash), 0);
	assert_int_equal(password_make("plain", span_of(longest, 511), hash), -ERANGE);
	assert_int_equal(password_make("rot13", SPAN("secret"), hash), -ENOTSUP);
	/* The longest secret that is taken fits its own hash. */
	assert_int_equal(
		password_make("sha512-crypt", span_of(longest, sizeof(longest) - 1), hash), 0);
	assert_int_equal(verdict(span_of(longest, sizeof(longest) - 1), hash), 1);
}

static void
nobody_knows_the_dummy(void **state)
{
	char first[ACCOUNT_HASH_OCTETS_MAX + 1], second[ACCOUNT_HASH_OCTETS_MAX + 1];

	(void)state;
	assert_int_equal(password_make_dummy("plain", first), 0);
	assert_int_equal(password_make_dummy("plain", second), 0);
	assert_string_not_equal(first, second);
	assert_int_equal(password_make_dummy("yescrypt", first), 0);
	assert_string_equal(password_scheme_name(first), "yescrypt");
	assert_int_equal(verdict(SPAN("secret"), first), 0);
}

/* CPU time of `rounds` verifications. */
static double
cost_of(const char *hash, int rounds)
{
	clock_t start = clock();

	for (int i = 0; i < rounds; i++)
		assert_int_equal(verdict(SPAN("not this one"), hash), 0);
	return (double)(clock() - start);
}

/* The two are taken in turns, and the least of five counts: the machine may be busy. */
static void
the_dummy_costs_what_an_account_costs(void **state)
{
	char account[ACCOUNT_HASH_OCTETS_MAX + 1], dummy[ACCOUNT_HASH_OCTETS_MAX + 1];
	double of_account = 1e18, of_dummy = 1e18;

	(void)state;
	assert_int_equal(password_make("yescrypt", SPAN("secret"), account), 0);
	assert_int_equal(password_make_dummy("yescrypt", dummy), 0);
	for (int i = 0; i < 5; i++) {
		double a = cost_of(account, 2), d = cost_of(dummy, 2);

		of_account = a < of_account ? a : of_account;
		of_dummy = d < of_dummy ? d : of_dummy;
	}
	assert_true(of_dummy < 1.5 * of_account);
	assert_true(of_account < 1.5 * of_dummy);
}

static void *
verify_often(void *wrong_verdicts)
{
	for (int i = 0; i < 40; i++) {
		const char *hash = hashes[(size_t)i % HASH_COUNT];

		*(int *)wrong_verdicts += verdict(SPAN(SECRET), hash) != 1;
		*(int *)wrong_verdicts += verdict(SPAN("wrong"), hash) != 0;
	}
	return NULL;
}

static void
threads_do_not_disturb_each_other(void **state)
{
	int wrong_verdicts[4] = { 0 };
	pthread_t threads[4];

	(void)state;
	for (int i = 0; i < 4; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, verify_often, &wrong_verdicts[i]), 0);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(wrong_verdicts[i], 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_scheme_knows_its_secret),
		cmocka_unit_test(odd_secrets_are_wrong_not_errors),
		cmocka_unit_test(what_cannot_be_verified_is_an_error),
		cmocka_unit_test(new_hashes_fit_their_secret_only),
		cmocka_unit_test(what_can_be_no_password_is_not_made_one),
		cmocka_unit_test(nobody_knows_the_dummy),
		cmocka_unit_test(the_dummy_costs_what_an_account_costs),
		cmocka_unit_test(threads_do_not_disturb_each_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
