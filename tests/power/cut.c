/*
 * cut.c - building crash states.  The idea is in cut.h.
 */
#include "tests/power/cut.h"
#include "io/base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE_OCTETS 4096u

uint64_t
cut_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* True with a chance of `percent` in a hundred. */
static bool
chance(uint64_t *seed, unsigned percent)
{
	return cut_random(seed) % 100 < percent;
}

static int
map_base(const char *path, struct cut_disk *cut)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	void *map;

	if (fd < 0)
		return -errno;
	map = MAP_FAILED;
	if (fstat(fd, &st) == 0)
		map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED) {
		int error = -errno;

		close(fd);
		return error;
	}
	close(fd);
	cut->safe = map;
	cut->size = (size_t)st.st_size;
	return 0;
}

static int
map_file(struct cut_disk *cut)
{
	void *map = MAP_FAILED;

	cut->fd = memfd_create("cut", MFD_CLOEXEC);
	if (cut->fd >= 0 && ftruncate(cut->fd, (off_t)cut->size) == 0)
		map = mmap(NULL, cut->size, PROT_READ | PROT_WRITE, MAP_SHARED, cut->fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	cut->octets = map;
	return 0;
}

int
cut_open(
	const char *base_path, const struct power_log *log, size_t sector, struct cut_disk *cut_out)
{
	struct cut_disk cut = { .log = log, .fd = -1, .sector = sector };
	int error = map_base(base_path, &cut);

	if (error == 0)
		error = map_file(&cut);
	if (error != 0) {
		cut_close(&cut);
		return error;
	}
	cut_heal(&cut);
	*cut_out = cut;
	return 0;
}

void
cut_close(struct cut_disk *cut)
{
	if (cut->octets != NULL)
		munmap(cut->octets, cut->size);
	if (cut->safe != NULL)
		munmap(cut->safe, cut->size);
	if (cut->fd >= 0)
		close(cut->fd);
}

static void
put(uint8_t *to, const struct power_record *record, size_t at, size_t octets)
{
	memcpy(to + record->offset + at, record->payload.at + at, octets);
}

/* Where the last flush before record `at` stands; where we are if there is none. */
static size_t
last_flush(const struct cut_disk *cut, size_t at)
{
	size_t flush = at;

	while (flush > cut->applied_end && cut->log->records[flush - 1].kind != POWER_FLUSH)
		flush--;
	return flush;
}

static void
apply_flushed(struct cut_disk *cut, size_t end)
{
	for (; cut->applied_end < end; cut->applied_end++) {
		const struct power_record *record = &cut->log->records[cut->applied_end];

		if (record->kind != POWER_WRITE)
			continue;
		must(record->offset + record->payload.length <= cut->size);
		put(cut->safe, record, 0, record->payload.length);
		put(cut->octets, record, 0, record->payload.length);
	}
}

/* Some sectors of a write, each for itself: a drive is free in what it writes first. */
static void
put_torn(struct cut_disk *cut, const struct power_record *record, uint64_t *seed)
{
	unsigned percent = 10 + cut_random(seed) % 81;

	for (size_t at = 0; at < record->payload.length; at += cut->sector) {
		size_t left = record->payload.length - at;

		if (chance(seed, percent))
			put(cut->octets, record, at, left < cut->sector ? left : cut->sector);
	}
}

static void
put_some(struct cut_disk *cut, size_t at, uint64_t seed)
{
	unsigned written = 10 + cut_random(&seed) % 81; /* percent, another for each state */
	unsigned torn = cut_random(&seed) % 50;

	for (size_t i = cut->applied_end; i < at; i++) {
		const struct power_record *record = &cut->log->records[i];

		if (record->kind != POWER_WRITE)
			continue;
		if (chance(&seed, torn))
			put_torn(cut, record, &seed);
		else if (chance(&seed, written))
			put(cut->octets, record, 0, record->payload.length);
	}
}

/* The first `whole` writes, and some of the one that follows. */
static void
put_prefix(struct cut_disk *cut, size_t at, size_t whole, uint64_t seed)
{
	for (size_t i = cut->applied_end; i < at; i++) {
		const struct power_record *record = &cut->log->records[i];

		if (record->kind != POWER_WRITE)
			continue;
		if (whole-- == 0) {
			put_torn(cut, record, &seed);
			return;
		}
		put(cut->octets, record, 0, record->payload.length);
	}
}

size_t
cut_break(struct cut_disk *cut, size_t at, enum cut_kind kind, uint64_t seed)
{
	size_t writes = 0;

	must(at >= cut->applied_end && at <= cut->log->count);
	apply_flushed(cut, last_flush(cut, at));
	for (size_t i = cut->applied_end; i < at; i++)
		writes += cut->log->records[i].kind == POWER_WRITE;
	switch (kind) {
	case CUT_ALL:
		put_prefix(cut, at, writes, seed);
		break;
	case CUT_SOME:
		put_some(cut, at, seed);
		break;
	case CUT_PREFIX:
		if (writes > 0)
			put_prefix(cut, at, cut_random(&seed) % writes, seed);
		break;
	case CUT_NONE:
	case CUT_KINDS:
		break;
	}
	return writes;
}

void
cut_heal(struct cut_disk *cut)
{
	for (size_t at = 0; at < cut->size; at += PAGE_OCTETS) {
		if (memcmp(cut->octets + at, cut->safe + at, PAGE_OCTETS) != 0)
			memcpy(cut->octets + at, cut->safe + at, PAGE_OCTETS);
	}
}
