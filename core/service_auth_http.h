/*
 * service_auth_http.h - a guest who is an nginx mail proxy and asks about one of its clients.
 *
 * The question goes through the one door of all logins (core/service_login.h), with the client's
 * address for its peer: networks, delays, log and metrics are about the client.  It is no session:
 * LOGIN-DELAY, the number of sessions and last logins are counted where nginx logs in then.
 */
#ifndef CORE_SERVICE_AUTH_HTTP_H
#define CORE_SERVICE_AUTH_HTTP_H

#include "core/auth_http/session.h"
#include "core/service_login.h"

struct auth_http_service {
	struct service service;
	struct auth_http_session session;
	struct service_login login;
};

static inline struct auth_http_service *
auth_http_service_of(struct service *v)
{
	return container_of(v, struct auth_http_service, service);
}

extern const struct service_protocol auth_http_service_protocol;

#endif
