/*
 * server_tls.h - certificates of the server: read at the start, and again on SIGHUP.
 */
#ifndef CORE_SERVER_TLS_H
#define CORE_SERVER_TLS_H

#include "core/settings.h"
#include "io/tls.h"

/* Some listener speaks TLS. */
bool server_tls_is_used(const struct settings *s);

/* The files that the settings name, checked.  0, or a negative errno and one line in `why`. */
int server_tls_load(const struct settings *s, char why[TLS_WHY_OCTETS],
	struct tls_credentials **credentials_out);

struct tls_options server_tls_options(const struct settings *s);

/* Tell the log what an operator may want to change: certificates that end soon, costly keys. */
void server_tls_log_cares(const struct tls_credentials *c);

#endif
