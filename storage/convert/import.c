/*
 * import.c - batches of messages from a source into a maildrop.
 *
 * Invariant: a batch is put down in `imported` before it is committed, and confirmed there
 * afterwards.
 *
 * Ownership: borrows disk, source and options; the import lasts as long as the call.
 */
#include "storage/convert/import.h"

#include "storage/convert/imported.h"
#include "storage/uid.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BATCH_MESSAGES 256u
#define BATCH_OCTETS   (UINT64_C(8) << 20)

/* Deliveries wait for the write lock while we hold it; opening a writer costs what a login does. */
#define LOCK_HOLD_MS  500
#define LOCK_PAUSE_MS 12

/* A message that was in the maildrop before the import. */
struct present {
	uint64_t id_hash;
	int64_t arrived_at;
};

struct import {
	const struct disk *disk;
	const char *address;
	struct source *source;
	const struct import_options *options;
	struct import_counts *counts;
	struct imported *imported;

	struct maildrop_writer *writer;
	uint32_t uid_validity;
	int64_t opened_ms;
	int writer_error; /* of the message that is being read */

	struct present *present; /* sorted */
	size_t present_count;

	/* In the batch, not committed yet. */
	uint64_t batch_messages, batch_octets;
	/* Done since progress was told. */
	uint64_t done_messages, done_octets;
};

static int64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
report(struct import *im, size_t index, const char *why)
{
	char text[512], name[320];

	im->counts->damaged++;
	if (im->options->report == NULL)
		return;
	source_describe(im->source, index, name, sizeof(name));
	snprintf(text, sizeof(text), "%s: %s, left out", name, why);
	im->options->report(im->options->ctx, text);
}

static const char *
words_of_source_error(int error)
{
	switch (-error) {
	case ENODATA:
		return "it is shorter than it was";
	case ENOTSUP:
		return "it is compressed or encrypted, unpack it first";
	default:
		return strerror(-error);
	}
}

/* FNV-1a, 64 bits. */
static uint64_t
hash_id(const char *id)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (; *id != '\0'; id++)
		hash = (hash ^ (unsigned char)*id) * UINT64_C(0x100000001b3);
	return hash;
}

static int
present_compare(const void *left, const void *right)
{
	const struct present *a = left, *b = right;

	if (a->id_hash != b->id_hash)
		return a->id_hash < b->id_hash ? -1 : 1;
	return a->arrived_at < b->arrived_at ? -1 : a->arrived_at > b->arrived_at;
}

static int
learn_present(struct import *im, const struct maildrop *m)
{
	char id[MAILDROP_UNIQUE_ID_MAX + 1];

	im->present = calloc((size_t)m->count + 1, sizeof(*im->present));
	if (im->present == NULL)
		return -ENOMEM;
	im->present_count = m->count;
	for (uint32_t i = 0; i < m->count; i++) {
		maildrop_unique_id(m, &m->entries[i], id);
		im->present[i].id_hash = hash_id(id);
		im->present[i].arrived_at = m->entries[i].arrived_at;
	}
	qsort(im->present, im->present_count, sizeof(*im->present), present_compare);
	return 0;
}

static bool
is_present(const struct import *im, const char *id, int64_t arrived_at)
{
	struct present key = { .id_hash = hash_id(id), .arrived_at = arrived_at };

	return bsearch(&key, im->present, im->present_count, sizeof(key), present_compare) != NULL;
}

static int
open_writer(struct import *im)
{
	int error = maildrop_writer_open(im->disk, im->address, &im->options->maildrop,
		im->source->uid_validity, &im->writer);

	if (error != 0)
		return error;
	im->uid_validity = maildrop_writer_uid_validity(im->writer);
	im->opened_ms = now_ms();
	return 0;
}

static void
close_writer(struct import *im)
{
	if (im->writer != NULL)
		maildrop_writer_close(im->writer);
	im->writer = NULL;
}

static void
tell_progress(struct import *im)
{
	if (im->options->progress != NULL)
		im->options->progress(im->options->ctx, im->done_messages, im->done_octets);
	im->done_messages = 0;
	im->done_octets = 0;
}

static int
commit_batch(struct import *im)
{
	int error = imported_save(im->imported);

	if (error == 0 && im->batch_messages > 0)
		error = maildrop_writer_commit(im->writer);
	if (error == 0)
		error = imported_confirm(im->imported);
	if (error != 0)
		return error;
	im->counts->added += im->batch_messages;
	im->counts->octets += im->batch_octets;
	im->batch_messages = 0;
	im->batch_octets = 0;
	tell_progress(im);
	return 0;
}

/* Let others have the lock for a moment. */
static int
take_turns(struct import *im)
{
	struct timespec pause = { .tv_nsec = LOCK_PAUSE_MS * 1000000L };

	if (now_ms() - im->opened_ms < LOCK_HOLD_MS)
		return 0;
	close_writer(im);
	nanosleep(&pause, NULL);
	return open_writer(im);
}

static int
put_text(void *ctx, struct span text)
{
	struct import *im = ctx;

	im->writer_error = maildrop_writer_text(im->writer, text);
	return im->writer_error;
}

/* A message with a uid of the source, or the first one behind those: -EINVAL if there are higher
 * ones already. */
static int
begin_with_uid(struct import *im, const struct source_message *m, const char *id)
{
	struct maildrop_delivery delivery = { .arrived_at = m->arrived_at, .uid = m->uid };
	uint32_t derived_uid;

	if (im->source->uid_validity == 0 || im->uid_validity != im->source->uid_validity)
		return -EINVAL;
	if (m->uid == 0)
		delivery.uid = im->source->next_uid;
	if (*id != '\0' &&
		(!uid_is_derived(span_of_string(id), im->uid_validity, &derived_uid) ||
			derived_uid != m->uid))
		delivery.unique_id = id;
	return maildrop_writer_begin(im->writer, &delivery);
}

/* Begin the message under the best unique-id that is free.  -EEXIST: the message is there. */
static int
begin_message(struct import *im, const struct source_message *m)
{
	const char *id = source_string(im->source, m->unique_id);
	struct maildrop_delivery delivery = { .arrived_at = m->arrived_at };
	int error = begin_with_uid(im, m, id);

	if (error == -EINVAL && *id != '\0') {
		delivery.unique_id = id;
		error = maildrop_writer_begin(im->writer, &delivery);
	}
	if (error == -EEXIST && is_present(im, id, m->arrived_at))
		return error;
	if (error != -EEXIST && error != -EINVAL)
		return error;
	delivery.unique_id = NULL;
	return maildrop_writer_begin(im->writer, &delivery);
}

/* 0, or what makes it useless to go on. */
static int
import_message(struct import *im, size_t index)
{
	const struct source_message *m = &im->source->messages[index];
	uint32_t uid;
	int error;

	if (m->octets > WIRE_MESSAGE_OCTETS_MAX) {
		report(im, index, "larger than 4 GiB");
		return 0;
	}
	error = begin_message(im, m);
	if (error == -EEXIST) {
		im->counts->known++;
		return imported_add(im->imported, &m->identity, m->arrived_at, 0);
	}
	if (error != 0)
		return error;
	im->writer_error = 0;
	error = source_read(im->source, index, put_text, im);
	if (error != 0 && im->writer_error == 0) {
		maildrop_writer_drop(im->writer);
		report(im, index, words_of_source_error(error));
		return 0;
	}
	if (error == 0)
		error = maildrop_writer_end(im->writer, &uid);
	if (error == -EFBIG) {
		report(im, index, "larger than 4 GiB");
		return 0;
	}
	if (error != 0)
		return error;
	im->batch_messages++;
	im->batch_octets += m->octets;
	return imported_add(im->imported, &m->identity, m->arrived_at, uid);
}

static int
import_messages(struct import *im)
{
	struct source *s = im->source;
	int error = 0;

	for (size_t i = 0; error == 0 && i < s->count; i++) {
		if (imported_has(im->imported, &s->messages[i].identity))
			im->counts->known++;
		else
			error = import_message(im, i);
		im->done_messages++;
		im->done_octets += s->messages[i].octets;
		if (error == 0 &&
			(im->batch_messages >= BATCH_MESSAGES ||
				im->batch_octets >= BATCH_OCTETS)) {
			error = commit_batch(im);
			if (error == 0)
				error = take_turns(im);
		}
	}
	return error == 0 ? commit_batch(im) : error;
}

/* A uid that the source has used up must not come again, though its message is gone. */
static int
reserve_uids(struct import *im)
{
	if (im->source->uid_validity == 0 || im->uid_validity != im->source->uid_validity)
		return 0;
	return maildrop_reserve_uids(
		im->disk, im->address, &im->options->maildrop, im->source->next_uid);
}

static int
open_target(struct import *im)
{
	struct maildrop *m;
	int error = maildrop_open(im->disk, im->address, &im->options->maildrop, &m);

	if (error != 0)
		return error;
	error = learn_present(im, m);
	if (error == 0)
		error = open_writer(im);
	if (error == 0)
		error = imported_open(im->disk, im->address, im->uid_validity, m, &im->imported);
	maildrop_close(im->disk, m);
	return error;
}

int
import_source(const struct disk *d, const char *address, struct source *s,
	const struct import_options *options, struct import_counts *counts_out)
{
	struct import im = {
		.disk = d,
		.address = address,
		.source = s,
		.options = options,
		.counts = counts_out,
	};
	int error;

	*counts_out = (struct import_counts){ .found = s->count, .damaged = s->damaged };
	if (s->count == 0)
		return 0;
	error = open_target(&im);
	if (error == 0)
		error = import_messages(&im);
	close_writer(&im);
	if (error == 0)
		error = imported_save(im.imported);
	if (error == 0)
		error = reserve_uids(&im);
	imported_close(im.imported);
	free(im.present);
	return error;
}
