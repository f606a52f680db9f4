/*
 * doubt.h - logs that this process does not believe before it has read them from the disk.
 *
 * When fdatasync(2) fails, the kernel has thrown away what it could not write, says so once, calls
 * the pages clean and keeps them: from then on a read shows what the disk does not have, and the
 * next sync succeeds.  So a log whose sync has failed is in doubt, for all threads of this process,
 * until somebody has synced it by a new descriptor, dropped its pages, and read it from end to end
 * (maildrop_recover.c).  Until then no snapshot of it is current and nothing is added to it.
 *
 * A page that another holds at that moment (it is being sent) may stay in the cache; it is one of a
 * message that was synced before, for no snapshot ever has others.
 *
 * Other processes need no word of it: who has failed cuts the log back, and where that fails too,
 * the log is longer than its index says; then whoever comes recovers it, and recovery reads from
 * the disk always.
 *
 * Threads: all functions may be called from any.
 */
#ifndef STORAGE_DOUBT_H
#define STORAGE_DOUBT_H

#include "io/disk.h"

/* This file cannot be believed any more. */
void doubt_raise(const struct disk_status *file);
/* True: it is in doubt.  Costs one load of memory as long as nothing is. */
bool doubt_holds(const struct disk_status *file);
/* It was read from the disk, and is whole. */
void doubt_settle(const struct disk_status *file);

#endif
