/*
 * lmtp_head.h - the header lines that a delivery puts before a message (RFC 5321, section 4.4).
 *
 * Pure.
 */
#ifndef CORE_LMTP_HEAD_H
#define CORE_LMTP_HEAD_H

#include "core/lmtp/path.h"
#include "core/settings.h"
#include "io/base/span.h"
#include "storage/accounts.h"

#include <netinet/in.h>

struct lmtp_head {
	struct span sender; /* empty: "<>" */
	const char *recipient;
	struct span client; /* as it calls itself */
	const char *peer;   /* its address as text; NULL: it came by a local socket */
	const char *hostname;
	const char *id;
	bool is_secure;
	bool takes_utf8;
	int64_t arrived_at; /* seconds since 1970 */
};

#define LMTP_HEAD_ID_OCTETS 40u
/* Two paths, two names, an account, an address, and the words between. */
#define LMTP_HEAD_OCTETS_MAX                                                                       \
	(LMTP_PATH_OCTETS_MAX + 2 * (ACCOUNT_ADDRESS_OCTETS_MAX + 2 * 256) + INET6_ADDRSTRLEN + 256)

/* Those of Return-Path, Delivered-To and Received that the settings want, in wire form; returns how
 * many octets were put. */
size_t lmtp_head_put(const struct lmtp_head *head, const struct settings *settings,
	char to[LMTP_HEAD_OCTETS_MAX]);

#endif
