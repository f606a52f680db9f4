/*
 * model.c - see model.h.
 */
#include "tests/faults/model.h"

#include <errno.h>
#include <string.h>

void
model_init(struct model *m, const char *address)
{
	*m = (struct model){ .address = address };
}

/* Every eighth is large enough that its space is worth a hole. */
size_t
model_text(unsigned n, char to[MODEL_TEXT_MAX])
{
	return (size_t)snprintf(to, MODEL_TEXT_MAX, "Subject: %u\r\n\r\n.message %u\r\n%0*u\r\n", n,
		n, n % 8 == 3 ? 60000 : 10, n);
}

int
model_number(const char *wire, size_t octets)
{
	char text[MODEL_TEXT_MAX];
	char expected[MODEL_TEXT_MAX + 64];
	const char *start = memchr(wire, '\n', octets);
	unsigned n;
	size_t length;
	int head;
	char *dot;

	if (start == NULL || sscanf(start + 1, "Subject: %u", &n) != 1 || n >= MODEL_MESSAGES)
		return -1;
	length = model_text(n, text);
	dot = strstr(text, "\r\n.message");
	assert_non_null(dot);
	head = (int)(dot + 2 - text);
	length = (size_t)snprintf(expected, sizeof(expected), "+OK %zu octets\r\n%.*s.%s.\r\n",
		length, head, text, dot + 2);
	return length == octets && memcmp(wire, expected, length) == 0 ? (int)n : -1;
}

void
model_delivered(struct model *m, unsigned first, unsigned last, const uint32_t *uids, int error)
{
	m->steps++;
	for (unsigned n = first; n <= last; n++) {
		m->together[n] = m->steps;
		m->fate[n] = error == 0 ? THERE : UNKNOWN;
		m->uid[n] = error == 0 && uids != NULL ? uids[n - first] : 0;
		if (m->uid[n] >= m->next_uid)
			m->next_uid = m->uid[n] + 1;
	}
	m->failed |= error != 0;
}

void
model_deleted(struct model *m, const unsigned *numbers, unsigned count, int error)
{
	m->steps++;
	for (unsigned i = 0; i < count; i++) {
		if (m->fate[numbers[i]] != THERE)
			continue;
		m->together[numbers[i]] = m->steps;
		m->fate[numbers[i]] = error == 0 ? GONE : UNKNOWN;
	}
	m->failed |= error != 0;
}

static void
check_message(const struct model *m, const struct disk *d, const struct maildrop *drop,
	const struct maildrop_entry *e, bool *found)
{
	char *wire = malloc(e->wire_octets);
	int n;

	assert_non_null(wire);
	assert_int_equal(disk_read_at(d, drop->log_fd, wire, e->wire_octets, e->wire_offset),
		e->wire_octets);
	n = model_number(wire, e->wire_octets);
	free(wire);
	assert_true(n >= 0);
	assert_false(found[n]);
	found[n] = true;
	assert_true(m->fate[n] == THERE || m->fate[n] == UNKNOWN);
	if (m->uid[n] != 0)
		assert_int_equal(e->uid, m->uid[n]);
	for (unsigned other = 0; other < MODEL_MESSAGES; other++)
		assert_true(other == (unsigned)n || m->may_be_another || m->uid[other] != e->uid);
}

static void
note_finding(void *ctx, uint64_t offset, const char *text)
{
	(void)ctx;
	print_error("%llu: %s\n", (unsigned long long)offset, text);
}

/* Nothing that somebody left lies about once the next one has tidied up. */
static int
look_at_name(void *ctx, const char *name)
{
	(void)ctx;
	if (strcmp(name, "log") == 0 || strcmp(name, "index") == 0 ||
		strcmp(name, "imported") == 0 || strncmp(name, "damaged-", 8) == 0)
		return 0;
	print_error("left behind: %s\n", name);
	return -EEXIST;
}

/* It goes on as if nothing had been: a delivery with a new uid, a compaction. */
static void
check_that_it_goes_on(const struct model *m, const struct disk *d)
{
	char directory[LAYOUT_PATH_MAX];
	uint64_t before;
	uint64_t after;
	uint32_t uid = spool_deliver(d, m->address, "Subject: the end\r\n\r\n");

	assert_true(uid >= m->next_uid || m->may_be_another);
	assert_int_equal(maildrop_compact(d, m->address, &spool_options, &before, &after), 0);
	assert_int_equal(layout_directory(m->address, directory), 0);
	assert_int_equal(disk_list(d, directory, look_at_name, NULL), 0);
	assert_int_equal(maildrop_verify(d, m->address, &spool_options, note_finding, NULL), 0);
}

void
model_check(struct model *m, const struct disk *d)
{
	bool found[MODEL_MESSAGES] = { false };
	struct maildrop *drop;

	assert_int_equal(maildrop_open(d, m->address, &spool_options, &drop), 0);
	for (uint32_t i = 0; i < drop->count; i++)
		check_message(m, d, drop, &drop->entries[i], found);
	for (unsigned n = 0; n < MODEL_MESSAGES; n++) {
		if (m->fate[n] == THERE)
			assert_true(found[n]);
		for (unsigned other = 0; other < n; other++) {
			if (m->fate[n] == UNKNOWN && m->fate[other] == UNKNOWN &&
				m->together[n] == m->together[other])
				assert_int_equal(found[n], found[other]);
		}
	}
	if (m->uid_validity != 0 && !m->may_be_another)
		assert_int_equal(drop->uid_validity, m->uid_validity);
	maildrop_close(d, drop);
	assert_int_equal(maildrop_verify(d, m->address, &spool_options, note_finding, NULL), 0);
	check_that_it_goes_on(m, d);
}
