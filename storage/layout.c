/*
 * layout.c - the way from an address to its directory, and back.
 *
 * Invariant: an address has one escaped form only, so that no maildrop has two directories; the way
 * back takes nothing that the way there would not have made.
 */
#include "storage/layout.h"

#include "io/base/crc32c.h"
#include "io/base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#define MARKER         "ringpost-spool"
#define MARKER_TEXT    "ringpost spool, version 1\n"
#define MAIL           "mail"
#define DIRECTORY_MODE 0700
#define FILE_MODE      0600

static bool
is_plain(const char *address, size_t at)
{
	char c = address[at];

	if (c == '.')
		return at > 0;
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
		(c != '\0' && strchr("_+-@=", c) != NULL);
}

/* Returns the length of the name, or -EINVAL. */
static int
escape(const char *address, char name[LAYOUT_NAME_OCTETS_MAX + 1])
{
	size_t put = 0;
	size_t length = strnlen(address, LAYOUT_ADDRESS_OCTETS_MAX + 1);

	if (length == 0 || length > LAYOUT_ADDRESS_OCTETS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < length; i++) {
		size_t need = is_plain(address, i) ? 1 : 3;

		if (put + need > LAYOUT_NAME_OCTETS_MAX)
			return -EINVAL;
		if (need == 1)
			name[put] = address[i];
		else
			snprintf(name + put, 4, "%%%02X", (unsigned char)address[i]);
		put += need;
	}
	name[put] = '\0';
	return (int)put;
}

int
layout_file(const char *address, const char *file, char path_out[LAYOUT_PATH_MAX])
{
	char name[LAYOUT_NAME_OCTETS_MAX + 1];
	int length = escape(address, name);
	uint32_t hash;
	int put;

	if (length < 0)
		return length;
	hash = crc32c(0, address, strlen(address));
	put = snprintf(path_out, LAYOUT_PATH_MAX, MAIL "/%02x/%02x/%s%s%s", hash >> 24,
		hash >> 16 & 0xFF, name, *file != '\0' ? "/" : "", file);
	must(put > 0 && put < (int)LAYOUT_PATH_MAX);
	return 0;
}

int
layout_directory(const char *address, char path_out[LAYOUT_PATH_MAX])
{
	return layout_file(address, "", path_out);
}

void
layout_join(const char *directory, const char *file, char path_out[LAYOUT_PATH_MAX])
{
	size_t length = strlen(directory);
	size_t file_octets = strlen(file) + 1;

	must(length + 1 + file_octets <= LAYOUT_PATH_MAX);
	memcpy(path_out, directory, length);
	path_out[length] = '/';
	memcpy(path_out + length + 1, file, file_octets);
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* One octet of the address from `name`; returns how many of the name it took, 0: none. */
static size_t
unescape_octet(const char *name, char *octet_out)
{
	int high;
	int low;

	if (name[0] != '%') {
		*octet_out = name[0];
		return 1;
	}
	high = hex_digit(name[1]);
	low = high < 0 ? -1 : hex_digit(name[2]);
	if (low < 0 || (high == 0 && low == 0))
		return 0;
	*octet_out = (char)(high << 4 | low);
	return 3;
}

int
layout_address(const char *name, char address_out[LAYOUT_ADDRESS_OCTETS_MAX + 1])
{
	char address[LAYOUT_ADDRESS_OCTETS_MAX + 1];
	char again[LAYOUT_NAME_OCTETS_MAX + 1];
	size_t put = 0;

	for (const char *at = name; *at != '\0';) {
		size_t took =
			put < LAYOUT_ADDRESS_OCTETS_MAX ? unescape_octet(at, &address[put]) : 0;

		if (took == 0)
			return -EINVAL;
		at += took;
		put++;
	}
	address[put] = '\0';
	if (escape(address, again) < 0 || strcmp(again, name) != 0)
		return -EINVAL;
	memcpy(address_out, address, put + 1);
	return 0;
}

static int
make_mail_directory(const struct disk *d)
{
	int error = disk_make_directory(d, MAIL, DIRECTORY_MODE);

	if (error == -EEXIST)
		return 0;
	return error != 0 ? error : disk_sync_directory(d, ".");
}

static int
put_marker(const struct disk *d)
{
	int fd = disk_open(d, MARKER, O_WRONLY | O_CREAT, FILE_MODE);
	int error;

	if (fd < 0)
		return fd;
	error = disk_write_at(d, fd, SPAN(MARKER_TEXT), 0);
	if (error == 0)
		error = disk_sync_data(d, fd);
	disk_close(d, fd);
	return error != 0 ? error : disk_sync_directory(d, ".");
}

int
layout_prepare_spool(const struct disk *d, bool create)
{
	struct disk_status status;
	int error = disk_status_of_path(d, MARKER, &status);

	if (error == -ENOENT && create)
		error = put_marker(d);
	return error != 0 ? error : make_mail_directory(d);
}

/* One walk over all maildrops, three directories deep; `path` is where it stands. */
struct walk {
	const struct disk *disk;
	int (*each)(void *ctx, const char *address);
	void *ctx;
	unsigned depth;
	char path[sizeof(MAIL "/ab/cd")];
};

static bool
is_hash_directory(const char *name)
{
	return strlen(name) == 2 && strspn(name, "0123456789abcdef") == 2;
}

static int
walk_name(void *ctx, const char *name)
{
	struct walk *w = ctx;
	char address[LAYOUT_ADDRESS_OCTETS_MAX + 1];
	size_t length = strlen(w->path);
	int result;

	if (w->depth == 2)
		return layout_address(name, address) == 0 ? w->each(w->ctx, address) : 0;
	if (!is_hash_directory(name))
		return 0;
	snprintf(w->path + length, sizeof(w->path) - length, "/%s", name);
	w->depth++;
	result = disk_list(w->disk, w->path, walk_name, w);
	w->depth--;
	w->path[length] = '\0';
	return result;
}

int
layout_each_maildrop(const struct disk *d, int (*each)(void *ctx, const char *address), void *ctx)
{
	struct walk w = { .disk = d, .each = each, .ctx = ctx, .path = MAIL };

	return disk_list(d, w.path, walk_name, &w);
}
