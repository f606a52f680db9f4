/*
 * crc32c.c - CRC-32C by the processor's instruction where it has one (SSE 4.2), else by table.
 *
 * The choice is made once, when the program is loaded.
 */
#include "io/base/crc32c.h"

#include <stdbool.h>
#include <string.h>

#define POLYNOMIAL_REFLECTED 0x82F63B78u

static uint32_t table[256];

static uint32_t
crc32c_by_table(uint32_t crc, const unsigned char *octets, size_t length)
{
	for (size_t i = 0; i < length; i++)
		crc = table[(crc ^ octets[i]) & 0xFF] ^ (crc >> 8);
	return crc;
}

#if defined(__x86_64__)
static bool have_instruction;

__attribute__((target("sse4.2"))) static uint32_t
crc32c_by_instruction(uint32_t crc, const unsigned char *octets, size_t length)
{
	uint64_t wide = crc;

	for (; length >= 8; octets += 8, length -= 8) {
		uint64_t word;

		memcpy(&word, octets, sizeof(word));
		wide = __builtin_ia32_crc32di(wide, word);
	}
	crc = (uint32_t)wide;
	for (; length > 0; octets++, length--)
		crc = __builtin_ia32_crc32qi(crc, *octets);
	return crc;
}
#endif

__attribute__((constructor)) static void
crc32c_choose(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL_REFLECTED : 0);
		table[i] = crc;
	}
#if defined(__x86_64__)
	have_instruction = __builtin_cpu_supports("sse4.2");
#endif
}

uint32_t
crc32c(uint32_t crc, const void *octets, size_t length)
{
#if defined(__x86_64__)
	if (have_instruction)
		return ~crc32c_by_instruction(~crc, octets, length);
#endif
	return ~crc32c_by_table(~crc, octets, length);
}
