/*
 * test_uidlist.c - the unique-ids of Dovecot and Courier come over octet by octet.
 */
#include "storage/convert/uidlist.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
assert_id(const struct uidlist *list, const char *name, const char *expected)
{
	const struct uidlist_entry *entry = uidlist_find(list, span_of_string(name));
	char id[MAILDROP_UNIQUE_ID_MAX + 1] = "";

	assert_non_null(entry);
	if (expected == NULL) {
		assert_false(uidlist_unique_id(list, entry, id));
		return;
	}
	assert_true(uidlist_unique_id(list, entry, id));
	assert_string_equal(id, expected);
}

static void
dovecot_ids_are_default_form_or_p_field(void **state)
{
	static const char text[] = "3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1\n"
				   "25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,\n"
				   "25017 W2481 Pblob-17 :1276533073.M242911P3632.kurkku:2,F\n"
				   "25018 P O3 :1276533074.M1P1.kurkku\n"
				   "25019 P\001 :1276533075.M1P1.kurkku\n";
	struct uidlist list;

	(void)state;
	assert_int_equal(uidlist_parse(UIDLIST_DOVECOT, SPAN(text), &list), 0);
	assert_int_equal(list.uid_validity, 1275660208);
	assert_int_equal(list.next_uid, 25022);
	assert_int_equal(list.count, 4);
	assert_int_equal(list.bad_lines, 0);
	/* %08x of uid, then of uid-validity */
	assert_id(&list, "1276528487.M364837P9451.kurkku,S=1355,W=1394", "000061ae4c0907b0");
	assert_id(&list, "1276533073.M242911P3632.kurkku", "blob-17");
	assert_id(&list, "1276533074.M1P1.kurkku", "1276533074.M1P1.kurkku");
	assert_id(&list, "1276533075.M1P1.kurkku", NULL);
	assert_int_equal(uidlist_find(&list, SPAN("1276533074.M1P1.kurkku"))->order, 3);
	assert_null(uidlist_find(&list, SPAN("1276533074.M1P1")));
	uidlist_free(&list);
}

static void
dovecot_version_1_has_no_fields(void **state)
{
	struct uidlist list;

	(void)state;
	assert_int_equal(
		uidlist_parse(UIDLIST_DOVECOT, SPAN("1 255 9\n8 1276533074.x:2,S\n"), &list), 0);
	assert_id(&list, "1276533074.x", "00000008000000ff");
	uidlist_free(&list);
}

static void
damaged_lines_cost_one_id_damaged_headers_all(void **state)
{
	static const char text[] = "3 V7 N9\n"
				   "zwei :b\n"
				   "0 :c\n"
				   "\n"
				   "4294967295 :d\n"
				   "5\n"
				   "5 :\n"
				   "3 :a\n"
				   "6 :a:2,S\n"
				   "7 :last";
	struct uidlist list;

	(void)state;
	assert_int_equal(uidlist_parse(UIDLIST_DOVECOT, SPAN(text), &list), 0);
	assert_int_equal(list.bad_lines, 5);
	assert_int_equal(list.count, 2);
	assert_id(&list, "a", "0000000600000007"); /* the later line counts */
	assert_id(&list, "last", "0000000700000007");
	uidlist_free(&list);

	assert_int_equal(uidlist_parse(UIDLIST_DOVECOT, SPAN(""), &list), -EPROTONOSUPPORT);
	assert_int_equal(
		uidlist_parse(UIDLIST_DOVECOT, SPAN("2 V7 N9\n"), &list), -EPROTONOSUPPORT);
	assert_int_equal(uidlist_parse(UIDLIST_DOVECOT, SPAN("3 V7\n1 :a\n"), &list), -EBADMSG);
	assert_int_equal(uidlist_parse(UIDLIST_DOVECOT, SPAN("3 N7\n1 :a\n"), &list), -EBADMSG);
	assert_int_equal(uidlist_parse(UIDLIST_DOVECOT, SPAN("3 V-1 N7\n"), &list), -EBADMSG);
	assert_int_equal(uidlist_parse(UIDLIST_DOVECOT, SPAN("1 5\n"), &list), -EBADMSG);
	assert_int_equal(uidlist_parse(UIDLIST_COURIER, SPAN("/4 1 2\n"), &list), -EPROTONOSUPPORT);
	assert_int_equal(uidlist_parse(UIDLIST_COURIER, SPAN("/x 1 2\n"), &list), -EBADMSG);
}

static void
courier_ids_of_every_version(void **state)
{
	struct uidlist list;

	(void)state;
	assert_int_equal(uidlist_parse(UIDLIST_COURIER,
				 SPAN("/3 4 1153000000\n"
				      "1152.M1.host,S=12:2,S 12 1:1153000000:0\n"
				      "with blank:2, 12 2:1153000001:1\n"
				      "1153.M1.host 12 3:0:0\n"),
				 &list),
		0);
	assert_id(&list, "1152.M1.host,S=12", "UID1-1153000000");
	assert_id(&list, "with blank", "UID2-1153000001");
	assert_id(&list, "1153.M1.host", "UID3");
	uidlist_free(&list);

	assert_int_equal(
		uidlist_parse(UIDLIST_COURIER,
			SPAN("/2 4 1153000000\n1152.M1.host:2,S 12 1:1153000000\n"), &list),
		0);
	assert_id(&list, "1152.M1.host", "UID1-1153000000");
	uidlist_free(&list);

	assert_int_equal(
		uidlist_parse(UIDLIST_COURIER, SPAN("/1 4\n1152.M1.host:2,S 12 17\n"), &list), 0);
	assert_id(&list, "1152.M1.host", "UID17");
	uidlist_free(&list);

	assert_int_equal(
		uidlist_parse(UIDLIST_COURIER, SPAN("1152.M1+\"h:2,S 12\n1152.M2.h 5\nx\n"), &list),
		0);
	assert_id(&list, "1152.M1+\"h", "1152.M1+2B+22h");
	assert_id(&list, "1152.M2.h", "1152.M2.h");
	assert_int_equal(list.bad_lines, 1);
	uidlist_free(&list);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(dovecot_ids_are_default_form_or_p_field),
		cmocka_unit_test(dovecot_version_1_has_no_fields),
		cmocka_unit_test(damaged_lines_cost_one_id_damaged_headers_all),
		cmocka_unit_test(courier_ids_of_every_version),
	};

	return cmocka_run_group_tests_name("uidlist", tests, NULL, NULL);
}
