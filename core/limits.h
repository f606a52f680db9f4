/*
 * limits.h - every bound on what one guest can make us hold.
 *
 * What an operator may want to change is a setting; these are the sizes the code is built around.
 */
#ifndef CORE_LIMITS_H
#define CORE_LIMITS_H

#include "io/base/must.h"
#include "io/base/segments.h"

/* Lines.  RFC 2449 allows a command 255 octets; clients with long names and passwords send more. */
#define LINE_OCTETS_MAX 1024u /* without its end */

/* What a client says in a SASL exchange: tokens of real providers have more than 4,096 octets. */
#define LONG_LINE_OCTETS_MAX 65536u
#define LONG_LINES_MAX       512u /* at once, in each shard */

/* What one receive brings at most. */
#define RECEIVE_BUFFER_OCTETS 4096u
#define RECEIVE_BUFFERS       1024u /* for each shard */

/* In the middle of a message more is there than one receive brings: what is taken at once then, so
 * that a message of usual size comes in two. */
#define RECEIVE_LONG_OCTETS 32768u

/* What one guest may send in one turn of the loop, as long as it is there. */
#define OCTETS_PER_TURN_MAX (128u * 1024)

/* What waits while a reply is out or a worker is asked: one receive, and the beginning of a line
 * that was there before it.  (Only the pages that are used are memory.) */
#define INPUT_BLOCK_OCTETS (LINE_OCTETS_MAX + 2 + RECEIVE_LONG_OCTETS)

static_assert(LINE_OCTETS_MAX + 2 <= RECEIVE_BUFFER_OCTETS, "a line fits one buffer");
static_assert(INPUT_BLOCK_OCTETS <= UINT16_MAX, "what waits is counted in 16 bits");

/* Output.  A session is not asked for more while this much of its last answers is unsent. */
#define OUTPUT_MARK_OCTETS (256u * 1024)
/* A long listing pauses when it has put this much. */
#define LISTING_MARK_OCTETS 32768u

/* Unknown commands in a row, then the connection is closed. */
#define UNKNOWN_BEFORE_LOGIN_MAX 10u
#define UNKNOWN_AFTER_LOGIN_MAX  50u

/* LMTP: errors of the dialogue in a row, then the connection is closed. */
#define LMTP_ERRORS_MAX 20u
/* Recipients of all messages that are on their way into one shard. */
#define RECIPIENTS_MAX 32768u

/* Memory of one shard's rings and pools, grown on demand. */
#define RING_ENTRIES     1024u
#define REPLY_BLOCKS_MAX 1000000u
#define COLD_BUFFERS_MAX 64u

#endif
