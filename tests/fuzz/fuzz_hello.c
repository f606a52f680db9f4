/*
 * fuzz_hello.c - the reader of records and ClientHellos, on any octets.
 *
 * What it finds must lie within the record it was given.
 */
#include "io/base/must.h"
#include "io/tls_hello.h"
#include "tests/fuzz/fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size)
{
	struct span input = span_of(octets, size);
	struct tls_hello hello;
	size_t length;

	tls_hello_read(input, &hello);
	while (tls_record_length(input, &length) == 0) {
		must(length >= TLS_RECORD_HEADER_OCTETS && length <= input.length);
		tls_hello_read(span_of(input.at, length), &hello);
		if (hello.server_name.length > 0)
			must(hello.server_name.at > input.at &&
				hello.server_name.at + hello.server_name.length <=
					input.at + length);
		input = span_after(input, length);
	}
	return 0;
}
