/*
 * source.c - what all kinds of sources share: growing lists, reports, reading files in pieces.
 */
#include "storage/convert/source.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define REPORT_OCTETS_MAX 1024u

int
source_init(struct source *s, const struct source_ops *ops, const struct source_options *options)
{
	size_t unused;

	*s = (struct source){ .ops = ops, .options = *options };
	s->buffer = malloc(SOURCE_BUFFER_OCTETS);
	if (s->buffer == NULL)
		return -ENOMEM;
	return source_add_string(s, SPAN(""), &unused);
}

void
source_release(struct source *s)
{
	free(s->messages);
	free(s->strings);
	free(s->buffer);
}

void
source_close(struct source *s)
{
	if (s != NULL)
		s->ops->close(s);
}

struct source_message *
source_add(struct source *s)
{
	if (s->count == s->room) {
		size_t room = s->room == 0 ? 256 : 2 * s->room;
		void *grown = reallocarray(s->messages, room, sizeof(*s->messages));

		if (grown == NULL)
			return NULL;
		s->messages = grown;
		s->room = room;
	}
	s->messages[s->count] = (struct source_message){ 0 };
	return &s->messages[s->count++];
}

int
source_add_string(struct source *s, struct span string, size_t *at_out)
{
	if (s->strings_room - s->strings_octets < string.length + 1) {
		size_t room = 2 * (s->strings_room + string.length + 1);
		char *grown = realloc(s->strings, room);

		if (grown == NULL)
			return -ENOMEM;
		s->strings = grown;
		s->strings_room = room;
	}
	*at_out = s->strings_octets;
	memcpy(s->strings + s->strings_octets, string.at, string.length);
	s->strings[s->strings_octets + string.length] = '\0';
	s->strings_octets += string.length + 1;
	return 0;
}

void
source_report(struct source *s, const char *format, ...)
{
	char text[REPORT_OCTETS_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	s->damaged++;
	if (s->options.report != NULL)
		s->options.report(s->options.ctx, text);
}

static int
unique_id_compare(const void *left, const void *right, void *ctx)
{
	const struct source *s = ctx;
	const struct source_message *const *a = left, *const *b = right;
	int order = strcmp(source_string(s, (*a)->unique_id), source_string(s, (*b)->unique_id));

	if (order != 0)
		return order;
	return *a < *b ? -1 : *a > *b;
}

int
source_drop_equal_unique_ids(struct source *s)
{
	struct source_message **sorted = calloc(s->count + 1, sizeof(*sorted));

	if (sorted == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < s->count; i++)
		sorted[i] = &s->messages[i];
	qsort_r(sorted, s->count, sizeof(struct source_message *), unique_id_compare, s);
	for (size_t i = s->count; i-- > 1;) {
		if (strcmp(source_string(s, sorted[i]->unique_id),
			    source_string(s, sorted[i - 1]->unique_id)) == 0)
			sorted[i]->unique_id = 0;
	}
	free(sorted);
	return 0;
}

int
source_read_file(struct source *s, int fd, uint64_t offset, uint64_t length, bool exact,
	source_put *put, void *ctx)
{
	while (length > 0) {
		size_t size = length < SOURCE_BUFFER_OCTETS ? (size_t)length : SOURCE_BUFFER_OCTETS;
		ssize_t n = pread(fd, s->buffer, size, (off_t)offset);
		int error;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			return exact ? -ENODATA : 0;
		error = put(ctx, span_of(s->buffer, (size_t)n));
		if (error != 0)
			return error;
		offset += (uint64_t)n;
		length -= (uint64_t)n;
	}
	return 0;
}
