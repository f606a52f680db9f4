/*
 * xclient.c - see xclient.h.
 */
#include "core/xclient.h"

#include "io/base/must.h"
#include "io/proxyhdr.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static struct span
take_word(struct span *rest)
{
	size_t length = 0;
	struct span word;

	while (rest->length > 0 && rest->at[0] == ' ')
		*rest = span_after(*rest, 1);
	while (length < rest->length && rest->at[length] != ' ')
		length++;
	word = span_of(rest->at, length);
	*rest = span_after(*rest, length);
	return word;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A value as text.  It goes into log and Received lines, so controls and blanks have no place in it. */
static bool
decode(struct span value, bool is_xtext, char text_out[XCLIENT_TEXT_OCTETS_MAX + 1])
{
	size_t length = 0;

	for (size_t i = 0; i < value.length; i++) {
		char c = value.at[i];

		if (is_xtext && c == '+') {
			int high = value.length - i > 2 ? hex_digit(value.at[i + 1]) : -1;
			int low = high >= 0 ? hex_digit(value.at[i + 2]) : -1;

			if (low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if ((unsigned char)c <= 0x20 || c == 0x7f || length == XCLIENT_TEXT_OCTETS_MAX)
			return false;
		text_out[length++] = c;
	}
	text_out[length] = '\0';
	return length > 0;
}

static bool
is_unknown(const char *text)
{
	return strcasecmp(text, "[UNAVAILABLE]") == 0 || strcasecmp(text, "[TEMPUNAVAIL]") == 0;
}

/* Postfix puts "IPV6:" before such an address, Dovecot does not. */
static bool
read_address(const char *text, struct sockaddr_storage *address_out)
{
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	struct sockaddr_in four = { .sin_family = AF_INET };

	memset(address_out, 0, sizeof(*address_out));
	if (strncasecmp(text, "IPV6:", 5) == 0)
		text += 5;
	else if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
		memcpy(address_out, &four, sizeof(four));
		return true;
	}
	if (inet_pton(AF_INET6, text, &six.sin6_addr) != 1)
		return false;
	memcpy(address_out, &six, sizeof(six));
	proxyhdr_unmap(address_out);
	return true;
}

static bool
take_address(struct xclient *x, const char *text)
{
	x->has_address = !is_unknown(text);
	return !x->has_address || read_address(text, &x->address);
}

static bool
take_port(struct xclient *x, const char *text)
{
	uint64_t port = 0;

	x->has_port = !is_unknown(text);
	if (x->has_port && !span_to_u64(span_of_string(text), UINT16_MAX, &port))
		return false;
	x->port = (uint16_t)port;
	return true;
}

static bool
take_text(char to[XCLIENT_TEXT_OCTETS_MAX + 1], const char *text)
{
	strcpy(to, is_unknown(text) ? "" : text);
	return true;
}

static bool
take_protocol(const char *text)
{
	return strcasecmp(text, "SMTP") == 0 || strcasecmp(text, "ESMTP") == 0 ||
		strcasecmp(text, "LMTP") == 0 || strcasecmp(text, "POP3") == 0 || is_unknown(text);
}

enum attribute {
	ADDR,
	PORT,
	NAME,
	HELO,
	LOGIN,
	PROTO,
	DESTADDR,
	DESTPORT,
	SESSION,
	TTL,
	FORWARD,
	ATTRIBUTES,
};

#define IN_POP3 (1u << XCLIENT_FORM_POP3)
#define IN_LMTP (1u << XCLIENT_FORM_LMTP)

static const struct {
	const char *name;
	unsigned forms;
} attributes[ATTRIBUTES] = {
	[ADDR] = { "ADDR", IN_POP3 | IN_LMTP },
	[PORT] = { "PORT", IN_POP3 | IN_LMTP },
	[NAME] = { "NAME", IN_LMTP },
	[HELO] = { "HELO", IN_LMTP },
	[LOGIN] = { "LOGIN", IN_POP3 | IN_LMTP },
	[PROTO] = { "PROTO", IN_POP3 | IN_LMTP },
	[DESTADDR] = { "DESTADDR", IN_LMTP },
	[DESTPORT] = { "DESTPORT", IN_LMTP },
	[SESSION] = { "SESSION", IN_POP3 },
	[TTL] = { "TTL", IN_POP3 },
	[FORWARD] = { "FORWARD", IN_POP3 },
};

static enum attribute
find_attribute(struct span name, enum xclient_form form)
{
	unsigned i = 0;

	while (i < ATTRIBUTES &&
		!((attributes[i].forms & 1u << form) != 0 &&
			span_equals_nocase(name, span_of_string(attributes[i].name))))
		i++;
	return (enum attribute)i;
}

static bool
take(struct xclient *x, enum attribute attribute, const char *text)
{
	struct sockaddr_storage unused;
	uint64_t number;

	switch (attribute) {
	case ADDR:
		return take_address(x, text);
	case PORT:
		return take_port(x, text);
	case NAME:
		return take_text(x->name, text);
	case HELO:
		return take_text(x->helo, text);
	case LOGIN:
		return take_text(x->login, text);
	case SESSION:
		return take_text(x->session, text);
	case PROTO:
		return take_protocol(text);
	case DESTADDR:
		return is_unknown(text) || read_address(text, &unused);
	case DESTPORT:
		return is_unknown(text) || span_to_u64(span_of_string(text), UINT16_MAX, &number);
	case TTL: /* of proxies in a row: we are the last */
		return span_to_u64(span_of_string(text), UINT32_MAX, &number);
	case FORWARD: /* fields for the next proxy */
		return true;
	case ATTRIBUTES:
		break;
	}
	return false;
}

/* Dovecot leaves out no value, Postfix asks for one. */
static bool
read_attribute(struct span word, enum xclient_form form, unsigned *seen, struct xclient *x)
{
	const char *equals = memchr(word.at, '=', word.length);
	char text[XCLIENT_TEXT_OCTETS_MAX + 1];
	enum attribute attribute;

	if (equals == NULL)
		return false;
	attribute = find_attribute(span_of(word.at, (size_t)(equals - word.at)), form);
	if (attribute == ATTRIBUTES)
		return form == XCLIENT_FORM_POP3; /* Dovecot may think of more */
	if ((*seen & 1u << attribute) != 0)
		return false;
	*seen |= 1u << attribute;
	if (attribute == FORWARD)
		return true;
	return decode(span_after(word, (size_t)(equals - word.at) + 1), form == XCLIENT_FORM_LMTP,
		       text) &&
		take(x, attribute, text);
}

bool
xclient_read(struct span arguments, enum xclient_form form, struct xclient *client_out)
{
	unsigned seen = 0;
	unsigned words = 0;

	memset(client_out, 0, sizeof(*client_out));
	for (;;) {
		struct span word = take_word(&arguments);

		if (word.length == 0)
			return words > 0;
		if (!read_attribute(word, form, &seen, client_out))
			return false;
		words++;
	}
}
