/*
 * memdrop.c - see memdrop.h.
 */
#include "tests/support/memdrop.h"

#include "io/base/crc32c.h"
#include "io/base/must.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define ARRIVED_AT 1000000000 /* the second at which the first message came */

void
memdrop_init(struct memdrop *m)
{
	*m = (struct memdrop){ .fd = memfd_create("memdrop", MFD_CLOEXEC), .next_uid = 1 };
	must(m->fd >= 0);
}

void
memdrop_destroy(struct memdrop *m)
{
	close(m->fd);
	free(m->entries);
	*m = (struct memdrop){ .fd = -1 };
}

static void
append_entry(struct memdrop *m, struct maildrop_entry entry)
{
	if (m->count == m->room) {
		m->room = m->room * 2 + 16;
		m->entries = realloc(m->entries, m->room * sizeof(*m->entries));
		must(m->entries != NULL);
	}
	m->entries[m->count++] = entry;
}

void
memdrop_add(struct memdrop *m, struct span text)
{
	struct wire_encoder encoder;
	char *wire =
		malloc(WIRE_STATUS_OCTETS_MAX + WIRE_ENCODED_MAX(text.length) + WIRE_END_OCTETS);
	char *body = wire + WIRE_STATUS_OCTETS_MAX;
	char status[WIRE_STATUS_OCTETS_MAX];
	size_t length;
	size_t status_octets;

	must(wire != NULL);
	wire_encoder_init(&encoder);
	length = wire_encode(&encoder, text, body);
	length += wire_encode_end(&encoder, body + length);
	memcpy(body + length, WIRE_END, WIRE_END_OCTETS);
	length += WIRE_END_OCTETS;
	status_octets = wire_put_status((uint32_t)encoder.counts.octets, status);
	memcpy(body - status_octets, status, status_octets);
	length += status_octets;
	must(pwrite(m->fd, body - status_octets, length, (off_t)m->end) == (ssize_t)length);
	append_entry(m,
		(struct maildrop_entry){
			.wire_offset = m->end,
			.wire_octets = length,
			.octets = (uint32_t)encoder.counts.octets,
			.header_octets = (uint32_t)encoder.counts.header_octets,
			.body_lines = (uint32_t)encoder.counts.body_lines,
			.uid = m->next_uid,
			.content_crc = crc32c(0, body - status_octets, length),
			.arrived_at = ARRIVED_AT + m->next_uid,
			.header_ended = encoder.counts.header_ended,
		});
	m->next_uid++;
	m->end += length;
	free(wire);
}

struct maildrop *
memdrop_snapshot(const struct memdrop *m)
{
	struct maildrop *snapshot = calloc(1, sizeof(*snapshot));
	struct maildrop_entry *entries = malloc((m->count + 1) * sizeof(*entries));

	must(snapshot != NULL && entries != NULL);
	*snapshot = (struct maildrop){
		.address = "alice@example.org",
		.log_fd = m->count > 0 ? m->fd : -1,
		.count = m->count,
		.entries = entries,
		.unique_ids = "",
		.uid_validity = MEMDROP_UID_VALIDITY,
		.next_uid = m->next_uid,
		.covers = m->end,
	};
	for (uint32_t i = 0; i < m->count; i++) {
		entries[i] = m->entries[i];
		snapshot->octets += entries[i].octets;
	}
	return snapshot;
}

void
memdrop_release(struct maildrop *snapshot)
{
	free((void *)snapshot->entries);
	free(snapshot);
}

void
memdrop_remove(struct memdrop *m, const uint32_t *uids, uint32_t count)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < m->count; i++) {
		while (count > 0 && *uids < m->entries[i].uid) {
			uids++;
			count--;
		}
		if (count == 0 || *uids != m->entries[i].uid)
			m->entries[kept++] = m->entries[i];
	}
	m->count = kept;
}
