/*
 * test_account_field.c - what a database may say of an account, and what makes no sense.
 */
#include "core/auth/account_field.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static const struct address_rules rules = { "example.org", "+" };

static int
set(struct account *account, const char *name, const char *text)
{
	enum account_field field;

	assert_true(account_field_find(span_of_string(name), &field));
	return account_field_set(account, field, text, &rules);
}

static void
good_values(void **state)
{
	struct account a;

	(void)state;
	account_field_begin(SPAN("alice@example.org"), &a);
	assert_true(a.enabled);
	assert_string_equal(a.password_hash, "");
	assert_int_equal(set(&a, "password", "{CLEARTEXT}secret"), 0);
	assert_string_equal(a.password_hash, "{PLAIN}secret");
	assert_int_equal(set(&a, "disabled", "TRUE"), 0);
	assert_false(a.enabled);
	assert_int_equal(set(&a, "disabled", "f"), 0);
	assert_true(a.enabled);
	assert_int_equal(set(&a, "read_only", "1"), 0);
	assert_int_equal(set(&a, "no_delete", "yes"), 0);
	assert_true(a.read_only && a.no_delete);
	assert_int_equal(set(&a, "quota_octets", "2G"), 0);
	assert_int_equal(a.quota_octets, UINT64_C(2) << 30);
	assert_int_equal(set(&a, "quota_octets", "-1"), 0);
	assert_true(a.quota_octets == ACCOUNT_QUOTA_OCTETS_NONE);
	assert_int_equal(set(&a, "quota_messages", "none"), 0);
	assert_int_equal(a.quota_messages, ACCOUNT_QUOTA_MESSAGES_NONE);
	assert_int_equal(set(&a, "networks", "10.0.0.0/8 ::1"), 0);
	assert_int_equal(set(&a, "maildrop", "Sales+x@Example.org"), 0);
	assert_string_equal(a.maildrop, "sales@example.org");
	assert_int_equal(set(&a, "backend", "b7.example.net"), 0);
	assert_string_equal(a.backend, "b7.example.net");
}

static void
nothing_said_changes_nothing(void **state)
{
	struct account a, before;

	(void)state;
	account_field_begin(SPAN("alice@example.org"), &a);
	before = a;
	for (unsigned i = 0; i < ACCOUNT_FIELDS; i++)
		assert_int_equal(set(&a, account_field_names[i], ""), 0);
	assert_memory_equal(&a, &before, sizeof(a));
}

static void
values_without_sense(void **state)
{
	static const struct {
		const char *name, *text;
		int error;
	} wrong[] = {
		{ "password", "secret", -ENOTSUP },
		{ "password", "{SSHA}!!!", -EBADMSG },
		{ "disabled", "maybe", -EBADMSG },
		{ "quota_octets", "much", -EBADMSG },
		{ "quota_messages", "4294967295", -EBADMSG },
		{ "networks", "10.0.0.0/99", -EBADMSG },
		{ "networks", "10.0.0.0/8,::1", -EBADMSG },
		{ "maildrop", "a@b@c", -EBADMSG },
	};
	char text[ACCOUNT_HASH_OCTETS_MAX + 100];
	struct account a;
	enum account_field field;

	(void)state;
	account_field_begin(SPAN("alice@example.org"), &a);
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		assert_int_equal(set(&a, wrong[i].name, wrong[i].text), wrong[i].error);
	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(set(&a, "backend", text), -EBADMSG);
	assert_int_equal(set(&a, "networks", text), -EBADMSG);
	assert_int_equal(set(&a, "password", text), -EBADMSG);
	assert_true(a.enabled);
	assert_false(account_field_find(SPAN("Password"), &field));
	assert_false(account_field_find(SPAN("uid"), &field));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_values),
		cmocka_unit_test(nothing_said_changes_nothing),
		cmocka_unit_test(values_without_sense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
