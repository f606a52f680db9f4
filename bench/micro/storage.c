/*
 * storage.c - what the files cost: a maildrop opened, listed and appended to, checksums.
 *
 *   build/release/bench/micro/storage [--json] [DIRECTORY]     (below /var/tmp)
 *
 * Maildrops are made by the writer that LMTP and import use, in a directory of its own that is
 * removed at the end.  Opens are warm: log and index lie in the page cache.
 */
#include "bench/micro/micro.h"
#include "core/pop3/session.h"
#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/maildrop.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	MESSAGE_OCTETS = 512, /* small: the index is what is measured */
	APPENDED_OCTETS = 4096,
	APPENDS = 500,
	APPENDS_TOGETHER = 100,
	LISTINGS = 20,
	OPEN_NS = 500000000, /* time given to each size */
};

static const struct maildrop_options synced = { .lock_timeout_ms = 1000, .sync = true };
static const struct maildrop_options unsynced = { .lock_timeout_ms = 1000 };

/* ---- made-up mail -------------------------------------------------------------------------- */

static struct span
make_message(char *text, size_t octets)
{
	static const char header[] = "From: ann@example.org\r\nSubject: measured\r\n\r\n";

	memset(text, 'x', octets);
	memcpy(text, header, sizeof(header) - 1);
	for (size_t i = sizeof(header) + 70; i + 2 < octets; i += 72)
		memcpy(text + i, "\r\n", 2);
	memcpy(text + octets - 2, "\r\n", 2);
	return span_of(text, octets);
}

static void
put(struct maildrop_writer *w, struct span text)
{
	const struct maildrop_delivery delivery = { .arrived_at = 1700000000 };
	uint32_t uid;

	must(maildrop_writer_begin(w, &delivery) == 0);
	must(maildrop_writer_text(w, text) == 0);
	must(maildrop_writer_end(w, &uid) == 0);
}

static void
append(const struct disk *d, const char *address, const struct maildrop_options *options,
	struct span text, unsigned count)
{
	struct maildrop_writer *w;

	must(maildrop_writer_open(d, address, options, 0, &w) == 0);
	for (unsigned i = 0; i < count; i++)
		put(w, text);
	must(maildrop_writer_commit(w) == 0);
	maildrop_writer_close(w);
}

/* ---- figures ------------------------------------------------------------------------------- */

static double
time_open(const struct disk *d, const char *address, unsigned count)
{
	struct maildrop *m;
	unsigned opens = 0;
	uint64_t start = wall_ns(), passed;

	do {
		must(maildrop_open(d, address, &unsynced, &m) == 0 && m->count == count);
		maildrop_close(d, m);
		opens++;
		passed = wall_ns() - start;
	} while (passed < OPEN_NS);
	return (double)passed / opens / 1e3;
}

static void
time_opens(struct figures *f, const struct disk *d)
{
	static const unsigned counts[] = { 10, 1000, 100000 };
	char text[MESSAGE_OCTETS], address[64], name[64];
	struct span message = make_message(text, sizeof(text));

	for (unsigned i = 0; i < sizeof(counts) / sizeof(*counts); i++) {
		snprintf(address, sizeof(address), "user%u@example.org", counts[i]);
		append(d, address, &unsynced, message, counts[i]);
		snprintf(name, sizeof(name), "maildrop of %u messages opened", counts[i]);
		figures_put(f, name, time_open(d, address, counts[i]), "us");
	}
}

/* UIDL of everything, as the session says it. */
static double
time_uidl(const struct disk *d, const char *address)
{
	static const struct pop3_policy policy = { .greeting = "", .plaintext_auth = true };
	static const struct login_answer good = { .verdict = LOGIN_GOOD };
	struct segments_pool pool;
	struct segments reply;
	struct slab names;
	struct maildrop *m;
	uint64_t start, said = 0;

	must(maildrop_open(d, address, &unsynced, &m) == 0);
	segments_pool_init(&pool, 1024);
	segments_init(&reply, &pool);
	slab_init(&names, 2048, 1);
	start = wall_ns();
	for (unsigned i = 0; i < LISTINGS; i++) {
		struct pop3_session s;
		enum pop3_next next;

		pop3_session_init(&s, &policy, &reply, &names);
		(void)pop3_session_line(&s, SPAN("USER user"));
		(void)pop3_session_line(&s, SPAN("PASS secret"));
		(void)pop3_session_answered(&s, &good);
		(void)pop3_session_opened(&s, 0, m);
		for (next = pop3_session_line(&s, SPAN("UIDL")); next == POP3_NEXT_DRAIN;
			next = pop3_session_drained(&s)) {
			said += reply.length;
			segments_clear(&reply);
		}
		must(next == POP3_NEXT_LINE && !reply.failed);
		segments_clear(&reply);
		pop3_session_end(&s);
	}
	start = wall_ns() - start;
	must(said > (uint64_t)LISTINGS * m->count * 10);
	segments_pool_destroy(&pool);
	slab_destroy(&names);
	maildrop_close(d, m);
	return (double)start / LISTINGS / 1e6;
}

static double
time_crc(size_t octets)
{
	size_t total = 1 << 30;
	char *data = malloc(octets);
	uint32_t crc = 0;
	uint64_t start;

	must(data != NULL);
	memset(data, 0x55, octets);
	start = wall_ns();
	for (size_t i = 0; i < total / octets; i++)
		crc = crc32c(crc, data, octets);
	start = wall_ns() - start;
	must(crc != 1); /* so that it is computed */
	free(data);
	return (double)total / (double)start;
}

static void
time_appends(struct figures *f, const struct disk *d)
{
	char text[APPENDED_OCTETS];
	struct span message = make_message(text, sizeof(text));
	uint64_t start = wall_ns();

	for (unsigned i = 0; i < APPENDS; i++)
		append(d, "one@example.org", &synced, message, 1);
	figures_put(f, "4 KiB delivered and synced, one by one",
		(double)(wall_ns() - start) / APPENDS / 1e3, "us");

	start = wall_ns();
	for (unsigned i = 0; i < APPENDS / 10; i++)
		append(d, "many@example.org", &synced, message, APPENDS_TOGETHER);
	figures_put(f, "4 KiB delivered, 100 synced together, each",
		(double)(wall_ns() - start) / (APPENDS / 10) / APPENDS_TOGETHER / 1e3, "us");
}

/* ---- the directory ------------------------------------------------------------------------- */

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

int
main(int argc, char **argv)
{
	struct figures figures;
	struct disk disk;
	char root[256];
	int error;

	figures_begin(&figures, argc, argv);
	snprintf(root, sizeof(root), "%s/ringpost-storage-XXXXXX",
		argc > 1 + figures.json ? argv[1 + figures.json] : "/var/tmp");
	if (mkdtemp(root) == NULL || (error = disk_open_root(root, true, &disk)) != 0) {
		fprintf(stderr, "usage: storage [--json] [DIRECTORY]\n");
		return 64;
	}
	time_opens(&figures, &disk);
	figures_put(&figures, "UIDL of 100000 messages", time_uidl(&disk, "user100000@example.org"),
		"ms");
	time_appends(&figures, &disk);
	figures_put(&figures, "CRC-32C of 4 KiB", time_crc(4096), "GB_per_s");
	figures_put(&figures, "CRC-32C of 1 MiB", time_crc(1 << 20), "GB_per_s");
	disk_close_root(&disk);
	must(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
	figures_end(&figures);
	return 0;
}
