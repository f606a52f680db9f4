/*
 * export_eml.c - one file for each message, named so that they sort by number.
 *
 * The unique-id in the name is written with %XX for all that is special somewhere.
 */
#include "storage/convert/export_sink.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#define NAME_OCTETS_MAX (16u + 3 * MAILDROP_UNIQUE_ID_MAX)
#define BEING_WRITTEN   "ringpost-export.part"

static void
put_name(const struct export_message *m, char to[NAME_OCTETS_MAX])
{
	size_t length = (size_t)snprintf(to, NAME_OCTETS_MAX, "%06" PRIu32 "-", m->number);

	for (const char *c = m->unique_id; *c != '\0'; c++) {
		bool plain = isalnum((unsigned char)*c) || strchr("._-+=@", *c) != NULL;

		length += (size_t)snprintf(to + length, NAME_OCTETS_MAX - length,
			plain ? "%c" : "%%%02X", (unsigned char)*c);
	}
	snprintf(to + length, NAME_OCTETS_MAX - length, ".eml");
}

static int
eml_begin(struct export_sink *s, const struct export_message *m)
{
	(void)m;
	return export_file_create(s, BEING_WRITTEN);
}

static int
eml_end(struct export_sink *s, const struct export_message *m)
{
	char name[NAME_OCTETS_MAX];
	int error = export_file_close(&s->file, m->entry->arrived_at);

	put_name(m, name);
	if (error == 0 && renameat(s->directory, BEING_WRITTEN, s->directory, name) != 0)
		error = -errno;
	return s->file.error = error;
}

static int
eml_drop(struct export_sink *s)
{
	export_file_abandon(&s->file);
	return unlinkat(s->directory, BEING_WRITTEN, 0) == 0 ? 0 : -errno;
}

static int
eml_finish(struct export_sink *s)
{
	return syncfs(s->directory) == 0 ? 0 : -errno;
}

static void
eml_close(struct export_sink *s)
{
	(void)s; /* nothing of its own */
}

const struct export_sink_ops export_eml_ops = {
	.open = export_open_directory,
	.begin = eml_begin,
	.put = export_put_to_file,
	.end = eml_end,
	.drop = eml_drop,
	.finish = eml_finish,
	.close = eml_close,
};
