/*
 * fuzz_session.c - the POP3 session under any input and any failure around it.
 *
 * The first octet says what fails and whether somebody has logged in, the second how the rest,
 * which is what the client sends, is cut.  Played twice, whole and cut, the answers must be the
 * same; each line of them must be whole, and the first and last are known by their form.
 */
#include "io/base/must.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/guest.h"

#include <errno.h>
#include <stdlib.h>

enum fuzz_flag {
	LOGGED_IN = 1 << 0,
	NO_LOGINS = 1 << 1,
	OPEN_FAILS = 1 << 2,
	SCAN_FAILS = 1 << 3,
	COMMIT_FAILS = 1 << 4,
	READ_ONLY = 1 << 5,
	MANY_MESSAGES = 1 << 6,
	NO_PLAINTEXT = 1 << 7,
};

static const char *const mail[] = {
	"Subject: one\n\nbody\n",
	".dots\n\n.\n..\n...",
	"",
	"\n",
	"Subject: no body\n",
	"a: b\n\n1\n2\n3\n4\n5\n6\n7\n8\n9\n",
};

static struct guest_account *
find_account(void *ctx, struct span name)
{
	return span_equals(name, SPAN("alice")) ? ctx : NULL;
}

static void
fill(struct memdrop *m, unsigned flags)
{
	unsigned copies = flags & MANY_MESSAGES ? 300 : 1;

	memdrop_init(m);
	while (copies-- > 0)
		for (size_t i = 0; i < array_count(mail); i++)
			memdrop_add(m, span_of_string(mail[i]));
}

static void
play(unsigned flags, unsigned random, struct span input, struct guest *g)
{
	struct guest_account alice = {
		.secret = SPAN("secret"),
		.read_only = (flags & READ_ONLY) != 0,
	};
	const struct guest_world world = {
		.find = find_account,
		.ctx = &alice,
		.policy = {
			.greeting = "ready",
			.implementation = "ringpost",
			.plaintext_auth = (flags & NO_PLAINTEXT) == 0,
			.mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) |
				SASL_BIT(SASL_OAUTHBEARER) | SASL_BIT(SASL_XOAUTH2),
			.failed_logins_max = 3,
		},
		.login_unavailable = (flags & NO_LOGINS) != 0,
		.open_error = flags & OPEN_FAILS ? -EIO : 0,
		.check_error = flags & SCAN_FAILS ? -EBADMSG : 0,
		.scan_error = flags & SCAN_FAILS ? -EIO : 0,
		.commit_error = flags & COMMIT_FAILS ? -EIO : 0,
	};

	fill(&alice.memdrop, flags);
	guest_connect(g, &world);
	if (flags & LOGGED_IN)
		guest_hear(g, SPAN("USER alice\r\nPASS secret\r\n"));
	guest_hear_cut(g, input, random);
	guest_disconnect(g);
	memdrop_destroy(&alice.memdrop);
}

static void
check_form(const struct guest *g)
{
	must(g->said_octets > 5 && memcmp(g->said, "+OK ", 4) == 0);
	must(memcmp(g->said + g->said_octets - 2, "\r\n", 2) == 0);
	for (size_t i = 0; i < g->said_octets; i++) {
		if (g->said[i] == '\n')
			must(g->said[i - 1] == '\r');
		if (g->said[i] == '\r')
			must(g->said[i + 1] == '\n');
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size)
{
	struct span input = span_of(octets, size);
	unsigned flags = (unsigned)fuzz_take(&input, 1);
	unsigned random = (unsigned)fuzz_take(&input, 1) + 1;
	struct guest whole;
	struct guest cut;

	play(flags, 0, input, &whole);
	play(flags, random, input, &cut);
	check_form(&whole);
	must(span_equals(
		span_of(whole.said, whole.said_octets), span_of(cut.said, cut.said_octets)));
	guest_forget(&whole);
	guest_forget(&cut);
	return 0;
}
