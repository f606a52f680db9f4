/*
 * authenticate.c - see authenticate.h.
 */
#include "core/auth/authenticate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* An unknown, impossible or disabled name goes on with the dummy: same work, same answer. */
static void
pretend(struct authenticator *a, struct login_request *r)
{
	r->is_known = false;
	snprintf(r->account.password_hash, sizeof(r->account.password_hash), "%s", a->dummy_hash);
}

static int
look_up(struct authenticator *a, struct span name, struct login_request *r)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	int error = address_canonical(name, &a->rules, address);

	if (error == 0)
		error = accounts_find(a->accounts, span_of_string(address), &r->account);
	if (error == -EINVAL || error == -ENOENT) {
		pretend(a, r);
		return 0;
	}
	r->is_known = error == 0 && r->account.enabled;
	return error;
}

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

enum verdict
authenticate_begin(struct authenticator *a, struct span name, struct span secret, uint64_t now_ms,
	struct login_request *r)
{
	r->is_right = false;
	r->has_proof = false;
	r->error = look_up(a, name, r);
	if (r->error != 0)
		return VERDICT_UNAVAILABLE;
	if (secret.length > PASSWORD_SECRET_OCTETS_MAX) {
		pretend(a, r);
		secret.length = PASSWORD_SECRET_OCTETS_MAX;
	}
	memcpy(r->secret, secret.at, secret.length);
	r->secret_octets = (uint32_t)secret.length;
	if (r->is_known && remembers(a, r, now_ms))
		return VERDICT_GOOD;
	return VERDICT_NEEDS_PROOF;
}

void
authenticate_prove(struct login_request *r)
{
	r->error = password_verify(secret_of(r), r->account.password_hash, &r->is_right);
}

enum verdict
authenticate_finish(struct authenticator *a, struct login_request *r, uint64_t now_ms)
{
	if (r->error != 0)
		return VERDICT_UNAVAILABLE;
	if (!r->is_right || !r->is_known)
		return VERDICT_BAD;
	if (r->has_proof)
		login_cache_add(a->good_logins, &r->proof, now_ms);
	return VERDICT_GOOD;
}

void
authenticate_forget(struct login_request *r)
{
	explicit_bzero(r->secret, sizeof(r->secret));
	explicit_bzero(r->account.password_hash, sizeof(r->account.password_hash));
	r->secret_octets = 0;
}
