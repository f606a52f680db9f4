/*
 * test_app_password.c - what is made fits, in any way it may be typed, and nothing else does.
 */
#include "core/auth/app_password.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
what_was_made_fits_however_it_is_typed(void **state)
{
	char text[APP_PASSWORD_TEXT_OCTETS + 1], other[APP_PASSWORD_TEXT_OCTETS + 1];
	struct app_password p = { .name = "phone" }, q = { .name = "desk" };
	char typed[80];
	size_t length = 0;

	(void)state;
	assert_int_equal(app_password_make(text, &p), 0);
	assert_int_equal(app_password_make(other, &q), 0);
	assert_int_equal(strlen(text), APP_PASSWORD_TEXT_OCTETS);
	assert_string_not_equal(text, other);
	assert_true(app_password_fits(&p, span_of_string(text)));
	assert_true(app_password_may_be(span_of_string(text)));
	assert_false(app_password_may_be(SPAN("secret")));
	assert_false(app_password_may_be(SPAN("A quite long passphrase that has 32")));
	assert_false(app_password_fits(&p, span_of_string(other)));
	assert_false(app_password_fits(&q, span_of_string(text)));
	for (const char *at = text; *at != '\0'; at++) {
		if (*at == '-')
			typed[length++] = ' ';
		else
			typed[length++] = *at >= 'a' ? (char)(*at & ~0x20) : *at;
	}
	assert_true(app_password_fits(&p, span_of(typed, length)));
}

static void
what_is_cut_changed_or_longer_does_not(void **state)
{
	char text[APP_PASSWORD_TEXT_OCTETS + 2];
	struct app_password p = { .name = "phone" };

	(void)state;
	assert_int_equal(app_password_make(text, &p), 0);
	for (size_t i = 0; i < APP_PASSWORD_TEXT_OCTETS; i++) {
		char kept = text[i];

		assert_false(app_password_fits(&p, span_of(text, i)));
		if (kept == '-')
			continue;
		text[i] = kept == 'a' ? 'b' : 'a';
		assert_false(app_password_fits(&p, span_of(text, APP_PASSWORD_TEXT_OCTETS)));
		text[i] = '\0';
		assert_false(app_password_fits(&p, span_of(text, APP_PASSWORD_TEXT_OCTETS)));
		text[i] = kept;
	}
	text[APP_PASSWORD_TEXT_OCTETS] = 'a';
	assert_false(app_password_fits(&p, span_of(text, APP_PASSWORD_TEXT_OCTETS + 1)));
	assert_false(app_password_fits(&p, SPAN("")));
}

static void
names(void **state)
{
	char longest[APP_PASSWORD_NAME_OCTETS_MAX + 1];

	(void)state;
	memset(longest, 'x', sizeof(longest));
	assert_true(app_password_name_is_good(SPAN("my phone")));
	assert_true(app_password_name_is_good(span_of(longest, APP_PASSWORD_NAME_OCTETS_MAX)));
	assert_false(app_password_name_is_good(span_of(longest, sizeof(longest))));
	assert_false(app_password_name_is_good(SPAN("")));
	assert_false(app_password_name_is_good(SPAN("a\nb")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_was_made_fits_however_it_is_typed),
		cmocka_unit_test(what_is_cut_changed_or_longer_does_not),
		cmocka_unit_test(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
