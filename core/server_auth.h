/*
 * server_auth.h - the policy of logins, made of the settings at start.
 */
#ifndef CORE_SERVER_AUTH_H
#define CORE_SERVER_AUTH_H

#include "core/auth/authenticate.h"
#include "core/settings.h"

#define SERVER_AUTH_WHY_OCTETS 512u

/* 0, or a negative errno and one line for the operator in `why`. */
int server_auth_open(const struct settings *settings, struct accounts *accounts,
	char why[SERVER_AUTH_WHY_OCTETS], struct login_policy **policy_out);
/* SIGHUP: the files about tokens anew.  What is wrong with them leaves what was;
 * the log says so. */
void server_auth_reload(struct login_policy *policy);
/* What AUTH may offer, SASL_BIT()s: what the settings name, without what they do not make work. */
unsigned server_auth_mechanisms(const struct settings *settings);
/* A mechanism is offered that is bound to its TLS connection. */
bool server_auth_binds_channels(const struct settings *settings);
void server_auth_close(struct login_policy *policy);

#endif
