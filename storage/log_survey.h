/*
 * log_survey.h - all that a log, damaged or not, still says.
 *
 * For caretakers.  Where the way from record to record is lost, it is found again by looking for
 * the next valid record, and between them for message entries that stand alone.
 */
#ifndef STORAGE_LOG_SURVEY_H
#define STORAGE_LOG_SURVEY_H

#include "storage/log_scan.h"

/* Where findings go. */
struct findings {
	void (*report)(void *ctx, uint64_t offset, const char *text);
	void *ctx;
	int count;
};

void findings_add(struct findings *f, uint64_t offset, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Add everything between the log's header and the scan's size to `messages`, not settled; raise
 * *next_uid above all uids that were met. */
int log_survey(struct log_scan *s, struct messages *messages, uint32_t *next_uid,
	struct findings *findings);

#endif
