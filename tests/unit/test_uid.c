/*
 * test_uid.c - what a unique-id may look like, and Dovecot's default form.
 */
#include "storage/uid.h"

#include "storage/maildrop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
unique_ids(void **state)
{
	char id[MAILDROP_UNIQUE_ID_MAX + 1];

	(void)state;
	memset(id, '~', sizeof(id));
	assert_false(uid_is_unique_id(SPAN("")));
	assert_true(uid_is_unique_id(SPAN("!")));
	assert_true(uid_is_unique_id(span_of(id, MAILDROP_UNIQUE_ID_MAX)));
	assert_false(uid_is_unique_id(span_of(id, sizeof(id))));
	assert_false(uid_is_unique_id(SPAN("a b")));
	assert_false(uid_is_unique_id(SPAN("a\x7F")));
	assert_false(uid_is_unique_id(SPAN("\xE4")));
	assert_false(uid_is_unique_id(SPAN("a\r")));
}

static void
derived_form_is_dovecots(void **state)
{
	char id[UID_DERIVED_OCTETS];

	(void)state;
	uid_put_derived(0x12, 0x5f3a9c01, id);
	assert_memory_equal(id, "000000125f3a9c01", sizeof(id));
	uid_put_derived(UID_MAX, 0, id);
	assert_memory_equal(id, "fffffffe00000000", sizeof(id));
}

static void
derived_form_is_recognised(void **state)
{
	uint32_t uid = 7;

	(void)state;
	assert_true(uid_is_derived(SPAN("0000abcd0000002a"), 42, &uid));
	assert_int_equal(uid, 0xabcd);
	uid = 7;
	assert_false(uid_is_derived(SPAN("0000abcd0000002a"), 43, &uid));
	assert_false(uid_is_derived(SPAN("0000ABCD0000002a"), 42, &uid));
	assert_false(uid_is_derived(SPAN("000abcd0000002a"), 42, &uid));
	assert_false(uid_is_derived(SPAN("0000abcg0000002a"), 42, &uid));
	assert_int_equal(uid, 7);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unique_ids),
		cmocka_unit_test(derived_form_is_dovecots),
		cmocka_unit_test(derived_form_is_recognised),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
