/*
 * fuzz_index.c - an index that lies beside a log that is whole.
 *
 * The first octet chooses: edits of the true index, each slot's checksum as it comes; or slots of
 * any octets behind good checksums.  Where no good checksum was forged the login must show exactly
 * what was there, as if nothing had happened.  A forged one may lead astray, never out of bounds.
 */
#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/index.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/scratch.h"

#include <stdlib.h>

#define SLOTS_MAX   64u
#define SLOT_CRC_AT (INDEX_SLOT_OCTETS - 4)

static void
check_nothing_is_lost(struct scratch *s)
{
	struct maildrop *m;

	must(maildrop_open(&s->disk, SCRATCH_ADDRESS, &s->options, &m) == 0);
	must(m->count == SCRATCH_MESSAGES - SCRATCH_REMOVED);
	scratch_check_known(s, m);
	maildrop_close(&s->disk, m);
}

static void
try_edited(struct scratch *s, struct span input)
{
	char *octets = malloc(s->index_octets + 256);
	size_t length = s->index_octets;

	must(octets != NULL);
	memcpy(octets, s->index, length);
	while (input.length > 0) {
		size_t at = (size_t)fuzz_take(&input, 2) % (length + 1);
		unsigned what = (unsigned)fuzz_take(&input, 1);

		if (what == 0)
			length = at;
		else if (what == 1 && length < s->index_octets + 256)
			octets[length++] = (char)at;
		else if (at < length)
			octets[at] ^= (char)what;
	}
	scratch_put(s, span_of(s->log, s->log_octets), span_of(octets, length));
	check_nothing_is_lost(s);
	free(octets);
}

static void
try_forged(struct scratch *s, struct span input)
{
	char octets[INDEX_HEADER_OCTETS + SLOTS_MAX * INDEX_SLOT_OCTETS];
	size_t length = INDEX_HEADER_OCTETS;

	memcpy(octets, s->index, INDEX_HEADER_OCTETS);
	while (input.length > 0 && length + INDEX_SLOT_OCTETS <= sizeof(octets)) {
		char *slot = octets + length;
		size_t true_slots = (s->index_octets - INDEX_HEADER_OCTETS) / INDEX_SLOT_OCTETS;
		size_t model = (size_t)fuzz_take(&input, 1);
		unsigned changes = (unsigned)fuzz_take(&input, 1) % 8;
		struct index_slot decoded;
		uint32_t crc;

		/* a true slot with a few changes, or octets as they come */
		memset(slot, 0, INDEX_SLOT_OCTETS);
		if (model < 200)
			memcpy(slot,
				s->index + INDEX_HEADER_OCTETS +
					model % true_slots * INDEX_SLOT_OCTETS,
				INDEX_SLOT_OCTETS);
		else
			changes = 60;
		while (changes-- > 0)
			slot[fuzz_take(&input, 1) % SLOT_CRC_AT] = (char)fuzz_take(&input, 1);
		crc = crc32c(0, slot, SLOT_CRC_AT);
		memcpy(slot + SLOT_CRC_AT, &crc, sizeof(crc));
		(void)index_slot_decode(slot, &decoded);
		length += INDEX_SLOT_OCTETS;
	}
	scratch_put(s, span_of(s->log, s->log_octets), span_of(octets, length));
	(void)scratch_look(s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size)
{
	struct scratch *s = scratch_open();
	struct span input = span_of(octets, size);

	if (fuzz_take(&input, 1) & 1)
		try_forged(s, input);
	else
		try_edited(s, input);
	return 0;
}
