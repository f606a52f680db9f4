/*
 * server_tls.c - see server_tls.h.
 */
#include "core/server_tls.h"

#include "core/server_auth.h"

#include "io/base/clock.h"
#include "io/base/log.h"

#define DAY_S          86400
#define EXPIRES_SOON_S (14 * DAY_S)

static const struct log_kind EVENT_CERTIFICATE_EXPIRES = { "tls_certificate_expires", LOG_WARNING };
static const struct log_kind EVENT_CERTIFICATE_IS_RSA = { "tls_certificate_is_rsa", LOG_WARNING };

bool
server_tls_is_used(const struct settings *s)
{
	for (unsigned i = 0; i < s->listener_count; i++)
		if (s->listeners[i].tls != LISTENER_TLS_OFF)
			return true;
	return false;
}

int
server_tls_load(const struct settings *s, char why[TLS_WHY_OCTETS],
	struct tls_credentials **credentials_out)
{
	const struct tls_files files = {
		.certificates = (const char *const *)s->tls_certificates.at,
		.keys = (const char *const *)s->tls_keys.at,
		.count = s->tls_certificates.count,
		.key_count = s->tls_keys.count,
		.client_ca = s->tls_client_ca,
		.ticket_key = s->tls_ticket_key,
	};

	return tls_credentials_load(&files, why, credentials_out);
}

struct tls_options
server_tls_options(const struct settings *s)
{
	return (struct tls_options){
		.ktls = (enum tls_ktls)s->ktls,
		.requires_client_certificate = s->tls_client_required,
		.peer_by = (enum tls_peer_by)s->tls_client_name,
		.exports = server_auth_binds_channels(s),
		.handshakes_max = s->tls_handshakes,
		.sessions_max = s->connections,
	};
}

/* Another certificate for the same host spares all but old clients the cost of RSA. */
static bool
has_ecdsa_twin(const struct tls_credentials *c, const struct tls_identity *rsa)
{
	for (unsigned i = 0; i < c->count; i++) {
		const struct tls_identity *other = &c->identities[i];

		if (other->kind != TLS_KEY_ECDSA)
			continue;
		for (unsigned n = 0; n < other->name_count && rsa->name_count > 0; n++)
			if (tls_name_fits(other->names[n], span_of_string(rsa->names[0])))
				return true;
	}
	return false;
}

void
server_tls_log_cares(const struct tls_credentials *c)
{
	time_t now = (time_t)(clock_calendar_us() / 1000000);

	for (unsigned i = 0; i < c->count; i++) {
		const struct tls_identity *identity = &c->identities[i];
		time_t left = identity->not_after - now;

		if (left < EXPIRES_SOON_S)
			log_event(EVENT_CERTIFICATE_EXPIRES,
				kv_str("certificate", identity->certificate_path),
				kv_u64("days_left", left > 0 ? (uint64_t)(left / DAY_S) : 0));
		if (identity->kind == TLS_KEY_RSA && !has_ecdsa_twin(c, identity))
			log_event(EVENT_CERTIFICATE_IS_RSA,
				kv_str("certificate", identity->certificate_path),
				kv_str("cost",
					"a handshake costs several times that of an ECDSA key"));
	}
}
