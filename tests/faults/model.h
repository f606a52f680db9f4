/*
 * model.h - what a maildrop must hold, by what was said about it.
 *
 * Message n says "message n".  A step that failed leaves its messages in doubt, but together: all
 * of them are there or none.  model_check() looks at the maildrop on a sound disk.
 */
#ifndef TESTS_FAULTS_MODEL_H
#define TESTS_FAULTS_MODEL_H

#include "tests/unit/spool.h"

#define MODEL_MESSAGES 40u
#define MODEL_TEXT_MAX 70000u

enum fate {
	NOT_YET,
	THERE,
	GONE,
	UNKNOWN,
};

struct model {
	const char *address;
	enum fate fate[MODEL_MESSAGES];
	uint32_t uid[MODEL_MESSAGES];      /* of those that were acknowledged */
	unsigned together[MODEL_MESSAGES]; /* the step that left them in doubt */
	uint32_t uid_validity;
	uint32_t next_uid; /* no later message may have one below */
	unsigned steps;
	bool failed;         /* a step was refused */
	bool may_be_another; /* the maildrop was removed, or nearly: it may begin anew */
};

void model_init(struct model *m, const char *address);

/* The text of message n, as it is delivered. */
size_t model_text(unsigned n, char to[MODEL_TEXT_MAX]);
/* The number of a message whose reply to RETR is `wire`, checked to the last octet; -1: it is none
 * of ours. */
int model_number(const char *wire, size_t octets);

/* A step is over with messages first to last: `error` 0 or not. */
void model_delivered(
	struct model *m, unsigned first, unsigned last, const uint32_t *uids, int error);
void model_deleted(struct model *m, const unsigned *numbers, unsigned count, int error);

void model_check(struct model *m, const struct disk *d);

#endif
