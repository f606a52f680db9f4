/*
 * crc32c.h - CRC-32C (Castagnoli, RFC 3720 appendix B.4), as the mail log and its index use it.
 *
 * crc32c(0, "123456789", 9) == 0xE3069283.  To go on over a further run of octets, hand the value
 * so far in as `crc`.
 */
#ifndef IO_BASE_CRC32C_H
#define IO_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *octets, size_t length);

#endif
