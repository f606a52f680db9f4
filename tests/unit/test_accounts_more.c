/*
 * test_accounts_more.c - app passwords and last logins: of accounts in the file and of others, kept,
 * counted, and forgotten.
 */
#include "tests/unit/accounts_fixture.h"

#include <errno.h>

static int
collect_names(void *ctx, const struct app_password *p)
{
	char *names = ctx;

	strcat(names, p->name);
	strcat(names, ";");
	return 0;
}

static const char *
names_of(struct accounts *a, const char *address)
{
	static char names[1024];
	struct accounts_reader *r;

	names[0] = '\0';
	assert_int_equal(accounts_reader_open(a, &r), 0);
	assert_int_equal(
		accounts_each_app_password(r, span_of_string(address), collect_names, names), 0);
	accounts_reader_close(r);
	return names;
}

static int
count_accounts(void *ctx, const struct account *account)
{
	(void)account;
	++*(unsigned *)ctx;
	return 0;
}

static void
app_passwords_belong_to_an_account(void **state)
{
	struct fixture *f = *state;
	struct account alice = account_named("alice@example.org");
	struct account longer = account_named("alice@example.org.x");
	struct app_password phone = { .name = "phone", .created_at = 5 };
	struct app_password desk = { .name = "desk", .read_only = true };
	struct accounts *a;
	unsigned count = 0;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(accounts_add(a, &alice), 0);
	assert_int_equal(accounts_add(a, &longer), 0);
	assert_int_equal(accounts_add_app_password(a, SPAN("alice@example.org"), &phone), 0);
	assert_int_equal(accounts_add_app_password(a, SPAN("alice@example.org"), &phone), -EEXIST);
	assert_int_equal(accounts_add_app_password(a, SPAN("alice@example.org"), &desk), 0);
	assert_int_equal(accounts_add_app_password(a, SPAN("alice@example.org.x"), &desk), 0);
	assert_string_equal(names_of(a, "alice@example.org"), "desk;phone;");
	assert_string_equal(names_of(a, "alice@example.org.x"), "desk;");

	/* A changed or loaded account keeps them; they are no accounts. */
	assert_int_equal(accounts_replace(a, &alice), 0);
	assert_string_equal(names_of(a, "alice@example.org"), "desk;phone;");
	assert_int_equal(accounts_each(a, count_accounts, &count), 0);
	assert_int_equal(count, 2);

	assert_int_equal(
		accounts_remove_app_password(a, SPAN("alice@example.org"), SPAN("phone")), 0);
	assert_int_equal(
		accounts_remove_app_password(a, SPAN("alice@example.org"), SPAN("phone")), -ENOENT);
	assert_int_equal(
		accounts_remove_app_password(a, SPAN("alice@example.org"), SPAN("desk")), 0);
	assert_string_equal(names_of(a, "alice@example.org"), "");

	/* They go with the account. */
	assert_int_equal(accounts_remove(a, SPAN("alice@example.org.x")), 0);
	assert_string_equal(names_of(a, "alice@example.org.x"), "");
	accounts_close(a);
}

static void
not_more_than_so_many_app_passwords(void **state)
{
	struct fixture *f = *state;
	struct account alice = account_named("alice@example.org");
	struct app_password p = { .created_at = 1 };
	struct accounts *a;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(accounts_add(a, &alice), 0);
	for (unsigned i = 0; i <= APP_PASSWORDS_MAX; i++) {
		snprintf(p.name, sizeof(p.name), "%u", i);
		assert_int_equal(accounts_add_app_password(a, SPAN("alice@example.org"), &p),
			i < APP_PASSWORDS_MAX ? 0 : -EDQUOT);
	}
	accounts_close(a);
}

static void
last_logins(void **state)
{
	struct fixture *f = *state;
	struct account alice = account_named("alice@example.org");
	struct login_note notes[] = {
		{ "alice@example.org", "", 100, "192.0.2.1", "pop3" },
		{ "nobody@example.org", "", 150, "192.0.2.9", "pop3" },
		{ "alice@example.org", "phone", 200, "2001:db8::1", "pop3" },
	};
	struct app_password phone = { .name = "phone" };
	struct login_note note;
	struct accounts_reader *r;
	struct accounts *a;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(accounts_add(a, &alice), 0);
	assert_int_equal(accounts_add_app_password(a, SPAN("alice@example.org"), &phone), 0);
	assert_int_equal(accounts_note_logins(a, notes, 3), 0);
	assert_int_equal(accounts_reader_open(a, &r), 0);
	assert_int_equal(accounts_last_login(r, SPAN("alice@example.org"), SPAN(""), &note), 0);
	assert_int_equal(note.at, 200);
	assert_string_equal(note.peer, "2001:db8::1");
	assert_string_equal(note.protocol, "pop3");
	assert_int_equal(
		accounts_last_login(r, SPAN("alice@example.org"), SPAN("phone"), &note), 0);
	assert_int_equal(note.at, 200);
	/* One of another source. */
	assert_int_equal(accounts_last_login(r, SPAN("nobody@example.org"), SPAN(""), &note), 0);
	assert_int_equal(note.at, 150);
	/* Revoked before its last use was written: nothing comes back. */
	assert_int_equal(
		accounts_remove_app_password(a, SPAN("alice@example.org"), SPAN("phone")), 0);
	assert_int_equal(accounts_note_logins(a, notes, 3), 0);
	assert_int_equal(
		accounts_last_login(r, SPAN("alice@example.org"), SPAN("phone"), &note), -ENOENT);
	assert_int_equal(accounts_remove(a, SPAN("alice@example.org")), 0);
	assert_int_equal(
		accounts_last_login(r, SPAN("alice@example.org"), SPAN(""), &note), -ENOENT);
	accounts_reader_close(r);
	accounts_close(a);
}

static bool
is_kept(struct accounts *a, const char *address)
{
	struct accounts_reader *r;
	struct login_note note;
	bool is_noted;

	assert_int_equal(accounts_reader_open(a, &r), 0);
	is_noted = accounts_last_login(r, span_of_string(address), SPAN(""), &note) == 0;
	accounts_reader_close(r);
	return is_noted || names_of(a, address)[0] != '\0';
}

/* Of an account that is not in this file, as PostgreSQL's are. */
static void
app_passwords_of_other_sources(void **state)
{
	struct fixture *f = *state;
	struct account bob = account_named("bob@example.org");
	struct app_password phone = { .name = "phone" }, desk = { .name = "desk" };
	struct accounts *a;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(accounts_add_app_password(a, SPAN("bob@example.org"), &phone), 0);
	assert_int_equal(accounts_add_app_password(a, SPAN("bob@example.org"), &phone), -EEXIST);
	assert_int_equal(accounts_add_app_password(a, SPAN("bob@example.org"), &desk), 0);
	assert_int_equal(accounts_remove_app_password(a, SPAN("bob@example.org"), SPAN("desk")), 0);
	assert_int_equal(accounts_remove(a, SPAN("bob@example.org")), -ENOENT);
	assert_string_equal(names_of(a, "bob@example.org"), "phone;");

	/* The account moves into this file, and out of it. */
	assert_int_equal(accounts_add(a, &bob), 0);
	assert_string_equal(names_of(a, "bob@example.org"), "phone;");
	assert_int_equal(accounts_remove(a, SPAN("bob@example.org")), 0);
	assert_string_equal(names_of(a, "bob@example.org"), "");
	accounts_close(a);
}

static void
one_address_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct account alice = account_named("alice@example.org"), found;
	struct app_password phone = { .name = "phone" };
	struct login_note notes[] = {
		{ "alice@example.org", "phone", 100, "192.0.2.1", "pop3" },
		{ "bob@example.org", "", 100, "192.0.2.1", "pop3" },
		{ "bob@example.org.x", "", 100, "192.0.2.1", "pop3" },
	};
	struct accounts *a;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(accounts_add(a, &alice), 0);
	assert_int_equal(accounts_forget(a, SPAN("alice@example.org")), -ENOENT);
	assert_int_equal(accounts_add_app_password(a, SPAN("alice@example.org"), &phone), 0);
	assert_int_equal(accounts_note_logins(a, notes, 3), 0);
	assert_int_equal(accounts_forget(a, SPAN("alice@example.org")), 0);
	assert_false(is_kept(a, "alice@example.org"));
	assert_int_equal(find(a, "alice@example.org", &found), 0);
	assert_int_equal(accounts_forget(a, SPAN("bob@example.org")), 0);
	assert_int_equal(accounts_forget(a, SPAN("bob@example.org")), -ENOENT);
	assert_true(is_kept(a, "bob@example.org.x"));
	accounts_close(a);
}

static void
what_is_not_used_any_more_is_forgotten(void **state)
{
	struct fixture *f = *state;
	struct account here = account_named("here@example.org");
	struct app_password old = { .name = "old", .created_at = 100 };
	struct app_password young = { .name = "young", .created_at = 1000 };
	struct login_note notes[] = {
		{ "here@example.org", "", 100, "192.0.2.1", "pop3" },
		{ "a-long-ago@example.org", "", 499, "192.0.2.1", "pop3" },
		{ "lately@example.org", "", 500, "192.0.2.1", "pop3" },
		{ "made-lately@example.org", "old", 100, "192.0.2.1", "pop3" },
		{ "used-lately@example.org", "old", 2000, "192.0.2.1", "pop3" },
	};
	struct accounts *a;
	uint64_t forgotten;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	assert_int_equal(accounts_forget_unused(a, 500, &forgotten), 0);
	assert_int_equal(forgotten, 0);
	assert_int_equal(accounts_add(a, &here), 0);
	assert_int_equal(accounts_add_app_password(a, SPAN("here@example.org"), &old), 0);
	assert_int_equal(accounts_add_app_password(a, SPAN("never@example.org"), &old), 0);
	assert_int_equal(accounts_add_app_password(a, SPAN("made-lately@example.org"), &young), 0);
	assert_int_equal(accounts_add_app_password(a, SPAN("made-lately@example.org"), &old), 0);
	assert_int_equal(accounts_add_app_password(a, SPAN("used-lately@example.org"), &old), 0);
	assert_int_equal(accounts_note_logins(a, notes, 5), 0);
	assert_int_equal(accounts_forget_unused(a, 500, &forgotten), 0);
	assert_int_equal(forgotten, 2);
	assert_true(is_kept(a, "here@example.org"));
	assert_false(is_kept(a, "a-long-ago@example.org"));
	assert_true(is_kept(a, "lately@example.org"));
	assert_false(is_kept(a, "never@example.org"));
	assert_string_equal(names_of(a, "made-lately@example.org"), "old;young;");
	assert_string_equal(names_of(a, "used-lately@example.org"), "old;");
	assert_int_equal(accounts_forget_unused(a, 500, &forgotten), 0);
	assert_int_equal(forgotten, 0);
	accounts_close(a);
}

/* More than one transaction's worth. */
static void
many_are_forgotten_in_steps(void **state)
{
	static struct login_note notes[1000];
	struct fixture *f = *state;
	struct accounts *a;
	uint64_t forgotten;

	assert_int_equal(accounts_open(f->path, ACCOUNTS_WRITE, &a), 0);
	for (unsigned i = 0; i < 25000; i++) {
		struct login_note *note = &notes[i % array_count(notes)];

		snprintf(note->address, sizeof(note->address), "u%u@example.org", i * 7919 % 25000);
		note->at = i % 2 == 0 ? 100 : 900;
		strcpy(note->peer, "192.0.2.1");
		strcpy(note->protocol, "pop3");
		if (i % array_count(notes) == array_count(notes) - 1)
			assert_int_equal(accounts_note_logins(a, notes, array_count(notes)), 0);
	}
	assert_int_equal(accounts_forget_unused(a, 500, &forgotten), 0);
	assert_int_equal(forgotten, 12500);
	assert_int_equal(accounts_forget_unused(a, 1000, &forgotten), 0);
	assert_int_equal(forgotten, 12500);
	assert_false(is_kept(a, "u1@example.org"));
	accounts_close(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			app_passwords_belong_to_an_account, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			not_more_than_so_many_app_passwords, set_up, tear_down),
		cmocka_unit_test_setup_teardown(last_logins, set_up, tear_down),
		cmocka_unit_test_setup_teardown(app_passwords_of_other_sources, set_up, tear_down),
		cmocka_unit_test_setup_teardown(one_address_is_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
			what_is_not_used_any_more_is_forgotten, set_up, tear_down),
		cmocka_unit_test_setup_teardown(many_are_forgotten_in_steps, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
