/*
 * powerlog.c - writing and reading the log of a disk.  The format is in powerlog.h.
 */
#include "tests/power/powerlog.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static size_t
padding_of(uint64_t octets)
{
	return (8 - octets % 8) % 8;
}

int
power_append(int fd, enum power_kind kind, uint64_t offset, struct span payload)
{
	static const char zeros[8];
	struct power_header header = {
		.magic = POWER_MAGIC,
		.kind = kind,
		.offset = offset,
		.octets = payload.length,
	};
	struct iovec parts[3] = {
		{ &header, sizeof(header) },
		{ (void *)(uintptr_t)payload.at, payload.length },
		{ (void *)(uintptr_t)zeros, padding_of(payload.length) },
	};
	size_t all = parts[0].iov_len + parts[1].iov_len + parts[2].iov_len;
	ssize_t written = writev(fd, parts, 3);

	if (written < 0)
		return -errno;
	return (size_t)written == all ? 0 : -ENOSPC;
}

/* The record at `at`; false at the end of what is whole. */
static bool
record_at(const struct power_log *log, size_t at, struct power_record *record_out, size_t *next_out)
{
	struct power_header header;

	if (log->map_octets - at < sizeof(header))
		return false;
	memcpy(&header, log->map + at, sizeof(header));
	if (header.magic != POWER_MAGIC || header.octets > log->map_octets - at - sizeof(header))
		return false;
	*record_out = (struct power_record){
		.kind = (enum power_kind)header.kind,
		.offset = header.offset,
		.payload = span_of(log->map + at + sizeof(header), header.octets),
	};
	at += sizeof(header) + header.octets + padding_of(header.octets);
	*next_out = at < log->map_octets ? at : log->map_octets;
	return true;
}

static int
find_records(struct power_log *log)
{
	size_t room = 0;
	size_t at = 0;
	struct power_record record;

	while (record_at(log, at, &record, &at)) {
		if (log->count == room) {
			struct power_record *larger;

			room = room == 0 ? 4096 : 2 * room;
			larger = realloc(log->records, room * sizeof(*larger));
			if (larger == NULL)
				return -ENOMEM;
			log->records = larger;
		}
		log->records[log->count++] = record;
	}
	return log->count > 0 ? 0 : -EBADMSG;
}

int
power_log_open(const char *path, struct power_log *log_out)
{
	struct power_log log = { 0 };
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	int error = 0;
	void *map;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) != 0)
		error = -errno;
	else if (st.st_size == 0)
		error = -EBADMSG;
	if (error == 0) {
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
		if (map == MAP_FAILED)
			error = -errno;
	}
	close(fd);
	if (error != 0)
		return error;
	log.map = map;
	log.map_octets = (size_t)st.st_size;
	error = find_records(&log);
	if (error != 0)
		power_log_close(&log);
	else
		*log_out = log;
	return error;
}

void
power_log_close(struct power_log *log)
{
	free(log->records);
	munmap((void *)(uintptr_t)log->map, log->map_octets);
}
