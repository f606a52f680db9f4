/*
 * test_address.c - every way to write a login name leads to one address, or to none.
 */
#include "core/auth/address.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>

static const struct address_rules plain = { .default_domain = "", .detail_separator = "" };
static const struct address_rules site = { .default_domain = "example.org",
	.detail_separator = "+" };

static void
expect(const struct address_rules *rules, struct span login, const char *address)
{
	char got[ACCOUNT_ADDRESS_OCTETS_MAX + 1] = "untouched";
	int error = address_canonical(login, rules, got);

	if (address == NULL) {
		assert_int_equal(error, -EINVAL);
		assert_string_equal(got, "untouched");
		return;
	}
	assert_int_equal(error, 0);
	assert_string_equal(got, address);
}

static void
letters_are_lowered(void **state)
{
	(void)state;
	expect(&plain, SPAN("Alice.B@Example.ORG"), "alice.b@example.org");
	expect(&plain, SPAN("a/b!#$%&'*={}|~`^?@x.org"), "a/b!#$%&'*={}|~`^?@x.org");
	expect(&plain, SPAN("a@localhost"), "a@localhost");
}

static void
a_name_without_domain_gets_the_default_one(void **state)
{
	(void)state;
	expect(&site, SPAN("Alice"), "alice@example.org");
	expect(&site, SPAN("alice@other.org"), "alice@other.org");
	expect(&plain, SPAN("alice"), NULL);
}

static void
detail_is_cut_off(void **state)
{
	static const struct address_rules dashes = { .default_domain = "x.org",
		.detail_separator = "--" };

	(void)state;
	expect(&site, SPAN("alice+lists@example.org"), "alice@example.org");
	expect(&site, SPAN("alice+a+b"), "alice@example.org");
	expect(&site, SPAN("alice+@example.org"), "alice@example.org");
	expect(&site, SPAN("+alice@example.org"), "+alice@example.org");
	expect(&site, SPAN("+@example.org"), "+@example.org");
	expect(&site, SPAN("alice@sub+x.example.org"), NULL);
	expect(&plain, SPAN("alice+lists@example.org"), "alice+lists@example.org");
	expect(&dashes, SPAN("a-b--c"), "a-b@x.org");
}

static void
what_can_be_no_account_is_refused(void **state)
{
	static const struct span bad[] = {
		SPAN(""),
		SPAN("@"),
		SPAN("@example.org"),
		SPAN("alice@"),
		SPAN("a@b@c.org"),
		SPAN("a b@x.org"),
		SPAN("a\tb@x.org"),
		SPAN("a\0b@x.org"),
		SPAN("a@x.org\0"),
		SPAN("a\nb@x.org"),
		SPAN("a\x7f@x.org"),
		SPAN("a@x..org"),
		SPAN("a@.x.org"),
		SPAN("a@x.org."),
		SPAN("a@x/y"),
		SPAN("a@x y"),
		SPAN(" a@x.org"),
		SPAN("a@x.org "),
		SPAN("a@[127.0.0.1]"),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect(&site, bad[i], NULL);
	expect(&site, span_of(NULL, 0), NULL);
}

static void
utf8_passes_and_broken_utf8_does_not(void **state)
{
	static const struct span bad[] = {
		SPAN("\x80@x.org"),                         /* continuation alone */
		SPAN("\xc3@x.org"),                         /* cut short by "@" */
		SPAN("x\xc3"),                              /* cut short by the end */
		SPAN("\xc0\xaf@x.org"),                     /* "/" in two octets */
		SPAN("\xe0\x80\xaf@x.org"),                 /* in three */
		SPAN("\xf0\x80\x80\xaf@x.org"),             /* in four */
		SPAN("\xed\xa0\x80@x.org"),                 /* a surrogate */
		SPAN("\xf4\x90\x80\x80@x.org"),             /* above U+10FFFF */
		SPAN("\xff@x.org"), SPAN("\xc2\x85@x.org"), /* a C1 control */
		SPAN("\xc2\xa0@x.org"),                     /* a blank that does not break */
	};

	(void)state;
	expect(&site,
		SPAN("j\xc3\xb6rg@b\xc3\xbc"
		     "cher.org"),
		"j\xc3\xb6rg@b\xc3\xbc"
		"cher.org");
	expect(&site, SPAN("J\xc3\x96RG"), "j\xc3\x96rg@example.org");
	expect(&site, SPAN("\xe2\x82\xac\xf0\x9f\x93\xae\xf4\x8f\xbf\xbf@x.org"),
		"\xe2\x82\xac\xf0\x9f\x93\xae\xf4\x8f\xbf\xbf@x.org");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		expect(&site, bad[i], NULL);
}

static void
lengths_end_where_the_rfc_says(void **state)
{
	char login[400];
	int length;

	(void)state;
	length = snprintf(login, sizeof(login), "%064d@x.org", 1);
	expect(&plain, span_of(login, (size_t)length), login);
	length = snprintf(login, sizeof(login), "%065d@x.org", 1);
	expect(&plain, span_of(login, (size_t)length), NULL);
	length = snprintf(login, sizeof(login), "%010d@%0243d", 1, 1);
	assert_int_equal(length, ACCOUNT_ADDRESS_OCTETS_MAX);
	expect(&plain, span_of(login, (size_t)length), login);
	length = snprintf(login, sizeof(login), "%010d@%0244d", 1, 1);
	expect(&plain, span_of(login, (size_t)length), NULL);
	/* A long detail is cut before anything is measured. */
	length = snprintf(login, sizeof(login), "alice+%0300d@x.org", 1);
	expect(&site, span_of(login, (size_t)length), "alice@x.org");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(letters_are_lowered),
		cmocka_unit_test(a_name_without_domain_gets_the_default_one),
		cmocka_unit_test(detail_is_cut_off),
		cmocka_unit_test(what_can_be_no_account_is_refused),
		cmocka_unit_test(utf8_passes_and_broken_utf8_does_not),
		cmocka_unit_test(lengths_end_where_the_rfc_says),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
