/*
 * accounts_lmdb.c - accounts in an LMDB file in the spool.
 *
 * One key for each canonical address, one value of a few dozen octets in the form below.  LMDB
 * gives snapshots to readers without locks, and durable all-or-none transactions to one writer at a
 * time, in this process or another.
 *
 * A value, version 1 (integers little-endian):
 *     0  u8   version
 *     1  u8   flags: bit 0 enabled, bit 1 read-only; the others are 0
 *     2  u16  octets of the password hash
 *     4  u32  quota in messages
 *     8  u64  quota in octets
 *    16  u32  CRC-32C of the key and of all of the value but these four octets
 *    20  ...  the password hash
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
#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/accounts.h"

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
#define LOAD_BATCH        500000u

#define VALUE_VERSION     1u
#define VALUE_HEAD_OCTETS 20u
#define VALUE_OCTETS_MAX  (VALUE_HEAD_OCTETS + ACCOUNT_HASH_OCTETS_MAX)
#define FLAG_ENABLED      0x01u
#define FLAG_READ_ONLY    0x02u
#define CRC_OFFSET        16u

struct accounts {
	MDB_env *env;
	MDB_dbi dbi;
};

struct accounts_reader {
	MDB_txn *txn; /* reset between look-ups */
	MDB_dbi dbi;
};

/* LMDB's own codes, which are outside errno, in errno's words. */
static int
errno_of(int rc)
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

static uint32_t
value_crc(MDB_val key, const unsigned char *value, size_t octets)
{
	uint32_t crc = crc32c(0, key.mv_data, key.mv_size);

	crc = crc32c(crc, value, CRC_OFFSET);
	return crc32c(crc, value + VALUE_HEAD_OCTETS, octets - VALUE_HEAD_OCTETS);
}

static size_t
value_encode(const struct account *account, MDB_val key, unsigned char to[VALUE_OCTETS_MAX])
{
	size_t hash_octets = strlen(account->password_hash);
	uint16_t hash_octets_le = htole16((uint16_t)hash_octets);
	uint32_t messages_le = htole32(account->quota_messages);
	uint64_t octets_le = htole64(account->quota_octets);
	uint32_t crc_le;

	to[0] = VALUE_VERSION;
	to[1] = (unsigned char)((account->enabled ? FLAG_ENABLED : 0u) |
		(account->read_only ? FLAG_READ_ONLY : 0u));
	memcpy(to + 2, &hash_octets_le, sizeof(hash_octets_le));
	memcpy(to + 4, &messages_le, sizeof(messages_le));
	memcpy(to + 8, &octets_le, sizeof(octets_le));
	memcpy(to + VALUE_HEAD_OCTETS, account->password_hash, hash_octets);
	crc_le = htole32(value_crc(key, to, VALUE_HEAD_OCTETS + hash_octets));
	memcpy(to + CRC_OFFSET, &crc_le, sizeof(crc_le));
	return VALUE_HEAD_OCTETS + hash_octets;
}

/* -EBADMSG: damage.  -EPROTONOSUPPORT: a version of a later program. */
static int
value_decode(MDB_val key, MDB_val value, struct account *account_out)
{
	const unsigned char *from = value.mv_data;
	uint16_t hash_octets;
	uint32_t messages, crc;
	uint64_t octets;

	if (value.mv_size < VALUE_HEAD_OCTETS || value.mv_size > VALUE_OCTETS_MAX ||
		key.mv_size == 0 || key.mv_size > ACCOUNT_ADDRESS_OCTETS_MAX)
		return -EBADMSG;
	memcpy(&crc, from + CRC_OFFSET, sizeof(crc));
	if (le32toh(crc) != value_crc(key, from, value.mv_size))
		return -EBADMSG;
	if (from[0] != VALUE_VERSION || (from[1] & ~(FLAG_ENABLED | FLAG_READ_ONLY)) != 0)
		return -EPROTONOSUPPORT;
	memcpy(&hash_octets, from + 2, sizeof(hash_octets));
	hash_octets = le16toh(hash_octets);
	if (VALUE_HEAD_OCTETS + (size_t)hash_octets != value.mv_size ||
		memchr(from + VALUE_HEAD_OCTETS, '\0', hash_octets) != NULL ||
		memchr(key.mv_data, '\0', key.mv_size) != NULL)
		return -EBADMSG;
	memcpy(&messages, from + 4, sizeof(messages));
	memcpy(&octets, from + 8, sizeof(octets));
	memcpy(account_out->address, key.mv_data, key.mv_size);
	account_out->address[key.mv_size] = '\0';
	memcpy(account_out->password_hash, from + VALUE_HEAD_OCTETS, hash_octets);
	account_out->password_hash[hash_octets] = '\0';
	account_out->enabled = (from[1] & FLAG_ENABLED) != 0;
	account_out->read_only = (from[1] & FLAG_READ_ONLY) != 0;
	account_out->quota_messages = le32toh(messages);
	account_out->quota_octets = le64toh(octets);
	return 0;
}

static bool
is_storable(const struct account *account)
{
	size_t address = strnlen(account->address, sizeof(account->address));
	size_t hash = strnlen(account->password_hash, sizeof(account->password_hash));

	return address > 0 && address <= ACCOUNT_ADDRESS_OCTETS_MAX &&
		hash <= ACCOUNT_HASH_OCTETS_MAX;
}

static MDB_val
key_of(struct span address)
{
	return (MDB_val){ .mv_size = address.length, .mv_data = (void *)address.at };
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
		return errno_of(rc);
	rc = mdb_dbi_open(txn, NULL, 0, &a->dbi);
	if (rc != 0) {
		mdb_txn_abort(txn);
		return errno_of(rc);
	}
	return errno_of(mdb_txn_commit(txn));
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
		return errno_of(rc);
	rc = mdb_stat(txn, a->dbi, &st);
	mdb_txn_abort(txn);
	if (rc != 0)
		return errno_of(rc);
	if (mdb_env_get_fd(a->env, &fd) != 0 || fstat(fd, &file) != 0)
		return -EIO;
	pages = META_PAGES + st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages;
	return (uint64_t)file.st_size < pages * st.ms_psize ? -EBADMSG : 0;
}

static int
open_environment(struct accounts *a, const char *path, enum accounts_mode mode)
{
	unsigned flags = MDB_NOSUBDIR | MDB_NOTLS | (mode == ACCOUNTS_READ ? MDB_RDONLY : 0u);
	int dead;
	int rc = mdb_env_set_mapsize(a->env, MAP_OCTETS);

	if (rc == 0)
		rc = mdb_env_set_maxreaders(a->env, READERS_MAX);
	if (rc == 0)
		rc = mdb_env_open(a->env, path, flags, FILE_MODE);
	if (rc == 0) /* slots of readers that were killed: they would keep old pages for ever */
		rc = mdb_reader_check(a->env, &dead);
	return errno_of(rc);
}

int
accounts_open(const char *path, enum accounts_mode mode, struct accounts **accounts_out)
{
	struct accounts *a = calloc(1, sizeof(*a));
	int error;

	if (a == NULL)
		return -ENOMEM;
	error = errno_of(mdb_env_create(&a->env));
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
		return errno_of(rc);
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
	MDB_val key = key_of(address);
	MDB_val value;
	int error;

	if (address.length == 0 || address.length > ACCOUNT_ADDRESS_OCTETS_MAX)
		return -ENOENT;
	if (mdb_txn_renew(r->txn) != 0)
		return -EIO; /* whatever it was, it must not read as "no such account" */
	error = errno_of(mdb_get(r->txn, r->dbi, &key, &value));
	if (error == 0)
		error = value_decode(key, value, account_out);
	mdb_txn_reset(r->txn);
	return error;
}

/* `flags`: MDB_NOOVERWRITE refuses an address that is there. */
static int
put(const struct accounts *a, MDB_txn *txn, const struct account *account, unsigned flags)
{
	unsigned char octets[VALUE_OCTETS_MAX];
	MDB_val key, value = { .mv_data = octets };

	if (!is_storable(account))
		return -EINVAL;
	key = key_of(span_of_string(account->address));
	value.mv_size = value_encode(account, key, octets);
	return errno_of(mdb_put(txn, a->dbi, &key, &value, flags));
}

/* Ends `txn`: durably when `error` is 0, without a trace otherwise. */
static int
end_transaction(MDB_txn *txn, int error)
{
	if (error == 0)
		return errno_of(mdb_txn_commit(txn));
	mdb_txn_abort(txn);
	return error;
}

int
accounts_add(struct accounts *a, const struct account *account)
{
	MDB_txn *txn;
	int error = errno_of(mdb_txn_begin(a->env, NULL, 0, &txn));

	if (error != 0)
		return error;
	return end_transaction(txn, put(a, txn, account, MDB_NOOVERWRITE));
}

int
accounts_replace(struct accounts *a, const struct account *account)
{
	MDB_val key, value;
	MDB_txn *txn;
	int error;

	if (!is_storable(account))
		return -EINVAL;
	error = errno_of(mdb_txn_begin(a->env, NULL, 0, &txn));
	if (error != 0)
		return error;
	key = key_of(span_of_string(account->address));
	error = errno_of(mdb_get(txn, a->dbi, &key, &value));
	if (error == 0)
		error = put(a, txn, account, 0);
	return end_transaction(txn, error);
}

int
accounts_remove(struct accounts *a, struct span address)
{
	MDB_val key = key_of(address);
	MDB_txn *txn;
	int error;

	if (address.length == 0 || address.length > ACCOUNT_ADDRESS_OCTETS_MAX)
		return -ENOENT;
	error = errno_of(mdb_txn_begin(a->env, NULL, 0, &txn));
	if (error != 0)
		return error;
	return end_transaction(txn, errno_of(mdb_del(txn, a->dbi, &key, NULL)));
}

int
accounts_each(struct accounts *a, int (*each)(void *ctx, const struct account *account), void *ctx)
{
	struct account account;
	MDB_cursor *cursor;
	MDB_val key, value;
	MDB_txn *txn;
	int error = errno_of(mdb_txn_begin(a->env, NULL, MDB_RDONLY, &txn));

	if (error != 0)
		return error;
	error = errno_of(mdb_cursor_open(txn, a->dbi, &cursor));
	if (error != 0) {
		mdb_txn_abort(txn);
		return error;
	}
	for (;;) {
		int rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);

		if (rc == MDB_NOTFOUND)
			break;
		error = rc != 0 ? errno_of(rc) : value_decode(key, value, &account);
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
	int error = errno_of(mdb_txn_begin(a->env, NULL, 0, &txn));

	if (error != 0)
		return error;
	while (error == 0 && count < LOAD_BATCH && (result = next(ctx, &account)) > 0) {
		error = put(a, txn, &account, 0);
		count++;
	}
	error = end_transaction(txn, error);
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
