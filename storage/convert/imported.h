/*
 * imported.h - which messages of other mailboxes a maildrop has had, so that none comes twice.
 *
 * The file `imported` in the maildrop's directory: a header, then the identity of each message that
 * was ever imported.  It is what keeps a message away that was imported and then deleted; that a
 * message which is still there does not come again, the maildrop's unique-ids see to (import.h).  So
 * to lose the file loses no mail, and it may lag behind.
 *
 *     0  16  "ringpost-imports"
 *    16   4  uid-validity of the maildrop, little-endian
 *    20   8  zero
 *    28   4  CRC-32C of the 28 octets before
 *    32  16  for each message: 12 octets of digest, 4 of occurrence, little-endian
 *
 * A file of another uid-validity belongs to a maildrop that was removed; it and a damaged one are
 * replaced.  What is behind the last whole entry is overwritten; an entry that was torn is one that
 * nobody has.
 */
#ifndef STORAGE_CONVERT_IMPORTED_H
#define STORAGE_CONVERT_IMPORTED_H

#include "storage/convert/source.h"

#define IMPORTED_FILE "imported"

struct imported;

/* Opens, makes or replaces the file of an existing maildrop, and locks it until it is closed: one
 * import into a maildrop at a time.  -EAGAIN: another one is under way. */
int imported_open(const struct disk *d, const char *address, uint32_t uid_validity,
	struct imported **imported_out);
/* What was not saved is forgotten. */
void imported_close(struct imported *i);

/* In the file when it was opened. */
bool imported_has(const struct imported *i, const struct source_identity *identity);
int imported_add(struct imported *i, const struct source_identity *identity);
/* Write what was added, durably. */
int imported_save(struct imported *i);

#endif
