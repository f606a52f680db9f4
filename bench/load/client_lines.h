/*
 * client_lines.h - the lines of a multi-line reply, between client.c and client_lines.c only.
 */
#ifndef BENCH_LOAD_CLIENT_LINES_H
#define BENCH_LOAD_CLIENT_LINES_H

#include "bench/load/client.h"

/* Take what belongs to one line off `input`. */
enum client_next client_read_line(struct client *c, struct span *input);

/* The number at the beginning of `text`, if there is one. */
bool leading_number(struct span text, uint64_t max, uint64_t *number_out);

/* In client.c: how a reply ends. */
enum client_next client_finish_reply(struct client *c);
enum client_next client_wrong(struct client *c, enum client_fault fault);
/* The message just read had these octets. */
void client_remember_size(struct client *c);

#endif
