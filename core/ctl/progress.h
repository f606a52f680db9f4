/*
 * progress.h - how far a long job is, on stderr.
 *
 * On a terminal one line that is rewritten, with rate and time left; elsewhere a plain line now and
 * then; with --json one object a line (to stderr as well: stdout is for results).
 */
#ifndef CORE_CTL_PROGRESS_H
#define CORE_CTL_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum progress_style {
	PROGRESS_BAR,
	PROGRESS_LINES,
	PROGRESS_JSON,
};

struct progress {
	FILE *to;
	enum progress_style style;
	const char *things;    /* "accounts", "messages": borrowed */
	uint64_t octets_total; /* of the source; 0: not known, then no bar and no time left */
	int64_t started_ms, shown_ms;
};

void progress_start(struct progress *p, const char *things, uint64_t octets_total, bool json);

/* `things_done` so far, `octets_done` of the source read for them.  Cheap: shows seldom. */
void progress_update(struct progress *p, uint64_t things_done, uint64_t octets_done);

/* Clear the bar, so that the caller can write a line of its own to stderr. */
void progress_clear(const struct progress *p);

/* The last line, with the rate over all. */
void progress_end(struct progress *p, uint64_t things_done, uint64_t octets_done);

#endif
