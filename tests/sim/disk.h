/*
 * disk.h - a disk in memory that keeps what a disk keeps, and no more.
 *
 * Of each file there is what programs see (the page cache) and what is durable.  fdatasync makes
 * the one the other.  At a power cut each 512 octets that were not synced are what they were or
 * what they should be, the size likewise; of the names that were made, changed or removed and whose
 * directory was not synced since, the latest are undone: stricter than ext4, as strict as POSIX
 * lets a file system be.  A sync that fails has written some sectors and forgotten the others, says
 * so once, and the next one says 0; what was forgotten can be read until the cache is dropped.
 *
 * One disk for the world; processes, and the simulator itself, share it.  Calls made by a fiber may
 * give way to others, before they do anything.
 */
#ifndef TESTS_SIM_DISK_H
#define TESTS_SIM_DISK_H

#include "io/disk.h"
#include "tests/sim/sim.h"

void simdisk_open(struct disk *disk_out);
void simdisk_close(void);

/* The power goes; nobody may have a file open any more. */
void simdisk_cut_power(void);
/* Nothing is cached any more, or at least less. */
void simdisk_evict(void);

/* For the network: octets of a file as a process sees them; how much, or a negative errno. */
ssize_t simdisk_read(int fd, void *to, size_t size, uint64_t offset);
uint64_t simdisk_size(int fd);
bool simdisk_is_warm(int fd);
void simdisk_warm(int fd);

#endif
