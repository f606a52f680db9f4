/*
 * export_sink.h - what export.c and the formats it knows share, and nobody else.
 *
 * For each message: begin, put its text in pieces, then end, or drop where it proved damaged.  At
 * last finish, which makes it durable, or only close.
 */
#ifndef STORAGE_CONVERT_EXPORT_SINK_H
#define STORAGE_CONVERT_EXPORT_SINK_H

#include "storage/maildrop.h"

#include <sys/types.h>

struct export_message {
	const struct maildrop_entry *entry;
	uint32_t number;
	const char *unique_id;
	bool id_is_derived;
};

/* A file that is being written, through a buffer.  `fd` is -1 when there is none. */
struct export_file {
	int fd;
	uint64_t octets;
	char *buffer;
	size_t used;
	int error; /* the first one; all that follows is in vain */
};

struct export_sink {
	const struct export_sink_ops *ops;
	const struct maildrop *maildrop;
	bool to_lf;
	int directory; /* -1: none */
	const char *path;
	struct export_file file;
	void *own; /* of the format; freed by close */
};

struct export_sink_ops {
	int (*open)(struct export_sink *s);
	int (*begin)(struct export_sink *s, const struct export_message *m);
	int (*put)(void *sink, struct span text);
	int (*end)(struct export_sink *s, const struct export_message *m);
	int (*drop)(struct export_sink *s);
	int (*finish)(struct export_sink *s);
	void (*close)(struct export_sink *s);
};

extern const struct export_sink_ops export_maildir_ops, export_mbox_ops, export_eml_ops;

/* Make the directory s->path, or take an empty one: s->directory. */
int export_open_directory(struct export_sink *s);
/* A new file below s->directory (or at an absolute or relative path, with -1 there). */
int export_file_create(struct export_sink *s, const char *name);
int export_file_put(struct export_file *f, struct span text);
int export_file_put_string(struct export_file *f, const char *string);
int export_file_flush(struct export_file *f);
/* Flush, set the time of modification, close. */
int export_file_close(struct export_file *f, int64_t modified_at);
/* Close and forget what is in the buffer. */
void export_file_abandon(struct export_file *f);

/* The plain way to put text: into the file. */
int export_put_to_file(void *sink, struct span text);

#endif
