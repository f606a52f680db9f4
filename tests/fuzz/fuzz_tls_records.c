/*
 * fuzz_tls_records.c - a session behind its handshake, on any octets and any records.
 *
 * The first octet says which suite.  Then, again and again, one that says what comes: octets as
 * they are, or a record that a peer who has the keys would seal of them, of any type and padding;
 * how they reach the session, in what pieces; or our own output.  What the session reads must be
 * what was sealed, octet by octet, until something broken came; then it is an error, and stays one.
 */
#include "io/base/must.h"
#include "io/tls_internal.h"
#include "io/tls_words.h"
#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <stdlib.h>

#define PIECE_OCTETS 4096u /* as one receive brings at most */

struct peer {
	struct tls_cipher *cipher;
	struct tls_keys keys;
	bool is_broken;                  /* it has sent what no record of its own follows */
	unsigned char expected[1 << 16]; /* data that was sealed and is not read yet */
	size_t expected_octets;
};

static struct tls_context context;
static struct tls_options options;
static struct peer peer;

static void
open_context(void)
{
	if (context.cipher != NULL)
		return;
	context = (struct tls_context){ .options = &options };
	must(tls_context_make_tools(&context) == 0);
	peer.cipher = tls_cipher_make();
	must(peer.cipher != NULL);
	slab_init(&context.sessions, sizeof(struct tls), 1);
	slab_init(&context.inputs, TLS_INPUT_OCTETS, 1);
	slab_init(&context.outputs, TLS_OUTPUT_OCTETS, 1);
	slab_init(&context.secrets_256, 2 * TLS_HASH_OCTETS_MIN, 1);
	slab_init(&context.secrets_384, 2 * TLS_HASH_OCTETS_MAX, 1);
}

static void
never_runs(struct deferred *turn)
{
	(void)turn;
	abort();
}

static struct tls *
settled_session(unsigned kind)
{
	static const uint16_t suites[] = { 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02c, 0xcca9 };
	struct tls *t = tls_make(&context, NULL, NULL, never_runs);
	uint16_t suite = suites[kind % array_count(suites)];

	must(t != NULL);
	t->is_handshaking = false;
	t->keys = (struct tls_keys){ .suite = suite,
		.version = suite >> 8 == 0x13 ? 13 : 12,
		.aead = (uint8_t)tls_aead_of(suite) };
	t->keys.out.key[0] = 1;
	peer.keys = t->keys;
	peer.keys.in = t->keys.out;
	peer.keys.out = t->keys.in;
	peer.is_broken = false;
	peer.expected_octets = 0;
	return t;
}

/* ---- what the session reads ---------------------------------------------------------------- */

static void
check_data(struct span octets)
{
	must(octets.length <= peer.expected_octets);
	must(octets.length == 0 || memcmp(octets.at, peer.expected, octets.length) == 0);
	peer.expected_octets -= octets.length;
	memmove(peer.expected, peer.expected + octets.length, peer.expected_octets);
}

/* -EAGAIN: all was read; 0: there may be more; anything else is the end. */
static int
check_read(const struct tls *t, int error, const struct tls_opened *read)
{
	if (error == 0 && read->type == TLS_RECORD_DATA)
		check_data(read->octets);
	else if (error == 0)
		(void)tls_word_of(t->keys.version, read->type, read->octets);
	else
		must(error == -EAGAIN || peer.is_broken);
	return error;
}

static int
read_all(struct tls *t, size_t size)
{
	char to[PIECE_OCTETS];
	struct tls_opened read;
	int error = 0;

	while (error == 0)
		error = check_read(t, tls_read(t, to, size, &read), &read);
	must(error != -EAGAIN || !tls_has_plain(t));
	must(error != -EAGAIN || peer.is_broken || peer.expected_octets == 0 || t->input != NULL);
	return error;
}

static int
receive(struct tls *t, unsigned char *octets, size_t length, size_t piece)
{
	struct tls_opened read;
	int error = -EAGAIN;

	for (size_t at = 0; at < length && error == -EAGAIN; at += piece) {
		unsigned char copy[PIECE_OCTETS];
		size_t part = length - at < piece ? length - at : piece;

		memcpy(copy, octets + at, part);
		if (t->input == NULL) {
			error = check_read(t, tls_read_first(t, span_of(copy, part), &read), &read);
		} else {
			error = tls_take(t, span_of(copy, part));
			must(error == 0 || peer.is_broken);
		}
		if (error == 0 || error == -EAGAIN)
			error = read_all(t, 1 + piece);
	}
	return error;
}

/* ---- what comes ---------------------------------------------------------------------------- */

static int
receive_raw(struct tls *t, struct span octets, size_t piece)
{
	peer.is_broken |= octets.length > 0;
	return receive(t, (unsigned char *)(uintptr_t)octets.at, octets.length, piece);
}

/* What is in a record of TLS 1.3 ends with its type and zeros; in TLS 1.2 the type stands in clear. */
static void
expect(unsigned type, const unsigned char *octets, size_t length)
{
	if (peer.keys.version == 13) {
		while (type == 0 && length > 0)
			type = octets[--length];
		peer.is_broken |= type == 0;
	} else {
		peer.is_broken |= type < 20 || type > TLS_RECORD_DATA;
	}
	if (type != TLS_RECORD_DATA || peer.is_broken || length == 0)
		return;
	memcpy(peer.expected + peer.expected_octets, octets, length);
	peer.expected_octets += length;
}

/* With `padding` in TLS 1.3 the record's last octet, its type for whom seals it, is one of zeros. */
static int
receive_sealed(struct tls *t, unsigned type, struct span octets, size_t padding, size_t piece)
{
	static unsigned char
		record[TLS_RECORD_FRONT_MAX + TLS_RECORD_PLAIN_MAX + TLS_RECORD_BACK_MAX];
	unsigned char *at = record + tls_record_front(&peer.keys);
	size_t length = octets.length;

	if (peer.expected_octets + length > sizeof(peer.expected))
		return -ENOSPC;
	if (length > 0)
		memcpy(at, octets.at, length);
	if (peer.keys.version == 13 && padding > 0) {
		at[length] = (unsigned char)type;
		memset(at + length + 1, 0, padding - 1);
		length += padding;
		type = 0;
	}
	expect(type, at, length);
	return receive(t, record,
		tls_record_seal(peer.cipher, &peer.keys, type, at, length, record), piece);
}

/* What we seal the peer opens. */
static void
send_data(struct tls *t, struct span octets)
{
	struct tls_opened opened;
	size_t length;

	if (octets.length == 0)
		return;
	memcpy(context.scratch, octets.at, octets.length);
	must(tls_write(t, octets.length) == 0);
	must(tls_record_length(tls_output(t), &length) == 0 && length == tls_output(t).length);
	must(tls_record_open(
		     peer.cipher, &peer.keys, (unsigned char *)t->output, length, &opened) == 0);
	must(opened.type == TLS_RECORD_DATA && span_equals(opened.octets, octets));
	tls_sent(t, length);
}

static struct span
take_octets(struct span *input, size_t most)
{
	size_t length = fuzz_take(input, 2) % (most + 1);
	struct span taken = span_of(input->at, length < input->length ? length : input->length);

	*input = span_after(*input, taken.length);
	return taken;
}

static int
step(struct tls *t, struct span *input)
{
	unsigned what = (unsigned)fuzz_take(input, 1);
	unsigned type = (unsigned)fuzz_take(input, 1);
	size_t piece = 1 + fuzz_take(input, 2) % (PIECE_OCTETS - 1);
	struct span octets = take_octets(input, TLS_RECORD_PLAIN_MAX - 300);

	switch (what % 4) {
	case 0:
		return receive_raw(t, octets, piece);
	case 1:
		return receive_sealed(t, type, octets, 0, piece);
	case 2:
		return receive_sealed(t, TLS_RECORD_DATA, octets, type, piece);
	default:
		send_data(t, octets);
		return -EAGAIN;
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *octets, size_t size)
{
	struct span input = span_of(octets, size);
	struct tls *t;
	int error = -EAGAIN;

	open_context();
	t = settled_session((unsigned)fuzz_take(&input, 1));
	while (input.length > 0 && error == -EAGAIN)
		error = step(t, &input);
	if (error != -EAGAIN)
		tls_say_alert(t, tls_alert_for(error));
	tls_free(t);
	must(context.inputs.blocks_taken == 0 && context.outputs.blocks_taken == 0);
	return 0;
}
