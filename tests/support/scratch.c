/*
 * scratch.c - see scratch.h.
 */
#include "tests/support/scratch.h"

#include "io/base/crc32c.h"
#include "io/base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static char root[] = "/dev/shm/ringpost-fuzz-XXXXXX";
static struct scratch scratch;

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static void
remove_root(void)
{
	nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void
deliver(struct scratch *s, unsigned first, unsigned count)
{
	struct maildrop_writer *w;

	must(maildrop_writer_open(&s->disk, SCRATCH_ADDRESS, &s->options, 7, &w) == 0);
	for (unsigned i = first; i < first + count; i++) {
		char text[2000];
		char id[32];
		const struct maildrop_delivery delivery = {
			.arrived_at = 1000000000 + i,
			.unique_id = i % 3 == 0 ? id : NULL,
		};
		int length = snprintf(text, sizeof(text), "Subject: %u\n\n.%0*u\n", i, i * 97, i);
		uint32_t uid;

		snprintf(id, sizeof(id), "imported-%u", i);
		must(maildrop_writer_begin(w, &delivery) == 0);
		must(maildrop_writer_text(w, span_of(text, (size_t)length)) == 0);
		must(maildrop_writer_end(w, &uid) == 0 && uid == i);
	}
	must(maildrop_writer_commit(w) == 0);
	maildrop_writer_close(w);
}

static char *
read_file(struct scratch *s, const char *path, size_t *octets_out)
{
	struct disk_status status;
	int fd = disk_open(&s->disk, path, O_RDONLY, 0);
	char *octets;

	must(fd >= 0 && disk_status_of_file(&s->disk, fd, &status) == 0);
	octets = malloc(status.octets + 1);
	must(octets != NULL);
	must(disk_read_at(&s->disk, fd, octets, status.octets, 0) == (ssize_t)status.octets);
	disk_close(&s->disk, fd);
	*octets_out = status.octets;
	return octets;
}

static void
make_maildrop(struct scratch *s)
{
	const uint32_t removed[SCRATCH_REMOVED] = { 2, 3, 7 };
	struct maildrop *m;
	uint32_t count;

	deliver(s, 1, 5);
	deliver(s, 6, 1);
	deliver(s, 7, 6);
	must(maildrop_open(&s->disk, SCRATCH_ADDRESS, &s->options, &m) == 0);
	must(m->count == SCRATCH_MESSAGES);
	for (uint32_t i = 0; i < m->count; i++)
		s->content_crc[m->entries[i].uid - 1] = m->entries[i].content_crc;
	maildrop_close(&s->disk, m);
	must(maildrop_commit(&s->disk, SCRATCH_ADDRESS, &s->options, removed, SCRATCH_REMOVED,
		     &count) == 0);
	must(count == SCRATCH_REMOVED);
}

struct scratch *
scratch_open(void)
{
	struct scratch *s = &scratch;

	if (s->log != NULL)
		return s;
	must(mkdtemp(root) != NULL);
	must(atexit(remove_root) == 0);
	s->options = (struct maildrop_options){ .lock_timeout_ms = 1000, .sync = false };
	must(disk_open_root(root, true, &s->disk) == 0);
	must(layout_prepare_spool(&s->disk, true) == 0);
	must(layout_file(SCRATCH_ADDRESS, "log", s->log_path) == 0);
	must(layout_file(SCRATCH_ADDRESS, "index", s->index_path) == 0);
	make_maildrop(s);
	s->log = read_file(s, s->log_path, &s->log_octets);
	s->index = read_file(s, s->index_path, &s->index_octets);
	return s;
}

static void
write_file(struct scratch *s, const char *path, struct span octets)
{
	int fd;

	if (octets.at == NULL)
		return;
	fd = disk_open(&s->disk, path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	must(fd >= 0 && disk_write_at(&s->disk, fd, octets, 0) == 0);
	disk_close(&s->disk, fd);
}

static int
remove_name(void *ctx, const char *name)
{
	struct scratch *s = ctx;
	char path[LAYOUT_PATH_MAX + 256];
	char directory[LAYOUT_PATH_MAX];

	must(layout_directory(SCRATCH_ADDRESS, directory) == 0);
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	must(disk_unlink(&s->disk, path) == 0);
	return 0;
}

void
scratch_put(struct scratch *s, struct span log, struct span index)
{
	char directory[LAYOUT_PATH_MAX];

	must(layout_directory(SCRATCH_ADDRESS, directory) == 0);
	must(disk_list(&s->disk, directory, remove_name, s) == 0);
	write_file(s, s->log_path, log);
	write_file(s, s->index_path, index);
}

/* Reads the whole reply of a message; false: it is not there or not what its checksum says. */
static bool
content_is_whole(struct scratch *s, const struct maildrop *m, const struct maildrop_entry *e)
{
	char *octets;
	bool whole;

	if (e->wire_octets > (1 << 20))
		return false;
	octets = malloc(e->wire_octets);
	must(octets != NULL);
	whole = disk_read_at(&s->disk, m->log_fd, octets, e->wire_octets, e->wire_offset) ==
			(ssize_t)e->wire_octets &&
		crc32c(0, octets, e->wire_octets) == e->content_crc;
	free(octets);
	return whole;
}

void
scratch_check_known(struct scratch *s, const struct maildrop *m)
{
	for (uint32_t i = 0; i < m->count; i++) {
		const struct maildrop_entry *e = &m->entries[i];

		must(e->uid >= 1 && e->uid <= SCRATCH_MESSAGES);
		must(i == 0 || e->uid > m->entries[i - 1].uid);
		must(e->content_crc == s->content_crc[e->uid - 1]);
		must(content_is_whole(s, m, e));
	}
}

/* What every snapshot promises, whatever the files were. */
static void
check_snapshot(struct scratch *s, const struct maildrop *m)
{
	uint64_t octets = 0;

	must((m->log_fd < 0) == (m->count == 0) || m->log_fd >= 0);
	for (uint32_t i = 0; i < m->count; i++) {
		const struct maildrop_entry *e = &m->entries[i];
		char id[MAILDROP_UNIQUE_ID_MAX + 1];
		size_t length = maildrop_unique_id(m, e, id);

		must(length >= 1 && length <= MAILDROP_UNIQUE_ID_MAX && id[length] == '\0');
		must(i == 0 || e->uid > m->entries[i - 1].uid);
		must(e->uid < m->next_uid);
		must(e->wire_offset + e->wire_octets <= m->covers);
		octets += e->octets;
		(void)content_is_whole(s, m, e);
	}
	must(octets == m->octets);
}

static void
hear_finding(void *ctx, uint64_t offset, const char *text)
{
	unsigned *findings = ctx;

	(void)offset;
	must(text[0] != '\0');
	(*findings)++;
}

static int
look_once(struct scratch *s)
{
	struct maildrop *m;
	int error = maildrop_open(&s->disk, SCRATCH_ADDRESS, &s->options, &m);

	if (error == 0) {
		check_snapshot(s, m);
		maildrop_close(&s->disk, m);
	}
	return error;
}

int
scratch_look(struct scratch *s)
{
	unsigned findings = 0;
	unsigned repaired = 0;
	int error = look_once(s);
	int verified =
		maildrop_verify(&s->disk, SCRATCH_ADDRESS, &s->options, hear_finding, &findings);

	/* an index behind its log is told and not counted: one finding at most */
	must(verified < 0 ||
		((unsigned)verified <= findings && findings <= (unsigned)verified + 1));
	/* what cannot be opened is not fine; verify may have mended the index on its way */
	must(verified != 0 || look_once(s) == 0);
	if (maildrop_repair(&s->disk, SCRATCH_ADDRESS, &s->options, hear_finding, &repaired) >= 0)
		must(look_once(s) == 0);
	return error;
}
