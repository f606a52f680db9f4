/*
 * service_login.h - a guest's login on its way through core/auth/authenticate.h, whatever protocol
 * it was asked in.
 *
 * Here is what all have in common: the login waits for those that have failed before it
 * (core/auth/penalties.h), a worker goes on with it, its answer is counted and logged.  Each
 * protocol says with `answered` what an answer means to its session.
 *
 * Ownership: the service owns the struct; while service.wish_is_away it is the worker's.
 */
#ifndef CORE_SERVICE_LOGIN_H
#define CORE_SERVICE_LOGIN_H

#include "core/service.h"

struct service_login {
	struct offload_job job;
	struct service *service;
	/* The answer is in `request`: what does the session want next? */
	int (*answered)(struct service_login *login);
	struct login_request request;
	struct timer wait;
	bool is_waiting; /* then `wait` is armed, and no worker has it */
	bool has_waited;
	bool answer_stands; /* what comes when it has waited */
};

/* `service` and `answered` are set, the rest is zero or of the login before.  The peer of the
 * question is the service's.  True: answered() was called, *next_out is what it said; false:
 * service_resume() will be called with that. */
bool service_login_ask(struct service_login *login, struct login_question *question, int *next_out);

/* In answered(), when nothing changes the verdict any more: the failure is remembered, the log and
 * the metrics hear of it. */
void service_login_count(const struct service_login *login);

/* Give up what is under way but not away, and wipe what was secret.  Harmless if there is nothing. */
void service_login_forget(struct service_login *login);

#endif
