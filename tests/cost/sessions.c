/*
 * sessions.c - login and poll sessions with all that a shard runs for them but the ring and the
 * account look-up: session, line cutter, good-login cache, maildrop cache, replies.
 *
 *   sessions login|poll N [heap]
 *
 * runs N sessions after a warm-up.  Counting its instructions for two values of N gives those of
 * one session, whatever starting and warming up cost.  With "heap" it prints the octets of heap
 * memory that this thread asked for in the N sessions (jemalloc counts them; 0 is what we promise).
 */
#include "core/auth/address.h"
#include "core/auth/login_cache.h"
#include "core/limits.h"
#include "core/line.h"
#include "core/pop3/session.h"
#include "storage/maildrop_cache.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MESSAGES 100u
#define WARM_UP  100u
#define NOW_MS   1000u

/* jemalloc's; absent from builds without it. */
int mallctl(const char *name, void *old, size_t *old_size, void *new, size_t new_size)
	__attribute__((weak));

static const char login_lines[] = "USER alice@example.org\r\nPASS secret\r\nSTAT\r\nQUIT\r\n";
static const char poll_lines[] =
	"USER alice@example.org\r\nPASS secret\r\nSTAT\r\nUIDL\r\nLIST\r\nQUIT\r\n";

struct world {
	char directory[32];
	struct disk disk;
	struct disk_ops disk_ops;
	struct login_cache *good_logins;
	struct maildrop_cache maildrops;
	struct segments_pool pool;
	struct slab names;
	struct line_pool lines;
	struct pop3_policy policy;
};

/* One guest: what core/service.c has for each. */
struct visit {
	struct world *world;
	struct pop3_session session;
	struct line_reader reader;
	struct segments reply;
	struct maildrop_hold *hold;
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
};

static void
expect(int result, const char *what)
{
	if (result == 0)
		return;
	fprintf(stderr, "sessions: %s: %s\n", what, strerror(-result));
	exit(1);
}

static void
deliver(const struct world *w)
{
	static const char text[] = "Subject: a message\n\nand its body\n";
	const struct maildrop_options options = { .lock_timeout_ms = 1000, .sync = false };
	struct maildrop_writer *writer;
	uint32_t uid;

	expect(maildrop_writer_open(&w->disk, "alice@example.org", &options, 0, &writer), "writer");
	for (uint32_t i = 0; i < MESSAGES; i++) {
		const struct maildrop_delivery delivery = { .arrived_at = i };

		expect(maildrop_writer_begin(writer, &delivery), "begin");
		expect(maildrop_writer_text(writer, span_of(text, sizeof(text) - 1)), "text");
		expect(maildrop_writer_end(writer, &uid), "end");
	}
	expect(maildrop_writer_commit(writer), "commit");
	maildrop_writer_close(writer);
}

/* valgrind 3.19 does not know openat2(2), which the host's disk uses. */
static int
open_by_openat(const struct disk *d, const char *path, int flags, mode_t mode)
{
	int fd = openat(d->root_fd, path, flags | O_CLOEXEC, mode);

	return fd < 0 ? -errno : fd;
}

static void
make_world(struct world *w)
{
	*w = (struct world){
		.directory = "/tmp/ringpost-cost-XXXXXX",
		.policy = {
			.greeting = "ringpost ready",
			.implementation = "ringpost",
			.plaintext_auth = true,
			.failed_logins_max = 3,
		},
	};
	if (mkdtemp(w->directory) == NULL)
		expect(-1, "temporary directory");
	expect(disk_open_root(w->directory, true, &w->disk), "disk");
	w->disk_ops = *w->disk.ops;
	w->disk_ops.open = open_by_openat;
	w->disk.ops = &w->disk_ops;
	deliver(w);
	expect(login_cache_create(1024, 3600, &w->good_logins), "cache");
	expect(maildrop_cache_open(&w->maildrops, &w->disk, 16), "maildrops");
	segments_pool_init(&w->pool, 1000);
	slab_init(&w->names, LINE_BLOCK_OCTETS, 1000);
	w->lines = (struct line_pool){ &w->names, NULL };
}

static int
remove_one(const char *path, const struct stat *st, int type, struct FTW *walk)
{
	(void)st;
	(void)type;
	(void)walk;
	return remove(path);
}

static void
unmake_world(struct world *w)
{
	slab_destroy(&w->names);
	segments_pool_destroy(&w->pool);
	maildrop_cache_close(&w->maildrops);
	login_cache_destroy(w->good_logins);
	disk_close_root(&w->disk);
	nftw(w->directory, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* A login that the cache knows.  The look-up in LMDB is left out: valgrind cannot map its file. */
static enum pop3_next
verify(struct visit *v)
{
	static const struct address_rules rules = { "", "+" };
	struct world *w = v->world;
	struct login_proof proof;
	static const struct login_answer good = { .verdict = LOGIN_GOOD };
	struct login_question q = pop3_session_question(&v->session);

	expect(address_canonical(q.name, &rules, v->address), "address");
	expect(login_cache_prove(w->good_logins, span_of_string(v->address), q.secret,
		       SPAN("{PLAIN}secret"), &proof),
		"proof");
	if (!login_cache_find(w->good_logins, &proof, NOW_MS))
		login_cache_add(w->good_logins, &proof, NOW_MS);
	return pop3_session_answered(&v->session, &good);
}

static enum pop3_next
open_maildrop(struct visit *v)
{
	const struct maildrop_options options = { .lock_timeout_ms = 1000, .sync = false };
	struct world *w = v->world;
	struct maildrop *m;

	v->hold = maildrop_cache_find(&w->maildrops, v->address);
	if (v->hold == NULL) {
		expect(maildrop_open(&w->disk, v->address, &options, &m), "open");
		v->hold = maildrop_cache_add(&w->maildrops, m);
	}
	return pop3_session_opened(&v->session, 0, v->hold->maildrop);
}

/* What the socket would have taken. */
static void
send_reply(struct visit *v)
{
	segments_clear(&v->reply);
}

static enum pop3_next
hear(struct visit *v, struct span *input)
{
	struct span line;

	if (line_next(&v->reader, input, &line) != LINE_READY)
		expect(-1, "a line");
	return pop3_session_line(&v->session, line);
}

static void
visit(struct world *w, struct span input)
{
	struct visit v = { .world = w };
	enum pop3_next next;

	segments_init(&v.reply, &w->pool);
	line_reader_init(&v.reader, &w->lines);
	pop3_session_init(&v.session, &w->policy, &v.reply, &w->names);
	next = pop3_session_greet(&v.session, NULL);
	while (next != POP3_NEXT_CLOSE) {
		if (next == POP3_NEXT_VERIFY) {
			next = verify(&v);
		} else if (next == POP3_NEXT_OPEN) {
			next = open_maildrop(&v);
		} else {
			send_reply(&v);
			next = next == POP3_NEXT_DRAIN ? pop3_session_drained(&v.session)
						       : hear(&v, &input);
		}
	}
	send_reply(&v);
	pop3_session_end(&v.session);
	line_reader_clear(&v.reader);
	maildrop_cache_release(&w->maildrops, v.hold, NOW_MS);
}

static uint64_t
heap_octets(void)
{
	uint64_t octets = 0;
	size_t size = sizeof(octets);

	if (mallctl == NULL || mallctl("thread.allocated", &octets, &size, NULL, 0) != 0)
		expect(-1, "the heap's count, which only jemalloc keeps");
	return octets;
}

int
main(int argc, char **argv)
{
	struct world w;
	struct span lines;
	uint64_t before = 0;
	bool counts_heap = argc == 4;
	int sessions;

	if (argc < 3) {
		fprintf(stderr, "usage: sessions login|poll N [heap]\n");
		return 2;
	}
	lines = strcmp(argv[1], "poll") == 0 ? span_of_string(poll_lines)
					     : span_of_string(login_lines);
	sessions = atoi(argv[2]);
	make_world(&w);
	for (unsigned i = 0; i < WARM_UP; i++)
		visit(&w, lines);
	if (counts_heap)
		before = heap_octets();
	for (int i = 0; i < sessions; i++)
		visit(&w, lines);
	if (counts_heap)
		printf("%llu\n", (unsigned long long)(heap_octets() - before));
	unmake_world(&w);
	return 0;
}
