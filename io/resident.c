/*
 * resident.c - see resident.h.
 *
 * cachestat counts pages, but also those whose read has only begun; one-octet reads that refuse to
 * wait tell them apart, at both ends, and every PROBE_STEP where the kernel has no cachestat.
 */
#include "io/resident.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define PROBE_STEP  65536u
#define PAGE_OCTETS 4096u

#ifndef SYS_cachestat
#define SYS_cachestat 451 /* Linux 6.5 */
#endif

static bool
octet_is_resident(int fd, uint64_t offset)
{
	char octet;
	struct iovec iov = { .iov_base = &octet, .iov_len = 1 };

	return preadv2(fd, &iov, 1, (off_t)offset, RWF_NOWAIT) == 1;
}

/* The pages are there (cachestat), or this kernel cannot say; -1: at least one is missing. */
static int
pages_are_cached(int fd, uint64_t offset, uint64_t length)
{
	static atomic_bool is_not_there; /* too old a kernel, or a filter of system calls */
	struct {
		uint64_t offset;
		uint64_t length;
	} range = { offset, length };
	struct {
		uint64_t cached;
		uint64_t others[4];
	} answer;
	uint64_t pages = (offset + length - 1) / PAGE_OCTETS - offset / PAGE_OCTETS + 1;

	if (atomic_load_explicit(&is_not_there, memory_order_relaxed))
		return 0;
	if (syscall(SYS_cachestat, fd, &range, &answer, 0) != 0) {
		if (errno == ENOSYS || errno == EPERM)
			atomic_store_explicit(&is_not_there, true, memory_order_relaxed);
		return 0;
	}
	return answer.cached == pages ? 1 : -1;
}

bool
resident_span(int fd, uint64_t offset, uint64_t length)
{
	int cached = length <= PAGE_OCTETS ? 1 : pages_are_cached(fd, offset, length);

	if (cached < 0 || !octet_is_resident(fd, offset + length - 1))
		return false;
	if (offset / PAGE_OCTETS == (offset + length - 1) / PAGE_OCTETS)
		return true;
	if (!octet_is_resident(fd, offset))
		return false;
	for (uint64_t at = PROBE_STEP; cached == 0 && at < length; at += PROBE_STEP)
		if (!octet_is_resident(fd, offset + at))
			return false;
	return true;
}

uint64_t
resident_from(int fd, uint64_t offset, uint64_t max)
{
	struct stat file;

	if (fstat(fd, &file) != 0 || (uint64_t)file.st_size <= offset)
		return 0;
	if (max > (uint64_t)file.st_size - offset)
		max = (uint64_t)file.st_size - offset;
	return resident_span(fd, offset, max) ? max : 0;
}

ssize_t
resident_read(int fd, uint64_t offset, void *to, size_t size)
{
	struct iovec iov = { .iov_base = to, .iov_len = size };
	ssize_t n = preadv2(fd, &iov, 1, (off_t)offset, RWF_NOWAIT);

	if (n >= 0)
		return n;
	return errno == EOPNOTSUPP ? -EAGAIN : -errno;
}

ssize_t
resident_read_waiting(int fd, uint64_t offset, void *to, size_t size)
{
	ssize_t n = pread(fd, to, size, (off_t)offset);

	return n < 0 ? -errno : n;
}
