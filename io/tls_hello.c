/*
 * tls_hello.c - see tls_hello.h.
 *
 * Every take is bounded by what is there; the first one that does not fit empties the reader, and
 * all that follow find nothing.
 */
#include "io/tls_hello.h"

#include "io/base/must.h"

#include <errno.h>

#define RECORD_FIRST          20u /* change_cipher_spec */
#define RECORD_LAST           23u /* application_data */
#define RECORD_HANDSHAKE      22u
#define MESSAGE_CLIENT_HELLO  1u
#define EXTENSION_SERVER_NAME 0u
#define EXTENSION_GROUPS      10u
#define EXTENSION_SIGNATURES  13u
#define NAME_OF_HOST          0u

int
tls_record_length(struct span octets, size_t *length_out)
{
	const unsigned char *at = (const unsigned char *)octets.at;
	size_t payload;

	if (octets.length > 0 && (at[0] < RECORD_FIRST || at[0] > RECORD_LAST))
		return -EPROTO;
	if (octets.length > 1 && at[1] != 3)
		return -EPROTO;
	if (octets.length < TLS_RECORD_HEADER_OCTETS)
		return -EAGAIN;
	payload = (size_t)at[3] << 8 | at[4];
	if (payload > TLS_RECORD_PAYLOAD_MAX)
		return -EMSGSIZE;
	if (octets.length < TLS_RECORD_HEADER_OCTETS + payload)
		return -EAGAIN;
	*length_out = TLS_RECORD_HEADER_OCTETS + payload;
	return 0;
}

static struct span
take(struct span *from, size_t count)
{
	struct span taken = span_of(from->at, count);

	if (count > from->length) {
		*from = span_of(NULL, 0);
		return *from;
	}
	*from = span_after(*from, count);
	return taken;
}

/* A number of `octets` octets, big-endian; 0 where they are not there. */
static size_t
take_number(struct span *from, size_t octets)
{
	struct span taken = take(from, octets);
	size_t number = 0;

	for (size_t i = 0; i < taken.length; i++)
		number = number << 8 | (unsigned char)taken.at[i];
	return number;
}

/* What stands behind its own length of `octets` octets. */
static struct span
take_vector(struct span *from, size_t octets)
{
	size_t length = take_number(from, octets);

	return take(from, length);
}

static void
read_server_name(struct span extension, struct tls_hello *hello)
{
	struct span list = take_vector(&extension, 2);

	while (list.length > 0) {
		size_t kind = take_number(&list, 1);
		struct span name = take_vector(&list, 2);

		if (kind == NAME_OF_HOST && name.length > 0 && hello->server_name.length == 0)
			hello->server_name = name;
	}
}

/* RFC 8446, section 4.2.7 */
static void
read_groups(struct span extension, struct tls_hello *hello)
{
	static const uint16_t ours[] = TLS_GROUPS;
	struct span list = take_vector(&extension, 2);

	hello->lacks_groups = list.length > 1;
	while (list.length > 1) {
		size_t group = take_number(&list, 2);

		for (size_t i = 0; i < array_count(ours); i++)
			hello->lacks_groups &= group != ours[i];
	}
}

/* RFC 8446, section 4.2.3: ecdsa_* are xx03, rsa_pkcs1_* xx01, rsa_pss_rsae_* 0804 to 0806. */
static void
read_signatures(struct span extension, struct tls_hello *hello)
{
	struct span list = take_vector(&extension, 2);

	hello->takes_ecdsa = false;
	hello->takes_rsa = false;
	while (list.length > 1) {
		size_t scheme = take_number(&list, 2);

		if ((scheme & 0xff) == 3 && scheme > 0x0200)
			hello->takes_ecdsa = true;
		else if ((scheme & 0xff) == 1 || (scheme >= 0x0804 && scheme <= 0x0806))
			hello->takes_rsa = true;
	}
}

/* In TLS 1.2 a cipher suite says what kind of key signs;
 * those of TLS 1.3 (13xx) leave that open. */
static void
read_suites(struct span list, struct tls_hello *hello)
{
	bool by_ecdsa = false;
	bool by_rsa = false;

	while (list.length > 1) {
		size_t suite = take_number(&list, 2);
		bool is_any = suite >> 8 == 0x13;

		by_ecdsa |= is_any || suite == 0xc02b || suite == 0xc02c || suite == 0xcca9;
		by_rsa |= is_any || suite == 0xc02f || suite == 0xc030 || suite == 0xcca8;
	}
	hello->takes_ecdsa &= by_ecdsa;
	hello->takes_rsa &= by_rsa;
}

void
tls_hello_read(struct span record, struct tls_hello *hello_out)
{
	size_t type = take_number(&record, 1);
	struct span payload, hello, suites, extensions;

	*hello_out = (struct tls_hello){ .takes_ecdsa = true, .takes_rsa = true };
	(void)take(&record, 2); /* version */
	payload = take_vector(&record, 2);
	if (type != RECORD_HANDSHAKE || take_number(&payload, 1) != MESSAGE_CLIENT_HELLO)
		return;
	hello = take_vector(&payload, 3);
	(void)take(&hello, 2 + 32);   /* version, random */
	(void)take_vector(&hello, 1); /* session id */
	suites = take_vector(&hello, 2);
	(void)take_vector(&hello, 1); /* compression */
	extensions = take_vector(&hello, 2);
	while (extensions.length > 0) {
		size_t kind = take_number(&extensions, 2);
		struct span extension = take_vector(&extensions, 2);

		if (kind == EXTENSION_SERVER_NAME)
			read_server_name(extension, hello_out);
		else if (kind == EXTENSION_GROUPS)
			read_groups(extension, hello_out);
		else if (kind == EXTENSION_SIGNATURES)
			read_signatures(extension, hello_out);
	}
	read_suites(suites, hello_out);
}
