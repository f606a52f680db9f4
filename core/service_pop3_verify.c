/*
 * service_pop3_verify.c - VERIFY: who is there?  core/auth/authenticate.h answers, in steps.
 *
 * go_on() is where each step ends: the login waits for those that have failed before it, a worker
 * goes on with it, or its answer stands and the session hears it.
 * Invariant: a login that waits (is_waiting) has its timer armed and is with no worker; so an end
 * of the connection finds it home, and takes it along.
 */
#include "core/service_pop3_wish_internal.h"

#include "io/base/clock.h"
#include "io/base/log.h"

#include <errno.h>

static const struct log_kind EVENT_LOGIN_FAILED = { "login_failed", LOG_WARNING };
static const struct log_kind EVENT_LOGIN_REFUSED = { "login_refused", LOG_INFO };
static const struct log_kind EVENT_LOGIN_UNAVAILABLE = { "login_unavailable", LOG_ERROR };

/* The peer stands in front of all that a guest can choose: what bans addresses looks there. */
static void
log_login(const struct pop3_service *p, const struct login_request *login)
{
	char peer[INET6_ADDRSTRLEN];

	switch (login->answer.verdict) {
	case LOGIN_GOOD:
		break;
	case LOGIN_BAD:
		log_event(EVENT_LOGIN_FAILED, kv_word("protocol", "pop3"),
			kv_word("peer", service_peer(&p->service, peer)),
			kv_word("mechanism", login->question.mechanism),
			kv_span("name", login->question.name), kv_word("why", login->why));
		break;
	case LOGIN_TOO_SOON:
	case LOGIN_TOO_MANY:
		log_event(EVENT_LOGIN_REFUSED, kv_word("protocol", "pop3"),
			kv_word("peer", service_peer(&p->service, peer)),
			kv_word("mechanism", login->question.mechanism),
			kv_span("name", login->question.name), kv_word("why", login->why));
		break;
	case LOGIN_UNAVAILABLE:
		log_event(EVENT_LOGIN_UNAVAILABLE, kv_word("protocol", "pop3"),
			kv_word("peer", service_peer(&p->service, peer)),
			kv_word("mechanism", login->question.mechanism),
			kv_span("name", login->question.name),
			kv_str("error", strerror(-login->error)));
		break;
	}
}

static void
note_login(const struct pop3_service *p, const struct login_request *login)
{
	struct login_note *note;
	char peer[INET6_ADDRSTRLEN];

	if (p->service.shard->last_logins == NULL)
		return;
	note = last_logins_note(p->service.shard->last_logins);
	if (note == NULL)
		return;
	strcpy(note->address, login->account.address);
	strcpy(note->app_password, login->app_password);
	strcpy(note->protocol, "pop3");
	strcpy(note->peer, service_peer(&p->service, peer));
	note->at = clock_calendar_us() / 1000000;
}

/* It is good; but is there room for one more of this account? */
static void
admit(struct pop3_service *p, struct login_request *login)
{
	struct shard *shard = p->service.shard;

	if (shard->common->admission == NULL || login->answer.verdict != LOGIN_GOOD ||
		login->question.kind == LOGIN_KEYS)
		return;
	login->answer.verdict = admission_enter(shard->common->admission,
		span_of_string(login->account.address), shard->loop.now_ms, &p->admission);
	if (login->answer.verdict == LOGIN_TOO_SOON)
		login->why = "too_soon";
	else if (login->answer.verdict == LOGIN_TOO_MANY)
		login->why = "too_many_sessions";
}

static void
count_login(const struct pop3_service *p, const struct login_request *login)
{
	struct shard *shard = p->service.shard;

	if (login->question.kind != LOGIN_KEYS)
		count_add(&shard->counts.logins[login->answer.verdict], 1);
	if (login->answer.verdict == LOGIN_BAD && shard->common->penalties != NULL)
		penalties_note_failure(shard->common->penalties, &login->question.peer,
			login->search.address, shard->loop.now_ms);
	log_login(p, login);
}

/* The session hears the answer; the request stays while its maildrop is being opened. */
static enum pop3_next
tell_answer(struct pop3_service *p)
{
	struct login_request *login = &p->wish->login;
	enum pop3_next next;

	admit(p, login);
	count_login(p, login);
	if (login->answer.verdict == LOGIN_GOOD && login->question.kind != LOGIN_KEYS)
		note_login(p, login);
	next = pop3_session_answered(&p->session, &login->answer);
	line_reader_allow_long(&p->service.lines, pop3_session_long_word(&p->session));
	authenticate_forget(login);
	if (next != POP3_NEXT_OPEN && next != POP3_NEXT_VERIFY)
		wish_forget(p);
	return next;
}

static void
work_verify(struct offload_job *job)
{
	authenticate_work(&wish_of(job)->login);
}

static void verify_done(struct offload_job *job);

/* Let a worker go on with it; false: they have too much to do, and that is the answer. */
static bool
send_to_workers(struct pop3_service *p)
{
	struct login_request *login = &p->wish->login;

	if (wish_send_away(p, authenticate_workers(login), work_verify, verify_done))
		return true;
	authenticate_give_up(login, -EBUSY);
	return false;
}

static void wait_is_over(struct timer *t);

/*
 * Others have failed before, from there or for that name: then this one waits, once, before anybody
 * looks whether it is good.  No worker waits with it, and it holds nothing but its wish.
 */
static bool
must_wait(struct pop3_service *p, bool answer_stands)
{
	struct shard *shard = p->service.shard;
	struct wish *w = p->wish;
	uint32_t delay_ms;

	if (shard->common->penalties == NULL || w->has_waited || p->service.wait == WAIT_FOR_END ||
		!authenticate_is_about_to_tell(&w->login, answer_stands))
		return false;
	delay_ms = penalties_delay_ms(shard->common->penalties, &w->login.question.peer,
		w->login.search.address, shard->loop.now_ms);
	if (delay_ms == 0)
		return false;
	w->has_waited = true;
	w->is_waiting = true;
	w->answer_stands = answer_stands;
	count_add(&shard->counts.logins_delayed, 1);
	count_add(&shard->counts.logins_waiting, 1);
	timer_init(&w->wait, wait_is_over);
	timer_arm(&shard->loop.timers, &w->wait, shard->loop.now_ms + delay_ms);
	return true;
}

static void
end_wait(struct wish *w)
{
	struct shard *shard = w->service->service.shard;

	timer_disarm(&shard->loop.timers, &w->wait);
	count_subtract(&shard->counts.logins_waiting, 1);
	w->is_waiting = false;
}

/* The guest does not wait for his answer: he may have made up his mind already, so it counts. */
void
wish_give_up_waiting(struct pop3_service *p)
{
	struct login_request *login = &p->wish->login;

	if (!p->wish->is_waiting)
		return;
	end_wait(p->wish);
	if (p->service.end != SERVICE_END_CLOSED_BY_PEER &&
		p->service.end != SERVICE_END_CONNECTION_FAILED)
		return;
	if (!p->wish->answer_stands) {
		login->answer.verdict = LOGIN_BAD;
		login->why = "gone_while_waiting";
	}
	count_login(p, login);
}

/* True: it is answered, *next_out comes next. */
static bool
go_on(struct pop3_service *p, bool answer_stands, int *next_out)
{
	if (must_wait(p, answer_stands) || (!answer_stands && send_to_workers(p)))
		return false;
	*next_out = (int)tell_answer(p);
	return true;
}

static void
wait_is_over(struct timer *t)
{
	struct wish *w = container_of(t, struct wish, wait);
	struct pop3_service *p = w->service;
	int next;

	if (p->service.wait == WAIT_FOR_END)
		return; /* the connection is on its way out, and takes the wish with it */
	end_wait(w);
	authenticate_note_wait(&w->login, p->service.shard->loop.now_ms);
	if (go_on(p, w->answer_stands, &next))
		service_resume(&p->service, next);
}

static void
verify_done(struct offload_job *job)
{
	struct pop3_service *p = wish_come_home(job);
	struct shard *shard = p->service.shard;
	bool answer_stands =
		authenticate_go_on(&shard->authenticator, shard->loop.now_ms, &wish_of(job)->login);
	int next;

	if (go_on(p, answer_stands, &next))
		service_resume(&p->service, next);
}

bool
wish_verify(struct pop3_service *p, int *next_out)
{
	static const struct login_answer no_memory = { .verdict = LOGIN_UNAVAILABLE };
	struct shard *shard = p->service.shard;
	struct login_question question = pop3_session_question(&p->session);
	struct wish *w = wish_take(p);

	if (w == NULL) {
		*next_out = (int)pop3_session_answered(&p->session, &no_memory);
		return true;
	}
	question.peer.family = p->service.peer_family;
	memcpy(question.peer.address, p->service.peer_address, sizeof(question.peer.address));
	w->has_waited = false;
	return go_on(p,
		authenticate_begin(&shard->authenticator, &question, shard->loop.now_ms, &w->login),
		next_out);
}
