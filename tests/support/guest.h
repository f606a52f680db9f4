/*
 * guest.h - the bare session, POP3's or LMTP's, with everything around it played by one thread:
 * lines are cut by core/line.h, the maildrop is a memdrop, what the session waits for is answered
 * at once.
 *
 * Transcripts and fuzzers drive it: octets in, octets out.
 *
 * Ownership: the world is borrowed for the guest's life.
 */
#ifndef TESTS_SUPPORT_GUEST_H
#define TESTS_SUPPORT_GUEST_H

#include "core/line.h"
#include "core/lmtp/session.h"
#include "core/pop3/session.h"
#include "core/settings.h"
#include "tests/support/memdrop.h"

/* Who has an account, and what goes wrong.  NULL from find: no such account. */
struct guest_account {
	struct span secret;
	bool read_only;
	bool disabled;
	bool is_master;        /* may act for others */
	uint64_t quota_octets; /* 0: none */
	uint32_t quota_messages;
	int deliver_error;
	struct memdrop memdrop;
};

struct guest_world {
	struct guest_account *(*find)(void *ctx, struct span name);
	void *ctx;
	bool speaks_lmtp;
	struct pop3_policy policy;
	struct lmtp_policy lmtp_policy;
	struct settings head_settings; /* only add_... */
	bool takes_xclient;
	bool login_unavailable;
	enum login_verdict good_is; /* what a good login hears */
	int open_error;
	int check_error;
	int scan_error;
	int commit_error;
	int store_error;
};

struct guest {
	const struct guest_world *world;
	struct lmtp_guest *lmtp; /* NULL: it speaks POP3 */
	struct pop3_session session;
	struct line_reader reader;
	struct segments_pool pool;
	struct segments reply;
	struct slab names;
	struct slab blocks;
	struct slab long_blocks;
	struct line_pool lines;
	struct guest_account *account;
	struct maildrop *maildrop;
	bool heard;      /* the first octets were looked at */
	bool closed;     /* by the server */
	bool awaits_tls; /* STLS was answered: octets are no lines until guest_secure() */
	char *said;      /* all the server said */
	size_t said_octets;
	size_t said_room;
};

/* A connection, up to its greeting. */
void guest_connect(struct guest *g, const struct guest_world *world);
/* Octets from the client; ignored once the server has closed. */
void guest_hear(struct guest *g, struct span octets);
/* The same cut at random into pieces of 1 to 20 octets, each in memory of its own; `random` 0: whole. */
void guest_hear_cut(struct guest *g, struct span octets, unsigned random);
/* The TLS handshake that STLS has asked for is done. */
void guest_secure(struct guest *g);
/* The client is gone.  What was said stays until guest_forget(). */
void guest_disconnect(struct guest *g);
void guest_forget(struct guest *g);

#endif
