/*
 * scratch.h - a spool for fuzzers of what stands on disk: one maildrop, made once, put back each
 * time.
 *
 * Ownership: one scratch for each process; its directory is removed when the process ends.
 */
#ifndef TESTS_SUPPORT_SCRATCH_H
#define TESTS_SUPPORT_SCRATCH_H

#include "storage/layout.h"
#include "storage/maildrop.h"

#define SCRATCH_ADDRESS  "fuzz@example.org"
#define SCRATCH_MESSAGES 12u /* delivered; uids 1 to 12 */
#define SCRATCH_REMOVED  3u  /* of them: uids 2, 3 and 7 */

struct scratch {
	struct disk disk;
	struct maildrop_options options;
	char log_path[LAYOUT_PATH_MAX];
	char index_path[LAYOUT_PATH_MAX];
	/* the files as the writer made them */
	char *log;
	size_t log_octets;
	char *index;
	size_t index_octets;
	/* checksums of the contents by uid - 1 */
	uint32_t content_crc[SCRATCH_MESSAGES];
};

/* The one there is; made at the first call. */
struct scratch *scratch_open(void);

/* Make the maildrop's files these, and nothing else; NULL octets: no such file. */
void scratch_put(struct scratch *s, struct span log, struct span index);

/* Log in, look at every message and its content, verify, repair and look again: nothing may crash,
 * and what is said to be intact must be.  Returns what the login said. */
int scratch_look(struct scratch *s);

/* Is each message of the maildrop one that was delivered, content and all? */
void scratch_check_known(struct scratch *s, const struct maildrop *m);

#endif
