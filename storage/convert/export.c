/*
 * export.c - goes through a snapshot and gives each message to the format's sink.
 */
#include "storage/convert/export.h"

#include "storage/convert/export_sink.h"
#include "storage/convert/message_read.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <dirent.h>

#define BUFFER_OCTETS  262144u
#define PROGRESS_EACH  64u
#define FILE_MODE      0600
#define DIRECTORY_MODE 0700

static bool
directory_is_empty(int fd)
{
	struct dirent *entry;
	bool empty = true;
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = copy < 0 ? NULL : fdopendir(copy);

	if (directory == NULL) {
		if (copy >= 0)
			close(copy);
		return false;
	}
	while (empty && (entry = readdir(directory)) != NULL)
		empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
	closedir(directory);
	return empty;
}

int
export_open_directory(struct export_sink *s)
{
	if (mkdir(s->path, DIRECTORY_MODE) != 0 && errno != EEXIST)
		return -errno;
	s->directory = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->directory < 0)
		return -errno;
	return directory_is_empty(s->directory) ? 0 : -ENOTEMPTY;
}

int
export_file_create(struct export_sink *s, const char *name)
{
	struct export_file *f = &s->file;

	f->fd = openat(s->directory >= 0 ? s->directory : AT_FDCWD, name,
		O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, FILE_MODE);
	if (f->fd < 0)
		return -errno;
	f->octets = 0;
	f->used = 0;
	f->error = 0;
	return 0;
}

int
export_file_flush(struct export_file *f)
{
	size_t done = 0;

	while (f->error == 0 && done < f->used) {
		ssize_t n = write(f->fd, f->buffer + done, f->used - done);

		if (n < 0 && errno != EINTR)
			f->error = -errno;
		if (n > 0)
			done += (size_t)n;
	}
	f->used = 0;
	return f->error;
}

int
export_file_put(struct export_file *f, struct span text)
{
	while (f->error == 0 && text.length > 0) {
		size_t room = BUFFER_OCTETS - f->used;
		size_t length = text.length < room ? text.length : room;

		memcpy(f->buffer + f->used, text.at, length);
		f->used += length;
		f->octets += length;
		text = span_after(text, length);
		if (f->used == BUFFER_OCTETS)
			export_file_flush(f);
	}
	return f->error;
}

int
export_file_put_string(struct export_file *f, const char *string)
{
	return export_file_put(f, span_of_string(string));
}

void
export_file_abandon(struct export_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
	f->used = 0;
}

int
export_file_close(struct export_file *f, int64_t modified_at)
{
	struct timespec times[2] = { { .tv_sec = modified_at }, { .tv_sec = modified_at } };
	int error = export_file_flush(f);

	if (error == 0 && futimens(f->fd, times) != 0)
		error = -errno;
	export_file_abandon(f);
	return error;
}

int
export_put_to_file(void *sink, struct span text)
{
	struct export_sink *s = sink;

	return export_file_put(&s->file, text);
}

struct run {
	const struct disk *disk;
	struct export_sink sink;
	const struct export_options *options;
	struct export_counts *counts;
};

static void
report(struct run *r, const struct export_message *m, int error)
{
	char text[192];

	r->counts->damaged++;
	if (r->options->report == NULL)
		return;
	snprintf(text, sizeof(text),
		"message %" PRIu32 " (uid %" PRIu32 ", unique-id %s): %s, left out", m->number,
		m->entry->uid, m->unique_id,
		error == -EBADMSG ? "its checksum is wrong" : strerror(-error));
	r->options->report(r->options->ctx, text);
}

/* 0, or an error of the destination. */
static int
export_message(struct run *r, const struct export_message *m)
{
	struct export_sink *s = &r->sink;
	int error = s->ops->begin(s, m);

	if (error != 0)
		return error;
	error = message_read(r->disk, s->maildrop, m->entry, s->to_lf ? MESSAGE_LF : MESSAGE_CRLF,
		s->ops->put, s);
	if (error == 0)
		error = s->ops->end(s, m);
	if (error == 0) {
		r->counts->written++;
		r->counts->octets += m->entry->octets;
		return 0;
	}
	if (s->file.error != 0 || (error != -EBADMSG && error != -EIO))
		return error;
	report(r, m, error);
	return s->ops->drop(s);
}

static int
export_messages(struct run *r)
{
	const struct maildrop *maildrop = r->sink.maildrop;
	char id[MAILDROP_UNIQUE_ID_MAX + 1];
	uint64_t octets = 0;
	uint32_t told = 0;
	int error = 0;

	for (uint32_t i = 0; error == 0 && i < maildrop->count; i++) {
		const struct maildrop_entry *entry = &maildrop->entries[i];
		struct export_message m = {
			.entry = entry,
			.number = i + 1,
			.unique_id = id,
			.id_is_derived = entry->unique_id == 0,
		};

		id[maildrop_unique_id(maildrop, entry, id)] = '\0';
		error = export_message(r, &m);
		octets += entry->octets;
		if (r->options->progress != NULL &&
			(i + 1 - told == PROGRESS_EACH || i + 1 == maildrop->count)) {
			r->options->progress(r->options->ctx, i + 1 - told, octets);
			told = i + 1;
			octets = 0;
		}
	}
	return error;
}

int
export_maildrop(const struct disk *d, const struct maildrop *m, enum export_format format,
	const char *path, const struct export_options *options, struct export_counts *counts_out)
{
	static const struct export_sink_ops *const formats[] = {
		[EXPORT_MAILDIR] = &export_maildir_ops,
		[EXPORT_MBOX] = &export_mbox_ops,
		[EXPORT_EML] = &export_eml_ops,
	};
	struct run r = {
		.disk = d,
		.sink = { .ops = formats[format],
			.maildrop = m,
			.to_lf = options->line_ends == EXPORT_LF ||
				(options->line_ends == EXPORT_USUAL && format != EXPORT_EML),
			.directory = -1,
			.path = path,
			.file.fd = -1 },
		.options = options,
		.counts = counts_out,
	};
	int error;

	*counts_out = (struct export_counts){ 0 };
	r.sink.file.buffer = malloc(BUFFER_OCTETS);
	if (r.sink.file.buffer == NULL)
		return -ENOMEM;
	error = r.sink.ops->open(&r.sink);
	if (error == 0)
		error = export_messages(&r);
	if (error == 0)
		error = r.sink.ops->finish(&r.sink);
	r.sink.ops->close(&r.sink);
	export_file_abandon(&r.sink.file);
	if (r.sink.directory >= 0)
		close(r.sink.directory);
	free(r.sink.file.buffer);
	return error;
}
