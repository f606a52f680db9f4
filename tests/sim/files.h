/*
 * files.h - the descriptors of all processes: one table, the lowest free number first, as a kernel
 * gives them, so that a descriptor used after its close is soon another file.
 *
 * Numbers begin far above those of the host, so that none is ever taken for one of its own.
 */
#ifndef TESTS_SIM_FILES_H
#define TESTS_SIM_FILES_H

#include "tests/sim/sim.h"

#define FILES_FIRST 100000

enum file_kind {
	FILE_NONE,
	FILE_ON_DISK,
	FILE_SOCKET,
	FILE_LISTENER,
};

/* A descriptor of the running process; `closed` is called when it is closed or its process dies. */
int files_add(enum file_kind kind, void *what, void (*closed)(void *what));
/* What it stands for; a violation if it is none of that kind. */
void *files_get(int fd, enum file_kind kind);
enum file_kind files_kind(int fd);
void files_close(int fd, enum file_kind kind);

void files_close_all(struct sim_process *p);
unsigned files_count(const struct sim_process *p);

#endif
