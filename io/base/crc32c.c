/*
 * crc32c.c - CRC-32C by the processor's instruction where it has one (SSE 4.2), else by table.
 *
 * The instruction takes 8 octets a cycle, but its result is ready two cycles later; so of a long
 * run three parts are done side by side and then joined: the checksum of A then B is that of A,
 * moved on by as many zeros as B has octets, XOR that of B.  Tables for that move, and the choice
 * of way, are made once, when the program is loaded.
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
#define LANE_OCTETS 1024u /* of each of the three parts */

static bool have_instruction;
static uint32_t moved[4][256]; /* each octet of a checksum, LANE_OCTETS zeros further */

static uint32_t
move_on(uint32_t crc)
{
	return moved[0][crc & 0xFF] ^ moved[1][crc >> 8 & 0xFF] ^ moved[2][crc >> 16 & 0xFF] ^
		moved[3][crc >> 24];
}

/* The move is linear: what it does to each bit says what it does to all. */
static void
make_moved(void)
{
	static const unsigned char zeros[LANE_OCTETS];

	for (unsigned bit = 0; bit < 32; bit++)
		moved[bit / 8][1u << bit % 8] =
			crc32c_by_table(UINT32_C(1) << bit, zeros, sizeof(zeros));
	for (unsigned octet = 0; octet < 4; octet++)
		for (unsigned i = 1; i < 256; i++)
			moved[octet][i] = moved[octet][i & (i - 1)] ^ moved[octet][i & -i];
}

/* Three parts of LANE_OCTETS each. */
__attribute__((target("sse4.2"))) static uint32_t
crc32c_of_lanes(uint32_t crc, const unsigned char *octets)
{
	uint64_t a = crc;
	uint64_t b = 0;
	uint64_t c = 0;

	for (const unsigned char *end = octets + LANE_OCTETS; octets < end; octets += 8) {
		uint64_t words[3];

		memcpy(&words[0], octets, 8);
		memcpy(&words[1], octets + LANE_OCTETS, 8);
		memcpy(&words[2], octets + 2 * (size_t)LANE_OCTETS, 8);
		a = __builtin_ia32_crc32di(a, words[0]);
		b = __builtin_ia32_crc32di(b, words[1]);
		c = __builtin_ia32_crc32di(c, words[2]);
	}
	return move_on(move_on((uint32_t)a) ^ (uint32_t)b) ^ (uint32_t)c;
}

__attribute__((target("sse4.2"))) static uint32_t
crc32c_by_instruction(uint32_t crc, const unsigned char *octets, size_t length)
{
	uint64_t wide;

	for (; length >= 3 * LANE_OCTETS; octets += 3 * LANE_OCTETS, length -= 3 * LANE_OCTETS)
		crc = crc32c_of_lanes(crc, octets);
	wide = crc;
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
	if (have_instruction)
		make_moved();
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
