/*
 * test_password_legacy.c - hashes of other servers: known answers, damaged ones, and nothing but
 * the right secret fits.
 */
#include "core/auth/password_legacy.h"

#include "core/auth/password.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SECRET       "secret \xc3\xa4:x"

/* Made by Python's hashlib and crypt, and by the argon2 command, of SECRET. */
static const struct {
	const char *scheme;
	const char *hash;
} known[] = {
	{ "ssha", "{SSHA}hFt8beC/s5kgaXYhWs9qhM0O3+EwMTIzNDU2Nzg5" },
	{ "ssha", "{SSHA}el42ntdEGuSibOkByaF256WFPb0=" }, /* its salt has no octets */
	{ "ssha256", "{SSHA256}xE+2NUQTPVoNzV4iXced8CNLQuNCdeGD+vhqHk/5yhUwMTIzNDU2Nzg5" },
	{ "ssha512",
		"{SSHA512}Reie/xH8qDu0/ZjLIK/2Cx5yAvL6cPeUlZRMFwidfzfTn0ROB/"
		"I7mJCTEODR+l2InisDskCT2hH6i0vD/s0teTAxMjM0NTY3ODk=" },
	{ "sha", "{SHA}el42ntdEGuSibOkByaF256WFPb0=" },
	{ "sha", "{SHA1}el42ntdEGuSibOkByaF256WFPb0=" },
	{ "sha256", "{SHA256}R0T4KYasTm44tTULZpUu0teIyB/FnSQGURt3bmaoQN0=" },
	{ "sha512",
		"{SHA512}306y0DX8POEhypl6QU4mr0IuDcqBA4Iq0qCID5PjF7aifBHmD7+"
		"ajTGHrfB4pgvWoErotLsu1Nf41WR56ctb4Q==" },
	{ "pbkdf2", "{PBKDF2}$1$saltsalt$1000$6bfeb331f34fa09f0101b5a29b6e0a8ec05cda87" },
	{ "argon2id",
		"{ARGON2ID}$argon2id$v=19$m=256,t=1,p=1$c2FsdHNhbHQ$"
		"8QDIzmWgwWz3MWT1CWxEi8NdzO8iemTxzagWeAl6WjM" },
	{ "argon2i",
		"{ARGON2I}$argon2i$v=19$m=256,t=1,p=1$c2FsdHNhbHQ$"
		"eYtrJjGbXwwhTIXGxB/Qam5CVbUmrwrWOxvb5VyfGQE" },
	{ "md5-crypt", "$1$saltsalt$Mk5UoM71tRA8d7eZhceT10" },
};

/* 1: right, 0: wrong, negative: cannot tell. */
static int
verdict(struct span secret, const char *hash)
{
	bool right = true;
	int error = password_verify(secret, hash, &right);

	return error != 0 ? error : right;
}

static void
each_scheme_knows_its_secret(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(known); i++) {
		assert_string_equal(password_scheme_name(known[i].hash), known[i].scheme);
		assert_int_equal(password_check_hash(known[i].hash), 0);
		assert_int_equal(verdict(SPAN(SECRET), known[i].hash), 1);
	}
}

/* One octet more, less, or other, at each place, in all its bits. */
static void
nothing_but_the_secret_fits(void **state)
{
	(void)state;
	for (size_t i = 0; i < COUNT(known); i++) {
		char other[sizeof(SECRET) + 1];

		for (size_t at = 0; at < sizeof(SECRET) - 1; at++) {
			for (unsigned bit = 1; bit < 256; bit <<= 1) {
				strcpy(other, SECRET);
				other[at] = (char)(other[at] ^ bit);
				assert_int_equal(
					verdict(span_of(other, sizeof(SECRET) - 1), known[i].hash),
					0);
			}
			assert_int_equal(verdict(span_of(SECRET, at), known[i].hash), 0);
			assert_int_equal(verdict(span_of(&SECRET[at + 1], sizeof(SECRET) - 2 - at),
						 known[i].hash),
				0);
		}
		for (unsigned octet = 0; octet < 256; octet++) {
			memcpy(other, SECRET, sizeof(SECRET) - 1);
			other[sizeof(SECRET) - 1] = (char)octet;
			assert_int_equal(verdict(span_of(other, sizeof(SECRET)), known[i].hash), 0);
		}
		/* A salt cannot be taken for the end of a secret. */
		assert_int_equal(verdict(SPAN(SECRET "0123456789"), known[i].hash), 0);
	}
}

static void
secrets_of_any_length_are_wrong_not_errors(void **state)
{
	char longest[PASSWORD_SECRET_OCTETS_MAX + 300];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	for (size_t i = 0; i < COUNT(known); i++) {
		for (size_t length = PASSWORD_SECRET_OCTETS_MAX - 2; length <= sizeof(longest);
			length += 60)
			assert_int_equal(verdict(span_of(longest, length), known[i].hash), 0);
		assert_int_equal(
			verdict(span_of(longest, PASSWORD_SECRET_OCTETS_MAX), known[i].hash), 0);
	}
}

/* Two ways to write the same octets: hexadecimal in capitals, the bits that base64 has to spare. */
static bool
says_the_same(const char *a, const char *b)
{
	size_t used = strcspn(a, "=");

	if (strncmp(a, "{PBKDF2}", 8) == 0)
		return strcasecmp(a, b) == 0;
	return a[used] == '=' && strlen(a) == strlen(b) && strncmp(a, b, used - 1) == 0 &&
		strcmp(a + used, b + used) == 0;
}

/* Cut off anywhere, or with one octet changed: no right secret, and no wrong one either. */
static void
a_damaged_hash_fits_nothing(void **state)
{
	static const char others[] = "A0z/=$,{}: \x01\xff";
	unsigned refused = 0, wrong = 0;

	(void)state;
	for (size_t i = 0; i < COUNT(known); i++) {
		size_t length = strlen(known[i].hash);
		bool is_argon2 = strstr(known[i].hash, "argon2") != NULL;
		char damaged[ACCOUNT_HASH_OCTETS_MAX + 1];

		for (size_t at = 0; at < length; at++) {
			strcpy(damaged, known[i].hash);
			damaged[at] = '\0';
			assert_int_not_equal(verdict(SPAN(SECRET), damaged), 1);
			assert_int_not_equal(verdict(SPAN("secret"), damaged), 1);
			for (size_t n = 0; n < sizeof(others) - 1; n++) {
				int said;

				strcpy(damaged, known[i].hash);
				/* Not what would make it cost more than a test has. */
				if (damaged[at] == others[n] ||
					(is_argon2 && damaged[at] >= '0' && damaged[at] <= '9'))
					continue;
				damaged[at] = others[n];
				said = verdict(SPAN(SECRET), damaged);
				if (!says_the_same(known[i].hash, damaged))
					assert_int_not_equal(said, 1);
				refused += said < 0;
				wrong += said == 0;
				assert_int_not_equal(verdict(SPAN("secret"), damaged), 1);
			}
		}
	}
	assert_true(refused > 1000);
	assert_true(wrong > 1000);
}

static void
what_is_no_hash_is_refused(void **state)
{
	static const char *const bad[] = {
		"{SSHA}",
		"{SSHA}!",
		"{SSHA}el42ntdEGuSibOkByaF256WFPb",      /* 19 octets */
		"{SHA}hFt8beC/s5kgaXYhWs9qhM0O3+EwMTIz", /* a salt where there is none */
		"{SHA256}el42ntdEGuSibOkByaF256WFPb0=",
		"{PBKDF2}",
		"{PBKDF2}$1$salt$0$6bfeb331f34fa09f0101b5a29b6e0a8ec05cda87",
		"{PBKDF2}$1$salt$10000001$6bfeb331f34fa09f0101b5a29b6e0a8ec05cda87",
		"{PBKDF2}$1$salt$-1$6bfeb331f34fa09f0101b5a29b6e0a8ec05cda87",
		"{PBKDF2}$2$salt$1000$6bfeb331f34fa09f0101b5a29b6e0a8ec05cda87",
		"{PBKDF2}$1$salt$1000$6bfeb331f34fa09f0101b5a29b6e0a8ec05cda8",
		"{PBKDF2}$1$salt$1000$6bfeb331f34fa09f0101b5a29b6e0a8ec05cda8g",
		"{PBKDF2}$1$salt$1000$6bfeb331f34fa09f0101b5a29b6e0a8ec05cda8700",
		"{PBKDF2}$1$salt$1000",
		"{ARGON2ID}",
		"{ARGON2ID}$argon2i$v=19$m=256,t=1,p=1$c2FsdHNhbHQ$eYtrJjGbXwwhTIXGxB",
		"{ARGON2I}secret",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		assert_int_equal(password_check_hash(bad[i]), -EINVAL);
		assert_int_equal(verdict(SPAN(SECRET), bad[i]), -EINVAL);
	}
	/* It looks like one until it is used. */
	assert_int_equal(verdict(SPAN(SECRET), "{ARGON2ID}$argon2id$v=19$m=256"), -EINVAL);
}

/* DES-crypt(5) takes seven bits of eight octets, and that is how it is. */
static void
des_is_what_it_is(void **state)
{
	static const char hash[] = "abNANd1rDfiNc";

	(void)state;
	assert_string_equal(password_scheme_name(hash), "des-crypt");
	assert_int_equal(verdict(SPAN("secret"), hash), 1);
	assert_int_equal(verdict(SPAN("secreT"), hash), 0);
	assert_int_equal(verdict(SPAN("secret1"), hash), 0);
	assert_int_equal(verdict(SPAN(""), hash), 0);
}

static void
others_names_for_what_we_know(void **state)
{
	static const struct {
		const char *written, *stored;
		int error;
	} cases[] = {
		{ "{SHA512-CRYPT}$6$saltsalt$x", "$6$saltsalt$x", 0 },
		{ "{crypt}$5$saltsalt$x", "$5$saltsalt$x", 0 },
		{ "{MD5-CRYPT}$1$saltsalt$x", "$1$saltsalt$x", 0 },
		{ "{DES-CRYPT}abNANd1rDfiNc", "abNANd1rDfiNc", 0 },
		{ "abNANd1rDfiNc", "abNANd1rDfiNc", 0 },
		{ "{CLEARTEXT}a}b", "{PLAIN}a}b", 0 },
		{ "{plain}Aa", "{PLAIN}Aa", 0 },
		{ "{sha}el42ntdEGuSibOkByaF256WFPb0=", "{SHA}el42ntdEGuSibOkByaF256WFPb0=", 0 },
		{ "{SHA.B64}el42ntdEGuSibOkByaF256WFPb0=", "{SHA}el42ntdEGuSibOkByaF256WFPb0=", 0 },
		{ "{SHA.hex}7a5e369ed7441ae4a26ce901c9a176e7a5853dbd",
			"{SHA}el42ntdEGuSibOkByaF256WFPb0=", 0 },
		{ "{SHA.HEX}7a5e369ed7441ae4a26ce901c9a176e7a5853db", NULL, -EINVAL },
		{ "{SHA.HEX}", NULL, -EINVAL },
		{ "{NOSUCH}x", NULL, -ENOTSUP },
		{ "{", NULL, -ENOTSUP },
		{ "{}", NULL, -ENOTSUP },
		{ "", NULL, -EINVAL },
		{ "{PLAIN}", NULL, -EINVAL },
		{ "{CRYPT}", NULL, -EINVAL },
		{ "{CRYPT}*", NULL, -ENOTSUP },
	};
	char stored[ACCOUNT_HASH_OCTETS_MAX + 1];
	char longest[ACCOUNT_HASH_OCTETS_MAX + 2];

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		assert_int_equal(password_take_hash(cases[i].written, stored), cases[i].error);
		if (cases[i].error == 0)
			assert_string_equal(stored, cases[i].stored);
	}
	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(password_take_hash(longest, stored), -ENAMETOOLONG);
	memcpy(longest, "{CLEAR}", 7); /* it is as long as may be, and stored by the same name */
	longest[sizeof(longest) - 2] = '\0';
	assert_int_equal(password_take_hash(longest, stored), 0);
	assert_int_equal(strlen(stored), strlen(longest));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_scheme_knows_its_secret),
		cmocka_unit_test(nothing_but_the_secret_fits),
		cmocka_unit_test(secrets_of_any_length_are_wrong_not_errors),
		cmocka_unit_test(a_damaged_hash_fits_nothing),
		cmocka_unit_test(what_is_no_hash_is_refused),
		cmocka_unit_test(des_is_what_it_is),
		cmocka_unit_test(others_names_for_what_we_know),
	};

	return cmocka_run_group_tests_name("password_legacy", tests, NULL, NULL);
}
