/*
 * test_settings_text.c - comments become blanks, nothing else does, and every line keeps its
 * number.
 */
#include "core/settings_text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void
assert_blanked(const char *text, const char *expected)
{
	char copy[256];

	strcpy(copy, text);
	settings_blank_comments(copy, strlen(copy));
	assert_string_equal(copy, expected);
}

static void
comments_become_blanks(void **state)
{
	(void)state;
	assert_blanked("", "");
	assert_blanked("# all of it", "           ");
	assert_blanked("a = 1 # why\nb = 2\n", "a = 1      \nb = 2\n");
	assert_blanked("#a\n//b\nc", "  \n   \nc");
	assert_blanked("a /* b\nc */ d", "a     \n     d");
	assert_blanked("/* never ends\n", "             \n");
	assert_blanked("/*", "  ");
	assert_blanked("# it's \"quoted\nb", "              \nb");
}

static void
what_only_looks_like_one_stays(void **state)
{
	(void)state;
	assert_blanked("a = \"# // /* \"\n", "a = \"# // /* \"\n");
	assert_blanked("a = '#'", "a = '#'");
	assert_blanked("a = \"\\\"# b\" # c", "a = \"\\\"# b\"    ");
	assert_blanked("a = x#y", "a = x#y");
	assert_blanked("a = http://x", "a = http://x");
	assert_blanked("a = \"unended # b", "a = \"unended # b");
	assert_blanked("a = \"\\", "a = \"\\");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(comments_become_blanks),
		cmocka_unit_test(what_only_looks_like_one_stays),
	};

	return cmocka_run_group_tests_name("settings_text", tests, NULL, NULL);
}
