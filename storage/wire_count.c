/*
 * wire_count.c - see wire_count.h.
 *
 * A line costs one memchr(3).
 */
#include "storage/wire_count.h"

#include "io/base/must.h"

static void
end_line(struct wire_counter *c)
{
	struct wire_counts *counts = &c->counts;

	if (counts->header_ended) {
		counts->body_lines++;
	} else {
		counts->header_ended = c->line_octets == 2;
		counts->header_octets = counts->stuffed_octets;
	}
	c->line_octets = 0;
}

void
wire_count(struct wire_counter *c, struct span wire)
{
	while (wire.length > 0) {
		const char *lf = memchr(wire.at, '\n', wire.length);
		size_t run = lf == NULL ? wire.length : (size_t)(lf + 1 - wire.at);
		bool is_stuffed = c->line_octets == 0 && *wire.at == '.';

		c->line_octets += run;
		c->counts.stuffed_octets += run;
		c->counts.octets += run - is_stuffed;
		if (lf != NULL)
			end_line(c);
		wire = span_after(wire, run);
	}
}

bool
wire_count_end(struct wire_counter *c)
{
	if (!c->counts.header_ended)
		c->counts.header_octets = c->counts.stuffed_octets;
	return c->line_octets == 0;
}

struct wire_counts
wire_counts_behind(struct span head, const struct wire_counts *of)
{
	struct wire_counter counter = { .line_octets = 0 };
	struct wire_counts sum = *of;

	wire_count(&counter, head);
	must(wire_count_end(&counter) && !counter.counts.header_ended);
	sum.octets += counter.counts.octets;
	sum.stuffed_octets += counter.counts.stuffed_octets;
	sum.header_octets += counter.counts.header_octets;
	return sum;
}
