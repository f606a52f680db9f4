/*
 * guest_internal.h - what the files of the guest share.
 */
#ifndef TESTS_SIM_GUEST_INTERNAL_H
#define TESTS_SIM_GUEST_INTERNAL_H

#include "tests/sim/guest.h"
#include "tests/sim/model.h"
#include "tests/sim/talk.h"

#define ASKED_MAX 64u

enum ask {
	ASK_GREETING,
	ASK_USER,
	ASK_PASS,
	ASK_WRONG_PASS,
	ASK_NOOP,
	ASK_CAPA,
	ASK_UNKNOWN,
	ASK_STAT,
	ASK_LIST,
	ASK_LIST_ONE,
	ASK_UIDL,
	ASK_UIDL_ONE,
	ASK_RETR,
	ASK_TOP,
	ASK_DELE,
	ASK_RSET,
	ASK_QUIT,
};

struct asked {
	enum ask what;
	uint32_t number;
	uint32_t lines;
};

struct seat {
	struct model_message *message;
	bool is_deleted; /* as the server has said */
	bool was_marked; /* as we have asked */
};

struct guest {
	struct talk talk;
	unsigned account;
	struct asked asked[ASKED_MAX];
	unsigned asked_count;
	unsigned answered;
	struct seat *seats;
	uint32_t count;
	uint64_t asked_ns;
	uint64_t let_in_ns;
	uint64_t excuses; /* of the world, when we came */
	struct model_removal *removal;
	bool is_in;
	bool has_listing;
	bool must_succeed;
	bool has_given_cause;
	bool is_cut;      /* no more replies are expected */
	bool is_kept_out; /* another session has the maildrop */
};

/* The reply to `a` is as it must be, by the model and by what was said before; or a violation. */
void guest_check(struct guest *g, const struct asked *a, struct span heard);

/* The one who has each maildrop for itself, as far as anybody can tell. */
extern struct guest *guest_holders[SIM_ACCOUNTS];

/* Something has happened since the guest came that it may notice. */
bool guest_is_excused(const struct guest *g);

#endif
