/*
 * network.h - networks of peers, as a listener's setting names them: "192.0.2.0/24", "2001:db8::/32".
 *
 * Pure.
 */
#ifndef CORE_NETWORK_H
#define CORE_NETWORK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct network {
	sa_family_t family; /* AF_INET or AF_INET6 */
	uint8_t bits;       /* that count */
	uint8_t address[16];
};

/* An address alone is a network of one.  NULL, or what is wrong with the text. */
const char *network_read(const char *text, struct network *network_out);

bool network_holds(const struct network *n, const struct sockaddr_storage *peer);

/* Is it in one of several, with blanks between them?  What is no network holds nobody. */
bool network_text_holds(const char *networks, const struct sockaddr_storage *peer);

/* Is it in one of these? */
bool network_one_holds(
	const struct network *networks, unsigned count, const struct sockaddr_storage *peer);

/* "127.0.0.1" and the like. */
bool network_is_loopback(const struct sockaddr_storage *address);

#endif
