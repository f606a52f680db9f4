/*
 * outq_internal.h - what the files of the send queue share.
 */
#ifndef IO_OUTQ_INTERNAL_H
#define IO_OUTQ_INTERNAL_H

#include "io/outq.h"

void outq_wait_until_writable(struct outq *q);
/* Hold back partial packets, or let them go, which outq_flush() does when all is sent. */
void outq_set_cork(struct outq *q, bool corked);
/* Have the kernel read the front of a file span into its page cache, off the shard. */
void outq_read_ahead(struct outq *q, const struct segment *g);
/* Octets from `offset` on that were resident a moment ago. */
uint64_t outq_known_warm(const struct outq *q, int fd, uint64_t offset);

/* TLS in user space: send what is in records, or put the front of the queue into records.  0 or a
 * negative errno. */
int outq_send_records(struct outq *q, uint64_t *sent_out);

/* TLS in the kernel.  How much of `warm` octets at the front of `g`, a file,
 * goes in one sendfile. */
uint64_t outq_kernel_part(const struct outq *q, const struct segment *g, uint64_t warm);
/* `count` octets have gone; `closes`: no more was announced,
 * so the kernel has closed the record. */
void outq_kernel_note(struct outq *q, uint64_t count, bool closes);
/* The last octets of a file and the octets behind it: one record. */
bool outq_kernel_must_join(const struct outq *q, const struct segment *g);
int outq_kernel_join(struct outq *q, struct segment *g);

/* Our next keys, as the peer has asked, or because the old ones are used up.  Nothing that was sealed
 * waits.  0 or a negative errno. */
int outq_change_keys(struct outq *q);

/* close_notify, of either kind. */
int outq_say_goodbye(struct outq *q);

#endif
