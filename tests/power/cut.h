/*
 * cut.h - what a disk holds after the power went at some record of its log.
 *
 * All that was written before the last flush is there.  Of what was written since, anything may be
 * there: all of it, none, or some, and of one write some of its sectors.
 *
 * A cut disk is a file in memory that moves through the log in one direction.  It always has the
 * flushed octets twice: once in the file, once as a copy of its own.  To break the disk means to
 * write some of what was not flushed into the file; whatever then happens to the file (a file
 * system is mounted, its journal replayed, mail delivered), healing it compares page by page and
 * puts back what differs.  So a state costs what it touches and never a copy of the disk.
 */
#ifndef TESTS_POWER_CUT_H
#define TESTS_POWER_CUT_H

#include "tests/power/powerlog.h"

enum cut_kind {
	CUT_ALL,    /* the drive had written everything */
	CUT_NONE,   /* it had written nothing since the flush */
	CUT_SOME,   /* any of it, and torn */
	CUT_PREFIX, /* it wrote in order, and the last write is torn */
	CUT_KINDS
};

struct cut_disk {
	const struct power_log *log;
	int fd;          /* the file; give it to a loop device */
	uint8_t *octets; /* the file, mapped shared */
	uint8_t *safe;   /* what is flushed */
	size_t size;
	size_t sector;      /* octets that are written whole or not at all */
	size_t applied_end; /* records below it are in `safe` */
};

/* A disk as it was when the log began: the file at `base_path`.  0 or a negative errno. */
int cut_open(const char *base_path, const struct power_log *log, size_t sector,
	struct cut_disk *cut_out);
void cut_close(struct cut_disk *cut);

/* The power goes before record `at` (never less than before).  `seed` decides what is lost.
 * Returns how many unflushed writes there were. */
size_t cut_break(struct cut_disk *cut, size_t at, enum cut_kind kind, uint64_t seed);
/* Put the flushed octets back. */
void cut_heal(struct cut_disk *cut);

/* Numbers that follow from a seed (splitmix64), so that a state can be made again. */
uint64_t cut_random(uint64_t *seed);

#endif
