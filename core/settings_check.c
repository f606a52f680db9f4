/*
 * settings_check.c - settings that are right one by one, but not together.
 */
#include "core/auth/source.h"
#include "core/auth/source_ldap.h"
#include "core/network.h"
#include "core/settings_table.h"

#include <string.h>

/* ---- listeners ----------------------------------------------------------------------------- */

/* Two sections for one address. */
static void
refuse_same_addresses(const struct settings *s, settings_mistake *mistake)
{
	for (unsigned i = 0; i < s->listener_count; i++) {
		for (unsigned j = 0; j < i; j++) {
			const struct settings_listener *a = &s->listeners[i];
			const struct settings_listener *b = &s->listeners[j];

			if (a->address_octets == b->address_octets &&
				memcmp(&a->address, &b->address, a->address_octets) == 0)
				mistake(0,
					"listen %s and listen %s: %s is there twice; allowed: once",
					b->name, a->name, a->address_text);
		}
	}
}

static void
check_tls(const struct settings *s, settings_mistake *mistake)
{
	for (unsigned i = 0; i < s->listener_count; i++) {
		if (s->listeners[i].tls == LISTENER_TLS_OFF || s->tls_certificates.count > 0)
			continue;
		mistake(0, "listen %s speaks TLS; needed: tls_certificates = {\"/etc/...pem\"}",
			s->listeners[i].name);
		return;
	}
	if (s->tls_keys.count > 0 && s->tls_keys.count != s->tls_certificates.count)
		mistake(0, "tls_keys has %u files, tls_certificates %u; allowed: as many, or none",
			s->tls_keys.count, s->tls_certificates.count);
}

/* LMTP knows no passwords: nobody shall be able to deliver by mistake.  Who asks in nginx' place names
 * the client whose failures count: nobody shall be able to name another. */
static void
check_networks(const struct settings *s, settings_mistake *mistake)
{
	for (unsigned i = 0; i < s->listener_count; i++) {
		const struct settings_listener *l = &s->listeners[i];

		if (l->protocol == PROTOCOL_LMTP && l->networks.count == 0 &&
			!network_is_loopback(&l->address))
			mistake(0,
				"listen %s takes mail from anybody at %s; needed: networks = "
				"{\"192.0.2.0/24\"}",
				l->name, l->address_text);
		if (l->protocol == PROTOCOL_AUTH_HTTP && l->networks.count == 0 &&
			!network_is_loopback(&l->address))
			mistake(0,
				"listen %s answers anybody about logins at %s; needed: networks = "
				"{\"192.0.2.0/24\"}",
				l->name, l->address_text);
	}
}

static void
check_auth_http(const struct settings *s, settings_mistake *mistake)
{
	for (unsigned i = 0; i < s->listener_count; i++) {
		const struct settings_listener *l = &s->listeners[i];
		bool is_auth_http = l->protocol == PROTOCOL_AUTH_HTTP;

		if (is_auth_http && l->backend[0] == '\0')
			mistake(0,
				"listen %s tells nginx where maildrops are; needed: backend = "
				"\"127.0.0.1:110\"",
				l->name);
		if (is_auth_http && l->tls != LISTENER_TLS_OFF)
			mistake(0, "listen %s: nginx speaks no TLS here; needed: tls = off",
				l->name);
		if (!is_auth_http && l->backend[0] != '\0')
			mistake(0, "listen %s has backend; needed: protocol = auth_http", l->name);
	}
}

/* A header is worth as much as the one who says it. */
static void
check_proxies(const struct settings *s, settings_mistake *mistake)
{
	for (unsigned i = 0; i < s->listener_count; i++) {
		const struct settings_listener *l = &s->listeners[i];
		bool is_local = l->address.ss_family == AF_UNIX;

		if (l->proxy_protocol && !is_local && l->proxy_networks.count == 0)
			mistake(0,
				"listen %s has proxy_protocol = on; needed: proxy_networks = "
				"{\"192.0.2.1\"}, the proxies that are believed",
				l->name);
		if (!l->proxy_protocol && (l->proxy_networks.count > 0 || l->proxy_tls))
			mistake(0, "listen %s has %s; needed: proxy_protocol = on", l->name,
				l->proxy_tls ? "proxy_tls" : "proxy_networks");
	}
}

void
settings_check_listeners(const struct settings *s, settings_mistake *mistake)
{
	refuse_same_addresses(s, mistake);
	check_tls(s, mistake);
	check_networks(s, mistake);
	check_auth_http(s, mistake);
	check_proxies(s, mistake);
}

/* ---- sources of accounts ------------------------------------------------------------------- */

static const struct settings_source *
section_of_source(const struct settings *s, const char *name)
{
	for (unsigned i = 0; i < s->source_section_count; i++)
		if (strcmp(s->source_sections[i].name, name) == 0)
			return &s->source_sections[i];
	return NULL;
}

static unsigned
times_asked(const struct settings *s, const char *name)
{
	unsigned times = 0;

	for (unsigned i = 0; i < s->sources.count; i++)
		times += strcmp(s->sources.at[i], name) == 0;
	return times;
}

static bool
maps_password(const struct settings_source *source)
{
	for (unsigned i = 0; i < source->attributes.count; i++)
		if (strncmp(source->attributes.at[i], "password=", 9) == 0)
			return true;
	return false;
}

/* Each kind needs something. */
static const char *
fault_of_section(const struct settings_source *source)
{
	switch (source->kind) {
	case SOURCE_PGSQL:
		return source->query[0] == '\0' ? "needed: query = \"SELECT ...\"" : NULL;
	case SOURCE_LDAP:
		if (source->uri[0] == '\0')
			return "needed: uri = \"ldaps://...\"";
		if (source->starttls && strncmp(source->uri, "ldap://", 7) != 0)
			return "starttls needs ldap://; ldaps:// has TLS already";
		return source->prove == SOURCE_LDAP_BY_HASH && !maps_password(source)
			? "needed: attributes = {\"password=userPassword\"}, or prove = bind"
			: NULL;
	case SOURCE_PAM:
		return source->service[0] == '\0' ? "needed: service = \"ringpost\"" : NULL;
	}
	return NULL;
}

bool
settings_fault_of_sources(const struct settings *s, char why[SETTING_WHY_OCTETS])
{
	if (s->sources.count > SOURCES_MAX) {
		snprintf(why, SETTING_WHY_OCTETS, "sources has %u names; allowed: up to %u",
			s->sources.count, SOURCES_MAX);
		return true;
	}
	for (unsigned i = 0; i < s->sources.count; i++) {
		const char *name = s->sources.at[i];

		if (times_asked(s, name) > 1) {
			snprintf(why, SETTING_WHY_OCTETS,
				"sources names \"%.64s\" twice; allowed: once", name);
			return true;
		}
		if (strcmp(name, "lmdb") == 0 || section_of_source(s, name) != NULL)
			continue;
		snprintf(why, SETTING_WHY_OCTETS,
			"sources names \"%.64s\"; needed: source %.64s { kind = ... }", name, name);
		return true;
	}
	for (unsigned i = 0; i < s->source_section_count; i++) {
		const struct settings_source *source = &s->source_sections[i];
		const char *fault = fault_of_section(source);

		if (fault == NULL && times_asked(s, source->name) > 0 &&
			strcmp(source->name, "lmdb") != 0)
			continue;
		snprintf(why, SETTING_WHY_OCTETS, "source %.64s: %.160s", source->name,
			fault != NULL
				? fault
				: "it is never asked; needed: sources = {\"lmdb\", \"ITS NAME\"}");
		return true;
	}
	return false;
}
