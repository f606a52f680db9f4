/*
 * import_job.h - one mailbox into one maildrop, as the two forms of `ringpost import` do it.
 *
 * A job prints nothing but through its hooks, which the batch calls from many threads under a lock.
 */
#ifndef CORE_CTL_IMPORT_JOB_H
#define CORE_CTL_IMPORT_JOB_H

#include "core/ctl/mail.h"
#include "storage/convert/import.h"

enum import_kind {
	IMPORT_MAILDIR,
	IMPORT_MBOX,
};

struct import_request {
	const struct ctl *ctl;
	bool json;
	bool new_unique_ids;
	bool check_accounts;
	unsigned jobs;
};

struct import_job {
	const struct import_request *request;
	enum import_kind kind;
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	const char *path;

	/* hooks */
	void (*report)(struct import_job *job, const char *text);
	void (*opened)(struct import_job *job, uint64_t octets); /* the source holds so many */
	void (*progress)(struct import_job *job, uint64_t messages, uint64_t octets);
	void *ctx;

	/* what came of it */
	bool source_failed; /* `error` is the source's */
	int error;
	uint64_t reports;
	struct import_counts counts;
};

/* false: no such kind. */
bool import_kind_of(const char *name, enum import_kind *kind_out);

void import_job_run(struct import_job *job);

/* Prints what came of it, one line on stdout, one on stderr if it failed; returns its exit code. */
int import_job_tell(const struct import_job *job);

/* `ringpost import batch` (import_batch.c). */
int import_batch(const struct import_request *request, const char *path);

#endif
