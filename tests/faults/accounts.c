/*
 * accounts.c - accounts are added, changed, removed and loaded, and what is kept of others is noted
 * and forgotten; then each change is there or not, as it was said.
 */
#include "storage/accounts.h"
#include "io/base/must.h"
#include "tests/faults/stage.h"

#include <errno.h>
#include <string.h>

static struct account
account_of(const char *address, uint64_t quota)
{
	struct account account = { .enabled = true, .quota_octets = quota };

	snprintf(account.address, sizeof(account.address), "%s", address);
	snprintf(account.password_hash, sizeof(account.password_hash), "{PLAIN}" STAGE_SECRET);
	return account;
}

static int
add_account(const struct stage *s, const struct account *account)
{
	struct accounts *a;
	int error = accounts_open(s->accounts, ACCOUNTS_WRITE, &a);

	if (error != 0)
		return error;
	error = accounts_add(a, account);
	accounts_close(a);
	return error;
}

void
stage_add_accounts(struct stage *s)
{
	const struct account alice = account_of(s->alice.address, 1);
	const struct account bob = account_of(s->bob.address, 1);

	assert_int_equal(add_account(s, &alice), 0);
	assert_int_equal(add_account(s, &bob), 0);
}

static int
next_account(void *ctx, struct account *account_out)
{
	unsigned *left = ctx;
	char address[64];

	if (*left == 0)
		return 0;
	snprintf(address, sizeof(address), "user%u@example.org", (*left)--);
	*account_out = account_of(address, 3);
	return 1;
}

/* `quota`: of the account, that tells which of its versions it is. */
static int
find_quota(struct accounts *a, const char *address, uint64_t *quota_out)
{
	struct accounts_reader *r;
	struct account account;
	int error = accounts_reader_open(a, &r);

	if (error != 0)
		return error;
	error = accounts_find(r, span_of_string(address), &account);
	if (error == 0)
		*quota_out = account.quota_octets;
	accounts_reader_close(r);
	return error;
}

static bool added, replaced, removed, loaded;
static bool made, noted, forgotten; /* what is kept of accounts of other sources */

#define DAVE "dave@example.org"
#define ERIN "erin@example.org"

static void
change_what_is_kept(struct accounts *a)
{
	const struct app_password phone = { .name = "phone", .created_at = 1000 };
	const struct login_note notes[] = {
		{ DAVE, "phone", 1000, "192.0.2.1", "pop3" },
		{ ERIN, "", 1000, "192.0.2.1", "pop3" },
	};
	uint64_t count;

	made = accounts_add_app_password(a, SPAN(DAVE), &phone) == 0;
	noted = accounts_note_logins(a, notes, 2) == 0;
	forgotten = accounts_forget(a, SPAN(ERIN)) == 0;
	must(accounts_forget_unused(a, 1000, &count) != 0 || count == 0);
}

static int
count_app(void *ctx, const struct app_password *p)
{
	(void)p;
	++*(unsigned *)ctx;
	return 0;
}

static void
check_what_is_kept(struct accounts *a)
{
	struct accounts_reader *r;
	struct login_note note;
	unsigned count = 0;

	assert_int_equal(accounts_reader_open(a, &r), 0);
	assert_int_equal(accounts_each_app_password(r, SPAN(DAVE), count_app, &count), 0);
	assert_int_equal(count, made);
	assert_int_equal(accounts_last_login(r, SPAN(DAVE), SPAN(""), &note), noted ? 0 : -ENOENT);
	assert_int_equal(accounts_last_login(r, SPAN(ERIN), SPAN(""), &note),
		noted && !forgotten ? 0 : -ENOENT);
	accounts_reader_close(r);
}

void
stage_change_accounts(struct stage *s)
{
	const struct account alice = account_of(s->alice.address, 2);
	const struct account carol = account_of("carol@example.org", 1);
	unsigned left = 20;
	uint64_t count = 0;
	uint64_t quota = 0;
	struct accounts *a;
	int error;

	added = replaced = removed = loaded = made = noted = forgotten = false;
	if (accounts_open(s->accounts, ACCOUNTS_WRITE, &a) != 0) {
		s->failed = true;
		return;
	}
	added = accounts_add(a, &carol) == 0;
	replaced = accounts_replace(a, &alice) == 0;
	error = find_quota(a, s->alice.address, &quota);
	assert_int_not_equal(error, -ENOENT); /* a fault is no missing account */
	assert_true(error != 0 || quota == (replaced ? 2 : 1));
	removed = accounts_remove(a, span_of_string(s->bob.address)) == 0;
	loaded = accounts_load(a, next_account, &left, &count) == 0;
	change_what_is_kept(a);
	s->failed = !added || !replaced || !removed || !loaded || !made || !noted || !forgotten ||
		error != 0;
	accounts_close(a);
}

/* Each change is there or it is not, as it was said. */
void
stage_check_accounts(struct stage *s)
{
	struct accounts *a;
	uint64_t quota = 0;
	char address[64];

	assert_int_equal(accounts_open(s->accounts, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(find_quota(a, "carol@example.org", &quota), added ? 0 : -ENOENT);
	assert_int_equal(find_quota(a, s->alice.address, &quota), 0);
	assert_int_equal(quota, replaced ? 2 : 1);
	assert_int_equal(find_quota(a, s->bob.address, &quota), removed ? -ENOENT : 0);
	for (unsigned i = 1; i <= 20; i++) {
		snprintf(address, sizeof(address), "user%u@example.org", i);
		assert_int_equal(find_quota(a, address, &quota), loaded ? 0 : -ENOENT);
	}
	check_what_is_kept(a);
	accounts_close(a);
}
