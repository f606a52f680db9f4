/*
 * fill.c - puts messages into a maildrop: fill SPOOL ADDRESS < MESSAGES
 *
 * MESSAGES is a run of "<octets>\n" and that many octets each.  All of them are one commit, as one
 * delivery would be; works while servers run.  Prints how many were put.  For tests, which must not
 * lean on import to prove the rest.
 */
#include "io/base/must.h"
#include "storage/layout.h"
#include "storage/maildrop.h"

#include <stdio.h>
#include <stdlib.h>

#define FIRST_ARRIVED_AT 1000000000

/* One message from stdin; false at the end. */
static bool
read_message(char **text_out, size_t *octets_out)
{
	if (scanf("%zu", octets_out) != 1 || getchar() != '\n')
		return false;
	*text_out = malloc(*octets_out + 1);
	must(*text_out != NULL);
	must(fread(*text_out, 1, *octets_out, stdin) == *octets_out);
	return true;
}

static int
put_all(struct maildrop_writer *w, unsigned *count_out)
{
	char *text;
	size_t octets;
	int error = 0;

	while (error == 0 && read_message(&text, &octets)) {
		const struct maildrop_delivery delivery = {
			.arrived_at = FIRST_ARRIVED_AT + *count_out,
		};
		uint32_t uid;

		error = maildrop_writer_begin(w, &delivery);
		if (error == 0)
			error = maildrop_writer_text(w, span_of(text, octets));
		if (error == 0)
			error = maildrop_writer_end(w, &uid);
		free(text);
		(*count_out)++;
	}
	return error != 0 ? error : maildrop_writer_commit(w);
}

int
main(int argc, char **argv)
{
	const struct maildrop_options options = { .lock_timeout_ms = 30000, .sync = true };
	struct disk disk;
	struct maildrop_writer *w;
	unsigned count = 0;
	int error;

	must(argc == 3);
	error = disk_open_root(argv[1], true, &disk);
	if (error == 0)
		error = maildrop_writer_open(&disk, argv[2], &options, 0, &w);
	if (error == 0) {
		error = put_all(w, &count);
		maildrop_writer_close(w);
	}
	if (error != 0) {
		fprintf(stderr, "fill: %s\n", strerror(-error));
		return 1;
	}
	printf("%u\n", count);
	disk_close_root(&disk);
	return 0;
}
