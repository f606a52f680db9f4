/*
 * quota.c - the limits of one account out of three places: the nearest first, each by itself.
 */
#include "core/quota.h"

#include <stdlib.h>
#include <string.h>

static int
compare_domain(const void *name, const void *domain)
{
	return strcmp(name, ((const struct settings_domain *)domain)->name);
}

static struct quota
quota_of_domain(const struct settings *s, const char *address)
{
	struct quota quota = { .octets = s->quota_octets, .messages = s->quota_messages };
	const char *at = strchr(address, '@');
	const struct settings_domain *domain = NULL;

	if (at != NULL && s->domain_count > 0)
		domain = bsearch(
			at + 1, s->domains, s->domain_count, sizeof(*s->domains), compare_domain);
	if (domain != NULL)
		quota = (struct quota){ domain->quota_octets, domain->quota_messages };
	return quota;
}

struct quota
quota_of(const struct settings *settings, const struct account *account)
{
	struct quota quota = quota_of_domain(settings, account->address);

	if (account->quota_octets == ACCOUNT_QUOTA_OCTETS_NONE)
		quota.octets = 0;
	else if (account->quota_octets != 0)
		quota.octets = account->quota_octets;
	if (account->quota_messages == ACCOUNT_QUOTA_MESSAGES_NONE)
		quota.messages = 0;
	else if (account->quota_messages != 0)
		quota.messages = account->quota_messages;
	return quota;
}
