/*
 * shard.h - one core's share of the server: a pinned thread with everything a session needs.
 *
 * Shards share no mutable memory but tables of limits (guests.h, auth/penalties.h, auth/admission.h)
 * and the workers' queues.  What two sessions of one maildrop must agree on is agreed through its
 * files.
 */
#ifndef CORE_SHARD_H
#define CORE_SHARD_H

#include "core/auth/admission.h"
#include "core/auth/authenticate.h"
#include "core/auth/penalties.h"
#include "core/auth_http/session.h"
#include "core/counts.h"
#include "core/guests.h"
#include "core/last_logins.h"
#include "core/line.h"
#include "core/lmtp/session.h"
#include "core/pop3/session.h"
#include "core/settings.h"
#include "io/listener.h"
#include "io/offload.h"
#include "io/tls.h"
#include "storage/desk.h"
#include "storage/draft.h"
#include "storage/maildrop_cache.h"

#include <pthread.h>

struct service_protocol;

/* What the guests of a listener speak, by its setting `protocol`. */
extern const struct service_protocol *const shard_protocols[PROTOCOLS];

/* What all shards borrow from the server. */
struct shard_common {
	const struct settings *settings;
	struct guests *guests;
	struct penalties *penalties; /* NULL: failed logins delay nobody */
	struct admission *admission; /* NULL: no limit on the logins of an account */
	struct offload *auth_workers;
	struct offload *disk_workers;
	struct desk *desk; /* NULL: no listener takes mail */
	struct accounts *accounts;
	struct disk disk; /* waits */
	struct maildrop_options maildrop_options;
	const struct login_policy *login_policy;
	bool keeps_last_logins;
	struct tls_options tls_options;
	struct tls_credentials *credentials; /* at the start; NULL: no listener speaks TLS */
};

/* By the listener's `protocol`. */
union door_policy {
	struct pop3_policy pop3;
	struct lmtp_policy lmtp;
	struct auth_http_policy auth_http;
};

/* One listening socket of one shard, and how its guests are treated. */
struct door {
	struct listener listener;
	const struct settings_listener *settings;
	const struct service_protocol *protocol;
	union door_policy policy;
	struct shard *shard;
	struct door_counts counts;
	int socket; /* made by the server, handed over at the start */
};

struct shard {
	const struct shard_common *common;
	unsigned number;
	int core;           /* to run on; -1: any */
	struct door *doors; /* one for each of the settings' listeners */
	unsigned door_count;

	struct loop loop;
	struct offload_home *home;
	struct authenticator authenticator;
	struct disk disk; /* does not wait */
	struct tls_context tls;
	struct maildrop_cache maildrops;
	struct last_logins *last_logins; /* NULL: they are not kept */
	struct slab services[PROTOCOLS];
	struct slab wishes;
	struct slab recipients; /* of mail that comes in */
	struct draft_pool drafts;
	uint64_t messages_taken;
	struct slab names; /* line blocks and struct pop3_login */
	struct slab long_lines;
	struct line_pool lines;             /* of both */
	struct slab inputs;                 /* input that waits */
	struct list sessions;               /* struct service */
	char received[RECEIVE_LONG_OCTETS]; /* by conn_receive_now(); used up before the next */
	struct timer housekeeping;
	uint32_t seconds;           /* that housekeeping has seen */
	uint64_t drain_deadline_ms; /* 0: not draining */
	uint32_t jobs_away;         /* with workers */
	uint64_t sessions_served;
	struct shard_counts counts;
	uint64_t last_trouble_ms;

	pthread_t thread;
	struct offload_job drain_call;
	struct offload_job reload_call;
	struct tls_credentials *reload_with;
	void (*reloaded)(struct shard *s, int error);                  /* on the shard's thread */
	void (*started)(struct shard *s, int error, const char *what); /* on the shard's thread */
	void *server;
};

/* Start the thread; `common`, `number`, `core`, `doors`, `started` and `server` are set.  started()
 * is called once: error 0, or what failed.  0 or a negative errno. */
int shard_start(struct shard *s);
/* What that thread does, for who runs it in steps of his own (tests/sim): open everything and
 * listen, turn the loop, close.  A turn waits at most `wait_max_ms`; 1: go on, 0: drained, close it,
 * or a negative errno.  All on one thread. */
int shard_open(struct shard *s, const char **what_out);
int shard_turn(struct shard *s, uint64_t wait_max_ms);
void shard_close(struct shard *s);
/* From any thread: no new guests; sessions may finish until the drain time-out; then the thread
 * ends. */
void shard_drain(struct shard *s);
/* From any thread, one at a time: new handshakes use these credentials, of which the shard takes a
 * reference over; reloaded() is called. */
void shard_reload_tls(struct shard *s, struct tls_credentials *credentials);
/* May a guest from there come in at `door`?  True: it is counted, by its address too; false: why
 * not. */
bool shard_let_in(struct shard *s, const struct door *door, const struct sockaddr_storage *peer,
	uint32_t *ticket_out, enum turned_away *why_out);
/* Who was not let in at `door`, and why: counted, and logged if that was not just done. */
void shard_note_turned_away(
	struct shard *s, const struct door *door, const char *peer, enum turned_away why);
/* A session of this shard is over and its slot free (service.c). */
void shard_session_ended(struct shard *s);
/* Wait for the end of the thread. */
void shard_join(struct shard *s);

#endif
