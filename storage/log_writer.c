/*
 * log_writer.c - records with messages, composed in one buffer.
 *
 * The buffer begins with room for the header and entries of a full record; the spans follow.  When
 * the record is complete its header and entries are put directly before the first span, and the
 * whole is one write:
 *
 *     | room for header and entries ...[header entries]| span | span | span ... |
 *                                                 first^                    used^
 *
 * Of a streamed message the spans' place in the file is fixed before its length is known, so its
 * record keeps the whole head room and may have a gap of some octets between entry and status line.
 *
 * Messages that were added whole are written from where they lie:
 *
 *     [header entries] | status | part | part | end line | status | part | end line | padding
 *
 * Invariants: record_start is aligned; pending entries have their wire_offset from the first span
 * on; while a streamed message pends nothing else is in the record.
 */
#include "storage/log_writer.h"

#include "io/base/crc32c.h"
#include "io/base/must.h"
#include "storage/crc32c_join.h"
#include "storage/uid.h"

#include <errno.h>
#include <stdlib.h>

#define FRONT_OCTETS (RECORD_HEADER_OCTETS + LOG_WRITER_BATCH_MESSAGES * RECORD_ENTRY_OCTETS_MAX)
#define FIRST_ROOM   32768u

void
log_writer_init(struct log_writer *w, const struct disk *d, int fd, const struct log_header *log,
	uint64_t end, uint32_t next_uid)
{
	must(end % RECORD_ALIGNMENT == 0);
	*w = (struct log_writer){
		.disk = d,
		.fd = fd,
		.salt = log_salt(log->generation),
		.uid_validity = log->uid_validity,
		.next_uid = next_uid,
		.commit_start = end,
		.record_start = end,
		.written_end = end,
		.first = FRONT_OCTETS,
		.used = FRONT_OCTETS,
	};
}

void
log_writer_next_commit(struct log_writer *w)
{
	must(w->failed == 0 && w->pending_count == 0);
	w->commit_start = w->record_start;
	w->added_totals = (struct index_totals){ 0 };
	messages_free(&w->added);
}

void
log_writer_free(struct log_writer *w)
{
	free(w->pending);
	free(w->buffer);
	free(w->parts);
	messages_free(&w->added);
	w->pending = NULL;
	w->buffer = NULL;
	w->parts = NULL;
}

static int
write_at(struct log_writer *w, const char *octets, size_t length, uint64_t at)
{
	/* Also what a failed write left in the file is to be cut off. */
	if (at + length > w->written_end)
		w->written_end = at + length;
	return disk_write_at(w->disk, w->fd, span_of(octets, length), at);
}

/* Let the buffer hold `octets` more. */
static int
make_room(struct log_writer *w, size_t octets)
{
	size_t room = w->room < FIRST_ROOM ? FIRST_ROOM : w->room;
	char *grown;

	if (w->used + octets <= w->room)
		return 0;
	while (room < w->used + octets)
		room *= 2;
	grown = realloc(w->buffer, room);
	if (grown == NULL)
		return -ENOMEM;
	w->buffer = grown;
	w->room = room;
	return 0;
}

static size_t
pending_entries_octets(const struct log_writer *w)
{
	size_t octets = 0;

	for (uint32_t i = 0; i < w->pending_count; i++)
		octets += record_entry_octets(w->pending[i].id_octets > 0);
	return octets;
}

/* Tell `added` of the record that is about to be written: its first span is at `first_span`. */
static int
add_pending(struct log_writer *w, uint64_t first_span)
{
	for (uint32_t i = 0; i < w->pending_count; i++) {
		struct log_writer_message *p = &w->pending[i];
		int error;

		p->entry.wire_offset += first_span;
		error = messages_add(&w->added, &p->entry, span_of(p->id, p->id_octets));
		if (error != 0)
			return error;
		w->added_totals.octets += p->entry.octets;
		w->added_totals.messages++;
	}
	return 0;
}

/* Put header and entries of the record to `to`; `octets` is the length of all its spans and gap. */
static void
put_front(struct log_writer *w, uint64_t content_octets, bool ends_commit, char *to)
{
	size_t entries_octets = pending_entries_octets(w);
	char *entries = to + RECORD_HEADER_OCTETS;
	size_t put = 0;
	struct record_header header = {
		.type = RECORD_MESSAGES,
		.ends_commit = ends_commit,
		.octets = record_round_up(RECORD_HEADER_OCTETS + entries_octets + content_octets),
		.commit_start = w->commit_start,
		.uid_validity = w->uid_validity,
		.next_uid = w->next_uid,
		.count = w->pending_count,
		.entries_octets = (uint32_t)entries_octets,
	};

	for (uint32_t i = 0; i < w->pending_count; i++) {
		const struct log_writer_message *p = &w->pending[i];

		put += record_entry_encode(&p->entry, span_of(p->id, p->id_octets),
			w->record_start + RECORD_HEADER_OCTETS + put, w->salt, entries + put);
	}
	must(put == entries_octets);
	record_header_encode(&header, w->salt, span_of(entries, entries_octets), to);
}

/* Write the record whose spans end at `end` of the buffer. */
static int
write_batch(struct log_writer *w, size_t end, bool ends_commit)
{
	size_t front = RECORD_HEADER_OCTETS + pending_entries_octets(w);
	size_t octets = front + (end - w->first);
	size_t padding = (size_t)(record_round_up(octets) - octets);
	char saved[RECORD_ALIGNMENT];
	int error = add_pending(w, w->record_start + front);

	if (error == 0)
		error = make_room(w, padding);
	if (error != 0)
		return error;
	put_front(w, end - w->first, ends_commit, w->buffer + w->first - front);

	/* The message that follows in the buffer lends its first octets for the padding. */
	memcpy(saved, w->buffer + end, padding);
	memset(w->buffer + end, 0, padding);
	error = write_at(w, w->buffer + w->first - front, octets + padding, w->record_start);
	memcpy(w->buffer + end, saved, padding);
	w->record_start += octets + padding;
	return error;
}

/* The content of a streamed message is in the file: put before it what was missing. */
static int
write_stream_front(struct log_writer *w, bool ends_commit)
{
	struct log_writer_message *p = &w->pending[0];
	size_t front = RECORD_HEADER_OCTETS + pending_entries_octets(w);
	uint64_t octets = p->entry.wire_offset + p->entry.wire_octets; /* from the entries' end */
	char to[RECORD_HEADER_OCTETS + RECORD_ENTRY_OCTETS_MAX];
	int error = add_pending(w, w->record_start + front);

	if (error != 0)
		return error;
	put_front(w, octets, ends_commit, to);
	error = write_at(w, to, front, w->record_start);
	w->record_start += record_round_up(front + octets);
	return error;
}

/* The record whose messages lie elsewhere. */
static int
write_gathered(struct log_writer *w, bool ends_commit)
{
	static const char zeros[RECORD_ALIGNMENT];
	size_t front = RECORD_HEADER_OCTETS + pending_entries_octets(w);
	uint64_t octets = front + w->gathered_octets;
	uint64_t padding = record_round_up(octets) - octets;
	int error = add_pending(w, w->record_start + front);

	if (error != 0)
		return error;
	must(front <= w->room);
	put_front(w, w->gathered_octets, ends_commit, w->buffer);
	w->parts[0] = span_of(w->buffer, front);
	w->parts[w->part_count++] = span_of(zeros, (size_t)padding);
	if (w->record_start + octets + padding > w->written_end)
		w->written_end = w->record_start + octets + padding;
	error = disk_gather_at(w->disk, w->fd, w->parts, w->part_count, w->record_start);
	w->record_start += octets + padding;
	return error;
}

static int
write_pending(struct log_writer *w, size_t end, bool ends_commit)
{
	if (w->gathers)
		return write_gathered(w, ends_commit);
	return w->streams ? write_stream_front(w, ends_commit) : write_batch(w, end, ends_commit);
}

/* Write the pending record, if there is one; a message in the buffer behind it stays. */
static int
flush_record(struct log_writer *w, bool ends_commit)
{
	size_t end = w->in_message ? w->start - w->head_room : w->used;
	size_t left = w->used - end;
	int error;

	if (w->failed != 0)
		return w->failed;
	if (w->pending_count == 0)
		return 0;
	error = write_pending(w, end, ends_commit);
	if (left > 0)
		memmove(w->buffer + FRONT_OCTETS, w->buffer + end, left);
	w->first = FRONT_OCTETS;
	w->used = FRONT_OCTETS + left;
	w->start = FRONT_OCTETS + w->head_room;
	w->pending_count = 0;
	w->streams = false;
	w->gathers = false;
	w->failed = error;
	return error;
}

/* No message that comes by the buffer, or whole, fits into the record. */
static bool
record_is_full(const struct log_writer *w, bool is_whole)
{
	return w->streams || (w->pending_count > 0 && w->gathers != is_whole) ||
		w->pending_count == LOG_WRITER_BATCH_MESSAGES ||
		w->used - w->first >= LOG_WRITER_BATCH_OCTETS ||
		(is_whole && w->gathered_octets >= LOG_WRITER_BATCH_OCTETS);
}

/* Room for one more message in the record. */
static int
open_record(struct log_writer *w, bool is_whole)
{
	int error = w->failed;

	if (error == 0 && record_is_full(w, is_whole))
		error = flush_record(w, false);
	if (error == 0 && w->pending == NULL) {
		w->pending = malloc(LOG_WRITER_BATCH_MESSAGES * sizeof(*w->pending));
		error = w->pending == NULL ? -ENOMEM : 0;
	}
	return error;
}

int
log_writer_begin(struct log_writer *w, struct span id, size_t head_room)
{
	int error = open_record(w, false);

	must(!w->in_message && id.length <= sizeof(w->id));
	if (error == 0)
		error = make_room(w, head_room);
	if (error != 0)
		return error;
	if (id.length > 0)
		memcpy(w->id, id.at, id.length);
	w->id_octets = id.length;
	w->head_room = head_room;
	w->used += head_room;
	w->start = w->used;
	w->in_message = true;
	return 0;
}

int
log_writer_room(struct log_writer *w, size_t octets, char **room_out)
{
	int error = make_room(w, octets);

	must(w->in_message);
	if (error == 0)
		*room_out = w->buffer + w->used;
	return error;
}

/* Write what the buffer holds of the streamed message behind what is there already. */
static int
stream_on(struct log_writer *w)
{
	size_t length = w->used - w->start;
	const char *octets = w->buffer + w->start;
	int error = write_at(w, octets, length, w->stream_start + w->stream_octets);

	w->stream_crc = crc32c(w->stream_crc, octets, length);
	w->stream_octets += length;
	w->used = w->start;
	return error;
}

int
log_writer_advance(struct log_writer *w, size_t octets)
{
	int error = 0;

	must(w->in_message && w->used + octets <= w->room);
	w->used += octets;
	if (w->used - w->first < LOG_WRITER_BATCH_OCTETS)
		return 0;
	if (!w->streams && w->pending_count > 0)
		error = flush_record(w, false);
	if (error == 0 && w->used - w->first >= LOG_WRITER_BATCH_OCTETS) {
		if (!w->streams) {
			w->streams = true;
			w->stream_octets = 0;
			w->stream_crc = 0;
			w->stream_start = w->record_start + RECORD_HEADER_OCTETS +
				record_entry_octets(w->id_octets > 0) + w->head_room;
		}
		error = stream_on(w);
	}
	if (error != 0)
		log_writer_drop(w);
	return error;
}

static int
end_streamed(struct log_writer *w, struct maildrop_entry *entry, struct span head)
{
	static const char zeros[RECORD_GAP_MAX + RECORD_ALIGNMENT];
	uint64_t end;
	uint32_t head_crc = crc32c(0, head.at, head.length);
	int error = stream_on(w);

	end = w->stream_start + w->stream_octets;
	if (error == 0)
		error = write_at(w, zeros, (size_t)(record_round_up(end) - end), end);
	if (error == 0)
		error = write_at(
			w, zeros, w->head_room - head.length, w->stream_start - w->head_room);
	if (error == 0)
		error = write_at(w, head.at, head.length, w->stream_start - head.length);
	entry->wire_offset = w->head_room - head.length;
	entry->wire_octets = head.length + w->stream_octets;
	entry->content_crc = crc32c_join(head_crc, w->stream_crc, w->stream_octets);
	return error;
}

/* Put the head before the content: the first message's span may begin anywhere, the others begin
 * where the one before them ends. */
static void
end_in_memory(struct log_writer *w, struct maildrop_entry *entry, struct span head)
{
	size_t spare = w->head_room - head.length;
	size_t length = w->used - w->start;
	size_t span_start;

	if (w->pending_count == 0) {
		w->first += spare;
	} else if (spare > 0) {
		memmove(w->buffer + w->start - spare, w->buffer + w->start, length);
		w->start -= spare;
		w->used -= spare;
	}
	span_start = w->start - head.length;
	if (head.length > 0)
		memcpy(w->buffer + span_start, head.at, head.length);
	entry->wire_offset = span_start - w->first;
	entry->wire_octets = head.length + length;
	entry->content_crc = crc32c(0, w->buffer + span_start, head.length + length);
}

int
log_writer_end(struct log_writer *w, const struct maildrop_entry *entry, struct span head)
{
	struct log_writer_message *p = &w->pending[w->pending_count];
	int error = 0;

	must(w->in_message && head.length <= w->head_room);
	must(entry->uid <= UID_MAX);
	p->entry = *entry;
	if (w->streams)
		error = end_streamed(w, &p->entry, head);
	else
		end_in_memory(w, &p->entry, head);
	if (error != 0) {
		log_writer_drop(w);
		return error;
	}
	p->id_octets = (uint8_t)w->id_octets;
	memcpy(p->id, w->id, w->id_octets);
	w->pending_count++;
	w->in_message = false;
	if (entry->uid >= w->next_uid)
		w->next_uid = entry->uid + 1;
	return 0;
}

void
log_writer_drop(struct log_writer *w)
{
	if (!w->in_message)
		return;
	w->used = w->start - w->head_room;
	w->in_message = false;
	w->streams = false;
}

/* Let there be room for `count` parts more, and for the padding. */
static int
make_part_room(struct log_writer *w, unsigned count)
{
	unsigned room = w->part_room == 0 ? 32 : w->part_room;
	struct span *grown;

	if (w->part_count + count + 1 <= w->part_room)
		return 0;
	while (room < w->part_count + count + 1)
		room *= 2;
	grown = realloc(w->parts, room * sizeof(*grown));
	if (grown == NULL)
		return -ENOMEM;
	w->parts = grown;
	w->part_room = room;
	return 0;
}

static void
put_part(struct log_writer *w, struct span part)
{
	w->parts[w->part_count++] = part;
	w->gathered_octets += part.length;
}

int
log_writer_add(struct log_writer *w, const struct maildrop_entry *entry, const struct span *parts,
	unsigned count)
{
	struct log_writer_message *p;
	uint64_t start;
	int error = open_record(w, true);

	must(!w->in_message && entry->uid <= UID_MAX);
	if (error == 0 && w->pending_count == 0) {
		w->part_count = 1;
		w->gathered_octets = 0;
	}
	if (error == 0)
		error = make_part_room(w, count + 2);
	if (error == 0)
		error = make_room(w, 0);
	if (error != 0)
		return error;
	p = &w->pending[w->pending_count++];
	start = w->gathered_octets;
	p->entry = *entry;
	p->entry.wire_offset = start;
	p->id_octets = 0;
	put_part(w, span_of(p->status, wire_put_status(entry->octets, p->status)));
	for (unsigned i = 0; i < count; i++)
		put_part(w, parts[i]);
	put_part(w, SPAN(WIRE_END));
	must(w->gathered_octets - start == entry->wire_octets);
	w->gathers = true;
	if (entry->uid >= w->next_uid)
		w->next_uid = entry->uid + 1;
	return 0;
}

bool
log_writer_is_empty(const struct log_writer *w)
{
	return w->pending_count == 0 && w->added.count == 0;
}

/* The message for which the last record was written was dropped: a record without content is the
 * last one then. */
static int
write_end_of_commit(struct log_writer *w)
{
	char octets[RECORD_HEADER_OCTETS];
	struct record_header header = {
		.type = RECORD_EXPUNGE,
		.ends_commit = true,
		.octets = sizeof(octets),
		.commit_start = w->commit_start,
		.uid_validity = w->uid_validity,
		.next_uid = w->next_uid,
	};
	int error;

	record_header_encode(&header, w->salt, span_of(octets, 0), octets);
	error = write_at(w, octets, sizeof(octets), w->record_start);
	w->record_start += sizeof(octets);
	return error;
}

int
log_writer_finish(struct log_writer *w, uint64_t *end_out)
{
	bool is_marked = w->pending_count > 0 || w->added.count == 0;
	int error;

	must(!w->in_message);
	error = flush_record(w, true);
	if (error == 0 && !is_marked)
		error = write_end_of_commit(w);
	if (error == 0 && w->written_end > w->record_start)
		error = disk_truncate(w->disk, w->fd, w->record_start);
	if (error == 0) {
		w->written_end = w->record_start;
		*end_out = w->record_start;
	}
	return error;
}
