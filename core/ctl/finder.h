/*
 * finder.h - accounts as the server would find them, for the `ringpost` command.
 *
 * The sources of the settings are asked in their order, here and now, each within its time limit.
 * Started as root, the command asks as the owner of the spool, as the server does: a database may
 * know its guests by their user.
 */
#ifndef CORE_CTL_FINDER_H
#define CORE_CTL_FINDER_H

#include "core/ctl/ctl.h"

struct finder;

/* For whom an account is looked up. */
enum finder_for {
	FINDER_FOR_LOGIN,
	FINDER_FOR_MAIL, /* sources that know every name are passed over */
};

#define FOUND_SAID_OCTETS 256u

struct found {
	struct account account;
	const char *source;           /* that knows it; NULL: none could say */
	bool is_proven_there;         /* its source is asked for secrets */
	const char *silent;           /* a source that could not say; NULL: all did */
	char said[FOUND_SAID_OCTETS]; /* by that one; "": nothing */
};

/* ctl and accounts (the spool's) are borrowed until finder_close().  0 or -ENOMEM. */
int finder_open(const struct ctl *ctl, struct accounts *accounts, struct finder **finder_out);
void finder_close(struct finder *f);

/* `address` is canonical.  0; -ENOENT: no source knows it; any other: found_out->silent could not
 * say, and found_out->source is the spool's file if it is a source and has the address. */
int finder_find(
	struct finder *f, const char *address, enum finder_for whom, struct found *found_out);

/* The spool's own account of this canonical address, whatever the sources are; as accounts_find(). */
int finder_find_own(struct accounts *a, const char *address, struct account *account_out);

/* Tell what finder_find() returned but for 0 and -ENOENT; an exit code. */
int finder_tell(int error, const struct found *found, const char *address);

#endif
