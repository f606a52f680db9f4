/*
 * authenticate.c - see authenticate.h.
 *
 * Whoever asks, and however, it ends in conclude(): the name is proven, the account is known and
 * enabled, and who wants the maildrop of another may.
 */
#include "core/auth/authenticate.h"

#include "core/auth/scram.h"

/* wolfSSL's options must come before all of its headers. */
#include <wolfssl/options.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <wolfssl/wolfcrypt/md5.h>

#define PLAIN_PREFIX "{PLAIN}"

/* ---- answers ------------------------------------------------------------------------------- */

static bool
answer_good(struct login_request *r)
{
	r->answer.verdict = LOGIN_GOOD;
	r->answer.may_not_delete = r->account.read_only;
	return true;
}

static bool
answer_bad(struct login_request *r, const char *why)
{
	r->answer.verdict = LOGIN_BAD;
	r->why = why;
	return true;
}

void
authenticate_give_up(struct login_request *r, int error)
{
	r->answer.verdict = LOGIN_UNAVAILABLE;
	r->error = error;
}

static bool
answer_unavailable(struct login_request *r, int error)
{
	authenticate_give_up(r, error);
	return true;
}

/* ---- accounts ------------------------------------------------------------------------------ */

/* An unknown, impossible or disabled name goes on with the dummy: same work, same answer. */
static void
pretend(const struct authenticator *a, struct login_request *r, const char *why)
{
	r->is_known = false;
	r->why = why;
	snprintf(r->account.password_hash, sizeof(r->account.password_hash), "%s",
		a->policy->dummy_hash);
}

/* 0, and r->is_known tells; or what the accounts could not say. */
static int
look_up(struct authenticator *a, struct span name, struct login_request *r)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	int error = address_canonical(name, &a->policy->rules, address);

	if (error == 0)
		error = accounts_find(a->accounts, span_of_string(address), &r->account);
	if (error == -EINVAL || error == -ENOENT) {
		pretend(a, r, "unknown_account");
		return 0;
	}
	r->is_known = error == 0 && r->account.enabled;
	if (error == 0 && !r->account.enabled)
		r->why = "disabled";
	return error;
}

static bool
is_master(const struct login_policy *policy, const char *address)
{
	for (unsigned i = 0; i < policy->master_count; i++) {
		if (strcmp(policy->masters[i], address) == 0)
			return true;
	}
	return false;
}

/* The name is proven. */
static bool
conclude(struct authenticator *a, struct login_request *r)
{
	int error;

	if (!r->is_known)
		return answer_bad(r, r->why);
	if (r->question.acts_for.length == 0)
		return answer_good(r);
	if (!is_master(a->policy, r->account.address))
		return answer_bad(r, "not_a_master");
	error = look_up(a, r->question.acts_for, r);
	if (error != 0)
		return answer_unavailable(r, error);
	return r->is_known ? answer_good(r) : answer_bad(r, r->why);
}

/* ---- a password ---------------------------------------------------------------------------- */

static struct span
secret_of(const struct login_request *r)
{
	return span_of(r->secret, r->secret_octets);
}

/* Was this very login good a short while ago? */
static bool
remembers(struct authenticator *a, struct login_request *r, uint64_t now_ms)
{
	r->has_proof =
		login_cache_prove(a->good_logins, span_of_string(r->account.address), secret_of(r),
			span_of_string(r->account.password_hash), &r->proof) == 0;
	return r->has_proof && login_cache_find(a->good_logins, &r->proof, now_ms);
}

static bool
begin_password(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	struct span secret = r->question.secret;

	if (secret.length > PASSWORD_SECRET_OCTETS_MAX) {
		pretend(a, r, "wrong_password");
		secret.length = PASSWORD_SECRET_OCTETS_MAX;
	}
	memcpy(r->secret, secret.at, secret.length);
	r->secret_octets = (uint32_t)secret.length;
	if (r->is_known && remembers(a, r, now_ms))
		return conclude(a, r);
	return false;
}

static bool
finish_password(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	if (!r->is_right)
		return answer_bad(r, r->is_known ? "wrong_password" : r->why);
	if (r->is_known && r->has_proof)
		login_cache_add(a->good_logins, &r->proof, now_ms);
	return conclude(a, r);
}

/* ---- APOP ---------------------------------------------------------------------------------- */

/* The password, where it is stored as it is; else nothing. */
static struct span
plain_secret(const struct login_request *r)
{
	const char *hash = r->account.password_hash;
	size_t prefix = strlen(PLAIN_PREFIX);

	if (strncmp(hash, PLAIN_PREFIX, prefix) != 0)
		return span_of("", 0);
	return span_of_string(hash + prefix);
}

/* MD5 of stamp and password, in hexadecimal (RFC 1939, section 7). */
static bool
digest_fits(struct span stamp, struct span password, struct span digest)
{
	unsigned char sum[WC_MD5_DIGEST_SIZE];
	char text[2 * WC_MD5_DIGEST_SIZE + 1];
	unsigned char difference = 0;
	wc_Md5 md5;

	if (wc_InitMd5(&md5) != 0 ||
		wc_Md5Update(&md5, (const byte *)stamp.at, (word32)stamp.length) != 0 ||
		wc_Md5Update(&md5, (const byte *)password.at, (word32)password.length) != 0 ||
		wc_Md5Final(&md5, sum) != 0)
		return false;
	for (unsigned i = 0; i < WC_MD5_DIGEST_SIZE; i++)
		snprintf(text + 2 * i, 3, "%02x", sum[i]);
	for (unsigned i = 0; i < 2 * WC_MD5_DIGEST_SIZE; i++)
		difference |=
			(unsigned char)(text[i] ^ (digest.at[i] | 0x20 * (digest.at[i] >= 'A')));
	return difference == 0;
}

static bool
begin_apop(struct authenticator *a, struct login_request *r)
{
	struct span password = plain_secret(r);

	if (!digest_fits(r->question.stamp, password, r->question.secret) || password.length == 0)
		return answer_bad(r, r->is_known ? "wrong_password" : r->why);
	return conclude(a, r);
}

/* ---- SCRAM --------------------------------------------------------------------------------- */

static bool
answer_keys(struct login_request *r)
{
	r->answer.verdict = LOGIN_GOOD;
	r->answer.keys = &r->keys;
	return true;
}

/* Keys that are stored, keys of a password that is, or a dummy's.  A stored password takes
 * milliseconds; where the dummy hash is one, unknown names take them too. */
static bool
begin_keys(struct authenticator *a, struct login_request *r)
{
	enum scram_hash hash = scram_hash_of(r->question.sasl);
	int error;

	if (r->is_known && scram_read(r->account.password_hash, hash, &r->keys) == 0)
		return answer_keys(r);
	error = scram_dummy(r->question.name, a->policy->dummy_secret, &r->keys);
	if (error != 0)
		return answer_unavailable(r, error);
	return plain_secret(r).length > 0 ? false : answer_keys(r);
}

static void
prove_keys(struct login_request *r)
{
	int error = scram_derive(plain_secret(r), scram_hash_of(r->question.sasl), &r->keys);

	/* What SASLprep forbids fits nothing: the dummy's keys stay. */
	r->error = error == -EINVAL ? 0 : error;
}

/* ---- the steps ----------------------------------------------------------------------------- */

bool
authenticate_begin(struct authenticator *a, const struct login_question *question, uint64_t now_ms,
	struct login_request *r)
{
	int error;

	r->question = *question;
	r->answer = (struct login_answer){ .verdict = LOGIN_UNAVAILABLE };
	r->why = "";
	r->error = 0;
	r->is_right = false;
	r->has_proof = false;
	error = look_up(a, question->name, r);
	if (error != 0)
		return answer_unavailable(r, error);
	switch (question->kind) {
	case LOGIN_PASSWORD:
		return begin_password(a, now_ms, r);
	case LOGIN_APOP:
		return begin_apop(a, r);
	case LOGIN_PROVEN:
		return conclude(a, r);
	case LOGIN_DISPROVEN:
		return answer_bad(r, r->is_known ? "wrong_proof" : r->why);
	case LOGIN_KEYS:
		return begin_keys(a, r);
	case LOGIN_TOKEN:
		break;
	}
	return answer_bad(r, "no_tokens_here");
}

void
authenticate_prove(struct login_request *r)
{
	if (r->question.kind == LOGIN_KEYS)
		prove_keys(r);
	else
		r->error = password_verify(secret_of(r), r->account.password_hash, &r->is_right);
}

void
authenticate_finish(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	if (r->error != 0)
		answer_unavailable(r, r->error);
	else if (r->question.kind == LOGIN_KEYS)
		answer_keys(r);
	else
		finish_password(a, now_ms, r);
}

void
authenticate_forget(struct login_request *r)
{
	explicit_bzero(r->secret, sizeof(r->secret));
	explicit_bzero(&r->keys, sizeof(r->keys));
	explicit_bzero(r->account.password_hash, sizeof(r->account.password_hash));
	r->secret_octets = 0;
}
