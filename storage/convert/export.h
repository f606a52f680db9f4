/*
 * export.h - a maildrop into the files of other mail software.
 *
 *   maildir  a new directory with cur/ new/ tmp/.  The time of arrival is in each file's name and
 * is its time of modification; `dovecot-uidlist` keeps uids, uid-validity and imported unique-ids,
 * so that Dovecot, or an import, shows the same ones. mbox     a new file, quoted as mbox.h says;
 * arrival (UTC) in the From_ line, unique-id in X-UIDL. eml      a new directory with a file for
 * each message, <number>-<unique-id>.eml, whose time of modification is the arrival.
 *
 * Every message is verified while it is read; a damaged one is reported and left out.  What is
 * written lies outside the spool, so it is written by plain system calls; nothing that exists is
 * touched.
 */
#ifndef STORAGE_CONVERT_EXPORT_H
#define STORAGE_CONVERT_EXPORT_H

#include "storage/maildrop.h"

enum export_format {
	EXPORT_MAILDIR,
	EXPORT_MBOX,
	EXPORT_EML,
};

enum export_line_ends {
	EXPORT_USUAL, /* LF in maildir and mbox, CRLF in eml */
	EXPORT_LF,
	EXPORT_CRLF,
};

struct export_options {
	enum export_line_ends line_ends;
	/* One line about a message that was left out. */
	void (*report)(void *ctx, const char *text);
	void (*progress)(void *ctx, uint64_t messages, uint64_t octets);
	void *ctx;
};

struct export_counts {
	uint64_t written;
	uint64_t damaged;
	uint64_t octets; /* as POP3 counts them */
};

/* 0 when all undamaged messages are written and on disk; -EEXIST or -ENOTEMPTY: there is something
 * at `path`; other errors are from writing, and what was written by then is left there. */
int export_maildrop(const struct disk *d, const struct maildrop *m, enum export_format format,
	const char *path, const struct export_options *options, struct export_counts *counts_out);

#endif
