/*
 * mailer.h - an LMTP client that tells the model what it was told.
 */
#ifndef TESTS_SIM_MAILER_H
#define TESTS_SIM_MAILER_H

#define MAILER_PORT 24u

/* One session from beginning to end, to some of the first `accounts`, in a fiber of nobody's. */
void mailer_visit(unsigned accounts, unsigned address);

struct mailer_counts {
	unsigned sessions;
	unsigned delivered; /* to one recipient each */
	unsigned failed;
};
extern struct mailer_counts mailer_counts;

#endif
