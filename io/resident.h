/*
 * resident.h - what of a file is in the page cache, so that reading it does not wait for a disk.
 *
 * The send queue asks here before it sends from a file on the shard's own thread.  An answer is a
 * look, not a promise: pages go under memory pressure, slowly.
 */
#ifndef IO_RESIDENT_H
#define IO_RESIDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* May this part of a file be read without waiting for the disk?  `length` is not 0. */
bool resident_span(int fd, uint64_t offset, uint64_t length);

/* Octets of the file from `offset` on, at most `max` of them, if all of those are there; else 0. */
uint64_t resident_from(int fd, uint64_t offset, uint64_t max);

/* Read without waiting; returns how much (0: the file ends there) or a negative errno.  -EAGAIN: it
 * would have to wait, or this file system cannot tell. */
ssize_t resident_read(int fd, uint64_t offset, void *to, size_t size);

/* Read what was resident a moment ago, and wait if it is no more. */
ssize_t resident_read_waiting(int fd, uint64_t offset, void *to, size_t size);

#endif
