/*
 * test_conn.c - one connection on a real ring, over a pair of sockets, in pretended time.
 *
 * What a setting of at least ten minutes makes hard to see from outside is shown here: an idle
 * limit moves with every octet that comes in or goes out, a deadline does not.
 */
#include "io/conn.h"

#include "io/base/clock.h"
#include "io/base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS     600000u
#define FILE_OCTETS  (4u << 20)
#define TRICKLE_SIZE 65536u

struct fixture {
	struct loop loop;
	struct conn conn;
	uint64_t now_ms;
	int peer; /* the other end */
	unsigned timed_out;
	unsigned ended;
	unsigned drained;
	unsigned gone;
	enum conn_end why;
	char heard[4096];
	size_t heard_octets;
};

static struct fixture *
fixture_of(struct conn *c)
{
	return container_of(c, struct fixture, conn);
}

static void
received(struct conn *c, struct span octets)
{
	struct fixture *f = fixture_of(c);

	must(f->heard_octets + octets.length <= sizeof(f->heard));
	memcpy(f->heard + f->heard_octets, octets.at, octets.length);
	f->heard_octets += octets.length;
	conn_receive(c, !c->more_is_there);
}

static void
drained(struct conn *c)
{
	fixture_of(c)->drained++;
}

static void
timed_out(struct conn *c)
{
	fixture_of(c)->timed_out++;
	conn_abort(c);
}

static void
ended(struct conn *c, enum conn_end why, int error)
{
	(void)error;
	fixture_of(c)->ended++;
	fixture_of(c)->why = why;
	conn_close(c);
}

static void
gone(struct conn *c)
{
	fixture_of(c)->gone++;
}

static const struct conn_ops ops = {
	.received = received,
	.drained = drained,
	.timed_out = timed_out,
	.ended = ended,
	.gone = gone,
};

/* Some turns, so that what the kernel completes late is seen too. */
static void
turn(struct fixture *f)
{
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(loop_turn(&f->loop, 0), 0);
		usleep(500);
	}
}

static void
let_pass(struct fixture *f, uint64_t ms)
{
	f->now_ms += ms;
	clock_pretend(f->now_ms * 1000000);
	turn(f);
}

static int
set_up(void **state)
{
	static struct fixture f;
	const struct loop_options options = {
		.ring = { .entries = 64, .buffers = 8, .buffer_octets = 4096 },
		.reply_blocks_max = 64,
		.cold_buffers_max = 2,
	};
	int pair[2];

	f = (struct fixture){ .now_ms = 1000000 };
	clock_pretend(f.now_ms * 1000000);
	assert_int_equal(loop_open(&f.loop, &options), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	f.peer = pair[1];
	conn_open(&f.conn, &f.loop, pair[0], &ops);
	conn_receive(&f.conn, true);
	*state = &f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	conn_abort(&f->conn);
	for (unsigned i = 0; i < 100 && f->gone == 0; i++)
		turn(f);
	assert_int_equal(f->gone, 1);
	close(f->peer);
	loop_close(&f->loop);
	clock_pretend(0);
	return 0;
}

static void
an_idle_limit_comes_true_once(void **state)
{
	struct fixture *f = *state;

	conn_set_idle_limit(&f->conn, LIMIT_MS);
	let_pass(f, LIMIT_MS - 100);
	assert_int_equal(f->timed_out, 0);
	let_pass(f, 200);
	assert_int_equal(f->timed_out, 1);
	let_pass(f, 2 * LIMIT_MS);
	assert_int_equal(f->timed_out, 1);
	assert_int_equal(f->gone, 1);
}

static void
each_octet_that_comes_moves_the_idle_limit(void **state)
{
	struct fixture *f = *state;

	conn_set_idle_limit(&f->conn, LIMIT_MS);
	for (unsigned i = 0; i < 20; i++) {
		let_pass(f, LIMIT_MS - 1000);
		assert_int_equal(f->timed_out, 0);
		assert_int_equal(write(f->peer, "x", 1), 1);
		turn(f);
	}
	assert_int_equal(f->heard_octets, 20);
	let_pass(f, LIMIT_MS + 100);
	assert_int_equal(f->timed_out, 1);
}

static void
a_deadline_does_not_move(void **state)
{
	struct fixture *f = *state;

	conn_set_deadline(&f->conn, LIMIT_MS);
	for (unsigned i = 0; i < 9; i++) {
		let_pass(f, LIMIT_MS / 10);
		assert_int_equal(write(f->peer, "x", 1), 1);
		turn(f);
		assert_int_equal(f->timed_out, 0);
	}
	let_pass(f, LIMIT_MS / 10 + 100);
	assert_int_equal(f->timed_out, 1);
}

static void
a_login_changes_a_deadline_into_an_idle_limit(void **state)
{
	struct fixture *f = *state;

	conn_set_deadline(&f->conn, 60000);
	let_pass(f, 30000);
	conn_set_idle_limit(&f->conn, LIMIT_MS);
	let_pass(f, LIMIT_MS - 1000);
	assert_int_equal(f->timed_out, 0);
	let_pass(f, 1100);
	assert_int_equal(f->timed_out, 1);
}

static int
big_file(void)
{
	int fd = memfd_create("big", MFD_CLOEXEC);
	static char octets[TRICKLE_SIZE];

	assert_true(fd >= 0);
	for (unsigned i = 0; i < FILE_OCTETS / TRICKLE_SIZE; i++) {
		memset(octets, (int)('a' + i % 26), sizeof(octets));
		assert_int_equal(write(fd, octets, sizeof(octets)), sizeof(octets));
	}
	return fd;
}

/* No idle limit while a slow client is still taking a RETR that moves. */
static void
each_octet_that_goes_moves_the_idle_limit(void **state)
{
	struct fixture *f = *state;
	static char got[TRICKLE_SIZE];
	uint64_t taken = 0;
	int fd = big_file();

	conn_set_idle_limit(&f->conn, LIMIT_MS);
	segments_put_file(conn_output(&f->conn), fd, 0, FILE_OCTETS);
	assert_false(conn_flush(&f->conn));
	while (taken < FILE_OCTETS) {
		ssize_t n;

		let_pass(f, LIMIT_MS / 2);
		assert_int_equal(f->timed_out, 0);
		while ((n = read(f->peer, got, sizeof(got))) > 0) {
			assert_int_equal(got[0], 'a' + (char)(taken / TRICKLE_SIZE % 26));
			taken += (uint64_t)n;
		}
		assert_true(n < 0 && errno == EAGAIN);
		turn(f);
	}
	assert_int_equal(taken, FILE_OCTETS);
	assert_int_equal(f->drained, 1);
	let_pass(f, LIMIT_MS + 100);
	assert_int_equal(f->timed_out, 1);
	close(fd);
}

static void
who_takes_nothing_is_idle(void **state)
{
	struct fixture *f = *state;
	int fd = big_file();

	conn_set_idle_limit(&f->conn, LIMIT_MS);
	segments_put_file(conn_output(&f->conn), fd, 0, FILE_OCTETS);
	assert_false(conn_flush(&f->conn));
	turn(f); /* the sockets between are full now */
	let_pass(f, LIMIT_MS + 100);
	assert_int_equal(f->timed_out, 1);
	assert_int_equal(f->gone, 1);
	close(fd);
}

static void
what_is_queued_goes_out_before_the_close(void **state)
{
	struct fixture *f = *state;
	static char got[TRICKLE_SIZE];
	uint64_t taken = 0;
	ssize_t n;
	int fd = big_file();

	segments_put_file(conn_output(&f->conn), fd, 0, FILE_OCTETS);
	segments_put(conn_output(&f->conn), SPAN("+OK goodbye\r\n"));
	(void)conn_flush(&f->conn);
	conn_close(&f->conn);
	for (unsigned i = 0; i < 10000 && f->gone == 0; i++) {
		turn(f);
		while ((n = read(f->peer, got, sizeof(got))) > 0)
			taken += (uint64_t)n;
	}
	while ((n = read(f->peer, got, sizeof(got))) > 0)
		taken += (uint64_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(taken, FILE_OCTETS + 13);
	close(fd);
}

static void
the_end_of_the_peer_is_told_once(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(write(f->peer, "last words", 10), 10);
	assert_int_equal(shutdown(f->peer, SHUT_WR), 0);
	turn(f);
	assert_int_equal(f->heard_octets, 10);
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->why, CONN_END_CLOSED_BY_PEER);
	turn(f);
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->gone, 1);
}

/* A file that is shorter than the reply says must never become a reply with a hole in it. */
static void
a_file_that_ends_too_early_ends_the_connection(void **state)
{
	struct fixture *f = *state;
	int fd = memfd_create("short", MFD_CLOEXEC);

	assert_int_equal(write(fd, "0123456789", 10), 10);
	segments_put_file(conn_output(&f->conn), fd, 0, 100);
	segments_put(conn_output(&f->conn), SPAN("next reply"));
	(void)conn_flush(&f->conn);
	for (unsigned i = 0; i < 100 && f->gone == 0; i++)
		turn(f);
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->why, CONN_END_FILE_FAILED);
	assert_int_equal(f->gone, 1);
	assert_in_range(read(f->peer, f->heard, sizeof(f->heard)), 0, 10);
	close(fd);
}

struct busy {
	struct deferred deferred;
	struct loop *loop;
	struct op none;
	bool submits; /* something, in every turn */
};

static void
comes_again(struct deferred *d)
{
	struct busy *b = container_of(d, struct busy, deferred);

	if (b->submits)
		ring_cancel(&b->loop->ring, &b->loop->unheard, &b->none);
	loop_defer(b->loop, d);
}

static void
hear_beside(struct fixture *f, bool submits)
{
	struct busy busy = { .loop = &f->loop, .submits = submits };

	f->heard_octets = 0;

	deferred_init(&busy.deferred, comes_again);
	loop_defer(&f->loop, &busy.deferred);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(loop_turn(&f->loop, UINT64_MAX), 0);
	assert_int_equal(write(f->peer, "STAT\r\n", 6), 6);
	for (unsigned i = 0; i < 1000 && f->heard_octets == 0; i++)
		assert_int_equal(loop_turn(&f->loop, UINT64_MAX), 0);
	assert_int_equal(f->heard_octets, 6);
	deferred_forget(&busy.deferred);
}

/* A long reply to a fast reader gives its turn up again and again, handshakes are taken step by
 * step; all others must still be heard. */
static void
who_is_always_busy_keeps_nobody_from_being_heard(void **state)
{
	hear_beside(*state, false);
	hear_beside(*state, true);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(an_idle_limit_comes_true_once),
		TEST(each_octet_that_comes_moves_the_idle_limit),
		TEST(a_deadline_does_not_move),
		TEST(a_login_changes_a_deadline_into_an_idle_limit),
		TEST(each_octet_that_goes_moves_the_idle_limit),
		TEST(who_takes_nothing_is_idle),
		TEST(what_is_queued_goes_out_before_the_close),
		TEST(the_end_of_the_peer_is_told_once),
		TEST(a_file_that_ends_too_early_ends_the_connection),
		TEST(who_is_always_busy_keeps_nobody_from_being_heard),
	};

	return cmocka_run_group_tests_name("conn", tests, NULL, NULL);
}
