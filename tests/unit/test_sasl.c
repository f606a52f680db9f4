/*
 * test_sasl.c - each mechanism against GNU SASL's client side or by hand, and against nonsense.
 */
#include "core/auth/sasl.h"

#include "core/auth/bearer.h"

#include <gsasl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static const char exporter[] = "0123456789abcdef0123456789abcdef";

/* What the other side knows. */
struct client {
	const char *name;
	const char *password;
	const char *acts_for;
	const char *exporter; /* base64 */
};

static int
client_answers(Gsasl *library, Gsasl_session *session, Gsasl_property question)
{
	const struct client *c = gsasl_callback_hook_get(library);
	const char *value = NULL;

	switch ((int)question) {
	case GSASL_AUTHID:
		value = c->name;
		break;
	case GSASL_AUTHZID:
		value = c->acts_for;
		break;
	case GSASL_PASSWORD:
		value = c->password;
		break;
	case GSASL_CB_TLS_EXPORTER:
		value = c->exporter;
		break;
	}
	if (value == NULL)
		return GSASL_NO_CALLBACK;
	return gsasl_property_set(session, question, value);
}

static struct scram_keys
keys_of(Gsasl_hash hash, const char *password)
{
	struct scram_keys k = { .iterations = 4096, .salt_octets = 16 };
	char salted[32];
	char client_key[32];

	memcpy(k.salt, "sixteen octets!!", 16);
	assert_int_equal(gsasl_scram_secrets_from_password(hash, password, k.iterations,
				 (const char *)k.salt, k.salt_octets, salted, client_key,
				 (char *)k.server_key, (char *)k.stored_key),
		GSASL_OK);
	return k;
}

/* Both sides to the end; what the server says last.  `password` is the account's. */
static enum sasl_next
exchange(enum sasl_mechanism mechanism, struct client *c, const char *password, bool initial,
	struct sasl **sasl_out)
{
	struct sasl_facts facts = { .exporter = span_of(exporter, SASL_EXPORTER_OCTETS) };
	struct scram_keys keys = keys_of(
		mechanism == SASL_SCRAM_SHA_1 ? GSASL_HASH_SHA1 : GSASL_HASH_SHA256, password);
	enum sasl_next next;
	Gsasl *library;
	Gsasl_session *session;
	char *words = NULL;

	assert_int_equal(sasl_open(mechanism, &facts, sasl_out), 0);
	assert_int_equal(gsasl_init(&library), GSASL_OK);
	gsasl_callback_set(library, client_answers);
	gsasl_callback_hook_set(library, c);
	assert_int_equal(
		gsasl_client_start(library, sasl_mechanism_name(mechanism), &session), GSASL_OK);
	next = SASL_NEXT_CHALLENGE;
	if (!initial)
		next = sasl_begin(*sasl_out);
	while (true) {
		if (next == SASL_NEXT_CHALLENGE) {
			struct span said = sasl_challenge(*sasl_out);
			char *challenge = strndup(said.at, said.length);
			int result = gsasl_step64(session, challenge, &words);

			free(challenge);
			if (result != GSASL_OK && result != GSASL_NEEDS_MORE)
				fail_msg("client: %s", gsasl_strerror(result));
			next = sasl_step(*sasl_out, span_of_string(words));
			gsasl_free(words);
		} else if (next == SASL_NEXT_FIND) {
			assert_memory_equal(
				sasl_identity(*sasl_out).name.at, c->name, strlen(c->name));
			next = sasl_found(*sasl_out, &keys);
		} else if (next == SASL_NEXT_VERIFY) {
			struct sasl_identity who = sasl_identity(*sasl_out);

			next = sasl_verified(*sasl_out,
				span_equals(who.name, span_of_string(c->name)) &&
					span_equals(who.secret, span_of_string(password)));
		} else {
			break;
		}
	}
	gsasl_finish(session);
	gsasl_done(library);
	return next;
}

static void
assert_proven(enum sasl_mechanism mechanism, struct client *c)
{
	for (unsigned initial = 0; initial < 2; initial++) {
		struct sasl *s;
		struct sasl_identity who;

		if (initial == 1 && mechanism == SASL_LOGIN)
			continue; /* its client has nothing to say first */
		assert_int_equal(exchange(mechanism, c, "correct horse", initial == 1, &s),
			SASL_NEXT_PROVEN);
		who = sasl_identity(s);
		assert_true(span_equals(who.name, span_of_string(c->name)));
		if (c->acts_for != NULL)
			assert_true(span_equals(who.acts_for, span_of_string(c->acts_for)));
		else
			assert_int_equal(who.acts_for.length, 0);
		sasl_close(s);
	}
}

static void
test_library_mechanisms_prove(void **state)
{
	static const enum sasl_mechanism all[] = { SASL_PLAIN, SASL_LOGIN, SASL_SCRAM_SHA_1,
		SASL_SCRAM_SHA_256, SASL_SCRAM_SHA_256_PLUS };
	char *binding;

	(void)state;
	assert_int_equal(gsasl_base64_to(exporter, 32, &binding, NULL), GSASL_OK);
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct client plain = { "alice@example.org", "correct horse", NULL, binding };
		struct client master = { "admin@example.org", "correct horse", "bob@example.org",
			binding };
		struct client odd = { "a=b,c@example.org", "correct horse", NULL, binding };

		if (all[i] == SASL_SCRAM_SHA_256 || all[i] == SASL_SCRAM_SHA_1)
			plain.exporter = master.exporter = odd.exporter = NULL;
		assert_proven(all[i], &plain);
		assert_proven(all[i], &odd);
		if (all[i] != SASL_LOGIN)
			assert_proven(all[i], &master);
	}
	gsasl_free(binding);
}

static void
test_wrong_passwords_are_refused(void **state)
{
	static const enum sasl_mechanism all[] = { SASL_PLAIN, SASL_LOGIN, SASL_SCRAM_SHA_1,
		SASL_SCRAM_SHA_256 };

	(void)state;
	for (unsigned i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		struct client c = { "alice@example.org", "wrong horse", NULL, NULL };
		struct sasl *s;

		assert_int_equal(
			exchange(all[i], &c, "correct horse", false, &s), SASL_NEXT_REFUSED);
		sasl_close(s);
	}
}

/* SCRAM-SHA-256-PLUS over another TLS connection than ours: somebody is in between. */
static void
test_a_foreign_binding_is_refused(void **state)
{
	char *binding;
	struct client c = { "alice@example.org", "correct horse", NULL, NULL };
	struct sasl *s;

	(void)state;
	assert_int_equal(
		gsasl_base64_to("another connection, 32 octets...", 32, &binding, NULL), GSASL_OK);
	c.exporter = binding;
	assert_int_not_equal(exchange(SASL_SCRAM_SHA_256_PLUS, &c, "correct horse", false, &s),
		SASL_NEXT_PROVEN);
	sasl_close(s);
	gsasl_free(binding);
}

static void
test_external(void **state)
{
	struct sasl_facts facts = { .certificate_name = "alice@example.org" };
	struct sasl *s;

	(void)state;
	assert_int_equal(sasl_open(SASL_EXTERNAL, &facts, &s), 0);
	assert_int_equal(sasl_begin(s), SASL_NEXT_CHALLENGE);
	assert_int_equal(sasl_challenge(s).length, 0);
	assert_int_equal(sasl_step(s, SPAN("=")), SASL_NEXT_PROVEN);
	assert_true(span_equals(sasl_identity(s).name, SPAN("alice@example.org")));
	sasl_close(s);

	facts.certificate_name = NULL;
	assert_int_equal(sasl_open(SASL_EXTERNAL, &facts, &s), 0);
	assert_int_equal(sasl_step(s, SPAN("=")), SASL_NEXT_REFUSED);
	sasl_close(s);
}

static enum sasl_next
say(struct sasl *s, const char *text, size_t octets)
{
	char *base64;
	enum sasl_next next;

	assert_int_equal(gsasl_base64_to(text, octets, &base64, NULL), GSASL_OK);
	next = sasl_step(s, span_of_string(base64));
	gsasl_free(base64);
	return next;
}

#define SAY(s, literal) say(s, literal, sizeof(literal) - 1)

static void
test_bearer(void **state)
{
	struct sasl_facts facts = { 0 };
	struct sasl *s;

	(void)state;
	assert_int_equal(sasl_open(SASL_OAUTHBEARER, &facts, &s), 0);
	assert_int_equal(SAY(s,
				 "n,a=al=2Cice@example.org,\1host=h\1port=110\1auth=Bearer ab.c-d_"
				 "~+/==\1\1"),
		SASL_NEXT_TOKEN);
	assert_true(span_equals(sasl_identity(s).name, SPAN("al,ice@example.org")));
	assert_true(span_equals(sasl_identity(s).secret, SPAN("ab.c-d_~+/==")));
	assert_int_equal(sasl_verified(s, true), SASL_NEXT_PROVEN);
	sasl_close(s);

	/* A wrong token is explained, then refused whatever the client says to that. */
	assert_int_equal(sasl_open(SASL_XOAUTH2, &facts, &s), 0);
	assert_int_equal(SAY(s, "user=alice@example.org\1auth=Bearer token\1\1"), SASL_NEXT_TOKEN);
	assert_int_equal(sasl_verified(s, false), SASL_NEXT_CHALLENGE);
	assert_true(sasl_challenge(s).length > 0);
	assert_int_equal(sasl_step(s, SPAN("")), SASL_NEXT_REFUSED);
	sasl_close(s);
}

static void
test_bearer_nonsense(void **state)
{
	static const char *const oauth[] = {
		"",
		"n",
		"n,",
		"n,,",
		"n,,\1",
		"n,,\1\1",
		"n,,\1auth=Bearer t\1",
		"n,,auth=Bearer t\1\1",
		"p=tls-exporter,,\1auth=Bearer t\1\1",
		"n,b=x,\1auth=Bearer t\1\1",
		"n,,\1auth=Basic t\1\1",
		"n,,\1auth=Bearer \1\1",
		"n,,\1auth=Bearer t t\1\1",
		"n,,\1auth=Bearer t\1auth=Bearer u\1\1",
		"n,,\1auth=Bearer t\1\1more",
		"n,a=al=3ice,\1auth=Bearer t\1\1",
		"n,,\1auth=Bearer =\1\1",
	};
	static const char *const xoauth2[] = {
		"",
		"user=",
		"user=\1auth=Bearer t\1\1",
		"user=a",
		"user=a\1",
		"user=a\1auth=Bearer t\1",
		"user=a\1\1",
		"auth=Bearer t\1\1",
		"user=a\1auth=Bearer t\1\1\1",
	};

	(void)state;
	for (unsigned m = 0; m < 2; m++) {
		const char *const *list = m == 0 ? oauth : xoauth2;
		size_t count = m == 0 ? sizeof(oauth) / sizeof(oauth[0])
				      : sizeof(xoauth2) / sizeof(xoauth2[0]);

		for (size_t i = 0; i < count; i++) {
			struct sasl_facts facts = { 0 };
			struct sasl *s;

			assert_int_equal(
				sasl_open(m == 0 ? SASL_OAUTHBEARER : SASL_XOAUTH2, &facts, &s), 0);
			if (say(s, list[i], strlen(list[i])) != SASL_NEXT_MALFORMED)
				fail_msg("taken: %s", list[i]);
			sasl_close(s);
		}
	}
}

/* What is not base64, or no message of the mechanism, at the first response of each. */
static void
test_nonsense(void **state)
{
	static const char *const said[] = { "!", "====", "a", "ab=c", "YWJj ", " YWJj", "YWJj\t",
		"=YWJj", "AA==", "AAA=", "AAAA", "bixh", "YSxiLGM=", "biwsbj0scj0=", "biwsbj1hLHI9",
		"/////////////////////w==" };

	(void)state;
	for (unsigned m = 0; m < SASL_MECHANISMS; m++) {
		for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
			struct sasl_facts facts = { 0 };
			struct scram_keys keys = keys_of(
				m == SASL_SCRAM_SHA_1 ? GSASL_HASH_SHA1 : GSASL_HASH_SHA256, "x");
			enum sasl_next next;
			struct sasl *s;

			assert_int_equal(sasl_open((enum sasl_mechanism)m, &facts, &s), 0);
			if (m == SASL_LOGIN)
				assert_int_equal(sasl_begin(s), SASL_NEXT_CHALLENGE);
			next = sasl_step(s, span_of_string(said[i]));
			if (next == SASL_NEXT_FIND)
				next = sasl_found(s, &keys);
			if (m != SASL_LOGIN && next != SASL_NEXT_MALFORMED &&
				next != SASL_NEXT_REFUSED)
				fail_msg("%s took %s: %d", sasl_mechanism_name(m), said[i], next);
			sasl_close(s);
		}
	}
}

static void
test_names(void **state)
{
	enum sasl_mechanism m;

	(void)state;
	assert_true(sasl_mechanism_find(SPAN("scram-sha-256"), &m));
	assert_int_equal(m, SASL_SCRAM_SHA_256);
	assert_false(sasl_mechanism_find(SPAN("CRAM-MD5"), &m));
	assert_false(sasl_mechanism_find(SPAN(""), &m));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_library_mechanisms_prove),
		cmocka_unit_test(test_wrong_passwords_are_refused),
		cmocka_unit_test(test_a_foreign_binding_is_refused),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_bearer),
		cmocka_unit_test(test_bearer_nonsense),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
