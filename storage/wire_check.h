/*
 * wire_check.h - does a stored message look as the encoder would have made it, and count as it
 * says?
 *
 * For verify: a checksum says that the octets are those that were written; this says that they were
 * right.  Pure; the octets come in pieces.
 */
#ifndef STORAGE_WIRE_CHECK_H
#define STORAGE_WIRE_CHECK_H

#include "storage/maildrop.h"

struct wire_check {
	const struct maildrop_entry *entry;
	struct wire_decoder decoder;
	struct wire_encoder encoder;
	uint64_t seen;      /* octets of the wire form so far */
	uint32_t crc_in;    /* of the stuffed text */
	uint32_t crc_again; /* of what became of it: decoded, encoded again */
	bool frame_is_right;
};

void wire_check_init(struct wire_check *c, const struct maildrop_entry *entry);
void wire_check_octets(struct wire_check *c, struct span octets);
/* NULL, or what is wrong with it. */
const char *wire_check_end(struct wire_check *c);

#endif
