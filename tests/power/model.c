/*
 * model.c - reading marks.  What they mean is in model.h; the judgement is in verdict.c.
 */
#include "tests/power/model.h"
#include "io/base/must.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARK_OCTETS_MAX 65536u
#define SERIAL_WITHIN   2048u /* octets of a message in which its serial stands */

/* What is left of the mark that is read; words are separated by one blank. */
struct words {
	char *rest;
};

static const char *
next_word(struct words *w)
{
	return strsep(&w->rest, " ");
}

static uint32_t
next_number(struct words *w)
{
	const char *word = next_word(w);
	uint64_t number = 0;

	must(word != NULL);
	must(span_to_u64(span_of_string(word), UINT32_MAX, &number));
	return (uint32_t)number;
}

/* Make room for number `n`, zeroed. */
static void *
with_room(void *array, size_t *count, size_t size, uint32_t n)
{
	size_t larger = n < 512 ? 1024 : 2 * (size_t)n;

	if (n < *count)
		return array;
	array = reallocarray(array, larger, size);
	must(array != NULL);
	memset((char *)array + *count * size, 0, (larger - *count) * size);
	*count = larger;
	return array;
}

static struct model_box *
box_of(struct model *m, uint32_t n)
{
	must(n > 0);
	m->boxes = with_room(m->boxes, &m->box_count, sizeof(*m->boxes), n);
	return &m->boxes[n];
}

static struct model_message *
message_of(struct model *m, uint32_t serial)
{
	must(serial > 0);
	m->messages = with_room(m->messages, &m->message_count, sizeof(*m->messages), serial);
	return &m->messages[serial];
}

static struct model_operation *
operation_of(struct model *m, uint32_t n)
{
	must(n > 0);
	m->operations = with_room(m->operations, &m->operation_count, sizeof(*m->operations), n);
	return &m->operations[n];
}

uint32_t
model_carried_serial(struct span wire)
{
	char head[SERIAL_WITHIN + 1];
	size_t octets = wire.length < SERIAL_WITHIN ? wire.length : SERIAL_WITHIN;
	unsigned serial = 0;
	const char *field;

	memcpy(head, wire.at, octets);
	head[octets] = '\0';
	field = strstr(head, "\nSerial: ");
	if (field == NULL || sscanf(field, "\nSerial: %u", &serial) != 1)
		return 0;
	return serial;
}

uint32_t
model_find(const struct model *m, uint32_t box, uint32_t carried)
{
	for (uint32_t i = carried; i > 0 && i < m->message_count; i++) {
		const struct model_message *message = &m->messages[i];

		if (message->box == box && message->carried == carried)
			return i;
		/* those of one text stand together; one that was not announced yet has no box */
		if (message->box != 0 && message->carried != carried)
			break;
	}
	return 0;
}

static void
take_box(struct model *m, struct words *w)
{
	struct model_box *box = box_of(m, next_number(w));
	const char *address = next_word(w);

	must(address != NULL && strlen(address) < sizeof(box->address));
	strcpy(box->address, address);
}

static void
take_will_deliver(struct model *m, struct words *w)
{
	uint32_t operation = next_number(w);
	uint32_t box = next_number(w);

	operation_of(m, operation)->is_done = false;
	while (w->rest != NULL) {
		struct model_message *message = message_of(m, next_number(w));
		uint32_t offset = next_number(w);
		uint32_t octets = next_number(w);

		must(message->box == 0);
		must((uint64_t)offset + octets <= m->texts.length);
		message->box = box;
		message->delivery = operation;
		message->wire = span_of(m->texts.at + offset, octets);
		message->carried = model_carried_serial(message->wire);
	}
}

static struct model_message *
find_by_unique_id(struct model *m, uint32_t box, const char *unique_id)
{
	for (size_t i = 1; i < m->message_count; i++) {
		struct model_message *message = &m->messages[i];

		if (message->box == box && strcmp(message->unique_id, unique_id) == 0)
			return message;
	}
	return NULL;
}

static void
take_will_delete(struct model *m, struct words *w)
{
	uint32_t operation = next_number(w);
	uint32_t box = next_number(w);

	operation_of(m, operation)->is_done = false;
	while (w->rest != NULL) {
		struct model_message *message = find_by_unique_id(m, box, next_word(w));

		must(message != NULL);
		message->deletion = operation;
	}
}

static void
take_kept(struct model *m, struct words *w)
{
	uint32_t operation = next_number(w);

	for (size_t i = 1; i < m->message_count; i++) {
		if (m->messages[i].deletion == operation)
			m->messages[i].deletion = 0;
	}
}

static void
take_seen(struct model *m, struct words *w)
{
	uint32_t box = next_number(w);
	struct model_message *message = message_of(m, next_number(w));
	const char *unique_id = next_word(w);

	must(message->box == box);
	must(unique_id != NULL && strlen(unique_id) <= MAILDROP_UNIQUE_ID_MAX);
	strcpy(message->unique_id, unique_id);
}

static void
take_done(struct model *m, struct words *w)
{
	operation_of(m, next_number(w))->is_done = true;
}

static void
take_begin(struct model *m, struct words *w)
{
	(void)m;
	(void)w;
}

void
model_take(struct model *m, struct span mark)
{
	static const struct {
		const char *name;
		void (*take)(struct model *m, struct words *w);
	} kinds[] = {
		{ "box", take_box },
		{ "will-deliver", take_will_deliver },
		{ "delivered", take_done },
		{ "will-delete", take_will_delete },
		{ "deleted", take_done },
		{ "kept", take_kept },
		{ "seen", take_seen },
		{ "begin", take_begin },
	};
	char line[MARK_OCTETS_MAX + 1];
	struct words words = { line };
	const char *name;

	must(mark.length <= MARK_OCTETS_MAX);
	memcpy(line, mark.at, mark.length);
	line[mark.length] = '\0';
	name = next_word(&words);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (strcmp(kinds[i].name, name) == 0) {
			kinds[i].take(m, &words);
			return;
		}
	}
	must(!"a mark that is known");
}

int
model_open(const char *messages_path, struct model *model_out)
{
	struct stat st;
	void *map = MAP_FAILED;
	int fd = open(messages_path, O_RDONLY | O_CLOEXEC);
	int error = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) == 0)
		map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		error = -errno;
	close(fd);
	if (error == 0)
		*model_out = (struct model){ .texts = span_of(map, (size_t)st.st_size) };
	return error;
}

void
model_close(struct model *m)
{
	munmap((void *)(uintptr_t)m->texts.at, m->texts.length);
	free(m->boxes);
	free(m->messages);
	free(m->operations);
}
