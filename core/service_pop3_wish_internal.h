/*
 * service_pop3_wish_internal.h - a wish, and what the files that bring it about share.
 */
#ifndef CORE_SERVICE_POP3_WISH_INTERNAL_H
#define CORE_SERVICE_POP3_WISH_INTERNAL_H

#include "core/service_login.h"
#include "core/service_pop3_wish.h"

struct wish {
	struct offload_job job;
	struct pop3_service *service;
	const struct shard_common *common;
	int error;
	struct service_login login; /* from VERIFY until its maildrop is open */
	union {
		struct {
			struct maildrop *maildrop;
			int claim_fd;
		} open;
		struct {
			int log_fd;
			const struct maildrop_entry *message;
		} check;
		struct {
			struct pop3_scan what;
			uint64_t octets;
		} scan;
		struct {
			uint32_t *uids;
			uint32_t count;
			uint32_t removed;
		} commit;
	};
};

/* The session's wish, a fresh one if there was none; NULL: no memory. */
struct wish *wish_take(struct pop3_service *p);

/* Hand it to workers; false: they have too much to do already, w->error says how. */
bool wish_send_away(struct pop3_service *p, struct offload *workers,
	void (*work)(struct offload_job *job), void (*done)(struct offload_job *job));
static inline struct wish *
wish_of(struct offload_job *job)
{
	return container_of(job, struct wish, job);
}
/* The service of a wish that has come home. */
struct pop3_service *wish_come_home(struct offload_job *job);

#endif
