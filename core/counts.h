/*
 * counts.h - what a shard and its doors count; core/metrics.c has the names.
 *
 * Most is added once, when a session is over, so that a command costs nothing.
 */
#ifndef CORE_COUNTS_H
#define CORE_COUNTS_H

#include "core/auth/login.h"
#include "io/base/metric.h"

/* Why a guest was not let in. */
enum turned_away {
	TURNED_AWAY_NETWORK,
	TURNED_AWAY_CONNECTIONS,
	TURNED_AWAY_PER_ADDRESS,
	TURNED_AWAY_MEMORY,
	TURNED_AWAY_CONNECTION_RATE,
	TURNED_AWAY_HANDSHAKE_RATE,
	TURNED_AWAY_REASONS,
};

struct shard_counts {
	struct count turned_away[TURNED_AWAY_REASONS];
	struct count logins[LOGIN_VERDICTS];
	struct count logins_delayed; /* they had to wait for failed ones before them */
	struct count logins_waiting; /* now */
	struct count retrieved;
	struct count retrieved_octets;
	struct count topped;
	struct count deleted;
	struct count delivered;        /* recipients */
	struct count delivered_octets; /* of messages, however many recipients they have */
	struct count undelivered;      /* recipients */
};

struct door_counts {
	struct count connections;
	struct count sessions; /* now */
};

#endif
