/*
 * fuzz_jwt.c - tokens of any kind are answered, and none is good.
 *
 * The first octet chooses: the rest is a token as it came; or it is "HEADER LF CLAIMS", put together
 * with a signature of the right size, so that what is behind base64 is reached; or it is only claims.
 */
#include "core/auth/jwt.h"
#include "io/base/must.h"
#include "tests/fuzz/fuzz.h"

#include <orcania.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NOW 1700000000

static const char public_keys[] = "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"a\","
				  "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
				  "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}]}";

static const struct claims_rules rules = { "", "", "email" };

static struct jwt_keys *
load_keys(void)
{
	char path[] = "/tmp/fuzz_jwt.XXXXXX";
	const char *paths[] = { path };
	int fd = mkstemp(path);
	char why[JWT_WHY_OCTETS];
	struct jwt_keys *keys;

	must(fd >= 0);
	must(write(fd, public_keys, sizeof(public_keys) - 1) == (ssize_t)sizeof(public_keys) - 1);
	must(jwt_keys_load(paths, 1, why, &keys) == 0);
	close(fd);
	unlink(path);
	return keys;
}

static void
check_token(struct span token)
{
	static struct jwt_keys *keys;
	struct token_owner owner;
	const char *why = NULL;

	if (keys == NULL)
		keys = load_keys();
	must(jwt_verify(keys, &rules, token, NOW, &owner, &why) == 0);
	must(why != NULL && strncmp(why, "token_", 6) == 0);
	must(strcmp(why, "token_malformed") == 0 || jwt_looks_like_one(token));
}

static struct _o_datum
encode(struct span text)
{
	struct _o_datum made = { 0, NULL };

	if (text.length > 0)
		must(o_base64url_encode_alloc((const unsigned char *)text.at, text.length, &made) ==
			1);
	return made;
}

static void
check_parts(struct span said)
{
	const char *end = said.length == 0 ? NULL : memchr(said.at, '\n', said.length);
	size_t length = end == NULL ? said.length : (size_t)(end - said.at);
	struct _o_datum header = encode(span_of(said.at, length));
	struct _o_datum claims = encode(span_after(said, end == NULL ? length : length + 1));
	char *token;
	int octets = asprintf(&token, "%.*s.%.*s.%086d", (int)header.size,
		header.size == 0 ? "" : (const char *)header.data, (int)claims.size,
		claims.size == 0 ? "" : (const char *)claims.data, 0);

	must(octets > 0);
	check_token(span_of(token, (size_t)octets));
	free(token);
	o_free(header.data);
	o_free(claims.data);
}

static void
check_claims(struct span said)
{
	json_t *claims = json_loadb(said.at, said.length, JSON_REJECT_DUPLICATES, NULL);
	struct token_owner owner = { .name = "" };
	const char *why = claims_check(claims, &rules, true, NOW, &owner);

	if (why == NULL) {
		must(owner.name[0] != '\0');
		must(owner.expires_at + CLAIMS_LEEWAY_S > NOW);
	}
	json_decref(claims);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *copy;
	struct span said;

	if (size == 0)
		return 0;
	copy = malloc(size); /* so that nobody reads beyond it unseen */
	must(copy != NULL);
	memcpy(copy, data + 1, size - 1);
	said = span_of(copy, size - 1);
	if (data[0] % 3 == 0)
		check_token(said);
	else if (data[0] % 3 == 1)
		check_parts(said);
	else
		check_claims(said);
	free(copy);
	return 0;
}
