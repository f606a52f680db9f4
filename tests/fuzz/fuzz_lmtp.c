/*
 * fuzz_lmtp.c - the LMTP session under any input and any failure around it.
 *
 * The first octet says what fails and how far the dialogue is, the second how the rest, which is
 * what the client sends, is cut.  Played twice, whole and cut, answers and maildrops must be the
 * same; each line of the answers must be whole and begin with a code; and what is in the maildrop
 * must be a message as POP3 may send it.
 */
#include "io/base/must.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/guest.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum fuzz_flag {
	HAS_ENVELOPE = 1 << 0,
	IN_DATA = 1 << 1,
	NORMALISES = 1 << 2,
	ACCOUNTS_UNAVAILABLE = 1 << 3,
	STORE_FAILS = 1 << 4,
	DELIVERY_FAILS = 1 << 5,
	SMALL_LIMITS = 1 << 6,
	OFFERS_TLS = 1 << 7,
};

struct played {
	struct guest_account alice;
	struct guest guest;
};

static struct guest_account *
find_account(void *ctx, struct span name)
{
	return span_equals(name, SPAN("alice@example.org")) ? ctx : NULL;
}

static void
play(unsigned flags, unsigned random, struct span input, struct played *p)
{
	const struct guest_world world = {
		.find = find_account,
		.ctx = &p->alice,
		.speaks_lmtp = true,
		.lmtp_policy = {
			.hostname = "host",
			.greeting = "ready",
			.offers_tls = (flags & OFFERS_TLS) != 0,
			.normalises_newlines = (flags & NORMALISES) != 0,
			.octets_max = flags & SMALL_LIMITS ? 100 : 100000,
			.recipients_max = flags & SMALL_LIMITS ? 1 : 3,
		},
		.head_settings = { .add_return_path = true },
		.login_unavailable = (flags & ACCOUNTS_UNAVAILABLE) != 0,
		.store_error = flags & STORE_FAILS ? -ENOSPC : 0,
	};

	*p = (struct played){ .alice = { .quota_messages = 3 } };
	p->alice.deliver_error = flags & DELIVERY_FAILS ? -EIO : 0;
	memdrop_init(&p->alice.memdrop);
	guest_connect(&p->guest, &world);
	if (flags & HAS_ENVELOPE)
		guest_hear(&p->guest,
			SPAN("LHLO x\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<alice@example.org>\r\n"));
	if ((flags & (HAS_ENVELOPE | IN_DATA)) == (HAS_ENVELOPE | IN_DATA))
		guest_hear(&p->guest, SPAN("DATA\r\n"));
	guest_hear_cut(&p->guest, input, random);
	guest_disconnect(&p->guest);
}

static void
check_replies(const struct guest *g)
{
	bool at_start = true;

	must(g->said_octets > 5 && memcmp(g->said, "220 ", 4) == 0);
	must(memcmp(g->said + g->said_octets - 2, "\r\n", 2) == 0);
	for (size_t i = 0; i < g->said_octets; i++) {
		if (at_start)
			must(g->said[i] >= '2' && g->said[i] <= '5');
		at_start = g->said[i] == '\n';
		if (g->said[i] == '\n')
			must(g->said[i - 1] == '\r');
		if (g->said[i] == '\r')
			must(g->said[i + 1] == '\n');
	}
}

/* One end line, where the message ends, and no bare CR or LF. */
static void
check_message(const char *wire, size_t octets)
{
	must(octets >= 3 && memcmp(wire + octets - 3, ".\r\n", 3) == 0);
	for (size_t i = 0; i < octets; i++) {
		if (wire[i] == '\n')
			must(i > 0 && wire[i - 1] == '\r');
		if (wire[i] == '\r')
			must(i + 1 < octets && wire[i + 1] == '\n');
		if (i + 5 < octets)
			must(memcmp(wire + i, "\r\n.\r\n", 5) != 0);
		must(wire[i] != '\0');
	}
}

/* All messages, in wire form; to be freed. */
static char *
read_all(const struct memdrop *m)
{
	char *all = malloc(m->end + 1);

	must(all != NULL && pread(m->fd, all, m->end, 0) == (ssize_t)m->end);
	for (uint32_t i = 0; i < m->count; i++)
		check_message(all + m->entries[i].wire_offset, m->entries[i].wire_octets);
	return all;
}

static void
forget(struct played *p)
{
	guest_forget(&p->guest);
	memdrop_destroy(&p->alice.memdrop);
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size)
{
	struct span input = span_of(octets, size);
	unsigned flags = (unsigned)fuzz_take(&input, 1);
	unsigned random = (unsigned)fuzz_take(&input, 1) + 1;
	struct played whole;
	struct played cut;
	char *mail, *same_mail;

	play(flags, 0, input, &whole);
	play(flags, random, input, &cut);
	check_replies(&whole.guest);
	must(span_equals(span_of(whole.guest.said, whole.guest.said_octets),
		span_of(cut.guest.said, cut.guest.said_octets)));
	mail = read_all(&whole.alice.memdrop);
	same_mail = read_all(&cut.alice.memdrop);
	must(span_equals(
		span_of(mail, whole.alice.memdrop.end), span_of(same_mail, cut.alice.memdrop.end)));
	free(mail);
	free(same_mail);
	forget(&whole);
	forget(&cut);
	return 0;
}
