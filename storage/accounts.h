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
 * App passwords and last logins are kept by address for accounts of every source: that there is no
 * account of an address in this file is nothing to them.  Those of accounts in it go with the
 * account (accounts_remove()); those of others stay until they are forgotten.
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
#define ACCOUNT_TEXT_OCTETS_MAX    255u

struct account {
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	char password_hash[ACCOUNT_HASH_OCTETS_MAX + 1]; /* core/auth/password.h */
	bool enabled;
	bool read_only;          /* frozen: may fetch, may not delete, gets no mail */
	bool no_delete;          /* may fetch, may not delete */
	uint64_t quota_octets;   /* 0: the default of the domain (core/quota.h) */
	uint32_t quota_messages; /* 0: the same */
	/* From where it may log in, "10.0.0.0/8 ::1/128"; "": from anywhere. */
	char networks[ACCOUNT_TEXT_OCTETS_MAX + 1];
	/* The canonical address whose maildrop it opens; "": its own. */
	char maildrop[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	/* The host that has its mail; "": this one. */
	char backend[ACCOUNT_TEXT_OCTETS_MAX + 1];
};

/* The address whose maildrop it opens, and gets mail in. */
static inline const char *
account_maildrop(const struct account *a)
{
	return a->maildrop[0] != '\0' ? a->maildrop : a->address;
}

/* No limit, whatever the default is. */
#define ACCOUNT_QUOTA_OCTETS_NONE   UINT64_MAX
#define ACCOUNT_QUOTA_MESSAGES_NONE UINT32_MAX

struct accounts;
struct accounts_reader;

enum accounts_mode {
	ACCOUNTS_READ,  /* the file must exist */
	ACCOUNTS_SERVE, /* the same, but last logins and better hashes can be written */
	ACCOUNTS_WRITE, /* admin tool; made where it is missing */
};

/* `path` is the LMDB file. */
int accounts_open(const char *path, enum accounts_mode mode, struct accounts **accounts_out);
void accounts_close(struct accounts *a);

int accounts_reader_open(struct accounts *a, struct accounts_reader **reader_out);
void accounts_reader_close(struct accounts_reader *r);
int accounts_find(struct accounts_reader *r, struct span address, struct account *account_out);

/* ---- app passwords: secrets besides the password, each for one program of the user's --------- */

#define APP_PASSWORD_NAME_OCTETS_MAX 64u
#define APP_PASSWORDS_MAX            32u /* of one account */

struct app_password {
	char name[APP_PASSWORD_NAME_OCTETS_MAX + 1]; /* no NUL, no control */
	bool read_only;                              /* its scope: fetch only */
	bool no_delete;
	int64_t created_at; /* seconds since 1970 */
	int64_t expires_at; /* 0: never */
	uint8_t salt[16];
	uint8_t digest[32]; /* of salt and secret (core/auth/app_password.h) */
};

/* Those of an account, in order of name, until `each` returns other than 0,
 * which is then returned. */
int accounts_each_app_password(struct accounts_reader *r, struct span address,
	int (*each)(void *ctx, const struct app_password *p), void *ctx);
/* -EEXIST: it has one of that name; -EDQUOT: it has APP_PASSWORDS_MAX. */
int accounts_add_app_password(
	struct accounts *a, struct span address, const struct app_password *p);
int accounts_remove_app_password(
	struct accounts *a, struct span address, struct span name); /* -ENOENT */

/* ---- last logins ---------------------------------------------------------------------------- */

struct login_note {
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	char app_password[APP_PASSWORD_NAME_OCTETS_MAX + 1]; /* by which; "": by the password */
	int64_t at;                                          /* seconds since 1970 */
	char peer[46];                                       /* as text */
	char protocol[8];
};

/* Keep them, in one durable transaction, so give it many.  The later one of an account counts; of
 * an app password that is gone nothing is kept. */
int accounts_note_logins(struct accounts *a, const struct login_note *notes, unsigned count);
/* The last one by any way (`app_password` empty), or by that app password.  -ENOENT: never. */
int accounts_last_login(struct accounts_reader *r, struct span address, struct span app_password,
	struct login_note *note_out);

/* ---- forgetting both ------------------------------------------------------------------------ */

/* App passwords and last logins of one address, whether it has an account here or not.  -ENOENT:
 * there are none. */
int accounts_forget(struct accounts *a, struct span address);
/* The same for all addresses without an account here whose last login, and the making of whose
 * youngest app password, were before `before` (seconds since 1970).  In steps, so that others can
 * write between them; *forgotten_out counts addresses, also where it ends early. */
int accounts_forget_unused(struct accounts *a, int64_t before, uint64_t *forgotten_out);

/* ---- and ------------------------------------------------------------------------------------ */

/* 32 octets that are drawn at random once and then stay: the same for every process of this spool.
 * With an environment opened for reading -ENOENT if there are none yet. */
int accounts_secret(struct accounts *a, uint8_t secret_out[32]);

/* Each of these is one durable transaction. */
int accounts_add(struct accounts *a, const struct account *account);     /* -EEXIST */
int accounts_replace(struct accounts *a, const struct account *account); /* -ENOENT */
int accounts_remove(struct accounts *a, struct span address);            /* -ENOENT */

/* Put `hash` in place of `old_hash`; -ESTALE: it has changed meanwhile, -ENOENT. */
int accounts_replace_hash(
	struct accounts *a, struct span address, const char *old_hash, const char *hash);

/* Every account in order of address, until `each` returns other than 0, which is then returned. */
int accounts_each(
	struct accounts *a, int (*each)(void *ctx, const struct account *account), void *ctx);

/* Many accounts at once (a million in under a minute): `next` gives one at a time, returns 1; 0 at
 * the end; a negative errno to give up.  Existing ones are replaced.  Durable as a whole when it
 * returns 0; committed in steps, so that a second run goes on where a first one broke off. */
int accounts_load(struct accounts *a, int (*next)(void *ctx, struct account *account_out),
	void *ctx, uint64_t *loaded_out);

#endif
