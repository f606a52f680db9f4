/*
 * claim.h - a maildrop for one session alone (RFC 1939, section 4: "exclusive-access lock").
 *
 * For sites that want it: byte 2 of the log, locked through a descriptor of the session's own, in
 * this process and all others.  A maildrop without a log has no mail that two sessions could
 * disagree on.  A claim is on the file, so no log is replaced while somebody has one
 * (claim_hold_off()), and who gets one asks whether the path still names that file.
 */
#ifndef STORAGE_CLAIM_H
#define STORAGE_CLAIM_H

#include "io/disk.h"

/* 0; -EBUSY: another session has it; -EAGAIN: would have to wait for the disk.  *fd_out -1: nothing
 * to lock. */
int claim_take(const struct disk *d, const char *address, int *fd_out);
/* Before the log open as `log_fd` (for writing) gets another in its place: from now on until that
 * descriptor is closed nobody claims it.  -EBUSY: somebody has. */
int claim_hold_off(const struct disk *d, int log_fd);
void claim_drop(const struct disk *d, int fd);

#endif
