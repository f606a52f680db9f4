/*
 * service_lmtp.c - a guest who speaks LMTP: what its session wants and others do not.
 *
 * Limits of time: the connection's moves with every octet; a transaction as a whole has one that
 * does not, so that who sends an octet a minute does not hold a draft for ever.
 */
#include "core/service_lmtp.h"

#include "core/lmtp/reply.h"
#include "core/service_client.h"
#include "io/base/log.h"

#define GOODBYE_MS 5000u /* to take our last words */

static const struct log_kind EVENT_SESSION_END = { "session_end", LOG_INFO };

/* ---- the end ------------------------------------------------------------------------------- */

static const char *
end_word(const struct lmtp_service *p)
{
	if (p->session.end != LMTP_END_NONE)
		return lmtp_end_word((enum lmtp_end)p->session.end);
	return service_end_word(&p->service);
}

static void
log_session(const struct lmtp_service *p)
{
	const struct service *v = &p->service;
	char peer[INET6_ADDRSTRLEN];

	if (!v->shard->common->settings->log_sessions)
		return;
	log_event(EVENT_SESSION_END, kv_word("protocol", "lmtp"),
		kv_str("listener", v->door->settings->name), kv_u64("shard", v->shard->number),
		kv_word("peer", service_peer(v, peer)), kv_u64("port", v->peer_port),
		kv_span("client", lmtp_session_client(&p->session)),
		kv_u64("messages", p->session.messages), kv_u64("delivered", p->session.delivered),
		kv_u64("failed", p->session.failed), kv_u64("octets", p->session.octets_stored),
		kv_u64("ms", v->shard->loop.now_ms - v->started_ms), kv_word("why", end_word(p)),
		kv_word("tls", tls_version_word(&v->conn.tls)),
		kv_word("cipher", tls_suite_word(&v->conn.tls)),
		kv_word("ktls", tls_is_in_kernel(&v->conn.tls) ? "yes" : "no"),
		kv_word("resumed", v->conn.tls.resumed ? "yes" : "no"),
		kv_word("records", tls_records_word(&v->conn.tls)));
}

static void
count_session(const struct lmtp_service *p)
{
	struct shard_counts *counts = &p->service.shard->counts;

	count_add(&counts->delivered, p->session.delivered);
	count_add(&counts->undelivered, p->session.failed);
	count_add(&counts->delivered_octets, p->session.octets_stored);
}

static void
lmtp_gone(struct service *v)
{
	struct lmtp_service *p = lmtp_service_of(v);

	log_session(p);
	count_session(p);
	lmtp_drop_draft(p);
	lmtp_session_end(&p->session);
}

/* Nothing of a delivery is anybody else's. */
static void
lmtp_said_last(struct service *v)
{
	(void)v;
}

/* Replies hold no files. */
static void
lmtp_reply_failed(struct service *v, int error)
{
	(void)v;
	(void)error;
}

/* Say why, and give the client a moment to hear it. */
static void
break_off(struct service *v, enum lmtp_end why)
{
	(void)lmtp_session_break(&lmtp_service_of(v)->session, why);
	service_end_session(v, true);
	conn_set_deadline(&v->conn, GOODBYE_MS);
}

static void
lmtp_timed_out(struct service *v)
{
	break_off(v, LMTP_END_TIMED_OUT);
}

static bool
lmtp_goes_on(const struct service *v)
{
	return !lmtp_session_is_idle(&lmtp_service_of((struct service *)v)->session);
}

static void
lmtp_shut_down(struct service *v)
{
	break_off(v, LMTP_END_SHUTDOWN);
}

int
lmtp_next_unless_draining(struct lmtp_service *p, enum lmtp_next next)
{
	if (next == LMTP_NEXT_LINE && p->service.shard->drain_deadline_ms != 0 &&
		lmtp_session_is_idle(&p->session))
		return (int)lmtp_session_break(&p->session, LMTP_END_SHUTDOWN);
	return (int)next;
}

/* ---- the session --------------------------------------------------------------------------- */

static void
set_idle_limit(struct service *v)
{
	conn_goes_first(&v->conn);
	conn_set_idle_limit(&v->conn, v->shard->common->settings->lmtp_timeout_s * 1000);
}

static void
lmtp_begin(struct service *v)
{
	struct lmtp_service *p = lmtp_service_of(v);

	p->draft = NULL;
	p->kept = NULL;
	p->deliveries_away = 0;
	p->transaction_ms = 0;
	lmtp_session_init(&p->session, &v->door->policy.lmtp, conn_output(&v->conn),
		&v->shard->names, &v->shard->recipients);
	set_idle_limit(v);
}

static int
lmtp_greet(struct service *v)
{
	if (service_takes_xclient(v))
		lmtp_session_allow_xclient(&lmtp_service_of(v)->session);
	return (int)lmtp_session_greet(&lmtp_service_of(v)->session);
}

static int
lmtp_secured(struct service *v, const struct tls_peer *peer)
{
	(void)peer;
	set_idle_limit(v);
	return (int)lmtp_session_secured(&lmtp_service_of(v)->session);
}

static bool
lmtp_is_foreign(struct service *v, struct span first_octets)
{
	return lmtp_session_is_foreign(&lmtp_service_of(v)->session, first_octets);
}

/* The transaction, if one is under way, has lasted too long. */
static bool
is_too_slow(struct lmtp_service *p)
{
	const struct shard *shard = p->service.shard;

	if (lmtp_session_is_idle(&p->session))
		p->transaction_ms = shard->loop.now_ms;
	return shard->loop.now_ms - p->transaction_ms >
		(uint64_t)shard->common->settings->lmtp_transaction_s * 1000;
}

/* What was collected of a message that will not be delivered goes. */
static int
go_on(struct lmtp_service *p, enum lmtp_next next)
{
	if (p->draft != NULL && !lmtp_session_collects(&p->session))
		lmtp_drop_draft(p);
	return lmtp_next_unless_draining(p, next);
}

static int
lmtp_line(struct service *v, struct span line)
{
	struct lmtp_service *p = lmtp_service_of(v);

	if (is_too_slow(p))
		return (int)lmtp_session_break(&p->session, LMTP_END_TIMED_OUT);
	return go_on(p, lmtp_session_line(&p->session, line));
}

static int
lmtp_line_too_long(struct service *v)
{
	return (int)lmtp_session_line_too_long(&lmtp_service_of(v)->session);
}

static int
lmtp_octets(struct service *v, struct span *input)
{
	struct lmtp_service *p = lmtp_service_of(v);

	if (is_too_slow(p))
		return (int)lmtp_session_break(&p->session, LMTP_END_TIMED_OUT);
	return go_on(p, lmtp_session_octets(&p->session, input));
}

static int
hear_xclient(struct lmtp_service *p)
{
	struct lmtp_session *s = &p->session;
	struct xclient client;
	enum xclient_outcome outcome = service_hear_xclient(
		&p->service, s->takes_xclient, XCLIENT_FORM_LMTP, lmtp_session_run(s), &client);

	return (int)lmtp_session_xclient_heard(
		s, outcome, outcome == XCLIENT_GOOD ? client.helo : "");
}

static bool
lmtp_wish(struct service *v, int next, int *next_out)
{
	struct lmtp_service *p = lmtp_service_of(v);

	switch ((enum lmtp_next)next) {
	case LMTP_NEXT_RECIPIENT:
		return lmtp_wish_recipient(p, next_out);
	case LMTP_NEXT_STORE:
		return lmtp_wish_store(p, next_out);
	case LMTP_NEXT_DELIVER:
		return lmtp_wish_deliver(p, next_out);
	case LMTP_NEXT_XCLIENT:
		*next_out = hear_xclient(p);
		return true;
	case LMTP_NEXT_LINE:
	case LMTP_NEXT_OCTETS:
	case LMTP_NEXT_TLS:
	case LMTP_NEXT_CLOSE:
	case LMTP_NEXT_REFUSE:
		break;
	}
	must(!"a wish of LMTP");
	return false;
}

const struct service_protocol lmtp_service_protocol = {
	.name = "lmtp",
	.turned_away = SPAN(LMTP_TOO_MANY_CONNECTIONS),
	.wrong_network = SPAN(LMTP_WRONG_NETWORK),
	.slot_octets = sizeof(struct lmtp_service),
	.begin = lmtp_begin,
	.greet = lmtp_greet,
	.secured = lmtp_secured,
	.is_foreign = lmtp_is_foreign,
	.line = lmtp_line,
	.line_too_long = lmtp_line_too_long,
	.octets = lmtp_octets,
	.wish = lmtp_wish,
	.timed_out = lmtp_timed_out,
	.goes_on = lmtp_goes_on,
	.shut_down = lmtp_shut_down,
	.reply_failed = lmtp_reply_failed,
	.said_last = lmtp_said_last,
	.gone = lmtp_gone,
};
