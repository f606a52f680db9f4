/*
 * backend.c - see backend.h.
 */
#include "core/auth_http/backend.h"

#include "io/base/span.h"

#include <sys/socket.h>

/* False: there is something that is no port. */
static bool
read_port(const char *text, uint16_t *port)
{
	uint64_t number;

	if (text[0] == '\0')
		return true;
	if (text[0] != ':' || !span_to_u64(span_of_string(text + 1), UINT16_MAX, &number) ||
		number == 0)
		return false;
	*port = (uint16_t)number;
	return true;
}

/* Where the address begins and how long it is; returns what stands behind it. */
static const char *
find_address(const char *text, struct span *address_out)
{
	const char *colon = strchr(text, ':');
	const char *bracket = strchr(text, ']');

	if (text[0] == '[' && bracket != NULL) {
		*address_out = span_of(text + 1, (size_t)(bracket - text - 1));
		return bracket + 1;
	}
	/* two colons without brackets: all of it is one IPv6 address */
	if (colon == NULL || strchr(colon + 1, ':') != NULL)
		colon = text + strlen(text);
	*address_out = span_of(text, (size_t)(colon - text));
	return colon;
}

bool
backend_read(const char *text, uint16_t port, struct backend *backend_out)
{
	struct backend b = { .port = port };
	struct span address;
	uint8_t octets[16];
	const char *rest = find_address(text, &address);

	if (address.length >= sizeof(b.address))
		return false;
	memcpy(b.address, address.at, address.length);
	if (inet_pton(strchr(b.address, ':') == NULL && text[0] != '[' ? AF_INET : AF_INET6,
		    b.address, octets) != 1 ||
		!read_port(rest, &b.port))
		return false;
	*backend_out = b;
	return true;
}
