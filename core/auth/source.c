/*
 * source.c - see source.h.
 */
#include "core/auth/source.h"

#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/must.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PAUSE_FIRST_MS 100u
#define PAUSE_MAX_MS   2000u
#define LATER          "{LATER}"
#define LATER_DIGITS   16u

static const struct log_kind EVENT_SOURCE_DOWN = { "source_down", LOG_ERROR };
static const struct log_kind EVENT_SOURCE_UP = { "source_up", LOG_WARNING };
static const struct log_kind EVENT_ACCOUNT_DAMAGED = { "account_damaged", LOG_ERROR };

void
source_set_up(struct source *s, const struct source_ops *ops, const struct source_options *o)
{
	must(o->connections > 0 && o->connections <= SOURCE_CONNECTIONS_MAX);
	*s = (struct source){
		.ops = ops,
		.name = o->name,
		.fresh_ms = o->fresh_ms,
		.stale_ms = o->stale_ms,
		.time_limit_ms = o->time_limit_ms,
		.connections = o->connections,
	};
	pthread_mutex_init(&s->health.lock, NULL);
}

void
source_tear_down(struct source *s)
{
	pthread_mutex_destroy(&s->health.lock);
	s->ops->close(s);
}

/* ---- is it there? -------------------------------------------------------------------------- */

/* What is said of one account, not of the source. */
static bool
is_answer(int error)
{
	return error == 0 || error == -ENOENT || error == -EBADMSG || error == -ENOTSUP;
}

/* While it is down one at a time may try whether it is back. */
static bool
may_ask(struct source *s)
{
	struct source_health *h = &s->health;
	uint64_t now_ms = clock_monotonic_ms();
	bool may = true;

	pthread_mutex_lock(&h->lock);
	if (h->down_since_ms != 0) {
		may = now_ms >= h->retry_at_ms;
		if (may)
			h->retry_at_ms = now_ms + s->time_limit_ms + h->pause_ms;
		else
			h->refused++;
	}
	pthread_mutex_unlock(&h->lock);
	return may;
}

static void
note_answer(struct source *s, uint64_t now_ms)
{
	struct source_health *h = &s->health;

	h->failures = 0;
	if (h->down_since_ms == 0)
		return;
	log_event(EVENT_SOURCE_UP, kv_str("source", s->name),
		kv_u64("ms", now_ms - h->down_since_ms), kv_u64("refused", h->refused));
	h->down_since_ms = 0;
	h->refused = 0;
}

static void
note_failure(struct source *s, uint64_t now_ms, int error)
{
	struct source_health *h = &s->health;

	h->failures++;
	if (h->down_since_ms != 0) {
		h->pause_ms = h->pause_ms * 2 < PAUSE_MAX_MS ? h->pause_ms * 2 : PAUSE_MAX_MS;
	} else if (s->connections != 0 && h->failures >= s->connections) {
		h->down_since_ms = now_ms;
		h->pause_ms = PAUSE_FIRST_MS;
		log_event(EVENT_SOURCE_DOWN, kv_str("source", s->name),
			kv_str("error", strerror(-error)), kv_str("said", h->said));
	}
	h->retry_at_ms = now_ms + h->pause_ms;
}

static int
note(struct source *s, int error)
{
	uint64_t now_ms = clock_monotonic_ms();

	pthread_mutex_lock(&s->health.lock);
	if (is_answer(error))
		note_answer(s, now_ms);
	else
		note_failure(s, now_ms, error);
	pthread_mutex_unlock(&s->health.lock);
	return error;
}

bool
source_is_down(struct source *s)
{
	bool is_down;

	pthread_mutex_lock(&s->health.lock);
	is_down = s->health.down_since_ms != 0;
	pthread_mutex_unlock(&s->health.lock);
	return is_down;
}

void
source_say(struct source *s, const char *format, ...)
{
	char said[SOURCE_SAID_OCTETS];
	va_list args;
	size_t length;

	va_start(args, format);
	vsnprintf(said, sizeof(said), format, args);
	va_end(args);
	length = strlen(said);
	while (length > 0 && (said[length - 1] == '\n' || said[length - 1] == ' '))
		said[--length] = '\0';
	pthread_mutex_lock(&s->health.lock);
	strcpy(s->health.said, said);
	pthread_mutex_unlock(&s->health.lock);
}

void
source_said(struct source *s, char said_out[SOURCE_SAID_OCTETS])
{
	pthread_mutex_lock(&s->health.lock);
	strcpy(said_out, s->health.said);
	pthread_mutex_unlock(&s->health.lock);
}

/* Nobody else says anything of it. */
static void
log_damaged(struct source *s, struct span address, int error)
{
	char said[SOURCE_SAID_OCTETS];

	source_said(s, said);
	log_event(EVENT_ACCOUNT_DAMAGED, kv_str("source", s->name), kv_span("address", address),
		kv_str("error", strerror(-error)), kv_str("said", said));
}

int
source_find(struct source *s, struct span address, struct account *account_out)
{
	int error;

	if (!may_ask(s))
		return -ECONNREFUSED;
	error = note(s, s->ops->find(s, address, account_out));
	if (error == -EBADMSG || error == -ENOTSUP)
		log_damaged(s, address, error);
	return error;
}

int
source_ask(struct source *s, struct span address, struct account *account_out)
{
	return s->ops->find(s, address, account_out);
}

int
source_prove(struct source *s, const struct account *account, struct span secret, bool *right_out)
{
	*right_out = false;
	if (!may_ask(s))
		return -ECONNREFUSED;
	return note(s, s->ops->prove(s, account, secret, right_out));
}

/* ---- for the sources themselves ------------------------------------------------------------ */

int
source_take_connection(struct source *s, unsigned *number_out)
{
	uint64_t taken = atomic_load(&s->connections_taken);
	unsigned number;

	do {
		number = taken == UINT64_MAX ? SOURCE_CONNECTIONS_MAX
					     : (unsigned)__builtin_ctzll(~taken);
		if (number >= s->connections)
			return -EBUSY;
	} while (!atomic_compare_exchange_weak(
		&s->connections_taken, &taken, taken | UINT64_C(1) << number));
	*number_out = number;
	return 0;
}

void
source_give_connection(struct source *s, unsigned number)
{
	atomic_fetch_and(&s->connections_taken, ~(UINT64_C(1) << number));
}

int
source_wait(int fd, short events, uint64_t deadline_ms)
{
	struct pollfd wanted = { .fd = fd, .events = events };

	for (;;) {
		uint64_t now_ms = clock_monotonic_ms();
		int ready;

		if (now_ms >= deadline_ms)
			return -ETIMEDOUT;
		ready = poll(&wanted, 1, (int)(deadline_ms - now_ms));
		if (ready > 0)
			return 0;
		if (ready < 0 && errno != EINTR)
			return -errno;
	}
}

int
source_mark_later(struct account *account, const char *what)
{
	static _Atomic uint64_t marks;
	int length = snprintf(account->password_hash, sizeof(account->password_hash),
		LATER "%016" PRIx64 "%s", atomic_fetch_add(&marks, 1), what);

	return length < (int)sizeof(account->password_hash) ? 0 : -EBADMSG;
}

const char *
source_marked(const struct account *account)
{
	size_t prefix = strlen(LATER);

	if (strncmp(account->password_hash, LATER, prefix) != 0)
		return NULL;
	must(strlen(account->password_hash) >= prefix + LATER_DIGITS);
	return account->password_hash + prefix + LATER_DIGITS;
}
