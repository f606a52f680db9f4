/*
 * service.c - a switch over what the session wants next.
 *
 * The session decides, this file does: it cuts input into lines, hands them in, and lets the
 * protocol bring about what only its sessions ask for (service_pop3.c, service_lmtp.c).
 * Invariants
 *   1. While a wish is away nothing is read from the guest, and the slot stays whatever the
 *      connection does.
 *   2. Input that waits is copied out of the ring's buffers; they are never held.
 *   3. What a protocol holds it holds until the connection is gone, for the send queue may have
 *      spans of its files.
 */
#include "core/service.h"

#include "core/service_client.h"
#include "io/base/log.h"

static const struct log_kind EVENT_TLS_FAILED = { "tls_failed", LOG_INFO };

static const struct service_protocol *
protocol_of(const struct service *v)
{
	return v->door->protocol;
}

/* ---- the end ------------------------------------------------------------------------------- */

const char *
service_end_word(const struct service *v)
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
		[SERVICE_END_HANDSHAKE_RATE] = "handshake_rate",
		[SERVICE_END_PROXY_HEADER] = "proxy_header",
		[SERVICE_END_TURNED_AWAY] = "turned_away",
	};

	return words[v->end];
}

static const char *
text_of(int family, const void *address, char text_out[INET6_ADDRSTRLEN])
{
	if (family == AF_UNIX)
		return "unix";
	if (inet_ntop(family, address, text_out, INET6_ADDRSTRLEN) == NULL)
		return "?";
	return text_out;
}

const char *
service_peer(const struct service *v, char text_out[INET6_ADDRSTRLEN])
{
	return text_of(v->peer_family, v->peer_address, text_out);
}

const char *
service_address_text(const struct sockaddr_storage *address, char text_out[INET6_ADDRSTRLEN])
{
	const struct sockaddr_in6 *six = (const void *)address;
	const struct sockaddr_in *four = (const void *)address;

	return text_of(address->ss_family,
		address->ss_family == AF_INET6 ? (const void *)&six->sin6_addr
					       : (const void *)&four->sin_addr,
		text_out);
}

struct span
service_farewell(const struct door *door, enum turned_away why)
{
	return why == TURNED_AWAY_NETWORK ? door->protocol->wrong_network
					  : door->protocol->turned_away;
}

static void
log_tls_failure(const struct service *v, enum tls_failure why)
{
	char peer[INET6_ADDRSTRLEN];

	log_event(EVENT_TLS_FAILED, kv_word("protocol", protocol_of(v)->name),
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

/* When the connection is gone and no wish is away, nothing refers to the slot any more. */
static void
free_slot(struct service *v)
{
	struct shard *shard = v->shard;

	if (!v->conn_is_gone || v->wish_is_away)
		return;
	drop_input(v);
	segments_clear(conn_output(&v->conn)); /* what a wish that came home late has put */
	line_reader_clear(&v->lines);
	protocol_of(v)->gone(v);
	count_subtract(&v->door->counts.sessions, 1);
	if (!v->is_uncounted)
		guests_leave(shard->common->guests, v->ticket);
	list_remove(&v->item);
	slab_give(&shard->services[v->door->settings->protocol], v);
	shard_session_ended(shard);
}

static void
conn_gone(struct conn *c)
{
	struct service *v = container_of(c, struct service, conn);

	v->conn_is_gone = true;
	free_slot(v);
}

void
service_end_with(struct service *v, enum service_end why)
{
	v->end = why;
	v->wait = WAIT_FOR_END;
	conn_abort(&v->conn);
}

void
service_end_session(struct service *v, bool refuse)
{
	v->wait = WAIT_FOR_END;
	drop_input(v);
	protocol_of(v)->said_last(v);
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
		service_end_session(v, false);
		return;
	}
	if (why == CONN_END_TLS_FAILED) {
		log_tls_failure(v, (enum tls_failure)error);
		v->end = ends[why];
		service_end_session(v, true);
		return;
	}
	if (why == CONN_END_FILE_FAILED)
		protocol_of(v)->reply_failed(v, error);
	service_end_with(v, ends[why]);
}

static void
conn_timed_out(struct conn *c)
{
	struct service *v = container_of(c, struct service, conn);

	if (v->wait == WAIT_FOR_HEADER)
		service_refuse_header(v, "deadline");
	else if (!v->wish_is_away)
		protocol_of(v)->timed_out(v);
	else if (c->limit_ms != 0) /* not the guest's fault */
		conn_set_idle_limit(c, c->limit_ms);
	else
		conn_set_deadline(c, v->shard->common->settings->login_deadline_s * 1000);
}

void
service_drain(struct service *v, bool now)
{
	bool has_not_begun = v->wait == WAIT_FOR_TLS || v->wait == WAIT_TO_START_TLS ||
		v->wait == WAIT_FOR_HEADER;

	if (v->conn.state != CONN_OPEN || v->wish_is_away)
		return;
	if (now || has_not_begun)
		service_end_with(v, SERVICE_END_SHUTDOWN);
	else if (v->wait != WAIT_FOR_END && !protocol_of(v)->goes_on(v))
		protocol_of(v)->shut_down(v);
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
	must(input.length <= INPUT_BLOCK_OCTETS);
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
		service_end_with(v, SERVICE_END_NO_MEMORY);
}

/* The output is over its mark and does not drain at once. */
static bool
must_wait_for_room(struct service *v)
{
	return conn_output(&v->conn)->length > OUTPUT_MARK_OCTETS && !conn_flush(&v->conn);
}

/* All input is used up: ask for more. */
static void
wait_for_input(struct service *v, enum service_wait wait)
{
	drop_input(v);
	v->wait = wait;
	conn_flush(&v->conn);
	conn_receive(&v->conn, !v->conn.more_is_there);
}

/* The next line, if there is one; false: the service has to wait for something. */
static bool
hear_line(struct service *v, struct span *input, int *next_out)
{
	struct span line;

	if (must_wait_for_room(v)) {
		pause_for(v, WAIT_FOR_ROOM, *input);
		return false;
	}
	switch (line_next(&v->lines, input, &line)) {
	case LINE_READY:
		*next_out = protocol_of(v)->line(v, line);
		return true;
	case LINE_TOO_LONG:
		*next_out = protocol_of(v)->line_too_long(v);
		return true;
	case LINE_NO_MEMORY:
		service_end_with(v, SERVICE_END_NO_MEMORY);
		return false;
	case LINE_NEEDS_MORE:
		break;
	}
	wait_for_input(v, WAIT_FOR_INPUT);
	return false;
}

/*
 * A message comes in many receives; a turn of the loop for each would make it wait for all that others
 * have to do in between.  So take what is there, up to a bound, for the others wait now.
 */
static bool
hear_octets(struct service *v, struct span *input, int *next_out)
{
	if (input->length == 0 && v->octets_this_turn < OCTETS_PER_TURN_MAX) {
		*input = conn_receive_now(&v->conn, v->shard->received, sizeof(v->shard->received));
		v->octets_this_turn += (uint32_t)input->length;
	}
	if (input->length == 0) {
		wait_for_input(v, WAIT_FOR_OCTETS);
		return false;
	}
	*next_out = protocol_of(v)->octets(v, input);
	return true;
}

static bool
drain(struct service *v, struct span input, int *next_out)
{
	if (!conn_flush(&v->conn)) {
		pause_for(v, WAIT_FOR_DRAIN, input);
		return false;
	}
	*next_out = protocol_of(v)->drained(v);
	return true;
}

/* A wish is being brought about; true: it has come true at once. */
static bool
wish(struct service *v, struct span input, int *next)
{
	if (protocol_of(v)->wish(v, *next, next))
		return true;
	pause_for(v, WAIT_FOR_WISH, input);
	conn_flush(&v->conn);
	return false;
}

static bool
may_shake_hands(const struct service *v)
{
	struct shard *shard = v->shard;
	char peer[INET6_ADDRSTRLEN];

	if (guests_may_shake_hands(
		    shard->common->guests, v->peer_family, v->peer_address, shard->loop.now_ms))
		return true;
	shard_note_turned_away(shard, v->door, service_peer(v, peer), TURNED_AWAY_HANDSHAKE_RATE);
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
	if (!may_shake_hands(v))
		service_end_with(v, SERVICE_END_HANDSHAKE_RATE);
	else if (!conn_start_tls(&v->conn, &v->shard->tls, protocol_of(v)->alpn, first_octets))
		service_end_with(v, SERVICE_END_NO_MEMORY);
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
run(struct service *v, int next, struct span input)
{
	bool goes_on = true;

	while (goes_on) {
		switch (next) {
		case NEXT_LINE:
			goes_on = hear_line(v, &input, &next);
			break;
		case NEXT_OCTETS:
			goes_on = hear_octets(v, &input, &next);
			break;
		case NEXT_DRAIN:
			goes_on = drain(v, input, &next);
			break;
		case NEXT_TLS:
			leave_the_clear(v, input);
			return;
		case NEXT_CLOSE:
		case NEXT_REFUSE:
			service_end_session(v, next == NEXT_REFUSE);
			return;
		default:
			goes_on = wish(v, input, &next);
			break;
		}
	}
}

static struct span
kept_input(const struct service *v)
{
	return v->input == NULL ? span_of(NULL, 0) : span_of(v->input, v->input_octets);
}

void
service_resume(struct service *v, int next)
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
		run(v, NEXT_LINE, kept_input(v));
	else if (v->wait == WAIT_FOR_DRAIN)
		run(v, NEXT_DRAIN, kept_input(v));
	else if (v->wait == WAIT_TO_START_TLS)
		leave_the_clear(v, kept_input(v));
}

void
service_set_deadline(struct service *v, uint32_t limit_s)
{
	uint64_t limit_ms = (uint64_t)limit_s * 1000;
	uint64_t passed_ms = v->shard->loop.now_ms - v->started_ms;

	conn_set_deadline(&v->conn, passed_ms < limit_ms ? (uint32_t)(limit_ms - passed_ms) : 0);
}

static void
conn_secured(struct conn *c, const struct tls_peer *peer)
{
	struct service *v = container_of(c, struct service, conn);
	int next = protocol_of(v)->secured(v, peer);

	if (v->door->settings->tls == LISTENER_TLS_IMPLICIT)
		next = protocol_of(v)->greet(v);
	run(v, next, span_of(NULL, 0));
}

static void
hear(struct service *v, struct span octets)
{
	bool are_first = !v->heard_octets;

	v->heard_octets = true;
	if (are_first && protocol_of(v)->is_foreign(v, octets)) {
		service_end_session(v, true);
		return;
	}
	run(v, v->wait == WAIT_FOR_OCTETS ? NEXT_OCTETS : NEXT_LINE, octets);
}

/* The guest is known: TLS, or the greeting.  `octets` came already. */
static void
begin_dialogue(struct service *v, struct span octets)
{
	int next;

	if (v->door->settings->tls == LISTENER_TLS_IMPLICIT) {
		start_tls(v, octets);
		drop_input(v);
		return;
	}
	next = protocol_of(v)->greet(v);
	v->wait = WAIT_FOR_INPUT;
	if (octets.length > 0 && next == NEXT_LINE)
		hear(v, octets);
	else
		run(v, next, octets);
}

/* ---- the header of a proxy ----------------------------------------------------------------- */

static const struct tls_peer nobody_known;

/* The session begins again, for it is another guest's now. */
static void
header_is_whole(struct service *v, const struct proxyhdr *h, struct span rest)
{
	if (!service_hear_header(v, h)) {
		if (v->door->settings->tls == LISTENER_TLS_IMPLICIT) /* there it would be no TLS */
			segments_clear(conn_output(&v->conn));
		service_end_session(v, true);
		return;
	}
	protocol_of(v)->begin(v);
	if (h->client_spoke_tls && v->door->settings->proxy_tls)
		(void)protocol_of(v)->secured(v, &nobody_known);
	begin_dialogue(v, rest);
}

/* What came before and what came now, which goes behind it. */
static struct span
join_input(struct service *v, struct span octets)
{
	if (v->input == NULL)
		return octets;
	must(v->input_octets + octets.length <= INPUT_BLOCK_OCTETS);
	memcpy(v->input + v->input_octets, octets.at, octets.length);
	return span_of(v->input, v->input_octets + octets.length);
}

static void
hear_header(struct service *v, struct span octets)
{
	struct span all = join_input(v, octets);
	struct proxyhdr h;

	switch (proxyhdr_read(all, &h)) {
	case PROXYHDR_WHOLE:
		header_is_whole(v, &h, span_after(all, h.octets));
		break;
	case PROXYHDR_NEEDS_MORE:
		pause_for(v, WAIT_FOR_HEADER, all);
		if (v->wait == WAIT_FOR_HEADER)
			conn_receive(&v->conn, true);
		break;
	case PROXYHDR_WRONG:
		service_refuse_header(v, "malformed");
		break;
	}
}

static_assert(PROXYHDR_OCTETS_MAX + RECEIVE_BUFFER_OCTETS <= INPUT_BLOCK_OCTETS,
	"the beginning of a header and one more receive fit a block");

static void
wait_for_header(struct service *v)
{
	v->wait = WAIT_FOR_HEADER;
	conn_set_deadline(&v->conn, PROXY_HEADER_MS);
	conn_receive(&v->conn, true);
}

static void
conn_received(struct conn *c, struct span octets)
{
	struct service *v = container_of(c, struct service, conn);

	if (v->wait == WAIT_FOR_HEADER)
		hear_header(v, octets);
	else
		hear(v, octets);
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

void
service_note_peer(struct service *v, const struct sockaddr_storage *peer)
{
	v->peer_family = (uint8_t)peer->ss_family;
	v->peer_port = 0;
	if (peer->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)peer;

		memcpy(v->peer_address, &in6->sin6_addr, sizeof(in6->sin6_addr));
		v->peer_port = ntohs(in6->sin6_port);
	} else if (peer->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const void *)peer;

		memcpy(v->peer_address, &in->sin_addr, sizeof(in->sin_addr));
		v->peer_port = ntohs(in->sin_port);
	}
}

bool
service_start(struct shard *shard, struct door *door, int fd, const struct sockaddr_storage *peer,
	uint32_t ticket)
{
	struct service *v = slab_take(&shard->services[door->settings->protocol]);

	if (v == NULL)
		return false;
	count_add(&door->counts.connections, 1);
	count_add(&door->counts.sessions, 1);
	*v = (struct service){
		.shard = shard,
		.door = door,
		.ticket = ticket,
		.started_ms = shard->loop.now_ms,
	};
	list_append(&shard->sessions, &v->item);
	service_note_peer(v, peer);
	line_reader_init(&v->lines, &shard->lines);
	conn_open(&v->conn, &shard->loop, fd, &service_conn_ops);
	door->protocol->begin(v);
	if (door->settings->proxy_protocol)
		wait_for_header(v);
	else
		begin_dialogue(v, span_of(NULL, 0));
	return true;
}
