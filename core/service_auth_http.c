/*
 * service_auth_http.c - see service_auth_http.h.
 */
#include "core/service_auth_http.h"

#include "io/base/log.h"

#define GOODBYE_MS 5000u /* to take our last words */

static const struct log_kind EVENT_SESSION_END = { "session_end", LOG_INFO };
static const struct log_kind EVENT_BACKEND_UNUSABLE = { "backend_unusable", LOG_ERROR };

/* ---- the end ------------------------------------------------------------------------------- */

static void
log_session(const struct auth_http_service *p)
{
	const struct service *v = &p->service;
	const struct login_request *r = &p->login.request;
	enum auth_http_end end = (enum auth_http_end)p->session.end;
	bool is_good = end == AUTH_HTTP_END_ANSWERED && r->answer.verdict == LOGIN_GOOD;
	char peer[INET6_ADDRSTRLEN];

	if (!v->shard->common->settings->log_sessions)
		return;
	log_event(EVENT_SESSION_END, kv_word("protocol", "auth_http"),
		kv_str("listener", v->door->settings->name), kv_u64("shard", v->shard->number),
		kv_word("peer", service_peer(v, peer)), kv_u64("port", v->peer_port),
		kv_str("address", is_good ? r->account.address : ""),
		kv_str("backend", is_good ? r->account.backend : ""),
		kv_u64("ms", v->shard->loop.now_ms - v->started_ms),
		kv_word("why",
			end != AUTH_HTTP_END_NONE ? auth_http_end_word(end) : service_end_word(v)));
}

static void
auth_http_gone(struct service *v)
{
	struct auth_http_service *p = auth_http_service_of(v);

	log_session(p);
	service_login_forget(&p->login);
	auth_http_session_end(&p->session);
}

static void
auth_http_said_last(struct service *v)
{
	(void)v;
}

/* Replies hold no files. */
static void
auth_http_reply_failed(struct service *v, int error)
{
	(void)v;
	(void)error;
}

static void
auth_http_timed_out(struct service *v)
{
	auth_http_session_timed_out(&auth_http_service_of(v)->session);
	service_end_session(v, true);
	conn_set_deadline(&v->conn, GOODBYE_MS);
}

/* What a worker has is waited for anyway. */
static bool
auth_http_goes_on(const struct service *v)
{
	(void)v;
	return false;
}

static void
auth_http_shut_down(struct service *v)
{
	service_end_with(v, SERVICE_END_SHUTDOWN);
}

/* ---- the session --------------------------------------------------------------------------- */

static void
auth_http_begin(struct service *v)
{
	struct auth_http_service *p = auth_http_service_of(v);

	p->login = (struct service_login){ .service = v };
	auth_http_session_init(&p->session, &v->door->policy.auth_http, conn_output(&v->conn));
	/* a certificate of nginx' client may be in one header */
	line_reader_allow_long(&v->lines, "Auth-");
	service_set_deadline(v, v->shard->common->settings->login_deadline_s);
}

/* HTTP begins with the client. */
static int
auth_http_greet(struct service *v)
{
	(void)v;
	return (int)AUTH_HTTP_NEXT_LINE;
}

/* nginx speaks no TLS here (core/settings_check.c). */
static int
auth_http_secured(struct service *v, const struct tls_peer *peer)
{
	(void)v;
	(void)peer;
	return (int)AUTH_HTTP_NEXT_LINE;
}

static bool
auth_http_is_foreign(struct service *v, struct span first_octets)
{
	return auth_http_session_is_foreign(&auth_http_service_of(v)->session, first_octets);
}

static int
auth_http_line(struct service *v, struct span line)
{
	return (int)auth_http_session_line(&auth_http_service_of(v)->session, line);
}

static int
auth_http_line_too_long(struct service *v)
{
	return (int)auth_http_session_line_too_long(&auth_http_service_of(v)->session);
}

static int
tell_answer(struct service_login *login)
{
	struct auth_http_service *p = auth_http_service_of(login->service);
	struct login_request *r = &login->request;
	bool is_good = r->answer.verdict == LOGIN_GOOD;
	enum auth_http_next next;

	service_login_count(login);
	next = auth_http_session_answered(&p->session, r->answer.verdict,
		is_good ? r->account.backend : "",
		is_good ? password_plain(r->account.password_hash) : SPAN(""));
	if (p->session.end == AUTH_HTTP_END_NO_BACKEND)
		log_event(EVENT_BACKEND_UNUSABLE, kv_str("address", r->account.address),
			kv_str("backend", r->account.backend));
	authenticate_forget(r);
	return (int)next;
}

static bool
auth_http_wish(struct service *v, int next, int *next_out)
{
	struct auth_http_service *p = auth_http_service_of(v);
	struct login_question question = auth_http_session_question(&p->session);

	must(next == (int)AUTH_HTTP_NEXT_VERIFY);
	service_note_peer(v, &p->session.client);
	p->login.answered = tell_answer;
	return service_login_ask(&p->login, &question, next_out);
}

const struct service_protocol auth_http_service_protocol = {
	.name = "auth_http",
	.turned_away = SPAN("HTTP/1.0 503 Service Unavailable\r\n\r\n"),
	.wrong_network = SPAN("HTTP/1.0 403 Forbidden\r\n\r\n"),
	.slot_octets = sizeof(struct auth_http_service),
	.begin = auth_http_begin,
	.greet = auth_http_greet,
	.secured = auth_http_secured,
	.is_foreign = auth_http_is_foreign,
	.line = auth_http_line,
	.line_too_long = auth_http_line_too_long,
	.wish = auth_http_wish,
	.timed_out = auth_http_timed_out,
	.goes_on = auth_http_goes_on,
	.shut_down = auth_http_shut_down,
	.reply_failed = auth_http_reply_failed,
	.said_last = auth_http_said_last,
	.gone = auth_http_gone,
};
