/*
 * service_client.c - see service_client.h.
 */
#include "core/service_client.h"

#include "core/network.h"
#include "io/base/log.h"

static const struct log_kind EVENT_CLIENT_NAMED = { "client_named", LOG_INFO };
static const struct log_kind EVENT_CLIENT_REFUSED = { "client_refused", LOG_WARNING };

static struct sockaddr_storage
address_of(const struct service *v)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons(v->peer_port) };
	struct sockaddr_in four = { .sin_family = AF_INET, .sin_port = htons(v->peer_port) };
	struct sockaddr_storage address = { .ss_family = v->peer_family };

	if (v->peer_family == AF_INET6) {
		memcpy(&six.sin6_addr, v->peer_address, sizeof(six.sin6_addr));
		memcpy(&address, &six, sizeof(six));
	} else if (v->peer_family == AF_INET) {
		memcpy(&four.sin_addr, v->peer_address, sizeof(four.sin_addr));
		memcpy(&address, &four, sizeof(four));
	}
	return address;
}

/* The guest is at `client`, and counts there; false: why it is not let in. */
static bool
change_places(struct service *v, const struct sockaddr_storage *client, enum turned_away *why_out)
{
	struct shard *shard = v->shard;

	service_note_peer(v, client);
	guests_leave(shard->common->guests, v->ticket);
	v->is_uncounted = !shard_let_in(shard, v->door, client, &v->ticket, why_out);
	return !v->is_uncounted;
}

static void
note_turned_away(struct service *v, enum turned_away why)
{
	char peer[INET6_ADDRSTRLEN];

	shard_note_turned_away(v->shard, v->door, service_peer(v, peer), why);
	v->end = SERVICE_END_TURNED_AWAY;
	segments_put(conn_output(&v->conn), service_farewell(v->door, why));
}

static void
log_refusal(const struct service *v, const char *by, const char *why)
{
	char peer[INET6_ADDRSTRLEN];

	log_event(EVENT_CLIENT_REFUSED, kv_word("protocol", v->door->protocol->name),
		kv_str("listener", v->door->settings->name), kv_word("by", by),
		kv_word("peer", service_peer(v, peer)), kv_u64("port", v->peer_port),
		kv_word("why", why));
}

/* ---- the header ---------------------------------------------------------------------------- */

static void
log_header(const struct service *v, const char *proxy, const struct proxyhdr *h)
{
	char peer[INET6_ADDRSTRLEN];

	if (!v->shard->common->settings->log_sessions)
		return;
	log_event(EVENT_CLIENT_NAMED, kv_word("protocol", v->door->protocol->name),
		kv_str("listener", v->door->settings->name), kv_word("by", "header"),
		kv_word("proxy", proxy), kv_word("peer", service_peer(v, peer)),
		kv_u64("port", v->peer_port), kv_word("tls", h->client_spoke_tls ? "yes" : "no"),
		kv_span("version", h->tls_version), kv_span("cipher", h->cipher),
		kv_span("certificate", h->common_name),
		kv_word("verified", h->certificate_is_verified ? "yes" : "no"),
		kv_span("host", h->authority), kv_span("alpn", h->alpn));
}

bool
service_hear_header(struct service *v, const struct proxyhdr *h)
{
	struct sockaddr_storage client = h->has_source ? h->source : address_of(v);
	char text[INET6_ADDRSTRLEN];
	const char *proxy = service_peer(v, text);
	enum turned_away why;

	if (!change_places(v, &client, &why)) {
		note_turned_away(v, why);
		return false;
	}
	if (h->has_source)
		log_header(v, proxy, h);
	return true;
}

void
service_refuse_header(struct service *v, const char *why)
{
	log_refusal(v, "header", why);
	service_end_with(v, SERVICE_END_PROXY_HEADER);
}

/* ---- XCLIENT ------------------------------------------------------------------------------- */

bool
service_takes_xclient(const struct service *v)
{
	const struct settings_listener *at = v->door->settings;
	struct sockaddr_storage address = address_of(v);

	return at->xclients != NULL &&
		network_one_holds(at->xclients, at->xclient_networks.count, &address);
}

static void
log_xclient(const struct service *v, const char *proxy, const struct xclient *x)
{
	char peer[INET6_ADDRSTRLEN];

	if (!v->shard->common->settings->log_sessions)
		return;
	log_event(EVENT_CLIENT_NAMED, kv_word("protocol", v->door->protocol->name),
		kv_str("listener", v->door->settings->name), kv_word("by", "xclient"),
		kv_word("proxy", proxy), kv_word("peer", service_peer(v, peer)),
		kv_u64("port", v->peer_port), kv_str("name", x->name), kv_str("helo", x->helo),
		kv_str("login", x->login), kv_str("session", x->session));
}

/* What is left out stays as it was. */
static struct sockaddr_storage
place_of(const struct service *v, const struct xclient *x)
{
	struct sockaddr_storage place = x->has_address ? x->address : address_of(v);

	if (x->has_port && place.ss_family == AF_INET6)
		((struct sockaddr_in6 *)(void *)&place)->sin6_port = htons(x->port);
	else if (x->has_port && place.ss_family == AF_INET)
		((struct sockaddr_in *)(void *)&place)->sin_port = htons(x->port);
	return place;
}

enum xclient_outcome
service_hear_xclient(struct service *v, bool is_allowed, enum xclient_form form,
	struct span arguments, struct xclient *client_out)
{
	char text[INET6_ADDRSTRLEN];
	const char *proxy = service_peer(v, text);
	struct sockaddr_storage place;
	enum turned_away why;

	if (!is_allowed) {
		log_refusal(v, "xclient", "not_allowed");
		return XCLIENT_NOT_ALLOWED;
	}
	if (!xclient_read(arguments, form, client_out)) {
		log_refusal(v, "xclient", "malformed");
		return XCLIENT_MALFORMED;
	}
	place = place_of(v, client_out);
	if (!change_places(v, &place, &why)) {
		note_turned_away(v, why);
		return XCLIENT_TURNED_AWAY;
	}
	log_xclient(v, proxy, client_out);
	return XCLIENT_GOOD;
}
