/*
 * uidlist.c - dovecot-uidlist and courierpop3dsizelist, line by line.
 *
 * A line that cannot be understood costs the id of one file, so it is counted and passed over.  A
 * first line that cannot be understood costs all of them, so it is an error.
 * Invariant: entries are sorted by base name and no two are equal; of several lines for one file
 * the last one counts, as it does for the servers that wrote them.
 *
 * Ownership: the list owns its entries, which borrow names and ids from the parsed text.
 */
#include "storage/convert/uidlist.h"

#include "storage/uid.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define COURIER_VERSION_MAX 3u

/* What stands before the first (or last) `c`; *rest_out is what stands behind it.  Without a `c`
 * all of `s` comes back and nothing is left. */
static struct span
cut(struct span s, char c, struct span *rest_out)
{
	const char *at = s.length > 0 ? memchr(s.at, c, s.length) : NULL;

	if (at == NULL) {
		*rest_out = span_of("", 0);
		return s;
	}
	*rest_out = span_after(s, (size_t)(at - s.at) + 1);
	return span_of(s.at, (size_t)(at - s.at));
}

static struct span
cut_last(struct span s, char c, struct span *rest_out)
{
	const char *at = s.length > 0 ? memrchr(s.at, c, s.length) : NULL;

	if (at == NULL) {
		*rest_out = span_of("", 0);
		return s;
	}
	*rest_out = span_after(s, (size_t)(at - s.at) + 1);
	return span_of(s.at, (size_t)(at - s.at));
}

struct span
maildir_base_name(struct span file_name)
{
	struct span flags;

	return cut(file_name, ':', &flags);
}

static bool
span_to_u32(struct span s, uint32_t *value_out)
{
	uint64_t value;

	if (!span_to_u64(s, UINT32_MAX, &value))
		return false;
	*value_out = (uint32_t)value;
	return true;
}

/* "3 V<uid-validity> N<next uid> ..." or "1 <uid-validity> <next uid>" */
static int
dovecot_parse_header(struct span line, unsigned *version_out, struct uidlist *list)
{
	struct span version = cut(line, ' ', &line);
	bool has_next_uid = false;

	if (span_equals(version, SPAN("1"))) {
		struct span uid_validity = cut(line, ' ', &line);

		*version_out = 1;
		return span_to_u32(uid_validity, &list->uid_validity) &&
				span_to_u32(line, &list->next_uid)
			? 0
			: -EBADMSG;
	}
	if (!span_equals(version, SPAN("3")))
		return -EPROTONOSUPPORT;
	*version_out = 3;
	while (line.length > 0) {
		struct span field = cut(line, ' ', &line);

		if (field.length > 0 && field.at[0] == 'V' &&
			!span_to_u32(span_after(field, 1), &list->uid_validity))
			return -EBADMSG;
		if (field.length > 0 && field.at[0] == 'N')
			has_next_uid = span_to_u32(span_after(field, 1), &list->next_uid);
	}
	return list->uid_validity != 0 && has_next_uid ? 0 : -EBADMSG;
}

static bool
dovecot_parse_line(unsigned version, struct span line, struct uidlist_entry *entry)
{
	struct span uid = cut(line, ' ', &line);

	if (!span_to_u64(uid, UINT32_MAX - 1, &entry->uid) || entry->uid == 0)
		return false;
	while (version >= 3 && line.length > 0 && line.at[0] != ':') {
		struct span field = cut(line, ' ', &line);

		if (field.length > 0 && field.at[0] == 'P')
			entry->unique_id = span_after(field, 1);
		if (field.length > 0 && field.at[0] == 'O')
			(void)span_to_u32(span_after(field, 1), &entry->order);
	}
	if (version >= 3)
		line = span_after(line, 1);
	entry->base_name = maildir_base_name(line);
	return entry->base_name.length > 0;
}

/* "/<version> <next uid> <uid-validity>"; in old lists there is no such line. */
static int
courier_parse_header(struct span line, unsigned *version_out)
{
	uint64_t version;

	if (line.length == 0 || line.at[0] != '/') {
		*version_out = 0;
		return 0;
	}
	if (!span_to_u64(span_after(cut(line, ' ', &line), 1), UINT32_MAX, &version))
		return -EBADMSG;
	if (version == 0 || version > COURIER_VERSION_MAX)
		return -EPROTONOSUPPORT;
	*version_out = (unsigned)version;
	return 0;
}

static bool
courier_parse_line(unsigned version, struct span line, struct uidlist_entry *entry)
{
	struct span size, uid = SPAN("0"), uid_validity = SPAN("0"), rest;
	uint64_t octets;

	if (version >= 1)
		line = cut_last(line, ' ', &uid);
	if (version >= 2)
		uid = cut(uid, ':', &uid_validity);
	if (version >= 3)
		uid_validity = cut(uid_validity, ':', &rest);
	line = cut_last(line, ' ', &size);
	entry->base_name = maildir_base_name(line);
	return entry->base_name.length > 0 && span_to_u64(size, UINT64_MAX, &octets) &&
		span_to_u64(uid, UINT64_MAX, &entry->uid) &&
		span_to_u64(uid_validity, UINT64_MAX, &entry->uid_validity);
}

static int
span_compare(struct span a, struct span b)
{
	size_t shorter = a.length < b.length ? a.length : b.length;
	int order = shorter > 0 ? memcmp(a.at, b.at, shorter) : 0;

	if (order != 0)
		return order;
	return a.length < b.length ? -1 : a.length > b.length;
}

/* Names point into one text, so that of two equal ones the later line has the higher address. */
static int
entry_compare(const void *left, const void *right)
{
	const struct uidlist_entry *a = left, *b = right;
	int order = span_compare(a->base_name, b->base_name);

	if (order != 0)
		return order;
	return a->base_name.at < b->base_name.at ? -1 : a->base_name.at > b->base_name.at;
}

static void
uidlist_sort(struct uidlist *list)
{
	size_t kept = 0;

	if (list->count == 0)
		return;
	qsort(list->entries, list->count, sizeof(*list->entries), entry_compare);
	for (size_t i = 1; i < list->count; i++) {
		if (!span_equals(list->entries[i].base_name, list->entries[kept].base_name))
			kept++;
		list->entries[kept] = list->entries[i];
	}
	list->count = kept + 1;
}

static size_t
count_lines(struct span text)
{
	size_t lines = 1;

	for (const char *at = text.at; text.length > 0;) {
		at = memchr(at, '\n', (size_t)(text.at + text.length - at));
		if (at == NULL)
			break;
		lines++;
		at++;
	}
	return lines;
}

static int
parse_header(struct span *text, unsigned *version_out, struct uidlist *list)
{
	struct span rest;
	struct span line = cut(*text, '\n', &rest);
	int error;

	if (list->kind == UIDLIST_DOVECOT)
		error = dovecot_parse_header(line, version_out, list);
	else
		error = courier_parse_header(line, version_out);
	if (error == 0 && *version_out > 0)
		*text = rest;
	return error;
}

int
uidlist_parse(enum uidlist_kind kind, struct span text, struct uidlist *list_out)
{
	struct uidlist list = { .kind = kind };
	unsigned version;
	int error = parse_header(&text, &version, &list);

	if (error != 0)
		return error;
	list.entries = calloc(count_lines(text), sizeof(*list.entries));
	if (list.entries == NULL)
		return -ENOMEM;
	while (text.length > 0) {
		struct span line = cut(text, '\n', &text);
		struct uidlist_entry *entry = &list.entries[list.count];
		bool good;

		*entry = (struct uidlist_entry){ 0 };
		if (line.length == 0)
			continue;
		if (kind == UIDLIST_DOVECOT)
			good = dovecot_parse_line(version, line, entry);
		else
			good = courier_parse_line(version, line, entry);
		if (good)
			list.count++;
		else
			list.bad_lines++;
	}
	uidlist_sort(&list);
	*list_out = list;
	return 0;
}

void
uidlist_free(struct uidlist *list)
{
	free(list->entries);
	*list = (struct uidlist){ 0 };
}

const struct uidlist_entry *
uidlist_find(const struct uidlist *list, struct span base_name)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = span_compare(list->entries[middle].base_name, base_name);

		if (order == 0)
			return &list->entries[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* Courier's oldest form: the base name with +XX for what must not stand in a unique-id. */
static bool
courier_name_to_unique_id(struct span name, char to[MAILDROP_UNIQUE_ID_MAX + 1])
{
	size_t length = 0;

	for (size_t i = 0; i < name.length; i++) {
		unsigned char c = (unsigned char)name.at[i];
		bool plain = c >= 0x21 && c <= 0x7e && c != '\'' && c != '"' && c != '+';

		if (length + (plain ? 1 : 3) > MAILDROP_UNIQUE_ID_MAX)
			return false;
		if (plain)
			to[length++] = (char)c;
		else
			length += (size_t)snprintf(to + length, 4, "+%02X", c);
	}
	to[length] = '\0';
	return length > 0;
}

bool
uidlist_unique_id(const struct uidlist *list, const struct uidlist_entry *entry,
	char to[MAILDROP_UNIQUE_ID_MAX + 1])
{
	struct span id = entry->unique_id;

	if (list->kind == UIDLIST_COURIER && entry->uid == 0)
		return courier_name_to_unique_id(entry->base_name, to);
	if (list->kind == UIDLIST_COURIER && entry->uid_validity == 0) {
		snprintf(to, MAILDROP_UNIQUE_ID_MAX + 1, "UID%" PRIu64, entry->uid);
		return true;
	}
	if (list->kind == UIDLIST_COURIER) {
		snprintf(to, MAILDROP_UNIQUE_ID_MAX + 1, "UID%" PRIu64 "-%" PRIu64, entry->uid,
			entry->uid_validity);
		return true;
	}
	if (id.at == NULL) {
		uid_put_derived((uint32_t)entry->uid, list->uid_validity, to);
		to[UID_DERIVED_OCTETS] = '\0';
		return true;
	}
	if (id.length == 0)
		id = entry->base_name;
	if (!uid_is_unique_id(id))
		return false;
	memcpy(to, id.at, id.length);
	to[id.length] = '\0';
	return true;
}
