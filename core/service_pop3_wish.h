/*
 * service_pop3_wish.h - bringing about what a POP3 session wants and cannot do itself: check a
 * login, open a maildrop, check a message, look for lines in a body, remove messages.
 *
 * Each of these first tries without waiting, on the shard; what would wait goes to a worker as a
 * job. True: done, *next_out is what the session says next.  False: a worker has it,
 * service_resume() will be called on the shard.
 *
 * Ownership: the wish is a block of the shard's, the service's until it is done; while it is away
 * (service.wish_is_away) the worker's.
 */
#ifndef CORE_SERVICE_POP3_WISH_H
#define CORE_SERVICE_POP3_WISH_H

#include "core/service_pop3.h"

/* Octets of a shard's block for one wish. */
size_t wish_octets(void);

bool wish_verify(struct pop3_service *p, int *next_out);
bool wish_open(struct pop3_service *p, int *next_out);
bool wish_check(struct pop3_service *p, int *next_out);
bool wish_scan(struct pop3_service *p, int *next_out);
bool wish_commit(struct pop3_service *p, int *next_out);

/* Give up what is under way but not away. */
void wish_forget(struct pop3_service *p);

/* The space of what was removed from `address` shall be given back, when a worker has time. */
void wish_reclaim(struct shard *shard, const char *address);

#endif
