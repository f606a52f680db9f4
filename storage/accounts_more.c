/*
 * accounts_more.c - what the LMDB file keeps beside accounts: app passwords, last logins, a secret.
 *
 * Values end with a CRC-32C of key and value; damage is -EBADMSG.
 */
#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/accounts_lmdb.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#define CRC_OCTETS 4u

/* An app password: u8 version, u8 flags, s64 created, s64 expires, salt, digest, CRC. */
#define APP_OCTETS    (2u + 8u + 8u + 16u + 32u + CRC_OCTETS)
#define APP_READ_ONLY 0x01u
#define APP_NO_DELETE 0x02u

/* A last login: u8 version, u8 octets of the protocol, u8 of the peer, s64 time,
 * both texts, CRC. */
#define NOTE_HEAD_OCTETS 11u
#define NOTE_OCTETS_MAX  (NOTE_HEAD_OCTETS + 7u + 45u + CRC_OCTETS)

#define SECRET_OCTETS    32u

struct key {
	unsigned char octets[ACCOUNTS_KEY_OCTETS_MAX];
	size_t length;
};

static_assert(ACCOUNTS_KEY_OCTETS_MAX <= 511, "LMDB takes keys of that length");

/* NUL, kind, address, NUL, name.  False: too long to be a key. */
static bool
make_key(char kind, struct span address, struct span name, struct key *key_out)
{
	unsigned char *to = key_out->octets;

	if (address.length == 0 || address.length > ACCOUNT_ADDRESS_OCTETS_MAX ||
		name.length > APP_PASSWORD_NAME_OCTETS_MAX)
		return false;
	*to++ = '\0';
	*to++ = (unsigned char)kind;
	memcpy(to, address.at, address.length);
	to += address.length;
	*to++ = '\0';
	if (name.length > 0)
		memcpy(to, name.at, name.length);
	key_out->length = 3 + address.length + name.length;
	return true;
}

static MDB_val
val_of(const struct key *key)
{
	return (MDB_val){ .mv_size = key->length, .mv_data = (void *)key->octets };
}

static uint32_t
crc_of(MDB_val key, const unsigned char *value, size_t octets)
{
	return crc32c(crc32c(0, key.mv_data, key.mv_size), value, octets);
}

static void
put_crc(MDB_val key, unsigned char *value, size_t octets)
{
	uint32_t crc = htole32(crc_of(key, value, octets));

	memcpy(value + octets, &crc, CRC_OCTETS);
}

static bool
crc_fits(MDB_val key, MDB_val value)
{
	const unsigned char *from = value.mv_data;
	uint32_t crc;

	if (value.mv_size < CRC_OCTETS)
		return false;
	memcpy(&crc, from + value.mv_size - CRC_OCTETS, CRC_OCTETS);
	return le32toh(crc) == crc_of(key, from, value.mv_size - CRC_OCTETS);
}

static bool
begins_with(MDB_val key, const struct key *prefix)
{
	return key.mv_size >= prefix->length &&
		memcmp(key.mv_data, prefix->octets, prefix->length) == 0;
}

/* ---- app passwords ------------------------------------------------------------------------- */

static void
encode_app(const struct app_password *p, MDB_val key, unsigned char to[APP_OCTETS])
{
	uint64_t created = htole64((uint64_t)p->created_at);
	uint64_t expires = htole64((uint64_t)p->expires_at);

	to[0] = 1;
	to[1] = (unsigned char)((p->read_only ? APP_READ_ONLY : 0u) |
		(p->no_delete ? APP_NO_DELETE : 0u));
	memcpy(to + 2, &created, 8);
	memcpy(to + 10, &expires, 8);
	memcpy(to + 18, p->salt, 16);
	memcpy(to + 34, p->digest, 32);
	put_crc(key, to, APP_OCTETS - CRC_OCTETS);
}

static int
decode_app(MDB_val key, MDB_val value, size_t prefix, struct app_password *p_out)
{
	const unsigned char *from = value.mv_data;
	size_t name_octets = key.mv_size - prefix;
	uint64_t created, expires;

	if (!crc_fits(key, value) || value.mv_size != APP_OCTETS ||
		name_octets > APP_PASSWORD_NAME_OCTETS_MAX)
		return -EBADMSG;
	if (from[0] != 1)
		return -EPROTONOSUPPORT;
	memcpy(p_out->name, (const char *)key.mv_data + prefix, name_octets);
	p_out->name[name_octets] = '\0';
	p_out->read_only = (from[1] & APP_READ_ONLY) != 0;
	p_out->no_delete = (from[1] & APP_NO_DELETE) != 0;
	memcpy(&created, from + 2, 8);
	memcpy(&expires, from + 10, 8);
	p_out->created_at = (int64_t)le64toh(created);
	p_out->expires_at = (int64_t)le64toh(expires);
	memcpy(p_out->salt, from + 18, 16);
	memcpy(p_out->digest, from + 34, 32);
	return 0;
}

static int
each_app(MDB_txn *txn, MDB_dbi dbi, struct span address,
	int (*each)(void *ctx, const struct app_password *p), void *ctx)
{
	struct app_password p;
	struct key prefix;
	MDB_cursor *cursor;
	MDB_val key, value;
	int error;

	if (!make_key('p', address, span_of("", 0), &prefix))
		return 0;
	error = accounts_errno(mdb_cursor_open(txn, dbi, &cursor));
	if (error != 0)
		return error;
	key = val_of(&prefix);
	error = accounts_errno(mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE));
	while (error == 0 && begins_with(key, &prefix)) {
		error = decode_app(key, value, prefix.length, &p);
		if (error == 0)
			error = each(ctx, &p);
		if (error == 0)
			error = accounts_errno(mdb_cursor_get(cursor, &key, &value, MDB_NEXT));
	}
	mdb_cursor_close(cursor);
	return error == -ENOENT ? 0 : error;
}

static int
count_one(void *ctx, const struct app_password *p)
{
	unsigned *count = ctx;

	(void)p;
	++*count;
	return 0;
}

bool
accounts_have_app_password(MDB_txn *txn, MDB_dbi dbi, struct span address)
{
	unsigned count = 0;

	return each_app(txn, dbi, address, count_one, &count) != 0 || count > 0;
}

int
accounts_each_app_password(struct accounts_reader *r, struct span address,
	int (*each)(void *ctx, const struct app_password *p), void *ctx)
{
	int error;

	if (mdb_txn_renew(r->txn) != 0)
		return -EIO;
	error = each_app(r->txn, r->dbi, address, each, ctx);
	mdb_txn_reset(r->txn);
	return error;
}

/* The account says whether it has any, so that a login without them costs no second look-up. */
static int
put_flag(MDB_txn *txn, MDB_dbi dbi, struct span address)
{
	unsigned char octets[ACCOUNT_VALUE_OCTETS_MAX];
	MDB_val key = accounts_key(address), value;
	struct account account;
	int error = accounts_errno(mdb_get(txn, dbi, &key, &value));

	if (error == 0)
		error = account_value_decode(key, value, &account);
	if (error != 0)
		return error;
	account.has_app_passwords = accounts_have_app_password(txn, dbi, address);
	value.mv_size = account_value_encode(&account, key, octets);
	value.mv_data = octets;
	return accounts_errno(mdb_put(txn, dbi, &key, &value, 0));
}

int
accounts_add_app_password(struct accounts *a, struct span address, const struct app_password *p)
{
	unsigned char octets[APP_OCTETS];
	MDB_val val, value = { .mv_size = APP_OCTETS, .mv_data = octets };
	unsigned count = 0;
	struct key key;
	MDB_txn *txn;
	int error;

	if (p->name[0] == '\0' || !make_key('p', address, span_of_string(p->name), &key))
		return -EINVAL;
	error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));
	if (error != 0)
		return error;
	val = val_of(&key);
	encode_app(p, val, octets);
	error = each_app(txn, a->dbi, address, count_one, &count);
	if (error == 0 && count >= APP_PASSWORDS_MAX)
		error = -EDQUOT;
	if (error == 0)
		error = accounts_errno(mdb_put(txn, a->dbi, &val, &value, MDB_NOOVERWRITE));
	if (error == 0)
		error = put_flag(txn, a->dbi, address);
	return accounts_end(txn, error);
}

int
accounts_remove_app_password(struct accounts *a, struct span address, struct span name)
{
	struct key key, last;
	MDB_val val;
	MDB_txn *txn;
	int error;

	if (name.length == 0 || !make_key('p', address, name, &key) ||
		!make_key('l', address, name, &last))
		return -ENOENT;
	error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));
	if (error != 0)
		return error;
	val = val_of(&key);
	error = accounts_errno(mdb_del(txn, a->dbi, &val, NULL));
	if (error == 0) {
		val = val_of(&last);
		(void)mdb_del(txn, a->dbi, &val, NULL);
		error = put_flag(txn, a->dbi, address);
	}
	return accounts_end(txn, error);
}

/* ---- all that there is of an account ------------------------------------------------------- */

static int
forget_kind(MDB_txn *txn, MDB_dbi dbi, char kind, struct span address)
{
	struct key prefix;
	MDB_cursor *cursor;
	MDB_val key, value;
	int error;

	if (!make_key(kind, address, span_of("", 0), &prefix))
		return 0;
	error = accounts_errno(mdb_cursor_open(txn, dbi, &cursor));
	while (error == 0) {
		key = val_of(&prefix);
		error = accounts_errno(mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE));
		if (error == 0 && !begins_with(key, &prefix))
			error = -ENOENT;
		if (error == 0)
			error = accounts_errno(mdb_cursor_del(cursor, 0));
	}
	if (error == -ENOENT || error == 0)
		mdb_cursor_close(cursor);
	return error == -ENOENT ? 0 : error;
}

int
accounts_forget_more(MDB_txn *txn, MDB_dbi dbi, struct span address)
{
	int error = forget_kind(txn, dbi, 'p', address);

	return error != 0 ? error : forget_kind(txn, dbi, 'l', address);
}

/* ---- last logins --------------------------------------------------------------------------- */

static size_t
encode_note(const struct login_note *note, MDB_val key, unsigned char to[NOTE_OCTETS_MAX])
{
	size_t protocol = strnlen(note->protocol, sizeof(note->protocol) - 1);
	size_t peer = strnlen(note->peer, sizeof(note->peer) - 1);
	uint64_t at = htole64((uint64_t)note->at);

	to[0] = 1;
	to[1] = (unsigned char)protocol;
	to[2] = (unsigned char)peer;
	memcpy(to + 3, &at, 8);
	memcpy(to + NOTE_HEAD_OCTETS, note->protocol, protocol);
	memcpy(to + NOTE_HEAD_OCTETS + protocol, note->peer, peer);
	put_crc(key, to, NOTE_HEAD_OCTETS + protocol + peer);
	return NOTE_HEAD_OCTETS + protocol + peer + CRC_OCTETS;
}

static int
decode_note(MDB_val key, MDB_val value, struct login_note *note_out)
{
	const unsigned char *from = value.mv_data;
	uint64_t at;

	if (!crc_fits(key, value) || value.mv_size < NOTE_HEAD_OCTETS + CRC_OCTETS)
		return -EBADMSG;
	if (from[0] != 1)
		return -EPROTONOSUPPORT;
	if (from[1] >= sizeof(note_out->protocol) || from[2] >= sizeof(note_out->peer) ||
		value.mv_size != NOTE_HEAD_OCTETS + from[1] + from[2] + CRC_OCTETS)
		return -EBADMSG;
	memset(note_out, 0, sizeof(*note_out));
	memcpy(&at, from + 3, 8);
	note_out->at = (int64_t)le64toh(at);
	memcpy(note_out->protocol, from + NOTE_HEAD_OCTETS, from[1]);
	memcpy(note_out->peer, from + NOTE_HEAD_OCTETS + from[1], from[2]);
	return 0;
}

static int
put_note(MDB_txn *txn, MDB_dbi dbi, const struct login_note *note, struct span name)
{
	unsigned char octets[NOTE_OCTETS_MAX];
	MDB_val val, value = { .mv_data = octets };
	struct key key;

	if (!make_key('l', span_of_string(note->address), name, &key))
		return 0;
	val = val_of(&key);
	value.mv_size = encode_note(note, val, octets);
	return accounts_errno(mdb_put(txn, dbi, &val, &value, 0));
}

int
accounts_note_logins(struct accounts *a, const struct login_note *notes, unsigned count)
{
	MDB_txn *txn;
	int error;

	if (a->reads_only)
		return -EROFS;
	error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));
	for (unsigned i = 0; error == 0 && i < count; i++) {
		struct span address = span_of_string(notes[i].address);
		MDB_val key = accounts_key(address), value;

		if (address.length == 0 || mdb_get(txn, a->dbi, &key, &value) != 0)
			continue;
		error = put_note(txn, a->dbi, &notes[i], span_of("", 0));
		if (error == 0 && notes[i].app_password[0] != '\0')
			error = put_note(
				txn, a->dbi, &notes[i], span_of_string(notes[i].app_password));
		if (error != 0)
			mdb_txn_abort(txn);
	}
	return error != 0 ? error : accounts_errno(mdb_txn_commit(txn));
}

int
accounts_last_login(struct accounts_reader *r, struct span address, struct span app_password,
	struct login_note *note_out)
{
	MDB_val val, value;
	struct key key;
	int error;

	if (!make_key('l', address, app_password, &key))
		return -ENOENT;
	if (mdb_txn_renew(r->txn) != 0)
		return -EIO;
	val = val_of(&key);
	error = accounts_errno(mdb_get(r->txn, r->dbi, &val, &value));
	if (error == 0)
		error = decode_note(val, value, note_out);
	mdb_txn_reset(r->txn);
	if (error != 0)
		return error;
	memcpy(note_out->address, address.at, address.length);
	if (app_password.length > 0)
		memcpy(note_out->app_password, app_password.at, app_password.length);
	return 0;
}

/* ---- the secret ---------------------------------------------------------------------------- */

int
accounts_secret(struct accounts *a, uint8_t secret_out[32])
{
	static const unsigned char name[2] = { '\0', 's' };
	unsigned char octets[SECRET_OCTETS + CRC_OCTETS];
	MDB_val key = { sizeof(name), (void *)name }, value;
	MDB_txn *txn;
	int error =
		accounts_errno(mdb_txn_begin(a->env, NULL, a->reads_only ? MDB_RDONLY : 0, &txn));

	if (error != 0)
		return error;
	error = accounts_errno(mdb_get(txn, a->dbi, &key, &value));
	if (error == 0 && (value.mv_size != sizeof(octets) || !crc_fits(key, value)))
		error = -EBADMSG;
	if (error == 0)
		memcpy(secret_out, value.mv_data, SECRET_OCTETS);
	if (error != -ENOENT || a->reads_only) {
		mdb_txn_abort(txn);
		return error;
	}
	error = 0;
	if (getrandom(octets, SECRET_OCTETS, 0) != (ssize_t)SECRET_OCTETS)
		error = -EIO;
	put_crc(key, octets, SECRET_OCTETS);
	value = (MDB_val){ sizeof(octets), octets };
	if (error == 0)
		error = accounts_errno(mdb_put(txn, a->dbi, &key, &value, 0));
	error = accounts_end(txn, error);
	if (error == 0)
		memcpy(secret_out, octets, SECRET_OCTETS);
	explicit_bzero(octets, sizeof(octets));
	return error;
}
