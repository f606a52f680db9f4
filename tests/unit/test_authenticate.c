/*
 * test_authenticate.c - the steps of a login over sources that wait: their order, their silence,
 * what is remembered of them, and who proves.
 */
#include "core/auth/authenticate.h"

#include "core/auth/scram.h"
#include "io/base/clock.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

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
	char masters[1][ACCOUNT_ADDRESS_OCTETS_MAX + 1];
};

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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
