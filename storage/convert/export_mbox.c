/*
 * export_mbox.c - one mbox file.
 *
 * It is written beside its place, "<path>.part", and renamed when it is whole.  A message that
 * proves damaged is cut off again.  The From_ line and the X-UIDL line behind it are the mailbox's
 * own; an import takes them away.
 */
#include "storage/convert/export_sink.h"
#include "storage/convert/mbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct mbox_out {
	struct mbox_quoter quoter;
	uint64_t message_start;
	char part[PATH_MAX];
};

static int
mbox_open(struct export_sink *s)
{
	struct mbox_out *out = calloc(1, sizeof(*out));

	if (out == NULL)
		return -ENOMEM;
	s->own = out;
	if (access(s->path, F_OK) == 0)
		return -EEXIST;
	if (snprintf(out->part, sizeof(out->part), "%s.part", s->path) >= (int)sizeof(out->part))
		return -ENAMETOOLONG;
	unlink(out->part); /* of an export that was broken off */
	return export_file_create(s, out->part);
}

static int
put_line_end(struct export_sink *s)
{
	return export_file_put_string(&s->file, s->to_lf ? "\n" : "\r\n");
}

static int
mbox_begin(struct export_sink *s, const struct export_message *m)
{
	struct mbox_out *out = s->own;
	char from[MBOX_FROM_LINE_PUT];
	size_t length = mbox_put_from_line(m->entry->arrived_at, from);

	out->message_start = s->file.octets;
	mbox_quoter_init(&out->quoter, MBOX_QUOTE);
	export_file_put(&s->file, span_of(from, length - 1));
	put_line_end(s);
	export_file_put_string(&s->file, "X-UIDL: ");
	export_file_put_string(&s->file, m->unique_id);
	return put_line_end(s);
}

static int
mbox_put(void *sink, struct span text)
{
	struct export_sink *s = sink;
	struct mbox_out *out = s->own;

	return mbox_quote(&out->quoter, text, export_put_to_file, s);
}

static int
mbox_end(struct export_sink *s, const struct export_message *m)
{
	struct mbox_out *out = s->own;

	(void)m;
	mbox_quote_end(&out->quoter, export_put_to_file, s);
	return put_line_end(s); /* the blank line that separates */
}

static int
mbox_drop(struct export_sink *s)
{
	struct mbox_out *out = s->own;
	int error = export_file_flush(&s->file);

	if (error != 0)
		return error;
	if (ftruncate(s->file.fd, (off_t)out->message_start) != 0 ||
		lseek(s->file.fd, (off_t)out->message_start, SEEK_SET) < 0)
		return -errno;
	s->file.octets = out->message_start;
	return 0;
}

static int
mbox_finish(struct export_sink *s)
{
	struct mbox_out *out = s->own;
	int error = export_file_flush(&s->file);

	if (error == 0 && fsync(s->file.fd) != 0)
		error = -errno;
	if (error == 0 && renameat2(AT_FDCWD, out->part, AT_FDCWD, s->path, RENAME_NOREPLACE) != 0)
		error = -errno;
	return error;
}

static void
mbox_close(struct export_sink *s)
{
	free(s->own);
}

const struct export_sink_ops export_mbox_ops = {
	.open = mbox_open,
	.begin = mbox_begin,
	.put = mbox_put,
	.end = mbox_end,
	.drop = mbox_drop,
	.finish = mbox_finish,
	.close = mbox_close,
};
