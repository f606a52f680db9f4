/*
 * test_meters.c - limits that threads share: exact for one thread, never lost by many.
 */
#include "core/digest.h"
#include "core/guests.h"
#include "core/meters.h"
#include "core/tally.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#define THREADS 4u
#define SECOND  METERS_TICKS_PER_S

/* ---- digests ------------------------------------------------------------------------------- */

static struct digest_keys
draw(void)
{
	struct digest_keys keys;

	assert_int_equal(digest_keys_draw(&keys), 0);
	return keys;
}

static uint64_t
of_address(const struct digest_keys *keys, const char *text)
{
	unsigned char address[16];
	int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;

	assert_int_equal(inet_pton(family, text, address), 1);
	return digest_address(keys, family, address);
}

static void
an_address_is_a_32_or_a_64(void **state)
{
	struct digest_keys keys = draw();

	(void)state;
	assert_true(of_address(&keys, "192.0.2.1") == of_address(&keys, "192.0.2.1"));
	assert_true(of_address(&keys, "192.0.2.1") != of_address(&keys, "192.0.2.2"));
	assert_true(of_address(&keys, "2001:db8:0:1::1") == of_address(&keys, "2001:db8:0:1:f::2"));
	assert_true(of_address(&keys, "2001:db8:0:1::1") != of_address(&keys, "2001:db8:0:2::1"));
	assert_true(of_address(&keys, "0.0.0.0") != of_address(&keys, "::"));
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

/* Names that differ little, or only in how long a run of zeros is, make digests that differ. */
static void
different_texts_have_different_digests(void **state)
{
	struct digest_keys keys = draw(), others = draw();
	static uint64_t seen[20000 + 64];
	static const char zeros[64];
	size_t count = 0;
	char name[64];

	(void)state;
	for (unsigned n = 0; n < 20000; n++) {
		snprintf(name, sizeof(name), "user%u@example.org", n);
		seen[count++] = digest_text(&keys, span_of_string(name));
	}
	for (size_t length = 0; length < sizeof(zeros); length++)
		seen[count++] = digest_text(&keys, span_of(zeros, length));
	qsort(seen, count, sizeof(seen[0]), by_value);
	for (size_t i = 1; i < count; i++)
		assert_true(seen[i] != seen[i - 1]);
	assert_true(digest_text(&keys, SPAN("alice")) == digest_text(&keys, SPAN("alice")));
	assert_true(digest_text(&keys, SPAN("alice")) != digest_text(&others, SPAN("alice")));
}

/* ---- meters -------------------------------------------------------------------------------- */

static struct meters *
open_meters(uint32_t entries)
{
	struct meters *m;

	assert_int_equal(meters_open(entries, &m), 0);
	return m;
}

static void
a_bucket_runs_dry_by_itself(void **state)
{
	struct meters *m = open_meters(64);
	uint64_t who = 0x1234567890abcdef;

	(void)state;
	assert_int_equal(meters_level(m, who, 5000), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(meters_take(m, who, 5000, SECOND, 3 * SECOND));
	assert_false(meters_take(m, who, 5000, SECOND, 3 * SECOND));
	assert_int_equal(meters_level(m, who, 5000), 3 * SECOND);
	assert_false(meters_take(m, who, 5999, SECOND, 3 * SECOND));
	assert_true(meters_take(m, who, 6000, SECOND, 3 * SECOND));
	assert_int_equal(meters_level(m, who, 8500), SECOND / 2);
	meters_give_back(m, who, 8500, SECOND / 4);
	assert_int_equal(meters_level(m, who, 8500), SECOND / 4);
	meters_give_back(m, who, 8500, SECOND);
	assert_int_equal(meters_level(m, who, 8500), 0);
	meters_give_back(m, who, 8500, SECOND); /* nothing is there to be taken */
	assert_int_equal(meters_level(m, who, 8500), 0);
	meters_close(m);
}

static void
what_is_added_stops_at_the_brim(void **state)
{
	struct meters *m = open_meters(64);

	(void)state;
	for (unsigned i = 0; i < 10; i++)
		meters_add(m, 77, 1000, SECOND, 4 * SECOND);
	assert_int_equal(meters_level(m, 77, 1000), 4 * SECOND);
	assert_int_equal(meters_level(m, 77, 4999), 16);
	assert_int_equal(meters_level(m, 77, 5000), 0);
	meters_close(m);
}

/* A set has eight places; of more than eight, those stay that hold the most. */
static void
a_full_table_forgets_who_would_be_dry_first(void **state)
{
	struct meters *m = open_meters(8);

	(void)state;
	for (uint64_t n = 1; n <= 100; n++)
		meters_add(m, n << 44, 0, n * SECOND, 1000 * SECOND);
	for (uint64_t n = 1; n <= 92; n++)
		assert_int_equal(meters_level(m, n << 44, 0), 0);
	for (uint64_t n = 93; n <= 100; n++)
		assert_int_equal(meters_level(m, n << 44, 0), n * SECOND);
	meters_close(m);
}

struct race {
	struct meters *meters;
	struct tally *tally;
	uint64_t keys;
	unsigned seed;
	uint64_t done[64];
};

/* Run one on each of THREADS threads; what they have done is summed up in races[0]. */
static void
race_all(struct race races[THREADS], void *(*run)(void *))
{
	pthread_t threads[THREADS];

	for (unsigned i = 0; i < THREADS; i++) {
		races[i].seed = i + 1;
		assert_int_equal(pthread_create(&threads[i], NULL, run, &races[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 1; i < THREADS; i++)
		for (unsigned k = 0; k < 64; k++)
			races[0].done[k] += races[i].done[k];
}

static void *
take_often(void *argument)
{
	struct race *race = argument;

	for (unsigned i = 0; i < 50000; i++) {
		uint64_t key = (unsigned)rand_r(&race->seed) % race->keys;

		race->done[key] += meters_take(race->meters, key << 44 | key, 0, 1, 1000);
	}
	return NULL;
}

static void
many_threads_take_what_is_allowed_and_no_more(void **state)
{
	struct race races[THREADS];

	(void)state;
	for (unsigned round = 0; round < 10; round++) {
		struct meters *m = open_meters(1024);

		for (unsigned i = 0; i < THREADS; i++)
			races[i] = (struct race){ .meters = m, .keys = 7 };
		for (uint64_t key = 0; key < 7;
			key++) /* each has its word: none is claimed twice */
			assert_true(meters_take(m, key << 44 | key, 0, 1, 1000));
		race_all(races, take_often);
		for (unsigned key = 0; key < 7; key++) {
			assert_int_equal(races[0].done[key], 999);
			assert_int_equal(meters_level(m, (uint64_t)key << 44 | key, 0), 1000);
		}
		meters_close(m);
	}
}

static void *
claim_often(void *argument)
{
	struct race *race = argument;

	for (unsigned i = 0; i < 100000; i++) {
		uint64_t key = (unsigned)rand_r(&race->seed) % 64;

		meters_add(race->meters, key << 44, 0, 1 + i % 16, 64);
		if (meters_level(race->meters, key << 44, 0) > 64)
			race->done[0]++;
	}
	return NULL;
}

/* 64 keys want the eight places of one set: whatever is forgotten, no level is beyond its brim. */
static void
many_threads_fight_for_one_set(void **state)
{
	struct race races[THREADS];
	struct meters *m = open_meters(8);

	(void)state;
	for (unsigned i = 0; i < THREADS; i++)
		races[i] = (struct race){ .meters = m };
	race_all(races, claim_often);
	assert_int_equal(races[0].done[0], 0);
	meters_close(m);
}

/* ---- tallies ------------------------------------------------------------------------------- */

static void
a_tally_counts_each_alone(void **state)
{
	uint32_t tickets[3], ticket;
	struct tally *t;

	(void)state;
	assert_int_equal(tally_open(100, 3, &t), 0);
	for (unsigned i = 0; i < 3; i++)
		assert_true(tally_enter(t, 1u << 20, &tickets[i]));
	assert_false(tally_enter(t, 1u << 20, &ticket));
	assert_true(tally_enter(t, 2u << 20, &ticket));
	tally_leave(t, tickets[1]);
	assert_true(tally_enter(t, 1u << 20, &tickets[1]));
	assert_false(tally_enter(t, 1u << 20, &ticket));
	tally_leave(t, TALLY_NO_TICKET);
	tally_close(t);
}

/* Far enough apart that none meets another. */
static uint64_t
place_of(uint64_t key)
{
	return (key + 1) << 20 | key * 16;
}

static void *
come_and_go(void *argument)
{
	struct race *race = argument;
	uint32_t tickets[64];
	bool is_in[64] = { false };

	for (unsigned i = 0; i < 200000; i++) {
		uint64_t key = (unsigned)rand_r(&race->seed) % 64;

		if (is_in[key])
			tally_leave(race->tally, tickets[key]);
		is_in[key] = !is_in[key] && tally_enter(race->tally, place_of(key), &tickets[key]);
	}
	for (unsigned key = 0; key < 64; key++)
		if (is_in[key])
			tally_leave(race->tally, tickets[key]);
	return NULL;
}

static void
many_threads_come_and_go_and_nobody_stays(void **state)
{
	struct race races[THREADS];
	struct tally *t;

	(void)state;
	assert_int_equal(tally_open(64 * THREADS, 2, &t), 0);
	for (unsigned i = 0; i < THREADS; i++)
		races[i] = (struct race){ .tally = t };
	race_all(races, come_and_go);
	for (uint64_t key = 0; key < 64; key++) {
		uint32_t ticket;

		assert_true(tally_enter(t, place_of(key), &ticket));
		assert_true(tally_enter(t, place_of(key), &ticket));
		assert_false(tally_enter(t, place_of(key), &ticket));
	}
	tally_close(t);
}

/* ---- guests -------------------------------------------------------------------------------- */

static struct sockaddr_in
from(const char *text)
{
	struct sockaddr_in in = { .sin_family = AF_INET };

	assert_int_equal(inet_pton(AF_INET, text, &in.sin_addr), 1);
	return in;
}

static enum guests_answer
enter(struct guests *g, const char *text, uint64_t now_ms, uint32_t *ticket_out)
{
	struct sockaddr_in in = from(text);

	return guests_enter(g, (const struct sockaddr *)&in, now_ms, ticket_out);
}

static void
guests_are_counted_in_all_by_address_and_by_second(void **state)
{
	const struct guests_options options = {
		.max = 30,
		.per_address_max = 25,
		.connections_per_s = 2,
	};
	uint32_t tickets[40], ticket;
	struct guests *g;
	unsigned count = 0;

	(void)state;
	assert_int_equal(guests_open(&options, &g), 0);
	while (count < 20) /* ten seconds' worth */
		assert_int_equal(enter(g, "192.0.2.1", 1000, &tickets[count++]), GUESTS_WELCOME);
	assert_int_equal(enter(g, "192.0.2.1", 1000, &ticket), GUESTS_TOO_FAST);
	assert_int_equal(enter(g, "192.0.2.1", 1499, &ticket), GUESTS_TOO_FAST);
	assert_int_equal(enter(g, "192.0.2.1", 1500, &tickets[count++]), GUESTS_WELCOME);
	for (uint64_t i = 0; i < 4; i++)
		assert_int_equal(
			enter(g, "192.0.2.1", 2000 + 500 * i, &tickets[count++]), GUESTS_WELCOME);
	assert_int_equal(enter(g, "192.0.2.1", 99000, &ticket), GUESTS_ADDRESS_FULL);
	while (count < 30)
		assert_int_equal(enter(g, "192.0.2.2", 1000, &tickets[count++]), GUESTS_WELCOME);
	assert_int_equal(enter(g, "192.0.2.3", 1000, &ticket), GUESTS_FULL);
	assert_int_equal(guests_count(g), 30);
	while (count > 0)
		guests_leave(g, tickets[--count]);
	assert_int_equal(guests_count(g), 0);
	assert_int_equal(enter(g, "192.0.2.1", 99000, &ticket), GUESTS_WELCOME);
	guests_leave(g, ticket);
	guests_close(g);
}

static void
handshakes_have_a_rate_of_their_own(void **state)
{
	const struct guests_options options = { .max = 10, .handshakes_per_s = 1 };
	struct sockaddr_in in = from("192.0.2.1");
	struct guests *g;

	(void)state;
	assert_int_equal(guests_open(&options, &g), 0);
	for (unsigned i = 0; i < 10; i++)
		assert_true(guests_may_shake_hands(g, AF_INET, &in.sin_addr, 0));
	assert_false(guests_may_shake_hands(g, AF_INET, &in.sin_addr, 0));
	assert_true(guests_may_shake_hands(g, AF_UNIX, NULL, 0));
	assert_true(guests_may_shake_hands(g, AF_INET, &in.sin_addr, 1000));
	assert_false(guests_may_shake_hands(g, AF_INET, &in.sin_addr, 1000));
	guests_close(g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_is_a_32_or_a_64),
		cmocka_unit_test(different_texts_have_different_digests),
		cmocka_unit_test(a_bucket_runs_dry_by_itself),
		cmocka_unit_test(what_is_added_stops_at_the_brim),
		cmocka_unit_test(a_full_table_forgets_who_would_be_dry_first),
		cmocka_unit_test(many_threads_take_what_is_allowed_and_no_more),
		cmocka_unit_test(many_threads_fight_for_one_set),
		cmocka_unit_test(a_tally_counts_each_alone),
		cmocka_unit_test(many_threads_come_and_go_and_nobody_stays),
		cmocka_unit_test(guests_are_counted_in_all_by_address_and_by_second),
		cmocka_unit_test(handshakes_have_a_rate_of_their_own),
	};

	return cmocka_run_group_tests_name("meters", tests, NULL, NULL);
}
