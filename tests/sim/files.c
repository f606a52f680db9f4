/*
 * files.c - see files.h.
 */
#include "tests/sim/files.h"

#define FILES_MAX 4096

static struct file {
	enum file_kind kind;
	struct sim_process *process;
	void *what;
	void (*closed)(void *what);
} files[FILES_MAX];

int
files_add(enum file_kind kind, void *what, void (*closed)(void *what))
{
	for (int i = 0; i < FILES_MAX; i++) {
		if (files[i].kind == FILE_NONE) {
			files[i] = (struct file){ kind, sim.process, what, closed };
			return FILES_FIRST + i;
		}
	}
	sim_violation("%d descriptors are open", FILES_MAX);
}

static struct file *
file_of(int fd, enum file_kind kind)
{
	int i = fd - FILES_FIRST;

	if (i < 0 || i >= FILES_MAX || files[i].kind == FILE_NONE)
		sim_violation("descriptor %d is not open", fd);
	if (files[i].kind != kind)
		sim_violation("descriptor %d is of kind %d, not %d", fd, files[i].kind, kind);
	if (sim.process != NULL && files[i].process != sim.process)
		sim_violation("descriptor %d is another process's", fd);
	return &files[i];
}

void *
files_get(int fd, enum file_kind kind)
{
	return file_of(fd, kind)->what;
}

enum file_kind
files_kind(int fd)
{
	int i = fd - FILES_FIRST;

	return i < 0 || i >= FILES_MAX ? FILE_NONE : files[i].kind;
}

static void
close_file(struct file *f)
{
	struct file gone = *f;

	*f = (struct file){ 0 };
	gone.closed(gone.what);
}

void
files_close(int fd, enum file_kind kind)
{
	close_file(file_of(fd, kind));
}

void
files_close_all(struct sim_process *p)
{
	for (int i = 0; i < FILES_MAX; i++)
		if (files[i].kind != FILE_NONE && files[i].process == p)
			close_file(&files[i]);
}

unsigned
files_count(const struct sim_process *p)
{
	unsigned count = 0;

	for (int i = 0; i < FILES_MAX; i++)
		count += files[i].kind != FILE_NONE && files[i].process == p;
	return count;
}
