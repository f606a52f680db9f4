/*
 * model.h - what a maildrop may be: the promises of docs/DURABILITY.md as a few hundred lines.
 *
 * Deliveries and sessions tell the model what they have begun and what they were told; every
 * listing that a guest is shown is compared with what is possible between the moment the guest
 * asked to log in and the moment it was let in:
 *   - a message whose delivery was acknowledged, or that somebody has seen, is there until a
 *     session that deleted it has said QUIT;
 *   - once somebody was told that it is gone, or has not seen it, it never comes back;
 *   - deliveries of one commit, and deletions of one session, are there all or none;
 *   - a unique-id belongs to one message for ever, and listings are in its order.
 * Messages of one maildrop differ in their octets, so that a listing tells which they are.
 * Ownership: the model owns all of it until model_end().
 */
#ifndef TESTS_SIM_MODEL_H
#define TESTS_SIM_MODEL_H

#include "tests/sim/accounts.h"
#include "tests/sim/sim.h"

#define MODEL_NEVER     UINT64_MAX
#define MODEL_ID_OCTETS 71u

struct model_batch;

struct model_message {
	struct model_message *next; /* of its maildrop */
	struct model_batch *batch;
	char *text; /* as it should be stored: CRLF lines, not stuffed */
	uint32_t octets;
	uint64_t known_ns; /* acknowledged, or seen by a session that was let in then */
	uint64_t gone_ns;  /* somebody knows since then that it is not there */
	char unique_id[MODEL_ID_OCTETS];
	bool is_listed; /* in the listing that is looked at */
};

/* Messages that were, or shall be, delivered together. */
struct model_batch {
	struct model_batch *next;
	unsigned drop;
	uint64_t started_ns;
	uint64_t ended_ns; /* nothing more happens of it; MODEL_NEVER: not yet */
	bool by_server;    /* it dies with the server */
};

enum model_outcome {
	OUTCOME_UNKNOWN,
	OUTCOME_ALL,
	OUTCOME_NONE,
};

/* Messages that one session has deleted, from when it said QUIT. */
struct model_removal {
	struct model_removal *next;
	uint64_t started_ns;
	uint64_t ended_ns;
	enum model_outcome outcome;
	bool is_vague; /* not all of `messages` may have been marked */
	unsigned count;
	struct model_message *messages[];
};

/* How large messages may be; set it for each world. */
extern uint32_t model_sizes;

void model_begin(void);
void model_end(void);

struct model_batch *model_batch(unsigned drop, bool by_server);

/* Whom a text is for, and what the server puts in front of it there. */
struct model_recipient {
	unsigned drop;
	const char *prefix;
};
/* A text of such a length that with its prefix it is unlike all there are in each maildrop;
 * sim_free() it. */
char *model_text(const struct model_recipient *recipients, unsigned count);
/* It will be delivered with `b`. */
struct model_message *model_message(
	struct model_batch *b, const struct model_recipient *r, const char *text);
void model_batch_starts(struct model_batch *b);
void model_batch_is_acknowledged(struct model_batch *b);
/* What becomes of it nobody knows; something may still happen for `ns`. */
void model_batch_fails(struct model_batch *b, uint64_t ns);

struct model_removal *model_removal(
	unsigned drop, struct model_message **messages, unsigned count, bool is_vague);
/* This one was not marked after all. */
void model_removal_spares(struct model_removal *r, const struct model_message *m);
void model_removal_is_acknowledged(struct model_removal *r);
void model_removal_fails(struct model_removal *r, uint64_t ns);

/* The server has died, or the whole machine: what was under way has ended. */
void model_crash(bool machine);

/* The message of that size; NULL: there never was one. */
struct model_message *model_find(unsigned drop, uint32_t octets);
/* A session that asked to log in at `asked_ns` and was let in at `let_in_ns` is shown these. */
void model_check_listing(unsigned drop, uint64_t asked_ns, uint64_t let_in_ns,
	struct model_message **messages, unsigned count);
void model_check_unique_id(unsigned drop, struct model_message *m, struct span id);

/* RETR's reply (RFC 1939), or that of TOP with `lines` lines; sim_free() it. */
char *model_retr_reply(const struct model_message *m, size_t *length_out);
char *model_top_reply(const struct model_message *m, uint32_t lines, size_t *length_out);

#endif
