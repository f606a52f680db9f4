/*
 * fuzz_auth_http.c - the session that answers nginx, under any input.
 *
 * The first octet says how the input is cut and how a question is answered.  Whatever comes in, the
 * answer is one whole HTTP header, none of whose lines the guest has made up.
 */
#include "core/auth_http/session.h"
#include "core/line.h"
#include "io/base/must.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>

static const struct auth_http_policy policies[] = {
	{ .backend = { "192.0.2.1", 110 }, .failed_logins_max = 3 },
	{ .backend = { "2001:db8::1", 110 }, .plaintext_auth = true, .failed_logins_max = 1 },
};

static void
check_question(const struct auth_http_session *s)
{
	struct login_question q = auth_http_session_question(s);

	must(q.name.length <= AUTH_HTTP_NAME_OCTETS_MAX);
	must(q.secret.length <= AUTH_HTTP_SECRET_OCTETS_MAX);
	must(q.kind == LOGIN_PASSWORD || (q.stamp.length > 0 && q.secret.length == 32));
	must(s->client.ss_family == AF_INET || s->client.ss_family == AF_INET6 ||
		s->client.ss_family == AF_UNIX);
}

/* Lines of "Name: value" behind the status, an empty one at the end and nowhere else. */
static void
check_answer(struct segments *reply)
{
	char said[4096];
	size_t length = 0;

	while (!segments_is_empty(reply)) {
		struct span octets = segment_octets(reply->first);

		must(length + octets.length < sizeof(said));
		memcpy(said + length, octets.at, octets.length);
		length += octets.length;
		segments_advance(reply, octets.length);
	}
	must(length > 4 && memcmp(said, "HTTP/1.0 ", 9) == 0);
	must(memmem(said, length, "\r\n\r\n", 4) == said + length - 4);
	for (size_t i = 0; i < length; i++)
		must((said[i] >= ' ' && said[i] <= '~') ||
			(said[i] == '\r' && said[i + 1] == '\n') ||
			(said[i] == '\n' && i > 0 && said[i - 1] == '\r'));
}

static enum auth_http_next
play(struct auth_http_session *s, struct line_reader *lines, struct span input, unsigned how)
{
	enum auth_http_next next = AUTH_HTTP_NEXT_LINE;
	struct span line;

	while (next == AUTH_HTTP_NEXT_LINE) {
		switch (line_next(lines, &input, &line)) {
		case LINE_READY:
			next = auth_http_session_line(s, line);
			break;
		case LINE_TOO_LONG:
			next = auth_http_session_line_too_long(s);
			break;
		case LINE_NEEDS_MORE:
		case LINE_NO_MEMORY:
			auth_http_session_timed_out(s);
			return AUTH_HTTP_NEXT_CLOSE;
		}
	}
	if (next != AUTH_HTTP_NEXT_VERIFY)
		return next;
	check_question(s);
	return auth_http_session_answered(s, (enum login_verdict)(how >> 1 & 3),
		how & 8 ? "198.51.100.1" : "", how & 16 ? SPAN("plain secret") : SPAN("a\r\nb: c"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size)
{
	static struct slab blocks;
	static struct slab long_blocks;
	static struct segments_pool pool;
	const struct line_pool line_pool = { &blocks, &long_blocks };
	struct span input = span_of(octets, size);
	unsigned how = (unsigned)fuzz_take(&input, 1);
	struct auth_http_session *s = malloc(sizeof(*s));
	struct line_reader lines;
	struct segments reply;

	must(s != NULL);
	slab_init(&blocks, LINE_BLOCK_OCTETS, 10);
	slab_init(&long_blocks, LONG_LINE_BLOCK_OCTETS, 10);
	segments_pool_init(&pool, 100);
	segments_init(&reply, &pool);
	line_reader_init(&lines, &line_pool);
	line_reader_allow_long(&lines, "Auth-");
	auth_http_session_init(s, &policies[how & 1], &reply);
	if (input.length == 0 || !auth_http_session_is_foreign(s, input))
		must(play(s, &lines, input, how) != AUTH_HTTP_NEXT_LINE);
	check_answer(&reply);
	auth_http_session_end(s);
	line_reader_clear(&lines);
	segments_pool_destroy(&pool);
	slab_destroy(&blocks);
	slab_destroy(&long_blocks);
	free(s);
	return 0;
}
