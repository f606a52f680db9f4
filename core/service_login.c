/*
 * service_login.c - see service_login.h.
 *
 * go_on() is where each step ends: the login waits for those that have failed before it, a worker
 * goes on with it, or its answer stands and the session hears it.
 * Invariant: a login that waits (is_waiting) has its timer armed and is with no worker; so an end
 * of the connection finds it home, and takes it along.
 */
#include "core/service_login.h"

#include "io/base/log.h"

#include <errno.h>

static const struct log_kind EVENT_LOGIN_FAILED = { "login_failed", LOG_WARNING };
static const struct log_kind EVENT_LOGIN_REFUSED = { "login_refused", LOG_INFO };
static const struct log_kind EVENT_LOGIN_UNAVAILABLE = { "login_unavailable", LOG_ERROR };

/* ---- the answer ---------------------------------------------------------------------------- */

/* The peer stands in front of all that a guest can choose: what bans addresses looks there. */
static void
log_login(const struct service_login *login)
{
	const struct service *v = login->service;
	const struct login_request *r = &login->request;
	const char *protocol = v->door->protocol->name;
	char peer[INET6_ADDRSTRLEN];

	switch (r->answer.verdict) {
	case LOGIN_GOOD:
		break;
	case LOGIN_BAD:
		log_event(EVENT_LOGIN_FAILED, kv_word("protocol", protocol),
			kv_word("peer", service_peer(v, peer)),
			kv_word("mechanism", r->question.mechanism),
			kv_span("name", r->question.name), kv_word("why", r->why));
		break;
	case LOGIN_TOO_SOON:
	case LOGIN_TOO_MANY:
		log_event(EVENT_LOGIN_REFUSED, kv_word("protocol", protocol),
			kv_word("peer", service_peer(v, peer)),
			kv_word("mechanism", r->question.mechanism),
			kv_span("name", r->question.name), kv_word("why", r->why));
		break;
	case LOGIN_UNAVAILABLE:
		log_event(EVENT_LOGIN_UNAVAILABLE, kv_word("protocol", protocol),
			kv_word("peer", service_peer(v, peer)),
			kv_word("mechanism", r->question.mechanism),
			kv_span("name", r->question.name), kv_str("error", strerror(-r->error)));
		break;
	}
}

void
service_login_count(const struct service_login *login)
{
	struct shard *shard = login->service->shard;
	const struct login_request *r = &login->request;

	if (r->question.kind != LOGIN_KEYS)
		count_add(&shard->counts.logins[r->answer.verdict], 1);
	if (r->answer.verdict == LOGIN_BAD && shard->common->penalties != NULL)
		penalties_note_failure(shard->common->penalties, &r->question.peer,
			r->search.address, shard->loop.now_ms);
	log_login(login);
}

/* ---- the steps ----------------------------------------------------------------------------- */

static struct service_login *
login_of(struct offload_job *job)
{
	return container_of(job, struct service_login, job);
}

static void
work(struct offload_job *job)
{
	authenticate_work(&login_of(job)->request);
}

static void work_done(struct offload_job *job);

/* Let a worker go on with it; false: they have too much to do, and that is the answer. */
static bool
send_to_workers(struct service_login *login)
{
	struct service *v = login->service;

	login->job.work = work;
	login->job.done = work_done;
	v->wish_is_away = true;
	v->shard->jobs_away++;
	if (offload_submit(authenticate_workers(&login->request), v->shard->home, &login->job) == 0)
		return true; /* it is the worker's: it may be done by now */
	v->wish_is_away = false;
	v->shard->jobs_away--;
	authenticate_give_up(&login->request, -EBUSY);
	return false;
}

static void wait_is_over(struct timer *t);

/*
 * Others have failed before, from there or for that name: then this one waits, once, before anybody
 * looks whether it is good.  No worker waits with it.
 */
static bool
must_wait(struct service_login *login, bool answer_stands)
{
	struct service *v = login->service;
	struct shard *shard = v->shard;
	uint32_t delay_ms;

	if (shard->common->penalties == NULL || login->has_waited || v->wait == WAIT_FOR_END ||
		!authenticate_is_about_to_tell(&login->request, answer_stands))
		return false;
	delay_ms = penalties_delay_ms(shard->common->penalties, &login->request.question.peer,
		login->request.search.address, shard->loop.now_ms);
	if (delay_ms == 0)
		return false;
	login->has_waited = true;
	login->is_waiting = true;
	login->answer_stands = answer_stands;
	count_add(&shard->counts.logins_delayed, 1);
	count_add(&shard->counts.logins_waiting, 1);
	timer_init(&login->wait, wait_is_over);
	timer_arm(&shard->loop.timers, &login->wait, shard->loop.now_ms + delay_ms);
	return true;
}

static void
end_wait(struct service_login *login)
{
	struct shard *shard = login->service->shard;

	timer_disarm(&shard->loop.timers, &login->wait);
	count_subtract(&shard->counts.logins_waiting, 1);
	login->is_waiting = false;
}

/* True: it is answered, *next_out comes next. */
static bool
go_on(struct service_login *login, bool answer_stands, int *next_out)
{
	if (must_wait(login, answer_stands) || (!answer_stands && send_to_workers(login)))
		return false;
	*next_out = login->answered(login);
	return true;
}

static void
wait_is_over(struct timer *t)
{
	struct service_login *login = container_of(t, struct service_login, wait);
	struct service *v = login->service;
	int next;

	if (v->wait == WAIT_FOR_END)
		return; /* the connection is on its way out, and takes the login with it */
	end_wait(login);
	authenticate_note_wait(&login->request, v->shard->loop.now_ms);
	if (go_on(login, login->answer_stands, &next))
		service_resume(v, next);
}

static void
work_done(struct offload_job *job)
{
	struct service_login *login = login_of(job);
	struct service *v = login->service;
	bool answer_stands;
	int next;

	must(v->wish_is_away);
	v->wish_is_away = false;
	v->shard->jobs_away--;
	answer_stands = authenticate_go_on(
		&v->shard->authenticator, v->shard->loop.now_ms, &login->request);
	if (go_on(login, answer_stands, &next))
		service_resume(v, next);
}

bool
service_login_ask(struct service_login *login, struct login_question *question, int *next_out)
{
	struct service *v = login->service;

	question->peer.family = v->peer_family;
	memcpy(question->peer.address, v->peer_address, sizeof(question->peer.address));
	login->has_waited = false;
	return go_on(login,
		authenticate_begin(
			&v->shard->authenticator, question, v->shard->loop.now_ms, &login->request),
		next_out);
}

/* The guest does not wait for his answer: he may have made up his mind already, so it counts. */
static void
give_up_waiting(struct service_login *login)
{
	const struct service *v = login->service;
	struct login_request *r = &login->request;

	end_wait(login);
	if (v->end != SERVICE_END_CLOSED_BY_PEER && v->end != SERVICE_END_CONNECTION_FAILED)
		return;
	if (!login->answer_stands) {
		r->answer.verdict = LOGIN_BAD;
		r->why = "gone_while_waiting";
	}
	service_login_count(login);
}

void
service_login_forget(struct service_login *login)
{
	if (login->is_waiting)
		give_up_waiting(login);
	authenticate_forget(&login->request);
}
