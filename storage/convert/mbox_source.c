/*
 * mbox_source.c - an mbox file as a source.
 *
 * The file is read twice: once to find its messages and what they are known by, then each message
 * as the import wants it.  Between the two nobody may rewrite it, so it is kept under a read lock
 * (fcntl(2); mail programs and delivery agents take the write lock) until the source is closed.
 */
#include "storage/convert/source.h"

#include "io/base/must.h"
#include "storage/convert/mbox.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define LOCK_RETRY_MS 10

static_assert(SOURCE_DIGEST_OCTETS == MBOX_DIGEST_OCTETS, "one is copied to the other");

struct mbox {
	struct source source;
	int fd;
};

static int
add_message(void *ctx, const struct mbox_message *found)
{
	struct source *s = ctx;
	struct source_message *m;

	if (found->is_internal_data)
		return 0;
	m = source_add(s);
	if (m == NULL)
		return -ENOMEM;
	m->place = found->offset;
	m->octets = found->length;
	m->arrived_at = found->arrived_at;
	memcpy(m->identity.digest, found->digest, sizeof(m->identity.digest));
	s->octets += found->length;
	if (found->unique_id[0] == '\0' || s->options.new_unique_ids)
		return 0;
	return source_add_string(s, span_of_string(found->unique_id), &m->unique_id);
}

static int
identity_compare(const void *left, const void *right)
{
	const struct source_message *const *a = left, *const *b = right;
	int order = memcmp((*a)->identity.digest, (*b)->identity.digest, SOURCE_DIGEST_OCTETS);

	if (order != 0)
		return order;
	return *a < *b ? -1 : *a > *b;
}

/* Equal messages are told apart by their number among them. */
static int
count_occurrences(struct source *s)
{
	struct source_message **sorted = calloc(s->count + 1, sizeof(*sorted));

	if (sorted == NULL)
		return -ENOMEM;
	for (size_t i = 0; i < s->count; i++)
		sorted[i] = &s->messages[i];
	qsort(sorted, s->count, sizeof(struct source_message *), identity_compare);
	for (size_t i = 1; i < s->count; i++) {
		if (memcmp(sorted[i]->identity.digest, sorted[i - 1]->identity.digest,
			    SOURCE_DIGEST_OCTETS) == 0)
			sorted[i]->identity.occurrence = sorted[i - 1]->identity.occurrence + 1;
	}
	free(sorted);
	return 0;
}

struct scan {
	struct mbox_scanner scanner;
	uint64_t octets;
};

static int
scan_piece(void *ctx, struct span text)
{
	struct scan *scan = ctx;

	scan->octets += text.length;
	return mbox_scan(&scan->scanner, text);
}

static int
find_messages(struct mbox *m)
{
	struct source *s = &m->source;
	struct scan *scan = calloc(1, sizeof(*scan));
	int error;

	if (scan == NULL)
		return -ENOMEM;
	mbox_scanner_init(&scan->scanner, add_message, s);
	error = source_read_file(s, m->fd, 0, UINT64_MAX, false, scan_piece, scan);
	if (error == 0) {
		error = mbox_scan_end(&scan->scanner);
	} else if (error != -EBADMSG && error != -ENOMEM) {
		source_report(s, "octet %" PRIu64 ": %s; the messages from here on are left out",
			scan->octets, strerror(-error));
		error = 0;
	}
	free(scan);
	if (error == 0)
		error = count_occurrences(s);
	return error != 0 ? error : source_drop_equal_unique_ids(s);
}

static int
lock_file(int fd, unsigned timeout_ms)
{
	struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET };

	for (;;) {
		struct timespec pause = { .tv_nsec = LOCK_RETRY_MS * 1000000L };

		/* A file system without locks has no program that holds one. */
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0 || (errno != EAGAIN && errno != EACCES))
			return 0;
		if (timeout_ms < LOCK_RETRY_MS)
			return -ETIMEDOUT;
		nanosleep(&pause, NULL);
		timeout_ms -= LOCK_RETRY_MS;
	}
}

struct unquoting {
	struct mbox_quoter quoter;
	source_put *put;
	void *ctx;
};

static int
unquote_piece(void *ctx, struct span text)
{
	struct unquoting *u = ctx;

	return mbox_quote(&u->quoter, text, u->put, u->ctx);
}

static int
mbox_read(struct source *s, size_t index, source_put *put, void *ctx)
{
	struct mbox *m = container_of(s, struct mbox, source);
	const struct source_message *message = &s->messages[index];
	struct unquoting u = { .put = put, .ctx = ctx };
	int error;

	mbox_quoter_init(&u.quoter, MBOX_UNQUOTE);
	error = source_read_file(
		s, m->fd, message->place, message->octets, true, unquote_piece, &u);
	return error != 0 ? error : mbox_quote_end(&u.quoter, put, ctx);
}

static void
mbox_describe(const struct source *s, size_t index, char *to, size_t size)
{
	snprintf(to, size, "message %zu at octet %" PRIu64, index + 1, s->messages[index].place);
}

static void
mbox_close(struct source *s)
{
	struct mbox *m = container_of(s, struct mbox, source);

	close(m->fd);
	source_release(s);
	free(m);
}

static const struct source_ops mbox_ops = {
	.read = mbox_read,
	.describe = mbox_describe,
	.close = mbox_close,
};

static int
mbox_load(struct mbox *m)
{
	struct stat st;
	int error;

	if (fstat(m->fd, &st) != 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return S_ISDIR(st.st_mode) ? -EISDIR : -EBADMSG;
	error = lock_file(m->fd, m->source.options.lock_timeout_ms);
	return error != 0 ? error : find_messages(m);
}

int
source_open_mbox(const char *path, const struct source_options *options, struct source **source_out)
{
	struct mbox *m;
	int error;
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	m = calloc(1, sizeof(*m));
	if (m == NULL) {
		close(fd);
		return -ENOMEM;
	}
	m->fd = fd;
	error = source_init(&m->source, &mbox_ops, options);
	if (error == 0)
		error = mbox_load(m);
	if (error != 0) {
		mbox_close(&m->source);
		return error;
	}
	*source_out = &m->source;
	return 0;
}
