/*
 * metric.c - see metric.h.
 */
#include "io/base/metric.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

static void
write_head(const struct metric *row, FILE *to)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", row->name, row->help, row->name,
		row->kind == METRIC_COUNTER ? "counter" : "gauge");
}

static void
write_sample(const struct metric *row, const char *more, uint64_t value, FILE *to)
{
	bool both = more != NULL && row->labels != NULL;

	fputs(row->name, to);
	if (more != NULL || row->labels != NULL)
		fprintf(to, "{%s%s%s}", more != NULL ? more : "", both ? "," : "",
			row->labels != NULL ? row->labels : "");
	fprintf(to, " %" PRIu64 "\n", value);
}

static bool
have_same_labels(const struct metric_instance *a, const struct metric_instance *b)
{
	if (a->labels == NULL || b->labels == NULL)
		return a->labels == b->labels;
	return strcmp(a->labels, b->labels) == 0;
}

static void
write_row(const struct metric *row, const struct metric_instance *instances, size_t count, FILE *to)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		const char *base = instances[i].base;

		sum += count_read((const struct count *)(base + row->offset));
		if (i + 1 < count && have_same_labels(&instances[i], &instances[i + 1]))
			continue;
		write_sample(row, instances[i].labels, sum, to);
		sum = 0;
	}
}

void
metrics_write(const struct metric *rows, size_t row_count, const struct metric_instance *instances,
	size_t instance_count, FILE *to)
{
	for (size_t r = 0; r < row_count; r++) {
		if (r == 0 || strcmp(rows[r].name, rows[r - 1].name) != 0)
			write_head(&rows[r], to);
		write_row(&rows[r], instances, instance_count, to);
	}
}

void
metric_write_value(const struct metric *row, uint64_t value, FILE *to)
{
	if (row->help != NULL)
		write_head(row, to);
	write_sample(row, NULL, value, to);
}

void
metric_write_escaped(const char *text, FILE *to)
{
	for (; *text != '\0'; text++) {
		if (*text == '\n') {
			fputs("\\n", to);
			continue;
		}
		if (*text == '"' || *text == '\\')
			putc('\\', to);
		putc(*text, to);
	}
}
