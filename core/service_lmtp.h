/*
 * service_lmtp.h - a guest who speaks LMTP: mail comes in.
 */
#ifndef CORE_SERVICE_LMTP_H
#define CORE_SERVICE_LMTP_H

#include "core/quota.h"
#include "core/service.h"
#include "storage/desk.h"
#include "storage/draft.h"

struct lmtp_service {
	struct service service;
	struct lmtp_session session;
	struct draft *draft;    /* what there is of the message; NULL: nothing yet */
	struct offload_job job; /* a worker's look at a maildrop, or a spill */
	int job_error;
	uint32_t deliveries_away;
	struct quota quota; /* RECIPIENT: of the one that is asked for */
	uint64_t usage_octets;
	uint32_t usage_messages;
	uint16_t kept_octets;
	char *kept; /* the rest of a run, while the draft is spilled; from the shard's inputs */
	uint64_t transaction_ms; /* when MAIL was heard */
};

/* One accepted recipient: a block of the shard's `recipients`. */
struct lmtp_delivery;
size_t lmtp_delivery_octets(void);

static inline struct lmtp_service *
lmtp_service_of(struct service *v)
{
	return container_of(v, struct lmtp_service, service);
}

extern const struct service_protocol lmtp_service_protocol;

/* service_lmtp_wish.c: bring about what the session wants.  True: done, *next_out is what it says
 * next; false: service_resume() will be called. */
bool lmtp_wish_recipient(struct lmtp_service *p, int *next_out);
bool lmtp_wish_store(struct lmtp_service *p, int *next_out);
bool lmtp_wish_deliver(struct lmtp_service *p, int *next_out);

/* Let go of what there is of a message. */
void lmtp_drop_draft(struct lmtp_service *p);

/* While the shard is being drained a session ends with its transaction. */
int lmtp_next_unless_draining(struct lmtp_service *p, enum lmtp_next next);

#endif
