/*
 * test_jwt.c - tokens good and bad, keys of all files, and what the server that made one says.
 *
 * Keys and good signatures are made by the library; what it would never make is put together here.
 * tests/e2e/test_tokens.py signs with OpenSSL instead.
 */
#include "core/auth/jwt.h"

#include "core/auth/tokens.h"
#include "io/base/clock.h"
#include "io/base/must.h"

#include <errno.h>
#include <orcania.h>
#include <rhonabwy.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#define NOW 1700000000

static const struct claims_rules rules = { "https://id.example.org", "mail", "email" };

#define GOOD                                                                                       \
	"{\"iss\":\"https://id.example.org\",\"aud\":\"mail\",\"exp\":1700000600,"                 \
	"\"email\":\"alice@example.org\"}"

struct pair {
	jwk_t *secret;
	jwk_t *known;
	char path[64];
};

static struct pair rsa, rsa_other, p256, p384, ed;
static struct jwt_keys *keys; /* of rsa, p256, p384 and ed, as PEM */
static char directory[32] = "/tmp/test_jwt.XXXXXX";

/* ---- making ---------------------------------------------------------------------------------- */

static void
write_file(const char *path, const void *octets, size_t count)
{
	FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_int_equal(fwrite(octets, 1, count, file), count);
	assert_int_equal(fclose(file), 0);
}

static void
make_pair(struct pair *p, const char *name, int type, unsigned bits)
{
	unsigned char pem[8192];
	size_t octets = sizeof(pem);

	assert_int_equal(r_jwk_init(&p->secret), RHN_OK);
	assert_int_equal(r_jwk_init(&p->known), RHN_OK);
	assert_int_equal(r_jwk_generate_key_pair(p->secret, p->known, type, bits, name), RHN_OK);
	assert_int_equal(r_jwk_export_to_pem_der(p->known, R_FORMAT_PEM, pem, &octets, 0), RHN_OK);
	snprintf(p->path, sizeof(p->path), "%s/%s.pem", directory, name);
	write_file(p->path, pem, octets);
}

static void
drop_pair(struct pair *p)
{
	r_jwk_free(p->secret);
	r_jwk_free(p->known);
	assert_int_equal(unlink(p->path), 0);
}

static int
set_up(void **state)
{
	const char *paths[] = { rsa.path, p256.path, p384.path, ed.path };
	char why[JWT_WHY_OCTETS];

	(void)state;
	assert_non_null(mkdtemp(directory));
	make_pair(&rsa, "rsa", R_KEY_TYPE_RSA, 2048);
	make_pair(&rsa_other, "other", R_KEY_TYPE_RSA, 2048);
	make_pair(&p256, "p256", R_KEY_TYPE_EC, 256);
	make_pair(&p384, "p384", R_KEY_TYPE_EC, 384);
	make_pair(&ed, "ed", R_KEY_TYPE_EDDSA, 256);
	if (jwt_keys_load(paths, 4, why, &keys) != 0)
		fail_msg("%s", why);
	assert_int_equal(jwt_keys_count(keys), 4);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	jwt_keys_release(keys);
	drop_pair(&rsa);
	drop_pair(&rsa_other);
	drop_pair(&p256);
	drop_pair(&p384);
	drop_pair(&ed);
	assert_int_equal(rmdir(directory), 0);
	return 0;
}

/* A token of that payload, signed, to be freed; its key id is the key's where none is given. */
static char *
sign(const char *payload, jwa_alg alg, jwk_t *key, const char *kid)
{
	char *token;
	jws_t *jws;

	assert_int_equal(r_jws_init(&jws), RHN_OK);
	assert_int_equal(r_jws_set_alg(jws, alg), RHN_OK);
	if (kid != NULL)
		assert_int_equal(r_jws_set_header_str_value(jws, "kid", kid), RHN_OK);
	assert_int_equal(
		r_jws_set_payload(jws, (const unsigned char *)payload, strlen(payload)), RHN_OK);
	token = r_jws_serialize(jws, key, 0);
	assert_non_null(token);
	r_jws_free(jws);
	return token;
}

static char *
base64url(const char *text)
{
	struct _o_datum made = { 0, NULL };
	char *copy;

	assert_int_equal(
		o_base64url_encode_alloc((const unsigned char *)text, strlen(text), &made), 1);
	copy = strndup((const char *)made.data, made.size);
	o_free(made.data);
	return copy;
}

/* Header and payload as they are, and any signature. */
static char *
put_together(const char *header, const char *payload, const char *signature)
{
	char *first = base64url(header);
	char *second = base64url(payload);
	char *token;

	assert_true(asprintf(&token, "%s.%s.%s", first, second, signature) > 0);
	free(first);
	free(second);
	return token;
}

static const char *
verify_with(const struct jwt_keys *with, const struct claims_rules *by, const char *token)
{
	struct token_owner owner;
	const char *why = "nothing was said";

	assert_int_equal(jwt_verify(with, by, span_of_string(token), NOW, &owner, &why), 0);
	if (why == NULL)
		assert_string_equal(owner.name, "alice@example.org");
	return why == NULL ? "good" : why;
}

static void
expect(char *token, const char *why)
{
	assert_string_equal(verify_with(keys, &rules, token), why);
	free(token);
}

static void
expect_payload(const char *payload, const char *why)
{
	expect(sign(payload, R_JWA_ALG_ES256, p256.secret, NULL), why);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
each_algorithm_with_a_key_of_its_type(void **state)
{
	(void)state;
	expect(sign(GOOD, R_JWA_ALG_RS256, rsa.secret, NULL), "good");
	expect(sign(GOOD, R_JWA_ALG_RS512, rsa.secret, NULL), "good");
	expect(sign(GOOD, R_JWA_ALG_PS256, rsa.secret, NULL), "good");
	expect(sign(GOOD, R_JWA_ALG_ES256, p256.secret, NULL), "good");
	expect(sign(GOOD, R_JWA_ALG_ES384, p384.secret, NULL), "good");
	expect(sign(GOOD, R_JWA_ALG_EDDSA, ed.secret, NULL), "good");
	expect(sign(GOOD, R_JWA_ALG_RS256, rsa_other.secret, NULL), "token_signature");
}

static void
no_algorithm_but_those_of_the_keys(void **state)
{
	unsigned char pem[8192];
	size_t octets = sizeof(pem);
	jwk_t *secret;

	(void)state;
	expect(put_together("{\"alg\":\"none\"}", GOOD, ""), "token_malformed");
	expect(put_together("{\"alg\":\"none\"}", GOOD, "AAAA"), "token_algorithm");
	expect(put_together("{\"alg\":\"None\"}", GOOD, "AAAA"), "token_algorithm");
	expect(put_together("{\"alg\":5}", GOOD, "AAAA"), "token_algorithm");
	expect(put_together("{}", GOOD, "AAAA"), "token_algorithm");
	/* The public key, as its owner publishes it, taken for a secret. */
	assert_int_equal(r_jwk_export_to_pem_der(rsa.known, R_FORMAT_PEM, pem, &octets, 0), RHN_OK);
	assert_int_equal(r_jwk_init(&secret), RHN_OK);
	assert_int_equal(r_jwk_import_from_symmetric_key(secret, pem, octets), RHN_OK);
	expect(sign(GOOD, R_JWA_ALG_HS256, secret, NULL), "token_algorithm");
	r_jwk_free(secret);
}

static void
a_key_that_comes_with_the_token_is_no_key(void **state)
{
	json_t *known = r_jwk_export_to_json_t(rsa_other.known);
	char *token;
	jws_t *jws;

	(void)state;
	assert_int_equal(r_jws_init(&jws), RHN_OK);
	assert_int_equal(r_jws_set_alg(jws, R_JWA_ALG_RS256), RHN_OK);
	assert_int_equal(r_jws_set_header_json_t_value(jws, "jwk", known), RHN_OK);
	assert_int_equal(r_jws_set_header_str_value(jws, "jku", "http://127.0.0.1:9/keys"), RHN_OK);
	assert_int_equal(r_jws_set_payload(jws, (const unsigned char *)GOOD, strlen(GOOD)), RHN_OK);
	token = r_jws_serialize(jws, rsa_other.secret, 0);
	r_jws_free(jws);
	json_decref(known);
	expect(token, "token_signature");
}

static void
claims(void **state)
{
	static const struct {
		const char *rest;
		const char *why;
	} cases[] = {
#define ISS   "\"iss\":\"https://id.example.org\""
#define AUD   "\"aud\":\"mail\""
#define EXP   "\"exp\":1700000600"
#define EMAIL "\"email\":\"alice@example.org\""
		{ ISS "," AUD "," EXP "," EMAIL, "good" },
		{ AUD "," EXP "," EMAIL, "token_issuer" },
		{ "\"iss\":\"https://id.example.com\"," AUD "," EXP "," EMAIL, "token_issuer" },
		{ "\"iss\":[\"https://id.example.org\"]," AUD "," EXP "," EMAIL, "token_issuer" },
		{ ISS "," EXP "," EMAIL, "token_audience" },
		{ ISS ",\"aud\":\"other\"," EXP "," EMAIL, "token_audience" },
		{ ISS ",\"aud\":[\"other\",\"mail\"]," EXP "," EMAIL, "good" },
		{ ISS ",\"aud\":[\"other\",5,null]," EXP "," EMAIL, "token_audience" },
		{ ISS ",\"aud\":[]," EXP "," EMAIL, "token_audience" },
		{ ISS ",\"aud\":{\"mail\":1}," EXP "," EMAIL, "token_audience" },
		{ ISS "," AUD "," EMAIL, "token_no_expiry" },
		{ ISS "," AUD ",\"exp\":1699999971," EMAIL, "good" }, /* the leeway */
		{ ISS "," AUD ",\"exp\":1699999970," EMAIL, "token_expired" },
		{ ISS "," AUD ",\"exp\":1," EMAIL, "token_expired" },
		{ ISS "," AUD ",\"exp\":1700000600.5," EMAIL, "good" },
		{ ISS "," AUD ",\"exp\":\"1700000600\"," EMAIL, "token_malformed" },
		{ ISS "," AUD ",\"exp\":-1," EMAIL, "token_malformed" },
		{ ISS "," AUD ",\"exp\":1e300," EMAIL, "token_malformed" },
		{ ISS "," AUD ",\"exp\":9223372036854775807," EMAIL, "token_malformed" },
		{ ISS "," AUD "," EXP ",\"nbf\":1700000030," EMAIL, "good" },
		{ ISS "," AUD "," EXP ",\"nbf\":1700000031," EMAIL, "token_not_yet" },
		{ ISS "," AUD "," EXP ",\"nbf\":null," EMAIL, "token_malformed" },
		{ ISS "," AUD "," EXP, "token_no_account" },
		{ ISS "," AUD "," EXP ",\"email\":\"\"", "token_no_account" },
		{ ISS "," AUD "," EXP ",\"email\":[\"alice@example.org\"]", "token_no_account" },
		{ ISS "," AUD "," EXP "," EMAIL ",\"email_verified\":true", "good" },
		{ ISS "," AUD "," EXP "," EMAIL ",\"email_verified\":false",
			"token_email_unverified" },
		/* Said twice: who reads the first and who reads the last disagree. */
		{ ISS "," AUD "," EXP ",\"email\":\"eve@example.org\"," EMAIL, "token_malformed" },
		{ ISS "," AUD "," EXP ",\"email\":\"alice@example.org\\u0000\"",
			"token_malformed" },
	};

	(void)state;
	for (unsigned i = 0; i < array_count(cases); i++) {
		char *payload;

		assert_true(asprintf(&payload, "{%s}", cases[i].rest) > 0);
		expect_payload(payload, cases[i].why);
		free(payload);
	}
	expect_payload("[]", "token_malformed");
	expect_payload("5", "token_malformed");
	expect_payload("{", "token_malformed");
	expect_payload(GOOD "x", "token_malformed");
}

static void
headers(void **state)
{
	static const struct {
		const char *header;
		const char *why;
	} cases[] = {
		{ "{\"alg\":\"ES256\",\"crit\":[\"exp\"]}", "token_malformed" },
		{ "{\"alg\":\"ES256\",\"typ\":\"logout+jwt\"}", "token_malformed" },
		{ "{\"alg\":\"ES256\",\"typ\":5}", "token_malformed" },
		{ "{\"alg\":\"none\",\"alg\":\"ES256\"}", "token_malformed" },
		{ "{\"alg\":\"ES256\"", "token_malformed" },
		{ "[\"ES256\"]", "token_malformed" },
		{ "{\"alg\":\"ES256\",\"typ\":\"at+JWT\"}", "token_signature" },
	};

	(void)state;
	for (unsigned i = 0; i < array_count(cases); i++)
		expect(put_together(cases[i].header, GOOD, "AAAA"), cases[i].why);
}

/* Any octet changed, taken away or put in makes it another. */
static void
what_is_no_token(void **state)
{
	static const char *const texts[] = { "", ".", "..", "...", "a.b.c", "a.b", "e30.e30.",
		"e30.e30.e30", "e30.e30.e30.e30.e30", " e30.e30.AAAA", "e30=.e30=.AAAA",
		"e3 0.e30.AAAA", "e30.e30.A" };
	char *good = sign(GOOD, R_JWA_ALG_ES256, p256.secret, NULL);
	size_t length = strlen(good);

	(void)state;
	for (unsigned i = 0; i < array_count(texts); i++)
		assert_string_not_equal(verify_with(keys, &rules, texts[i]), "good");
	for (size_t end = 0; end < length; end++) {
		char *cut = strndup(good, end);

		assert_string_not_equal(verify_with(keys, &rules, cut), "good");
		free(cut);
	}
	for (size_t at = 0; at + 1 < length; at++) { /* of the last, four bits are no part of it */
		char *changed = strdup(good);

		changed[at] = changed[at] == 'A' ? 'B' : 'A';
		assert_string_not_equal(verify_with(keys, &rules, changed), "good");
		changed[at] = '=';
		assert_string_not_equal(verify_with(keys, &rules, changed), "good");
		free(changed);
	}
	assert_string_equal(verify_with(keys, &rules, good), "good");
	free(good);
}

static void
a_huge_token(void **state)
{
	size_t count = 48 * 1024;
	char *filler = malloc(count + 1);
	char *payload;

	(void)state;
	memset(filler, 'x', count);
	filler[count] = '\0';
	assert_true(asprintf(&payload, "{\"x\":\"%s\",%s", filler, &GOOD[1]) > 0);
	expect_payload(payload, "good");
	free(payload);
	memset(filler, '[', count);
	expect_payload(filler, "token_malformed");
	memset(filler, '.', count);
	assert_string_equal(verify_with(keys, &rules, filler), "token_malformed");
	free(filler);
}

/* ---- key files ------------------------------------------------------------------------------- */

static int
load(const char *content, char why[JWT_WHY_OCTETS], struct jwt_keys **keys_out)
{
	char path[64];
	const char *paths[] = { path };
	int error;

	snprintf(path, sizeof(path), "%s/file", directory);
	write_file(path, content, strlen(content));
	error = jwt_keys_load(paths, 1, why, keys_out);
	assert_int_equal(unlink(path), 0);
	return error;
}

static char *
key_set(jwk_t *first, jwk_t *second)
{
	char *a = r_jwk_export_to_json_str(first, 0);
	char *b = r_jwk_export_to_json_str(second, 0);
	char *set;

	assert_true(asprintf(&set, "{\"keys\":[%s,{\"kty\":\"new\",\"kid\":\"x\"},%s]}", a, b) > 0);
	r_free(a);
	r_free(b);
	return set;
}

static void
a_set_of_keys(void **state)
{
	char why[JWT_WHY_OCTETS];
	char *set = key_set(rsa.known, rsa_other.known);
	struct jwt_keys *of_set;
	char *token;

	(void)state;
	assert_int_equal(load(set, why, &of_set), 0);
	free(set);
	assert_int_equal(jwt_keys_count(of_set), 2);
	static const struct {
		const char *kid;
		const char *why;
	} cases[] = { { "rsa", "good" }, { NULL, "good" }, { "other", "token_signature" },
		{ "nobody", "token_key" } };
	for (unsigned i = 0; i < array_count(cases); i++) {
		token = sign(GOOD, R_JWA_ALG_RS256, rsa.secret, cases[i].kid);
		assert_string_equal(verify_with(of_set, &rules, token), cases[i].why);
		r_free(token);
	}
	token = sign(GOOD, R_JWA_ALG_ES256, p256.secret, "rsa");
	assert_string_equal(verify_with(of_set, &rules, token), "token_algorithm");
	r_free(token);
	jwt_keys_release(of_set);
}

static void
a_key_that_names_its_algorithm(void **state)
{
	char why[JWT_WHY_OCTETS];
	jwk_t *copy = r_jwk_copy(rsa.known);
	char *text;
	struct jwt_keys *only;
	char *token;

	(void)state;
	assert_int_equal(r_jwk_set_property_str(copy, "alg", "RS512"), RHN_OK);
	text = r_jwk_export_to_json_str(copy, 0);
	assert_int_equal(load(text, why, &only), 0);
	r_free(text);
	r_jwk_free(copy);
	token = sign(GOOD, R_JWA_ALG_RS256, rsa.secret, NULL);
	assert_string_equal(verify_with(only, &rules, token), "token_algorithm");
	r_free(token);
	token = sign(GOOD, R_JWA_ALG_RS512, rsa.secret, NULL);
	assert_string_equal(verify_with(only, &rules, token), "good");
	r_free(token);
	jwt_keys_release(only);
}

static void
files_that_hold_no_key(void **state)
{
	static const char *const contents[] = { "", "x", "{", "{}", "{\"keys\":[]}", "{\"keys\":5}",
		"{\"keys\":[{\"kty\":\"oct\",\"k\":\"c2VjcmV0\"}]}", "{\"keys\":[],\"keys\":[]}",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n",
		"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" };
	const char *missing[] = { "/nowhere/keys" };
	char why[JWT_WHY_OCTETS];
	struct jwt_keys *none;
	char *private = r_jwk_export_to_json_str(rsa.secret, 0);

	(void)state;
	for (unsigned i = 0; i < array_count(contents); i++) {
		assert_int_equal(load(contents[i], why, &none), -EINVAL);
		assert_memory_equal(why, "oauth_keys: /tmp/", 17);
		assert_null(strchr(why, '\n'));
	}
	assert_int_equal(load(private, why, &none), -EINVAL);
	assert_non_null(strstr(why, "private"));
	r_free(private);
	assert_int_equal(jwt_keys_load(missing, 1, why, &none), -EINVAL);
	assert_non_null(strstr(why, "No such file"));
}

static void
a_short_key(void **state)
{
	struct pair weak;
	char why[JWT_WHY_OCTETS];
	struct jwt_keys *none;

	(void)state;
	make_pair(&weak, "weak", R_KEY_TYPE_RSA, 1024);
	const char *paths[] = { weak.path };
	assert_int_equal(jwt_keys_load(paths, 1, why, &none), -EINVAL);
	assert_non_null(strstr(why, "1024"));
	drop_pair(&weak);
}

/* ---- both ways together ----------------------------------------------------------------------- */

static struct tokens_options
options(const char *const *paths, const char *url)
{
	return (struct tokens_options){
		.key_files = paths,
		.key_file_count = paths == NULL ? 0 : 1,
		.rules = rules,
		.introspection = { url, "", "", 1, 500 },
		.queue_max = 4,
		.cache_ms = 1000,
	};
}

static void
what_is_missing_is_said_at_the_start(void **state)
{
	const char *paths[] = { p256.path };
	struct tokens_options o = options(NULL, "");
	char why[TOKENS_WHY_OCTETS];
	struct tokens *t;

	(void)state;
	assert_int_equal(tokens_open(&o, why, &t), 0);
	assert_null(t);
	o = options(paths, "");
	o.rules.audience = "";
	assert_int_equal(tokens_open(&o, why, &t), -EINVAL);
	assert_non_null(strstr(why, "oauth_audience"));
	static const char *const urls[] = { "x", "ftp://127.0.0.1/", "http://192.0.2.1/introspect",
		"http://127.0.0.1.example.org/", "file:///etc/passwd", "https://" };
	for (unsigned i = 0; i < array_count(urls); i++) {
		o = options(NULL, urls[i]);
		assert_int_equal(tokens_open(&o, why, &t), -EINVAL);
		assert_memory_equal(why, "oauth_introspection_url", 23);
	}
	o = options(NULL, "http://127.0.0.1:9/");
	o.introspection.ca_file = "/nowhere/ca";
	assert_int_equal(tokens_open(&o, why, &t), -EINVAL);
	assert_non_null(strstr(why, "oauth_introspection_ca: "));
	o.introspection.ca_file = "";
	o.introspection.credentials = "/nowhere/secret";
	assert_int_equal(tokens_open(&o, why, &t), -EINVAL);
	assert_non_null(strstr(why, "oauth_introspection_credentials"));
	o.introspection.credentials = p256.path; /* its first line has no colon */
	assert_int_equal(tokens_open(&o, why, &t), -EINVAL);
	assert_non_null(strstr(why, "NAME:SECRET"));
}

static void
signed_ones_here_the_others_there(void **state)
{
	const char *paths[] = { p256.path };
	struct tokens_options o = options(paths, "http://127.0.0.1:1/");
	char why[TOKENS_WHY_OCTETS];
	char payload[256];
	struct token_owner owner;
	const char *word;
	uint64_t good_ms;
	struct tokens *t;
	char *token;

	(void)state;
	snprintf(payload, sizeof(payload), "{" ISS "," AUD ",\"exp\":%lld," EMAIL "}",
		(long long)(clock_calendar_us() / 1000000 + 60));
	token = sign(payload, R_JWA_ALG_ES256, p256.secret, NULL);
	assert_int_equal(tokens_open(&o, why, &t), 0);
	assert_null(tokens_workers(t, span_of_string(token)));
	assert_non_null(tokens_workers(t, SPAN("opaque")));
	assert_int_equal(tokens_verify(t, span_of_string(token), &owner, &good_ms, &word), 0);
	assert_null(word);
	assert_in_range(good_ms, 55000, 60000);
	assert_int_equal(tokens_verify(t, SPAN("opaque"), &owner, &good_ms, &word), -ECONNREFUSED);
	/* Its key is gone: the next one is refused,
	 * and what was remembered is no proof any more. */
	assert_int_equal(tokens_generation(t), 0);
	strcpy(p256.path + strlen(p256.path) - 4, ".xyz");
	assert_int_equal(tokens_reload(t, why), -EINVAL);
	assert_int_equal(tokens_verify(t, span_of_string(token), &owner, &good_ms, &word), 0);
	assert_null(word);
	strcpy(p256.path + strlen(p256.path) - 4, ".pem");
	paths[0] = rsa.path;
	assert_int_equal(tokens_reload(t, why), 0);
	assert_int_equal(tokens_generation(t), 1);
	assert_int_equal(tokens_verify(t, span_of_string(token), &owner, &good_ms, &word), 0);
	assert_string_equal(word, "token_algorithm");
	r_free(token);
	tokens_close(t);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_algorithm_with_a_key_of_its_type),
		cmocka_unit_test(no_algorithm_but_those_of_the_keys),
		cmocka_unit_test(a_key_that_comes_with_the_token_is_no_key),
		cmocka_unit_test(claims),
		cmocka_unit_test(headers),
		cmocka_unit_test(what_is_no_token),
		cmocka_unit_test(a_huge_token),
		cmocka_unit_test(a_set_of_keys),
		cmocka_unit_test(a_key_that_names_its_algorithm),
		cmocka_unit_test(files_that_hold_no_key),
		cmocka_unit_test(a_short_key),
		cmocka_unit_test(what_is_missing_is_said_at_the_start),
		cmocka_unit_test(signed_ones_here_the_others_there),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
