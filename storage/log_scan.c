/*
 * log_scan.c - reading the records of an open log, and finding them where the way to them is lost.
 *
 * All reading goes through one window of the file, which moves forward in large steps, so that a
 * log of a million small records is read in few calls.
 */
#include "storage/log_scan.h"

#include "io/base/crc32c.h"
#include "io/base/must.h"

#include <errno.h>
#include <stdlib.h>

#define WINDOW_OCTETS 262144u

void
log_scan_init(struct log_scan *s, const struct disk *d, int fd, uint64_t size,
	const struct log_header *log)
{
	*s = (struct log_scan){
		.disk = d,
		.fd = fd,
		.size = size,
		.salt = log_salt(log->generation),
		.uid_validity = log->uid_validity,
	};
}

void
log_scan_free(struct log_scan *s)
{
	free(s->window);
	s->window = NULL;
	s->window_room = 0;
	s->window_octets = 0;
}

static int
window_grow(struct log_scan *s, size_t room)
{
	char *grown;

	if (room < WINDOW_OCTETS)
		room = WINDOW_OCTETS;
	if (room <= s->window_room)
		return 0;
	grown = realloc(s->window, room);
	if (grown == NULL)
		return -ENOMEM;
	s->window = grown;
	s->window_room = room;
	return 0;
}

/* Let the window hold the octets [at, at + octets), all below the scan's size. */
static int
window_move(struct log_scan *s, uint64_t at, size_t octets, const char **octets_out)
{
	int error;
	ssize_t n;

	must(at <= s->size && octets <= s->size - at);
	if (at < s->window_at || at + octets > s->window_at + s->window_octets) {
		uint64_t left = s->size - at;

		error = window_grow(s, octets);
		if (error != 0)
			return error;
		s->window_octets = 0;
		n = disk_read_at(s->disk, s->fd, s->window,
			left < s->window_room ? (size_t)left : s->window_room, at);
		if (n < 0)
			return (int)n;
		if ((size_t)n < octets)
			return -EIO; /* the file became shorter under our lock */
		s->window_at = at;
		s->window_octets = (size_t)n;
	}
	*octets_out = s->window + (at - s->window_at);
	return 0;
}

/* Spans lie side by side, the first directly behind the entries but for the gap of a streamed
 * message, and the padding ends the record. */
static bool
spans_are_sound(
	const struct log_record *record, uint64_t entries_end, uint64_t first, uint64_t last_end)
{
	return first >= entries_end && first <= entries_end + RECORD_GAP_MAX &&
		record_round_up(last_end) == record->at + record->header.octets;
}

static bool
entries_are_sound(const struct log_scan *s, const struct log_record *record)
{
	uint64_t at = record->at + RECORD_HEADER_OCTETS;
	uint64_t first = 0;
	uint64_t wire_end = 0;
	uint32_t last_uid = 0;
	struct span left = record->entries;

	for (uint32_t i = 0; i < record->header.count; i++) {
		struct maildrop_entry entry;
		struct span id;
		size_t took = record_entry_decode(left, at, s->salt, &entry, &id);

		if (took == 0 || entry.uid <= last_uid || entry.uid >= record->header.next_uid ||
			(i > 0 && entry.wire_offset != wire_end))
			return false;
		if (i == 0)
			first = entry.wire_offset;
		last_uid = entry.uid;
		wire_end = entry.wire_offset + entry.wire_octets;
		at += took;
		left = span_after(left, took);
	}
	return left.length == 0 && spans_are_sound(record, at, first, wire_end);
}

static bool
ranges_are_sound(const struct log_record *record)
{
	for (uint32_t i = 0; i < record->header.count; i++) {
		struct uid_range range = record_range_decode(record->entries, i);

		if (range.first > range.last || range.last >= record->header.next_uid)
			return false;
	}
	return true;
}

int
log_scan_record(struct log_scan *s, uint64_t at, struct log_record *record_out)
{
	struct log_record record = { .at = at };
	struct record_header *h = &record.header;
	const char *octets;
	int error;

	if (at > s->size || s->size - at < RECORD_HEADER_OCTETS)
		return 0;
	error = window_move(s, at, RECORD_HEADER_OCTETS, &octets);
	if (error != 0)
		return error;
	if (!record_header_decode(octets, s->salt, h) || h->octets > s->size - at ||
		h->uid_validity != s->uid_validity || h->commit_start > at)
		return 0;
	error = window_move(s, at, RECORD_HEADER_OCTETS + (size_t)h->entries_octets, &octets);
	if (error != 0)
		return error;
	record.entries = span_of(octets + RECORD_HEADER_OCTETS, h->entries_octets);
	if (!record_is_intact(octets, s->salt, record.entries))
		return 0;
	if (h->type == RECORD_MESSAGES ? !entries_are_sound(s, &record)
				       : !ranges_are_sound(&record))
		return 0;
	*record_out = record;
	return 1;
}

static int
collect_entries(
	const struct log_scan *s, const struct log_record *record, struct messages *messages)
{
	uint64_t at = record->at + RECORD_HEADER_OCTETS;
	struct span left = record->entries;

	while (left.length > 0) {
		struct maildrop_entry entry;
		struct span id;
		size_t took = record_entry_decode(left, at, s->salt, &entry, &id);
		int error;

		must(took > 0);
		error = messages_add(messages, &entry, id);
		if (error != 0)
			return error;
		at += took;
		left = span_after(left, took);
	}
	return 0;
}

int
log_scan_collect(
	const struct log_scan *s, const struct log_record *record, struct messages *messages)
{
	int error = 0;

	if (record->header.type == RECORD_MESSAGES)
		return collect_entries(s, record, messages);
	for (uint32_t i = 0; error == 0 && i < record->header.count; i++)
		error = messages_add_range(messages, record_range_decode(record->entries, i));
	return error;
}

int
log_scan_octets(struct log_scan *s, uint64_t at, uint64_t octets,
	int (*take)(void *ctx, struct span piece), void *ctx)
{
	int error = 0;

	if (at > s->size || octets > s->size - at)
		return -EBADMSG;
	while (error == 0 && octets > 0) {
		size_t here = octets < WINDOW_OCTETS ? (size_t)octets : WINDOW_OCTETS;
		const char *piece;

		error = window_move(s, at, here, &piece);
		if (error == 0)
			error = take(ctx, span_of(piece, here));
		at += here;
		octets -= here;
	}
	return error;
}

static int
add_to_crc(void *ctx, struct span piece)
{
	uint32_t *crc = ctx;

	*crc = crc32c(*crc, piece.at, piece.length);
	return 0;
}

int
log_scan_content(struct log_scan *s, const struct maildrop_entry *entry)
{
	uint32_t crc = 0;
	int error = log_scan_octets(s, entry->wire_offset, entry->wire_octets, add_to_crc, &crc);

	if (error == -EBADMSG)
		return 0;
	return error != 0 ? error : crc == entry->content_crc;
}

int
log_scan_find_record(struct log_scan *s, uint64_t from, struct log_record *record_out)
{
	for (uint64_t at = record_round_up(from); at + RECORD_HEADER_OCTETS <= s->size;
		at += RECORD_ALIGNMENT) {
		struct record_header header;
		const char *octets;
		int result = window_move(s, at, RECORD_HEADER_OCTETS, &octets);

		if (result == 0 && record_header_decode(octets, s->salt, &header))
			result = log_scan_record(s, at, record_out);
		if (result != 0)
			return result;
	}
	return 0;
}

int
log_scan_find_entry(struct log_scan *s, uint64_t from, uint64_t to,
	struct maildrop_entry *entry_out, char id_out[MAILDROP_UNIQUE_ID_MAX + 1],
	uint64_t *after_out)
{
	if (to > s->size)
		to = s->size;
	for (uint64_t at = record_round_up(from); at + RECORD_ENTRY_OCTETS <= to;
		at += RECORD_ALIGNMENT) {
		uint64_t left = to - at;
		size_t length =
			left < RECORD_ENTRY_OCTETS_MAX ? (size_t)left : RECORD_ENTRY_OCTETS_MAX;
		const char *octets;
		struct span id;
		size_t took;
		int error = window_move(s, at, length, &octets);

		if (error != 0)
			return error;
		took = record_entry_decode(span_of(octets, length), at, s->salt, entry_out, &id);
		if (took > 0) {
			memcpy(id_out, id.at, id.length);
			id_out[id.length] = '\0';
			*after_out = at + took;
			return 1;
		}
	}
	return 0;
}
