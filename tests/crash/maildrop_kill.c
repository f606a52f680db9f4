/*
 * maildrop_kill.c - a process that changes a maildrop is killed again and again.
 *
 *   maildrop_kill [cycles] [seed]        (200 cycles unless said otherwise)
 *
 * In each cycle a child delivers, imports, deletes, reclaims and compacts as fast as it can, and
 * tells through a pipe what it is about to do and what was acknowledged to it.  The parent kills it
 * with SIGKILL at some moment, reads the pipe to its end, and looks at the maildrop:
 *   - what was acknowledged is there, with its content, uid and unique-id; what was deleted is not;
 *   - what was under way is there whole or not at all;
 *   - verify finds nothing.
 * One line for each failure; exit status 0: none.
 */
#include "io/base/must.h"
#include "storage/layout.h"
#include "storage/maildrop.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ADDRESS       "crash@example.org"
#define CYCLES        200
#define UIDS_MAX      1000000u
#define BATCH_MAX     90u
#define KILL_AFTER_MS 25

enum word {
	WILL_DELIVER,
	DELIVERED,
	WILL_DELETE,
	DELETED,
	DONE
};

/* What goes through the pipe; of a commit with many messages, one for each, then DONE. */
struct note {
	uint32_t word;
	uint32_t uid;
	uint32_t serial;
};

/* What the parent knows of one uid. */
struct truth {
	uint32_t serial; /* 0: this uid was never acknowledged */
	bool is_deleted;
};

static const struct maildrop_options options = { .lock_timeout_ms = 5000, .sync = true };
static struct truth truths[UIDS_MAX];
static int failures;

static void __attribute__((format(printf, 1, 2))) fail(const char *format, ...)
{
	va_list arguments;

	failures++;
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
}

/* Every third message has a unique-id of its own, every fiftieth is larger than a batch. */
static bool
has_id(uint32_t serial)
{
	return serial % 3 == 0;
}

static size_t
body_octets(uint32_t serial)
{
	return serial % 50 == 7 ? 1500000 : 20 + serial % 5000;
}

static void
tell(int pipe_fd, enum word word, uint32_t uid, uint32_t serial)
{
	struct note note = { word, uid, serial };

	if (write(pipe_fd, &note, sizeof(note)) != sizeof(note))
		_exit(3);
}

static void
check(int error, const char *what)
{
	if (error == 0)
		return;
	fprintf(stderr, "%s: %s\n", what, strerror(-error));
	_exit(2);
}

static void
put_message(struct maildrop_writer *w, uint32_t serial, uint32_t *uid_out)
{
	static char body[8192];
	char head[64];
	char id[32];
	struct maildrop_delivery delivery = { .arrived_at = serial };
	size_t left = body_octets(serial);

	snprintf(id, sizeof(id), "serial-%u", serial);
	if (has_id(serial))
		delivery.unique_id = id;
	memset(body, 'a' + (char)(serial % 26), sizeof(body));
	snprintf(head, sizeof(head), "Serial: %u\r\n\r\n", serial);
	check(maildrop_writer_begin(w, &delivery), "begin");
	check(maildrop_writer_text(w, span_of_string(head)), "text");
	while (left > 0) {
		size_t here = left < sizeof(body) ? left : sizeof(body);

		check(maildrop_writer_text(w, span_of(body, here)), "text");
		left -= here;
	}
	check(maildrop_writer_end(w, uid_out), "end");
}

static void
deliver(const struct disk *d, int pipe_fd, uint32_t *serial, unsigned count)
{
	struct maildrop_writer *w;
	uint32_t uids[BATCH_MAX];

	for (unsigned i = 0; i < count; i++)
		tell(pipe_fd, WILL_DELIVER, 0, *serial + i);
	check(maildrop_writer_open(d, ADDRESS, &options, 0, &w), "writer");
	for (unsigned i = 0; i < count; i++)
		put_message(w, *serial + i, &uids[i]);
	check(maildrop_writer_commit(w), "commit");
	for (unsigned i = 0; i < count; i++)
		tell(pipe_fd, DELIVERED, uids[i], *serial + i);
	tell(pipe_fd, DONE, 0, 0);
	*serial += count;
	maildrop_writer_close(w);
}

static void
delete_some(const struct disk *d, int pipe_fd, unsigned one_in)
{
	struct maildrop *m;
	uint32_t *uids;
	uint32_t count = 0;
	uint32_t removed;

	check(maildrop_open(d, ADDRESS, &options, &m), "open");
	uids = malloc((m->count + 1) * sizeof(*uids));
	if (uids == NULL)
		_exit(2);
	for (uint32_t i = 0; i < m->count; i++) {
		if (rand() % (int)one_in == 0)
			uids[count++] = m->entries[i].uid;
	}
	for (uint32_t i = 0; i < count; i++)
		tell(pipe_fd, WILL_DELETE, uids[i], 0);
	check(maildrop_commit(d, ADDRESS, &options, uids, count, &removed), "delete");
	for (uint32_t i = 0; i < count; i++)
		tell(pipe_fd, DELETED, uids[i], 0);
	tell(pipe_fd, DONE, 0, 0);
	free(uids);
	maildrop_close(d, m);
}

static void
child(const struct disk *d, int pipe_fd, uint32_t serial, unsigned seed)
{
	uint64_t before;
	uint64_t after;

	srand(seed);
	for (;;) {
		switch (rand() % 8) {
		case 0:
			deliver(d, pipe_fd, &serial, 1 + (unsigned)rand() % BATCH_MAX);
			break;
		case 1:
			delete_some(d, pipe_fd, rand() % 8 == 0 ? 1 : 4);
			break;
		case 2:
			check(maildrop_reclaim(d, ADDRESS, &options), "reclaim");
			break;
		case 3:
			if (rand() % 3 == 0)
				check(maildrop_compact(d, ADDRESS, &options, &before, &after),
					"compact");
			break;
		default:
			deliver(d, pipe_fd, &serial, 1);
		}
	}
}

/* What was announced and not acknowledged when the child died. */
struct under_way {
	uint32_t *serials;
	uint32_t serial_count;
	uint32_t serials_found;
	uint32_t *uids;
	uint32_t uid_count;
	uint32_t uids_found;
	uint32_t acknowledged; /* of them, before DONE */
};

static void
take_note(struct under_way *u, const struct note *note)
{
	must(note->uid < UIDS_MAX);
	switch (note->word) {
	case WILL_DELIVER:
		u->serials[u->serial_count++] = note->serial;
		return;
	case WILL_DELETE:
		u->uids[u->uid_count++] = note->uid;
		return;
	case DELIVERED:
		if (truths[note->uid].serial != 0)
			fail("uid %u was given twice", note->uid);
		truths[note->uid].serial = note->serial;
		break;
	case DELETED:
		truths[note->uid].is_deleted = true;
		break;
	default: /* DONE */
		u->serial_count = 0;
		u->uid_count = 0;
		u->acknowledged = 0;
		return;
	}
	u->acknowledged++;
}

/* Read notes until the pipe is closed; kill the child when its time has come. */
static void
listen_and_kill(pid_t pid, int pipe_fd, int after_ms, struct under_way *u)
{
	struct timespec start;
	struct timespec now;
	bool is_alive = true;
	struct note note;

	clock_gettime(CLOCK_MONOTONIC, &start);
	for (;;) {
		struct pollfd ready = { .fd = pipe_fd, .events = POLLIN };

		clock_gettime(CLOCK_MONOTONIC, &now);
		if (is_alive &&
			(now.tv_sec - start.tv_sec) * 1000 +
					(now.tv_nsec - start.tv_nsec) / 1000000 >=
				after_ms) {
			kill(pid, SIGKILL);
			is_alive = false;
		}
		if (poll(&ready, 1, 1) == 0)
			continue;
		if (read(pipe_fd, &note, sizeof(note)) != sizeof(note))
			break;
		take_note(u, &note);
	}
}

static bool
is_in(const uint32_t *numbers, uint32_t count, uint32_t number)
{
	for (uint32_t i = 0; i < count; i++) {
		if (numbers[i] == number)
			return true;
	}
	return false;
}

static void
check_message(const struct disk *d, const struct maildrop *m, const struct maildrop_entry *e,
	struct under_way *u)
{
	struct truth *t = &truths[e->uid];
	char octets[64] = { 0 };
	char id[MAILDROP_UNIQUE_ID_MAX + 1];
	char expected[32];
	uint32_t serial = 0;
	const char *text;

	disk_read_at(d, m->log_fd, octets, sizeof(octets) - 1, e->wire_offset);
	text = strchr(octets, '\n');
	if (text == NULL || sscanf(text + 1, "Serial: %u", &serial) != 1) {
		fail("uid %u is no message of ours", e->uid);
		return;
	}
	if (t->is_deleted)
		fail("uid %u was deleted and is back", e->uid);
	if (t->serial == 0) {
		if (!is_in(u->serials, u->serial_count, serial))
			fail("uid %u, serial %u: nobody is delivering it", e->uid, serial);
		u->serials_found++;
		t->serial = serial;
	}
	if (t->serial != serial)
		fail("uid %u was serial %u and is %u", e->uid, t->serial, serial);
	snprintf(expected, sizeof(expected), "serial-%u", serial);
	if (!has_id(serial))
		snprintf(expected, sizeof(expected), "%08x%08x", e->uid, m->uid_validity);
	maildrop_unique_id(m, e, id);
	if (strcmp(id, expected) != 0)
		fail("uid %u has unique-id %s, not %s", e->uid, id, expected);
	if (is_in(u->uids, u->uid_count, e->uid))
		u->uids_found++;
}

/* What is missing must have been deleted, or be on its way out. */
static void
check_missing(const struct maildrop *m, const struct under_way *u)
{
	uint32_t next = 0;

	for (uint32_t uid = 0; uid < UIDS_MAX; uid++) {
		bool is_there = next < m->count && m->entries[next].uid == uid;

		next += is_there;
		if (is_there || truths[uid].serial == 0 || truths[uid].is_deleted)
			continue;
		if (!is_in(u->uids, u->uid_count, uid))
			fail("uid %u, serial %u is lost", uid, truths[uid].serial);
		truths[uid].is_deleted = true;
	}
}

static void
note_finding(void *ctx, uint64_t offset, const char *text)
{
	(void)ctx;
	fail("verify: %llu: %s", (unsigned long long)offset, text);
}

static uint32_t
check_maildrop(const struct disk *d, struct under_way *u, uint32_t *uid_validity)
{
	struct maildrop *m;
	int error = maildrop_open(d, ADDRESS, &options, &m);
	uint32_t count;

	if (error != 0) {
		fail("open: %s", strerror(-error));
		return 0;
	}
	if (m->count > 0 && *uid_validity == 0)
		*uid_validity = m->uid_validity;
	if (m->count > 0 && m->uid_validity != *uid_validity)
		fail("uid-validity was %u and is %u", *uid_validity, m->uid_validity);
	for (uint32_t i = 0; i < m->count; i++)
		check_message(d, m, &m->entries[i], u);
	check_missing(m, u);
	if (u->acknowledged == 0 && u->serials_found != 0 && u->serials_found != u->serial_count)
		fail("%u messages of a delivery of %u", u->serials_found, u->serial_count);
	if (u->uids_found != 0 && u->uids_found != u->uid_count && u->uid_count > 0)
		fail("%u messages of a deletion of %u are left", u->uids_found, u->uid_count);
	count = m->count;
	maildrop_close(d, m);
	error = maildrop_verify(d, ADDRESS, &options, note_finding, NULL);
	if (error < 0)
		fail("verify: %s", strerror(-error));
	return count;
}

static uint32_t
run_cycle(const struct disk *d, unsigned cycle, unsigned seed, uint32_t *uid_validity)
{
	struct under_way u = { 0 };
	int fds[2];
	pid_t pid;
	int status;
	uint32_t count;

	u.serials = calloc(BATCH_MAX, sizeof(*u.serials));
	u.uids = calloc(UIDS_MAX, sizeof(*u.uids));
	if (u.serials == NULL || u.uids == NULL || pipe(fds) != 0)
		exit(2);
	pid = fork();
	if (pid == 0) {
		close(fds[0]);
		child(d, fds[1], 1 + cycle * 100000, seed + cycle);
	}
	close(fds[1]);
	listen_and_kill(pid, fds[0], 1 + rand() % KILL_AFTER_MS, &u);
	close(fds[0]);
	if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status))
		fail("the child ended by itself");
	count = check_maildrop(d, &u, uid_validity);
	free(u.serials);
	free(u.uids);
	return count;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

int
main(int argc, char **argv)
{
	unsigned cycles = argc > 1 ? (unsigned)atoi(argv[1]) : CYCLES;
	unsigned seed = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
	uint32_t uid_validity = 0;
	uint64_t messages = 0;
	char root[] = "/tmp/ringpost-crash-XXXXXX";
	struct disk disk;

	srand(seed);
	if (mkdtemp(root) == NULL || disk_open_root(root, true, &disk) != 0 ||
		layout_prepare_spool(&disk, true) != 0)
		return 2;
	for (unsigned cycle = 0; cycle < cycles && failures == 0; cycle++)
		messages += run_cycle(&disk, cycle, seed * 1000, &uid_validity);
	disk_close_root(&disk);
	if (failures == 0)
		nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	printf("%u cycles, seed %u, %llu messages looked at, %d failures\n", cycles, seed,
		(unsigned long long)messages, failures);
	return failures == 0 ? 0 : 1;
}
