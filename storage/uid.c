/*
 * uid.c - what a unique-id may look like, and the one every message has by itself.
 */
#include "storage/uid.h"

#include "storage/maildrop.h"

bool
uid_is_unique_id(struct span id)
{
	if (id.length < 1 || id.length > MAILDROP_UNIQUE_ID_MAX)
		return false;
	for (size_t i = 0; i < id.length; i++) {
		if (id.at[i] < 0x21 || id.at[i] > 0x7E)
			return false;
	}
	return true;
}

/* By hand: UIDL of a large maildrop does this once for each message. */
static void
put_hex(uint32_t number, char to[8])
{
	static const char digits[] = "0123456789abcdef";

	for (int i = 7; i >= 0; i--) {
		to[i] = digits[number & 0xF];
		number >>= 4;
	}
}

static bool
get_hex(const char from[8], uint32_t *number_out)
{
	uint32_t number = 0;

	for (int i = 0; i < 8; i++) {
		char c = from[i];

		if (c >= '0' && c <= '9')
			number = number << 4 | (uint32_t)(c - '0');
		else if (c >= 'a' && c <= 'f')
			number = number << 4 | (uint32_t)(c - 'a' + 10);
		else
			return false;
	}
	*number_out = number;
	return true;
}

void
uid_put_derived(uint32_t uid, uint32_t uid_validity, char to[UID_DERIVED_OCTETS])
{
	put_hex(uid, to);
	put_hex(uid_validity, to + 8);
}

bool
uid_is_derived(struct span id, uint32_t uid_validity, uint32_t *uid_out)
{
	uint32_t uid;
	uint32_t validity;

	if (id.length != UID_DERIVED_OCTETS || !get_hex(id.at, &uid) ||
		!get_hex(id.at + 8, &validity) || validity != uid_validity)
		return false;
	*uid_out = uid;
	return true;
}
