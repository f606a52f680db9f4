/*
 * verdict.c - does a spool that came out of a crash keep what was promised?
 *
 * It is read as a server would read it: maildrop_open() on a disk that waits, recovery and all.
 * What is looked for is in model.h.
 */
#include "io/base/must.h"
#include "tests/power/model.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define LOCK_TIMEOUT_MS 5000
#define FRESH_TEXT      "Subject: after the crash\r\n\r\nFresh.\r\n"

struct verdict {
	struct model *model;
	const struct disk *disk;
	uint32_t box;
	const char *address;
	unsigned violations;
	void (*report)(void *ctx, const char *text);
	void *ctx;
};

static const struct maildrop_options options = {
	.lock_timeout_ms = LOCK_TIMEOUT_MS,
	.sync = true,
};

static void __attribute__((format(printf, 2, 3)))
violation(struct verdict *v, const char *format, ...)
{
	char text[256];
	int written = snprintf(text, sizeof(text), "%s: ", v->address);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text + written, sizeof(text) - (size_t)written, format, arguments);
	va_end(arguments);
	v->violations++;
	v->report(v->ctx, text);
}

static size_t
first_difference(struct span a, struct span b)
{
	size_t at = 0;

	while (at < a.length && at < b.length && a.at[at] == b.at[at])
		at++;
	return at;
}

static void
check_known_message(struct verdict *v, struct model_message *message, uint32_t serial,
	struct span wire, const char *unique_id)
{
	struct model *m = v->model;

	if (message->is_found)
		violation(v, "serial %u is there twice", serial);
	message->is_found = true;
	if (!span_equals(wire, message->wire))
		violation(v,
			"serial %u (%s), %zu octets, is not the %zu that were delivered: they differ at "
			"%zu",
			serial, unique_id, wire.length, message->wire.length,
			first_difference(wire, message->wire));
	if (message->unique_id[0] != '\0' && strcmp(message->unique_id, unique_id) != 0)
		violation(v, "serial %u was %s and is %s", serial, message->unique_id, unique_id);
	if (message->deletion != 0 && m->operations[message->deletion].is_done)
		violation(v, "serial %u (%s) was deleted and is back", serial, unique_id);
}

/* Nobody but the message that had it may have this unique-id. */
static void
check_unique_id_is_not_another_s(
	struct verdict *v, const struct model_message *owner, const char *unique_id)
{
	const struct model *m = v->model;

	for (size_t i = 1; i < m->message_count; i++) {
		const struct model_message *other = &m->messages[i];

		if (other != owner && other->box == v->box &&
			strcmp(other->unique_id, unique_id) == 0)
			violation(v, "%s was serial %zu's and is given again", unique_id, i);
	}
}

static void
check_entry(struct verdict *v, const struct maildrop *drop, const struct maildrop_entry *entry)
{
	struct model *m = v->model;
	char unique_id[MAILDROP_UNIQUE_ID_MAX + 1];
	char *wire = malloc(entry->wire_octets + 1);
	uint32_t carried;
	uint32_t serial;
	ssize_t got;

	must(wire != NULL);
	maildrop_unique_id(drop, entry, unique_id);
	got = disk_read_at(v->disk, drop->log_fd, wire, entry->wire_octets, entry->wire_offset);
	if (got != (ssize_t)entry->wire_octets) {
		violation(v, "%s cannot be read: %s", unique_id,
			got < 0 ? strerror((int)-got) : "the log ends");
		free(wire);
		return;
	}
	carried = model_carried_serial(span_of(wire, entry->wire_octets));
	serial = model_find(m, v->box, carried);
	if (serial == 0) {
		violation(v, "%s (serial %u) was never delivered here", unique_id, carried);
	} else {
		check_known_message(v, &m->messages[serial], serial,
			span_of(wire, entry->wire_octets), unique_id);
		check_unique_id_is_not_another_s(v, &m->messages[serial], unique_id);
	}
	free(wire);
}

/* What is not there must have been deleted, or be on its way in or out. */
static void
check_missing(struct verdict *v)
{
	struct model *m = v->model;

	for (size_t i = 1; i < m->message_count; i++) {
		const struct model_message *message = &m->messages[i];
		bool was_told = message->box == v->box &&
			(m->operations[message->delivery].is_done || message->unique_id[0] != '\0');

		if (was_told && !message->is_found && message->deletion == 0)
			violation(v, "serial %zu (%s) is lost", i, message->unique_id);
	}
}

static void
count_member(struct model_operation *operation, bool is_found)
{
	operation->members++;
	operation->found += is_found;
}

/* A QUIT without an answer; a commit that nobody has seen or acknowledged. */
static void
check_all_or_none(struct verdict *v)
{
	struct model *m = v->model;

	for (size_t i = 1; i < m->operation_count; i++)
		m->operations[i].members = m->operations[i].found = 0;
	for (size_t i = 1; i < m->message_count; i++) {
		const struct model_message *message = &m->messages[i];

		if (message->box != v->box)
			continue;
		if (message->deletion != 0)
			count_member(&m->operations[message->deletion], message->is_found);
		else
			count_member(&m->operations[message->delivery], message->is_found);
	}
	for (size_t i = 1; i < m->operation_count; i++) {
		const struct model_operation *operation = &m->operations[i];

		if (!operation->is_done && operation->found != 0 &&
			operation->found != operation->members)
			violation(v, "%u of %u messages of one commit (operation %zu)",
				operation->found, operation->members, i);
	}
}

static void
take_finding(void *ctx, uint64_t offset, const char *text)
{
	violation(ctx, "verify: octet %llu: %s", (unsigned long long)offset, text);
}

static void
verify(struct verdict *v)
{
	int found = maildrop_verify(v->disk, v->address, &options, take_finding, v);

	if (found < 0)
		violation(v, "cannot be verified: %s", strerror(-found));
}

static int
deliver_fresh(struct verdict *v)
{
	const struct maildrop_delivery delivery = { .arrived_at = 1 };
	struct maildrop_writer *w;
	uint32_t uid;
	int error = maildrop_writer_open(v->disk, v->address, &options, 0, &w);

	if (error != 0)
		return error;
	error = maildrop_writer_begin(w, &delivery);
	if (error == 0)
		error = maildrop_writer_text(w, SPAN(FRESH_TEXT));
	if (error == 0)
		error = maildrop_writer_end(w, &uid);
	if (error == 0)
		error = maildrop_writer_commit(w);
	maildrop_writer_close(w);
	return error;
}

/* All that was in `before` is in `after`, under the same unique-ids, and one message more. */
static void
check_fresh(struct verdict *v, const struct maildrop *before, const struct maildrop *after)
{
	char was[MAILDROP_UNIQUE_ID_MAX + 1];
	char is[MAILDROP_UNIQUE_ID_MAX + 1];

	if (after->count != before->count + 1) {
		violation(v, "%u messages and a delivery make %u", before->count, after->count);
		return;
	}
	maildrop_unique_id(after, &after->entries[before->count], is);
	check_unique_id_is_not_another_s(v, NULL, is);
	for (uint32_t i = 0; i < before->count; i++) {
		maildrop_unique_id(before, &before->entries[i], was);
		if (strcmp(was, is) == 0)
			violation(v, "a new delivery has %s, which message %u has", is, i + 1);
	}
	for (uint32_t i = 0; i < before->count; i++) {
		maildrop_unique_id(before, &before->entries[i], was);
		maildrop_unique_id(after, &after->entries[i], is);
		if (strcmp(was, is) != 0)
			violation(v, "message %u was %s before a delivery and is %s after", i + 1,
				was, is);
	}
}

static void
check_new_delivery(struct verdict *v, const struct maildrop *before)
{
	struct maildrop *after;
	int error = deliver_fresh(v);

	if (error != 0) {
		violation(v, "nothing can be delivered: %s", strerror(-error));
		return;
	}
	error = maildrop_open(v->disk, v->address, &options, &after);
	if (error != 0) {
		violation(v, "cannot be opened after a delivery: %s", strerror(-error));
		return;
	}
	check_fresh(v, before, after);
	maildrop_close(v->disk, after);
	verify(v);
}

static void
check_box(struct verdict *v)
{
	struct model *m = v->model;
	struct maildrop *drop;
	int error = maildrop_open(v->disk, v->address, &options, &drop);

	if (error != 0) {
		violation(v, "cannot be opened: %s", strerror(-error));
		return;
	}
	for (size_t i = 1; i < m->message_count; i++)
		m->messages[i].is_found = false;
	for (uint32_t i = 0; i < drop->count; i++)
		check_entry(v, drop, &drop->entries[i]);
	check_missing(v);
	check_all_or_none(v);
	verify(v);
	check_new_delivery(v, drop);
	maildrop_close(v->disk, drop);
}

unsigned
model_check(struct model *model, const struct disk *d, void (*report)(void *ctx, const char *text),
	void *ctx)
{
	struct verdict v = { .model = model, .disk = d, .report = report, .ctx = ctx };

	for (size_t i = 1; i < model->box_count; i++) {
		if (model->boxes[i].address[0] == '\0')
			continue;
		v.box = (uint32_t)i;
		v.address = model->boxes[i].address;
		check_box(&v);
	}
	return v.violations;
}
