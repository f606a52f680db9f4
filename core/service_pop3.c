/*
 * service_pop3.c - a guest who speaks POP3: what its session wants and others do not.
 *
 * Invariant: the maildrop is held until the connection is gone, for the send queue may hold spans
 * of its file.
 */
#include "core/service_pop3.h"

#include "core/pop3/reply.h"
#include "core/service_client.h"
#include "core/service_pop3_wish.h"
#include "io/base/clock.h"
#include "io/base/log.h"
#include "storage/claim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

/* What an idle connection may cost (tests/cost). */
static_assert(sizeof(struct pop3_service) <= 512, "a guest's slot");

static const struct log_kind EVENT_SESSION_END = { "session_end", LOG_INFO };
static const struct log_kind EVENT_REPLY_FAILED = { "reply_failed", LOG_ERROR };

/* ---- the end ------------------------------------------------------------------------------- */

/* Others may have the maildrop, from before the guest hears that it is done. */
static void
drop_claim(struct pop3_service *p)
{
	if (p->claim_fd >= 0)
		claim_drop(&p->service.shard->disk, p->claim_fd);
	p->claim_fd = -1;
}

/* What was removed gives its space back once this session does not hold the file any more. */
static void
let_maildrop_go(struct pop3_service *p)
{
	struct shard *shard = p->service.shard;
	char *reclaim = NULL;

	if (p->hold == NULL)
		return;
	if (p->has_removed_mail)
		reclaim = strdup(p->hold->maildrop->address);
	maildrop_cache_release(&shard->maildrops, p->hold, shard->loop.now_ms);
	drop_claim(p);
	if (reclaim != NULL)
		wish_reclaim(shard, reclaim);
	free(reclaim);
}

static const char *
end_word(const struct pop3_service *p)
{
	if (p->session.end != POP3_END_NONE)
		return pop3_end_word(p->session.end);
	return service_end_word(&p->service);
}

static uint64_t
deleted(const struct pop3_service *p)
{
	return p->has_removed_mail ? listing_deleted(&p->session.listing) : 0;
}

static void
count_session(const struct pop3_service *p)
{
	struct shard_counts *counts = &p->service.shard->counts;

	count_add(&counts->retrieved, p->session.retrieved);
	count_add(&counts->retrieved_octets, p->session.octets_retrieved);
	count_add(&counts->topped, p->session.topped);
	count_add(&counts->deleted, deleted(p));
}

static void
log_session(const struct pop3_service *p)
{
	const struct service *v = &p->service;
	char peer[INET6_ADDRSTRLEN];

	if (!v->shard->common->settings->log_sessions)
		return;
	log_event(EVENT_SESSION_END, kv_word("protocol", "pop3"),
		kv_str("listener", v->door->settings->name), kv_u64("shard", v->shard->number),
		kv_word("peer", service_peer(v, peer)), kv_u64("port", v->peer_port),
		kv_str("address", p->hold == NULL ? "" : p->hold->maildrop->address),
		kv_u64("retrieved", p->session.retrieved), kv_u64("topped", p->session.topped),
		kv_u64("deleted", deleted(p)), kv_u64("octets", p->session.octets_retrieved),
		kv_u64("failed_logins", p->session.failed_logins),
		kv_u64("ms", v->shard->loop.now_ms - v->started_ms), kv_word("why", end_word(p)),
		kv_word("tls", tls_version_word(&v->conn.tls)),
		kv_word("cipher", tls_suite_word(&v->conn.tls)),
		kv_word("ktls", tls_is_in_kernel(&v->conn.tls) ? "yes" : "no"),
		kv_word("resumed", v->conn.tls.resumed ? "yes" : "no"),
		kv_word("records", tls_records_word(&v->conn.tls)));
}

static void
pop3_gone(struct service *v)
{
	struct pop3_service *p = pop3_service_of(v);

	log_session(p);
	count_session(p);
	wish_forget(p);
	admission_leave(v->shard->common->admission, &p->admission);
	pop3_session_end(&p->session);
	let_maildrop_go(p);
}

static void
pop3_said_last(struct service *v)
{
	drop_claim(pop3_service_of(v));
}

static void
pop3_reply_failed(struct service *v, int error)
{
	const struct pop3_service *p = pop3_service_of(v);

	if (p->hold != NULL)
		log_event(EVENT_REPLY_FAILED, kv_str("address", p->hold->maildrop->address),
			kv_str("error", strerror(-error)));
}

static bool
is_logged_in(const struct pop3_service *p)
{
	return p->session.state != POP3_AUTHORIZATION;
}

static void
pop3_timed_out(struct service *v)
{
	service_end_with(v,
		is_logged_in(pop3_service_of(v)) ? SERVICE_END_IDLE : SERVICE_END_LOGIN_DEADLINE);
}

static bool
pop3_goes_on(const struct service *v)
{
	return is_logged_in(pop3_service_of((struct service *)v));
}

static void
pop3_shut_down(struct service *v)
{
	service_end_with(v, SERVICE_END_SHUTDOWN);
}

/* ---- the session --------------------------------------------------------------------------- */

static void
set_login_deadline(struct service *v)
{
	service_set_deadline(v, v->shard->common->settings->login_deadline_s);
}

static void
pop3_begin(struct service *v)
{
	struct pop3_service *p = pop3_service_of(v);

	p->hold = NULL;
	p->wish = NULL;
	p->claim_fd = -1;
	p->admission = (struct admission_ticket){ 0 };
	p->has_removed_mail = false;
	pop3_session_init(
		&p->session, &v->door->policy.pop3, conn_output(&v->conn), &v->shard->names);
	line_reader_allow_long(&v->lines, pop3_session_long_word(&p->session));
	set_login_deadline(v);
}

/* A stamp that no greeting had before: 64 random bits, the clock and our name (RFC 1939, section 7). */
static const char *
make_stamp(const struct service *v, char stamp_out[POP3_STAMP_OCTETS_MAX + 1])
{
	uint64_t random;

	if (!v->shard->common->settings->apop ||
		getrandom(&random, sizeof(random), 0) != (ssize_t)sizeof(random))
		return NULL;
	snprintf(stamp_out, POP3_STAMP_OCTETS_MAX + 1, "<%016" PRIx64 ".%" PRId64 "@ringpost>",
		random, clock_calendar_us());
	return stamp_out;
}

static int
pop3_greet(struct service *v)
{
	char stamp[POP3_STAMP_OCTETS_MAX + 1];

	if (service_takes_xclient(v))
		pop3_session_allow_xclient(&pop3_service_of(v)->session);
	return (int)pop3_session_greet(&pop3_service_of(v)->session, make_stamp(v, stamp));
}

static int
pop3_secured(struct service *v, const struct tls_peer *peer)
{
	const struct sasl_facts facts = {
		.exporter = span_of(peer->exporter, peer->has_exporter ? TLS_EXPORTER_OCTETS : 0),
		.certificate_name = peer->name[0] != '\0' ? peer->name : NULL,
	};

	set_login_deadline(v);
	return (int)pop3_session_secured(&pop3_service_of(v)->session, &facts);
}

static bool
pop3_is_foreign(struct service *v, struct span first_octets)
{
	return pop3_session_is_foreign(&pop3_service_of(v)->session, first_octets);
}

static int
pop3_line(struct service *v, struct span line)
{
	struct pop3_session *session = &pop3_service_of(v)->session;
	enum pop3_next next = pop3_session_line(session, line);

	line_reader_allow_long(&v->lines, pop3_session_long_word(session));
	return (int)next;
}

static int
pop3_line_too_long(struct service *v)
{
	return (int)pop3_session_line_too_long(&pop3_service_of(v)->session);
}

static int
pop3_drained(struct service *v)
{
	return (int)pop3_session_drained(&pop3_service_of(v)->session);
}

static int
hear_xclient(struct pop3_service *p)
{
	struct pop3_session *s = &p->session;
	struct xclient client;

	return (int)pop3_session_xclient_heard(s,
		service_hear_xclient(&p->service, s->takes_xclient, XCLIENT_FORM_POP3,
			pop3_session_xclient(s), &client));
}

static bool
pop3_wish(struct service *v, int next, int *next_out)
{
	struct pop3_service *p = pop3_service_of(v);

	switch ((enum pop3_next)next) {
	case POP3_NEXT_VERIFY:
		return wish_verify(p, next_out);
	case POP3_NEXT_OPEN:
		return wish_open(p, next_out);
	case POP3_NEXT_CHECK:
		return wish_check(p, next_out);
	case POP3_NEXT_SCAN:
		return wish_scan(p, next_out);
	case POP3_NEXT_COMMIT:
		return wish_commit(p, next_out);
	case POP3_NEXT_XCLIENT:
		*next_out = hear_xclient(p);
		return true;
	case POP3_NEXT_LINE:
	case POP3_NEXT_DRAIN:
	case POP3_NEXT_TLS:
	case POP3_NEXT_CLOSE:
	case POP3_NEXT_REFUSE:
		break;
	}
	must(!"a wish of POP3");
	return false;
}

const struct service_protocol pop3_service_protocol = {
	.name = "pop3",
	.alpn = "pop3",
	.turned_away = SPAN(POP3_TOO_MANY_CONNECTIONS),
	.wrong_network = SPAN(POP3_WRONG_NETWORK),
	.slot_octets = sizeof(struct pop3_service),
	.begin = pop3_begin,
	.greet = pop3_greet,
	.secured = pop3_secured,
	.is_foreign = pop3_is_foreign,
	.line = pop3_line,
	.line_too_long = pop3_line_too_long,
	.drained = pop3_drained,
	.wish = pop3_wish,
	.timed_out = pop3_timed_out,
	.goes_on = pop3_goes_on,
	.shut_down = pop3_shut_down,
	.reply_failed = pop3_reply_failed,
	.said_last = pop3_said_last,
	.gone = pop3_gone,
};
