/*
 * test_layout.c - addresses and directories, one for each.
 */
#include "tests/unit/spool.h"

#include <errno.h>
#include <sys/stat.h>

static void
address_there_and_back(const char *address, const char *name)
{
	char path[LAYOUT_PATH_MAX];
	char back[LAYOUT_ADDRESS_OCTETS_MAX + 1];

	assert_int_equal(layout_directory(address, path), 0);
	assert_int_equal(strspn(path + 5, "0123456789abcdef"), 2);
	assert_string_equal(strrchr(path, '/') + 1, name);
	assert_int_equal(layout_address(name, back), 0);
	assert_string_equal(back, address);
}

static void
addresses_are_escaped(void **state)
{
	(void)state;
	address_there_and_back("alice@example.org", "alice@example.org");
	address_there_and_back("a_b+c-d=e.f@x", "a_b+c-d=e.f@x");
	address_there_and_back("..", "%2E.");
	address_there_and_back("../../etc", "%2E.%2F..%2Fetc");
	address_there_and_back("A b%", "%41%20b%25");
	address_there_and_back("\xC3\xA9", "%C3%A9");
}

static void
other_names_are_no_address(void **state)
{
	static const char *const names[] = { "", "%", "%2", "%2e.", "%61", ".x", "A", "%00", "a b",
		"a%2", "%GG" };
	char back[LAYOUT_ADDRESS_OCTETS_MAX + 1] = "untouched";

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(layout_address(names[i], back), -EINVAL);
	assert_string_equal(back, "untouched");
}

static void
lengths_are_limited(void **state)
{
	char address[LAYOUT_ADDRESS_OCTETS_MAX + 2];
	char path[LAYOUT_PATH_MAX];

	(void)state;
	memset(address, 'a', sizeof(address));
	address[LAYOUT_ADDRESS_OCTETS_MAX + 1] = '\0';
	assert_int_equal(layout_directory(address, path), -EINVAL);
	address[LAYOUT_ADDRESS_OCTETS_MAX] = '\0';
	assert_int_equal(layout_file(address, "damaged-12345678901", path), 0);
	memset(address, 'A', 86);
	address[86] = '\0';
	assert_int_equal(layout_directory(address, path), -EINVAL);
	address[85] = '\0';
	assert_int_equal(layout_directory(address, path), 0);
	assert_int_equal(layout_directory("", path), -EINVAL);
}

static int
count_address(void *ctx, const char *address)
{
	int *count = ctx;

	assert_true(strcmp(address, "alice") == 0 || strcmp(address, "Bob/x") == 0);
	return ++*count == 100 ? 7 : 0;
}

static void
walk_finds_all(void **state)
{
	struct spool s;
	char path[512];
	int count = 0;

	(void)state;
	spool_make(&s);
	spool_deliver(&s.disk, "alice", "x");
	spool_deliver(&s.disk, "Bob/x", "x");
	snprintf(path, sizeof(path), "%s/mail/lost+found", s.root);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(layout_each_maildrop(&s.disk, count_address, &count), 0);
	assert_int_equal(count, 2);
	count = 99;
	assert_int_equal(layout_each_maildrop(&s.disk, count_address, &count), 7);
	spool_remove(&s);
}

static void
spool_without_marker_is_not_ours(void **state)
{
	struct spool s;
	char path[512];

	(void)state;
	spool_make(&s);
	assert_int_equal(layout_prepare_spool(&s.disk, false), 0);
	snprintf(path, sizeof(path), "%s/ringpost-spool", s.root);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(layout_prepare_spool(&s.disk, false), -ENOENT);
	assert_int_equal(layout_prepare_spool(&s.disk, true), 0);
	assert_int_equal(layout_prepare_spool(&s.disk, false), 0);
	spool_remove(&s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_are_escaped),
		cmocka_unit_test(other_names_are_no_address),
		cmocka_unit_test(lengths_are_limited),
		cmocka_unit_test(walk_finds_all),
		cmocka_unit_test(spool_without_marker_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
