/*
 * test_tls_records.c - records sealed and opened: known answers, every edge, every fault.
 *
 * RFC 8448, section 3, has AES-128-GCM in TLS 1.3; the other records were made by OpenSSL's
 * libcrypto (EVP_aes_*_gcm, EVP_chacha20_poly1305), with nonces and additional data put together
 * by hand as the RFCs say.
 */
#include "io/base/must.h"
#include "io/tls_records.h"
#include "io/tls_words.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define RECORD_OCTETS_MAX (TLS_RECORD_FRONT_MAX + TLS_RECORD_PLAIN_MAX + TLS_RECORD_BACK_MAX)

/* The suites of both versions, by cipher. */
static const struct {
	uint16_t suite;
	uint8_t version;
} kinds[] = { { 0x1301, 13 }, { 0x1302, 13 }, { 0x1303, 13 }, { 0xc02b, 12 }, { 0xc02c, 12 },
	{ 0xcca9, 12 } };

static size_t
read_hex(const char *hex, unsigned char *to)
{
	size_t length = strlen(hex) / 2;
	unsigned octet;

	for (size_t i = 0; i < length; i++) {
		assert_int_equal(sscanf(hex + 2 * i, "%2x", &octet), 1);
		to[i] = (unsigned char)octet;
	}
	return length;
}

/* Our side and the peer's: what one seals the other opens. */
struct ends {
	struct tls_cipher *cipher;
	struct tls_keys ours, peers;
};

static struct tls_keys
keys_of(size_t kind)
{
	struct tls_keys k = {
		.suite = kinds[kind].suite,
		.version = kinds[kind].version,
		.aead = (uint8_t)tls_aead_of(kinds[kind].suite),
	};

	for (unsigned i = 0; i < TLS_KEY_OCTETS_MAX; i++) {
		k.in.key[i] = (unsigned char)(0x40 + i);
		k.out.key[i] = (unsigned char)(0x80 + i);
	}
	for (unsigned i = 0; i < TLS_IV_OCTETS; i++) {
		k.in.iv[i] = (unsigned char)(0xa0 + i);
		k.out.iv[i] = (unsigned char)(0xc0 + i);
	}
	return k;
}

static struct ends
ends_of(size_t kind)
{
	struct ends e = { tls_cipher_make(), keys_of(kind), keys_of(kind) };

	assert_non_null(e.cipher);
	e.peers.in = e.ours.out;
	e.peers.out = e.ours.in;
	return e;
}

/* What the peer seals: `length` octets that say where they stand. */
static size_t
seal_as_peer(struct ends *e, unsigned type, size_t length, unsigned char *record)
{
	for (size_t i = 0; i < length; i++)
		record[tls_record_front(&e->peers) + i] = (unsigned char)(i * 7 + length);
	return tls_record_seal(
		e->cipher, &e->peers, type, record + tls_record_front(&e->peers), length, record);
}

static void
assert_opens(struct ends *e, unsigned char *record, size_t whole, unsigned type, size_t length)
{
	struct tls_opened opened;

	assert_int_equal(tls_record_open(e->cipher, &e->ours, record, whole, &opened), 0);
	assert_int_equal(opened.type, type);
	assert_int_equal(opened.octets.length, length);
	for (size_t i = 0; i < length; i++)
		must((unsigned char)opened.octets.at[i] == (unsigned char)(i * 7 + length));
}

/* ---- known answers ------------------------------------------------------------------------- */

struct answer {
	uint64_t sequence;
	const char *record, *plain;
	unsigned type;
};

static void
assert_answers(const struct tls_keys *keys, const struct answer *answers, size_t count)
{
	struct tls_cipher *cipher = tls_cipher_make();

	for (size_t i = 0; i < count; i++) {
		unsigned char record[256], again[256], plain[128];
		size_t whole = read_hex(answers[i].record, record);
		size_t length = read_hex(answers[i].plain, plain);
		struct tls_keys k = *keys;
		struct tls_opened opened;

		k.in.sequence = k.out.sequence = answers[i].sequence;
		plain[length] = 'x';
		assert_int_equal(
			tls_record_seal(cipher, &k, answers[i].type, plain, length, again), whole);
		assert_int_equal(plain[length], 'x');
		assert_memory_equal(again, record, whole);
		assert_int_equal(tls_record_open(cipher, &k, record, whole, &opened), 0);
		assert_int_equal(opened.type, answers[i].type);
		assert_int_equal(opened.octets.length, length);
		assert_memory_equal(opened.octets.at, plain, length);
		assert_int_equal(k.in.sequence, answers[i].sequence + 1);
		assert_int_equal(k.out.sequence, answers[i].sequence + 1);
	}
	tls_cipher_free(cipher);
}

#define PAYLOAD_OF_RFC8448                                                                         \
	"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"                         \
	"202122232425262728292a2b2c2d2e2f3031"

static void
records_are_those_of_rfc8448(void **state)
{
	static const struct answer of_client[] = {
		{ 0,
			"1703030043a23f7054b62c94d0affafe8228ba55cbefacea42f914aa66bcab3f2b9819a8"
			"a5b46b395bd54a9a20441e2b62974e1f5a6292a2977014bd1e3deae63aeebb21694915e4",
			PAYLOAD_OF_RFC8448, TLS_RECORD_DATA },
		{ 1, "1703030013c9872760655666b74d7ff1153efd6db6d0b0e3", "0100", TLS_RECORD_ALERT },
	};
	static const struct answer of_server[] = {
		{ 1,
			"17030300432e937e11ef4ac740e538ad36005fc4a46932fc3225d05f82aa1b36e30efaf9"
			"7d90e6dffc602dcb501a59a8fcc49c4bf2e5f0a21c0047c2abf332540dd032e167c2955d",
			PAYLOAD_OF_RFC8448, TLS_RECORD_DATA },
		{ 2, "1703030013b58fd67166ebf599d24720cfbe7efa7a8864a9", "0100", TLS_RECORD_ALERT },
	};
	struct tls_keys k = { .suite = 0x1301, .version = 13, .aead = TLS_AEAD_AES_128_GCM };

	(void)state;
	read_hex("17422dda596ed5d9acd890e3c63f5051", k.in.key);
	read_hex("5b78923dee08579033e523d9", k.in.iv);
	k.out = k.in;
	assert_answers(&k, of_client, array_count(of_client));
	read_hex("9f02283b6c9c07efc26bb9f2ac92e356", k.in.key);
	read_hex("cf782b88dd83549aadf1e984", k.in.iv);
	k.out = k.in;
	assert_answers(&k, of_server, array_count(of_server));
}

static void
records_are_those_of_openssl(void **state)
{
	static const char *const records[array_count(kinds)] = {
		"1703030023480641cb795a1310f3c5f08e34f1003c9a256bc1b4bb2824593f76c4c8efa9a5802991",
		"17030300231d58edc37397ee96bdbe14963f6880a43aa41ddc850dac00eefc4d673b4370b7fa5deb",
		"17030300237d33afa53027cbe44f3da4e0f20e780932072c403134e5999a501743f01386ebffb659",
		"170303002a0102030405060708af8c2a3753315cf7713e12959cfb8b40001a1ed536df6de8287bb301"
		"55680ebc3636",
		"170303002a010203040506070811dc72c18cde3032203a01950bf6f51073f8bd6f16ba9c0b5b486dde"
		"405ff233c0cf",
		"17030300227d33afa53027cbe44f3da4e0f20e78093207b92a87da04853dc0c40a284f0fbee7ab",
	};

	(void)state;
	for (size_t kind = 0; kind < array_count(kinds); kind++) {
		const struct answer answer = { 0x0102030405060708, records[kind],
			"2b4f4b203132206f63746574730d0a2e0d0a", TLS_RECORD_DATA };
		struct tls_keys k = keys_of(kind);

		k.out = k.in;
		assert_answers(&k, &answer, 1);
	}
}

/* ---- what is sealed is opened -------------------------------------------------------------- */

static void
every_length_comes_back(void **state)
{
	static const size_t edges[] = { 0, 255, 256, 1023, 4096, 8191, 16380 };
	static unsigned char record[RECORD_OCTETS_MAX];

	(void)state;
	for (size_t kind = 0; kind < array_count(kinds); kind++) {
		struct ends e = ends_of(kind);

		for (size_t i = 0; i < array_count(edges); i++)
			for (size_t length = edges[i];
				length < edges[i] + 40 && length <= TLS_RECORD_PLAIN_MAX;
				length++) {
				size_t whole = seal_as_peer(&e, TLS_RECORD_DATA, length, record);
				size_t told;

				assert_int_equal(whole,
					tls_record_front(&e.ours) + length +
						tls_record_back(&e.ours));
				assert_int_equal(
					tls_record_length(span_of(record, whole), &told), 0);
				assert_int_equal(told, whole);
				assert_opens(&e, record, whole, TLS_RECORD_DATA, length);
			}
		tls_cipher_free(e.cipher);
	}
}

/* One cipher of a thread serves sessions of all kinds, in any order. */
static void
one_cipher_serves_all_sessions(void **state)
{
	struct tls_cipher *cipher = tls_cipher_make();
	struct ends e[array_count(kinds)];
	unsigned char record[128];

	(void)state;
	for (size_t kind = 0; kind < array_count(kinds); kind++) {
		e[kind] = ends_of(kind);
		tls_cipher_free(e[kind].cipher);
		e[kind].cipher = cipher;
	}
	for (unsigned turn = 0; turn < 100; turn++) {
		struct ends *one = &e[turn * 5 % array_count(kinds)];
		size_t whole = seal_as_peer(one, TLS_RECORD_DATA, turn % 50, record);

		if (turn % 7 == 0)
			tls_cipher_forget(cipher);
		assert_opens(one, record, whole, TLS_RECORD_DATA, turn % 50);
	}
	tls_cipher_free(cipher);
}

/* ---- what is not --------------------------------------------------------------------------- */

/* -EPROTO: nothing but data has its type in clear in TLS 1.3.  0: in TLS 1.2 the length that counts
 * is that of what is inside. */
static int
error_of_damage(size_t kind, size_t at)
{
	if (at == 0 && kinds[kind].version == 13)
		return -EPROTO;
	return (at == 3 || at == 4) && kinds[kind].version == 12 ? 0 : -EBADMSG;
}

/* Type, version, nonce, octets, tag: there is none that does not count. */
static void
each_octet_counts(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < array_count(kinds); kind++) {
		struct ends e = ends_of(kind);
		unsigned char record[128], damaged[128];
		size_t whole = seal_as_peer(&e, TLS_RECORD_DATA, 40, record);
		struct tls_opened opened;

		for (size_t bit = 0; bit < 8 * whole; bit++) {
			int error = error_of_damage(kind, bit / 8);

			memcpy(damaged, record, whole);
			damaged[bit / 8] ^= (unsigned char)(1 << bit % 8);
			e.ours.in.sequence = 0;
			assert_int_equal(
				tls_record_open(e.cipher, &e.ours, damaged, whole, &opened), error);
			assert_int_equal(e.ours.in.sequence, error == 0);
		}
		e.ours.in.sequence = 0;
		assert_opens(&e, record, whole, TLS_RECORD_DATA, 40);
		tls_cipher_free(e.cipher);
	}
}

static void
order_counts(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < array_count(kinds); kind++) {
		struct ends e = ends_of(kind);
		unsigned char first[128], second[128], copy[128];
		size_t whole = seal_as_peer(&e, TLS_RECORD_DATA, 10, first);
		struct tls_opened opened;

		(void)seal_as_peer(&e, TLS_RECORD_DATA, 10, second);
		memcpy(copy, second, whole);
		assert_int_equal(
			tls_record_open(e.cipher, &e.ours, copy, whole, &opened), -EBADMSG);
		memcpy(copy, first, whole);
		assert_opens(&e, copy, whole, TLS_RECORD_DATA, 10);
		memcpy(copy, first, whole);
		assert_int_equal(
			tls_record_open(e.cipher, &e.ours, copy, whole, &opened), -EBADMSG);
		assert_opens(&e, second, whole, TLS_RECORD_DATA, 10);
		tls_cipher_free(e.cipher);
	}
}

static void
what_is_cut_off_is_refused(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < array_count(kinds); kind++) {
		struct ends e = ends_of(kind);
		unsigned char record[128];
		size_t whole = seal_as_peer(&e, TLS_RECORD_DATA, 10, record);
		struct tls_opened opened;

		for (size_t length = TLS_RECORD_HEADER_OCTETS; length < whole; length++) {
			unsigned char *exact = malloc(length);

			must(exact != NULL);
			memcpy(exact, record, length);
			assert_int_equal(tls_record_open(e.cipher, &e.ours, exact, length, &opened),
				-EBADMSG);
			free(exact);
		}
		tls_cipher_free(e.cipher);
	}
}

/* ---- TLS 1.3: the type within, and padding ------------------------------------------------- */

/* A record that holds exactly these octets, type and padding among them: sealed with a type that is
 * the last of them. */
static size_t
seal_inner(struct ends *e, const unsigned char *inner, size_t length, unsigned char *record)
{
	memcpy(record + TLS_RECORD_HEADER_OCTETS, inner, length - 1);
	return tls_record_seal(e->cipher, &e->peers, inner[length - 1],
		record + TLS_RECORD_HEADER_OCTETS, length - 1, record);
}

static void
padding_is_taken_off(void **state)
{
	static unsigned char inner[TLS_RECORD_PLAIN_MAX + 1], record[RECORD_OCTETS_MAX];
	struct ends e = ends_of(0);
	struct tls_opened opened;

	(void)state;
	for (size_t padding = 0; padding <= TLS_RECORD_PLAIN_MAX - 3; padding += 1 + padding / 3) {
		memset(inner, 0, sizeof(inner));
		memcpy(inner, "ab\x17", 3);
		size_t whole = seal_inner(&e, inner, 3 + padding, record);

		assert_int_equal(tls_record_open(e.cipher, &e.ours, record, whole, &opened), 0);
		assert_int_equal(opened.type, TLS_RECORD_DATA);
		assert_true(span_equals(opened.octets, SPAN("ab")));
	}
	tls_cipher_free(e.cipher);
}

static void
a_record_of_nothing_but_padding_has_no_type(void **state)
{
	static const size_t lengths[] = { 1, 2, 100, TLS_RECORD_PLAIN_MAX + 1 };
	static unsigned char inner[TLS_RECORD_PLAIN_MAX + 1], record[RECORD_OCTETS_MAX];
	struct ends e = ends_of(1);
	struct tls_opened opened;

	(void)state;
	for (size_t i = 0; i < array_count(lengths); i++) {
		size_t whole = seal_inner(&e, inner, lengths[i], record);

		assert_int_equal(
			tls_record_open(e.cipher, &e.ours, record, whole, &opened), -EPROTO);
	}
	tls_cipher_free(e.cipher);
}

static void
in_tls_1_3_nothing_comes_in_clear(void **state)
{
	static const unsigned types[] = { 20, 21, 22 };
	struct ends e = ends_of(0);
	struct tls_opened opened;

	(void)state;
	for (size_t i = 0; i < array_count(types); i++) {
		unsigned char record[64] = { (unsigned char)types[i], 3, 3, 0, 2, 1, 0 };

		assert_int_equal(tls_record_open(e.cipher, &e.ours, record, 7, &opened), -EPROTO);
	}
	tls_cipher_free(e.cipher);
}

/* ---- lengths ------------------------------------------------------------------------------- */

static void
what_is_longer_than_a_record_may_be_is_refused(void **state)
{
	static unsigned char record[RECORD_OCTETS_MAX + 1];
	struct tls_opened opened;

	(void)state;
	for (size_t kind = 0; kind < array_count(kinds); kind++) {
		struct ends e = ends_of(kind);
		size_t most =
			tls_record_front(&e.ours) + TLS_RECORD_PLAIN_MAX + tls_record_back(&e.ours);

		record[0] =
			TLS_RECORD_DATA; /* one of the right length is looked at, and is wrong */
		assert_int_equal(
			tls_record_open(e.cipher, &e.ours, record, most, &opened), -EBADMSG);
		assert_int_equal(
			tls_record_open(e.cipher, &e.ours, record, most + 1, &opened), -EMSGSIZE);
		tls_cipher_free(e.cipher);
	}
}

static void
a_key_of_aes_is_used_up_one_day(void **state)
{
	(void)state;
	for (size_t kind = 0; kind < array_count(kinds); kind++) {
		struct tls_keys k = keys_of(kind);
		bool is_chacha = k.aead == TLS_AEAD_CHACHA20_POLY1305;

		k.out.sequence = TLS_KEY_RECORDS_MAX - 1;
		assert_false(tls_keys_are_used_up(&k));
		k.out.sequence++;
		assert_int_equal(tls_keys_are_used_up(&k), !is_chacha);
		k.out.sequence = UINT64_MAX;
		assert_int_equal(tls_keys_are_used_up(&k), !is_chacha);
	}
}

/* ---- words --------------------------------------------------------------------------------- */

static void
a_word_is_what_its_record_says(void **state)
{
	static const struct {
		unsigned version, type;
		struct span octets;
		enum tls_word word;
	} rows[] = {
		{ 13, 21, SPAN("\1\0"), TLS_WORD_GOODBYE },
		{ 12, 21, SPAN("\1\0"), TLS_WORD_GOODBYE },
		{ 12, 21, SPAN("\2\0"), TLS_WORD_GOODBYE },
		{ 13, 21, SPAN("\1\x5a"), TLS_WORD_NOTHING }, /* user_canceled */
		{ 13, 21, SPAN("\2\x14"), TLS_WORD_ALERT },
		{ 12, 21, SPAN("\1\x64"), TLS_WORD_ALERT }, /* no_renegotiation: of what? */
		{ 13, 21, SPAN("\1"), TLS_WORD_NONSENSE },
		{ 13, 21, SPAN(""), TLS_WORD_NONSENSE },
		{ 13, 21, SPAN("\1\0\1\0"), TLS_WORD_NONSENSE },
		{ 13, 22, SPAN("\x18\0\0\1\0"), TLS_WORD_KEYS },
		{ 13, 22, SPAN("\x18\0\0\1\1"), TLS_WORD_KEYS_OF_BOTH },
		{ 13, 22, SPAN("\x18\0\0\1\2"), TLS_WORD_NONSENSE },
		{ 13, 22, SPAN("\x18\0\0\2\0"), TLS_WORD_NONSENSE },
		{ 13, 22, SPAN("\x18\0\1\1\0"), TLS_WORD_NONSENSE },
		{ 13, 22, SPAN("\x18\1\0\1\0"), TLS_WORD_NONSENSE },
		{ 13, 22, SPAN("\x18\0\0\1"), TLS_WORD_NONSENSE },
		{ 13, 22, SPAN("\x18\0\0\1\0\x18\0\0\1\0"), TLS_WORD_NONSENSE },
		{ 12, 22, SPAN("\x18\0\0\1\0"), TLS_WORD_NONSENSE },
		{ 12, 22, SPAN("\1\0\0\0"), TLS_WORD_NONSENSE }, /* renegotiation */
		{ 13, 22, SPAN(""), TLS_WORD_NONSENSE },
		{ 12, 20, SPAN("\1"), TLS_WORD_NONSENSE },
		{ 13, 0, SPAN("x"), TLS_WORD_NONSENSE },
		{ 13, 24, SPAN("x"), TLS_WORD_NONSENSE },
	};

	(void)state;
	for (size_t i = 0; i < array_count(rows); i++)
		assert_int_equal(
			tls_word_of(rows[i].version, rows[i].type, rows[i].octets), rows[i].word);
}

static void
each_fault_has_its_alert(void **state)
{
	unsigned char alert[TLS_ALERT_OCTETS];

	(void)state;
	assert_int_equal(tls_alert_for(-EBADMSG), TLS_ALERT_BAD_RECORD_MAC);
	assert_int_equal(tls_alert_for(-EMSGSIZE), TLS_ALERT_RECORD_OVERFLOW);
	assert_int_equal(tls_alert_for(-EPROTO), TLS_ALERT_UNEXPECTED_MESSAGE);
	tls_put_alert(TLS_ALERT_CLOSE_NOTIFY, alert);
	assert_memory_equal(alert, "\1\0", 2);
	tls_put_alert(TLS_ALERT_BAD_RECORD_MAC, alert);
	assert_memory_equal(alert, "\2\x14", 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(records_are_those_of_rfc8448),
		cmocka_unit_test(records_are_those_of_openssl),
		cmocka_unit_test(every_length_comes_back),
		cmocka_unit_test(one_cipher_serves_all_sessions),
		cmocka_unit_test(each_octet_counts),
		cmocka_unit_test(order_counts),
		cmocka_unit_test(what_is_cut_off_is_refused),
		cmocka_unit_test(padding_is_taken_off),
		cmocka_unit_test(a_record_of_nothing_but_padding_has_no_type),
		cmocka_unit_test(in_tls_1_3_nothing_comes_in_clear),
		cmocka_unit_test(what_is_longer_than_a_record_may_be_is_refused),
		cmocka_unit_test(a_key_of_aes_is_used_up_one_day),
		cmocka_unit_test(a_word_is_what_its_record_says),
		cmocka_unit_test(each_fault_has_its_alert),
	};

	return cmocka_run_group_tests_name("tls records", tests, NULL, NULL);
}
