/*
 * accounts_value.c - an account as it lies in the LMDB file.
 *
 * A value (integers little-endian):
 *     0  u8   version: 1, or 2 where there are fields or newer flags
 *     1  u8   flags: bit 0 enabled, bit 1 read-only, bit 2 no-delete, bit 3 not used any more
 *     2  u16  octets of the password hash
 *     4  u32  quota in messages
 *     8  u64  quota in octets
 *    16  u32  CRC-32C of the key and of all of the value but these four octets
 *    20  ...  the password hash
 *        ...  fields, in order of tag: u8 tag, u8 length, octets.
 *             1 networks, 2 maildrop, 3 backend
 */
#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/accounts_lmdb.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define HEAD_OCTETS        20u
#define CRC_OFFSET         16u
#define FLAG_ENABLED       0x01u
#define FLAG_READ_ONLY     0x02u
#define FLAG_NO_DELETE     0x04u
#define FLAG_NOT_USED      0x08u
#define FLAGS_OF_VERSION_1 (FLAG_ENABLED | FLAG_READ_ONLY)
#define FLAGS_OF_VERSION_2 (FLAGS_OF_VERSION_1 | FLAG_NO_DELETE | FLAG_NOT_USED)

static const struct field {
	size_t offset;
	size_t octets_max;
} fields[] = {
	[1] = { offsetof(struct account, networks), ACCOUNT_TEXT_OCTETS_MAX },
	[2] = { offsetof(struct account, maildrop), ACCOUNT_ADDRESS_OCTETS_MAX },
	[3] = { offsetof(struct account, backend), ACCOUNT_TEXT_OCTETS_MAX },
};

static uint32_t
value_crc(MDB_val key, const unsigned char *value, size_t octets)
{
	uint32_t crc = crc32c(0, key.mv_data, key.mv_size);

	crc = crc32c(crc, value, CRC_OFFSET);
	return crc32c(crc, value + HEAD_OCTETS, octets - HEAD_OCTETS);
}

static unsigned
flags_of(const struct account *account)
{
	return (account->enabled ? FLAG_ENABLED : 0u) | (account->read_only ? FLAG_READ_ONLY : 0u) |
		(account->no_delete ? FLAG_NO_DELETE : 0u);
}

static size_t
put_fields(const struct account *account, unsigned char *to)
{
	size_t at = 0;

	for (unsigned tag = 1; tag < array_count(fields); tag++) {
		const char *text = (const char *)account + fields[tag].offset;
		size_t octets = strnlen(text, fields[tag].octets_max);

		if (octets == 0)
			continue;
		to[at++] = (unsigned char)tag;
		to[at++] = (unsigned char)octets;
		memcpy(to + at, text, octets);
		at += octets;
	}
	return at;
}

size_t
account_value_encode(
	const struct account *account, MDB_val key, unsigned char to[ACCOUNT_VALUE_OCTETS_MAX])
{
	size_t hash_octets = strlen(account->password_hash);
	uint16_t hash_octets_le = htole16((uint16_t)hash_octets);
	uint32_t messages_le = htole32(account->quota_messages);
	uint64_t octets_le = htole64(account->quota_octets);
	size_t octets = HEAD_OCTETS + hash_octets;
	unsigned flags = flags_of(account);
	uint32_t crc_le;

	memcpy(to + 2, &hash_octets_le, sizeof(hash_octets_le));
	memcpy(to + 4, &messages_le, sizeof(messages_le));
	memcpy(to + 8, &octets_le, sizeof(octets_le));
	memcpy(to + HEAD_OCTETS, account->password_hash, hash_octets);
	octets += put_fields(account, to + octets);
	to[0] = octets > HEAD_OCTETS + hash_octets || (flags & ~FLAGS_OF_VERSION_1) != 0 ? 2 : 1;
	to[1] = (unsigned char)flags;
	crc_le = htole32(value_crc(key, to, octets));
	memcpy(to + CRC_OFFSET, &crc_le, sizeof(crc_le));
	return octets;
}

/* The fields behind the hash.  A tag that is not known is of a later program. */
static int
take_fields(const unsigned char *from, size_t octets, struct account *account_out)
{
	while (octets > 0) {
		const struct field *field;
		size_t length;
		char *to;

		if (octets < 2 || from[1] > octets - 2)
			return -EBADMSG;
		if (from[0] == 0 || from[0] >= array_count(fields))
			return -EPROTONOSUPPORT;
		field = &fields[from[0]];
		length = from[1];
		if (length > field->octets_max || memchr(from + 2, '\0', length) != NULL)
			return -EBADMSG;
		to = (char *)account_out + field->offset;
		memcpy(to, from + 2, length);
		to[length] = '\0';
		from += 2 + length;
		octets -= 2 + length;
	}
	return 0;
}

/* Version, flags and sizes fit each other; *hash_octets_out is within the value. */
static int
check_head(MDB_val key, MDB_val value, size_t *hash_octets_out)
{
	const unsigned char *from = value.mv_data;
	uint16_t hash_octets;
	uint32_t crc;

	if (value.mv_size < HEAD_OCTETS || value.mv_size > ACCOUNT_VALUE_OCTETS_MAX ||
		key.mv_size == 0 || key.mv_size > ACCOUNT_ADDRESS_OCTETS_MAX ||
		memchr(key.mv_data, '\0', key.mv_size) != NULL)
		return -EBADMSG;
	memcpy(&crc, from + CRC_OFFSET, sizeof(crc));
	if (le32toh(crc) != value_crc(key, from, value.mv_size))
		return -EBADMSG;
	if (from[0] < 1 || from[0] > 2 ||
		(from[1] & ~(from[0] == 1 ? FLAGS_OF_VERSION_1 : FLAGS_OF_VERSION_2)) != 0)
		return -EPROTONOSUPPORT;
	memcpy(&hash_octets, from + 2, sizeof(hash_octets));
	*hash_octets_out = le16toh(hash_octets);
	if (*hash_octets_out > ACCOUNT_HASH_OCTETS_MAX ||
		HEAD_OCTETS + *hash_octets_out > value.mv_size ||
		(from[0] == 1 && HEAD_OCTETS + *hash_octets_out != value.mv_size) ||
		memchr(from + HEAD_OCTETS, '\0', *hash_octets_out) != NULL)
		return -EBADMSG;
	return 0;
}

int
account_value_decode(MDB_val key, MDB_val value, struct account *account_out)
{
	const unsigned char *from = value.mv_data;
	size_t hash_octets;
	uint32_t messages;
	uint64_t octets;
	int error = check_head(key, value, &hash_octets);

	if (error != 0)
		return error;
	memcpy(&messages, from + 4, sizeof(messages));
	memcpy(&octets, from + 8, sizeof(octets));
	memcpy(account_out->address, key.mv_data, key.mv_size);
	account_out->address[key.mv_size] = '\0';
	memcpy(account_out->password_hash, from + HEAD_OCTETS, hash_octets);
	account_out->password_hash[hash_octets] = '\0';
	account_out->enabled = (from[1] & FLAG_ENABLED) != 0;
	account_out->read_only = (from[1] & FLAG_READ_ONLY) != 0;
	account_out->no_delete = (from[1] & FLAG_NO_DELETE) != 0;
	account_out->quota_messages = le32toh(messages);
	account_out->quota_octets = le64toh(octets);
	for (unsigned tag = 1; tag < array_count(fields); tag++)
		((char *)account_out)[fields[tag].offset] = '\0';
	return take_fields(from + HEAD_OCTETS + hash_octets,
		value.mv_size - HEAD_OCTETS - hash_octets, account_out);
}
