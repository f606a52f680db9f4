/*
 * proxyhdr.c - see proxyhdr.h.  Sections named are those of HAProxy's doc/proxy-protocol.txt.
 *
 * What cannot become a header any more is wrong at once, and is not waited for.
 */
#include "io/proxyhdr.h"

#include "io/base/crc32c.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* ---- version 1: a line (section 2.1) ------------------------------------------------------- */

#define LINE_OCTETS_MAX 107u /* with its CRLF */

static const char line_start[] = "PROXY ";

/* Up to the next blank, off the front of *rest with that blank. */
static struct span
take_word(struct span *rest)
{
	const char *blank = rest->length == 0 ? NULL : memchr(rest->at, ' ', rest->length);
	struct span word =
		span_of(rest->at, blank == NULL ? rest->length : (size_t)(blank - rest->at));

	*rest = span_after(*rest, word.length + 1);
	return word;
}

static bool
read_address(int family, struct span word, void *address_out)
{
	char text[INET6_ADDRSTRLEN];

	if (word.length >= sizeof(text) || memchr(word.at, '\0', word.length) != NULL)
		return false;
	memcpy(text, word.at, word.length);
	text[word.length] = '\0';
	return inet_pton(family, text, address_out) == 1;
}

/* Zeros in front are not permitted. */
static bool
read_port(struct span word, in_port_t *port_out)
{
	uint64_t port;

	if (!span_to_u64(word, UINT16_MAX, &port) || (word.at[0] == '0' && word.length > 1))
		return false;
	*port_out = htons((uint16_t)port);
	return true;
}

/* Client, proxy, port of the client, port of the proxy, and nothing else. */
static bool
read_ends(int family, struct span rest, struct sockaddr_storage *source_out)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };
	void *address = family == AF_INET ? (void *)&four.sin_addr : (void *)&six.sin6_addr;
	in_port_t *port = family == AF_INET ? &four.sin_port : &six.sin6_port;
	struct in6_addr unused_address;
	in_port_t unused_port;

	if (!read_address(family, take_word(&rest), address) ||
		!read_address(family, take_word(&rest), &unused_address) ||
		!read_port(take_word(&rest), port) || !read_port(rest, &unused_port))
		return false;
	memset(source_out, 0, sizeof(*source_out));
	if (family == AF_INET)
		memcpy(source_out, &four, sizeof(four));
	else
		memcpy(source_out, &six, sizeof(six));
	proxyhdr_unmap(source_out);
	return true;
}

static enum proxyhdr_result
read_words(struct span rest, struct proxyhdr *h)
{
	struct span family = take_word(&rest);

	if (span_equals(family, SPAN("UNKNOWN"))) /* whatever else it says */
		return PROXYHDR_WHOLE;
	if (span_equals(family, SPAN("TCP4")))
		h->has_source = read_ends(AF_INET, rest, &h->source);
	else if (span_equals(family, SPAN("TCP6")))
		h->has_source = read_ends(AF_INET6, rest, &h->source);
	return h->has_source ? PROXYHDR_WHOLE : PROXYHDR_WRONG;
}

static enum proxyhdr_result
read_line(struct span octets, struct proxyhdr *h)
{
	size_t look = octets.length < LINE_OCTETS_MAX ? octets.length : LINE_OCTETS_MAX;
	size_t start = sizeof(line_start) - 1;
	const char *end;

	if (memcmp(octets.at, line_start, look < start ? look : start) != 0)
		return PROXYHDR_WRONG;
	end = memchr(octets.at, '\n', look);
	if (end == NULL)
		return look < LINE_OCTETS_MAX ? PROXYHDR_NEEDS_MORE : PROXYHDR_WRONG;
	if (end[-1] != '\r')
		return PROXYHDR_WRONG;
	h->octets = (size_t)(end - octets.at) + 1;
	return read_words(span_of(octets.at + start, h->octets - start - 2), h);
}

/* ---- version 2: binary (section 2.2) ------------------------------------------------------- */

#define FIXED_OCTETS 16u

static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";
#define SIGNATURE_OCTETS (sizeof(signature) - 1)

enum {
	COMMAND_LOCAL = 0x20, /* with the version */
	COMMAND_PROXY = 0x21,
	FAMILY_UNSPECIFIED = 0x00, /* with the transport */
	FAMILY_TCP4 = 0x11,
	FAMILY_TCP6 = 0x21,
	FAMILY_UNIX_STREAM = 0x31,
	TYPE_ALPN = 0x01, /* section 2.2.1 and on */
	TYPE_AUTHORITY = 0x02,
	TYPE_CRC32C = 0x03,
	TYPE_SSL = 0x20,
	TYPE_SSL_VERSION = 0x21,
	TYPE_SSL_COMMON_NAME = 0x22,
	TYPE_SSL_CIPHER = 0x23,
	CLIENT_SPOKE_TLS = 0x01,
	CLIENT_SHOWED_CERTIFICATE = 0x02 | 0x04, /* now, or in the session that it resumed */
};

static uint8_t
octet_at(struct span s, size_t offset)
{
	return (uint8_t)s.at[offset];
}

static uint32_t
number_at(struct span s, size_t offset, size_t octets)
{
	uint32_t number = 0;

	for (size_t i = 0; i < octets; i++)
		number = number << 8 | octet_at(s, offset + i);
	return number;
}

/* One value off the front of *rest; false: it is longer than what is there. */
static bool
take_value(struct span *rest, uint8_t *type_out, struct span *value_out)
{
	size_t length;

	if (rest->length < 3)
		return false;
	*type_out = octet_at(*rest, 0);
	length = number_at(*rest, 1, 2);
	if (length > rest->length - 3)
		return false;
	*value_out = span_of(rest->at + 3, length);
	*rest = span_after(*rest, 3 + length);
	return true;
}

/* A flag octet, the result of the verification, and values of its own. */
static bool
read_ssl(struct span rest, struct proxyhdr *h)
{
	uint8_t client;

	if (rest.length < 5)
		return false;
	client = octet_at(rest, 0);
	h->client_spoke_tls = (client & CLIENT_SPOKE_TLS) != 0;
	h->certificate_is_verified =
		(client & CLIENT_SHOWED_CERTIFICATE) != 0 && number_at(rest, 1, 4) == 0;
	rest = span_after(rest, 5);
	while (rest.length > 0) {
		uint8_t type;
		struct span value;

		if (!take_value(&rest, &type, &value))
			return false;
		if (type == TYPE_SSL_VERSION)
			h->tls_version = value;
		else if (type == TYPE_SSL_COMMON_NAME)
			h->common_name = value;
		else if (type == TYPE_SSL_CIPHER)
			h->cipher = value;
	}
	return true;
}

/* Over the whole header, with zeros where it stands itself. */
static bool
checksum_fits(struct span header, struct span value)
{
	static const uint8_t zeros[4];
	size_t before = (size_t)(value.at - header.at);
	uint32_t sum;

	if (value.length != sizeof(zeros))
		return false;
	sum = crc32c(0, header.at, before);
	sum = crc32c(sum, zeros, sizeof(zeros));
	sum = crc32c(sum, value.at + 4, header.length - before - 4);
	return sum == number_at(value, 0, 4);
}

static bool
read_values(struct span header, struct span rest, struct proxyhdr *h)
{
	while (rest.length > 0) {
		uint8_t type;
		struct span value;

		if (!take_value(&rest, &type, &value))
			return false;
		if (type == TYPE_CRC32C && !checksum_fits(header, value))
			return false;
		if (type == TYPE_SSL && !read_ssl(value, h))
			return false;
		if (type == TYPE_ALPN)
			h->alpn = value;
		else if (type == TYPE_AUTHORITY)
			h->authority = value;
	}
	return true;
}

static void
take_four(struct span body, struct proxyhdr *h)
{
	struct sockaddr_in four = { .sin_family = AF_INET };

	memcpy(&four.sin_addr, body.at, 4);
	memcpy(&four.sin_port, body.at + 8, 2);
	memcpy(&h->source, &four, sizeof(four));
	h->has_source = true;
}

static void
take_six(struct span body, struct proxyhdr *h)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };

	memcpy(&six.sin6_addr, body.at, 16);
	memcpy(&six.sin6_port, body.at + 32, 2);
	memcpy(&h->source, &six, sizeof(six));
	proxyhdr_unmap(&h->source);
	h->has_source = true;
}

static enum proxyhdr_result
read_body(struct span header, uint8_t family, struct proxyhdr *h)
{
	struct span body = span_after(header, FIXED_OCTETS);
	size_t addresses;

	switch (family) {
	case FAMILY_UNSPECIFIED:
		addresses = 0;
		break;
	case FAMILY_TCP4:
		addresses = 12;
		break;
	case FAMILY_TCP6:
		addresses = 36;
		break;
	case FAMILY_UNIX_STREAM:
		addresses = 216;
		break;
	default: /* datagrams, which this is none of, and what is not defined */
		return PROXYHDR_WRONG;
	}
	if (body.length < addresses || !read_values(header, span_after(body, addresses), h))
		return PROXYHDR_WRONG;
	if (family == FAMILY_TCP4)
		take_four(body, h);
	else if (family == FAMILY_TCP6)
		take_six(body, h);
	return PROXYHDR_WHOLE;
}

static enum proxyhdr_result
read_binary(struct span octets, struct proxyhdr *h)
{
	size_t look = octets.length < SIGNATURE_OCTETS ? octets.length : SIGNATURE_OCTETS;
	uint8_t command;

	if (memcmp(octets.at, signature, look) != 0)
		return PROXYHDR_WRONG;
	if (octets.length < FIXED_OCTETS)
		return PROXYHDR_NEEDS_MORE;
	command = octet_at(octets, SIGNATURE_OCTETS);
	h->octets = FIXED_OCTETS + number_at(octets, FIXED_OCTETS - 2, 2);
	if ((command != COMMAND_LOCAL && command != COMMAND_PROXY) ||
		h->octets > PROXYHDR_OCTETS_MAX)
		return PROXYHDR_WRONG;
	if (octets.length < h->octets)
		return PROXYHDR_NEEDS_MORE;
	if (command == COMMAND_LOCAL) /* the proxy itself, a health check: the rest says nothing */
		return PROXYHDR_WHOLE;
	return read_body(span_of(octets.at, h->octets), octet_at(octets, SIGNATURE_OCTETS + 1), h);
}

/* ---- both ---------------------------------------------------------------------------------- */

enum proxyhdr_result
proxyhdr_read(struct span octets, struct proxyhdr *header_out)
{
	memset(header_out, 0, sizeof(*header_out));
	if (octets.length == 0)
		return PROXYHDR_NEEDS_MORE;
	if (octets.at[0] == line_start[0])
		return read_line(octets, header_out);
	return read_binary(octets, header_out);
}

void
proxyhdr_unmap(struct sockaddr_storage *address)
{
	struct sockaddr_in6 six;
	struct sockaddr_in four = { .sin_family = AF_INET };

	if (address->ss_family != AF_INET6)
		return;
	memcpy(&six, address, sizeof(six));
	if (!IN6_IS_ADDR_V4MAPPED(&six.sin6_addr))
		return;
	memcpy(&four.sin_addr, &six.sin6_addr.s6_addr[12], 4);
	four.sin_port = six.sin6_port;
	memset(address, 0, sizeof(*address));
	memcpy(address, &four, sizeof(four));
}
