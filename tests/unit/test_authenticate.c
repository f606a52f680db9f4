/*
 * test_authenticate.c - the steps of a login over sources that wait: their order, their silence,
 * what is remembered of them, and who proves; app passwords, which the spool keeps for all of them.
 */
#include "core/auth/authenticate.h"

#include "core/auth/app_password.h"
#include "core/auth/scram.h"
#include "io/base/clock.h"
#include "storage/accounts_lmdb.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

/* A source of one account; `offload` is only a mark, the test is the worker. */
struct fake {
	struct source source;
	const char *address;
	const char *hash;
	bool enabled;
	int error; /* it cannot say */
	unsigned asked;
	unsigned proved;
};

static int
fake_find(struct source *s, struct span address, struct account *account_out)
{
	struct fake *f = (struct fake *)s;

	f->asked++;
	if (f->error != 0)
		return f->error;
	if (!span_equals(address, span_of_string(f->address)))
		return -ENOENT;
	*account_out = (struct account){ .enabled = f->enabled };
	snprintf(account_out->address, sizeof(account_out->address), "%s", f->address);
	snprintf(account_out->password_hash, sizeof(account_out->password_hash), "%s", f->hash);
	return 0;
}

static int
fake_prove(struct source *s, const struct account *account, struct span secret, bool *right_out)
{
	struct fake *f = (struct fake *)s;

	assert_string_equal(account->address, f->address);
	f->proved++;
	*right_out = span_equals(secret, SPAN("by bind"));
	return f->error;
}

static const struct source_ops finds = { .find = fake_find };
static const struct source_ops finds_and_proves = { .find = fake_find, .prove = fake_prove };

struct world {
	struct fake first;
	struct fake second;
	struct source *sources[2];
	struct login_policy policy;
	struct authenticator a;
	uint64_t now_ms;
	struct accounts *accounts; /* the spool's */
	char directory[64];
	char masters[1][ACCOUNT_ADDRESS_OCTETS_MAX + 1];
};

static const char *
path_of(const struct world *w, const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", w->directory, name);
	return path;
}

static int
set_up(void **state)
{
	static struct world w;
	struct offload *first_workers = (struct offload *)(void *)&w.first;
	struct offload *second_workers = (struct offload *)(void *)&w.second;

	w = (struct world){
		.first = { { .ops = &finds,
				   .name = "first",
				   .workers = first_workers,
				   .fresh_ms = 1000,
				   .stale_ms = 60000 },
			"alice@example.org", "{PLAIN}secret", true, 0, 0, 0 },
		.second = { { .ops = &finds_and_proves,
				    .name = "second",
				    .workers = second_workers,
				    .fresh_ms = 1000,
				    .stale_ms = 60000 },
			"bob@example.org", "", true, 0, 0, 0 },
		.now_ms = 1000000,
		.masters = { "alice@example.org" },
	};
	w.sources[0] = &w.first.source;
	w.sources[1] = &w.second.source;
	w.policy = (struct login_policy){
		.rules = { "example.org", "+" },
		.sources = w.sources,
		.source_count = 2,
		.hashers = (struct offload *)(void *)&w.policy,
		.masters = w.masters,
		.master_count = 1,
		.dummy_hash = "{PLAIN}nobody knows",
	};
	w.a.policy = &w.policy;
	strcpy(w.directory, "/tmp/ringpost-authenticate-XXXXXX");
	assert_non_null(mkdtemp(w.directory));
	assert_int_equal(accounts_open(path_of(&w, ACCOUNTS_FILE), ACCOUNTS_WRITE, &w.accounts), 0);
	assert_int_equal(accounts_reader_open(w.accounts, &w.a.accounts), 0);
	assert_int_equal(account_cache_open(16, &w.a.said), 0);
	assert_int_equal(login_cache_create(16, 3600, &w.a.good_logins), 0);
	*state = &w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	account_cache_close(w->a.said);
	login_cache_destroy(w->a.good_logins);
	accounts_reader_close(w->a.accounts);
	accounts_close(w->accounts);
	unlink(path_of(w, ACCOUNTS_FILE));
	unlink(path_of(w, ACCOUNTS_FILE "-lock"));
	assert_int_equal(rmdir(w->directory), 0);
	return 0;
}

static struct login_request
ask(struct world *w, struct login_question question)
{
	struct login_request r;
	char line[64];

	if (question.acts_for.at == NULL)
		question.acts_for = SPAN("");
	if (question.secret.at != NULL) { /* it lies in a line that is gone soon */
		memcpy(line, question.secret.at, question.secret.length);
		question.secret.at = line;
	}
	if (!authenticate_begin(&w->a, &question, w->now_ms, &r)) {
		memset(line, '#', sizeof(line));
		do {
			const struct offload *workers = authenticate_workers(&r);

			assert_true(workers == w->policy.hashers ||
				workers == w->first.source.workers ||
				workers == w->second.source.workers);
			authenticate_work(&r);
		} while (!authenticate_go_on(&w->a, w->now_ms, &r));
	}
	return r;
}

static enum login_verdict
password(struct world *w, const char *name, const char *secret)
{
	struct login_request r = ask(w,
		(struct login_question){ .kind = LOGIN_PASSWORD,
			.mechanism = "USER",
			.name = span_of_string(name),
			.secret = span_of_string(secret) });

	return r.answer.verdict;
}

static void
sources_are_asked_in_order(void **state)
{
	struct world *w = *state;

	assert_int_equal(password(w, "alice", "secret"), LOGIN_GOOD);
	assert_int_equal(w->second.asked, 0);
	assert_int_equal(password(w, "bob", "by bind"), LOGIN_GOOD);
	assert_int_equal(w->second.proved, 1);
	assert_int_equal(password(w, "alice", "by bind"), LOGIN_BAD);
	assert_int_equal(password(w, "carol", "secret"), LOGIN_BAD);
	assert_int_equal(password(w, "a@b@c", "secret"), LOGIN_BAD);
}

static void
a_silent_source_is_no_wrong_password(void **state)
{
	struct world *w = *state;

	w->first.error = -ETIMEDOUT;
	assert_int_equal(password(w, "alice", "secret"), LOGIN_UNAVAILABLE);
	assert_int_equal(password(w, "bob", "by bind"), LOGIN_UNAVAILABLE);
	w->first.error = 0;
	w->second.error = -ECONNREFUSED;
	assert_int_equal(password(w, "alice", "secret"), LOGIN_GOOD);
	assert_int_equal(password(w, "bob", "by bind"), LOGIN_UNAVAILABLE);
	assert_int_equal(password(w, "carol", "x"), LOGIN_UNAVAILABLE);
}

static void
what_was_said_is_remembered_while_it_is_fresh(void **state)
{
	struct world *w = *state;

	assert_int_equal(password(w, "alice", "secret"), LOGIN_GOOD);
	w->now_ms += 999;
	assert_int_equal(password(w, "alice", "wrong"), LOGIN_BAD);
	assert_int_equal(w->first.asked, 1);
	w->now_ms += 2;
	w->first.enabled = false;
	assert_int_equal(password(w, "alice", "secret"), LOGIN_BAD);
	assert_int_equal(w->first.asked, 2);
}

static void
what_is_stale_counts_while_the_source_is_down(void **state)
{
	struct world *w = *state;

	assert_int_equal(password(w, "alice", "secret"), LOGIN_GOOD);
	w->first.error = -ECONNREFUSED;
	w->now_ms += 50000;
	assert_int_equal(password(w, "alice", "secret"), LOGIN_GOOD);
	assert_int_equal(password(w, "alice", "wrong"), LOGIN_BAD);
	w->now_ms += 10001;
	assert_int_equal(password(w, "alice", "secret"), LOGIN_UNAVAILABLE);
	w->first.error = 0;
	assert_int_equal(password(w, "alice", "secret"), LOGIN_GOOD);
	/* Gone from the source: what was said of it is not, once the source says so. */
	w->first.address = "dave@example.org";
	w->now_ms += 2000;
	assert_int_equal(password(w, "alice", "secret"), LOGIN_BAD);
	w->first.error = -ECONNREFUSED;
	assert_int_equal(password(w, "alice", "secret"), LOGIN_UNAVAILABLE);
}

static void
a_login_that_a_source_proved_is_remembered(void **state)
{
	struct world *w = *state;

	assert_int_equal(password(w, "bob", "by bind"), LOGIN_GOOD);
	assert_int_equal(password(w, "bob", "by bind"), LOGIN_GOOD);
	assert_int_equal(w->second.proved, 1);
	w->first.error = w->second.error = -EIO;
	w->now_ms += 500;
	assert_int_equal(password(w, "bob", "by bind"), LOGIN_GOOD);
	assert_int_equal(password(w, "bob", "wrong"), LOGIN_UNAVAILABLE);
}

static void
what_waited_too_long_is_not_done(void **state)
{
	struct world *w = *state;

	w->policy.queue_limit_ms = 5000;
	w->now_ms = clock_monotonic_ms();
	assert_int_equal(password(w, "alice", "secret"), LOGIN_GOOD);
	w->now_ms -= 5500;
	assert_int_equal(password(w, "bob", "by bind"), LOGIN_UNAVAILABLE);
	assert_int_equal(w->second.asked, 0);
}

static void
a_master_acts_for_an_account_of_another_source(void **state)
{
	struct world *w = *state;
	struct login_question q = { .kind = LOGIN_PASSWORD,
		.mechanism = "PLAIN",
		.name = SPAN("alice"),
		.secret = SPAN("secret"),
		.acts_for = SPAN("Bob@Example.org") };
	struct login_request r = ask(w, q);

	assert_int_equal(r.answer.verdict, LOGIN_GOOD);
	assert_string_equal(r.account.address, "bob@example.org");
	q.acts_for = SPAN("nobody");
	assert_int_equal(ask(w, q).answer.verdict, LOGIN_BAD);
	q.acts_for = SPAN("bob");
	q.secret = SPAN("wrong");
	assert_int_equal(ask(w, q).answer.verdict, LOGIN_BAD);
	q.name = SPAN("bob");
	q.secret = SPAN("by bind");
	q.acts_for = SPAN("alice");
	r = ask(w, q);
	assert_int_equal(r.answer.verdict, LOGIN_BAD);
	assert_string_equal(r.why, "not_a_master");
}

static void
keys_of_names_with_and_without(void **state)
{
	struct world *w = *state;
	struct login_question q = { .kind = LOGIN_KEYS,
		.mechanism = "SCRAM-SHA-256",
		.sasl = SASL_SCRAM_SHA_256,
		.name = SPAN("nobody") };
	struct login_request dummy = ask(w, q);
	struct login_request again = ask(w, q);
	struct login_request r;
	struct scram_keys made;

	assert_int_equal(dummy.answer.verdict, LOGIN_GOOD);
	assert_memory_equal(dummy.keys.salt, again.keys.salt, dummy.keys.salt_octets);
	q.name = SPAN("alice"); /* her password is stored: keys are made of it */
	r = ask(w, q);
	made = r.keys;
	assert_int_equal(scram_derive(SPAN("secret"), SCRAM_SHA_256, &made), 0);
	assert_memory_equal(r.keys.stored_key, made.stored_key, 32);
	assert_int_equal(r.keys.salt_octets, dummy.keys.salt_octets);
}

/* ---- app passwords ------------------------------------------------------------------------- */

/* Its secret, valid until the next. */
static const char *
add_app(struct world *w, const char *address, struct app_password p)
{
	static char text[APP_PASSWORD_TEXT_OCTETS + 1];

	assert_int_equal(app_password_make(text, &p), 0);
	assert_int_equal(accounts_add_app_password(w->accounts, span_of_string(address), &p), 0);
	return text;
}

static struct login_request
request(struct world *w, const char *name, const char *secret)
{
	return ask(w,
		(struct login_question){ .kind = LOGIN_PASSWORD,
			.mechanism = "USER",
			.name = span_of_string(name),
			.secret = span_of_string(secret) });
}

static void
an_app_password_of_any_source(void **state)
{
	struct world *w = *state;
	const char *secret = add_app(w, "alice@example.org",
		(struct app_password){ .name = "phone", .no_delete = true });
	struct login_request r = request(w, "Alice", secret);

	assert_int_equal(r.answer.verdict, LOGIN_GOOD);
	assert_string_equal(r.app_password, "phone");
	assert_string_equal(r.account.address, "alice@example.org");
	assert_true(r.answer.may_not_delete);
	assert_int_equal(password(w, "bob", secret), LOGIN_BAD);
	r = request(w, "alice", "secret");
	assert_int_equal(r.answer.verdict, LOGIN_GOOD);
	assert_string_equal(r.app_password, "");
	assert_false(r.answer.may_not_delete);
}

/* It would count a failure, and lock the account after some. */
static void
a_source_that_binds_never_hears_one(void **state)
{
	struct world *w = *state;
	const char *secret;

	secret = add_app(
		w, "bob@example.org", (struct app_password){ .name = "old", .expires_at = 1 });
	assert_string_equal(request(w, "bob", secret).why, "app_password_expired");
	assert_int_equal(password(w, "bob", secret), LOGIN_BAD);
	secret = add_app(w, "bob@example.org", (struct app_password){ .name = "new" });
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(password(w, "bob", secret), LOGIN_GOOD);
	w->second.enabled = false;
	w->now_ms += 2000;
	assert_string_equal(request(w, "bob", secret).why, "disabled");
	assert_int_equal(w->second.proved, 0);
	assert_int_equal(password(w, "bob", "wrong"), LOGIN_BAD);
	assert_int_equal(w->second.proved, 1);
}

static void
a_revoked_one_counts_no_more_at_once(void **state)
{
	struct world *w = *state;
	const char *secret =
		add_app(w, "bob@example.org", (struct app_password){ .name = "phone" });

	assert_int_equal(password(w, "bob", secret), LOGIN_GOOD);
	assert_int_equal(password(w, "bob", secret), LOGIN_GOOD);
	assert_int_equal(
		accounts_remove_app_password(w->accounts, SPAN("bob@example.org"), SPAN("phone")),
		0);
	assert_int_equal(password(w, "bob", secret), LOGIN_BAD);
}

/* No worker, and the source is asked who it is once in a while only. */
static void
one_is_as_quick_as_a_remembered_password(void **state)
{
	struct world *w = *state;
	const char *secret =
		add_app(w, "bob@example.org", (struct app_password){ .name = "phone" });
	struct login_question q = { .kind = LOGIN_PASSWORD,
		.mechanism = "USER",
		.name = SPAN("bob"),
		.acts_for = SPAN("") };
	struct login_request r;

	assert_int_equal(password(w, "bob", secret), LOGIN_GOOD);
	assert_int_equal(w->second.asked, 1);
	/* the first source says again that it does not know him, then nobody is asked */
	q.secret = span_of_string(secret);
	assert_false(authenticate_begin(&w->a, &q, w->now_ms, &r));
	authenticate_work(&r);
	assert_true(authenticate_go_on(&w->a, w->now_ms, &r));
	assert_int_equal(r.answer.verdict, LOGIN_GOOD);
	assert_int_equal(w->second.asked, 1);
}

static void
one_while_the_source_is_down(void **state)
{
	struct world *w = *state;
	const char *secret =
		add_app(w, "bob@example.org", (struct app_password){ .name = "phone" });

	w->first.error = w->second.error = -ECONNREFUSED;
	assert_int_equal(password(w, "bob", secret), LOGIN_UNAVAILABLE);
	w->first.error = w->second.error = 0;
	assert_int_equal(password(w, "bob", secret), LOGIN_GOOD);
	w->first.error = w->second.error = -ECONNREFUSED;
	w->now_ms += 50000;
	assert_int_equal(password(w, "bob", secret), LOGIN_GOOD);
	w->now_ms += 10001;
	assert_int_equal(password(w, "bob", secret), LOGIN_UNAVAILABLE);
}

static void
one_of_an_account_that_is_gone(void **state)
{
	struct world *w = *state;
	const char *secret =
		add_app(w, "carol@example.org", (struct app_password){ .name = "phone" });
	struct login_request r = request(w, "carol", secret);

	assert_int_equal(r.answer.verdict, LOGIN_BAD);
	assert_string_equal(r.why, "unknown_account");
	assert_string_equal(r.app_password, "");
}

static void
an_account_without_a_password_may_have_one(void **state)
{
	struct world *w = *state;
	const char *secret =
		add_app(w, "alice@example.org", (struct app_password){ .name = "phone" });

	w->first.hash = "";
	assert_int_equal(password(w, "alice", secret), LOGIN_GOOD);
	assert_string_equal(request(w, "alice", "secret").why, "no_password");
}

static void
what_cannot_be_read_is_no_wrong_password(void **state)
{
	struct world *w = *state;
	const char *secret =
		add_app(w, "bob@example.org", (struct app_password){ .name = "phone" });
	char name[] = "\0pbob@example.org\0phone";
	MDB_val key = { sizeof(name) - 1, name }, value = { 7, (char *)"damaged" };
	MDB_txn *txn;

	assert_int_equal(mdb_txn_begin(w->accounts->env, NULL, 0, &txn), 0);
	assert_int_equal(mdb_put(txn, w->accounts->dbi, &key, &value, 0), 0);
	assert_int_equal(mdb_txn_commit(txn), 0);
	assert_int_equal(password(w, "bob", secret), LOGIN_UNAVAILABLE);
	assert_int_equal(w->second.proved, 0);
	assert_int_equal(password(w, "bob", "by bind"), LOGIN_GOOD);
}

/* Its scope counts; its last use is not noted with the other. */
static void
a_master_by_app_password(void **state)
{
	struct world *w = *state;
	const char *secret = add_app(w, "alice@example.org",
		(struct app_password){ .name = "phone", .read_only = true });
	struct login_request r = ask(w,
		(struct login_question){ .kind = LOGIN_PASSWORD,
			.mechanism = "PLAIN",
			.name = SPAN("alice"),
			.acts_for = SPAN("bob"),
			.secret = span_of_string(secret) });

	assert_int_equal(r.answer.verdict, LOGIN_GOOD);
	assert_string_equal(r.account.address, "bob@example.org");
	assert_true(r.answer.may_not_delete);
	assert_string_equal(r.app_password, "");
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(sources_are_asked_in_order),
		TEST(a_silent_source_is_no_wrong_password),
		TEST(what_was_said_is_remembered_while_it_is_fresh),
		TEST(what_is_stale_counts_while_the_source_is_down),
		TEST(a_login_that_a_source_proved_is_remembered),
		TEST(what_waited_too_long_is_not_done),
		TEST(a_master_acts_for_an_account_of_another_source),
		TEST(keys_of_names_with_and_without),
		TEST(an_app_password_of_any_source),
		TEST(a_source_that_binds_never_hears_one),
		TEST(a_revoked_one_counts_no_more_at_once),
		TEST(one_is_as_quick_as_a_remembered_password),
		TEST(one_while_the_source_is_down),
		TEST(one_of_an_account_that_is_gone),
		TEST(an_account_without_a_password_may_have_one),
		TEST(what_cannot_be_read_is_no_wrong_password),
		TEST(a_master_by_app_password),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
