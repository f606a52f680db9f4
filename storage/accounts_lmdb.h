/*
 * accounts_lmdb.h - what the files of the LMDB source share.
 *
 * Keys: a canonical address is an account.  Addresses hold no NUL, so keys that begin with one are
 * ours:
 *
 *     NUL "p" address NUL name    an app password
 *     NUL "l" address NUL name    the last login (name empty: by any way)
 *     NUL "s"                     the secret of the spool
 *
 * The first two need no account of that address here: it may come from another source.
 */
#ifndef STORAGE_ACCOUNTS_LMDB_H
#define STORAGE_ACCOUNTS_LMDB_H

#include "storage/accounts.h"

#include <lmdb.h>

struct accounts {
	MDB_env *env;
	MDB_dbi dbi;
	bool reads_only;
};

struct accounts_reader {
	MDB_txn *txn; /* reset between look-ups */
	MDB_dbi dbi;
};

#define ACCOUNT_VALUE_OCTETS_MAX                                                                   \
	(20u + ACCOUNT_HASH_OCTETS_MAX + 3 * 2 + ACCOUNT_ADDRESS_OCTETS_MAX +                      \
		2 * ACCOUNT_TEXT_OCTETS_MAX)
/* LMDB's own limit is 511. */
#define ACCOUNTS_KEY_OCTETS_MAX                                                                    \
	(2u + ACCOUNT_ADDRESS_OCTETS_MAX + 1u + APP_PASSWORD_NAME_OCTETS_MAX)

/* LMDB's own codes, which are outside errno, in errno's words. */
int accounts_errno(int rc);
/* Ends `txn`: durably when `error` is 0, without a trace otherwise. */
int accounts_end(MDB_txn *txn, int error);

static inline MDB_val
accounts_key(struct span address)
{
	return (MDB_val){ .mv_size = address.length, .mv_data = (void *)address.at };
}

/* The value of an account (accounts_value.c); returns its octets. */
size_t account_value_encode(
	const struct account *account, MDB_val key, unsigned char to[ACCOUNT_VALUE_OCTETS_MAX]);
/* -EBADMSG: damage.  -EPROTONOSUPPORT: a version of a later program. */
int account_value_decode(MDB_val key, MDB_val value, struct account *account_out);

/* Within a transaction: forget all that is kept of an address besides its account
 * (accounts_more.c); *forgotten_out grows by the number of entries. */
int accounts_forget_more(MDB_txn *txn, MDB_dbi dbi, struct span address, uint64_t *forgotten_out);

#endif
