/*
 * test_desk.c - deliveries from a shard come home once, each with its own fate; those to one
 * maildrop share commits and keep their order.
 */
#include "storage/desk.h"

#include "io/base/must.h"
#include "tests/unit/fault_disk.h"

#include <pthread.h>
#include <stdatomic.h>

#define DELIVERIES 3000u
#define ADDRESSES  17u

struct fixture {
	struct spool spool;
	struct loop loop;
	struct offload_home *home;
	struct draft_pool pool;
	struct draft *draft;
};

static struct fixture f;
static unsigned home_count;
static pthread_t shard;

static int
set_up(void **state)
{
	static const struct loop_options loop_options = {
		.ring = { .entries = 64, .buffers = 8, .buffer_octets = 4096 },
		.reply_blocks_max = 8,
		.cold_buffers_max = 1,
	};
	static const struct draft_options options = {
		.drafts_max = 8,
		.blocks_max = 64,
		.memory_octets_max = 4 * DRAFT_BLOCK_OCTETS,
	};
	struct span text = SPAN("Subject: s\r\n\r\nbody\r\n");

	(void)state;
	spool_make(&f.spool);
	assert_int_equal(loop_open(&f.loop, &loop_options), 0);
	assert_int_equal(offload_home_open(&f.loop, &f.home), 0);
	draft_pool_init(&f.pool, &f.spool.disk, &options);
	f.draft = draft_begin(&f.pool);
	assert_int_equal(draft_put_wire(f.draft, &text), 0);
	assert_int_equal(draft_end(f.draft), 0);
	home_count = 0;
	shard = pthread_self();
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	draft_free(f.draft);
	draft_pool_destroy(&f.pool);
	loop_close(&f.loop);
	offload_home_close(f.home);
	spool_remove(&f.spool);
	return 0;
}

static void
came_home(struct desk_delivery *delivery)
{
	must(pthread_equal(pthread_self(), shard));
	must(delivery->done == came_home);
	home_count++;
}

static void
turn_until(unsigned count)
{
	for (unsigned turns = 0; home_count < count && turns < 100000; turns++)
		assert_int_equal(loop_turn(&f.loop, 100), 0);
	assert_int_equal(home_count, count);
}

static struct desk *
open_desk(const struct disk *disk, unsigned threads, unsigned waiting_max)
{
	const struct desk_options options = {
		.threads = threads,
		.waiting_max = waiting_max,
		.maildrop = spool_options,
	};
	struct desk *desk;

	assert_int_equal(desk_open(disk, &options, &desk), 0);
	return desk;
}

static void
fill_delivery(struct desk_delivery *delivery, const char *address)
{
	*delivery = (struct desk_delivery){
		.address = address,
		.draft = f.draft,
		.head = SPAN("Return-Path: <>\r\n"),
		.arrived_at = 77,
		.done = came_home,
	};
}

static void
deliveries_come_home_once_and_in_order(void **state)
{
	static struct desk_delivery deliveries[DELIVERIES];
	static char addresses[ADDRESSES][32];
	struct desk *desk = open_desk(&f.spool.disk, 5, 200);
	uint32_t last_uid[ADDRESSES] = { 0 };
	unsigned sent = 0;

	(void)state;
	for (unsigned i = 0; i < ADDRESSES; i++)
		snprintf(addresses[i], sizeof(addresses[i]), "user%u@example.org", i);
	while (sent < DELIVERIES) {
		fill_delivery(&deliveries[sent], addresses[sent * sent % ADDRESSES]);
		if (desk_submit(desk, f.home, &deliveries[sent]) == 0)
			sent++;
		else
			assert_int_equal(loop_turn(&f.loop, 100), 0);
	}
	turn_until(DELIVERIES);
	desk_close(desk);
	for (unsigned i = 0; i < DELIVERIES; i++) {
		uint32_t *last = &last_uid[i * i % ADDRESSES];

		assert_int_equal(deliveries[i].error, 0);
		assert_int_equal(deliveries[i].uid, *last + 1); /* order of submission */
		*last = deliveries[i].uid;
	}
	for (unsigned i = 0; i < ADDRESSES; i++) {
		struct maildrop *m;

		if (last_uid[i] == 0)
			continue;
		m = spool_open(&f.spool.disk, addresses[i]);
		assert_int_equal(m->count, last_uid[i]);
		assert_int_equal(m->entries[0].octets, 17 + 20);
		assert_int_equal(m->entries[0].arrived_at, 77);
		maildrop_close(&f.spool.disk, m);
	}
}

/* A disk that counts syncs of data, each a little slow. */
static atomic_uint syncs;
static struct disk_ops counting_ops;
static const struct disk_ops *host_ops;

static int
slow_sync(const struct disk *d, int fd)
{
	atomic_fetch_add(&syncs, 1);
	usleep(2000);
	return host_ops->sync_data(d, fd);
}

static void
one_maildrop_shares_syncs(void **state)
{
	static struct desk_delivery deliveries[200];
	struct disk disk = f.spool.disk;
	struct desk *desk;

	(void)state;
	host_ops = disk.ops;
	counting_ops = *disk.ops;
	counting_ops.sync_data = slow_sync;
	disk.ops = &counting_ops;
	atomic_store(&syncs, 0);
	desk = open_desk(&disk, 4, 200);
	for (unsigned i = 0; i < 200; i++) {
		fill_delivery(&deliveries[i], "hot@example.org");
		assert_int_equal(desk_submit(desk, f.home, &deliveries[i]), 0);
	}
	turn_until(200);
	desk_close(desk);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(deliveries[i].error, 0);
	assert_true(atomic_load(&syncs) < 20);
}

static void
a_full_desk_says_so(void **state)
{
	static struct desk_delivery deliveries[3];
	struct desk *desk = open_desk(&f.spool.disk, 1, 2);
	unsigned taken = 0;

	(void)state;
	for (unsigned i = 0; i < 3; i++) {
		int error;

		fill_delivery(&deliveries[i], "full@example.org");
		error = desk_submit(desk, f.home, &deliveries[i]);
		assert_true(error == 0 || error == -EBUSY);
		taken += error == 0;
	}
	assert_true(taken >= 2);
	desk_close(desk); /* waits for them */
	turn_until(taken);
}

/* Each recipient's fate is its own: over quota, no address, a maildrop that somebody else has. */
static void
fates_are_separate(void **state)
{
	static struct desk_delivery deliveries[5];
	static char long_address[400];
	struct maildrop_writer *w;
	struct desk_options options = {
		.threads = 3,
		.waiting_max = 10,
		.maildrop = { .lock_timeout_ms = 50, .sync = true },
	};
	struct desk *desk;

	(void)state;
	memset(long_address, 'a', sizeof(long_address) - 1);
	assert_int_equal(desk_open(&f.spool.disk, &options, &desk), 0);
	assert_int_equal(
		maildrop_writer_open(&f.spool.disk, "busy@example.org", &spool_options, 0, &w), 0);
	fill_delivery(&deliveries[0], "good@example.org");
	fill_delivery(&deliveries[1], "good@example.org");
	deliveries[1].quota_messages = 1;
	fill_delivery(&deliveries[2], "good@example.org");
	fill_delivery(&deliveries[3], long_address);
	fill_delivery(&deliveries[4], "busy@example.org");
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(desk_submit(desk, f.home, &deliveries[i]), 0);
	turn_until(5);
	desk_close(desk);
	maildrop_writer_close(w);
	assert_int_equal(deliveries[0].error, 0);
	assert_int_equal(deliveries[1].error, -EDQUOT);
	assert_int_equal(deliveries[2].error, 0);
	assert_int_equal(deliveries[2].uid, 2);
	assert_int_equal(deliveries[3].error, -EINVAL);
	assert_int_equal(deliveries[4].error, -ETIMEDOUT);
}

/* Alone, on this thread; every call of the disk fails once: what is said to be there is there, and
 * what is not is not. */
static void
every_fault_is_told_truly(void **state)
{
	bool was_hit;
	unsigned n = 1;

	(void)state;
	do {
		struct desk_delivery deliveries[3];
		struct fault_disk fault;
		struct maildrop *m;
		char address[32];
		unsigned there = 0;

		snprintf(address, sizeof(address), "fault%u@example.org", n);
		spool_deliver(&f.spool.disk, address, "A: first\n\n");
		fault_init(&fault, &f.spool.disk, n, n % 2 ? -ENOSPC : -EIO, false);
		n++;
		for (unsigned i = 0; i < 3; i++) {
			fill_delivery(&deliveries[i], address);
			deliveries[i].next = i < 2 ? &deliveries[i + 1] : NULL;
		}
		desk_deliver(&fault.disk, &spool_options, deliveries);
		was_hit = fault.was_hit;
		fault.fail_at = 0;
		for (unsigned i = 0; i < 3; i++)
			there += deliveries[i].error == 0;
		m = spool_open(&f.spool.disk, address);
		assert_int_equal(m->count, 1 + there);
		maildrop_close(&f.spool.disk, m);
		assert_true(was_hit || there == 3);
		fault_free(&fault);
	} while (was_hit);
	assert_true(n > 10);
}

/* The disk has no room for all of them, but for each alone. */
static unsigned room_octets;

static ssize_t
gather_little(
	const struct disk *d, int fd, const struct span *parts, unsigned count, uint64_t offset)
{
	size_t octets = 0;

	for (unsigned i = 0; i < count; i++)
		octets += parts[i].length;
	if (octets > room_octets)
		return -ENOSPC;
	return host_ops->gather_at(d, fd, parts, count, offset);
}

static void
what_fits_alone_is_taken_alone(void **state)
{
	struct desk_delivery deliveries[3];
	struct disk disk = f.spool.disk;
	char text[8000];
	struct span octets = span_of(text, sizeof(text));
	struct draft *large = draft_begin(&f.pool);

	(void)state;
	memset(text, 'x', sizeof(text));
	assert_int_equal(draft_put_text(large, &octets), 0);
	assert_int_equal(draft_end(large), 0);
	host_ops = disk.ops;
	counting_ops = *disk.ops;
	counting_ops.gather_at = gather_little;
	disk.ops = &counting_ops;
	room_octets = 4000;
	for (unsigned i = 0; i < 3; i++) {
		fill_delivery(&deliveries[i], "small@example.org");
		deliveries[i].next = i < 2 ? &deliveries[i + 1] : NULL;
	}
	deliveries[1].draft = large;
	desk_deliver(&disk, &spool_options, deliveries);
	assert_int_equal(deliveries[0].error, 0);
	assert_int_equal(deliveries[1].error, -ENOSPC);
	assert_int_equal(deliveries[2].error, 0);
	draft_free(large);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			deliveries_come_home_once_and_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_maildrop_shares_syncs, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_full_desk_says_so, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fates_are_separate, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_fault_is_told_truly, set_up, tear_down),
		cmocka_unit_test_setup_teardown(what_fits_alone_is_taken_alone, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
