/*
 * crc32c_join.c - CRC-32C as arithmetic of polynomials over GF(2).
 *
 * To append n octets to A multiplies A's checksum by x^(8n) modulo the polynomial; the inversions
 * at either end cancel out.  x^(8n) comes by squaring, so the cost goes with the logarithm of n.
 * Polynomials are bit-reflected, as everywhere in CRC-32C: the top bit is x^0.
 */
#include "storage/crc32c_join.h"

#define POLYNOMIAL_REFLECTED 0x82F63B78u
#define X_TO_THE_0           0x80000000u
#define X_TO_THE_8           0x00800000u

static uint32_t
multiply(uint32_t a, uint32_t b)
{
	uint32_t product = 0;

	for (uint32_t bit = X_TO_THE_0; bit != 0; bit >>= 1) {
		if (a & bit)
			product ^= b;
		b = (b >> 1) ^ (b & 1 ? POLYNOMIAL_REFLECTED : 0);
	}
	return product;
}

uint32_t
crc32c_join(uint32_t crc_a, uint32_t crc_b, uint64_t length_b)
{
	uint32_t power = X_TO_THE_8;
	uint32_t shift = X_TO_THE_0;

	for (; length_b > 0; length_b >>= 1) {
		if (length_b & 1)
			shift = multiply(shift, power);
		power = multiply(power, power);
	}
	return multiply(crc_a, shift) ^ crc_b;
}
