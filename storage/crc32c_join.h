/*
 * crc32c_join.h - the checksum of two runs of octets from the checksums of each.
 *
 * A large message goes to the log before its status line is known, which stands in front of it.
 */
#ifndef STORAGE_CRC32C_JOIN_H
#define STORAGE_CRC32C_JOIN_H

#include <stdint.h>

/* CRC-32C of A then B, from that of A, that of B, and the length of B. */
uint32_t crc32c_join(uint32_t crc_a, uint32_t crc_b, uint64_t length_b);

#endif
