/*
 * report_html.c - one page with charts: page.html with the JSON of the run put in its place.
 *
 * bench/report fills the same page with many runs.
 */
#include "bench/load/report.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The page as it stands in the source; the assembler finds it from the root, as all includes do. */
__asm__(".pushsection .rodata\n"
	".globl bench_page\n"
	".globl bench_page_end\n"
	"bench_page:\n"
	".incbin \"bench/load/page.html\"\n"
	"bench_page_end:\n"
	".byte 0\n"
	".popsection\n");

extern const char bench_page[], bench_page_end[];

static const char place[] = "/*REPORT*/null";

/* JSON within a script element: "</" would end it. */
static void
put_json(FILE *to, const char *json)
{
	for (; *json != '\0'; json++) {
		if (json[0] == '<')
			fputs("\\u003c", to);
		else
			fputc(*json, to);
	}
}

int
report_write_html(const struct report *r, const char *path)
{
	const char *at = strstr(bench_page, place);
	char *json = report_to_json(r);
	FILE *to;
	int error = 0;

	if (json == NULL || at == NULL) {
		free(json);
		return -ENOMEM;
	}
	to = fopen(path, "we");
	if (to == NULL) {
		free(json);
		return -errno;
	}
	fwrite(bench_page, 1, (size_t)(at - bench_page), to);
	fputs("{\"runs\":[", to);
	put_json(to, json);
	fputs("]}", to);
	at += sizeof(place) - 1;
	fwrite(at, 1, (size_t)(bench_page_end - at), to);
	if (ferror(to))
		error = -EIO;
	if (fclose(to) != 0 && error == 0)
		error = -errno;
	free(json);
	return error;
}
