/*
 * authenticate.c - see authenticate.h.
 *
 * Whoever asks, and however, it ends in conclude(): the name is proven, the account is known and
 * enabled, and who wants the maildrop of another may.
 */
#include "core/auth/authenticate.h"

#include "core/auth/app_password.h"
#include "core/auth/scram.h"
#include "core/network.h"
#include "io/base/clock.h"

/* wolfSSL's options must come before all of its headers. */
#include <wolfssl/options.h>

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <wolfssl/wolfcrypt/md5.h>

/* ---- answers ------------------------------------------------------------------------------- */

static bool
answer_good(struct login_request *r)
{
	r->answer.verdict = LOGIN_GOOD;
	r->answer.may_not_delete =
		r->may_not_delete || r->account.read_only || r->account.no_delete;
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

/* An unknown or impossible name goes on with the dummy: same work, same answer. */
static void
pretend(struct login_request *r, const char *why)
{
	r->is_known = false;
	r->why = why;
	r->search.source = r->policy->source_count;
	snprintf(r->account.password_hash, sizeof(r->account.password_hash), "%s",
		r->policy->dummy_hash);
}

static bool arrive(struct authenticator *a, uint64_t now_ms, struct login_request *r, int error);

/* False: it has to be waited for. */
static bool
find_account(struct authenticator *a, struct span name, uint64_t now_ms, struct login_request *r)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];

	r->search.address[0] = '\0';
	if (address_canonical(name, &a->policy->rules, address) != 0)
		return arrive(a, now_ms, r, -ENOENT);
	r->must_find = !search_begin(a, address, SEARCH_FOR_LOGIN, now_ms, &r->account, &r->search);
	return !r->must_find && arrive(a, now_ms, r, r->search.error);
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
conclude(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	if (!r->is_known)
		return answer_bad(r, r->why);
	if (r->question.acts_for.length == 0)
		return answer_good(r);
	if (!is_master(a->policy, r->account.address))
		return answer_bad(r, "not_a_master");
	r->app_password[0] = '\0'; /* it is not the other's, who is noted as logged in */
	r->finds_other = true;
	return find_account(a, r->question.acts_for, now_ms, r);
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
		login_cache_prove(a->good_logins, span_of_string(r->search.address), secret_of(r),
			span_of_string(r->account.password_hash), &r->proof) == 0;
	return r->has_proof && login_cache_find(a->good_logins, &r->proof, now_ms);
}

/* ---- an app password ------------------------------------------------------------------------- */

/* They are kept by address in the spool's LMDB file, for accounts of all sources, and looked at
 * before a source is asked for the secret: one that binds would count a failure, and lock the
 * account in the end.  They are random and long, so a look at all of them is cheaper than one hash.
 * That, and that they are looked at each time, is why the cache of good logins has none: one that is
 * revoked counts no more at once. */

struct app_search {
	const struct login_request *request;
	unsigned count;
	struct app_password fits;
};

static int
try_app_password(void *ctx, const struct app_password *p)
{
	struct app_search *search = ctx;

	search->count++;
	if (!app_password_fits(p, secret_of(search->request)))
		return 0;
	search->fits = *p;
	return 1;
}

static bool
has_expired(const struct app_password *p)
{
	return p->expires_at != 0 && p->expires_at <= clock_calendar_us() / 1000000;
}

/* A secret that could be one.  True: it is, *answered_out tells whether the answer stands.  An
 * unknown name goes the same way, and a name without any pays for one.  What fits and does not count
 * (it has expired, the account is disabled) goes on as an unknown name: no source hears it, and its
 * time tells nothing. */
static bool
try_app_passwords(
	struct authenticator *a, uint64_t now_ms, struct login_request *r, bool *answered_out)
{
	static const struct app_password none;
	struct app_search search = { .request = r };
	int found;

	found = accounts_each_app_password(
		a->accounts, span_of_string(r->search.address), try_app_password, &search);
	if (search.count == 0)
		(void)app_password_fits(&none, secret_of(r));
	if (found < 0) { /* it may be one, so no source may hear it as a password */
		*answered_out = answer_unavailable(r, found);
		return true;
	}
	if (found > 0 && r->is_known && !has_expired(&search.fits)) {
		strcpy(r->app_password, search.fits.name);
		r->may_not_delete = search.fits.read_only || search.fits.no_delete;
		*answered_out = conclude(a, now_ms, r);
		return true;
	}
	if (found > 0)
		pretend(r, r->is_known ? "app_password_expired" : r->why);
	return false;
}

/* ---- a password: its steps ------------------------------------------------------------------ */

/* Who proves the secret: the source that knows the account, if it wants to; NULL: its hash. */
static struct source *
prover(const struct login_request *r)
{
	struct source *source;

	if (r->question.kind != LOGIN_PASSWORD || r->search.source >= r->policy->source_count)
		return NULL;
	source = r->policy->sources[r->search.source];
	return source->workers != NULL && source->ops->prove != NULL ? source : NULL;
}

static bool
begin_password(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	bool is_remembered, is_answered;

	if (r->is_too_long)
		pretend(r, "wrong_password");
	if (a->accounts != NULL && app_password_may_be(secret_of(r)) &&
		try_app_passwords(a, now_ms, r, &is_answered))
		return is_answered;
	if (r->is_known && r->account.password_hash[0] == '\0' && prover(r) == NULL)
		pretend(r, "no_password");
	is_remembered = remembers(a, r, now_ms); /* asked for unknown names too: it takes time */
	if (r->is_known && is_remembered)
		return conclude(a, now_ms, r);
	r->asked_ms = now_ms;
	return false;
}

static bool
finish_password(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	if (!r->is_right)
		return answer_bad(r, r->is_known ? "wrong_password" : r->why);
	if (r->is_known && r->has_proof)
		login_cache_add(a->good_logins, &r->proof, now_ms);
	return conclude(a, now_ms, r);
}

/* ---- APOP ---------------------------------------------------------------------------------- */

/* The password, where it is stored as it is; else nothing. */
static struct span
plain_secret(const struct login_request *r)
{
	return password_plain(r->account.password_hash);
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
begin_apop(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	struct span password = plain_secret(r);

	if (!digest_fits(r->question.stamp, password, r->question.secret) || password.length == 0)
		return answer_bad(r, r->is_known ? "wrong_password" : r->why);
	return conclude(a, now_ms, r);
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
begin_keys(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	enum scram_hash hash = scram_hash_of(r->question.sasl);
	int error;

	if (r->is_known && scram_read(r->account.password_hash, hash, &r->keys) == 0)
		return answer_keys(r);
	error = scram_dummy(r->question.name, a->policy->dummy_secret, &r->keys);
	if (error != 0)
		return answer_unavailable(r, error);
	if (plain_secret(r).length == 0)
		return answer_keys(r);
	r->asked_ms = now_ms;
	return false;
}

static void
prove_keys(struct login_request *r)
{
	int error = scram_derive(plain_secret(r), scram_hash_of(r->question.sasl), &r->keys);

	/* What SASLprep forbids fits nothing: the dummy's keys stay. */
	r->error = error == -EINVAL ? 0 : error;
}

/* ---- tokens -------------------------------------------------------------------------------- */

/* A token tells who it is; then its account is looked up as for any other proof.  What was good is
 * remembered with the name the client gave: without one only the token itself tells whose it is. */

/* Reloaded keys make another proof: what a key signed that is gone does not count any more. */
static bool
remembers_token(struct authenticator *a, struct login_request *r, uint64_t now_ms)
{
	const struct login_question *q = &r->question;
	char mark[32];

	if (q->name.length == 0)
		return false;
	snprintf(mark, sizeof(mark), "token %u", tokens_generation(a->policy->tokens));
	r->has_proof = login_cache_prove(a->good_logins, q->name, q->secret, span_of_string(mark),
			       &r->proof) == 0;
	return r->has_proof && login_cache_find(a->good_logins, &r->proof, now_ms);
}

static bool
begin_token(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	if (address_canonical(r->question.name, &a->policy->rules, r->search.address) != 0)
		r->search.address[0] = '\0';
	if (a->policy->tokens == NULL)
		return answer_bad(r, "no_tokens_here");
	if (remembers_token(a, r, now_ms))
		return find_account(a, r->question.name, now_ms, r);
	r->asked_ms = now_ms;
	r->proves_token = true;
	return false;
}

/* Is the token's owner who the client says it is?  Where the detail is cut off a name, it is no
 * token's: who gets one for "alice+x" is not alice. */
static const char *
check_owner(const struct login_request *r)
{
	const struct address_rules whole = { r->policy->rules.default_domain, "" };
	struct span owner = span_of_string(r->owner.name);
	struct span name = r->question.name;
	char said[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	char is[ACCOUNT_ADDRESS_OCTETS_MAX + 1];

	if (address_canonical(owner, &r->policy->rules, is) != 0 ||
		address_canonical(owner, &whole, said) != 0 || strcmp(is, said) != 0)
		return "token_no_account";
	if (name.length == 0)
		return NULL;
	if (address_canonical(name, &r->policy->rules, said) != 0 || strcmp(is, said) != 0)
		return "token_of_another";
	return NULL;
}

static void
prove_token(struct login_request *r)
{
	r->error = tokens_verify(
		r->policy->tokens, r->question.secret, &r->owner, &r->good_ms, &r->why);
	if (r->error == 0 && r->why == NULL)
		r->why = check_owner(r);
	r->is_right = r->error == 0 && r->why == NULL;
}

static bool
finish_token(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	r->proves_token = false;
	if (r->error != 0)
		return answer_unavailable(r, r->error);
	if (!r->is_right)
		return answer_bad(r, r->why);
	if (r->has_proof)
		login_cache_add_for(a->good_logins, &r->proof, now_ms, r->good_ms);
	return find_account(a, span_of_string(r->owner.name), now_ms, r);
}

/* ---- the steps ----------------------------------------------------------------------------- */

static bool
begin_kind(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	switch (r->question.kind) {
	case LOGIN_PASSWORD:
		return begin_password(a, now_ms, r);
	case LOGIN_APOP:
		return begin_apop(a, now_ms, r);
	case LOGIN_PROVEN:
		return conclude(a, now_ms, r);
	case LOGIN_DISPROVEN:
		return answer_bad(r, r->is_known ? "wrong_proof" : r->why);
	case LOGIN_KEYS:
		return begin_keys(a, now_ms, r);
	case LOGIN_TOKEN: /* it is proven by now */
		return conclude(a, now_ms, r);
	}
	return answer_unavailable(r, -EINVAL);
}

/* An account may be bound to networks. */
static bool
may_come_from(const struct account *account, const struct login_peer *peer)
{
	struct sockaddr_storage address = { .ss_family = peer->family };

	if (account->networks[0] == '\0')
		return true;
	if (peer->family == AF_INET6)
		memcpy(&((struct sockaddr_in6 *)&address)->sin6_addr, peer->address, 16);
	else
		memcpy(&((struct sockaddr_in *)&address)->sin_addr, peer->address, 4);
	return network_text_holds(account->networks, &address);
}

/* The sources have said what they know. */
static bool
arrive(struct authenticator *a, uint64_t now_ms, struct login_request *r, int error)
{
	if (error != 0 && error != -ENOENT)
		return answer_unavailable(r, error);
	r->is_known = error == 0 && r->account.enabled;
	if (error == -ENOENT)
		pretend(r, "unknown_account");
	else if (!r->is_known)
		r->why = "disabled";
	else if (!may_come_from(&r->account, &r->question.peer)) {
		r->is_known = false;
		r->why = "not_from_here";
	}
	if (r->finds_other)
		return r->is_known ? answer_good(r) : answer_bad(r, r->why);
	return begin_kind(a, now_ms, r);
}

/* What the client has just sent lies in a buffer that others write to while a source is asked. */
static void
keep_secret(struct login_request *r)
{
	struct span secret = r->question.secret;

	r->secret_octets = 0;
	r->is_too_long = false;
	if (r->question.kind != LOGIN_PASSWORD && r->question.kind != LOGIN_APOP)
		return;
	r->is_too_long = secret.length > PASSWORD_SECRET_OCTETS_MAX;
	if (r->is_too_long)
		secret.length = PASSWORD_SECRET_OCTETS_MAX;
	memcpy(r->secret, secret.at, secret.length);
	r->secret_octets = (uint32_t)secret.length;
	r->question.secret = secret_of(r);
}

bool
authenticate_begin(struct authenticator *a, const struct login_question *question, uint64_t now_ms,
	struct login_request *r)
{
	r->question = *question;
	r->answer = (struct login_answer){ .verdict = LOGIN_UNAVAILABLE };
	r->policy = a->policy;
	r->why = "";
	r->error = 0;
	r->is_right = false;
	r->has_proof = false;
	r->finds_other = false;
	r->may_not_delete = false;
	r->app_password[0] = '\0';
	r->must_find = false;
	r->proves_token = false;
	keep_secret(r);
	if (question->kind == LOGIN_TOKEN)
		return begin_token(a, now_ms, r);
	return find_account(a, question->name, now_ms, r);
}

/* A good password and an old hash: make a new one, by the way.  It is no matter if that fails,
 * the next login will try again. */
static void
better_hash(const struct login_request *r)
{
	const struct login_policy *policy = r->policy;
	char hash[ACCOUNT_HASH_OCTETS_MAX + 1];

	if (policy->accounts == NULL || !r->is_known ||
		policy->sources[r->search.source]->workers != NULL ||
		strcmp(password_scheme_name(r->account.password_hash), policy->scheme) == 0)
		return;
	if (password_make(policy->scheme, secret_of(r), hash) == 0)
		(void)accounts_replace_hash(policy->accounts, span_of_string(r->account.address),
			r->account.password_hash, hash);
	explicit_bzero(hash, sizeof(hash));
}

static void
prove_password(struct login_request *r)
{
	r->error = password_verify(secret_of(r), r->account.password_hash, &r->is_right);
	if (r->error == 0 && r->is_right)
		better_hash(r);
}

static struct offload *
token_workers(const struct login_request *r)
{
	struct offload *askers = tokens_workers(r->policy->tokens, r->question.secret);

	return askers != NULL ? askers : r->policy->hashers;
}

struct offload *
authenticate_workers(const struct login_request *r)
{
	const struct source *source;

	if (r->proves_token)
		return token_workers(r);
	source = prover(r);
	if (r->must_find)
		return search_workers(&r->search);
	return source != NULL ? source->workers : r->policy->hashers;
}

void
authenticate_work(struct login_request *r)
{
	struct source *source = prover(r);

	if (r->must_find)
		search_work(&r->search);
	else if (search_is_too_late(r->policy, r->asked_ms))
		r->error = -ETIMEDOUT;
	else if (r->proves_token)
		prove_token(r);
	else if (source != NULL)
		r->error = source_prove(source, &r->account, secret_of(r), &r->is_right);
	else if (r->question.kind == LOGIN_KEYS)
		prove_keys(r);
	else
		prove_password(r);
}

bool
authenticate_go_on(struct authenticator *a, uint64_t now_ms, struct login_request *r)
{
	if (r->proves_token)
		return finish_token(a, now_ms, r);
	if (r->must_find) {
		r->must_find = !search_go_on(a, now_ms, &r->search);
		return !r->must_find && arrive(a, now_ms, r, r->search.error);
	}
	if (r->error != 0)
		return answer_unavailable(r, r->error);
	if (r->question.kind == LOGIN_KEYS)
		return answer_keys(r);
	return finish_password(a, now_ms, r);
}

bool
authenticate_is_about_to_tell(const struct login_request *r, bool answer_stands)
{
	return answer_stands ? r->answer.verdict == LOGIN_BAD : !r->must_find;
}

void
authenticate_note_wait(struct login_request *r, uint64_t now_ms)
{
	r->asked_ms = now_ms;
}

void
authenticate_forget(struct login_request *r)
{
	explicit_bzero(r->secret, sizeof(r->secret));
	explicit_bzero(&r->keys, sizeof(r->keys));
	explicit_bzero(r->account.password_hash, sizeof(r->account.password_hash));
	r->secret_octets = 0;
}
