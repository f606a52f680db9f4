/*
 * service_pop3_verify.c - VERIFY: who is there?  core/service_login.h finds out.
 */
#include "core/service_pop3_wish_internal.h"

#include "io/base/clock.h"

static void
note_login(const struct pop3_service *p, const struct login_request *r)
{
	struct login_note *note;
	char peer[INET6_ADDRSTRLEN];

	if (p->service.shard->last_logins == NULL)
		return;
	note = last_logins_note(p->service.shard->last_logins);
	if (note == NULL)
		return;
	strcpy(note->address, r->account.address);
	strcpy(note->app_password, r->app_password);
	strcpy(note->protocol, "pop3");
	strcpy(note->peer, service_peer(&p->service, peer));
	note->at = clock_calendar_us() / 1000000;
}

/* It is good; but is there room for one more of this account? */
static void
admit(struct pop3_service *p, struct login_request *r)
{
	struct shard *shard = p->service.shard;

	if (shard->common->admission == NULL || r->answer.verdict != LOGIN_GOOD ||
		r->question.kind == LOGIN_KEYS)
		return;
	r->answer.verdict = admission_enter(shard->common->admission,
		span_of_string(r->account.address), shard->loop.now_ms, &p->admission);
	if (r->answer.verdict == LOGIN_TOO_SOON)
		r->why = "too_soon";
	else if (r->answer.verdict == LOGIN_TOO_MANY)
		r->why = "too_many_sessions";
}

/* The session hears the answer; the request stays while its maildrop is being opened. */
static int
tell_answer(struct service_login *login)
{
	struct pop3_service *p = pop3_service_of(login->service);
	struct login_request *r = &login->request;
	enum pop3_next next;

	admit(p, r);
	service_login_count(login);
	if (r->answer.verdict == LOGIN_GOOD && r->question.kind != LOGIN_KEYS)
		note_login(p, r);
	next = pop3_session_answered(&p->session, &r->answer);
	line_reader_allow_long(&p->service.lines, pop3_session_long_word(&p->session));
	authenticate_forget(r);
	if (next != POP3_NEXT_OPEN && next != POP3_NEXT_VERIFY)
		wish_forget(p);
	return (int)next;
}

bool
wish_verify(struct pop3_service *p, int *next_out)
{
	static const struct login_answer no_memory = { .verdict = LOGIN_UNAVAILABLE };
	struct login_question question = pop3_session_question(&p->session);
	struct wish *w = wish_take(p);

	if (w == NULL) {
		*next_out = (int)pop3_session_answered(&p->session, &no_memory);
		return true;
	}
	w->login.service = &p->service;
	w->login.answered = tell_answer;
	return service_login_ask(&w->login, &question, next_out);
}
