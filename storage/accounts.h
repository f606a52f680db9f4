/*
 * accounts.h - who has a maildrop here, and the proof they must give.
 *
 * The interface to any source of accounts; accounts_lmdb.c is the one that ships: an LMDB
 * environment in the spool, which the `ringpost` command writes while servers read.  A look-up
 * reads the memory map: under a microsecond and, when warm, without a system call, so a shard may
 * do it itself.
 *
 * Keys are canonical addresses (core/auth/address.h); this file does not judge them beyond length.
 *
 * Threads: one struct accounts_reader for each thread; a struct accounts is shared.
 * Errors: 0 or a negative errno.  -ENOENT: no such account.  Anything else means that the source
 * could not answer, and must never be told to a client as "wrong password".
 */
#ifndef STORAGE_ACCOUNTS_H
#define STORAGE_ACCOUNTS_H

#include "io/base/span.h"

#include <stdbool.h>
#include <stdint.h>

#define ACCOUNTS_FILE              "accounts.lmdb" /* its name in the spool */

#define ACCOUNT_ADDRESS_OCTETS_MAX 254u
#define ACCOUNT_HASH_OCTETS_MAX    512u

struct account {
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	char password_hash[ACCOUNT_HASH_OCTETS_MAX + 1]; /* crypt(5) form, or {PLAIN}secret */
	bool enabled;
	bool read_only;          /* may fetch, may not delete */
	uint64_t quota_octets;   /* 0: the default of the domain (core/quota.h) */
	uint32_t quota_messages; /* 0: the same */
};

/* No limit, whatever the default is. */
#define ACCOUNT_QUOTA_OCTETS_NONE   UINT64_MAX
#define ACCOUNT_QUOTA_MESSAGES_NONE UINT32_MAX

struct accounts;
struct accounts_reader;

enum accounts_mode {
	ACCOUNTS_READ,  /* server; the file must exist */
	ACCOUNTS_WRITE, /* admin tool; made where it is missing */
};

/* `path` is the LMDB file. */
int accounts_open(const char *path, enum accounts_mode mode, struct accounts **accounts_out);
void accounts_close(struct accounts *a);

int accounts_reader_open(struct accounts *a, struct accounts_reader **reader_out);
void accounts_reader_close(struct accounts_reader *r);
int accounts_find(struct accounts_reader *r, struct span address, struct account *account_out);

/* Each of these is one durable transaction. */
int accounts_add(struct accounts *a, const struct account *account);     /* -EEXIST */
int accounts_replace(struct accounts *a, const struct account *account); /* -ENOENT */
int accounts_remove(struct accounts *a, struct span address);            /* -ENOENT */

/* Every account in order of address, until `each` returns other than 0, which is then returned. */
int accounts_each(
	struct accounts *a, int (*each)(void *ctx, const struct account *account), void *ctx);

/* Many accounts at once (a million in under a minute): `next` gives one at a time, returns 1; 0 at
 * the end; a negative errno to give up.  Existing ones are replaced.  Durable as a whole when it
 * returns 0; committed in steps, so that a second run goes on where a first one broke off. */
int accounts_load(struct accounts *a, int (*next)(void *ctx, struct account *account_out),
	void *ctx, uint64_t *loaded_out);

#endif
