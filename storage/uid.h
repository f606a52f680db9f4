/*
 * uid.h - unique-ids (RFC 1939, section 7, UIDL).
 *
 * A message's unique-id is the one imported with it, or derived from its uid and the maildrop's
 * uid-validity in Dovecot's default form: the uid, then the uid-validity, each in eight lower-case
 * hexadecimal digits (Dovecot's pop3_uidl_format "%08Xu%08Xv").
 *
 * Pure functions.
 */
#ifndef STORAGE_UID_H
#define STORAGE_UID_H

#include "io/base/span.h"

#include <stdbool.h>
#include <stdint.h>

#define UID_DERIVED_OCTETS 16u
/* The greatest uid: one less than what fits, so that "the next uid" always does. */
#define UID_MAX (UINT32_MAX - 1)

/* 1 to 70 octets of 0x21 to 0x7E. */
bool uid_is_unique_id(struct span id);

/* Put the derived unique-id, without NUL. */
void uid_put_derived(uint32_t uid, uint32_t uid_validity, char to[UID_DERIVED_OCTETS]);

/* True if `id` is a unique-id that this uid-validity derives, for whatever uid: *uid_out. */
bool uid_is_derived(struct span id, uint32_t uid_validity, uint32_t *uid_out);

#endif
