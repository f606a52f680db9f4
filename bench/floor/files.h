/*
 * files.h - the files of a floor that makes mail durable: append and fdatasync(2), nothing else.
 *
 * A file has one writer at a time, as a maildrop has.
 * Ownership: who opens the files removes them.
 */
#ifndef BENCH_FLOOR_FILES_H
#define BENCH_FLOOR_FILES_H

#include "io/base/must.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define FILES_MAX 65536u

struct file {
	int fd;
	pthread_mutex_t lock;
	char path[4096];
};

struct files {
	struct file *all;
	unsigned count;
};

/* `count` new files in a directory; their names are durable. */
static inline void
files_open(struct files *f, const char *directory, unsigned count)
{
	f->all = calloc(count, sizeof(*f->all));
	f->count = count;
	must(f->all != NULL);
	for (unsigned i = 0; i < count; i++) {
		struct file *file = &f->all[i];

		snprintf(file->path, sizeof(file->path), "%s/append-%u", directory, i);
		file->fd =
			open(file->path, O_CREAT | O_EXCL | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
		if (file->fd < 0) {
			perror(file->path);
			exit(1);
		}
		pthread_mutex_init(&file->lock, NULL);
	}
	sync();
}

static inline void
files_remove(struct files *f)
{
	for (unsigned i = 0; i < f->count; i++) {
		unlink(f->all[i].path);
		close(f->all[i].fd);
	}
	free(f->all);
}

static inline void
files_append(struct files *f, unsigned number, const char *octets, size_t length)
{
	struct file *file = &f->all[number % f->count];

	pthread_mutex_lock(&file->lock);
	must(write(file->fd, octets, length) == (ssize_t)length);
	must(fdatasync(file->fd) == 0);
	pthread_mutex_unlock(&file->lock);
}

#endif
