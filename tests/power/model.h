/*
 * model.h - what the load asked for and what it was told, by the marks of a log.
 *
 * Marks are lines of words.  A mark that begins with `will-` is made before the server is asked,
 * the one that answers it after the answer was read:
 *
 *   box BOX ADDRESS
 *   will-deliver OP BOX SERIAL OFFSET OCTETS [SERIAL OFFSET OCTETS]...
 *           one commit; the reply to RETR is OCTETS octets at OFFSET of the file of messages
 *   delivered OP             250, or what a delivery without a dialogue says
 *   will-delete OP BOX UNIQUE-ID...
 *           QUIT is about to be sent
 *   deleted OP               +OK to QUIT, or, after a crash, all of them were found gone
 *   kept OP                  after a crash, all of them were found to be there
 *   seen BOX SERIAL UNIQUE-ID
 *           a client fetched this message under this unique-id
 *   begin                    the load begins; crash states lie behind it
 *
 * Boxes, operations and serials are numbers from 1, given once.  A message carries a serial in the
 * field `Serial` of its header.  One that went to several boxes has one in each, without gaps, and
 * carries the first.  The model only moves forward.
 */
#ifndef TESTS_POWER_MODEL_H
#define TESTS_POWER_MODEL_H

#include "io/disk.h"
#include "storage/maildrop.h"

struct model_message {
	uint32_t box;                               /* 0: this serial was not announced yet */
	uint32_t carried;                           /* the serial in its header */
	uint32_t delivery;                          /* operation */
	uint32_t deletion;                          /* operation; 0: none */
	struct span wire;                           /* the reply to RETR */
	char unique_id[MAILDROP_UNIQUE_ID_MAX + 1]; /* empty: nobody has seen it */
	bool is_found;                              /* in the state that is looked at */
};

struct model_operation {
	bool is_done;
	/* of the state that is looked at */
	uint32_t members;
	uint32_t found;
};

struct model_box {
	char address[255];
};

struct model {
	struct span texts; /* the file of messages, mapped */
	struct model_box *boxes;
	struct model_message *messages;
	struct model_operation *operations;
	size_t box_count, message_count, operation_count; /* room; [0] is not used */
};

/* `messages_path`: the file of messages.  0 or a negative errno. */
int model_open(const char *messages_path, struct model *model_out);
void model_close(struct model *model);

/* The next mark.  A mark that cannot be understood is a fault of the load: must(). */
void model_take(struct model *model, struct span mark);

/* The serial in the header of a reply to RETR; 0: none. */
uint32_t model_carried_serial(struct span wire);
/* The message of this box that carries `carried`; 0: none was announced. */
uint32_t model_find(const struct model *model, uint32_t box, uint32_t carried);

/*
 * The spool below `d`, as it came out of a crash, must keep the promises of docs/DURABILITY.md, as
 * far as they were made until the last mark taken:
 *   1. what was acknowledged or seen is there, octet for octet;
 *   2. what was deleted is not there, all else is;
 *   3. of a QUIT, or a commit of several messages, without an answer: all or none;
 *   4. a message has the unique-id under which it was seen; a new delivery gets one that nobody
 *      had;
 * and verify must find nothing, before and after that new delivery.  `report` gets a line for each
 * violation; returns how many there were.
 */
unsigned model_check(struct model *model, const struct disk *d,
	void (*report)(void *ctx, const char *text), void *ctx);

#endif
