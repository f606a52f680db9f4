/*
 * service_pop3.h - a guest who speaks POP3.
 */
#ifndef CORE_SERVICE_POP3_H
#define CORE_SERVICE_POP3_H

#include "core/service.h"

struct wish;

struct pop3_service {
	struct service service;
	struct pop3_session session;
	struct maildrop_hold *hold;
	struct wish *wish; /* of the session, that is being brought about; NULL: none */
	int claim_fd;      /* session_policy = exclusive: ours alone while it is open; -1: none */
	struct admission_ticket admission; /* from a good login on */
	bool has_removed_mail;
};

static inline struct pop3_service *
pop3_service_of(struct service *v)
{
	return container_of(v, struct pop3_service, service);
}

extern const struct service_protocol pop3_service_protocol;

#endif
