/*
 * test_tls_settled.c - what a session hears and says whose records are made here, in all suites:
 * data in any pieces, ends, faults, new keys, replies of any length.
 */
#include "tests/unit/settled_fixture.h"

/* ---- in ------------------------------------------------------------------------------------ */

static void
hear_words(struct fixture *f)
{
	say_data(f, "CAPA\r\n");
	assert_heard(f, "CAPA\r\n");
	assert_null(f->conn.outq.tls->input);
	reply(f, "+OK\r\n.\r\n");
	expect(f, TLS_RECORD_DATA, SPAN("+OK\r\n.\r\n"));
	assert_null(f->conn.outq.tls->output);
}

static void
words_come_and_go(void **state)
{
	(void)state;
	in_all_kinds(hear_words);
}

static void
hear_many_records(struct fixture *f)
{
	unsigned char records[2000];
	size_t length = 0;
	char wanted[600] = "";

	for (unsigned i = 0; i < 20; i++) {
		char words[20];

		snprintf(words, sizeof(words), "LIST %u\r\n", i);
		strcat(wanted, words);
		length += seal(f, TLS_RECORD_DATA, span_of_string(words), records + length);
	}
	send_raw(f, records, length);
	for (unsigned i = 0; i < 20; i++)
		turn(f);
	assert_heard(f, wanted);
	assert_null(f->conn.outq.tls->input);
}

static void
many_records_may_come_at_once(void **state)
{
	(void)state;
	in_all_kinds(hear_many_records);
}

static void
hear_in_pieces(struct fixture *f)
{
	static char words[TLS_RECORD_PLAIN_MAX + 1];
	static unsigned char record[RECORD_OCTETS];
	size_t whole;

	for (size_t i = 0; i < TLS_RECORD_PLAIN_MAX; i++)
		words[i] = (char)('a' + i % 23);
	for (size_t length = 1; length <= TLS_RECORD_PLAIN_MAX; length *= 128) {
		size_t piece = length < 200 ? 1 : 3000;

		whole = seal(f, TLS_RECORD_DATA, span_of(words, length), record);
		for (size_t at = 0; at < whole; at += piece) {
			assert_int_equal(f->heard_octets, 0);
			send_raw(f, record + at, whole - at < piece ? whole - at : piece);
		}
		for (unsigned i = 0; i < 10; i++)
			turn(f);
		assert_int_equal(f->heard_octets, length);
		assert_memory_equal(f->heard, words, length);
		f->heard_octets = 0;
		assert_null(f->conn.outq.tls->input);
	}
}

static void
a_record_may_come_in_pieces(void **state)
{
	(void)state;
	in_all_kinds(hear_in_pieces);
}

/* ---- the end ------------------------------------------------------------------------------- */

static void
hear_goodbye(struct fixture *f)
{
	say_data(f, "QUIT\r\n");
	say(f, TLS_RECORD_ALERT, SPAN("\1\0"));
	assert_heard(f, "QUIT\r\n");
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->why, CONN_END_CLOSED_BY_PEER);
	expect(f, TLS_RECORD_ALERT, SPAN("\1\0"));
}

static void
goodbye_is_answered(void **state)
{
	(void)state;
	in_all_kinds(hear_goodbye);
}

static void
say_goodbye(struct fixture *f)
{
	segments_put(conn_output(&f->conn), SPAN("+OK bye\r\n"));
	conn_close(&f->conn);
	turn(f);
	expect(f, TLS_RECORD_DATA, SPAN("+OK bye\r\n"));
	expect(f, TLS_RECORD_ALERT, SPAN("\1\0"));
	assert_int_equal(f->gone, 1);
}

static void
we_say_goodbye_behind_the_last_words(void **state)
{
	(void)state;
	in_all_kinds(say_goodbye);
}

static void
hear_alert(struct fixture *f)
{
	struct tls_opened record;
	size_t whole;

	say(f, TLS_RECORD_ALERT, SPAN("\1\x5a")); /* user_canceled alone changes nothing */
	say_data(f, "NOOP\r\n");
	assert_heard(f, "NOOP\r\n");
	say(f, TLS_RECORD_ALERT, SPAN("\2\x28"));
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->why, CONN_END_RECEIVE_FAILED);
	assert_false(hear_record(f, &record, &whole));
	assert_int_equal(count_read(&f->context.counts.failed[TLS_FAILURE_ALERT]), 1);
}

static void
an_alert_is_the_end(void **state)
{
	(void)state;
	in_all_kinds(hear_alert);
}

/* ---- faults -------------------------------------------------------------------------------- */

static void
hear_damaged(struct fixture *f)
{
	unsigned char record[100];
	size_t whole = seal(f, TLS_RECORD_DATA, SPAN("DELE 1\r\n"), record);

	record[whole - 1] ^= 1;
	send_raw(f, record, whole);
	assert_heard(f, "");
	expect_end_by_alert(f, TLS_ALERT_BAD_RECORD_MAC);
}

static void
a_damaged_record_is_told_and_the_end(void **state)
{
	(void)state;
	in_all_kinds(hear_damaged);
}

/* The same for one whose beginning was heard before. */
static void
hear_damaged_behind(struct fixture *f)
{
	unsigned char records[200];
	size_t length = seal(f, TLS_RECORD_DATA, SPAN("NOOP\r\n"), records);

	length += seal(f, TLS_RECORD_DATA, SPAN("DELE 1\r\n"), records + length);
	records[length - 1] ^= 0x80;
	send_raw(f, records, length);
	turn(f);
	assert_heard(f, "NOOP\r\n");
	expect_end_by_alert(f, TLS_ALERT_BAD_RECORD_MAC);
}

static void
what_stands_before_a_damaged_record_is_heard(void **state)
{
	(void)state;
	in_all_kinds(hear_damaged_behind);
}

static void
hear_overlong(struct fixture *f)
{
	send_raw(f, "\x17\x03\x03\x50\x00xxxxxxxxxxxxxxxxx", 20);
	expect_end_by_alert(f, TLS_ALERT_RECORD_OVERFLOW);
}

static void
hear_clear(struct fixture *f)
{
	send_raw(f, "STAT\r\n", 6);
	expect_end_by_alert(f, TLS_ALERT_UNEXPECTED_MESSAGE);
}

static void
hear_hello(struct fixture *f)
{
	say(f, TLS_RECORD_HANDSHAKE, SPAN("\1\0\0\4abcd"));
	expect_end_by_alert(f, TLS_ALERT_UNEXPECTED_MESSAGE);
}

static void
hear_half_an_alert(struct fixture *f)
{
	say(f, TLS_RECORD_ALERT, SPAN("\1"));
	expect_end_by_alert(f, TLS_ALERT_UNEXPECTED_MESSAGE);
}

static void
hear_change_cipher_spec(struct fixture *f)
{
	say(f, 20, SPAN("\1"));
	expect_end_by_alert(f, TLS_ALERT_UNEXPECTED_MESSAGE);
}

static void
what_has_no_place_here_is_told_and_the_end(void **state)
{
	(void)state;
	in_all_kinds(hear_overlong);
	in_all_kinds(hear_clear);
	in_all_kinds(hear_hello);
	in_all_kinds(hear_half_an_alert);
	in_all_kinds(hear_change_cipher_spec);
}

static void
hear_nothing(struct fixture *f)
{
	for (unsigned again = 0; again < 3; again++) {
		for (unsigned i = 0; i < QUIET_MAX; i++)
			say_data(f, "");
		assert_int_equal(f->ended, 0);
		say_data(f, "NOOP\r\n");
		assert_heard(f, "NOOP\r\n");
	}
	for (unsigned i = 0; i < QUIET_MAX + 1; i++)
		say_data(f, "");
	expect_end_by_alert(f, TLS_ALERT_UNEXPECTED_MESSAGE);
}

static void
empty_records_are_borne_for_a_while(void **state)
{
	(void)state;
	in_all_kinds(hear_nothing);
}

/* ---- new keys ------------------------------------------------------------------------------ */

static void
in_tls_1_3(void (*test)(struct fixture *f))
{
	for (size_t i = 0; i < array_count(kinds) && kinds[i].version == 13; i++) {
		struct fixture *f = set_up(&kinds[i]);

		test(f);
		tear_down(f);
	}
}

static void
follow_keys(struct fixture *f)
{
	for (unsigned i = 0; i < 5; i++) {
		change_keys(f, NOT_REQUESTED);
		say_data(f, "NOOP\r\n");
		assert_heard(f, "NOOP\r\n");
		reply(f, "+OK\r\n");
		expect(f, TLS_RECORD_DATA, SPAN("+OK\r\n"));
		change_keys(f, REQUESTED);
		expect(f, TLS_RECORD_HANDSHAKE, NOT_REQUESTED);
		move_on(f, TLS_SIDE_SERVER);
		reply(f, "+OK\r\n");
		expect(f, TLS_RECORD_DATA, SPAN("+OK\r\n"));
		say_data(f, "STAT\r\n");
		assert_heard(f, "STAT\r\n");
	}
	assert_int_equal(count_read(&f->context.counts.rekeys[TLS_REKEY_DONE]), 10);
}

static void
keys_are_followed_in_both_directions(void **state)
{
	(void)state;
	in_tls_1_3(follow_keys);
}

/* Data, KeyUpdate and data under the next keys come in one receive. */
static void
follow_keys_between_data(struct fixture *f)
{
	unsigned char records[400];
	size_t length = seal(f, TLS_RECORD_DATA, SPAN("one "), records);

	length += seal(f, TLS_RECORD_HANDSHAKE, NOT_REQUESTED, records + length);
	move_on(f, TLS_SIDE_CLIENT);
	length += seal(f, TLS_RECORD_DATA, SPAN("two "), records + length);
	length += seal(f, TLS_RECORD_HANDSHAKE, REQUESTED, records + length);
	move_on(f, TLS_SIDE_CLIENT);
	length += seal(f, TLS_RECORD_DATA, SPAN("three"), records + length);
	send_raw(f, records, length);
	turn(f);
	assert_heard(f, "one two three");
	expect(f, TLS_RECORD_HANDSHAKE, NOT_REQUESTED);
}

static void
keys_change_between_data(void **state)
{
	(void)state;
	in_tls_1_3(follow_keys_between_data);
}

static void
change_too_often(struct fixture *f)
{
	for (unsigned i = 0; i < QUIET_MAX; i++)
		change_keys(f, NOT_REQUESTED);
	say_data(f, "NOOP\r\n");
	assert_heard(f, "NOOP\r\n");
	for (unsigned i = 0; i < QUIET_MAX + 1; i++)
		change_keys(f, NOT_REQUESTED);
	expect_end_by_alert(f, TLS_ALERT_UNEXPECTED_MESSAGE);
	assert_int_equal(count_read(&f->context.counts.rekeys[TLS_REKEY_TOO_MANY]), 1);
}

static void
change_after_change_is_ended(void **state)
{
	(void)state;
	in_tls_1_3(change_too_often);
}

/* A client that asks again and again while it takes nothing gets one answer. */
static void
ask_without_listening(struct fixture *f)
{
	struct tls_opened record;
	unsigned updates = 0, octets = 0;
	size_t whole;
	char fill[4096];
	int fd = memfd_create("fill", MFD_CLOEXEC);

	memset(fill, 'f', sizeof(fill));
	for (unsigned i = 0; i < FILE_OCTETS / sizeof(fill); i++)
		assert_int_equal(write(fd, fill, sizeof(fill)), sizeof(fill));
	segments_put_file(conn_output(&f->conn), fd, 0, FILE_OCTETS);
	assert_false(conn_flush(&f->conn));
	turn(f);
	for (unsigned i = 0; i < 200; i++) {
		change_keys(f, REQUESTED);
		say_data(f, "x");
	}
	assert_int_equal(f->ended, 0);
	while (octets < FILE_OCTETS) {
		assert_true(hear_record(f, &record, &whole));
		if (record.type == TLS_RECORD_HANDSHAKE) {
			updates++;
			move_on(f, TLS_SIDE_SERVER);
		} else {
			octets += (unsigned)record.octets.length;
		}
		forget_record(f, whole);
	}
	assert_true(updates >= 1 && updates <= 3);
	close(fd);
}

static void
who_asks_again_without_listening_gets_one_answer(void **state)
{
	(void)state;
	in_tls_1_3(ask_without_listening);
}

/* The record limit of AES-GCM: TLS 1.3 goes on under new keys, TLS 1.2 ends. */
static void
use_key_up(struct fixture *f)
{
	struct tls *t = f->conn.outq.tls;
	bool is_limited = t->keys.aead != TLS_AEAD_CHACHA20_POLY1305;

	t->keys.out.sequence = f->keys.in.sequence = TLS_KEY_RECORDS_MAX - 1;
	reply(f, "last");
	expect(f, TLS_RECORD_DATA, SPAN("last"));
	reply(f, "first");
	if (is_limited && f->keys.version == 12) {
		assert_int_equal(f->ended, 1);
		assert_int_equal(f->why, CONN_END_SEND_FAILED);
		return;
	}
	if (is_limited) {
		expect(f, TLS_RECORD_HANDSHAKE, NOT_REQUESTED);
		move_on(f, TLS_SIDE_SERVER);
	}
	expect(f, TLS_RECORD_DATA, SPAN("first"));
	assert_int_equal(t->keys.out.sequence, is_limited ? 1 : TLS_KEY_RECORDS_MAX + 1);
}

static void
no_key_is_used_for_ever(void **state)
{
	(void)state;
	in_all_kinds(use_key_up);
}

/* ---- out ----------------------------------------------------------------------------------- */

/* Octets, a file and octets again, of any length: each octet is there, records are no longer than
 * they may be, and the last of them holds what ends the reply. */
static void
assert_reply_of(struct fixture *f, int fd, size_t front, size_t middle, size_t back)
{
	static char octets[40000];
	size_t at = 0, whole, last = 0;
	struct tls_opened record;

	memset(octets, '-', sizeof(octets));
	segments_put(conn_output(&f->conn), span_of(octets, front));
	if (middle > 0)
		segments_put_file(conn_output(&f->conn), fd, 7, middle);
	segments_put(conn_output(&f->conn), span_of(octets, back));
	(void)conn_flush(&f->conn);
	while (at < front + middle + back) {
		assert_true(hear_record(f, &record, &whole));
		assert_int_equal(record.type, TLS_RECORD_DATA);
		assert_true(record.octets.length <= TLS_RECORD_PLAIN_MAX);
		for (size_t i = 0; i < record.octets.length; i++, at++)
			must(record.octets.at[i] ==
				(at < front || at >= front + middle
						? '-'
						: (char)('a' + (7 + at - front) % 23)));
		last = record.octets.length;
		forget_record(f, whole);
	}
	assert_int_equal(at, front + middle + back);
	assert_true(last >= TLS_TAIL_OCTETS || last == at);
}

static void
send_replies(struct fixture *f)
{
	static const size_t lengths[] = { 0, 1, 15, 16, 17, 1000, 16380, 16384 };
	static char octets[100000];
	int fd = memfd_create("mail", MFD_CLOEXEC);

	for (size_t i = 0; i < sizeof(octets); i++)
		octets[i] = (char)('a' + i % 23);
	assert_int_equal(write(fd, octets, sizeof(octets)), sizeof(octets));
	for (size_t front = 0; front < array_count(lengths); front++)
		for (size_t back = 1; back < array_count(lengths); back++)
			assert_reply_of(f, fd, lengths[front], 1000, lengths[back]);
	for (size_t edge = 1; edge <= 5; edge++)
		for (size_t over = 0; over < 40; over++) {
			size_t length = edge * TLS_RECORD_PLAIN_MAX - 20 + over;

			assert_reply_of(f, fd, 0, length, 0);
			assert_reply_of(f, fd, 5, length - 10, 5);
		}
	close(fd);
}

static void
replies_of_any_length_arrive_whole(void **state)
{
	(void)state;
	in_all_kinds(send_replies);
}

static void
send_short_file(struct fixture *f)
{
	int fd = memfd_create("short", MFD_CLOEXEC);

	assert_int_equal(write(fd, "0123456789", 10), 10);
	segments_put_file(conn_output(&f->conn), fd, 0, 100);
	(void)conn_flush(&f->conn);
	for (unsigned i = 0; i < 100 && f->gone == 0; i++)
		turn(f);
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->why, CONN_END_FILE_FAILED);
	close(fd);
}

static void
a_file_that_ends_too_early_is_the_end(void **state)
{
	(void)state;
	in_all_kinds(send_short_file);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(words_come_and_go),
		cmocka_unit_test(many_records_may_come_at_once),
		cmocka_unit_test(a_record_may_come_in_pieces),
		cmocka_unit_test(goodbye_is_answered),
		cmocka_unit_test(we_say_goodbye_behind_the_last_words),
		cmocka_unit_test(an_alert_is_the_end),
		cmocka_unit_test(a_damaged_record_is_told_and_the_end),
		cmocka_unit_test(what_stands_before_a_damaged_record_is_heard),
		cmocka_unit_test(what_has_no_place_here_is_told_and_the_end),
		cmocka_unit_test(empty_records_are_borne_for_a_while),
		cmocka_unit_test(keys_are_followed_in_both_directions),
		cmocka_unit_test(keys_change_between_data),
		cmocka_unit_test(change_after_change_is_ended),
		cmocka_unit_test(who_asks_again_without_listening_gets_one_answer),
		cmocka_unit_test(no_key_is_used_for_ever),
		cmocka_unit_test(replies_of_any_length_arrive_whole),
		cmocka_unit_test(a_file_that_ends_too_early_is_the_end),
	};

	return cmocka_run_group_tests_name("tls settled", tests, NULL, NULL);
}
