/*
 * index_file.c - reading and writing the index.
 *
 * A small index is read by one read into the stack; a large one in pieces that stay in the
 * processor's cache.  Reading stops at the first slot that is not valid, and what follows the last
 * complete commit before it is forgotten.
 */
#include "storage/index_file.h"

#include "io/base/must.h"
#include "storage/layout.h"
#include "storage/uid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#define SMALL_OCTETS 8192u
#define PIECE_OCTETS 131072u

static_assert(SMALL_OCTETS % INDEX_SLOT_OCTETS == 0, "pieces hold whole slots");
static_assert(PIECE_OCTETS % INDEX_SLOT_OCTETS == 0, "pieces hold whole slots");

/* An index on its way in. */
struct index_reader {
	struct messages *messages;
	struct index_end *end;
	struct messages_mark mark; /* at the last complete commit */
	uint64_t octets;           /* read as valid slots so far */
	uint64_t wire_end;         /* nothing may lie before it in the log */
	char id[MAILDROP_UNIQUE_ID_MAX];
	size_t id_octets;
};

static void
end_before_any_commit(const struct log_header *log, struct index_end *end_out)
{
	*end_out = (struct index_end){
		.condition = INDEX_NONE,
		.covers = LOG_HEADER_OCTETS,
		.next_uid = log->next_uid,
	};
}

/* 0: this header is of this log; -EBADMSG: it is not. */
static int
check_header(
	const char octets[INDEX_HEADER_OCTETS], const struct log_header *log, struct index_end *end)
{
	struct index_header header;
	int error = index_header_decode(octets, &header);

	if (error != 0)
		return error;
	if (memcmp(header.generation, log->generation, sizeof(header.generation)) != 0 ||
		header.uid_validity != log->uid_validity)
		return -EBADMSG;
	end->condition = INDEX_WHOLE;
	end->octets = INDEX_HEADER_OCTETS;
	if (header.next_uid > end->next_uid)
		end->next_uid = header.next_uid;
	return 0;
}

static int
take_id(struct index_reader *r, const struct index_slot *slot)
{
	size_t at = slot->id_part == 0 ? 0 : INDEX_SLOT_ID;

	if (r->id_octets != at || at + slot->id_part_octets > sizeof(r->id))
		return -EBADMSG;
	memcpy(r->id + at, slot->id, slot->id_part_octets);
	r->id_octets = at + slot->id_part_octets;
	return 0;
}

static int
take_message(struct index_reader *r, const struct index_slot *slot)
{
	struct span id = span_of(r->id, slot->id_octets);

	if (slot->id_octets != r->id_octets || slot->message.wire_offset < r->wire_end ||
		(id.length > 0 && !uid_is_unique_id(id)))
		return -EBADMSG;
	r->id_octets = 0;
	r->wire_end = slot->message.wire_offset + slot->message.wire_octets;
	return messages_add(r->messages, &slot->message, id);
}

static int
take_expunge(struct index_reader *r, const struct index_slot *slot)
{
	int error = slot->covers >= r->wire_end && r->id_octets == 0 ? 0 : -EBADMSG;

	for (unsigned i = 0; error == 0 && i < slot->range_count; i++)
		error = messages_add_range(r->messages, slot->ranges[i]);
	if (error == 0)
		r->wire_end = slot->covers;
	return error;
}

static int
take_slot(struct index_reader *r, const struct index_slot *slot)
{
	switch (slot->type) {
	case INDEX_ID:
		return take_id(r, slot);
	case INDEX_MESSAGE:
		return take_message(r, slot);
	case INDEX_EXPUNGE:
		return take_expunge(r, slot);
	}
	return -EBADMSG;
}

static void
end_commit(struct index_reader *r, const struct index_slot *slot)
{
	uint32_t next_uid = index_slot_next_uid(slot);

	if (next_uid > r->end->next_uid)
		r->end->next_uid = next_uid;
	r->end->covers = index_slot_covers(slot);
	r->end->totals = slot->totals;
	r->end->octets = r->octets;
	r->mark = messages_mark(r->messages);
}

/* -EBADMSG: a slot is not valid. */
static int
take_slots(struct index_reader *r, const char *octets, size_t length)
{
	struct index_slot slot;

	for (size_t at = 0; at + INDEX_SLOT_OCTETS <= length; at += INDEX_SLOT_OCTETS) {
		int error = index_slot_decode(octets + at, &slot) ? take_slot(r, &slot) : -EBADMSG;

		if (error != 0)
			return error;
		r->octets += INDEX_SLOT_OCTETS;
		if (slot.ends_commit)
			end_commit(r, &slot);
	}
	return length % INDEX_SLOT_OCTETS == 0 ? 0 : -EBADMSG;
}

/* All that follows the first `r->octets`. */
static int
read_pieces(const struct disk *d, int fd, struct index_reader *r)
{
	struct disk_status status;
	char *piece;
	ssize_t n;
	int error = disk_status_of_file(d, fd, &status);

	if (error != 0)
		return error;
	if (status.octets <= r->octets)
		return 0;
	if (status.octets / INDEX_SLOT_OCTETS > UINT32_MAX)
		return -EBADMSG;
	error = messages_reserve(
		r->messages, (uint32_t)((status.octets - r->octets) / INDEX_SLOT_OCTETS));
	if (error != 0)
		return error;
	piece = malloc(PIECE_OCTETS);
	if (piece == NULL)
		return -ENOMEM;
	do {
		n = disk_read_at(d, fd, piece, PIECE_OCTETS, r->octets);
		error = n < 0 ? (int)n : take_slots(r, piece, (size_t)n);
	} while (error == 0 && n == PIECE_OCTETS);
	free(piece);
	return error;
}

static int
read_slots(const struct disk *d, int fd, const struct log_header *log, struct index_reader *r)
{
	char octets[SMALL_OCTETS];
	ssize_t n = disk_read_at(d, fd, octets, sizeof(octets), 0);
	int error;

	if (n < 0)
		return (int)n;
	if (n < (ssize_t)INDEX_HEADER_OCTETS)
		return -EBADMSG;
	error = check_header(octets, log, r->end);
	if (error != 0)
		return error;
	r->octets = INDEX_HEADER_OCTETS;
	error = messages_reserve(r->messages, (uint32_t)n / INDEX_SLOT_OCTETS - 1);
	if (error == 0)
		error = take_slots(
			r, octets + INDEX_HEADER_OCTETS, (size_t)n - INDEX_HEADER_OCTETS);
	if (error == 0 && n == sizeof(octets))
		error = read_pieces(d, fd, r);
	return error;
}

int
index_load(const struct disk *d, const char *path, const struct log_header *log,
	struct messages *messages, struct index_end *end_out)
{
	struct index_reader r = {
		.messages = messages,
		.end = end_out,
		.wire_end = LOG_HEADER_OCTETS,
	};
	int fd;
	int error;

	must(messages->count == 0);
	end_before_any_commit(log, end_out);
	fd = disk_open(d, path, O_RDONLY, 0);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fd;
	error = read_slots(d, fd, log, &r);
	disk_close(d, fd);
	if (error == 0 && r.octets > end_out->octets)
		error = -EBADMSG; /* slots without the one that ends their commit */
	messages_return_to(messages, r.mark);
	if (error == -EBADMSG) {
		if (end_out->condition == INDEX_WHOLE)
			end_out->condition = INDEX_BROKEN;
		return 0;
	}
	return error;
}

int
index_load_end(
	const struct disk *d, int fd, const struct log_header *log, struct index_end *end_out)
{
	char octets[INDEX_SLOT_OCTETS];
	struct disk_status status;
	struct index_slot slot;
	struct index_end end;
	ssize_t n;
	int error = disk_status_of_file(d, fd, &status);

	if (error != 0)
		return error;
	end_before_any_commit(log, end_out);
	end_before_any_commit(log, &end);
	if (status.octets < INDEX_HEADER_OCTETS || status.octets % INDEX_SLOT_OCTETS != 0)
		return 0;
	n = disk_read_at(d, fd, octets, INDEX_HEADER_OCTETS, 0);
	if (n < 0)
		return (int)n;
	error = n == INDEX_HEADER_OCTETS ? check_header(octets, log, &end) : -EBADMSG;
	if (error != 0)
		return error == -EBADMSG ? 0 : error;
	if (status.octets > INDEX_HEADER_OCTETS) {
		n = disk_read_at(d, fd, octets, sizeof(octets), status.octets - sizeof(octets));
		if (n < 0)
			return (int)n;
		if (n != sizeof(octets) || !index_slot_decode(octets, &slot) || !slot.ends_commit)
			return 0;
		end.octets = status.octets;
		end.covers = index_slot_covers(&slot);
		end.totals = slot.totals;
		if (index_slot_next_uid(&slot) > end.next_uid)
			end.next_uid = index_slot_next_uid(&slot);
	}
	*end_out = end;
	return 0;
}

int
index_read_header(const struct disk *d, const char *path, struct index_header *header_out)
{
	char octets[INDEX_HEADER_OCTETS];
	int fd = disk_open(d, path, O_RDONLY, 0);
	ssize_t n;

	if (fd < 0)
		return fd;
	n = disk_read_at(d, fd, octets, sizeof(octets), 0);
	disk_close(d, fd);
	if (n < 0)
		return (int)n;
	return n == sizeof(octets) ? index_header_decode(octets, header_out) : -EBADMSG;
}

/* Slots on their way out, in pieces. */
struct index_writer {
	const struct disk *disk;
	int fd;
	uint64_t at; /* where `piece` belongs */
	size_t used;
	size_t room; /* of `piece` */
	char *piece;
};

static int
writer_flush(struct index_writer *w)
{
	int error = disk_write_at(w->disk, w->fd, span_of(w->piece, w->used), w->at);

	w->at += w->used;
	w->used = 0;
	return error;
}

/* Room for `slots` more. */
static int
writer_room(struct index_writer *w, size_t slots)
{
	must(slots * INDEX_SLOT_OCTETS <= w->room);
	if (w->used + slots * INDEX_SLOT_OCTETS <= w->room)
		return 0;
	return writer_flush(w);
}

static int
writer_put_messages(struct index_writer *w, const struct messages *m, uint32_t from,
	struct index_totals totals, bool last_ends_commit)
{
	for (uint32_t i = from; i < m->count; i++) {
		const struct maildrop_entry *entry = &m->entries[i];
		int error = writer_room(w, INDEX_MESSAGE_SLOTS_MAX);

		if (error != 0)
			return error;
		totals.octets += entry->octets;
		totals.messages++;
		w->used += INDEX_SLOT_OCTETS *
			index_put_message(entry, messages_id(m, entry), totals,
				last_ends_commit && i + 1 == m->count, w->piece + w->used);
	}
	return 0;
}

/* The ranges of one commit may be more than a piece holds. */
static int
writer_put_expunge(struct index_writer *w, const struct messages *m, uint32_t next_uid,
	uint64_t covers, struct index_totals totals)
{
	size_t octets = index_expunge_slots(m->range_count) * INDEX_SLOT_OCTETS;
	char *slots = malloc(octets);
	int error;

	if (slots == NULL)
		return -ENOMEM;
	index_put_expunge(m->ranges, m->range_count, next_uid, covers, totals, slots);
	error = writer_flush(w);
	if (error == 0)
		error = disk_write_at(w->disk, w->fd, span_of(slots, octets), w->at);
	w->at += octets;
	free(slots);
	return error;
}

/* A commit may end with its last message if that says all there is to say. */
static bool
last_message_says_all(const struct messages *m, uint32_t from, uint32_t next_uid, uint64_t covers)
{
	const struct maildrop_entry *last = m->count > from ? &m->entries[m->count - 1] : NULL;

	return last != NULL && m->range_count == 0 && next_uid == last->uid + 1 &&
		covers == record_round_up(last->wire_offset + last->wire_octets);
}

static int
writer_put_commit(struct index_writer *w, const struct messages *m, uint32_t from,
	uint32_t next_uid, uint64_t covers, struct index_totals before, struct index_totals after)
{
	bool by_message = last_message_says_all(m, from, next_uid, covers);
	int error = writer_put_messages(w, m, from, before, by_message);

	if (error == 0)
		error = by_message ? writer_flush(w)
				   : writer_put_expunge(w, m, next_uid, covers, after);
	return error;
}

int
index_append(const struct disk *d, int fd, const struct messages *messages, uint32_t from,
	uint32_t next_uid, uint64_t covers, struct index_totals totals, struct index_end *end)
{
	struct index_writer w = { .disk = d, .fd = fd, .at = end->octets };
	int error;

	must(end->condition == INDEX_WHOLE);
	w.room = (size_t)(messages->count - from + 1) * INDEX_MESSAGE_SLOTS_MAX * INDEX_SLOT_OCTETS;
	if (w.room > PIECE_OCTETS)
		w.room = PIECE_OCTETS;
	w.piece = malloc(w.room);
	if (w.piece == NULL)
		return -ENOMEM;
	error = writer_put_commit(&w, messages, from, next_uid, covers, end->totals, totals);
	free(w.piece);
	if (error != 0)
		return error;
	end->covers = covers;
	end->next_uid = next_uid;
	end->totals = totals;
	end->octets = w.at;
	return 0;
}

static int
write_whole(const struct disk *d, int fd, const struct log_header *log,
	const struct messages *messages, uint32_t next_uid, uint64_t covers,
	struct index_end *end_out)
{
	char octets[INDEX_HEADER_OCTETS];
	struct index_header header = { .uid_validity = log->uid_validity, .next_uid = next_uid };
	struct index_end end = { .condition = INDEX_WHOLE, .octets = sizeof(octets) };
	int error;

	memcpy(header.generation, log->generation, sizeof(header.generation));
	index_header_encode(&header, octets);
	error = disk_write_at(d, fd, span_of(octets, sizeof(octets)), 0);
	if (error == 0)
		error = index_append(
			d, fd, messages, 0, next_uid, covers, messages_totals(messages), &end);
	if (error == 0)
		*end_out = end;
	return error;
}

int
index_replace(const struct disk *d, const char *directory, const struct log_header *log,
	const struct messages *messages, uint32_t next_uid, uint64_t covers,
	struct index_end *end_out)
{
	char path[LAYOUT_PATH_MAX];
	char path_new[LAYOUT_PATH_MAX];
	int error;
	int fd;

	layout_join(directory, "index", path);
	layout_join(directory, "index.new", path_new);
	fd = disk_open(d, path_new, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		return fd;
	error = write_whole(d, fd, log, messages, next_uid, covers, end_out);
	if (error == 0)
		error = disk_rename(d, path_new, path);
	if (error == 0)
		return fd;
	disk_close(d, fd);
	disk_unlink(d, path_new);
	return error;
}
