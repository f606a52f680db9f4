/*
 * accounts_more.c - what the LMDB file keeps beside accounts: app passwords, last logins, a secret.
 *
 * App passwords and last logins are found by address alone, so accounts of all sources have them.
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

/* The second octet of a key. */
#define KIND_APP   'p'
#define KIND_LOGIN 'l'

/* Addresses looked at in one transaction while others wait to write. */
#define FORGET_BATCH 10000u

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

	if (!make_key(KIND_APP, address, span_of("", 0), &prefix))
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

int
accounts_add_app_password(struct accounts *a, struct span address, const struct app_password *p)
{
	unsigned char octets[APP_OCTETS];
	MDB_val val, value = { .mv_size = APP_OCTETS, .mv_data = octets };
	unsigned count = 0;
	struct key key;
	MDB_txn *txn;
	int error;

	if (p->name[0] == '\0' || !make_key(KIND_APP, address, span_of_string(p->name), &key))
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
	return accounts_end(txn, error);
}

int
accounts_remove_app_password(struct accounts *a, struct span address, struct span name)
{
	struct key key, last;
	MDB_val val;
	MDB_txn *txn;
	int error;

	if (name.length == 0 || !make_key(KIND_APP, address, name, &key) ||
		!make_key(KIND_LOGIN, address, name, &last))
		return -ENOENT;
	error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));
	if (error != 0)
		return error;
	val = val_of(&key);
	error = accounts_errno(mdb_del(txn, a->dbi, &val, NULL));
	if (error == 0) {
		val = val_of(&last);
		error = accounts_errno(mdb_del(txn, a->dbi, &val, NULL));
		if (error == -ENOENT) /* it was never used */
			error = 0;
	}
	return accounts_end(txn, error);
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

	if (!make_key(KIND_LOGIN, span_of_string(note->address), name, &key))
		return 0;
	val = val_of(&key);
	value.mv_size = encode_note(note, val, octets);
	return accounts_errno(mdb_put(txn, dbi, &val, &value, 0));
}

/* Revoked since, it leaves nothing behind. */
static bool
is_app_there(MDB_txn *txn, MDB_dbi dbi, struct span address, struct span name)
{
	struct key key;
	MDB_val val, value;

	if (name.length == 0 || !make_key(KIND_APP, address, name, &key))
		return false;
	val = val_of(&key);
	return mdb_get(txn, dbi, &val, &value) == 0;
}

int
accounts_note_logins(struct accounts *a, const struct login_note *notes, unsigned count)
{
	MDB_txn *txn;
	int error;

	if (a->reads_only)
		return -EROFS;
	error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));
	if (error != 0)
		return error;
	for (unsigned i = 0; error == 0 && i < count; i++) {
		struct span name = span_of_string(notes[i].app_password);

		error = put_note(txn, a->dbi, &notes[i], span_of("", 0));
		if (error == 0 && is_app_there(txn, a->dbi, span_of_string(notes[i].address), name))
			error = put_note(txn, a->dbi, &notes[i], name);
	}
	return accounts_end(txn, error);
}

/* Without address and name. */
static int
get_note(MDB_txn *txn, MDB_dbi dbi, struct span address, struct span name,
	struct login_note *note_out)
{
	MDB_val val, value;
	struct key key;
	int error;

	if (!make_key(KIND_LOGIN, address, name, &key))
		return -ENOENT;
	val = val_of(&key);
	error = accounts_errno(mdb_get(txn, dbi, &val, &value));
	return error != 0 ? error : decode_note(val, value, note_out);
}

int
accounts_last_login(struct accounts_reader *r, struct span address, struct span app_password,
	struct login_note *note_out)
{
	int error;

	if (mdb_txn_renew(r->txn) != 0)
		return -EIO;
	error = get_note(r->txn, r->dbi, address, app_password, note_out);
	mdb_txn_reset(r->txn);
	if (error != 0)
		return error;
	memcpy(note_out->address, address.at, address.length);
	if (app_password.length > 0)
		memcpy(note_out->app_password, app_password.at, app_password.length);
	return 0;
}

/* ---- forgetting ---------------------------------------------------------------------------- */

static int
forget_kind(MDB_txn *txn, MDB_dbi dbi, char kind, struct span address, uint64_t *forgotten_out)
{
	struct key prefix;
	MDB_cursor *cursor;
	MDB_val key, value;
	int error;

	if (!make_key(kind, address, span_of("", 0), &prefix))
		return 0;
	error = accounts_errno(mdb_cursor_open(txn, dbi, &cursor));
	if (error != 0)
		return error;
	while (error == 0) {
		key = val_of(&prefix);
		error = accounts_errno(mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE));
		if (error == 0 && !begins_with(key, &prefix))
			error = -ENOENT;
		if (error == 0)
			error = accounts_errno(mdb_cursor_del(cursor, 0));
		if (error == 0)
			++*forgotten_out;
	}
	mdb_cursor_close(cursor);
	return error == -ENOENT ? 0 : error;
}

int
accounts_forget_more(MDB_txn *txn, MDB_dbi dbi, struct span address, uint64_t *forgotten_out)
{
	int error = forget_kind(txn, dbi, KIND_APP, address, forgotten_out);

	return error != 0 ? error : forget_kind(txn, dbi, KIND_LOGIN, address, forgotten_out);
}

int
accounts_forget(struct accounts *a, struct span address)
{
	uint64_t forgotten = 0;
	MDB_txn *txn;
	int error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));

	if (error != 0)
		return error;
	error = accounts_forget_more(txn, a->dbi, address, &forgotten);
	if (error == 0 && forgotten == 0)
		error = -ENOENT;
	return accounts_end(txn, error);
}

/* Where a walk over all addresses of a kind is. */
struct walk {
	struct key from; /* the first key that it has not seen */
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
};

static void
walk_begin(struct walk *w, char kind)
{
	w->from.octets[0] = '\0';
	w->from.octets[1] = (unsigned char)kind;
	w->from.length = 2;
}

/* The next address into w->address; -ENOENT: there is none. */
static int
walk_on(MDB_txn *txn, MDB_dbi dbi, struct walk *w)
{
	MDB_val key = val_of(&w->from), value;
	unsigned char kind = w->from.octets[1];
	const unsigned char *octets, *end;
	struct span address;
	MDB_cursor *cursor;
	int error = accounts_errno(mdb_cursor_open(txn, dbi, &cursor));

	if (error != 0)
		return error;
	error = accounts_errno(mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE));
	mdb_cursor_close(cursor);
	if (error != 0)
		return error;
	octets = key.mv_data;
	if (key.mv_size < 2 || octets[0] != '\0' || octets[1] != kind)
		return -ENOENT;
	end = memchr(octets + 2, '\0', key.mv_size - 2);
	if (end == NULL || end - octets - 2 > (ptrdiff_t)ACCOUNT_ADDRESS_OCTETS_MAX)
		return -EBADMSG;
	address = span_of((const char *)octets + 2, (size_t)(end - octets - 2));
	if (!make_key((char)kind, address, span_of("", 0), &w->from))
		return -EBADMSG;
	/* Behind all names of this address: no address has an octet 1 in it. */
	w->from.octets[w->from.length - 1] = 1;
	memcpy(w->address, address.at, address.length);
	w->address[address.length] = '\0';
	return 0;
}

static int
take_newest(void *ctx, const struct app_password *p)
{
	int64_t *newest = ctx;

	if (p->created_at > *newest)
		*newest = p->created_at;
	return 0;
}

/* When was anything of it last used or made? */
static int
newest_use(MDB_txn *txn, MDB_dbi dbi, struct span address, int64_t *newest_out)
{
	struct login_note note;
	int error = get_note(txn, dbi, address, span_of("", 0), &note);

	*newest_out = error == 0 ? note.at : INT64_MIN;
	if (error != 0 && error != -ENOENT)
		return error;
	return each_app(txn, dbi, address, take_newest, newest_out);
}

/* One address: *forgotten_out is counted up if nothing is kept of it any more. */
static int
forget_if_unused(struct accounts *a, MDB_txn *txn, struct span address, int64_t before,
	uint64_t *forgotten_out)
{
	MDB_val key = accounts_key(address), value;
	uint64_t entries = 0;
	int64_t newest;
	int error = accounts_errno(mdb_get(txn, a->dbi, &key, &value));

	if (error == 0) /* it goes with its account */
		return 0;
	if (error == -ENOENT)
		error = newest_use(txn, a->dbi, address, &newest);
	if (error != 0 || newest >= before)
		return error;
	++*forgotten_out;
	return accounts_forget_more(txn, a->dbi, address, &entries);
}

/* One step of it.  -ENOENT: it was the last. */
static int
forget_some(struct accounts *a, struct walk *w, int64_t before, uint64_t *forgotten_out)
{
	uint64_t forgotten = 0;
	bool is_last = false;
	MDB_txn *txn;
	int error = accounts_errno(mdb_txn_begin(a->env, NULL, 0, &txn));

	if (error != 0)
		return error;
	for (unsigned i = 0; error == 0 && !is_last && i < FORGET_BATCH; i++) {
		error = walk_on(txn, a->dbi, w);
		is_last = error == -ENOENT;
		if (is_last)
			error = 0;
		else if (error == 0)
			error = forget_if_unused(
				a, txn, span_of_string(w->address), before, &forgotten);
	}
	error = accounts_end(txn, error);
	if (error == 0)
		*forgotten_out += forgotten;
	return error == 0 && is_last ? -ENOENT : error;
}

int
accounts_forget_unused(struct accounts *a, int64_t before, uint64_t *forgotten_out)
{
	static const char kinds[] = { KIND_LOGIN, KIND_APP };
	struct walk w;
	int error = 0;

	*forgotten_out = 0;
	for (size_t i = 0; i < array_count(kinds) && error == 0; i++) {
		walk_begin(&w, kinds[i]);
		do {
			error = forget_some(a, &w, before, forgotten_out);
		} while (error == 0);
		if (error == -ENOENT)
			error = 0;
	}
	return error;
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
