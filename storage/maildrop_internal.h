/*
 * maildrop_internal.h - what the files of storage/maildrop_*.c share, and nobody else.
 *
 * A change to a maildrop goes: lock, see that the log is covered by its index (else recover),
 * append to the log, sync it, append to the index, unlock.  maildrop_lock() is the first two steps
 * for all.
 */
#ifndef STORAGE_MAILDROP_INTERNAL_H
#define STORAGE_MAILDROP_INTERNAL_H

#include "storage/doubt.h"
#include "storage/index_file.h"
#include "storage/layout.h"
#include "storage/log_scan.h"
#include "storage/maildrop.h"

/* Locks on single octets of the log (fcntl(2), F_OFD_SETLK): they lock nothing but each other. */
#define MAILDROP_LOCK_WRITE     0u /* exclusive: the right to change the maildrop */
#define MAILDROP_LOCK_READ      1u /* shared: a snapshot is in use; exclusive: holes punched */

#define MAILDROP_FILE_MODE      0600
#define MAILDROP_DIRECTORY_MODE 0700

struct maildrop_paths {
	char directory[LAYOUT_PATH_MAX];
	char log[LAYOUT_PATH_MAX];
	char index[LAYOUT_PATH_MAX];
};

int maildrop_paths(const char *address, struct maildrop_paths *paths_out);

/* A maildrop whose write lock is held. */
struct maildrop_files {
	const struct disk *disk;
	struct maildrop_paths paths;
	struct maildrop_options options;
	struct disk_status log; /* which file it is, as of the lock */
	int log_fd;             /* holds the lock */
	int index_fd;           /* -1 unless end.condition is INDEX_WHOLE */
	struct log_header header;
	struct index_end end; /* end.covers is the size of the log */
};

/*
 * Take the write lock and bring the index up to date (waits).  -ENOENT: there is no log; -EBADMSG:
 * there is none but an index, or damage.  maildrop_lock_log() stops before anything but the lock
 * was looked at: header and end are not set.
 */
int maildrop_lock(const struct disk *d, const struct maildrop_paths *paths,
	const struct maildrop_options *options, struct maildrop_files *files_out);
int maildrop_lock_log(const struct disk *d, const struct maildrop_paths *paths,
	const struct maildrop_options *options, struct maildrop_files *files_out);
void maildrop_unlock(struct maildrop_files *f);

/* Read and check the header of an open log. */
int maildrop_read_header(const struct disk *d, int fd, struct log_header *header_out);

/* There is no log.  0: the maildrop was never delivered to; -EBADMSG: an index without a log says
 * that it was; MAILDROP_APPEARED: there is a log by now. */
#define MAILDROP_APPEARED 1
int maildrop_check_absent(const struct disk *d, const struct maildrop_paths *paths);

/* The second half of maildrop_lock(): header, end and index_fd of a locked log. */
int maildrop_recover_if_behind(struct maildrop_files *f);

/* Bring the index up to date with the log (maildrop_recover.c), whatever its end looks like.  Needs
 * f->header; sets f->end and f->index_fd. */
int maildrop_recover(struct maildrop_files *f);

/* Read the whole index; the messages are not settled.  The index must be what maildrop_lock() left:
 * -EBADMSG. */
int maildrop_load(struct maildrop_files *f, struct messages *messages);

/*
 * Sync what was written behind f->end.covers of the log.  Where the index knew of nothing in this
 * log, the directory and all above it are synced too: who made or renamed the log may have died
 * before it did so, and what is acknowledged must not hang on a name that is not durable.  Where a
 * sync fails the log is in doubt (storage/doubt.h).
 */
int maildrop_make_durable(const struct maildrop_files *f);

/*
 * Instead: cut off what was written behind `end`, for good, after a write or a sync has failed.  A
 * sync that failed may have put a whole commit on the disk; who is told now that it is not there
 * must not meet it after the next power cut.  Where that cannot be had the log is left longer than
 * its index says, so that whoever comes next, in whatever process, recovers it before he tells
 * anybody.
 */
void maildrop_cut_back(const struct maildrop_files *f, uint64_t end);

/* Remove the names under which logs were made by those who died before they took them away.  Where
 * one is alive it finds that its log is gone, and makes another or takes ours. */
void maildrop_remove_passing_names(struct maildrop_files *f);

/* Tell the index of a commit that the log holds; cannot fail, as the log knows: an index that could
 * not be written is closed, and the next one to lock the maildrop recovers. */
void maildrop_index_commit(struct maildrop_files *f, const struct messages *added,
	uint32_t next_uid, uint64_t covers, struct index_totals totals);

/* A log header with a new generation id. */
int maildrop_new_header(uint32_t uid_validity, uint32_t next_uid, struct log_header *header_out);

/*
 * A new generation that holds `live` (settled messages of the log open at f->log_fd), beside the
 * old one, renamed over it (maildrop_compact.c).  Content is checked on the way: -EBADMSG.  With
 * `keep_as`, the old log stays in the directory under that name.  f then stands for the new log,
 * its write lock held.
 */
int maildrop_rewrite(struct maildrop_files *f, const struct messages *live, uint32_t next_uid,
	const char *keep_as);

#endif
