/*
 * claims.c - see claims.h.
 *
 * A claim of another type than it should have is refused, never read as if it were not there.
 */
#include "core/auth/claims.h"

#include <string.h>

/* NumericDate: seconds since 1970, possibly with a fraction.  False: it is none; absent is. */
static bool
read_time(const json_t *claims, const char *name, int64_t absent, int64_t *time_out)
{
	const json_t *value = json_object_get(claims, name);
	double seconds;

	*time_out = absent;
	if (value == NULL)
		return true;
	if (!json_is_number(value))
		return false;
	seconds = json_number_value(value);
	if (!(seconds >= 0 && seconds < 1e15))
		return false;
	*time_out = (int64_t)seconds;
	return true;
}

static const char *
check_times(const json_t *claims, bool must_expire, int64_t now, int64_t *expires_at_out)
{
	int64_t not_before;

	if (!read_time(claims, "exp", INT64_MAX, expires_at_out) ||
		!read_time(claims, "nbf", 0, &not_before))
		return "token_malformed";
	if (must_expire && *expires_at_out == INT64_MAX)
		return "token_no_expiry";
	if (*expires_at_out != INT64_MAX && *expires_at_out + CLAIMS_LEEWAY_S <= now)
		return "token_expired";
	if (not_before - CLAIMS_LEEWAY_S > now)
		return "token_not_yet";
	return NULL;
}

static bool
is_text(const json_t *value, const char *text)
{
	const char *said = json_string_value(value);

	return said != NULL && strcmp(said, text) == 0;
}

/* One audience, or an array of them. */
static bool
has_audience(const json_t *claims, const char *audience)
{
	const json_t *value = json_object_get(claims, "aud");

	if (!json_is_array(value))
		return is_text(value, audience);
	for (size_t i = 0; i < json_array_size(value); i++) {
		if (is_text(json_array_get(value, i), audience))
			return true;
	}
	return false;
}

/* Who may write any address into a profile must not become its owner by that. */
static bool
is_unverified_email(const json_t *claims, const char *account_claim)
{
	const json_t *verified = json_object_get(claims, "email_verified");

	return strcmp(account_claim, "email") == 0 && verified != NULL && !json_is_true(verified) &&
		!is_text(verified, "true");
}

static const char *
read_name(const json_t *claims, const char *claim, char *name_out)
{
	const char *name = json_string_value(json_object_get(claims, claim));

	if (name == NULL || name[0] == '\0' || strlen(name) > ACCOUNT_ADDRESS_OCTETS_MAX)
		return "token_no_account";
	if (is_unverified_email(claims, claim))
		return "token_email_unverified";
	strcpy(name_out, name);
	return NULL;
}

const char *
claims_check(const json_t *claims, const struct claims_rules *rules, bool must_expire, int64_t now,
	struct token_owner *owner_out)
{
	const char *why;

	if (!json_is_object(claims))
		return "token_malformed";
	why = check_times(claims, must_expire, now, &owner_out->expires_at);
	if (why != NULL)
		return why;
	if (rules->issuer[0] != '\0' && !is_text(json_object_get(claims, "iss"), rules->issuer))
		return "token_issuer";
	if (rules->audience[0] != '\0' && !has_audience(claims, rules->audience))
		return "token_audience";
	return read_name(claims, rules->account, owner_out->name);
}
