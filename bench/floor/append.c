/*
 * append.c - bare append and fdatasync(2): the floor under deliveries.
 *
 *   append [--threads N] [--files N] [--size OCTETS] [--seconds S] DIRECTORY
 *
 * Each thread takes the files in turn, appends `size` octets at the end of one and syncs it.  A
 * file has one thread at a time, as a maildrop has one writer; nothing else of a mail server is
 * done.  Prints {"appends_per_s": ..., "cpu_us_per_append": ...}; CPU is that of this process.
 * The files are removed at the end.
 */
#include "bench/floor/files.h"

#include <getopt.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
	THREADS_MAX = 1024,
	SIZE_MAX_OCTETS = 64 << 20,
};

struct options {
	unsigned threads, files, size, seconds;
	const char *directory;
};

struct hand {
	pthread_t thread;
	unsigned number;
	uint64_t appends;
};

static struct options options = { .threads = 32, .files = 256, .size = 20 * 1024, .seconds = 2 };
static struct files files;
static char *octets;
static uint64_t deadline_ns;

static uint64_t
wall_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static double
cpu_us(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1e6 +
		(double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

static void *
append_and_sync(void *argument)
{
	struct hand *h = argument;
	unsigned at = h->number % options.files;

	while (wall_ns() < deadline_ns) {
		files_append(&files, at, octets, options.size);
		h->appends++;
		at = (at + options.threads) % options.files;
	}
	return NULL;
}

static void
measure(void)
{
	static struct hand hands[THREADS_MAX];
	double cpu = cpu_us();
	uint64_t start = wall_ns();
	uint64_t appends = 0;

	deadline_ns = start + (uint64_t)options.seconds * 1000000000;
	for (unsigned i = 0; i < options.threads; i++) {
		hands[i].number = i;
		must(pthread_create(&hands[i].thread, NULL, append_and_sync, &hands[i]) == 0);
	}
	for (unsigned i = 0; i < options.threads; i++) {
		pthread_join(hands[i].thread, NULL);
		appends += hands[i].appends;
	}
	start = wall_ns() - start;
	cpu = cpu_us() - cpu;
	printf("{\"appends_per_s\": %.1f, \"cpu_us_per_append\": %.2f}\n",
		(double)appends * 1e9 / (double)start, cpu / (double)appends);
}

static unsigned
number(const char *text, unsigned max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end != '\0' || value == 0 || value > max) {
		fprintf(stderr, "append: \"%s\": 1 to %u\n", text, max);
		exit(64);
	}
	return (unsigned)value;
}

int
main(int argc, char **argv)
{
	static const struct option words[] = {
		{ "threads", required_argument, NULL, 't' },
		{ "files", required_argument, NULL, 'f' },
		{ "size", required_argument, NULL, 's' },
		{ "seconds", required_argument, NULL, 'S' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", words, NULL)) != -1) {
		if (option == 't')
			options.threads = number(optarg, THREADS_MAX);
		else if (option == 'f')
			options.files = number(optarg, FILES_MAX);
		else if (option == 's')
			options.size = number(optarg, SIZE_MAX_OCTETS);
		else if (option == 'S')
			options.seconds = number(optarg, 3600);
		else
			return 64;
	}
	if (argc - optind != 1) {
		fprintf(stderr,
			"usage: append [--threads N] [--files N] [--size OCTETS] "
			"[--seconds S] DIRECTORY\n");
		return 64;
	}
	options.directory = argv[optind];
	octets = malloc(options.size);
	must(octets != NULL);
	memset(octets, 'x', options.size);
	files_open(&files, options.directory, options.files);
	measure();
	files_remove(&files);
	free(octets);
	return 0;
}
