/*
 * fuzz.h - what libFuzzer calls, and taking octets off its input.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include "io/base/span.h"

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size);

/* The next `size` octets as a number; what is missing reads as 0. */
static inline uint64_t
fuzz_take(struct span *input, size_t size)
{
	uint64_t number = 0;
	size_t there = size < input->length ? size : input->length;

	memcpy(&number, input->at, there);
	*input = span_after(*input, there);
	return number;
}

#endif
