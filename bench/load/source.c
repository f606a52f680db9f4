/*
 * source.c - Maildirs, encoded into one temporary file.
 */
#include "bench/load/source.h"

#include "storage/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	PIECE_OCTETS = 65536
};

/* What is at work while a source is read. */
struct reading {
	struct source *source;
	FILE *to;
	FILE *errors;
};

static int
say(const struct reading *r, const char *path, int error)
{
	fprintf(r->errors, "%s: %s\n", path, strerror(-error));
	return error;
}

static struct source_message *
reading_next_message(struct reading *r)
{
	struct source *s = r->source;

	if (s->message_count == s->message_room) {
		uint32_t room = s->message_room == 0 ? 1024 : 2 * s->message_room;
		void *messages = realloc(s->messages, room * sizeof(*s->messages));

		if (messages == NULL)
			return NULL;
		s->messages = messages;
		s->message_room = room;
	}
	return &s->messages[s->message_count++];
}

static void
reading_put(struct reading *r, const char *octets, size_t length)
{
	fwrite(octets, 1, length, r->to); /* errors stay with the file until source_map asks */
	r->source->length += length;
}

static int
reading_take_file(struct reading *r, const char *path)
{
	static char in[PIECE_OCTETS], out[WIRE_ENCODED_MAX(PIECE_OCTETS)];
	struct source_message *message = reading_next_message(r);
	struct wire_encoder encoder;
	FILE *from;
	size_t length;

	if (message == NULL)
		return say(r, path, -ENOMEM);
	from = fopen(path, "re");
	if (from == NULL)
		return say(r, path, -errno);
	message->offset = r->source->length;
	wire_encoder_init(&encoder);
	while ((length = fread(in, 1, sizeof(in), from)) > 0)
		reading_put(r, out, wire_encode(&encoder, span_of(in, length), out));
	reading_put(r, out, wire_encode_end(&encoder, out));
	reading_put(r, WIRE_END, WIRE_END_OCTETS);
	message->wire_octets = r->source->length - message->offset;
	message->octets = encoder.counts.octets;
	message->body_lines = encoder.counts.body_lines;
	message->header_ended = encoder.counts.header_ended;
	length = (size_t)ferror(from);
	fclose(from);
	return length != 0 ? say(r, path, -EIO) : 0;
}

struct names {
	char **at; /* whole paths */
	size_t count, room;
};

static void
names_free(struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->at[i]);
	free(n->at);
}

static int
names_add(struct names *n, const char *folder, const char *name)
{
	if (n->count == n->room) {
		size_t room = n->room == 0 ? 256 : 2 * n->room;
		char **at = realloc(n->at, room * sizeof(*at));

		if (at == NULL)
			return -ENOMEM;
		n->at = at;
		n->room = room;
	}
	if (asprintf(&n->at[n->count], "%s/%s", folder, name) < 0)
		return -ENOMEM;
	n->count++;
	return 0;
}

/* The messages of one folder; a folder that is not there has none. */
static int
names_read(struct names *n, const char *folder)
{
	DIR *from = opendir(folder);
	struct dirent *entry;
	int error = 0;

	if (from == NULL)
		return errno == ENOENT ? 0 : -errno;
	while (error == 0 && (entry = readdir(from)) != NULL) {
		if (entry->d_name[0] != '.')
			error = names_add(n, folder, entry->d_name);
	}
	closedir(from);
	return error;
}

static int
by_base_name(const void *a, const void *b)
{
	const char *x = strrchr(*(char *const *)a, '/'), *y = strrchr(*(char *const *)b, '/');

	return strverscmp(x, y);
}

static int
reading_take_maildir(struct reading *r, const char *path, struct source_drop *drop)
{
	struct names names = { 0 };
	char folder[4096];
	int error = 0;

	drop->first = r->source->message_count;
	for (int i = 0; i < 2 && error == 0; i++) {
		snprintf(folder, sizeof(folder), "%s/%s", path, i == 0 ? "cur" : "new");
		error = names_read(&names, folder);
	}
	if (error != 0)
		say(r, folder, error);
	if (names.count > 0)
		qsort(names.at, names.count, sizeof(names.at[0]), by_base_name);
	for (size_t i = 0; i < names.count && error == 0; i++)
		error = reading_take_file(r, names.at[i]);
	drop->count = r->source->message_count - drop->first;
	if (drop->count > r->source->largest_drop)
		r->source->largest_drop = drop->count;
	names_free(&names);
	return error;
}

static bool
is_folder(const char *path)
{
	struct stat status;

	return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

static bool
is_maildir(const char *path)
{
	char cur[4096 + 8];

	snprintf(cur, sizeof(cur), "%s/cur", path);
	return is_folder(cur);
}

/* DIR/name@domain, or DIR/name */
static int
reading_take_user(struct reading *r, const char *path, const char *pattern, uint32_t user)
{
	const char *mark = strchr(pattern, '%');
	char maildir[4096], *at;
	int length = mark == NULL ? (int)strlen(pattern) : (int)(mark - pattern);

	if (mark == NULL)
		snprintf(maildir, sizeof(maildir), "%s/%s", path, pattern);
	else
		snprintf(maildir, sizeof(maildir), "%s/%.*s%u%s", path, length, pattern, user,
			mark + 1);
	at = strchr(maildir + strlen(path), '@');
	if (at != NULL && !is_maildir(maildir))
		*at = '\0';
	if (!is_maildir(maildir))
		return say(r, maildir, -ENOENT);
	return reading_take_maildir(r, maildir, &r->source->drops[user - 1]);
}

static int
reading_take(struct reading *r, const char *path, const char *pattern, uint32_t users)
{
	bool one = is_maildir(path);
	int error = 0;

	r->source->drop_count = one ? 1 : users;
	r->source->drops = calloc(r->source->drop_count, sizeof(*r->source->drops));
	if (r->source->drops == NULL)
		return say(r, path, -ENOMEM);
	if (one)
		return reading_take_maildir(r, path, &r->source->drops[0]);
	for (uint32_t user = 1; user <= users && error == 0; user++)
		error = reading_take_user(r, path, pattern, user);
	return error;
}

static int
reading_map(struct reading *r, const char *path)
{
	struct source *s = r->source;
	void *at;

	if (s->message_count == 0) {
		fprintf(r->errors, "%s: there is no message in it\n", path);
		return -ENOENT;
	}
	if (fflush(r->to) != 0 || ferror(r->to))
		return say(r, "the temporary file of the source", errno == 0 ? -EIO : -errno);
	at = mmap(NULL, s->length, PROT_READ, MAP_SHARED, fileno(r->to), 0);
	if (at == MAP_FAILED)
		return say(r, path, -errno);
	s->at = at;
	return 0;
}

int
source_load(const char *path, const char *pattern, uint32_t users, FILE *errors,
	struct source **source_out)
{
	struct reading r = { .source = calloc(1, sizeof(*r.source)), .errors = errors };
	int error;

	if (r.source == NULL)
		return say(&r, path, -ENOMEM);
	r.to = tmpfile();
	error = r.to == NULL ? say(&r, "temporary file", -errno) : 0;
	if (error == 0)
		error = reading_take(&r, path, pattern, users);
	if (error == 0)
		error = reading_map(&r, path);
	if (r.to != NULL)
		fclose(r.to);
	if (error != 0) {
		source_free(r.source);
		return error;
	}
	*source_out = r.source;
	return 0;
}

void
source_free(struct source *s)
{
	if (s == NULL)
		return;
	if (s->at != NULL)
		munmap((void *)(uintptr_t)s->at, s->length);
	free(s->messages);
	free(s->drops);
	free(s);
}
