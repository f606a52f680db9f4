/*
 * fuzz_log.c - a damaged log: recovery scan, login, verify, repair.
 *
 * The input is a list of edits to the log of a known maildrop.  Damage may cost messages, but what
 * a login or a repair shows must be a message that was delivered, octet for octet, or the login
 * must fail; a deletion that was told to a client may come back only where its record was damaged.
 */
#include "io/base/must.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/scratch.h"

#include <stdlib.h>

#define EDITS_MAX    8u
#define APPENDED_MAX 4096u

struct edited {
	char *octets;
	size_t length;
	size_t room;
};

/* One edit: overwrite, flip, cut, append, copy from elsewhere in the log, zero a run. */
static void
edit(struct edited *e, struct span *input)
{
	unsigned kind = (unsigned)fuzz_take(input, 1) % 6;
	size_t at = (size_t)fuzz_take(input, 2) % (e->length + 1);
	size_t count = (size_t)fuzz_take(input, 1);
	size_t from = (size_t)fuzz_take(input, 2) % (e->length + 1);

	if (kind == 2) {
		e->length = at;
		return;
	}
	if (kind == 3)
		at = e->length;
	if (at + count > e->room)
		count = e->room - at;
	if (kind == 4 && from + count > e->length)
		count = e->length - from;
	if (at + count > e->length && kind != 3 && kind != 4)
		count = e->length - at;
	for (size_t i = 0; i < count && kind < 2; i++)
		e->octets[at + i] =
			(char)(fuzz_take(input, 1) ^ (kind == 1 ? (uint8_t)e->octets[at + i] : 0));
	for (size_t i = 0; i < count && kind == 3; i++)
		e->octets[at + i] = (char)fuzz_take(input, 1);
	if (kind == 4)
		memmove(e->octets + at, e->octets + from, count);
	if (kind == 5)
		memset(e->octets + at, 0, count);
	if (at + count > e->length)
		e->length = at + count;
}

static void
check_repaired(struct scratch *s)
{
	struct maildrop *m;

	if (maildrop_open(&s->disk, SCRATCH_ADDRESS, &s->options, &m) != 0)
		return;
	scratch_check_known(s, m);
	maildrop_close(&s->disk, m);
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size)
{
	struct scratch *s = scratch_open();
	struct span input = span_of(octets, size);
	bool with_index = fuzz_take(&input, 1) & 1;
	struct edited e = { .length = s->log_octets, .room = s->log_octets + APPENDED_MAX };

	e.octets = malloc(e.room);
	must(e.octets != NULL);
	memcpy(e.octets, s->log, s->log_octets);
	for (unsigned i = 0; i < EDITS_MAX && input.length > 0; i++)
		edit(&e, &input);
	scratch_put(s, span_of(e.octets, e.length),
		with_index ? span_of(s->index, s->index_octets) : span_of(NULL, 0));
	(void)scratch_look(s);
	check_repaired(s); /* scratch_look() has repaired it where that was possible */
	free(e.octets);
	return 0;
}
