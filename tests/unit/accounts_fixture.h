/*
 * accounts_fixture.h - a file of accounts in a directory of its own, for each test.
 */
#ifndef TESTS_UNIT_ACCOUNTS_FIXTURE_H
#define TESTS_UNIT_ACCOUNTS_FIXTURE_H

#include "io/base/must.h"
#include "storage/accounts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HASH "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"

struct fixture {
	char directory[64];
	char path[96];
	char lock[112];
};

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	must(f != NULL);
	strcpy(f->directory, "/tmp/ringpost-accounts-XXXXXX");
	must(mkdtemp(f->directory) != NULL);
	snprintf(f->path, sizeof(f->path), "%s/accounts.lmdb", f->directory);
	snprintf(f->lock, sizeof(f->lock), "%s-lock", f->path);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;

	unlink(f->path);
	unlink(f->lock);
	must(rmdir(f->directory) == 0);
	free(f);
	return 0;
}

static struct account
account_named(const char *address)
{
	struct account a = { .password_hash = HASH, .enabled = true };

	snprintf(a.address, sizeof(a.address), "%s", address);
	return a;
}

static int
find(struct accounts *a, const char *address, struct account *account_out)
{
	struct accounts_reader *r;
	int error;

	assert_int_equal(accounts_reader_open(a, &r), 0);
	error = accounts_find(r, span_of_string(address), account_out);
	accounts_reader_close(r);
	return error;
}

#endif
