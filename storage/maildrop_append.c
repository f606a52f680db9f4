/*
 * maildrop_append.c - the writer: deliveries and imports.
 *
 * A writer costs the same in a maildrop of any size: it reads the end of the index, writes one
 * record, syncs it, and adds to the index.  Only an import with unique-ids of its own makes it read
 * all, once.
 *
 * Invariants
 *   1. Nothing is told to the index, and no commit returns 0, before the log is synced.
 *   2. After a failed sync, or a record that could not be written, the writer is broken: the log is
 * cut back to what was committed, and every further call returns the error. Ownership: the writer
 * owns its descriptors (and with them the write lock) and memory.
 */
#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/crc32c_join.h"
#include "storage/id_set.h"
#include "storage/log_writer.h"
#include "storage/maildrop_internal.h"
#include "storage/uid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_OCTETS 32768u /* of a message's text encoded at once */
#define CREATE_MAX  10     /* somebody else may remove the maildrop as we make it */
#define PARTS_MIN   16u

struct maildrop_writer {
	struct maildrop_files files;
	struct log_writer log;
	int failed; /* what every call returns from now on */

	bool in_message;
	int message_error; /* of the present message */
	struct maildrop_entry entry;
	char id[MAILDROP_UNIQUE_ID_MAX];
	size_t id_octets;
	struct wire_encoder encoder;
	struct index_totals collected; /* by this commit so far */
	struct maildrop_delivery delivery;

	struct span *parts; /* of the present draft */
	unsigned part_count;
	unsigned part_room;

	/* Only with imported unique-ids. */
	bool knows_ids;
	struct id_set ids;       /* all imported ones of live messages */
	struct messages known;   /* the live messages when `ids` was filled */
	uint32_t known_next_uid; /* what was added since then is not in `known` */
};

static int
make_directories(const struct disk *d, const char *directory)
{
	char path[LAYOUT_PATH_MAX];
	int error = disk_make_directory(d, directory, MAILDROP_DIRECTORY_MODE);
	char *slash;

	if (error == 0 || error == -EEXIST)
		return 0;
	if (error != -ENOENT)
		return error;
	snprintf(path, sizeof(path), "%s", directory);
	slash = strrchr(path, '/');
	if (slash == NULL)
		return error;
	*slash = '\0';
	error = make_directories(d, path);
	if (error == 0)
		error = disk_make_directory(d, directory, MAILDROP_DIRECTORY_MODE);
	return error == -EEXIST ? 0 : error;
}

static int
write_header(const struct disk *d, const char *path, const struct log_header *header, bool sync)
{
	char octets[LOG_HEADER_OCTETS];
	int fd = disk_open(d, path, O_WRONLY | O_CREAT | O_EXCL, MAILDROP_FILE_MODE);
	int error;

	if (fd < 0)
		return fd;
	log_header_encode(header, octets);
	error = disk_write_at(d, fd, span_of(octets, sizeof(octets)), 0);
	if (error == 0 && sync)
		error = disk_sync_data(d, fd);
	disk_close(d, fd);
	return error;
}

/* Make the log under a name of its own and link it, so that nobody ever sees half of it.  If
 * another was quicker, its log is as good as ours. */
static int
create_log(
	const struct disk *d, const struct maildrop_paths *paths, uint32_t uid_validity, bool sync)
{
	char name[sizeof("log.12345678")];
	char path[LAYOUT_PATH_MAX];
	struct log_header header;
	int error = maildrop_new_header(uid_validity, 1, &header);

	if (error == 0)
		error = make_directories(d, paths->directory);
	if (error != 0)
		return error;
	snprintf(name, sizeof(name), "log.%02x%02x%02x%02x", header.generation[0],
		header.generation[1], header.generation[2], header.generation[3]);
	layout_join(paths->directory, name, path);
	error = write_header(d, path, &header, sync);
	if (error == 0)
		error = disk_link(d, path, paths->log);
	disk_unlink(d, path);
	return error == -EEXIST ? 0 : error;
}

static int
lock_or_create(const struct disk *d, const struct maildrop_paths *paths,
	const struct maildrop_options *options, uint32_t uid_validity,
	struct maildrop_files *files_out)
{
	int error = maildrop_lock(d, paths, options, files_out);

	for (int i = 0; error == -ENOENT && i < CREATE_MAX; i++) {
		error = create_log(d, paths, uid_validity, options->sync);
		if (error == 0)
			error = maildrop_lock(d, paths, options, files_out);
	}
	if (error == 0 && files_out->end.covers == LOG_HEADER_OCTETS)
		maildrop_remove_passing_names(files_out);
	return error;
}

int
maildrop_writer_open(const struct disk *d, const char *address,
	const struct maildrop_options *options, uint32_t uid_validity,
	struct maildrop_writer **writer_out)
{
	struct maildrop_paths paths;
	struct maildrop_writer *w;
	int error = maildrop_paths(address, &paths);

	if (error != 0)
		return error;
	w = calloc(1, sizeof(*w));
	if (w == NULL)
		return -ENOMEM;
	error = lock_or_create(d, &paths, options, uid_validity, &w->files);
	if (error != 0) {
		free(w);
		return error;
	}
	log_writer_init(&w->log, d, w->files.log_fd, &w->files.header, w->files.end.covers,
		w->files.end.next_uid);
	*writer_out = w;
	return 0;
}

uint32_t
maildrop_writer_uid_validity(const struct maildrop_writer *w)
{
	return w->files.header.uid_validity;
}

/* Octets that are not committed yet must not be taken for a torn tail. */
static int
load_known(struct maildrop_writer *w)
{
	struct index_end end;
	int error;

	if (w->log.written_end == w->files.end.covers)
		return maildrop_load(&w->files, &w->known);
	error = index_load(w->files.disk, w->files.paths.index, &w->files.header, &w->known, &end);
	if (error == 0 && end.covers != w->files.end.covers)
		error = -EBADMSG;
	return error;
}

static int
learn_ids(struct maildrop_writer *w)
{
	int error;

	if (w->knows_ids)
		return 0;
	error = load_known(w);
	if (error == 0)
		error = messages_settle(&w->known);
	if (error == 0)
		error = id_set_init(&w->ids);
	for (uint32_t i = 0; error == 0 && i < w->known.count; i++) {
		struct span id = messages_id(&w->known, &w->known.entries[i]);

		error = id.length > 0 ? id_set_add(&w->ids, id) : 0;
	}
	if (error != 0) {
		messages_free(&w->known);
		id_set_free(&w->ids);
		return error;
	}
	w->known_next_uid = w->files.end.next_uid;
	w->knows_ids = true;
	return 0;
}

/*
 * A unique-id in the derived form belongs to the message with that uid: to one that lives, or to
 * one that is yet to come.  That of an expunged message may come back with it, from a backup.
 */
static bool
derived_is_taken(const struct maildrop_writer *w, uint32_t uid)
{
	uint32_t at;

	if (uid >= w->known_next_uid)
		return true;
	at = messages_search(&w->known, uid);
	return at < w->known.count && w->known.entries[at].uid == uid &&
		w->known.entries[at].unique_id == 0;
}

/* Look at an imported unique-id for the message that will have `uid`. */
static int
take_unique_id(struct maildrop_writer *w, struct span id, uint32_t uid)
{
	uint32_t derived_uid;
	int error;

	if (!uid_is_unique_id(id))
		return -EINVAL;
	error = learn_ids(w);
	if (error != 0)
		return error;
	if (uid_is_derived(id, w->files.header.uid_validity, &derived_uid)) {
		if (derived_uid == uid && uid >= w->log.next_uid)
			return 0; /* its own: nothing to store */
		if (derived_is_taken(w, derived_uid))
			return -EEXIST;
	}
	if (id_set_has(&w->ids, id))
		return -EEXIST;
	memcpy(w->id, id.at, id.length);
	w->id_octets = id.length;
	return 0;
}

/* A message that failed need not be ended. */
static void
forget_failed(struct maildrop_writer *w)
{
	if (w->in_message && w->message_error != 0) {
		log_writer_drop(&w->log);
		w->in_message = false;
	}
}

/* What is asked of every message, however it comes: its uid and unique-id. */
static int
begin_entry(struct maildrop_writer *w, const struct maildrop_delivery *delivery)
{
	uint32_t uid = delivery->uid != 0 ? delivery->uid : w->log.next_uid;
	int error = w->failed;

	forget_failed(w);
	must(!w->in_message);
	w->id_octets = 0;
	if (error == 0 && delivery->unique_id != NULL)
		error = take_unique_id(w, span_of_string(delivery->unique_id), uid);
	if (error == 0 && uid > UID_MAX)
		error = delivery->uid != 0 ? -EINVAL : -EOVERFLOW;
	if (error == 0 && uid < w->log.next_uid)
		error = -EINVAL;
	if (error != 0)
		return error;
	w->entry = (struct maildrop_entry){ .uid = uid, .arrived_at = delivery->arrived_at };
	w->delivery = *delivery;
	return 0;
}

int
maildrop_writer_begin(struct maildrop_writer *w, const struct maildrop_delivery *delivery)
{
	int error = begin_entry(w, delivery);

	if (error == 0)
		error = log_writer_begin(
			&w->log, span_of(w->id, w->id_octets), WIRE_STATUS_OCTETS_MAX);
	if (error != 0)
		return error;
	w->message_error = 0;
	w->in_message = true;
	wire_encoder_init(&w->encoder);
	return 0;
}

/* Its numbers must fit the entry. */
static bool
is_too_large(const struct wire_counts *counts)
{
	return counts->octets > WIRE_MESSAGE_OCTETS_MAX || counts->header_octets > UINT32_MAX;
}

static int
encode_piece(struct maildrop_writer *w, struct span piece)
{
	char *room;
	int error = log_writer_room(&w->log, WIRE_ENCODED_MAX(piece.length), &room);

	if (error != 0)
		return error;
	return log_writer_advance(&w->log, wire_encode(&w->encoder, piece, room));
}

/* A message that grows too large is no longer written, and refused when it is complete. */
int
maildrop_writer_text(struct maildrop_writer *w, struct span text)
{
	must(w->in_message);
	while (w->message_error == 0 && text.length > 0 && !is_too_large(&w->encoder.counts)) {
		size_t length = text.length < TEXT_OCTETS ? text.length : TEXT_OCTETS;

		w->message_error = encode_piece(w, span_of(text.at, length));
		text = span_after(text, length);
	}
	return w->message_error;
}

static int
end_text(struct maildrop_writer *w)
{
	char *room;
	int error = w->message_error;

	if (error == 0)
		error = log_writer_room(&w->log, 2 + WIRE_END_OCTETS, &room);
	if (error == 0) {
		size_t put = wire_encode_end(&w->encoder, room);

		memcpy(room + put, WIRE_END, WIRE_END_OCTETS);
		error = log_writer_advance(&w->log, put + WIRE_END_OCTETS);
	}
	return error;
}

/* -EFBIG, -EDQUOT. */
static int
count_entry(struct maildrop_writer *w, const struct wire_counts *counts)
{
	const struct maildrop_delivery *delivery = &w->delivery;
	const struct index_totals *there = &w->files.end.totals;
	uint64_t octets = there->octets + w->collected.octets + counts->octets;
	uint64_t messages = (uint64_t)there->messages + w->collected.messages + 1;

	if (is_too_large(counts))
		return -EFBIG;
	if ((delivery->quota_octets != 0 && octets > delivery->quota_octets) ||
		(delivery->quota_messages != 0 && messages > delivery->quota_messages))
		return -EDQUOT;
	w->entry.octets = (uint32_t)counts->octets;
	w->entry.header_octets = (uint32_t)counts->header_octets;
	w->entry.body_lines = (uint32_t)counts->body_lines;
	w->entry.header_ended = counts->header_ended;
	return 0;
}

static void
collect_entry(struct maildrop_writer *w)
{
	w->collected.octets += w->entry.octets;
	w->collected.messages++;
}

/* The message is in the buffer, but for its status line. */
static int
end_buffered(struct maildrop_writer *w)
{
	char status[WIRE_STATUS_OCTETS_MAX];

	return log_writer_end(
		&w->log, &w->entry, span_of(status, wire_put_status(w->entry.octets, status)));
}

static int
end_message(struct maildrop_writer *w)
{
	int error = count_entry(w, &w->encoder.counts);

	if (error == 0 && w->id_octets > 0)
		error = id_set_add(&w->ids, span_of(w->id, w->id_octets));
	if (error == 0)
		error = end_buffered(w);
	return error;
}

int
maildrop_writer_end(struct maildrop_writer *w, uint32_t *uid_out)
{
	int error;

	must(w->in_message);
	error = end_text(w);
	if (error == 0)
		error = end_message(w);
	w->in_message = false;
	if (error != 0) {
		log_writer_drop(&w->log);
		return error;
	}
	collect_entry(w);
	*uid_out = w->entry.uid;
	return 0;
}

void
maildrop_writer_drop(struct maildrop_writer *w)
{
	log_writer_drop(&w->log);
	w->in_message = false;
}

/* ---- drafts -------------------------------------------------------------------------------- */

static int
take_part(void *ctx, struct span piece)
{
	struct maildrop_writer *w = ctx;

	if (w->part_count == w->part_room) {
		unsigned room = w->part_room == 0 ? PARTS_MIN : 2 * w->part_room;
		struct span *grown = realloc(w->parts, room * sizeof(*grown));

		if (grown == NULL)
			return -ENOMEM;
		w->parts = grown;
		w->part_room = room;
	}
	w->parts[w->part_count++] = piece;
	return 0;
}

/* The checksum of the whole reply comes from that of the draft, which is not read again. */
static uint32_t
crc_around(struct span status, struct span head, const struct draft *draft)
{
	uint32_t crc = crc32c(0, status.at, status.length);

	crc = crc32c(crc, head.at, head.length);
	crc = crc32c_join(crc, draft_crc(draft), draft_counts(draft)->stuffed_octets);
	return crc32c(crc, WIRE_END, WIRE_END_OCTETS);
}

/* From where it lies in memory. */
static int
add_gathered(struct maildrop_writer *w, struct span head, const struct draft *draft)
{
	char octets[WIRE_STATUS_OCTETS_MAX];
	struct span status = span_of(octets, wire_put_status(w->entry.octets, octets));
	int error;

	w->part_count = 0;
	error = take_part(w, head);
	if (error == 0)
		error = draft_each(draft, take_part, w);
	w->entry.wire_octets =
		status.length + head.length + draft_counts(draft)->stuffed_octets + WIRE_END_OCTETS;
	w->entry.content_crc = crc_around(status, head, draft);
	if (error == 0)
		error = log_writer_add(&w->log, &w->entry, w->parts, w->part_count);
	return error;
}

struct file_copy {
	struct log_writer *log;
	uint32_t crc;
};

static int
copy_piece(void *ctx, struct span piece)
{
	struct file_copy *copy = ctx;
	char *room;
	int error = log_writer_room(copy->log, piece.length, &room);

	if (error != 0)
		return error;
	memcpy(room, piece.at, piece.length);
	copy->crc = crc32c(copy->crc, piece.at, piece.length);
	return log_writer_advance(copy->log, piece.length);
}

/* Out of the draft's file, piece by piece; -EIO where it is not what was put there. */
static int
add_copied(struct maildrop_writer *w, struct span head, const struct draft *draft)
{
	struct file_copy copy = { .log = &w->log };
	int error = log_writer_begin(&w->log, span_of(NULL, 0), WIRE_STATUS_OCTETS_MAX);

	if (error != 0)
		return error;
	if (head.length > 0)
		error = copy_piece(&copy, head);
	copy.crc = 0;
	if (error == 0)
		error = draft_each(draft, copy_piece, &copy);
	if (error == 0 && copy.crc != draft_crc(draft))
		error = -EIO;
	if (error == 0)
		error = copy_piece(&copy, SPAN(WIRE_END));
	if (error == 0)
		error = end_buffered(w);
	if (error != 0)
		log_writer_drop(&w->log);
	return error;
}

int
maildrop_writer_add_draft(struct maildrop_writer *w, const struct maildrop_delivery *delivery,
	struct span head, const struct draft *draft, uint32_t *uid_out)
{
	struct wire_counts counts = wire_counts_behind(head, draft_counts(draft));
	int error;

	must(delivery->unique_id == NULL);
	error = begin_entry(w, delivery);
	if (error == 0)
		error = count_entry(w, &counts);
	if (error == 0)
		error = draft_is_spilled(draft) ? add_copied(w, head, draft)
						: add_gathered(w, head, draft);
	if (error != 0)
		return error;
	collect_entry(w);
	*uid_out = w->entry.uid;
	return 0;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* Cut off what was not committed. */
static void
cut_back(struct maildrop_writer *w)
{
	if (w->log.written_end > w->files.end.covers)
		maildrop_cut_back(&w->files, w->files.end.covers);
	w->log.written_end = w->files.end.covers;
}

int
maildrop_writer_commit(struct maildrop_writer *w)
{
	struct index_totals totals = w->files.end.totals;
	bool is_empty = log_writer_is_empty(&w->log);
	uint64_t end;
	int error = w->failed;

	forget_failed(w);
	must(!w->in_message);
	if (error != 0)
		return error;
	error = log_writer_finish(&w->log, &end);
	if (error == 0 && is_empty)
		return 0;
	if (error == 0)
		error = maildrop_make_durable(&w->files);
	if (error == -EIO)
		doubt_raise(&w->files.log);
	if (error != 0) {
		cut_back(w);
		w->failed = error;
		return error;
	}
	totals.octets += w->log.added_totals.octets;
	totals.messages += w->log.added_totals.messages;
	maildrop_index_commit(&w->files, &w->log.added, w->log.next_uid, end, totals);
	log_writer_next_commit(&w->log);
	w->collected = (struct index_totals){ 0 };
	return 0;
}

void
maildrop_writer_close(struct maildrop_writer *w)
{
	if (w == NULL)
		return;
	cut_back(w);
	maildrop_unlock(&w->files);
	log_writer_free(&w->log);
	messages_free(&w->known);
	id_set_free(&w->ids);
	free(w->parts);
	free(w);
}
