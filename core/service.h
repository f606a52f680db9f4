/*
 * service.h - one guest of a shard: a connection, a POP3 session, and what it waits for.
 */
#ifndef CORE_SERVICE_H
#define CORE_SERVICE_H

#include "core/line.h"
#include "core/shard.h"
#include "io/conn.h"

#include <arpa/inet.h>

struct wish;

/* Why a session ended that did not end itself. */
enum service_end {
	SERVICE_END_BY_SESSION,
	SERVICE_END_CLOSED_BY_PEER,
	SERVICE_END_CONNECTION_FAILED,
	SERVICE_END_LOGIN_DEADLINE,
	SERVICE_END_IDLE,
	SERVICE_END_SHUTDOWN,
	SERVICE_END_FILE_FAILED,
	SERVICE_END_NO_MEMORY,
	SERVICE_END_TLS_FAILED,
};

enum service_wait {
	WAIT_FOR_INPUT,
	WAIT_FOR_ROOM,  /* the output is over its mark */
	WAIT_FOR_DRAIN, /* the session asked for it */
	WAIT_FOR_WISH,
	WAIT_TO_START_TLS, /* the last words in clear are on their way */
	WAIT_FOR_TLS,      /* a handshake */
	WAIT_FOR_END,
};

struct service {
	struct conn conn;
	struct pop3_session session;
	struct line_reader lines;
	struct shard *shard;
	const struct door *door;
	struct list item; /* in shard->sessions */
	struct maildrop_hold *hold;
	struct wish *wish; /* a wish of the session that is being brought about; NULL: none */
	char *input;       /* octets that wait, from the shard's inputs; NULL: none */
	uint16_t input_octets;
	uint16_t peer_port;
	bool peer_is_ip6;
	bool conn_is_gone;
	bool wish_is_away; /* a worker has it */
	bool has_removed_mail;
	int claim_fd; /* session_policy = exclusive: the maildrop is ours while it is open; -1: none
		       */
	uint8_t peer_address[16];
	uint64_t ticket;
	uint64_t started_ms;
	uint8_t wait; /* enum service_wait */
	uint8_t end;  /* enum service_end */
};

/* A connection from `peer` was accepted on `door` and counted (guests_enter()).  It is the
 * service's from here on; false: no memory, it is still the caller's. */
bool service_start(struct shard *shard, const struct door *door, int fd,
	const struct sockaddr_storage *peer, uint64_t ticket);

/* A wish has come true: go on (service_wish.c). */
void service_resume(struct service *v, enum pop3_next next);

/* The guest's address as text, for the log. */
const char *service_peer(const struct service *v, char text_out[INET6_ADDRSTRLEN]);

/* The shard is being drained: end what has not begun; `now`: everything. */
void service_drain(struct service *v, bool now);

#endif
