/*
 * accounts_lmdb.c - accounts in an LMDB file in the spool.
 *
 * One key for each canonical address, one value of a few dozen octets (accounts_value.c).  LMDB
 * gives snapshots to readers without locks, and durable all-or-none transactions to one writer at a
 * time, in this process or another.
 *
 * Keys that begin with NUL are no accounts (accounts_lmdb.h).
 *
 * Invariants
 *   1. Octets from the file are checked before they are used: a damaged value is -EBADMSG.
 *   2. A reader holds a snapshot only within accounts_find(): between look-ups its transaction is
 *      reset, so that it keeps no old pages alive and sees what was committed last.
 *   3. A process opens a given file once (LMDB's rule: closing a second one drops the locks of
 * both).
 *
 * Readers write too: each has a slot in `<path>-lock`.  A server that reads needs write permission
 * on that file, so where root makes the files they are given to the owner of their directory.
 *
 * LMDB reaches its file by itself, so this file is not behind io/disk.h.
 */
#include "storage/accounts_lmdb.h"
#include "io/base/crc32c.h"
#include "io/base/must.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Address space, not disk: the file grows as it is filled.  Room for 170 million accounts. */
#define MAP_OCTETS  (64ull << 30)
#define READERS_MAX 1024u
#define FILE_MODE   0600
#define META_PAGES  2u

/* One step of a load.  Accounts in random order touch nearly every page, and LMDB can reuse what a
 * step leaves behind only two steps later: few large steps keep the file small. */
#define LOAD_BATCH 500000u

int
accounts_errno(int rc)
{
	if (rc >= 0)
		return -rc;
	switch (rc) {
	case MDB_NOTFOUND:
		return -ENOENT;
	case MDB_KEYEXIST:
		return -EEXIST;
	case MDB_VERSION_MISMATCH:
		return -EPROTONOSUPPORT;
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INVALID:
	case MDB_BAD_VALSIZE:
	case MDB_INCOMPATIBLE:
		return -EBADMSG;
	case MDB_MAP_FULL:
	case MDB_TXN_FULL:
		return -ENOSPC;
	case MDB_READERS_FULL:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

static bool
is_storable(const struct account *account)
{
	size_t address = strnlen(account->address, sizeof(account->address));
	size_t hash = strnlen(account->password_hash, sizeof(account->password_hash));

	return address > 0 && address <= ACCOUNT_ADDRESS_OCTETS_MAX &&
		hash <= ACCOUNT_HASH_OCTETS_MAX &&
		strnlen(account->networks, sizeof(account->networks)) <= ACCOUNT_TEXT_OCTETS_MAX &&
		strnlen(account->maildrop, sizeof(account->maildrop)) <=
		ACCOUNT_ADDRESS_OCTETS_MAX &&
		strnlen(account->backend, sizeof(account->backend)) <= ACCOUNT_TEXT_OCTETS_MAX;
}

/* A file that was just made must not vanish with the power. */
static int
sync_directory_of(const char *path)
{
	char copy[PATH_MAX];
	int error = 0;
	int fd;

	if (snprintf(copy, sizeof(copy), "%s", path) >= (int)sizeof(copy))
		return -ENAMETOOLONG;
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fsync(fd) != 0)
		error = -errno;
	close(fd);
	return error;
}

/* The handle of the only database in the file. */
static int
open_database(struct accounts *a)
{
	MDB_txn *txn;
	int rc = mdb_txn_begin(a->env, NULL, MDB_RDONLY, &txn);

	if (rc != 0)
		return accounts_errno(rc);
	rc = mdb_dbi_open(txn, NULL, 0, &a->dbi);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return accounts_errno(rc);
	}
	return accounts_errno(mdb_txn_commit(txn));
}

/* A file cut short would kill the process (SIGBUS) at the first touch of a missing page. */
static int
check_length(const struct accounts *a)
{
	struct stat file;
	MDB_txn *txn;
	MDB_stat st;
	uint64_t pages;
	int fd, rc;

	rc = mdb_txn_begin(a->env, NULL, MDB_RDONLY, &txn);
	if (rc != 0)
		return accounts_errno(rc);
	rc = mdb_stat(txn, a->dbi, &st);
	mdb_txn_abort(txn);
	if (rc != 0)
		return accounts_errno(rc);
	if (mdb_env_get_fd(a->env, &fd) != 0 || fstat(fd, &file) != 0)
		return -EIO;
	pages = META_PAGES + st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
	return (uint64_t)file.st_size < pages * st.ms_psize ? -EBADMSG : 0;
}

static int
open_environment(struct accounts *a, const char *path, enum accounts_mode mode)
{
	unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | (mode == ACCOUNTS_READ ? MDB_RDONLY : 0u);
	struct stat file;
	int dead;
	int rc;

	if (mode == ACCOUNTS_SERVE && stat(path, &file) != 0) /* it would be made */
		return -errno;
	rc = mdb_env_set_mapsize(a->env, MAP_OCTETS);

	if (rc == 0)
		rc = mdb_env_set_maxreaders(a->env, READERS_MAX);
	if (rc == 0)
		rc = mdb_env_open(a->env, path, flags, FILE_MODE);
	if (rc == 0) /* slots of readers that were killed: they would keep old pages for ever */
		rc = mdb_reader_check(a->env, &dead);
	return accounts_errno(rc);
}

int
accounts_open(const char *path, enum accounts_mode mode, struct accounts **accounts_out)
{
	struct accounts *a = calloc(1, sizeof(*a));
	int error;

	if (a == NULL)
		return -ENOMEM;
	a->reads_only = mode == ACCOUNTS_READ;
	error = accounts_errno(mdb_env_create(&a->env));
	if (error != 0) {
		free(a);
		return error;
	}
	error = open_environment(a, path, mode);
	if (error == 0)
		error = open_database(a);
	if (error == 0)
		error = check_length(a);
	if (error == 0 && mode == ACCOUNTS_WRITE)
		error = sync_directory_of(path);
	if (error != 0) {
		accounts_close(a);
		return error;
	}
	*accounts_out = a;
	return 0;
}

void
accounts_close(struct accounts *a)
{
	mdb_env_close(a->env);
	free(a);
}

int
accounts_reader_open(struct accounts *a, struct accounts_reader **reader_out)
{
	struct accounts_reader *r = calloc(1, sizeof(*r));
	int rc;

	if (r == NULL)
		return -ENOMEM;
	r->dbi = a->dbi;
	rc = mdb_txn_begin(a->env, NULL, MDB_RDONLY, &r->txn);
	if (rc != 0) {
		free(r);
		return accounts_errno(rc);
	}
	mdb_txn_reset(r->txn);
	*reader_out = r;
	return 0;
}

void
accounts_reader_close(struct accounts_reader *r)
{
	mdb_txn_abort(r->txn);
	free(r);
}

int
accounts_find(struct accounts_reader *r, struct span address, struct account *account_out)
{
	MDB_val key = accounts_key(address);
	MDB_val value;
	int error;

	if (address.length == 0 || address.length > ACCOUNT_ADDRESS_OCTETS_MAX)
		return -ENOENT;
	if (mdb_txn_renew(r->txn) != 0)
		return -EIO; /* whatever it was, it must not read as "no such account" */
	error = accounts_errno(mdb_get(r->txn, r->dbi, &key, &value));
	if (error == 0)
		error = account_value_decode(key, value, account_out);
	mdb_txn_reset(r->txn);
	return error;
}

/* `flags`: MDB_NOOVERWRITE refuses an address that is there. */
static int
put(const struct accounts *a, MDB_txn *txn, const struct account *account, unsigned flags)
{
	unsigned char octets[ACCOUNT_VALUE_OCTETS_MAX];
	MDB_val key, value = { .mv_data = octets };

	if (!is_storable(account))
		return -EINVAL;
	key = accounts_key(span_of_string(account->address));
	value.mv_size = account_value_encode(account, key, octets);
	return accounts_errno(mdb_put(txn, a->dbi, &key, &value, flags));
}

int
accounts_end(MDB_txn *txn, int error)
{
	if (error == 0)
		return accounts_errno(mdb_txn_commit(txn));
	mdb_txn_abort(txn);
	return error;
}

int
accounts_add(struct accounts *a, const struct account *account)
{
	MDB_txn *txn;
	int error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));

	if (error != 0)
		return error;
	return accounts_end(txn, put(a, txn, account, MDB_NOOVERWRITE));
}

int
accounts_replace(struct accounts *a, const struct account *account)
{
	MDB_val key, value;
	MDB_txn *txn;
	int error;

	if (!is_storable(account))
		return -EINVAL;
	error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));
	if (error != 0)
		return error;
	key = accounts_key(span_of_string(account->address));
	error = accounts_errno(mdb_get(txn, a->dbi, &key, &value));
	if (error == 0)
		error = put(a, txn, account, 0);
	return accounts_end(txn, error);
}

int
accounts_replace_hash(
	struct accounts *a, struct span address, const char *old_hash, const char *hash)
{
	MDB_val key = accounts_key(address), value;
	struct account account;
	MDB_txn *txn;
	int error;

	if (address.length == 0 || address.length > ACCOUNT_ADDRESS_OCTETS_MAX)
		return -ENOENT;
	if (strlen(hash) > ACCOUNT_HASH_OCTETS_MAX)
		return -EINVAL;
	error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));
	if (error != 0)
		return error;
	error = accounts_errno(mdb_get(txn, a->dbi, &key, &value));
	if (error == 0)
		error = account_value_decode(key, value, &account);
	if (error == 0 && strcmp(account.password_hash, old_hash) != 0)
		error = -ESTALE;
	if (error == 0) {
		strcpy(account.password_hash, hash);
		error = put(a, txn, &account, 0);
	}
	return accounts_end(txn, error);
}

int
accounts_remove(struct accounts *a, struct span address)
{
	MDB_val key = accounts_key(address);
	uint64_t forgotten = 0;
	MDB_txn *txn;
	int error;

	if (address.length == 0 || address.length > ACCOUNT_ADDRESS_OCTETS_MAX)
		return -ENOENT;
	error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));
	if (error != 0)
		return error;
	error = accounts_errno(mdb_del(txn, a->dbi, &key, NULL));
	if (error == 0)
		error = accounts_forget_more(txn, a->dbi, address, &forgotten);
	return accounts_end(txn, error);
}

int
accounts_each(struct accounts *a, int (*each)(void *ctx, const struct account *account), void *ctx)
{
	struct account account;
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_txn *txn;
	int error = accounts_errno(mdb_txn_begin(a->env, NULL, MDB_RDONLY, &txn));

	if (error != 0)
		return error;
	error = accounts_errno(mdb_cursor_open(txn, a->dbi, &cursor));
	if (error != 0) {
		mdb_txn_abort(txn);
		return error;
	}
	for (;;) {
		int rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);

		if (rc == MDB_NOTFOUND)
			break;
		if (rc == 0 && key.mv_size > 0 && *(const char *)key.mv_data == '\0')
			continue;
		error = rc != 0 ? accounts_errno(rc) : account_value_decode(key, value, &account);
		if (error == 0)
			error = each(ctx, &account);
		if (error != 0)
			break;
	}
	mdb_cursor_close(cursor);
	mdb_txn_abort(txn);
	return error;
}

/* One step of a load.  *loaded_out grows once the step is durable; *more_out tells whether the
 * source may have more. */
static int
load_batch(struct accounts *a, int (*next)(void *ctx, struct account *account_out), void *ctx,
	uint64_t *loaded_out, bool *more_out)
{
	struct account account;
	unsigned count = 0;
	MDB_txn *txn;
	int result = 1;
	int error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));

	if (error != 0)
		return error;
	while (error == 0 && count < LOAD_BATCH && (result = next(ctx, &account)) > 0) {
		error = put(a, txn, &account, 0);
		count++;
	}
	error = accounts_end(txn, error);
	if (error != 0)
		return error;
	*loaded_out += count;
	*more_out = result > 0;
	return result < 0 ? result : 0;
}

int
accounts_load(struct accounts *a, int (*next)(void *ctx, struct account *account_out), void *ctx,
	uint64_t *loaded_out)
{
	bool more = true;
	int error = 0;

	*loaded_out = 0;
	while (error == 0 && more)
		error = load_batch(a, next, ctx, loaded_out, &more);
	return error;
}
