/*
 * log.c - see log.h.
 *
 * Each attached thread owns a ring of octets with one producer (itself) and one consumer (the
 * writer thread), so that logging on a shard is a copy and one store.  The writer looks every 50
 * ms: nobody has to wake it.
 */
#include "io/base/log.h"

#include "io/base/must.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define RING_OCTETS      (1u << 20)
#define THREADS_MAX      256u
#define LOOK_INTERVAL_NS 50000000L

struct log_ring {
	_Atomic uint64_t written; /* by the thread */
	_Atomic uint64_t taken;   /* by the writer */
	_Atomic uint64_t lost;
	char octets[RING_OCTETS];
};

static struct log_ring *_Atomic rings[THREADS_MAX];
static _Atomic unsigned ring_count;
static __thread struct log_ring *own_ring;
static pthread_t writer;
static bool writer_runs;
static _Atomic bool writer_must_stop;

static const struct log_kind EVENT_LINES_LOST = { "log_lines_lost", LOG_WARNING };

static const char *const level_words[] = {
	[LOG_ERROR] = "error",
	[LOG_WARNING] = "warning",
	[LOG_INFO] = "info",
};

/* A line under construction; what does not fit is left out and `cut` remembers it. */
struct line {
	char *at;
	size_t length;
	bool cut;
};

#define CUT_MARK  " cut=yes\n"
#define LINE_ROOM (LOG_LINE_OCTETS_MAX - sizeof(CUT_MARK))

static void
line_put(struct line *l, struct span text)
{
	if (l->cut || text.length > LINE_ROOM - l->length) {
		l->cut = true;
		return;
	}
	memcpy(l->at + l->length, text.at, text.length);
	l->length += text.length;
}

static bool
is_plain(char c)
{
	return c >= 0x20 && c < 0x7F && c != '"' && c != '\\';
}

static void
line_put_escaped(struct line *l, struct span text)
{
	static const char digits[] = "0123456789abcdef";

	line_put(l, SPAN("\""));
	while (text.length > 0 && !l->cut) {
		size_t plain = 0;

		while (plain < text.length && is_plain(text.at[plain]))
			plain++;
		line_put(l, span_of(text.at, plain));
		text = span_after(text, plain);
		if (text.length > 0) {
			unsigned char c = (unsigned char)text.at[0];
			char hex[] = { '\\', 'x', digits[c >> 4], digits[c & 15] };

			line_put(l, span_of(hex, sizeof(hex)));
			text = span_after(text, 1);
		}
	}
	line_put(l, SPAN("\""));
}

static void
line_put_field(struct line *l, const struct kv *field)
{
	char number[SPAN_U64_DIGITS_MAX];

	line_put(l, SPAN(" "));
	line_put(l, span_of_string(field->key));
	line_put(l, SPAN("="));
	switch (field->type) {
	case KV_U64:
		line_put(l, span_of(number, span_put_u64(field->number, number)));
		break;
	case KV_SPAN:
		line_put_escaped(l, field->text);
		break;
	case KV_WORD:
		line_put(l, field->text);
		break;
	}
}

size_t
log_format(const struct log_kind *kind, const struct kv *fields, size_t count,
	char line_out[LOG_LINE_OCTETS_MAX])
{
	struct line l = { .at = line_out };

	line_put(&l, SPAN("event="));
	line_put(&l, span_of_string(kind->name));
	line_put(&l, SPAN(" level="));
	line_put(&l, span_of_string(level_words[kind->level]));
	for (size_t i = 0; i < count; i++)
		line_put_field(&l, &fields[i]);
	if (l.cut) {
		memcpy(l.at + l.length, CUT_MARK, sizeof(CUT_MARK) - 1);
		return l.length + sizeof(CUT_MARK) - 1;
	}
	l.at[l.length] = '\n';
	return l.length + 1;
}

static void
write_all(const char *octets, size_t length)
{
	while (length > 0) {
		ssize_t n = write(STDERR_FILENO, octets, length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			struct timespec pause = { .tv_nsec = LOOK_INTERVAL_NS };

			nanosleep(&pause, NULL);
			continue;
		}
		if (n <= 0)
			return; /* nobody reads the log any more; serving goes on */
		octets += n;
		length -= (size_t)n;
	}
}

static void
ring_put(struct log_ring *r, const char *line, size_t length)
{
	uint64_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
	uint64_t taken = atomic_load_explicit(&r->taken, memory_order_acquire);
	size_t at = written % RING_OCTETS;
	size_t first = RING_OCTETS - at < length ? RING_OCTETS - at : length;

	if (length > RING_OCTETS - (written - taken)) {
		atomic_fetch_add_explicit(&r->lost, 1, memory_order_relaxed);
		return;
	}
	memcpy(r->octets + at, line, first);
	memcpy(r->octets, line + first, length - first);
	atomic_store_explicit(&r->written, written + length, memory_order_release);
}

void
log_fields(const struct log_kind *kind, const struct kv *fields, size_t count)
{
	char line[LOG_LINE_OCTETS_MAX];
	size_t length = log_format(kind, fields, count, line);

	if (own_ring != NULL)
		ring_put(own_ring, line, length);
	else
		write_all(line, length);
}

static void
ring_write_out(struct log_ring *r)
{
	uint64_t written = atomic_load_explicit(&r->written, memory_order_acquire);
	uint64_t taken = atomic_load_explicit(&r->taken, memory_order_relaxed);
	uint64_t lost = atomic_exchange_explicit(&r->lost, 0, memory_order_relaxed);

	while (taken < written) {
		size_t at = taken % RING_OCTETS;
		size_t length = RING_OCTETS - at;

		if (length > written - taken)
			length = (size_t)(written - taken);
		write_all(r->octets + at, length);
		taken += length;
		atomic_store_explicit(&r->taken, taken, memory_order_release);
	}
	if (lost > 0)
		log_event(EVENT_LINES_LOST, kv_u64("lines", lost));
}

static void *
writer_main(void *unused)
{
	(void)unused;
	pthread_setname_np(pthread_self(), "log");
	for (;;) {
		struct timespec pause = { .tv_nsec = LOOK_INTERVAL_NS };
		bool stop = atomic_load(&writer_must_stop);

		for (unsigned i = 0; i < atomic_load(&ring_count) && i < THREADS_MAX; i++) {
			struct log_ring *r = atomic_load(&rings[i]);

			if (r != NULL)
				ring_write_out(r);
		}
		if (stop)
			return NULL;
		nanosleep(&pause, NULL);
	}
}

int
log_start(void)
{
	int error;

	must(!writer_runs);
	atomic_store(&writer_must_stop, false);
	error = pthread_create(&writer, NULL, writer_main, NULL);
	writer_runs = error == 0;
	return -error;
}

void
log_stop(void)
{
	if (!writer_runs)
		return;
	atomic_store(&writer_must_stop, true);
	pthread_join(writer, NULL);
	writer_runs = false;
	for (unsigned i = 0; i < atomic_load(&ring_count) && i < THREADS_MAX; i++)
		free(atomic_exchange(&rings[i], NULL));
	atomic_store(&ring_count, 0);
}

int
log_attach(void)
{
	unsigned slot;
	struct log_ring *r = calloc(1, sizeof(*r));

	if (r == NULL)
		return -ENOMEM;
	slot = atomic_fetch_add(&ring_count, 1);
	if (slot >= THREADS_MAX) {
		free(r);
		return -ENOSPC;
	}
	own_ring = r;
	atomic_store(&rings[slot], r);
	return 0;
}
