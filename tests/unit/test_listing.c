/*
 * test_listing.c - marks of deletion on a snapshot, against a model of one flag for each message.
 */
#include "storage/listing.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT_MAX 200u

struct model {
	struct maildrop maildrop;
	struct maildrop_entry entries[COUNT_MAX];
	bool marked[COUNT_MAX];
};

static void
model_init(struct model *m, uint32_t count)
{
	*m = (struct model){ .maildrop = { .count = count, .entries = m->entries } };
	for (uint32_t i = 0; i < count; i++) {
		m->entries[i].uid = 10 + 3 * i;
		m->entries[i].octets = UINT32_MAX - i; /* totals need 64 bits */
		m->maildrop.octets += m->entries[i].octets;
	}
}

static void
check(const struct model *m, const struct listing *l)
{
	uint32_t uids[COUNT_MAX];
	uint32_t count = 0;
	uint32_t deleted = 0;
	uint64_t octets = 0;

	listing_deleted_uids(l, uids);
	for (uint32_t i = 0; i < m->maildrop.count; i++) {
		const struct maildrop_entry *found = listing_find(l, i + 1);

		if (m->marked[i]) {
			assert_null(found);
			assert_int_equal(uids[deleted++], m->entries[i].uid);
		} else {
			assert_ptr_equal(found, &m->entries[i]);
			count++;
			octets += m->entries[i].octets;
		}
	}
	assert_int_equal(l->count, count);
	assert_true(l->octets == octets);
	assert_int_equal(listing_deleted(l), deleted);
	assert_null(listing_find(l, 0));
	assert_null(listing_find(l, m->maildrop.count + 1));
	assert_null(listing_find(l, UINT32_MAX));
}

static void
marks_agree_with_the_model(void **state)
{
	static const uint32_t counts[] = { 0, 1, 2, 63, 64, 65, 127, 128, 129, COUNT_MAX };
	static struct model m;

	(void)state;
	srand(11);
	for (size_t c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
		struct listing l;

		model_init(&m, counts[c]);
		listing_init(&l, &m.maildrop);
		for (unsigned step = 0; step < 400; step++) {
			uint32_t number = (uint32_t)rand() % (counts[c] + 3);
			bool there = number >= 1 && number <= counts[c] && !m.marked[number - 1];

			assert_int_equal(listing_mark_deleted(&l, number), there ? 0 : -ENOENT);
			if (there)
				m.marked[number - 1] = true;
			if (rand() % 100 == 0) {
				listing_restore_all(&l);
				memset(m.marked, 0, sizeof(m.marked));
			}
			check(&m, &l);
		}
		listing_clear(&l);
		assert_null(l.maildrop);
	}
}

static void
nothing_is_there_before_login(void **state)
{
	struct listing l = { 0 };

	(void)state;
	assert_int_equal(listing_deleted(&l), 0);
	listing_clear(&l);
	listing_init(&l, NULL);
	assert_int_equal(l.count, 0);
	listing_clear(&l);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(marks_agree_with_the_model),
		cmocka_unit_test(nothing_is_there_before_login),
	};

	return cmocka_run_group_tests_name("listing", tests, NULL, NULL);
}
