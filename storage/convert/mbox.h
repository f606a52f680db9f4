/*
 * mbox.h - the mbox format (RFC 4155, appendix A): messages one behind the other in one file.
 *
 * A message begins behind its From_ line,
 *
 *     From sender@example.org Sat Nov 21 22:24:08 2026
 *
 * which stands at the start of the file or behind a blank line, and which ends in a date; a line of
 * text that only begins with "From " is text.  The date is UTC unless it names a zone.  The blank
 * line before the next From_ line, or before the end of the file, separates and is not part of the
 * message.
 *
 * Lines of a message that look like From_ lines are quoted as "mboxrd" has it: one ">" is put
 * before any line of >*From_ and one is taken from any line of >+From_, so that quoting can be
 * undone in full.  (Of an "mboxo" file, which quotes plain From_ lines only, a line that really
 * began with ">From " loses its ">": the two cannot be told apart.)  Content-Length is not
 * believed.
 *
 * The unique-id of a message is its X-UIDL header, if that is a valid one.  Where X-UIDL is the
 * very first line of the header it was put there by the mailbox (our export does), so it is not
 * part of the message.  A first message that holds "FOLDER INTERNAL DATA" belongs to the mail
 * programs (UW IMAP, Dovecot).
 *
 * Pure functions: no I/O, no allocation.
 */
#ifndef STORAGE_CONVERT_MBOX_H
#define STORAGE_CONVERT_MBOX_H

#include "io/base/span.h"
#include "storage/maildrop.h"

#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha256.h>

#define MBOX_DIGEST_OCTETS 12u
#define MBOX_FROM_LINE_MAX 1024u /* a longer line is text */
#define MBOX_FROM_LINE_PUT 64u   /* room for mbox_put_from_line() */

/* A message as the scanner finds it. */
struct mbox_message {
	uint64_t offset; /* of its text in the file */
	uint64_t length; /* of its text, still quoted */
	int64_t arrived_at;
	bool is_internal_data;
	char unique_id[MAILDROP_UNIQUE_ID_MAX + 1]; /* "": none */
	/* Of all that does not change while the message lies in the mailbox: its From_ line, its
	 * header without the fields that mail programs keep there, and its body. */
	uint8_t digest[MBOX_DIGEST_OCTETS];
};

/* Finds the messages of an mbox that comes in pieces of any size. */
struct mbox_scanner {
	int (*found)(void *ctx, const struct mbox_message *message);
	void *ctx;

	struct mbox_message message; /* the present one */
	uint32_t messages;
	bool in_message;
	bool in_header;
	bool at_first_line;
	bool field_is_volatile; /* the present header field does not count for the digest */
	uint64_t body_octets;
	uint32_t body_crc;
	wc_Sha256 sha;

	uint64_t offset;       /* in the file, of the present line */
	uint64_t line_octets;  /* of it, so far */
	uint64_t blank_octets; /* of the blank line before it, held back; 0: none */
	char line[MBOX_FROM_LINE_MAX];
};

/* `found` is called for each message in order until it returns other than 0. */
void mbox_scanner_init(struct mbox_scanner *s,
	int (*found)(void *ctx, const struct mbox_message *message), void *ctx);
/* 0, what `found` returned, or -EBADMSG: the file does not begin with a From_ line. */
int mbox_scan(struct mbox_scanner *s, struct span piece);
int mbox_scan_end(struct mbox_scanner *s);

/* Date of a From_ line (without its line end); false if it has none, or does not begin with "From
 * ". */
bool mbox_parse_from_line(struct span line, int64_t *arrived_at_out);
/* Put "From MAILER-DAEMON <date>\n", the date in UTC; returns its length. */
size_t mbox_put_from_line(int64_t arrived_at, char to[MBOX_FROM_LINE_PUT]);

/* Puts ">" before the lines that need it, or takes it away, in text that comes in pieces. */
enum mbox_quoting {
	MBOX_QUOTE,
	MBOX_UNQUOTE,
};

struct mbox_quoter {
	enum mbox_quoting quoting;
	bool at_line_start; /* only `quotes` of ">" and `matched` octets of "From " were seen yet */
	uint64_t quotes;
	unsigned matched;
};

void mbox_quoter_init(struct mbox_quoter *q, enum mbox_quoting quoting);
/* `put` is called for each run of octets until it returns other than 0, which is then returned. */
int mbox_quote(
	struct mbox_quoter *q, struct span in, int (*put)(void *ctx, struct span out), void *ctx);
int mbox_quote_end(struct mbox_quoter *q, int (*put)(void *ctx, struct span out), void *ctx);

#endif
