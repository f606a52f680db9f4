/*
 * logins.c - what it costs to know somebody: accounts loaded and looked up, last logins, cached
 * logins, hashes.
 *
 *   build/release/bench/micro/logins [ACCOUNTS [DIRECTORY]]     (1000000 accounts, in /tmp)
 *
 * Accounts come in random order, as from another server's dump; look-ups are at random over all of
 * them, with the file in the page cache.  One line for each figure.
 */
#include "core/auth/login_cache.h"
#include "core/auth/password.h"
#include "io/base/must.h"
#include "storage/accounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOOK_UPS      1000000u
#define CACHE_ROUNDS  1000000u
#define HASH_ROUNDS   20u
#define NOTES_AT_ONCE 1024u
#define SECRET        SPAN("a password")
#define HASH          "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$X3DX6M94c7o.9agCG9G317fhZg9SqC.5i5rd.RhAtQ7"

static double
now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A permutation of the 32-bit numbers (an odd factor, then a fold that can be undone). */
static uint32_t
scatter(uint32_t n)
{
	n *= 2654435761u;
	return n ^ n >> 15;
}

static size_t
put_address(uint32_t number, char to[ACCOUNT_ADDRESS_OCTETS_MAX + 1])
{
	return (size_t)snprintf(
		to, ACCOUNT_ADDRESS_OCTETS_MAX + 1, "user%08x@example.org", scatter(number));
}

struct source {
	uint32_t next, end;
};

static int
next_account(void *ctx, struct account *account_out)
{
	struct source *s = ctx;

	if (s->next == s->end)
		return 0;
	put_address(s->next++, account_out->address);
	strcpy(account_out->password_hash, HASH);
	account_out->enabled = true;
	account_out->read_only = false;
	account_out->quota_octets = 0;
	account_out->quota_messages = 0;
	return 1;
}

static void
time_load(struct accounts *a, const char *path, uint32_t count)
{
	struct source source = { .end = count };
	double start = now_s();
	struct stat st;
	uint64_t loaded;

	must(accounts_load(a, next_account, &source, &loaded) == 0 && loaded == count);
	must(stat(path, &st) == 0);
	printf("load: %u accounts in %.1f s, %.0f octets of file each\n", count, now_s() - start,
		(double)st.st_size / count);
}

/* The last login of each, in random order and in the batches of a shard. */
static void
time_last_logins(struct accounts *a, const char *path, uint32_t count)
{
	static struct login_note notes[NOTES_AT_ONCE];
	unsigned pending = 0;
	struct stat st;
	double start = now_s();

	for (uint32_t i = 0; i < count; i++) {
		struct login_note *note = &notes[pending++];
		size_t length = put_address(count - 1 - i, note->address);

		note->address[length] = '\0';
		note->at = 1000000000 + i;
		strcpy(note->peer, "2001:db8:1234:5678::9abc");
		strcpy(note->protocol, "pop3");
		if (pending == NOTES_AT_ONCE || i + 1 == count) {
			must(accounts_note_logins(a, notes, pending) == 0);
			pending = 0;
		}
	}
	must(stat(path, &st) == 0);
	printf("last logins of all: %.1f s, then %.0f octets of file for each account\n",
		now_s() - start, (double)st.st_size / count);
}

/* Seconds for LOOK_UPS random names, looked up where there is a reader. */
static double
look_up(struct accounts_reader *reader, uint32_t count)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct account account;
	uint32_t state = 1;
	double start = now_s();

	for (uint32_t i = 0; i < LOOK_UPS; i++) {
		size_t length;

		state = state * 1664525u + 1013904223u;
		length = put_address((uint32_t)((uint64_t)state * count >> 32), address);
		must(reader == NULL ||
			accounts_find(reader, span_of(address, length), &account) == 0);
	}
	return now_s() - start;
}

static void
time_look_ups(struct accounts *a, uint32_t count)
{
	struct accounts_reader *reader;
	double names = look_up(NULL, count);

	must(accounts_reader_open(a, &reader) == 0);
	look_up(reader, count); /* touches every page */
	printf("look-up: %.0f ns\n", (look_up(reader, count) - names) / LOOK_UPS * 1e9);
	accounts_reader_close(reader);
}

static void
time_cache(void)
{
	struct login_cache *cache;
	struct login_proof proof;
	unsigned found = 0;
	double start;

	must(login_cache_create(65536, 3600, &cache) == 0);
	must(login_cache_prove(
		     cache, SPAN("user00000000@example.org"), SECRET, SPAN(HASH), &proof) == 0);
	login_cache_add(cache, &proof, 0);
	start = now_s();
	for (unsigned i = 0; i < CACHE_ROUNDS; i++) {
		must(login_cache_prove(cache, SPAN("user00000000@example.org"), SECRET, SPAN(HASH),
			     &proof) == 0);
		found += login_cache_find(cache, &proof, i % 1000);
	}
	must(found == CACHE_ROUNDS);
	printf("cached login: %.0f ns\n", (now_s() - start) / CACHE_ROUNDS * 1e9);
	login_cache_destroy(cache);
}

static void
time_hash(const char *scheme)
{
	char hash[ACCOUNT_HASH_OCTETS_MAX + 1];
	double start;
	bool right;

	must(password_make(scheme, SECRET, hash) == 0);
	start = now_s();
	for (unsigned i = 0; i < HASH_ROUNDS; i++)
		must(password_verify(SECRET, hash, &right) == 0 && right);
	printf("%s: %.2f ms\n", scheme, (now_s() - start) / HASH_ROUNDS * 1e3);
}

int
main(int argc, char **argv)
{
	uint32_t count = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1000000;
	char directory[256], path[300], lock[310];
	struct accounts *a;

	snprintf(directory, sizeof(directory), "%s/ringpost-logins-XXXXXX",
		argc > 2 ? argv[2] : "/tmp");
	if (count == 0 || mkdtemp(directory) == NULL) {
		fprintf(stderr, "usage: logins [ACCOUNTS [DIRECTORY]]\n");
		return 64;
	}
	snprintf(path, sizeof(path), "%s/" ACCOUNTS_FILE, directory);
	snprintf(lock, sizeof(lock), "%s-lock", path);
	must(accounts_open(path, ACCOUNTS_WRITE, &a) == 0);
	time_load(a, path, count);
	time_look_ups(a, count);
	time_last_logins(a, path, count);
	accounts_close(a);
	must(unlink(path) == 0 && unlink(lock) == 0 && rmdir(directory) == 0);
	time_cache();
	time_hash("yescrypt");
	time_hash("sha512-crypt");
	time_hash("bcrypt");
	return 0;
}
