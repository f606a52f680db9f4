/*
 * fuzz_proxyhdr.c - the reader of proxies' headers, on any octets and all of their beginnings.
 *
 * What it finds lies within the header; what was said of a beginning stays true of what is longer.
 */
#include "io/base/must.h"
#include "io/proxyhdr.h"
#include "tests/fuzz/fuzz.h"

static void
check_lies_within(struct span part, struct span header)
{
	must(part.length == 0 ||
		(part.at >= header.at && part.at + part.length <= header.at + header.length));
}

static void
check_whole(struct span input, const struct proxyhdr *h)
{
	struct span header = span_of(input.at, h->octets);

	must(h->octets > 0 && h->octets <= input.length && h->octets <= PROXYHDR_OCTETS_MAX);
	must(!h->has_source || h->source.ss_family == AF_INET || h->source.ss_family == AF_INET6);
	check_lies_within(h->tls_version, header);
	check_lies_within(h->cipher, header);
	check_lies_within(h->common_name, header);
	check_lies_within(h->alpn, header);
	check_lies_within(h->authority, header);
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size)
{
	enum proxyhdr_result before = PROXYHDR_NEEDS_MORE;
	size_t length = 0;

	for (size_t n = 0; n <= size && n <= 2 * PROXYHDR_OCTETS_MAX; n++) {
		struct span input = span_of(octets, n);
		struct proxyhdr h;
		enum proxyhdr_result now = proxyhdr_read(input, &h);

		must(before == PROXYHDR_NEEDS_MORE || now == before);
		must(now != PROXYHDR_NEEDS_MORE || n < PROXYHDR_OCTETS_MAX);
		if (now == PROXYHDR_WHOLE) {
			check_whole(input, &h);
			must(before != PROXYHDR_WHOLE || h.octets == length);
			length = h.octets;
		}
		before = now;
	}
	return 0;
}
