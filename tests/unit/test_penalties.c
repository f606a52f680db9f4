/*
 * test_penalties.c - failures cost time and are forgotten; an account has its sessions, its delay.
 */
#include "core/auth/admission.h"
#include "core/auth/penalties.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdio.h>

#define ALICE "alice@example.org"

static struct login_peer
peer(const char *text)
{
	struct login_peer p = { .family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET };

	assert_int_equal(inet_pton(p.family, text, p.address), 1);
	return p;
}

static struct penalties *
open_penalties(const char *exempt)
{
	const struct penalties_options options = { 5000, 60000, exempt };
	struct penalties *p;

	assert_int_equal(penalties_open(&options, &p), 0);
	return p;
}

static uint32_t
delay(struct penalties *p, const char *from, const char *account, uint64_t now_ms)
{
	const struct login_peer who = peer(from);

	return penalties_delay_ms(p, &who, account, now_ms);
}

static void
note_failure(struct penalties *p, const char *from, const char *account, uint64_t now_ms)
{
	const struct login_peer who = peer(from);

	penalties_note_failure(p, &who, account, now_ms);
}

static void
each_failure_doubles_the_delay_up_to_the_longest(void **state)
{
	static const uint32_t expected[] = { 0, 250, 500, 1000, 2000, 4000, 5000, 5000, 5000 };
	struct penalties *p = open_penalties("");

	(void)state;
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
		assert_int_equal(delay(p, "192.0.2.1", ALICE, 1000), expected[i]);
		assert_int_equal(delay(p, "192.0.2.1", "", 1000), expected[i]);
		assert_int_equal(delay(p, "192.0.2.2", ALICE, 1000), expected[i]);
		assert_int_equal(delay(p, "192.0.2.2", "bob@example.org", 1000), 0);
		note_failure(p, "192.0.2.1", ALICE, 1000);
	}
	penalties_close(p);
}

/* One in each minute, and six are all that count: after six minutes a day's attack is forgotten. */
static void
failures_are_forgotten_one_by_one(void **state)
{
	static const uint32_t expected[] = { 5000, 4000, 2000, 1000, 500, 250, 0 };
	struct penalties *p = open_penalties("");

	(void)state;
	for (unsigned i = 0; i < 1000; i++)
		note_failure(p, "192.0.2.1", ALICE, 1000);
	for (unsigned i = 0; i < 7; i++) {
		assert_int_equal(delay(p, "192.0.2.1", "", 1000 + 60000 * i), expected[i]);
		assert_int_equal(delay(p, "192.0.2.9", ALICE, 1000 + 60000 * i), expected[i]);
	}
	penalties_close(p);
}

static void
a_64_is_one_address(void **state)
{
	struct penalties *p = open_penalties("");

	(void)state;
	note_failure(p, "2001:db8::1", ALICE, 0);
	assert_int_equal(delay(p, "2001:db8::ffff:0:0:2", "", 0), 250);
	assert_int_equal(delay(p, "2001:db8:0:1::1", "", 0), 0);
	penalties_close(p);
}

/* The exempt neither wait nor make others wait. */
static void
some_networks_are_exempt(void **state)
{
	struct penalties *p = open_penalties("127.0.0.0/8 2001:db8:1::/48");
	const struct login_peer local = { .family = AF_UNIX };

	(void)state;
	note_failure(p, "127.0.0.1", ALICE, 0);
	note_failure(p, "2001:db8:1:2::3", ALICE, 0);
	penalties_note_failure(p, &local, ALICE, 0);
	assert_int_equal(delay(p, "192.0.2.1", ALICE, 0), 0);
	note_failure(p, "192.0.2.1", ALICE, 0);
	assert_int_equal(delay(p, "192.0.2.7", ALICE, 0), 250);
	assert_int_equal(delay(p, "127.0.0.1", ALICE, 0), 0);
	assert_int_equal(penalties_delay_ms(p, &local, ALICE, 0), 0);
	penalties_close(p);
}

/* ---- admission ----------------------------------------------------------------------------- */

static void
an_account_has_so_many_sessions(void **state)
{
	const struct admission_options options = { .sessions_max = 2, .connections = 100 };
	struct admission_ticket one = { 0 }, two = { 0 }, three = { 0 };
	struct admission *a;

	(void)state;
	assert_int_equal(admission_open(&options, &a), 0);
	assert_int_equal(admission_enter(a, SPAN(ALICE), 0, &one), LOGIN_GOOD);
	assert_int_equal(admission_enter(a, SPAN(ALICE), 0, &two), LOGIN_GOOD);
	assert_int_equal(admission_enter(a, SPAN(ALICE), 0, &three), LOGIN_TOO_MANY);
	admission_leave(a, &three); /* was never in */
	assert_int_equal(admission_enter(a, SPAN("bob"), 0, &three), LOGIN_GOOD);
	admission_leave(a, &one);
	admission_leave(a, &one); /* once is enough */
	assert_int_equal(admission_enter(a, SPAN(ALICE), 0, &one), LOGIN_GOOD);
	assert_int_equal(admission_enter(a, SPAN(ALICE), 0, &three), LOGIN_TOO_MANY);
	admission_close(a);
}

static void
an_account_comes_so_often(void **state)
{
	const struct admission_options options = { .delay_s = 60, .burst = 2, .sessions_max = 1 };
	struct admission_ticket ticket = { 0 };
	struct admission *a;

	(void)state;
	assert_int_equal(admission_open(&options, &a), 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(admission_enter(a, SPAN(ALICE), 1000, &ticket), LOGIN_GOOD);
		admission_leave(a, &ticket);
	}
	assert_int_equal(admission_enter(a, SPAN(ALICE), 60999, &ticket), LOGIN_TOO_SOON);
	assert_int_equal(admission_enter(a, SPAN("bob"), 60999, &ticket), LOGIN_GOOD);
	admission_leave(a, &ticket);
	/* Who came too soon is not counted as a session either. */
	assert_int_equal(admission_enter(a, SPAN(ALICE), 61000, &ticket), LOGIN_GOOD);
	/* What came to nothing does not count for the next one. */
	admission_take_back(a, SPAN(ALICE), 61000, &ticket);
	assert_int_equal(admission_enter(a, SPAN(ALICE), 61000, &ticket), LOGIN_GOOD);
	admission_close(a);
}

static void
nothing_is_asked_where_there_is_no_limit(void **state)
{
	const struct admission_options options = { .connections = 100 };
	struct admission_ticket ticket = { 0 };
	struct admission *a;

	(void)state;
	assert_int_equal(admission_open(&options, &a), 0);
	assert_null(a);
	admission_leave(a, &ticket);
	admission_close(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_failure_doubles_the_delay_up_to_the_longest),
		cmocka_unit_test(failures_are_forgotten_one_by_one),
		cmocka_unit_test(a_64_is_one_address),
		cmocka_unit_test(some_networks_are_exempt),
		cmocka_unit_test(an_account_has_so_many_sessions),
		cmocka_unit_test(an_account_comes_so_often),
		cmocka_unit_test(nothing_is_asked_where_there_is_no_limit),
	};

	return cmocka_run_group_tests_name("penalties", tests, NULL, NULL);
}
