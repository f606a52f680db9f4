/*
 * test_template.c - addresses put into an operator's text: no name ends a filter or begins one.
 */
#include "core/auth/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void
expect(const char *template, const char *address, enum template_escape escape, const char *expected)
{
	char to[256];

	assert_true(template_fill(template, span_of_string(address), escape, to, sizeof(to)));
	assert_string_equal(to, expected);
}

static void
parts_of_an_address(void **state)
{
	(void)state;
	expect("%u", "alice@example.org", TEMPLATE_AS_IT_IS, "alice@example.org");
	expect("%n at %d", "alice@example.org", TEMPLATE_AS_IT_IS, "alice at example.org");
	expect("100%%", "alice@example.org", TEMPLATE_AS_IT_IS, "100%");
	expect("", "alice@example.org", TEMPLATE_AS_IT_IS, "");
	expect("(mail=%u)", "a_b-c.d1@example.org", TEMPLATE_LDAP_FILTER,
		"(mail=a_b-c.d1@example.org)");
}

static void
filters_are_escaped(void **state)
{
	(void)state;
	expect("(uid=%n)", "*@example.org", TEMPLATE_LDAP_FILTER, "(uid=\\2a)");
	expect("(uid=%n)", "a)(uid=*@example.org", TEMPLATE_LDAP_FILTER,
		"(uid=a\\29\\28uid\\3d\\2a)");
	expect("(uid=%n)", "a\\2a@example.org", TEMPLATE_LDAP_FILTER, "(uid=a\\5c2a)");
	expect("(uid=%n)", "%u&|!~<>@example.org", TEMPLATE_LDAP_FILTER,
		"(uid=\\25u\\26\\7c\\21\\7e\\3c\\3e)");
	expect("(uid=%n)", "\xc3\xbc@example.org", TEMPLATE_LDAP_FILTER, "(uid=\\c3\\bc)");
	expect("(uid=%n)", "\x01@example.org", TEMPLATE_LDAP_FILTER, "(uid=\\01)");
}

/* Whatever octets: only \XX and harmless ones come out. */
static void
no_octet_passes(void **state)
{
	char address[] = "?@d";
	char to[64];

	(void)state;
	for (unsigned c = 1; c < 256; c++) {
		address[0] = (char)c;
		assert_true(template_fill(
			"%n", span_of(address, 3), TEMPLATE_LDAP_FILTER, to, sizeof(to)));
		assert_null(strpbrk(to, "*()&|!=<>~/:,;+\"# \t\r\n"));
		assert_true(to[0] != '\\' || strlen(to) == 3);
	}
}

static void
room_and_faults(void **state)
{
	char to[8];

	(void)state;
	assert_false(template_fill("(u=%n)", SPAN("abcd@d"), TEMPLATE_LDAP_FILTER, to, 8));
	assert_true(template_fill("(u=%n)", SPAN("a@d"), TEMPLATE_LDAP_FILTER, to, 8));
	assert_false(template_fill("x", SPAN("ab@d"), TEMPLATE_AS_IT_IS, to, 0));
	assert_null(template_fault("%u%n%d%%"));
	assert_non_null(template_fault("%"));
	assert_non_null(template_fault("%%%"));
	assert_non_null(template_fault("%s"));
	assert_false(template_fill("%s", SPAN("ab@d"), TEMPLATE_AS_IT_IS, to, sizeof(to)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parts_of_an_address),
		cmocka_unit_test(filters_are_escaped),
		cmocka_unit_test(no_octet_passes),
		cmocka_unit_test(room_and_faults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
