/*
 * last_logins.c - see last_logins.h.
 *
 * Two buffers: one is noted into while the other may be with a worker.
 */
#include "core/last_logins.h"

#include "io/base/log.h"
#include "io/base/must.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define NOTES_MAX 1024u

static const struct log_kind EVENT_LAST_LOGINS_FAILED = { "last_logins_failed", LOG_WARNING };

struct last_logins {
	struct offload_job job;
	struct accounts *accounts;
	struct offload *workers;
	struct offload_home *home;
	uint32_t *jobs_away;
	bool is_away; /* the worker has the other buffer */
	bool has_complained;
	int error;
	unsigned noting; /* 0 or 1 */
	unsigned counts[2];
	struct login_note notes[2][NOTES_MAX];
};

int
last_logins_open(struct accounts *accounts, struct offload *workers, struct offload_home *home,
	uint32_t *jobs_away, struct last_logins **last_logins_out)
{
	struct last_logins *l = calloc(1, sizeof(*l));

	if (l == NULL)
		return -ENOMEM;
	l->accounts = accounts;
	l->workers = workers;
	l->home = home;
	l->jobs_away = jobs_away;
	*last_logins_out = l;
	return 0;
}

void
last_logins_close(struct last_logins *l)
{
	if (l != NULL)
		must(!l->is_away);
	free(l);
}

struct login_note *
last_logins_note(struct last_logins *l)
{
	struct login_note *note;

	if (l->counts[l->noting] == NOTES_MAX)
		last_logins_write(l);
	if (l->counts[l->noting] == NOTES_MAX)
		return NULL;
	note = &l->notes[l->noting][l->counts[l->noting]++];
	memset(note, 0, sizeof(*note));
	return note;
}

static void
work_write(struct offload_job *job)
{
	struct last_logins *l = container_of(job, struct last_logins, job);
	unsigned written = 1 - l->noting;

	l->error = accounts_note_logins(l->accounts, l->notes[written], l->counts[written]);
}

static void
write_done(struct offload_job *job)
{
	struct last_logins *l = container_of(job, struct last_logins, job);

	if (l->error != 0 && !l->has_complained) {
		l->has_complained = true;
		log_event(EVENT_LAST_LOGINS_FAILED, kv_str("error", strerror(-l->error)));
	}
	l->counts[1 - l->noting] = 0;
	l->is_away = false;
	(*l->jobs_away)--;
}

bool
last_logins_write(struct last_logins *l)
{
	if (l->is_away)
		return false;
	if (l->counts[l->noting] == 0)
		return true;
	l->noting = 1 - l->noting;
	l->job.work = work_write;
	l->job.done = write_done;
	l->is_away = true;
	(*l->jobs_away)++;
	if (offload_submit(l->workers, l->home, &l->job) != 0) {
		l->is_away = false;
		(*l->jobs_away)--;
		l->noting = 1 - l->noting;
	}
	return false;
}
