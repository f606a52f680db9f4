/*
 * maildir.c - a Maildir as a source: one file for each message in cur/ and new/.
 *
 * A file's name is "<time>.<unique>.<host>", behind ":2," its flags.  The base name, all before the
 * ":", is unique for ever and stays when the server moves the file from new/ to cur/ or changes
 * flags; that may happen while we read, so a file that has gone from its place is looked for again.
 *
 * Order and unique-ids are those that POP3 clients saw at the server that kept the Maildir:
 * Dovecot's where there is a dovecot-uidlist (files with an O field, then by uid), else time and
 * name, with the ids of courierpop3dsizelist where there is one.  Files that no list knows come
 * last.
 *
 * The message arrived at the time in its file's name, or else when the file was last modified.
 */
#include "storage/convert/source.h"

#include "io/base/must.h"
#include "storage/convert/uidlist.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/sha256.h>

/* Numbers beyond these at the start of a name are something else than seconds since 1970. */
#define NAME_TIME_MIN   100000000u
#define NAME_TIME_MAX   253402300799u /* the end of year 9999 */

#define LIST_OCTETS_MAX (UINT64_C(1) << 31)

struct maildir {
	struct source source;
	int fd;
	struct maildir_file *files;
	size_t files_room;
};

/* What decides on the order of a file, beside its message. */
struct maildir_file {
	struct source_message message; /* place: its path in the Maildir, in strings */
	uint32_t rank;                 /* RANK_... */
	uint64_t key;                  /* within the rank */
};

enum {
	RANK_ORDERED, /* by O field */
	RANK_LISTED,  /* by uid */
	RANK_OTHERS,  /* by time and name */
};

static struct span
base_name_of(const struct source *s, const struct source_message *m)
{
	const char *path = source_string(s, m->place);

	return maildir_base_name(span_of_string(path + strlen("cur/")));
}

static int64_t
arrival_time(struct span base_name, const struct stat *st)
{
	const char *dot = memchr(base_name.at, '.', base_name.length);
	uint64_t seconds;

	if (dot != NULL &&
		span_to_u64(span_of(base_name.at, (size_t)(dot - base_name.at)), NAME_TIME_MAX,
			&seconds) &&
		seconds >= NAME_TIME_MIN)
		return (int64_t)seconds;
	return st->st_mtime;
}

static void
digest_file(struct span base_name, uint64_t octets, uint8_t digest[SOURCE_DIGEST_OCTETS])
{
	uint8_t hash[WC_SHA256_DIGEST_SIZE];
	wc_Sha256 sha;

	wc_InitSha256(&sha);
	wc_Sha256Update(&sha, (const byte *)"maildir", 7);
	wc_Sha256Update(&sha, (const byte *)&octets, sizeof(octets));
	wc_Sha256Update(&sha, (const byte *)base_name.at, (word32)base_name.length);
	wc_Sha256Final(&sha, hash);
	wc_Sha256Free(&sha);
	memcpy(digest, hash, SOURCE_DIGEST_OCTETS);
}

static int
give_unique_id(struct maildir *m, const struct uidlist *list, struct span base_name,
	struct maildir_file *file)
{
	const struct uidlist_entry *entry = uidlist_find(list, base_name);
	char id[MAILDROP_UNIQUE_ID_MAX + 1];

	if (entry == NULL)
		return 0;
	if (list->kind == UIDLIST_DOVECOT) {
		file->rank = entry->order > 0 ? RANK_ORDERED : RANK_LISTED;
		file->key = entry->order > 0 ? entry->order : entry->uid;
		file->message.uid = (uint32_t)entry->uid;
	}
	if (!uidlist_unique_id(list, entry, id))
		return 0;
	return source_add_string(&m->source, span_of_string(id), &file->message.unique_id);
}

static int
add_file(struct maildir *m, const struct uidlist *list, const char *path)
{
	struct span base_name = maildir_base_name(span_of_string(path + strlen("cur/")));
	struct maildir_file *file;
	struct stat st;

	if (fstatat(m->fd, path, &st, 0) != 0 || !S_ISREG(st.st_mode)) {
		source_report(&m->source, "%s: %s, left out", path,
			errno != 0 ? strerror(errno) : "not a regular file");
		return 0;
	}
	if (m->source.count == m->files_room) {
		size_t room = m->files_room == 0 ? 256 : 2 * m->files_room;
		void *grown = reallocarray(m->files, room, sizeof(*m->files));

		if (grown == NULL)
			return -ENOMEM;
		m->files = grown;
		m->files_room = room;
	}
	file = &m->files[m->source.count++];
	*file = (struct maildir_file){
		.rank = RANK_OTHERS,
		.message = { .octets = (uint64_t)st.st_size,
			.arrived_at = arrival_time(base_name, &st) },
	};
	file->key = (uint64_t)file->message.arrived_at;
	digest_file(base_name, file->message.octets, file->message.identity.digest);
	return source_add_string(&m->source, span_of_string(path), &file->message.place) != 0
		? -ENOMEM
		: give_unique_id(m, list, base_name, file);
}

static DIR *
open_directory(struct maildir *m, const char *name)
{
	int fd = openat(m->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);

	if (directory == NULL && fd >= 0)
		close(fd);
	return directory;
}

static int
add_directory(struct maildir *m, const struct uidlist *list, const char *name)
{
	char path[4 + NAME_MAX + 1];
	struct dirent *entry;
	DIR *directory = open_directory(m, name);
	int error = 0;

	if (directory == NULL)
		return -errno;
	while (error == 0 && (errno = 0, entry = readdir(directory)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", name, entry->d_name);
		errno = 0;
		error = add_file(m, list, path);
	}
	if (error == 0)
		error = -errno;
	closedir(directory);
	return error;
}

static int
compare_base_names(struct span a, struct span b)
{
	size_t shorter = a.length < b.length ? a.length : b.length;
	int order = memcmp(a.at, b.at, shorter);

	if (order != 0)
		return order;
	return a.length < b.length ? -1 : a.length > b.length;
}

static int
file_compare(const void *left, const void *right, void *ctx)
{
	const struct maildir_file *a = left, *b = right;
	const struct source *s = ctx;

	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->rank == RANK_OTHERS && a->message.arrived_at != b->message.arrived_at)
		return a->message.arrived_at < b->message.arrived_at ? -1 : 1;
	if (a->rank != RANK_OTHERS && a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return compare_base_names(base_name_of(s, &a->message), base_name_of(s, &b->message));
}

/* Also sees that the next uid is above them, whatever the list said. */
static bool
uids_ascend(struct source *s)
{
	uint32_t last = 0;

	for (size_t i = 0; i < s->count; i++) {
		if (s->messages[i].uid != 0 && s->messages[i].uid <= last)
			return false;
		if (s->messages[i].uid != 0)
			last = s->messages[i].uid;
	}
	if (s->next_uid <= last)
		s->next_uid = last + 1;
	return true;
}

/* Where the order of messages is not that of their uids (O fields), a maildrop, whose order is that
 * of its uids, cannot keep them.  The unique-ids that were made of them it keeps as strings. */
static void
forget_uids(struct source *s)
{
	for (size_t i = 0; i < s->count; i++)
		s->messages[i].uid = 0;
	s->uid_validity = 0;
	s->next_uid = 0;
}

/* Put the files in order.  One that was moved while the directories were read was seen twice. */
static int
sort_files(struct maildir *m)
{
	struct source *s = &m->source;
	size_t count = s->count;

	if (count > 0)
		qsort_r(m->files, count, sizeof(*m->files), file_compare, s);
	s->count = 0;
	for (size_t i = 0; i < count; i++) {
		const struct source_message *file = &m->files[i].message;
		struct source_message *added;

		if (s->count > 0 &&
			memcmp(&s->messages[s->count - 1].identity, &file->identity,
				sizeof(file->identity)) == 0)
			continue;
		added = source_add(s);
		if (added == NULL)
			return -ENOMEM;
		*added = *file;
		s->octets += file->octets;
	}
	free(m->files);
	m->files = NULL;
	if (!uids_ascend(s))
		forget_uids(s);
	return source_drop_equal_unique_ids(s);
}

static int
read_whole_file(int fd, char **text_out, size_t *octets_out)
{
	struct stat st;
	size_t octets = 0;
	char *text;

	if (fstat(fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > LIST_OCTETS_MAX)
		return -EBADMSG;
	text = malloc((size_t)st.st_size + 1);
	if (text == NULL)
		return -ENOMEM;
	while (octets < (size_t)st.st_size) {
		ssize_t n = pread(fd, text + octets, (size_t)st.st_size - octets, (off_t)octets);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = -errno;

			free(text);
			return error;
		}
		if (n == 0)
			break;
		octets += (size_t)n;
	}
	*text_out = text;
	*octets_out = octets;
	return 0;
}

/* *text_out is what the list borrows; NULL, with a list of nothing, where there is no such file. */
static int
read_list(struct maildir *m, enum uidlist_kind kind, const char *name, struct uidlist *list_out,
	char **text_out)
{
	char *text = NULL;
	size_t octets = 0;
	int error;
	int fd = openat(m->fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT)
		return 0;
	error = fd < 0 ? -errno : read_whole_file(fd, &text, &octets);
	if (fd >= 0)
		close(fd);
	if (error == 0)
		error = uidlist_parse(kind, span_of(text, octets), list_out);
	if (error != 0) {
		source_report(&m->source, "%s: %s; the unique-ids would be lost", name,
			error == -EBADMSG || error == -EPROTONOSUPPORT
				? "its first line is not of a known form"
				: strerror(-error));
		free(text);
		return error == -ENOMEM ? error : -EBADMSG;
	}
	if (list_out->bad_lines > 0)
		source_report(&m->source,
			"%s: %zu lines are damaged; their files get new unique-ids", name,
			list_out->bad_lines);
	*text_out = text;
	return 0;
}

static int
read_lists(struct maildir *m, struct uidlist *list_out, char **text_out)
{
	int error = read_list(m, UIDLIST_DOVECOT, "dovecot-uidlist", list_out, text_out);

	if (error == 0 && *text_out == NULL)
		error = read_list(m, UIDLIST_COURIER, "courierpop3dsizelist", list_out, text_out);
	return error;
}

static int
maildir_load(struct maildir *m)
{
	struct uidlist list = { .kind = UIDLIST_NONE };
	char *text = NULL;
	int error = 0, error_new;

	if (!m->source.options.new_unique_ids)
		error = read_lists(m, &list, &text);
	if (error == 0) {
		m->source.uid_validity = list.uid_validity;
		m->source.next_uid = list.next_uid;
		/* new/ first: a file that moves meanwhile is then seen twice rather than never. */
		error_new = add_directory(m, &list, "new");
		error = add_directory(m, &list, "cur");
		if (error == -ENOENT && error_new == -ENOENT)
			error = -EBADMSG;
		else if (error == 0 || error == -ENOENT)
			error = error_new == -ENOENT ? 0 : error_new;
	}
	uidlist_free(&list);
	free(text);
	return error != 0 ? error : sort_files(m);
}

/* The path that a file has now: its flags may have changed, or it was moved to cur/. */
static int
find_again(struct maildir *m, struct span base_name, char path[4 + NAME_MAX + 1])
{
	struct dirent *entry;
	bool found = false;
	DIR *directory = open_directory(m, "cur");

	if (directory == NULL)
		return -errno;
	while (!found && (entry = readdir(directory)) != NULL) {
		found = span_equals(maildir_base_name(span_of_string(entry->d_name)), base_name);
		if (found)
			snprintf(path, 4 + NAME_MAX + 1, "cur/%s", entry->d_name);
	}
	closedir(directory);
	return found ? 0 : -ENOENT;
}

/* Dovecot's plugins store messages compressed (gzip, bzip2, xz, lz4, zstd) or encrypted, under
 * names that need not say so.  No message begins like that. */
static bool
is_packed(int fd)
{
	static const struct span beginnings[] = {
		{ "\x1f\x8b", 2 },
		{ "\xfd\x37zXZ", 5 },
		{ "Dovecot-LZ4", 11 },
		{ "\x28\xb5\x2f\xfd", 4 },
		{ "CRYPTED\x03\x07", 9 },
	};
	char start[16];
	ssize_t octets = pread(fd, start, sizeof(start), 0);

	for (size_t i = 0; i < array_count(beginnings); i++) {
		if (octets >= (ssize_t)beginnings[i].length &&
			memcmp(start, beginnings[i].at, beginnings[i].length) == 0)
			return true;
	}
	/* bzip2: "BZh", a digit, and the first octets of pi */
	return octets >= 10 && memcmp(start, "BZh", 3) == 0 && memcmp(start + 4, "1AY&SY", 6) == 0;
}

static int
maildir_read(struct source *s, size_t index, source_put *put, void *ctx)
{
	struct maildir *m = container_of(s, struct maildir, source);
	const struct source_message *message = &s->messages[index];
	char path[4 + NAME_MAX + 1];
	int error;
	int fd = openat(m->fd, source_string(s, message->place),
		O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && find_again(m, base_name_of(s, message), path) == 0)
		fd = openat(m->fd, path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	error = is_packed(fd) ? -ENOTSUP : source_read_file(s, fd, 0, UINT64_MAX, false, put, ctx);
	close(fd);
	return error;
}

static void
maildir_describe(const struct source *s, size_t index, char *to, size_t size)
{
	snprintf(to, size, "%s", source_string(s, s->messages[index].place));
}

static void
maildir_close(struct source *s)
{
	struct maildir *m = container_of(s, struct maildir, source);

	close(m->fd);
	free(m->files);
	source_release(s);
	free(m);
}

static const struct source_ops maildir_ops = {
	.read = maildir_read,
	.describe = maildir_describe,
	.close = maildir_close,
};

int
source_open_maildir(
	const char *path, const struct source_options *options, struct source **source_out)
{
	struct maildir *m;
	int error;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	m = calloc(1, sizeof(*m));
	if (m == NULL) {
		close(fd);
		return -ENOMEM;
	}
	m->fd = fd;
	error = source_init(&m->source, &maildir_ops, options);
	if (error == 0)
		error = maildir_load(m);
	if (error != 0) {
		maildir_close(&m->source);
		return error;
	}
	*source_out = &m->source;
	return 0;
}
