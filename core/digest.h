/*
 * digest.h - keyed digests of addresses and names, for the tables that shards share.
 *
 * Not for what must stay secret: enough that nobody outside, who does not see them, can choose
 * addresses or names that meet in one place.  A table draws keys of its own.
 */
#ifndef CORE_DIGEST_H
#define CORE_DIGEST_H

#include "io/base/span.h"

#include <stdint.h>

struct digest_keys {
	uint64_t at[3];
};

/* 0, or -EIO: no random octets. */
int digest_keys_draw(struct digest_keys *keys_out);

/* `address` as in struct in_addr or struct in6_addr.  Of IPv6 the /64 counts:
 * who has one address of it has them all. */
uint64_t digest_address(const struct digest_keys *keys, int family, const void *address);
uint64_t digest_text(const struct digest_keys *keys, struct span text);

#endif
