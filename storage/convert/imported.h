/*
 * imported.h - which messages of other mailboxes a maildrop has had, so that none comes twice.
 *
 * The file `imported` in the maildrop's directory: a header, then an entry for each message that
 * was ever imported, also those that have been deleted since.  It is only ever appended to.
 *
 *     header  16  "ringpost-imports"
 *              4  uid-validity of the maildrop
 *              8  zero
 *              4  CRC-32C of the 28 octets before
 *     entry   12  digest      (the identity, see source.h)
 *              4  occurrence
 *              8  arrival, seconds since 1970
 *              4  uid in the maildrop; 0: the message was there already
 *              4  CRC-32C of the 28 octets before
 *
 * Numbers are little-endian.  An entry whose identity is zero is a mark: all entries before it are
 * true.
 *
 * The crash argument.  Entries of a batch are written and synced *before* the batch is committed to
 * the maildrop, the mark behind it with the next batch or at the end.  So after a crash the entries
 * behind the last mark may be true or not, all or none of them, and nothing else is in doubt.  The
 * next import asks the maildrop: if messages with those uids are there and arrived when the entries
 * say, the batch was committed; if uids that are not yet given are among them, or other messages
 * have them, it was not, and the entries are cut off.  (Had a delivery taken the uid since, it
 * would have arrived since.)  If none of the messages is there any more it cannot be told, and the
 * entries are cut off too: a deleted message may then come again, but none is ever lost.
 *
 * A file of another uid-validity belongs to a maildrop that was removed and is replaced.  One whose
 * header is damaged is refused: without it all messages would come again.  A damaged entry behind
 * the last mark was torn by a crash: it, and all behind it, was not committed; what stands between
 * the mark and it may have been (the next mark may be what was torn), and is asked for as above. A
 * damaged entry before the last mark costs what it said.
 */
#ifndef STORAGE_CONVERT_IMPORTED_H
#define STORAGE_CONVERT_IMPORTED_H

#include "storage/convert/source.h"

#define IMPORTED_FILE "imported"

struct imported;

/* Opens, makes or replaces the file of an existing maildrop, settles what is in doubt by its
 * snapshot `m`, and locks the file until it is closed: one import into a maildrop at a time.
 * -EAGAIN: another one is under way; -EBADMSG: the file is damaged. */
int imported_open(const struct disk *d, const char *address, uint32_t uid_validity,
	const struct maildrop *m, struct imported **imported_out);
void imported_close(struct imported *i);

/* True if the file said so when it was opened. */
bool imported_has(const struct imported *i, const struct source_identity *identity);

/* Put down a message of the batch; in memory only. */
int imported_add(struct imported *i, const struct source_identity *identity, int64_t arrived_at,
	uint32_t uid);
/* Write the batch, durably: to be called before the maildrop commits it. */
int imported_save(struct imported *i);
/* The maildrop has committed all that was saved; written with the next imported_save(). */
int imported_confirm(struct imported *i);

#endif
