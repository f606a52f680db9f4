/*
 * sources.c - see sources.h.
 */
#include "core/sources.h"

#include "core/auth/source_ldap.h"
#include "core/auth/source_pam.h"
#include "core/auth/source_pgsql.h"
#include "io/base/must.h"

#include <errno.h>
#include <string.h>

struct settings_texts
sources_names(const struct settings *settings)
{
	static char lmdb[] = SOURCES_LMDB;
	static char *defaults[] = { lmdb };

	if (settings->sources.count == 0)
		return (struct settings_texts){ defaults, 1 };
	return settings->sources;
}

static int
open_section(const struct settings_source *from, const struct address_rules *rules,
	struct source **source_out)
{
	const struct source_options common = {
		.name = from->name,
		.connections = from->workers,
		.time_limit_ms = from->time_limit_ms,
		.fresh_ms = (uint64_t)from->cache_s * 1000,
		.stale_ms = (uint64_t)from->cache_stale_s * 1000,
	};
	const struct source_pgsql_options pgsql = { common, from->connection, from->query, rules };
	const struct source_ldap_options ldap = {
		.common = common,
		.uri = from->uri,
		.starttls = from->starttls,
		.ca_file = from->ca_file,
		.bind_dn = from->bind_dn,
		.password_file = from->bind_password_file,
		.base = from->base,
		.scope = (enum source_ldap_scope)from->scope,
		.filter = from->filter,
		.attributes = from->attributes.at,
		.attribute_count = from->attributes.count,
		.prove = (enum source_ldap_prove)from->prove,
		.rules = rules,
	};
	const struct source_pam_options pam = {
		.common = common,
		.service = from->service,
		.directory = from->service_directory,
		.user = from->user_name,
		.names = (enum source_pam_names)from->names,
	};

	switch (from->kind) {
	case SOURCE_PGSQL:
		return source_pgsql_open(&pgsql, source_out);
	case SOURCE_LDAP:
		return source_ldap_open(&ldap, source_out);
	case SOURCE_PAM:
		return source_pam_open(&pam, source_out);
	}
	must(!"a kind of source that cannot be opened");
	return -ENOTSUP;
}

static const struct settings_source *
section_of(const struct settings *settings, const char *name)
{
	for (unsigned i = 0; i < settings->source_section_count; i++)
		if (strcmp(settings->source_sections[i].name, name) == 0)
			return &settings->source_sections[i];
	return NULL;
}

int
sources_open(const struct settings *settings, const char *name, const struct address_rules *rules,
	struct source **source_out)
{
	const struct settings_source *section = section_of(settings, name);

	if (section != NULL)
		return open_section(section, rules, source_out);
	*source_out = NULL;
	return 0;
}
