/*
 * stage.h - where a scenario plays: a spool of its own, two maildrops with what must be in them,
 * accounts; and the scenarios.
 */
#ifndef TESTS_FAULTS_STAGE_H
#define TESTS_FAULTS_STAGE_H

#include "tests/faults/model.h"

struct stage {
	struct spool spool;
	const struct disk *disk; /* the one to use: sound, or one that fails */
	struct model alice;
	struct model bob;
	char accounts[128]; /* path of the accounts */
	char source[128];   /* a Maildir to import */
	bool failed;        /* what touches no maildrop was refused */
};

struct scenario {
	const char *name;
	void (*prepare)(struct stage *s); /* nothing fails */
	void (*act)(struct stage *s);     /* anything may */
	void (*finish)(struct stage *s);  /* nothing fails: what an operator does then; or NULL */
};

extern const struct scenario scenarios[];
extern const size_t scenario_count;

/* Deliver messages first to last of the model in one commit. */
int stage_deliver(struct stage *s, struct model *m, unsigned first, unsigned last, bool with_ids);

#define STAGE_SECRET "secret"

/* Accounts (tests/faults/accounts.c). */
void stage_add_accounts(struct stage *s);
void stage_change_accounts(struct stage *s);
void stage_check_accounts(struct stage *s);
/* A session of alice from the greeting to QUIT, with the real accounts and maildrop
 * (tests/faults/session.c): every message is fetched, the first and the third are deleted. */
void stage_pop3(struct stage *s);
/* An LMTP session: two messages for alice and bob, and nobody (tests/faults/lmtp.c). */
void stage_lmtp(struct stage *s);

#endif
