/*
 * export_maildir.c - a Maildir with the uid list that Dovecot reads.
 *
 * A message is written in tmp/ and moved to cur/ when it is whole.  Its base name,
 *
 *     <arrival>.U<uid>V<uid-validity>.ringpost,S=<octets of the file>,W=<octets with CRLF>
 *
 * is unique for ever, because uid and uid-validity are; S and W are Dovecot's, which then need not
 * open the file to know its sizes.
 */
#include "storage/convert/export_sink.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_OCTETS_MAX 160u
#define BEING_WRITTEN   "tmp/ringpost-export"
#define UIDLIST         "dovecot-uidlist"

struct uidlist_text {
	char *octets;
	size_t used;
	FILE *stream;
};

static int
maildir_open(struct export_sink *s)
{
	const struct maildrop *m = s->maildrop;
	struct uidlist_text *list;
	int error = export_open_directory(s);

	if (error != 0)
		return error;
	if (mkdirat(s->directory, "cur", 0700) != 0 || mkdirat(s->directory, "new", 0700) != 0 ||
		mkdirat(s->directory, "tmp", 0700) != 0)
		return -errno;
	list = calloc(1, sizeof(*list));
	if (list == NULL)
		return -ENOMEM;
	s->own = list;
	list->stream = open_memstream(&list->octets, &list->used);
	if (list->stream == NULL)
		return -ENOMEM;
	fprintf(list->stream, "3 V%" PRIu32 " N%" PRIu32 " G", m->uid_validity, m->next_uid);
	for (size_t i = 0; i < sizeof(m->generation); i++)
		fprintf(list->stream, "%02x", m->generation[i]);
	fputc('\n', list->stream);
	return 0;
}

static int
maildir_begin(struct export_sink *s, const struct export_message *m)
{
	(void)m;
	return export_file_create(s, BEING_WRITTEN);
}

static int
maildir_end(struct export_sink *s, const struct export_message *m)
{
	struct uidlist_text *list = s->own;
	const struct maildrop_entry *e = m->entry;
	char name[NAME_OCTETS_MAX], path[NAME_OCTETS_MAX + 16];
	int error;

	snprintf(name, sizeof(name),
		"%" PRId64 ".U%" PRIu32 "V%" PRIu32 ".ringpost,S=%" PRIu64 ",W=%" PRIu32,
		e->arrived_at > 0 ? e->arrived_at : 0, e->uid, s->maildrop->uid_validity,
		s->file.octets, e->octets);
	snprintf(path, sizeof(path), "cur/%s:2,", name);
	error = export_file_close(&s->file, e->arrived_at);
	if (error != 0)
		return s->file.error = error;
	if (renameat(s->directory, BEING_WRITTEN, s->directory, path) != 0)
		return s->file.error = -errno;
	fprintf(list->stream, "%" PRIu32 " ", e->uid);
	if (!m->id_is_derived)
		fprintf(list->stream, "P%s ", m->unique_id);
	fprintf(list->stream, ":%s\n", name);
	return 0;
}

static int
maildir_drop(struct export_sink *s)
{
	export_file_abandon(&s->file);
	return unlinkat(s->directory, BEING_WRITTEN, 0) == 0 ? 0 : -errno;
}

static int
maildir_finish(struct export_sink *s)
{
	struct uidlist_text *list = s->own;
	int error;

	if (fflush(list->stream) != 0)
		return -ENOMEM;
	if (s->maildrop->uid_validity == 0)
		return 0; /* there never was a maildrop */
	error = export_file_create(s, UIDLIST);
	if (error == 0)
		error = export_file_put(&s->file, span_of(list->octets, list->used));
	if (error == 0)
		error = export_file_flush(&s->file);
	export_file_abandon(&s->file);
	if (error == 0 && syncfs(s->directory) != 0)
		error = -errno;
	return error;
}

static void
maildir_close(struct export_sink *s)
{
	struct uidlist_text *list = s->own;

	if (list == NULL)
		return;
	if (list->stream != NULL)
		fclose(list->stream);
	free(list->octets);
	free(list);
}

const struct export_sink_ops export_maildir_ops = {
	.open = maildir_open,
	.begin = maildir_begin,
	.put = export_put_to_file,
	.end = maildir_end,
	.drop = maildir_drop,
	.finish = maildir_finish,
	.close = maildir_close,
};
