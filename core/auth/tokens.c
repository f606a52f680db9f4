/*
 * tokens.c - see tokens.h.
 */
#include "core/auth/tokens.h"

#include "core/auth/jwt.h"
#include "io/base/clock.h"
#include "io/base/must.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

static_assert(TOKENS_WHY_OCTETS >= JWT_WHY_OCTETS, "what jwt says fits");
static_assert(TOKENS_WHY_OCTETS >= INTROSPECT_WHY_OCTETS, "what introspect says fits");

struct tokens {
	struct tokens_options options;
	pthread_mutex_t lock;          /* of `keys` */
	struct jwt_keys *keys;         /* NULL: none */
	struct introspect *introspect; /* NULL: nobody is asked */
	struct offload *askers;
	atomic_uint generation;
};

static bool
wants_keys(const struct tokens_options *o)
{
	return o->key_file_count > 0;
}

static bool
wants_introspection(const struct tokens_options *o)
{
	return o->introspection.url[0] != '\0';
}

/* A key signs for all that trust its owner: whose tokens, and for whom, must be said. */
static int
check_options(const struct tokens_options *o, char why[TOKENS_WHY_OCTETS])
{
	if (!wants_keys(o) || (o->rules.issuer[0] != '\0' && o->rules.audience[0] != '\0'))
		return 0;
	snprintf(why, TOKENS_WHY_OCTETS,
		"oauth_keys: %s must be set too, else a token made for any other service would "
		"open maildrops here",
		o->rules.issuer[0] == '\0' ? "oauth_issuer" : "oauth_audience");
	return -EINVAL;
}

static int
load_keys(const struct tokens_options *o, char why[TOKENS_WHY_OCTETS], struct jwt_keys **keys_out)
{
	*keys_out = NULL;
	if (!wants_keys(o))
		return 0;
	return jwt_keys_load(o->key_files, o->key_file_count, why, keys_out);
}

static int
open_introspection(struct tokens *t, char why[TOKENS_WHY_OCTETS])
{
	const struct tokens_options *o = &t->options;
	int error;

	if (!wants_introspection(o))
		return 0;
	error = introspect_open(&o->introspection, why, &t->introspect);
	if (error == 0) {
		snprintf(
			why, TOKENS_WHY_OCTETS, "cannot start threads for oauth_introspection_url");
		error = offload_open(
			"oauth", o->introspection.connections, o->queue_max, &t->askers);
	}
	return error;
}

int
tokens_open(const struct tokens_options *options, char why[TOKENS_WHY_OCTETS],
	struct tokens **tokens_out)
{
	struct tokens *t;
	int error;

	*tokens_out = NULL;
	if (!wants_keys(options) && !wants_introspection(options))
		return 0;
	error = check_options(options, why);
	if (error != 0)
		return error;
	t = calloc(1, sizeof(*t));
	if (t == NULL)
		return -ENOMEM;
	t->options = *options;
	pthread_mutex_init(&t->lock, NULL);
	error = load_keys(options, why, &t->keys);
	if (error == 0)
		error = open_introspection(t, why);
	if (error != 0) {
		tokens_close(t);
		return error;
	}
	*tokens_out = t;
	return 0;
}

void
tokens_close(struct tokens *t)
{
	if (t == NULL)
		return;
	if (t->askers != NULL)
		offload_close(t->askers);
	if (t->introspect != NULL)
		introspect_close(t->introspect);
	jwt_keys_release(t->keys);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

int
tokens_reload(struct tokens *t, char why[TOKENS_WHY_OCTETS])
{
	struct jwt_keys *old;
	struct jwt_keys *keys;
	int error = load_keys(&t->options, why, &keys);

	if (error == 0 && t->introspect != NULL)
		error = introspect_reload(t->introspect, why);
	if (error != 0) {
		jwt_keys_release(keys);
		return error;
	}
	pthread_mutex_lock(&t->lock);
	old = t->keys;
	t->keys = keys;
	pthread_mutex_unlock(&t->lock);
	atomic_fetch_add(&t->generation, 1);
	jwt_keys_release(old);
	return 0;
}

unsigned
tokens_generation(const struct tokens *t)
{
	return atomic_load(&t->generation);
}

static struct jwt_keys *
take_keys(struct tokens *t)
{
	struct jwt_keys *keys;

	pthread_mutex_lock(&t->lock);
	keys = jwt_keys_share(t->keys);
	pthread_mutex_unlock(&t->lock);
	return keys;
}

unsigned
tokens_key_count(struct tokens *t)
{
	struct jwt_keys *keys;
	unsigned count;

	if (!wants_keys(&t->options))
		return 0;
	keys = take_keys(t);
	count = jwt_keys_count(keys);
	jwt_keys_release(keys);
	return count;
}

static bool
is_verified_here(const struct tokens *t, struct span token)
{
	return t->introspect == NULL || (wants_keys(&t->options) && jwt_looks_like_one(token));
}

struct offload *
tokens_workers(const struct tokens *t, struct span token)
{
	return is_verified_here(t, token) ? NULL : t->askers;
}

/* For no longer than the token lives. */
static uint64_t
left_ms(const struct token_owner *owner, int64_t now)
{
	if (owner->expires_at == INT64_MAX)
		return UINT64_MAX;
	return owner->expires_at <= now ? 0 : (uint64_t)(owner->expires_at - now) * 1000;
}

int
tokens_verify(struct tokens *t, struct span token, struct token_owner *owner_out,
	uint64_t *good_ms_out, const char **why_out)
{
	int64_t now = (int64_t)(clock_calendar_us() / 1000000);
	struct jwt_keys *keys;
	int error;

	if (is_verified_here(t, token)) {
		keys = take_keys(t);
		error = jwt_verify(keys, &t->options.rules, token, now, owner_out, why_out);
		jwt_keys_release(keys);
		*good_ms_out = UINT64_MAX;
	} else {
		error = introspect_verify(
			t->introspect, &t->options.rules, token, now, owner_out, why_out);
		*good_ms_out = t->options.cache_ms; /* it may be taken back at any time */
	}
	if (error == 0 && *why_out == NULL && left_ms(owner_out, now) < *good_ms_out)
		*good_ms_out = left_ms(owner_out, now);
	return error;
}
