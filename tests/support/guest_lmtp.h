/*
 * guest_lmtp.h - the part of a guest (guest.h) that speaks LMTP; see guest_lmtp.c.
 */
#ifndef TESTS_SUPPORT_GUEST_LMTP_H
#define TESTS_SUPPORT_GUEST_LMTP_H

#include "tests/support/guest.h"

void guest_lmtp_connect(struct guest *g);
void guest_lmtp_hear(struct guest *g, struct span octets);
void guest_lmtp_secure(struct guest *g);
void guest_lmtp_disconnect(struct guest *g);

/* guest.c's: what a service does with XCLIENT, but for limits. */
enum xclient_outcome guest_hear_xclient(const struct guest *g, enum xclient_form form,
	struct span arguments, struct xclient *client_out);
/* guest.c's: take the whole reply, as a socket would. */
void guest_take_reply(struct guest *g);

#endif
