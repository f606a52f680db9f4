/*
 * test_ring.c - who comes first when much has completed at once, on a real ring.
 */
#include "io/ring.h"

#include "io/base/clock.h"
#include "io/base/must.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENT    40u /* receives that can wait; each takes a millisecond */
#define A_WHILE_NS 1000000u
#define ALL        (PATIENT + 1)
#define HURRIED    PATIENT /* the one that cannot */
#define BUFFERS    64u
#define NOT_DONE   UINT32_MAX

struct guest {
	struct op op;
	struct fixture *fixture;
	int ours, theirs;
	int result;
	unsigned place; /* in the order in which they were done */
};

struct fixture {
	struct ring ring;
	struct op unheard;
	struct guest guests[ALL];
	unsigned done;
};

static void
nobody_asks(struct op *op, int result, uint32_t flags)
{
	(void)op;
	(void)result;
	(void)flags;
}

static void
received(struct op *op, int result, uint32_t flags)
{
	struct guest *g = container_of(op, struct guest, op);
	struct fixture *f = g->fixture;
	uint64_t ends_ns = clock_monotonic_ns() + A_WHILE_NS;

	g->result = result;
	g->place = f->done++;
	if (result > 0)
		ring_give_back(&f->ring, flags);
	if (g == &f->guests[HURRIED])
		return;
	while (clock_monotonic_ns() < ends_ns)
		;
}

static int
set_up(void **state)
{
	static struct fixture f;
	const struct ring_options options = {
		.entries = 256, .buffers = BUFFERS, .buffer_octets = 4096
	};

	f = (struct fixture){ .unheard.done = nobody_asks };
	must(ring_open(&options, &f.ring) == 0);
	for (unsigned i = 0; i < ALL; i++) {
		struct guest *g = &f.guests[i];
		int pair[2];

		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0);
		*g = (struct guest){ .op.done = received,
			.fixture = &f,
			.ours = pair[0],
			.theirs = pair[1],
			.place = NOT_DONE };
		ring_receive(&f.ring, &g->op, g->ours, true, i != HURRIED);
	}
	must(ring_wait(&f.ring, 0) == 0);
	*state = &f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	ring_close(&f->ring);
	for (unsigned i = 0; i < ALL; i++) {
		close(f->guests[i].ours);
		close(f->guests[i].theirs);
	}
	return 0;
}

static void
speak(struct fixture *f, unsigned guest)
{
	must(write(f->guests[guest].theirs, "x", 1) == 1);
}

/* Until all that were told to have completed are with us, or nothing comes any more. */
static void
take_in(struct fixture *f)
{
	for (unsigned i = 0; i < 10; i++)
		must(ring_wait(&f->ring, 0) == 0);
}

static void
who_cannot_wait_comes_first(void **state)
{
	struct fixture *f = *state;

	for (unsigned i = 0; i < ALL; i++) /* the hurried one last */
		speak(f, i);
	take_in(f);
	(void)ring_run(&f->ring);
	assert_int_equal(f->guests[HURRIED].place, 0);
}

static void
who_can_wait_gets_a_bounded_time_and_his_turn(void **state)
{
	struct fixture *f = *state;
	unsigned seen;

	for (unsigned i = 0; i < PATIENT; i++)
		speak(f, i);
	take_in(f);
	assert_true(ring_run(&f->ring));
	assert_in_range(f->done, 1, PATIENT - 1);
	seen = f->done;

	/* One who cannot wait goes before those that are left. */
	speak(f, HURRIED);
	take_in(f);
	(void)ring_run(&f->ring);
	assert_int_equal(f->guests[HURRIED].place, seen);

	for (unsigned i = 0; i < PATIENT && f->done < ALL; i++)
		(void)ring_run(&f->ring);
	assert_int_equal(f->done, ALL);
	assert_false(ring_run(&f->ring));
	for (unsigned i = 1; i < PATIENT; i++) /* in the order in which they came */
		assert_true(f->guests[i].place > f->guests[i - 1].place);
}

static void
a_cancel_reaches_both_kinds(void **state)
{
	struct fixture *f = *state;

	ring_cancel(&f->ring, &f->unheard, &f->guests[0].op);
	ring_cancel(&f->ring, &f->unheard, &f->guests[HURRIED].op);
	take_in(f);
	while (ring_run(&f->ring))
		;
	assert_int_equal(f->guests[0].result, -ECANCELED);
	assert_int_equal(f->guests[HURRIED].result, -ECANCELED);
	assert_int_equal(f->done, 2);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(who_cannot_wait_comes_first),
		TEST(who_can_wait_gets_a_bounded_time_and_his_turn),
		TEST(a_cancel_reaches_both_kinds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
