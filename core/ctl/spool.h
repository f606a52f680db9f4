/*
 * spool.h - opening the spool for the `ringpost` command, and making it on first use.
 */
#ifndef CORE_CTL_SPOOL_H
#define CORE_CTL_SPOOL_H

#include "core/ctl/ctl.h"
#include "core/ctl/owned_disk.h"

/* Fills ctl->disk; errors are told.  `owned` lives as long as the disk.
 * Returns EX_OK or a code. */
int spool_open(struct ctl *ctl, enum ctl_spool how, struct owned_disk *owned);

#endif
