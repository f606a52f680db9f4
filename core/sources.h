/*
 * sources.h - the sources of accounts that the settings name, made ready to be asked.
 *
 * The server gives each its workers (server_auth.c); the `ringpost` command asks them itself.
 */
#ifndef CORE_SOURCES_H
#define CORE_SOURCES_H

#include "core/auth/address.h"
#include "core/auth/source.h"
#include "core/settings.h"

#define SOURCES_LMDB "lmdb" /* the spool's own accounts */

/* In the order in which they are asked. */
struct settings_texts sources_names(const struct settings *settings);

/* One of them; settings and rules are borrowed for its life, source_tear_down() ends it.
 * *source_out is NULL for SOURCES_LMDB: whoever has the spool's accounts looks there himself.
 * 0, -ENOMEM; nothing is asked yet. */
int sources_open(const struct settings *settings, const char *name,
	const struct address_rules *rules, struct source **source_out);

#endif
