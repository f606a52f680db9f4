/*
 * settled_fixture.h - a connection behind its handshake whose records are made here: on a real ring,
 * over a pair of sockets, with a peer that has the other half of the keys and says what it likes.
 */
#ifndef TESTS_UNIT_SETTLED_FIXTURE_H
#define TESTS_UNIT_SETTLED_FIXTURE_H

#include "io/base/must.h"
#include "io/conn.h"
#include "io/tls_internal.h"
#include "io/tls_words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define HEARD_OCTETS  (128u * 1024)
#define FILE_OCTETS   (1u << 20)
#define QUIET_MAX     16u /* io/conn_tls.c */
#define RECORD_OCTETS (TLS_RECORD_FRONT_MAX + TLS_RECORD_PLAIN_MAX + TLS_RECORD_BACK_MAX)
#define NOT_REQUESTED SPAN("\x18\0\0\1\0")
#define REQUESTED     SPAN("\x18\0\0\1\1")

struct fixture {
	struct loop loop;
	struct conn conn;
	struct tls_options options;
	struct tls_context context;
	bool is_in_use;
	unsigned ended, drained, gone;
	enum conn_end why;
	size_t heard_octets;
	char heard[HEARD_OCTETS];

	/* the peer: what it seals and opens with, and what it has received */
	int peer;
	struct tls_cipher *cipher;
	struct tls_keys keys;
	unsigned char secrets[2 * TLS_HASH_OCTETS_MAX];
	size_t pending_octets;
	unsigned char pending[4 * RECORD_OCTETS];
};

/* ---- the upper room ------------------------------------------------------------------------ */

static struct fixture *
fixture_of(struct conn *c)
{
	return container_of(c, struct fixture, conn);
}

static void
received(struct conn *c, struct span octets)
{
	struct fixture *f = fixture_of(c);

	must(octets.length > 0 && octets.length <= 4096);
	must(f->heard_octets + octets.length <= sizeof(f->heard));
	memcpy(f->heard + f->heard_octets, octets.at, octets.length);
	f->heard_octets += octets.length;
	conn_receive(c, true);
}

static void
drained(struct conn *c)
{
	fixture_of(c)->drained++;
}

static void
timed_out(struct conn *c)
{
	conn_abort(c);
}

static void
ended(struct conn *c, enum conn_end why, int error)
{
	(void)error;
	fixture_of(c)->ended++;
	fixture_of(c)->why = why;
	conn_close(c);
}

static void
secured(struct conn *c, const struct tls_peer *peer)
{
	(void)c;
	(void)peer;
}

static void
gone(struct conn *c)
{
	fixture_of(c)->gone++;
}

static const struct conn_ops ops = { received, drained, timed_out, ended, secured, gone };

static void
turn(struct fixture *f)
{
	for (unsigned i = 0; i < 6; i++) {
		assert_int_equal(loop_turn(&f->loop, 0), 0);
		usleep(100);
	}
}

/* ---- a session as a handshake leaves it ---------------------------------------------------- */

static const struct kind {
	uint16_t suite;
	uint8_t version;
} kinds[] = { { 0x1301, 13 }, { 0x1302, 13 }, { 0x1303, 13 }, { 0xc02b, 12 }, { 0xc030, 12 },
	{ 0xcca8, 12 } };

static void
derive(const struct fixture *f, enum tls_side side, struct tls_traffic_keys *to)
{
	unsigned char *secrets = (unsigned char *)(uintptr_t)f->secrets;
	uint16_t suite = f->keys.suite;

	assert_int_equal(
		tls_secret_derive_keys(suite, tls_secrets_of(secrets, suite, side), to), 0);
}

/* In TLS 1.3 they come of secrets, in TLS 1.2 they are any. */
static void
agree_upon_keys(struct fixture *f, struct tls *t, const struct kind *kind)
{
	size_t octets = tls_secret_octets(kind->suite);

	f->keys = (struct tls_keys){ .suite = kind->suite,
		.version = kind->version,
		.aead = (uint8_t)tls_aead_of(kind->suite) };
	memset(f->keys.in.key, 'i', sizeof(f->keys.in.key));
	memset(f->keys.out.key, 'o', sizeof(f->keys.out.key));
	if (kind->version == 13) {
		for (size_t i = 0; i < sizeof(f->secrets); i++)
			f->secrets[i] = (unsigned char)i;
		derive(f, TLS_SIDE_SERVER, &f->keys.in);
		derive(f, TLS_SIDE_CLIENT, &f->keys.out);
		t->secrets = slab_take(octets == TLS_HASH_OCTETS_MIN ? &f->context.secrets_256
								     : &f->context.secrets_384);
		t->secret_octets = (uint8_t)octets;
		memcpy(t->secrets, f->secrets, 2 * octets);
	}
	t->keys = f->keys;
	t->keys.in = f->keys.out;
	t->keys.out = f->keys.in;
}

static void
skip_handshake(struct fixture *f, const struct kind *kind)
{
	struct tls *t;

	assert_true(conn_start_tls(&f->conn, &f->context, NULL, span_of(NULL, 0)));
	t = f->conn.outq.tls;
	t->is_handshaking = false;
	t->facts = (struct tls_facts){
		.suite = kind->suite, .version = kind->version, .records = TLS_RECORDS_KTLS_OFF
	};
	f->conn.tls = t->facts;
	agree_upon_keys(f, t, kind);
}

static struct fixture *
set_up(const struct kind *kind)
{
	static struct fixture f;
	const struct loop_options options = {
		.ring = { .entries = 64, .buffers = 8, .buffer_octets = 4096 },
		.reply_blocks_max = 64,
		.cold_buffers_max = 2,
	};
	int pair[2];

	f = (struct fixture){ .options = { .ktls = TLS_KTLS_OFF, .handshakes_max = 1 } };
	assert_int_equal(loop_open(&f.loop, &options), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	f.context = (struct tls_context){ .loop = &f.loop, .options = &f.options };
	assert_int_equal(tls_context_make_tools(&f.context), 0);
	slab_init(&f.context.sessions, sizeof(struct tls), 1);
	slab_init(&f.context.inputs, TLS_INPUT_OCTETS, 1);
	slab_init(&f.context.outputs, TLS_OUTPUT_OCTETS, 1);
	slab_init(&f.context.secrets_256, 2 * TLS_HASH_OCTETS_MIN, 1);
	slab_init(&f.context.secrets_384, 2 * TLS_HASH_OCTETS_MAX, 1);
	f.loop.tls = &f.context;
	f.peer = pair[1];
	f.cipher = tls_cipher_make();
	conn_open(&f.conn, &f.loop, pair[0], &ops);
	skip_handshake(&f, kind);
	return &f;
}

/* Nothing is left behind. */
static void
tear_down(struct fixture *f)
{
	struct tls_context *x = &f->context;

	conn_abort(&f->conn);
	for (unsigned i = 0; i < 100 && f->gone == 0; i++)
		turn(f);
	assert_int_equal(f->gone, 1);
	assert_int_equal(x->sessions.blocks_taken + x->inputs.blocks_taken +
			x->outputs.blocks_taken + x->secrets_256.blocks_taken +
			x->secrets_384.blocks_taken,
		0);
	slab_destroy(&x->sessions);
	slab_destroy(&x->inputs);
	slab_destroy(&x->outputs);
	slab_destroy(&x->secrets_256);
	slab_destroy(&x->secrets_384);
	tls_context_free_tools(x);
	tls_cipher_free(f->cipher);
	close(f->peer);
	loop_close(&f->loop);
}

static void
in_all_kinds(void (*test)(struct fixture *f))
{
	for (size_t i = 0; i < array_count(kinds); i++) {
		struct fixture *f = set_up(&kinds[i]);

		test(f);
		tear_down(f);
	}
}

/* ---- the peer ------------------------------------------------------------------------------ */

static size_t
seal(struct fixture *f, unsigned type, struct span octets, unsigned char *record)
{
	if (octets.length > 0)
		memcpy(record + tls_record_front(&f->keys), octets.at, octets.length);
	return tls_record_seal(f->cipher, &f->keys, type, record + tls_record_front(&f->keys),
		octets.length, record);
}

static void
send_raw(struct fixture *f, const void *octets, size_t length)
{
	assert_int_equal(write(f->peer, octets, length), (ssize_t)length);
	turn(f);
}

static void
say(struct fixture *f, unsigned type, struct span octets)
{
	unsigned char record[RECORD_OCTETS];

	send_raw(f, record, seal(f, type, octets, record));
}

static void
say_data(struct fixture *f, const char *words)
{
	say(f, TLS_RECORD_DATA, span_of_string(words));
}

static void
move_on(struct fixture *f, enum tls_side side)
{
	assert_int_equal(
		tls_secret_next_keys(f->keys.suite, tls_secrets_of(f->secrets, f->keys.suite, side),
			side == TLS_SIDE_SERVER ? &f->keys.in : &f->keys.out),
		0);
}

static void
change_keys(struct fixture *f, struct span message)
{
	say(f, TLS_RECORD_HANDSHAKE, message);
	move_on(f, TLS_SIDE_CLIENT);
}

/* The next record we hear, in *out, with its octets in `pending`; false: there is none. */
static bool
hear_record(struct fixture *f, struct tls_opened *out, size_t *whole_out)
{
	for (unsigned tries = 0; tries < 50; tries++) {
		ssize_t n = read(f->peer, f->pending + f->pending_octets,
			sizeof(f->pending) - f->pending_octets);

		if (n > 0)
			f->pending_octets += (size_t)n;
		if (tls_record_length(span_of(f->pending, f->pending_octets), whole_out) == 0) {
			assert_int_equal(
				tls_record_open(f->cipher, &f->keys, f->pending, *whole_out, out),
				0);
			return true;
		}
		if (n == 0)
			return false;
		turn(f);
	}
	return false;
}

static void
forget_record(struct fixture *f, size_t whole)
{
	f->pending_octets -= whole;
	memmove(f->pending, f->pending + whole, f->pending_octets);
}

static void
expect(struct fixture *f, unsigned type, struct span octets)
{
	struct tls_opened record;
	size_t whole;

	assert_true(hear_record(f, &record, &whole));
	assert_int_equal(record.type, type);
	assert_int_equal(record.octets.length, octets.length);
	assert_memory_equal(record.octets.at, octets.at, octets.length);
	forget_record(f, whole);
}

static void
expect_end_by_alert(struct fixture *f, unsigned description)
{
	const char alert[] = { 2, (char)description };
	struct tls_opened record;
	size_t whole;

	turn(f);
	assert_int_equal(f->ended, 1);
	assert_int_equal(f->why, CONN_END_RECEIVE_FAILED);
	expect(f, TLS_RECORD_ALERT, span_of(alert, sizeof(alert)));
	assert_false(hear_record(f, &record, &whole));
	assert_int_equal(count_read(&f->context.counts.failed[TLS_FAILURE_OTHER]), 1);
}

static void
assert_heard(struct fixture *f, const char *words)
{
	assert_int_equal(f->heard_octets, strlen(words));
	assert_memory_equal(f->heard, words, f->heard_octets);
	f->heard_octets = 0;
}

static void
reply(struct fixture *f, const char *words)
{
	segments_put(conn_output(&f->conn), span_of_string(words));
	(void)conn_flush(&f->conn);
	turn(f);
}

#endif
