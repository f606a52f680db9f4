/*
 * tls_settled.c - a session behind its handshake: its records are made and read here; see tls.h.
 *
 * Records are opened where they lie, in the ring's buffer or in the input.  What is to go out is put
 * in the shard's scratch by whoever has it, and sealed from there to where it is sent from, the
 * output.  (Files could be read to where they are sealed in place; but records do not lie on lines
 * of the cache, which costs more than the second buffer: 233 against 215 us for each MB.)
 * Invariant: sequence numbers follow the order in which records stand in input and output.
 */
#include "io/base/must.h"
#include "io/tls.h"
#include "io/tls_internal.h"
#include "io/tls_words.h"

#include <wolfssl/options.h>

#include <errno.h>
#include <wolfssl/ssl.h>

int
tls_settle(struct tls *t)
{
	int error = tls_keys_read(t->ssl, t->facts.suite, t->facts.version, &t->keys);

	if (error != 0) {
		tls_fail(t, TLS_FAILURE_OTHER);
		return -EPROTO;
	}
	wolfSSL_free(t->ssl);
	t->ssl = NULL;
	return 0;
}

/* ---- in ------------------------------------------------------------------------------------ */

static int
open_record(struct tls *t, char *record, size_t length, struct tls_opened *out)
{
	return tls_record_open(t->context->cipher, &t->keys, (unsigned char *)record, length, out);
}

/* Copied, for the input may be given back before the octets are read. */
static void
copy_out(struct span octets, char *to, size_t size, struct tls_opened *out)
{
	if (octets.length < size)
		size = octets.length;
	if (size > 0)
		memcpy(to, octets.at, size);
	out->octets = span_of(to, size);
}

/* A piece of the data that was opened already. */
static void
read_on(struct tls *t, char *to, size_t size, struct tls_opened *out)
{
	out->type = TLS_RECORD_DATA;
	copy_out(span_of(t->input + t->plain_at, t->plain_end - t->plain_at), to, size, out);
	t->plain_at += (uint32_t)out->octets.length;
}

static int
read_record(struct tls *t, char *to, size_t size, struct tls_opened *out)
{
	char *record = t->input + t->input_at;
	size_t length;
	int error = tls_record_length(span_of(record, t->input_whole - t->input_at), &length);

	must(error == 0); /* tls_take() has measured it */
	error = open_record(t, record, length, out);
	if (error != 0)
		return error;
	t->input_at += (uint32_t)length;
	if (out->type != TLS_RECORD_DATA) {
		copy_out(out->octets, to, size, out);
		return 0;
	}
	t->plain_at = (uint32_t)(out->octets.at - t->input);
	t->plain_end = t->plain_at + (uint32_t)out->octets.length;
	read_on(t, to, size, out);
	return 0;
}

int
tls_read(struct tls *t, char *to, size_t size, struct tls_opened *out)
{
	int error = 0;

	if (t->plain_at != t->plain_end)
		read_on(t, to, size, out);
	else if (tls_has_record(t))
		error = read_record(t, to, size, out);
	else
		return -EAGAIN;
	if (tls_is_between_records(t))
		tls_release_input(t);
	return error;
}

int
tls_read_first(struct tls *t, struct span octets, struct tls_opened *out)
{
	size_t length = 0;
	int error = tls_record_length(octets, &length);
	struct span rest = span_after(octets, length);
	int failed = 0;

	must(t->input == NULL);
	if (error != 0 && error != -EAGAIN)
		return error;
	if (rest.length > 0)
		failed = tls_take(t, rest);
	if (failed != 0 || error != 0)
		return failed != 0 ? failed : error;
	return open_record(t, (char *)(uintptr_t)octets.at, length, out);
}

int
tls_rekey_input(struct tls *t)
{
	if (t->secrets == NULL)
		return -EOPNOTSUPP;
	return tls_secret_next_keys(t->keys.suite,
		tls_secrets_of(t->secrets, t->keys.suite, TLS_SIDE_CLIENT), &t->keys.in);
}

/* ---- out ----------------------------------------------------------------------------------- */

static void
seal_record(struct tls *t, unsigned type, unsigned char *plain, size_t length)
{
	t->output_end += (uint32_t)tls_record_seal(t->context->cipher, &t->keys, type, plain,
		length, (unsigned char *)t->output + t->output_end);
}

int
tls_write(struct tls *t, size_t octets)
{
	unsigned char *plain = (unsigned char *)t->context->scratch;

	must(!tls_has_output(t) && octets > 0 && octets <= TLS_SCRATCH_OCTETS);
	if (!tls_hold_output(t))
		return -ENOMEM;
	while (octets > 0) {
		size_t length = octets < TLS_RECORD_PLAIN_MAX ? octets : TLS_RECORD_PLAIN_MAX;

		seal_record(t, TLS_RECORD_DATA, plain, length);
		plain += length;
		octets -= length;
	}
	return 0;
}

/* A record that is not data, behind what is there. */
static int
say(struct tls *t, unsigned type, const unsigned char *octets, size_t length)
{
	size_t front = tls_record_front(&t->keys);

	if (!tls_hold_output(t))
		return -ENOMEM;
	must(t->output_end + front + length + tls_record_back(&t->keys) <= TLS_OUTPUT_OCTETS);
	memcpy(t->output + t->output_end + front, octets, length);
	seal_record(t, type, (unsigned char *)t->output + t->output_end + front, length);
	return 0;
}

int
tls_rekey_output(struct tls *t)
{
	unsigned char message[TLS_KEY_UPDATE_OCTETS];
	int error;

	must(!tls_has_output(t));
	if (t->secrets == NULL)
		return -EOPNOTSUPP;
	tls_put_key_update(message);
	error = say(t, TLS_RECORD_HANDSHAKE, message, sizeof(message));
	if (error != 0)
		return error;
	return tls_secret_next_keys(t->keys.suite,
		tls_secrets_of(t->secrets, t->keys.suite, TLS_SIDE_SERVER), &t->keys.out);
}

void
tls_say_alert(struct tls *t, unsigned description)
{
	unsigned char alert[TLS_ALERT_OCTETS];

	if (t->has_said_goodbye || t->keys.aead == TLS_AEAD_NONE)
		return;
	t->has_said_goodbye = true;
	tls_put_alert(description, alert);
	(void)say(t, TLS_RECORD_ALERT, alert, sizeof(alert));
}
