/*
 * uidlist.h - the unique-ids that other servers gave to the files of a Maildir.
 *
 * Dovecot keeps them in `dovecot-uidlist`.  Version 3:
 *
 *     3 V<uid-validity> N<next uid> G<mailbox guid>
 *     <uid> [P<unique-id>] [O<order>] [other fields, a capital letter each] :<file name>
 *
 * Without P the unique-id is made of uid and uid-validity by `pop3_uidl_format`, whose default is
 * %08Xu%08Xv; an empty P stands for the file's base name.  POP3 lists messages that have an O
 * first, in its order, then the others by uid.  Version 1 is "1 <uid-validity> <next uid>" and
 * "<uid> <file name>".
 *
 * Courier keeps them in `courierpop3dsizelist`, whose first line is
 * "/<version> <next uid> <uid-validity>".  The others are, by version:
 *
 *     3     <file name> <size> <uid>:<uid-validity>:<utf8 flag>
 *     2     <file name> <size> <uid>:<uid-validity>
 *     1     <file name> <size> <uid>
 *     none  <file name> <size>           (and no first line)
 *
 * The unique-id is UID<uid>-<uid-validity>, or UID<uid> where uid-validity is 0 or not there.  In
 * the oldest form it is the file's base name, with octets outside 0x21-0x7E and ' " + written as
 * +XX.
 *
 * Files are known by their base name: all before the ":" that begins the flags.
 * Sources: Dovecot's documentation of its Maildir extensions; the behaviour of Courier's pop3d.
 *
 * Pure functions: no I/O.
 */
#ifndef STORAGE_CONVERT_UIDLIST_H
#define STORAGE_CONVERT_UIDLIST_H

#include "io/base/span.h"
#include "storage/maildrop.h"

enum uidlist_kind {
	UIDLIST_NONE, /* no list: every file is unknown */
	UIDLIST_DOVECOT,
	UIDLIST_COURIER,
};

struct uidlist_entry {
	struct span base_name;
	struct span unique_id; /* P field; at == NULL: none, length == 0: the base name */
	uint64_t uid;
	uint64_t uid_validity; /* Courier only */
	uint32_t order;        /* O field; 0: none */
};

struct uidlist {
	enum uidlist_kind kind;
	uint32_t uid_validity;         /* Dovecot only */
	uint32_t next_uid;             /* Dovecot only */
	struct uidlist_entry *entries; /* by base name */
	size_t count;
	size_t bad_lines; /* passed over */
};

/* Parse a whole list, which `text` borrows until uidlist_free().  -EBADMSG: the first line is
 * damaged, -EPROTONOSUPPORT: its version is unknown, -ENOMEM. */
int uidlist_parse(enum uidlist_kind kind, struct span text, struct uidlist *list_out);
void uidlist_free(struct uidlist *list);

/* The entry of a file, NULL if it has none. */
const struct uidlist_entry *uidlist_find(const struct uidlist *list, struct span base_name);

/* The unique-id that the other server showed for `entry`; false if it is none by RFC 1939. */
bool uidlist_unique_id(const struct uidlist *list, const struct uidlist_entry *entry,
	char to[MAILDROP_UNIQUE_ID_MAX + 1]);

/* All of a Maildir file's name that stays when its flags change. */
struct span maildir_base_name(struct span file_name);

#endif
