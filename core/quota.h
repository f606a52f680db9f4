/*
 * quota.h - how much mail an account may hold: its own limit, its domain's, or the server's.
 *
 * What a maildrop does hold is in its index (maildrop_usage()); nothing here is ever counted again.
 * Pure; reads settings and an account, both of which it borrows.
 */
#ifndef CORE_QUOTA_H
#define CORE_QUOTA_H

#include "core/settings.h"
#include "storage/accounts.h"

struct quota {
	uint64_t octets;   /* RFC 1939 sizes of all messages together; 0: no limit */
	uint32_t messages; /* 0: no limit */
};

struct quota quota_of(const struct settings *settings, const struct account *account);

#endif
