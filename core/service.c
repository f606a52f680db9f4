/*
 * service.c - a switch over what the session wants next.
 *
 * The session decides, this file does: it cuts input into lines, hands them in, and brings about
 * what the session asks for (service_wish.c). Invariants
 *   1. While a wish is away nothing is read from the guest, and the slot stays whatever the
 * connection does.
 *   2. Input that waits is copied out of the ring's buffers; they are never held.
 *   3. The maildrop is held until the connection is gone, for the send queue may hold spans of its
 * file.
 */
#include "core/service.h"

#include "core/service_wish.h"
#include "io/base/log.h"
#include "storage/claim.h"

#include <errno.h>
#include <stdlib.h>

static const struct log_kind EVENT_SESSION_END = { "session_end", LOG_INFO };
static const struct log_kind EVENT_TLS_FAILED = { "tls_failed", LOG_INFO };
static const struct log_kind EVENT_REPLY_FAILED = { "reply_failed", LOG_ERROR };

/* ---- the end ------------------------------------------------------------------------------- */

static const char *
end_word(const struct service *v)
{
	static const char *const words[] = {
		[SERVICE_END_BY_SESSION] = "none",
		[SERVICE_END_CLOSED_BY_PEER] = "closed_by_peer",
		[SERVICE_END_CONNECTION_FAILED] = "connection_failed",
		[SERVICE_END_LOGIN_DEADLINE] = "login_deadline",
		[SERVICE_END_IDLE] = "idle",
		[SERVICE_END_SHUTDOWN] = "shutdown",
		[SERVICE_END_FILE_FAILED] = "file_failed",
		[SERVICE_END_NO_MEMORY] = "no_memory",
		[SERVICE_END_TLS_FAILED] = "tls_failed",
	};

	if (v->session.end != POP3_END_NONE)
		return pop3_end_word(v->session.end);
	return words[v->end];
}

const char *
service_peer(const struct service *v, char text_out[INET6_ADDRSTRLEN])
{
	int family = v->peer_is_ip6 ? AF_INET6 : AF_INET;

	if (inet_ntop(family, v->peer_address, text_out, INET6_ADDRSTRLEN) == NULL)
		return "?";
	return text_out;
}

static void
log_session(const struct service *v)
{
	char peer[INET6_ADDRSTRLEN];

	if (!v->shard->common->settings->log_sessions)
		return;
	log_event(EVENT_SESSION_END, kv_word("protocol", "pop3"),
		kv_str("listener", v->door->settings->name), kv_u64("shard", v->shard->number),
		kv_word("peer", service_peer(v, peer)), kv_u64("port", v->peer_port),
		kv_str("address", v->hold == NULL ? "" : v->hold->maildrop->address),
		kv_u64("retrieved", v->session.retrieved), kv_u64("topped", v->session.topped),
		kv_u64("deleted", v->has_removed_mail ? listing_deleted(&v->session.listing) : 0),
		kv_u64("octets", v->session.octets_retrieved),
		kv_u64("failed_logins", v->session.failed_logins),
		kv_u64("ms", v->shard->loop.now_ms - v->started_ms), kv_word("why", end_word(v)),
		kv_word("tls", tls_version_word(&v->conn.tls)),
		kv_word("cipher", tls_suite_word(&v->conn.tls)),
		kv_word("ktls", v->conn.tls.in_kernel ? "yes" : "no"),
		kv_word("resumed", v->conn.tls.resumed ? "yes" : "no"));
}

static void
log_tls_failure(const struct service *v, enum tls_failure why)
{
	char peer[INET6_ADDRSTRLEN];

	log_event(EVENT_TLS_FAILED, kv_word("protocol", "pop3"),
		kv_str("listener", v->door->settings->name), kv_word("peer", service_peer(v, peer)),
		kv_u64("port", v->peer_port), kv_word("why", tls_failure_word(why)));
}

static void
drop_input(struct service *v)
{
	if (v->input != NULL)
		slab_give(&v->shard->inputs, v->input);
	v->input = NULL;
}

/* Others may have the maildrop, from before the guest hears that it is done. */
static void
drop_claim(struct service *v)
{
	if (v->claim_fd >= 0)
		claim_drop(&v->shard->disk, v->claim_fd);
	v->claim_fd = -1;
}

/* What was removed gives its space back once this session does not hold the file any more. */
static void
let_maildrop_go(struct service *v)
{
	struct shard *shard = v->shard;
	char *reclaim = NULL;

	if (v->hold == NULL)
		return;
	if (v->has_removed_mail)
		reclaim = strdup(v->hold->maildrop->address);
	maildrop_cache_release(&shard->maildrops, v->hold, shard->loop.now_ms);
	drop_claim(v);
	if (reclaim != NULL)
		wish_reclaim(shard, reclaim);
	free(reclaim);
}

/* When the connection is gone and no wish is away, nothing refers to the slot any more. */
static void
free_slot(struct service *v)
{
	struct shard *shard = v->shard;

	if (!v->conn_is_gone || v->wish_is_away)
		return;
	log_session(v);
	drop_input(v);
	segments_clear(conn_output(&v->conn)); /* what a wish that came home late has put */
	wish_forget(v);
	line_reader_clear(&v->lines);
	pop3_session_end(&v->session);
	let_maildrop_go(v);
	guests_leave(shard->common->guests, v->ticket);
	list_remove(&v->item);
	slab_give(&shard->services, v);
	shard_session_ended(shard);
}

static void
conn_gone(struct conn *c)
{
	struct service *v = container_of(c, struct service, conn);

	v->conn_is_gone = true;
	free_slot(v);
}

/* Nothing goes out any more. */
static void
end_with(struct service *v, enum service_end why)
{
	v->end = why;
	v->wait = WAIT_FOR_END;
	conn_abort(&v->conn);
}

/* What is queued still goes out. */
static void
end_session(struct service *v, bool refuse)
{
	v->wait = WAIT_FOR_END;
	drop_input(v);
	drop_claim(v);
	if (refuse)
		conn_refuse(&v->conn);
	else
		conn_close(&v->conn);
}

static void
conn_ended(struct conn *c, enum conn_end why, int error)
{
	static const enum service_end ends[] = {
		[CONN_END_CLOSED_BY_PEER] = SERVICE_END_CLOSED_BY_PEER,
		[CONN_END_RECEIVE_FAILED] = SERVICE_END_CONNECTION_FAILED,
		[CONN_END_SEND_FAILED] = SERVICE_END_CONNECTION_FAILED,
		[CONN_END_FILE_FAILED] = SERVICE_END_FILE_FAILED,
		[CONN_END_NO_MEMORY] = SERVICE_END_NO_MEMORY,
		[CONN_END_TLS_FAILED] = SERVICE_END_TLS_FAILED,
	};
	struct service *v = container_of(c, struct service, conn);

	if (why == CONN_END_CLOSED_BY_PEER) {
		v->end = ends[why];
		end_session(v, false);
		return;
	}
	if (why == CONN_END_TLS_FAILED) {
		log_tls_failure(v, (enum tls_failure)error);
		v->end = ends[why];
		end_session(v, true);
		return;
	}
	if (why == CONN_END_FILE_FAILED && v->hold != NULL)
		log_event(EVENT_REPLY_FAILED, kv_str("address", v->hold->maildrop->address),
			kv_str("error", strerror(-error)));
	end_with(v, ends[why]);
}

static void
conn_timed_out(struct conn *c)
{
	struct service *v = container_of(c, struct service, conn);
	const struct settings *settings = v->shard->common->settings;

	if (v->wish_is_away) { /* not the guest's fault */
		conn_set_deadline(c, settings->login_deadline_s * 1000);
		return;
	}
	end_with(v,
		v->session.state == POP3_AUTHORIZATION ? SERVICE_END_LOGIN_DEADLINE
						       : SERVICE_END_IDLE);
}

void
service_drain(struct service *v, bool now)
{
	if (v->conn.state == CONN_OPEN && !v->wish_is_away &&
		(now || v->session.state == POP3_AUTHORIZATION))
		end_with(v, SERVICE_END_SHUTDOWN);
}

/* ---- driving the session ------------------------------------------------------------------- */

/* Keep input until the session can take it. */
static bool
keep_input(struct service *v, struct span input)
{
	v->input_octets = 0;
	if (input.length == 0)
		return true;
	if (v->input == NULL)
		v->input = slab_take(&v->shard->inputs);
	if (v->input == NULL)
		return false;
	must(input.length <= RECEIVE_BUFFER_OCTETS);
	memmove(v->input, input.at, input.length);
	v->input_octets = (uint16_t)input.length;
	return true;
}

/* Stop here: what is queued may go out, the rest of the input waits. */
static void
pause_for(struct service *v, enum service_wait wait, struct span input)
{
	v->wait = wait;
	if (!keep_input(v, input))
		end_with(v, SERVICE_END_NO_MEMORY);
}

/* The output is over its mark and does not drain at once. */
static bool
must_wait_for_room(struct service *v)
{
	return conn_output(&v->conn)->length > OUTPUT_MARK_OCTETS && !conn_flush(&v->conn);
}

/* The next line, if there is one; false: the service has to wait for something. */
static bool
hear_line(struct service *v, struct span *input, enum pop3_next *next_out)
{
	struct span line;

	if (must_wait_for_room(v)) {
		pause_for(v, WAIT_FOR_ROOM, *input);
		return false;
	}
	switch (line_next(&v->lines, input, &line)) {
	case LINE_READY:
		*next_out = pop3_session_line(&v->session, line);
		return true;
	case LINE_TOO_LONG:
		*next_out = pop3_session_line_too_long(&v->session);
		return true;
	case LINE_NO_MEMORY:
		end_with(v, SERVICE_END_NO_MEMORY);
		return false;
	case LINE_NEEDS_MORE:
		break;
	}
	drop_input(v);
	v->wait = WAIT_FOR_INPUT;
	conn_flush(&v->conn);
	conn_receive(&v->conn, !v->conn.more_is_there);
	return false;
}

static bool
drain(struct service *v, struct span input, enum pop3_next *next_out)
{
	if (!conn_flush(&v->conn)) {
		pause_for(v, WAIT_FOR_DRAIN, input);
		return false;
	}
	*next_out = pop3_session_drained(&v->session);
	return true;
}

/* A wish is being brought about; true: it has come true at once. */
static bool
wish(struct service *v, bool (*bring_about)(struct service *v, enum pop3_next *next_out),
	struct span input, enum pop3_next *next_out)
{
	if (bring_about(v, next_out))
		return true;
	pause_for(v, WAIT_FOR_WISH, input);
	conn_flush(&v->conn);
	return false;
}

/* The handshake has a limit of its own; what it takes counts for the login all the same. */
static void
start_tls(struct service *v, struct span first_octets)
{
	const struct settings *settings = v->shard->common->settings;
	uint32_t deadline_s = settings->tls_deadline_s;

	if (deadline_s > settings->login_deadline_s)
		deadline_s = settings->login_deadline_s;
	v->wait = WAIT_FOR_TLS;
	conn_set_deadline(&v->conn, deadline_s * 1000);
	if (!conn_start_tls(&v->conn, &v->shard->tls, first_octets))
		end_with(v, SERVICE_END_NO_MEMORY);
}

/*
 * STLS.  What came behind its line, a whole command or half a one, goes where TLS begins: if it is
 * not TLS the handshake fails, and nobody ever reads it as a command.  The same holds for what the
 * socket still has.
 */
static void
leave_the_clear(struct service *v, struct span input)
{
	if (!conn_flush(&v->conn)) {
		pause_for(v, WAIT_TO_START_TLS, input);
		return;
	}
	line_reader_clear(&v->lines);
	start_tls(v, input);
	drop_input(v);
}

/* From one thing that the session wants to the next, until something has to be waited for. */
static void
run(struct service *v, enum pop3_next next, struct span input)
{
	bool goes_on = true;

	while (goes_on) {
		switch (next) {
		case POP3_NEXT_LINE:
			goes_on = hear_line(v, &input, &next);
			break;
		case POP3_NEXT_DRAIN:
			goes_on = drain(v, input, &next);
			break;
		case POP3_NEXT_VERIFY:
			goes_on = wish(v, wish_verify, input, &next);
			break;
		case POP3_NEXT_OPEN:
			goes_on = wish(v, wish_open, input, &next);
			break;
		case POP3_NEXT_CHECK:
			goes_on = wish(v, wish_check, input, &next);
			break;
		case POP3_NEXT_SCAN:
			goes_on = wish(v, wish_scan, input, &next);
			break;
		case POP3_NEXT_COMMIT:
			goes_on = wish(v, wish_commit, input, &next);
			break;
		case POP3_NEXT_TLS:
			leave_the_clear(v, input);
			return;
		case POP3_NEXT_CLOSE:
		case POP3_NEXT_REFUSE:
			end_session(v, next == POP3_NEXT_REFUSE);
			return;
		}
	}
}

static struct span
kept_input(const struct service *v)
{
	return v->input == NULL ? span_of(NULL, 0) : span_of(v->input, v->input_octets);
}

void
service_resume(struct service *v, enum pop3_next next)
{
	if (v->wait != WAIT_FOR_WISH) { /* the connection has ended meanwhile */
		free_slot(v);
		return;
	}
	run(v, next, kept_input(v));
}

static void
conn_drained(struct conn *c)
{
	struct service *v = container_of(c, struct service, conn);

	if (v->wait == WAIT_FOR_ROOM)
		run(v, POP3_NEXT_LINE, kept_input(v));
	else if (v->wait == WAIT_FOR_DRAIN)
		run(v, POP3_NEXT_DRAIN, kept_input(v));
	else if (v->wait == WAIT_TO_START_TLS)
		leave_the_clear(v, kept_input(v));
}

static void
set_login_deadline(struct service *v)
{
	uint64_t limit_ms = (uint64_t)v->shard->common->settings->login_deadline_s * 1000;
	uint64_t passed_ms = v->shard->loop.now_ms - v->started_ms;

	conn_set_deadline(&v->conn, passed_ms < limit_ms ? (uint32_t)(limit_ms - passed_ms) : 0);
}

static void
conn_secured(struct conn *c)
{
	struct service *v = container_of(c, struct service, conn);
	enum pop3_next next = pop3_session_secured(&v->session);

	set_login_deadline(v);
	if (v->door->settings->tls == LISTENER_TLS_IMPLICIT)
		next = pop3_session_greet(&v->session);
	run(v, next, span_of(NULL, 0));
}

static void
conn_received(struct conn *c, struct span octets)
{
	struct service *v = container_of(c, struct service, conn);

	if (!v->session.heard_a_line && pop3_session_is_foreign(&v->session, octets)) {
		end_session(v, true);
		return;
	}
	run(v, POP3_NEXT_LINE, octets);
}

static const struct conn_ops service_conn_ops = {
	.received = conn_received,
	.drained = conn_drained,
	.timed_out = conn_timed_out,
	.ended = conn_ended,
	.secured = conn_secured,
	.gone = conn_gone,
};

/* ---- the beginning ------------------------------------------------------------------------- */

static void
note_peer(struct service *v, const struct sockaddr_storage *peer)
{
	if (peer->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)peer;

		v->peer_is_ip6 = true;
		memcpy(v->peer_address, &in6->sin6_addr, sizeof(in6->sin6_addr));
		v->peer_port = ntohs(in6->sin6_port);
	} else {
		const struct sockaddr_in *in = (const void *)peer;

		memcpy(v->peer_address, &in->sin_addr, sizeof(in->sin_addr));
		v->peer_port = ntohs(in->sin_port);
	}
}

bool
service_start(struct shard *shard, const struct door *door, int fd,
	const struct sockaddr_storage *peer, uint64_t ticket)
{
	struct service *v = slab_take(&shard->services);

	if (v == NULL)
		return false;
	*v = (struct service){
		.shard = shard,
		.door = door,
		.ticket = ticket,
		.started_ms = shard->loop.now_ms,
		.claim_fd = -1,
	};
	list_append(&shard->sessions, &v->item);
	note_peer(v, peer);
	line_reader_init(&v->lines, &shard->names);
	conn_open(&v->conn, &shard->loop, fd, &service_conn_ops);
	set_login_deadline(v);
	pop3_session_init(&v->session, &door->policy, conn_output(&v->conn), &shard->names);
	if (door->settings->tls == LISTENER_TLS_IMPLICIT) {
		start_tls(v, span_of(NULL, 0));
		return true;
	}
	run(v, pop3_session_greet(&v->session), span_of(NULL, 0));
	return true;
}
