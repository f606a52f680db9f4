/*
 * machine.c - what the kernel, the distribution and git say of themselves.
 */
#include "bench/load/machine.h"

#include <wolfssl/options.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <wolfssl/ssl.h>

/* What stands behind `key` and `mark` in the first line of `from` that begins so. */
static void
read_value(FILE *from, const char *key, char mark, char *value, size_t size)
{
	char line[256];

	if (from == NULL)
		return;
	while (fgets(line, sizeof(line), from) != NULL) {
		char *at = strncmp(line, key, strlen(key)) == 0 ? strchr(line, mark) : NULL;

		if (at == NULL)
			continue;
		at += 1 + strspn(at + 1, " \"");
		at[strcspn(at, "\"\n")] = '\0';
		snprintf(value, size, "%s", at);
		break;
	}
}

static void
read_file(const char *path, const char *key, char mark, char *value, size_t size)
{
	FILE *from = fopen(path, "re");

	read_value(from, key, mark, value, size);
	if (from != NULL)
		fclose(from);
}

static void
read_commit(char *commit, size_t size)
{
	FILE *from =
		popen("git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null", "re");

	if (from == NULL)
		return;
	if (fgets(commit, (int)size, from) == NULL)
		commit[0] = '\0';
	commit[strcspn(commit, "\n")] = '\0';
	pclose(from);
}

void
machine_read(struct machine *machine_out)
{
	struct machine m = { .compiler = __VERSION__, .wolfssl = wolfSSL_lib_version() };
	struct utsname kernel;
	time_t now = time(NULL);
	struct tm utc;

	snprintf(m.processor, sizeof(m.processor), "unknown processor");
	read_file("/proc/cpuinfo", "model name", ':', m.processor, sizeof(m.processor));
	read_file("/etc/os-release", "PRETTY_NAME", '=', m.system, sizeof(m.system));
	read_commit(m.commit, sizeof(m.commit));
	if (uname(&kernel) == 0)
		snprintf(m.kernel, sizeof(m.kernel), "%s %s", kernel.sysname, kernel.release);
	strftime(m.time, sizeof(m.time), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	m.cores = (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	m.memory_gb = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / (1 << 30);
	*machine_out = m;
}
