/*
 * test_lmtp_path.c - the paths of MAIL and RCPT, those of the RFC and those of the wild.
 */
#include "core/lmtp/path.h"
#include "core/lmtp_head.h"
#include "io/base/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void
paths_are_read(void **state)
{
	static const struct {
		const char *text, *mailbox, *plain, *rest;
	} cases[] = {
		{ "<a@b.c>", "a@b.c", "a@b.c", "" },
		{ "<>", "", "", "" },
		{ "<> SIZE=1", "", "", " SIZE=1" },
		{ "<a@b.c>x", "a@b.c", "a@b.c", "x" },
		{ "<postmaster>", "postmaster", "postmaster", "" },
		{ "<@one.example,@two.example:a@b.c>", "a@b.c", "a@b.c", "" },
		{ "<@[192.0.2.1]:a@b.c>", "a@b.c", "a@b.c", "" },
		{ "<a@[192.0.2.1]>", "a@[192.0.2.1]", "a@[192.0.2.1]", "" },
		{ "<a@[IPv6:2001:db8::1]>", "a@[IPv6:2001:db8::1]", "a@[IPv6:2001:db8::1]", "" },
		{ "<\"a\"@b.c>", "\"a\"@b.c", "a@b.c", "" },
		{ "<\"a b>\\\"\\\\<\"@b.c>", "\"a b>\\\"\\\\<\"@b.c", "a b>\"\\<@b.c", "" },
		{ "<\"@\"@b.c>", "\"@\"@b.c", "@@b.c", "" },
		{ "<\"\"@b.c>", "\"\"@b.c", "@b.c", "" },
		{ "<a..b.@b.c>", "a..b.@b.c", "a..b.@b.c", "" },
		{ "<a+b=c%d!e/f@b.c>", "a+b=c%d!e/f@b.c", "a+b=c%d!e/f@b.c", "" },
		{ "<\xc3\xa9@\xc3\xa9.c>", "\xc3\xa9@\xc3\xa9.c", "\xc3\xa9@\xc3\xa9.c", "" },
	};

	(void)state;
	for (size_t i = 0; i < array_count(cases); i++) {
		struct span rest = span_of_string(cases[i].text);
		char plain[LMTP_PATH_OCTETS_MAX];
		struct span mailbox;
		size_t length;

		assert_true(lmtp_path_take(&rest, &mailbox));
		assert_true(span_equals(mailbox, span_of_string(cases[i].mailbox)));
		assert_true(span_equals(rest, span_of_string(cases[i].rest)));
		length = lmtp_mailbox_plain(mailbox, plain);
		assert_true(span_equals(span_of(plain, length), span_of_string(cases[i].plain)));
	}
}

static void
what_is_none_is_refused(void **state)
{
	static const char *const wrong[] = { "", "<", "a@b.c", "<a@b.c", "<a@>", "<@b.c>", "< >",
		"<a b@c.d>", "<a@b c>", "<a@b.c", "<a@@b.c>", "<a@b@c>", "<<a@b.c>>", "<a,b@c.d>",
		"<\"a@b.c>", "<\"a\"b@c.d>", "<a\"b\"@c.d>", "<a@[192.0.2.1>", "<a@[]>", "<a@[a]b>",
		"<@one:>x", "<@one a@b.c>", "<@one,a@b.c>", "<@:a@b.c>", "<a\r@b.c>", "<a@b\x7f.c>",
		"<\"a\rb\"@c.d>", "<\"a\\\r\"@c.d>", "<\"a\\" };

	(void)state;
	for (size_t i = 0; i < array_count(wrong); i++) {
		struct span rest = span_of_string(wrong[i]);
		struct span mailbox;

		assert_false(lmtp_path_take(&rest, &mailbox));
	}
}

static void
a_path_may_be_long_but_not_endless(void **state)
{
	char text[LMTP_PATH_OCTETS_MAX + 8];

	(void)state;
	for (size_t length = LMTP_PATH_OCTETS_MAX - 1; length <= LMTP_PATH_OCTETS_MAX + 1;
		length++) {
		struct span rest = span_of(text, length + 2);
		struct span mailbox;

		memset(text, 'a', sizeof(text));
		text[0] = '<';
		text[10] = '@';
		text[length + 1] = '>';
		assert_int_equal(lmtp_path_take(&rest, &mailbox), length <= LMTP_PATH_OCTETS_MAX);
	}
}

static void
head_lines_are_those_of_the_settings(void **state)
{
	const struct lmtp_head head = {
		.sender = SPAN("me@example.net"),
		.recipient = "alice@example.org",
		.client = SPAN("mx.example.net"),
		.peer = "2001:db8::1",
		.hostname = "mail.example.org",
		.id = "1.2.3",
		.is_secure = true,
		.takes_utf8 = true,
		.arrived_at = 951782400, /* a leap day */
	};
	struct settings settings = {
		.add_return_path = true,
		.add_delivered_to = true,
		.add_received = true,
	};
	char to[LMTP_HEAD_OCTETS_MAX];

	(void)state;
	assert_true(span_equals(span_of(to, lmtp_head_put(&head, &settings, to)),
		SPAN("Return-Path: <me@example.net>\r\n"
		     "Delivered-To: alice@example.org\r\n"
		     "Received: from mx.example.net ([IPv6:2001:db8::1])\r\n"
		     "\tby mail.example.org (ringpost) with UTF8LMTPS id 1.2.3\r\n"
		     "\tfor <alice@example.org>; Tue, 29 Feb 2000 00:00:00 +0000\r\n")));
	settings.add_received = settings.add_delivered_to = false;
	assert_true(span_equals(span_of(to, lmtp_head_put(&head, &settings, to)),
		SPAN("Return-Path: <me@example.net>\r\n")));
	settings.add_return_path = false;
	assert_int_equal(lmtp_head_put(&head, &settings, to), 0);
}

static void
the_longest_head_fits(void **state)
{
	static char sender[LMTP_PATH_OCTETS_MAX], client[255], hostname[254],
		recipient[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	const struct settings settings = {
		.add_return_path = true,
		.add_delivered_to = true,
		.add_received = true,
	};
	struct lmtp_head head = {
		.sender = span_of(memset(sender, 's', sizeof(sender)), sizeof(sender)),
		.recipient = memset(recipient, 'r', sizeof(recipient) - 1),
		.client = span_of(memset(client, 'c', sizeof(client)), sizeof(client)),
		.peer = "2001:db8:ffff:ffff:ffff:ffff:255.255.255.255",
		.hostname = memset(hostname, 'h', sizeof(hostname) - 1),
		.id = "ffffffffffffffff.ffffffff.fffffffffffff",
		.is_secure = true,
		.takes_utf8 = true,
		.arrived_at = INT32_MAX,
	};
	char to[LMTP_HEAD_OCTETS_MAX];

	(void)state;
	assert_true(lmtp_head_put(&head, &settings, to) > 1500);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths_are_read),
		cmocka_unit_test(what_is_none_is_refused),
		cmocka_unit_test(a_path_may_be_long_but_not_endless),
		cmocka_unit_test(head_lines_are_those_of_the_settings),
		cmocka_unit_test(the_longest_head_fits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
