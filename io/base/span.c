/*
 * span.c - numbers in decimal digits, read and written.
 */
#include "io/base/span.h"

bool
span_to_u64(struct span s, uint64_t max, uint64_t *value_out)
{
	uint64_t value = 0;

	if (s.length == 0 || s.length > 20)
		return false;
	for (size_t i = 0; i < s.length; i++) {
		unsigned digit = (unsigned char)s.at[i] - (unsigned)'0';

		if (digit > 9)
			return false;
		if (__builtin_mul_overflow(value, 10, &value) ||
			__builtin_add_overflow(value, digit, &value))
			return false;
	}
	if (value > max)
		return false;
	*value_out = value;
	return true;
}

bool
span_to_octets(struct span s, uint64_t max, uint64_t *octets_out)
{
	static const char units[] = { 'K', 'M', 'G', 'T' };
	const char *unit = NULL;
	unsigned shift = 0;
	uint64_t value;

	if (s.length > 0)
		unit = memchr(units, s.at[s.length - 1], sizeof(units));
	if (unit != NULL) {
		shift = 10 * (unsigned)(unit - units + 1);
		s.length--;
	}
	if (!span_to_u64(s, max >> shift, &value))
		return false;
	*octets_out = value << shift;
	return true;
}

size_t
span_put_u64(uint64_t number, char *to)
{
	char digits[SPAN_U64_DIGITS_MAX];
	size_t at = sizeof(digits);

	do {
		digits[--at] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	memcpy(to, digits + at, sizeof(digits) - at);
	return sizeof(digits) - at;
}
