/*
 * search.h - one account, looked up in the sources in their order.
 *
 * In the steps of authenticate.h, so that a shard never waits: begin() asks the LMDB file and what
 * is remembered of the others; what is left work() asks on a worker of that source; go_on() is back
 * on the shard.  While a source cannot answer, what it said last counts for its stale_ms.
 *
 * Ownership: the search borrows the account it fills until it is over.
 */
#ifndef CORE_AUTH_SEARCH_H
#define CORE_AUTH_SEARCH_H

#include "core/auth/source.h"
#include "io/base/metric.h"

struct authenticator;
struct login_policy;

/* For whom it is. */
enum search_for {
	SEARCH_FOR_LOGIN,
	SEARCH_FOR_MAIL, /* sources that know every name are passed over */
};

struct account_search {
	const struct login_policy *policy;
	struct account *account;
	enum search_for whom;
	unsigned source; /* that is asked, or has answered; as many as there are: none knows it */
	uint64_t asked_ms;
	int error; /* when it is over: 0; -ENOENT: nobody knows it; any other: it cannot be said */
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
};

/* What came of look-ups, by source; on the shard. */
struct search_counts {
	struct count found;
	struct count unknown;
	struct count failed;
	struct count remembered; /* not asked: it had just said so */
	struct count stale;      /* could not be asked: what it said once counts */
};

/* `address` is canonical.  True: it is over.
 * False: work() on one of search_workers(), then go_on(). */
bool search_begin(struct authenticator *a, const char *address, enum search_for whom,
	uint64_t now_ms, struct account *account, struct account_search *s);
struct offload *search_workers(const struct account_search *s);
void search_work(struct account_search *s);
bool search_go_on(struct authenticator *a, uint64_t now_ms, struct account_search *s);

/* Has a job that was asked for at `asked_ms` waited too long for its worker? */
bool search_is_too_late(const struct login_policy *policy, uint64_t asked_ms);

#endif
