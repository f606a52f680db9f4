/*
 * test_accounts.c - accounts survive, are replaced, removed and listed; damage is told, never
 * believed.
 */
#include "tests/unit/accounts_fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <sys/wait.h>

static void
add_find_replace_remove(void **state)
{
	struct fixture *f = *state;
	struct account alice = account_named("alice@example.org"), found;
	struct accounts *a;

	alice.read_only = true;
	alice.quota_octets = 0x1122334455667788ull;
	alice.quota_messages = 0xfedcba98u;
	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(find(a, "alice@example.org", &found), -ENOENT);
	assert_int_equal(accounts_replace(a, &alice), -ENOENT);
	assert_int_equal(accounts_add(a, &alice), 0);
	assert_int_equal(accounts_add(a, &alice), -EEXIST);
	assert_int_equal(find(a, "alice@example.org", &found), 0);
	assert_string_equal(found.address, alice.address);
	assert_string_equal(found.password_hash, HASH);
	assert_true(found.enabled);
	assert_true(found.read_only);
	assert_true(found.quota_octets == alice.quota_octets);
	assert_int_equal(found.quota_messages, alice.quota_messages);

	strcpy(alice.password_hash, "{PLAIN}other");
	alice.enabled = false;
	alice.read_only = false;
	assert_int_equal(accounts_replace(a, &alice), 0);
	assert_int_equal(find(a, "alice@example.org", &found), 0);
	assert_string_equal(found.password_hash, "{PLAIN}other");
	assert_false(found.enabled);
	assert_false(found.read_only);

	assert_int_equal(accounts_remove(a, SPAN("alice@example.org")), 0);
	assert_int_equal(accounts_remove(a, SPAN("alice@example.org")), -ENOENT);
	assert_int_equal(find(a, "alice@example.org", &found), -ENOENT);
	accounts_close(a);
}

static void
a_missing_file_is_told_to_readers(void **state)
{
	struct fixture *f = *state;
	struct accounts *a;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_READ, &a), -ENOENT);
	assert_int_equal(access(f->lock, F_OK), -1);
	assert_int_equal(
		accounts_open("/tmp/ringpost-no-such-folder/a", ACCOUNTS_WRITE, &a), -ENOENT);
}

static void
the_files_are_private(void **state)
{
	struct fixture *f = *state;
	struct accounts *a;
	struct stat st;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	accounts_close(a);
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	assert_int_equal(stat(f->lock, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
}

static void
names_of_odd_length_are_no_accounts(void **state)
{
	struct fixture *f = *state;
	struct account longest = { .password_hash = HASH }, empty = { .password_hash = HASH };
	char name[ACCOUNT_ADDRESS_OCTETS_MAX + 2];
	struct account found;
	struct accounts *a;

	memset(name, 'n', sizeof(name));
	memset(longest.address, 'n', ACCOUNT_ADDRESS_OCTETS_MAX);
	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(accounts_add(a, &empty), -EINVAL);
	assert_int_equal(accounts_add(a, &longest), 0);
	assert_int_equal(find(a, longest.address, &found), 0);
	assert_string_equal(found.address, longest.address);
	assert_int_equal(find(a, "", &found), -ENOENT);
	assert_int_equal(accounts_remove(a, span_of(name, sizeof(name))), -ENOENT);
	assert_int_equal(accounts_remove(a, span_of(name, 0)), -ENOENT);
	accounts_close(a);
}

/* A server reads what another process writes, without opening anything again. */
static void
a_reader_sees_another_process_write(void **state)
{
	struct fixture *f = *state;
	struct accounts_reader *r;
	struct account found;
	struct accounts *a;
	int status;
	pid_t child;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	accounts_close(a);
	assert_int_equal(accounts_open(f->path, ACCOUNTS_READ, &a), 0);
	assert_int_equal(accounts_reader_open(a, &r), 0);
	assert_int_equal(accounts_find(r, SPAN("bob@example.org"), &found), -ENOENT);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct account bob = account_named("bob@example.org");
		struct accounts *w;

		if (accounts_open(f->path, ACCOUNTS_WRITE, &w) != 0 || accounts_add(w, &bob) != 0)
			_exit(1);
		_exit(0); /* without closing: the way of a program that was killed */
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(accounts_find(r, SPAN("bob@example.org"), &found), 0);
	accounts_reader_close(r);
	accounts_close(a);
}

struct sequence {
	unsigned next, end;
	int give_up_with;
};

/* Numbers come in an order that is not that of the addresses. */
static int
next_account(void *ctx, struct account *account_out)
{
	struct sequence *s = ctx;
	unsigned number;

	if (s->next == s->end)
		return s->give_up_with;
	number = s->next++ * 7919u % 100003u;
	*account_out = (struct account){ .enabled = true, .quota_messages = number };
	snprintf(
		account_out->address, sizeof(account_out->address), "user%06u@example.org", number);
	strcpy(account_out->password_hash, HASH);
	return 1;
}

struct order {
	unsigned count, stop_at;
	char last[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
};

static int
check_order(void *ctx, const struct account *account)
{
	struct order *o = ctx;

	assert_true(strcmp(o->last, account->address) < 0);
	strcpy(o->last, account->address);
	return ++o->count == o->stop_at ? 42 : 0;
}

static void
load_then_list_in_order(void **state)
{
	struct fixture *f = *state;
	struct sequence many = { .end = 3000 },
			broken = { .next = 2990, .end = 3010, .give_up_with = -EIO };
	struct order all = { 0 }, some = { .stop_at = 10 };
	struct account found;
	struct accounts *a;
	uint64_t loaded;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(accounts_load(a, next_account, &many, &loaded), 0);
	assert_int_equal(loaded, 3000);
	assert_int_equal(accounts_each(a, check_order, &all), 0);
	assert_int_equal(all.count, 3000);
	assert_int_equal(accounts_each(a, check_order, &some), 42);
	assert_int_equal(some.count, 10);
	/* What came before the source gave up stays; existing accounts are replaced. */
	assert_int_equal(accounts_load(a, next_account, &broken, &loaded), -EIO);
	assert_int_equal(loaded, 20);
	all = (struct order){ 0 };
	assert_int_equal(accounts_each(a, check_order, &all), 0);
	assert_int_equal(all.count, 3010);
	assert_int_equal(find(a, "user007919@example.org", &found), 0);
	assert_int_equal(found.quota_messages, 7919);
	accounts_close(a);
}

/* Put octets of our own under a key, behind the back of accounts_lmdb.c. */
static void
put_value(const char *path, const char *address, const unsigned char *octets, size_t count)
{
	MDB_val key = { .mv_data = (void *)address, .mv_size = strlen(address) };
	MDB_val value = { .mv_data = (void *)octets, .mv_size = count };
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	assert_int_equal(mdb_put(txn, dbi, &key, &value, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static size_t
get_value(const char *path, const char *address, unsigned char *octets, size_t room)
{
	MDB_val key = { .mv_data = (void *)address, .mv_size = strlen(address) };
	MDB_val value;
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	assert_int_equal(mdb_env_create(&env), 0);
	assert_int_equal(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
	assert_int_equal(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), 0);
	assert_int_equal(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	assert_int_equal(mdb_get(txn, dbi, &key, &value), 0);
	assert_true(value.mv_size <= room);
	memcpy(octets, value.mv_data, value.mv_size);
	mdb_txn_abort(txn);
	mdb_env_close(env);
	return value.mv_size;
}

static int
find_in_file(const char *path, const char *address)
{
	struct account found;
	struct accounts *a;
	int error;

	assert_int_equal(accounts_open(path, ACCOUNTS_READ, &a), 0);
	error = find(a, address, &found);
	accounts_close(a);
	return error;
}

static void
every_damaged_octet_is_noticed(void **state)
{
	struct fixture *f = *state;
	struct account alice = account_named("alice@example.org");
	unsigned char good[600], bad[600];
	struct accounts *a;
	size_t octets;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(accounts_add(a, &alice), 0);
	accounts_close(a);
	octets = get_value(f->path, alice.address, good, sizeof(good));
	for (size_t i = 0; i < octets; i += i < 24 ? 1 : 13) {
		memcpy(bad, good, octets);
		bad[i] ^= 0x10;
		put_value(f->path, alice.address, bad, octets);
		assert_int_equal(find_in_file(f->path, alice.address), -EBADMSG);
	}
	put_value(f->path, alice.address, good, octets - 1);
	assert_int_equal(find_in_file(f->path, alice.address), -EBADMSG);
	put_value(f->path, alice.address, good, 0);
	assert_int_equal(find_in_file(f->path, alice.address), -EBADMSG);
	/* A whole value under another's name is damage too. */
	put_value(f->path, "mallory@example.org", good, octets);
	assert_int_equal(find_in_file(f->path, "mallory@example.org"), -EBADMSG);
	put_value(f->path, alice.address, good, octets);
	assert_int_equal(find_in_file(f->path, alice.address), 0);
}

static void
other_files_are_refused(void **state)
{
	static const char text[] = "this is no database";
	struct fixture *f = *state;
	struct sequence many = { .end = 3000 };
	struct accounts *a;
	uint64_t loaded;
	char page[8192];
	int fd;

	memset(page, 'x', sizeof(page));
	memcpy(page, text, sizeof(text));
	fd = open(f->path, O_CREAT | O_WRONLY, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, page, sizeof(page)), sizeof(page));
	close(fd);
	assert_int_equal(accounts_open(f->path, ACCOUNTS_READ, &a), -EBADMSG);
	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), -EBADMSG);
	assert_int_equal(unlink(f->path), 0);

	/* A file cut short must not end the process. */
	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(accounts_load(a, next_account, &many, &loaded), 0);
	accounts_close(a);
	assert_int_equal(truncate(f->path, 65536), 0);
	assert_int_equal(accounts_open(f->path, ACCOUNTS_READ, &a), -EBADMSG);
}

static void
fields_besides_the_hash(void **state)
{
	struct fixture *f = *state;
	struct account alice = account_named("alice@example.org"), found;
	struct accounts *a;

	alice.no_delete = true;
	memset(alice.networks, 'n', ACCOUNT_TEXT_OCTETS_MAX);
	memset(alice.maildrop, 'm', ACCOUNT_ADDRESS_OCTETS_MAX);
	memset(alice.backend, 'b', ACCOUNT_TEXT_OCTETS_MAX);
	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(accounts_add(a, &alice), 0);
	assert_int_equal(find(a, "alice@example.org", &found), 0);
	assert_true(found.no_delete);
	assert_string_equal(found.networks, alice.networks);
	assert_string_equal(found.maildrop, alice.maildrop);
	assert_string_equal(found.backend, alice.backend);
	alice.networks[0] = alice.backend[0] = '\0';
	assert_int_equal(accounts_replace(a, &alice), 0);
	assert_int_equal(find(a, "alice@example.org", &found), 0);
	assert_string_equal(found.networks, "");
	assert_string_equal(found.maildrop, alice.maildrop);
	accounts_close(a);
}

static void
a_secret_is_drawn_once(void **state)
{
	struct fixture *f = *state;
	uint8_t first[32], again[32];
	struct accounts *a;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_SERVE, &a), -ENOENT);
	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	accounts_close(a);
	assert_int_equal(accounts_open(f->path, ACCOUNTS_READ, &a), 0);
	assert_int_equal(accounts_secret(a, first), -ENOENT);
	accounts_close(a);
	assert_int_equal(accounts_open(f->path, ACCOUNTS_SERVE, &a), 0);
	assert_int_equal(accounts_secret(a, first), 0);
	accounts_close(a);
	assert_int_equal(accounts_open(f->path, ACCOUNTS_READ, &a), 0);
	assert_int_equal(accounts_secret(a, again), 0);
	assert_memory_equal(first, again, 32);
	accounts_close(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(add_find_replace_remove, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_missing_file_is_told_to_readers, set_up, tear_down),
		cmocka_unit_test_setup_teardown(the_files_are_private, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			names_of_odd_length_are_no_accounts, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			a_reader_sees_another_process_write, set_up, tear_down),
		cmocka_unit_test_setup_teardown(load_then_list_in_order, set_up, tear_down),
		cmocka_unit_test_setup_teardown(every_damaged_octet_is_noticed, set_up, tear_down),
		cmocka_unit_test_setup_teardown(other_files_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(fields_besides_the_hash, set_up, tear_down),
		cmocka_unit_test_setup_teardown(a_secret_is_drawn_once, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
