/*
 * sasl.c - see sasl.h.
 *
 * GNU SASL asks by callback, in the middle of a step, for what it does not know.  Nothing here may
 * wait, so what it will ask for is found out before: the SCRAM keys by reading the name off the
 * client's first message (FIND), and what it asks at the end, "is this password right?", is
 * answered with yes and checked behind its back (VERIFY) before anybody hears of it.
 *
 * Invariants
 *   1. PROVEN is returned only after the proof: keys that fit (SCRAM), sasl_verified(true), or a
 *      certificate that TLS has verified.
 *   2. A challenge behind a proof (SCRAM's "v=", which POP3 cannot send along with +OK) is sent as
 *      a challenge and answered by the client with nothing.
 */
#include "core/auth/sasl.h"

#include "core/auth/bearer.h"
#include "io/base/must.h"

#include <errno.h>
#include <gsasl.h>
#include <stdio.h>
#include <stdlib.h>

static const struct mechanism {
	const char *name;
	uint8_t key_octets; /* of the SCRAM family */
} mechanisms[SASL_MECHANISMS] = {
	[SASL_SCRAM_SHA_256_PLUS] = { "SCRAM-SHA-256-PLUS", 32 },
	[SASL_SCRAM_SHA_256] = { "SCRAM-SHA-256", 32 },
	[SASL_SCRAM_SHA_1] = { "SCRAM-SHA-1", 20 },
	[SASL_PLAIN] = { "PLAIN", 0 },
	[SASL_LOGIN] = { "LOGIN", 0 },
	[SASL_EXTERNAL] = { "EXTERNAL", 0 },
	[SASL_OAUTHBEARER] = { "OAUTHBEARER", 0 },
	[SASL_XOAUTH2] = { "XOAUTH2", 0 },
};

enum sasl_state {
	STATE_SPEAKS,       /* the next response goes to the mechanism */
	STATE_FINDS_KEYS,   /* FIND was said, the response waits in `said` */
	STATE_VERIFIES,     /* VERIFY or TOKEN was said */
	STATE_SAID_LAST,    /* the last challenge is out; an empty response ends it well */
	STATE_SAID_REFUSAL, /* why the token is wrong is out; any response ends it */
	STATE_OVER,
};

struct sasl {
	enum sasl_mechanism mechanism;
	enum sasl_state state;
	Gsasl *library; /* an exchange's own: its handles are cheap, and no thread shares one */
	Gsasl_session *session;
	char *exporter; /* base64 */
	char *certificate_name;
	char *said; /* the last response, decoded, with a NUL behind it */
	size_t said_octets;
	char *challenge; /* base64 */
	char *name;
	size_t name_octets;
	char *acts_for;
	char *secret;
};

const char *
sasl_mechanism_name(enum sasl_mechanism mechanism)
{
	return mechanisms[mechanism].name;
}

bool
sasl_mechanism_find(struct span name, enum sasl_mechanism *mechanism_out)
{
	for (unsigned i = 0; i < SASL_MECHANISMS; i++) {
		if (span_equals_nocase(name, span_of_string(mechanisms[i].name))) {
			*mechanism_out = (enum sasl_mechanism)i;
			return true;
		}
	}
	return false;
}

bool
sasl_mechanisms_read(const char *names, unsigned *set_out)
{
	unsigned set = 0;

	for (names += strspn(names, " "); *names != '\0'; names += strspn(names, " ")) {
		size_t length = strcspn(names, " ");
		enum sasl_mechanism mechanism;

		if (!sasl_mechanism_find(span_of(names, length), &mechanism))
			return false;
		set |= SASL_BIT(mechanism);
		names += length;
	}
	*set_out = set;
	return true;
}

static bool
is_bearer(const struct sasl *s)
{
	return s->mechanism == SASL_OAUTHBEARER || s->mechanism == SASL_XOAUTH2;
}

static bool
is_scram(const struct sasl *s)
{
	return mechanisms[s->mechanism].key_octets != 0;
}

static void
wipe_and_free(char *text, size_t octets)
{
	if (text != NULL)
		explicit_bzero(text, octets);
	free(text);
}

static void
wipe_string(char *text)
{
	wipe_and_free(text, text == NULL ? 0 : strlen(text));
}

/* ---- GNU SASL ------------------------------------------------------------------------------ */

/* What the library asks for that was not set before. */
static int
answer(Gsasl *library, Gsasl_session *session, Gsasl_property question)
{
	struct sasl *s = gsasl_session_hook_get(session);

	(void)library;
	if (question == GSASL_VALIDATE_SIMPLE)
		return GSASL_OK; /* not yet: SASL_NEXT_VERIFY follows */
	if (question == GSASL_VALIDATE_EXTERNAL)
		return s->certificate_name != NULL ? GSASL_OK : GSASL_AUTHENTICATION_ERROR;
	if (question == GSASL_CB_TLS_EXPORTER && s->exporter != NULL)
		return gsasl_property_set(session, GSASL_CB_TLS_EXPORTER, s->exporter);
	return GSASL_NO_CALLBACK;
}

static int
open_library(struct sasl *s)
{
	if (gsasl_init(&s->library) != GSASL_OK)
		return -ENOMEM;
	gsasl_callback_set(s->library, answer);
	if (gsasl_server_start(s->library, mechanisms[s->mechanism].name, &s->session) != GSASL_OK)
		return -ENOMEM;
	gsasl_session_hook_set(s->session, s);
	return 0;
}

/* Octets as base64, an allocation of its own. */
static char *
to_base64(const void *octets, size_t length)
{
	char *text = NULL;

	if (length == 0)
		return strdup("");
	if (gsasl_base64_to(octets, length, &text, NULL) != GSASL_OK)
		return NULL;
	return text;
}

int
sasl_open(enum sasl_mechanism mechanism, const struct sasl_facts *facts, struct sasl **sasl_out)
{
	struct sasl *s = calloc(1, sizeof(*s));
	int error = 0;

	if (s == NULL)
		return -ENOMEM;
	s->mechanism = mechanism;
	if (facts->exporter.length > 0) {
		s->exporter = to_base64(facts->exporter.at, facts->exporter.length);
		error = s->exporter == NULL ? -ENOMEM : 0;
	}
	if (error == 0 && facts->certificate_name != NULL) {
		s->certificate_name = strdup(facts->certificate_name);
		error = s->certificate_name == NULL ? -ENOMEM : 0;
	}
	if (error == 0 && !is_bearer(s))
		error = open_library(s);
	if (error != 0) {
		sasl_close(s);
		return error;
	}
	*sasl_out = s;
	return 0;
}

void
sasl_close(struct sasl *s)
{
	if (s == NULL)
		return;
	if (s->session != NULL)
		gsasl_finish(s->session);
	if (s->library != NULL)
		gsasl_done(s->library);
	wipe_and_free(s->said, s->said_octets);
	wipe_string(s->secret);
	wipe_string(s->exporter);
	free(s->certificate_name);
	free(s->challenge);
	free(s->name);
	free(s->acts_for);
	free(s);
}

/* ---- steps --------------------------------------------------------------------------------- */

static enum sasl_next
over(struct sasl *s, enum sasl_next next)
{
	s->state = STATE_OVER;
	return next;
}

/* Say `octets` to the client. */
static enum sasl_next
challenge(struct sasl *s, const void *octets, size_t length, enum sasl_state state)
{
	free(s->challenge);
	s->challenge = to_base64(octets, length);
	if (s->challenge == NULL)
		return over(s, SASL_NEXT_NO_MEMORY);
	s->state = state;
	return SASL_NEXT_CHALLENGE;
}

/* Keep a copy of what the library knows; false: no memory. */
static bool
keep_property(struct sasl *s, Gsasl_property property, char **kept)
{
	const char *text = gsasl_property_fast(s->session, property);

	free(*kept);
	*kept = strdup(text == NULL ? "" : text);
	return *kept != NULL;
}

/* Who acts for himself acts for nobody else; the library fills in what was left out. */
static bool
keep_acts_for(struct sasl *s)
{
	if (!keep_property(s, GSASL_AUTHZID, &s->acts_for))
		return false;
	if (s->name != NULL && strlen(s->acts_for) == s->name_octets &&
		memcmp(s->acts_for, s->name, s->name_octets) == 0)
		s->acts_for[0] = '\0';
	return true;
}

static enum sasl_next
ask_for_verdict(struct sasl *s)
{
	if (!keep_property(s, GSASL_AUTHID, &s->name) ||
		!keep_property(s, GSASL_PASSWORD, &s->secret))
		return over(s, SASL_NEXT_NO_MEMORY);
	s->name_octets = strlen(s->name);
	if (!keep_acts_for(s))
		return over(s, SASL_NEXT_NO_MEMORY);
	if (s->name_octets == 0)
		return over(s, SASL_NEXT_MALFORMED);
	s->state = STATE_VERIFIES;
	return SASL_NEXT_VERIFY;
}

static enum sasl_next
prove_by_certificate(struct sasl *s)
{
	s->name = strdup(s->certificate_name);
	if (s->name == NULL)
		return over(s, SASL_NEXT_NO_MEMORY);
	s->name_octets = strlen(s->name);
	return over(s, keep_acts_for(s) ? SASL_NEXT_PROVEN : SASL_NEXT_NO_MEMORY);
}

/* The mechanism is content.  Its last words, if there are any, go out first. */
static enum sasl_next
content(struct sasl *s, const char *words, size_t octets)
{
	if (s->mechanism == SASL_PLAIN || s->mechanism == SASL_LOGIN)
		return ask_for_verdict(s);
	if (s->mechanism == SASL_EXTERNAL)
		return prove_by_certificate(s);
	if (!keep_acts_for(s))
		return over(s, SASL_NEXT_NO_MEMORY);
	return octets > 0 ? challenge(s, words, octets, STATE_SAID_LAST)
			  : over(s, SASL_NEXT_PROVEN);
}

static enum sasl_next
refusal_of(int error)
{
	switch (error) {
	case GSASL_MALLOC_ERROR:
	case GSASL_CRYPTO_ERROR:
		return SASL_NEXT_NO_MEMORY;
	case GSASL_AUTHENTICATION_ERROR:
	case GSASL_NO_CB_TLS_EXPORTER:
	case GSASL_NO_CB_TLS_UNIQUE:
		return SASL_NEXT_REFUSED;
	default:
		return SASL_NEXT_MALFORMED;
	}
}

/* Let the library go on with what the client said; at NULL: nothing yet. */
static enum sasl_next
step_library(struct sasl *s, struct span said)
{
	char *words = NULL;
	size_t octets = 0;
	int result = gsasl_step(s->session, said.at, said.length, &words, &octets);
	enum sasl_next next;

	if (result == GSASL_NEEDS_MORE)
		next = challenge(s, words, octets, STATE_SPEAKS);
	else if (result == GSASL_OK)
		next = content(s, words, octets);
	else
		next = over(s, refusal_of(result));
	gsasl_free(words);
	return next;
}

/* ---- SCRAM --------------------------------------------------------------------------------- */

/* The name in client-first-message, "n,a=admin,n=alice,r=..." (RFC 5802, section 7).  Whether all
 * of it is well formed is for the library to say. */
static bool
read_scram_name(struct span said, struct span *name_out)
{
	unsigned commas = 0;
	size_t end;

	while (commas < 2) { /* the gs2-header ends behind the second */
		if (said.length == 0)
			return false;
		commas += said.at[0] == ',';
		said = span_after(said, 1);
	}
	if (said.length < 2 || said.at[0] != 'n' || said.at[1] != '=')
		return false;
	said = span_after(said, 2);
	for (end = 0; end < said.length && said.at[end] != ','; end++)
		;
	*name_out = span_of(said.at, end);
	return end < said.length;
}

static enum sasl_next
ask_for_keys(struct sasl *s)
{
	struct span name;
	int octets;

	if (!read_scram_name(span_of(s->said, s->said_octets), &name))
		return over(s, SASL_NEXT_MALFORMED);
	s->name = malloc(name.length + 1);
	if (s->name == NULL)
		return over(s, SASL_NEXT_NO_MEMORY);
	octets = bearer_unescape_name(name, s->name);
	if (octets <= 0)
		return over(s, SASL_NEXT_MALFORMED);
	s->name_octets = (size_t)octets;
	s->state = STATE_FINDS_KEYS;
	return SASL_NEXT_FIND;
}

static bool
set_octets(struct sasl *s, Gsasl_property property, const uint8_t *octets, size_t length)
{
	char *text = to_base64(octets, length);
	bool is_set = text != NULL && gsasl_property_set(s->session, property, text) == GSASL_OK;

	wipe_string(text);
	return is_set;
}

enum sasl_next
sasl_found(struct sasl *s, const struct scram_keys *keys)
{
	size_t key_octets = mechanisms[s->mechanism].key_octets;
	char iterations[12];

	must(s->state == STATE_FINDS_KEYS);
	snprintf(iterations, sizeof(iterations), "%u", keys->iterations);
	if (gsasl_property_set(s->session, GSASL_SCRAM_ITER, iterations) != GSASL_OK ||
		!set_octets(s, GSASL_SCRAM_SALT, keys->salt, keys->salt_octets) ||
		!set_octets(s, GSASL_SCRAM_STOREDKEY, keys->stored_key, key_octets) ||
		!set_octets(s, GSASL_SCRAM_SERVERKEY, keys->server_key, key_octets))
		return over(s, SASL_NEXT_NO_MEMORY);
	return step_library(s, span_of(s->said, s->said_octets));
}

/* ---- bearer tokens ------------------------------------------------------------------------- */

static enum sasl_next
read_bearer(struct sasl *s)
{
	struct span said = span_of(s->said, s->said_octets);
	bool is_oauth = s->mechanism == SASL_OAUTHBEARER;
	struct bearer bearer;
	int octets;

	if (is_oauth ? !bearer_read_oauth(said, &bearer) : !bearer_read_xoauth2(said, &bearer))
		return over(s, SASL_NEXT_MALFORMED);
	s->name = malloc(bearer.name.length + 1);
	s->secret = strndup(bearer.token.at, bearer.token.length);
	if (s->name == NULL || s->secret == NULL)
		return over(s, SASL_NEXT_NO_MEMORY);
	octets = (int)bearer.name.length;
	if (is_oauth)
		octets = bearer_unescape_name(bearer.name, s->name);
	else
		memcpy(s->name, bearer.name.at, bearer.name.length);
	if (octets < 0)
		return over(s, SASL_NEXT_MALFORMED);
	s->name_octets = (size_t)octets;
	s->state = STATE_VERIFIES;
	return SASL_NEXT_TOKEN;
}

/* ---- the outside --------------------------------------------------------------------------- */

enum sasl_next
sasl_begin(struct sasl *s)
{
	must(s->state == STATE_SPEAKS);
	/* These speak first in LOGIN only; the others wait for the client, challenge empty. */
	if (s->mechanism == SASL_LOGIN)
		return step_library(s, span_of(NULL, 0));
	return challenge(s, "", 0, STATE_SPEAKS);
}

/* Decode to s->said; 0, -EINVAL, -ENOMEM. */
static int
hear(struct sasl *s, struct span base64)
{
	int error = GSASL_OK;

	wipe_and_free(s->said, s->said_octets);
	s->said = NULL;
	s->said_octets = 0;
	if (base64.length == 0 || span_equals(base64, SPAN("="))) {
		s->said = strdup("");
		return s->said == NULL ? -ENOMEM : 0;
	}
	error = gsasl_base64_from(base64.at, base64.length, &s->said, &s->said_octets);
	if (error == GSASL_MALLOC_ERROR)
		return -ENOMEM;
	return error == GSASL_OK ? 0 : -EINVAL;
}

enum sasl_next
sasl_step(struct sasl *s, struct span base64)
{
	int error = hear(s, base64);

	must(s->state == STATE_SPEAKS || s->state == STATE_SAID_LAST ||
		s->state == STATE_SAID_REFUSAL);
	if (error != 0)
		return over(s, error == -ENOMEM ? SASL_NEXT_NO_MEMORY : SASL_NEXT_MALFORMED);
	if (s->state == STATE_SAID_REFUSAL)
		return over(s, SASL_NEXT_REFUSED);
	if (s->state == STATE_SAID_LAST)
		return over(s, s->said_octets == 0 ? SASL_NEXT_PROVEN : SASL_NEXT_MALFORMED);
	if (is_bearer(s))
		return read_bearer(s);
	if (is_scram(s) && s->name == NULL)
		return ask_for_keys(s);
	return step_library(s, span_of(s->said, s->said_octets));
}

struct span
sasl_challenge(const struct sasl *s)
{
	return span_of_string(s->challenge == NULL ? "" : s->challenge);
}

struct sasl_identity
sasl_identity(const struct sasl *s)
{
	return (struct sasl_identity){
		.name = span_of(s->name, s->name_octets),
		.acts_for = span_of_string(s->acts_for == NULL ? "" : s->acts_for),
		.secret = span_of_string(s->secret == NULL ? "" : s->secret),
	};
}

enum sasl_next
sasl_verified(struct sasl *s, bool is_right)
{
	must(s->state == STATE_VERIFIES);
	if (is_right)
		return over(s, SASL_NEXT_PROVEN);
	if (is_bearer(s))
		return challenge(s, BEARER_REFUSAL, strlen(BEARER_REFUSAL), STATE_SAID_REFUSAL);
	return over(s, SASL_NEXT_REFUSED);
}
