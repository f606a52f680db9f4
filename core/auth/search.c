/*
 * search.c - see search.h.
 */
#include "core/auth/search.h"

#include "core/auth/authenticate.h"
#include "io/base/clock.h"

#include <errno.h>
#include <string.h>

static bool
end(struct account_search *s, int error)
{
	s->error = error;
	return true;
}

static void
count_answer(struct search_counts *counts, int error)
{
	if (error == 0)
		count_add(&counts->found, 1);
	else if (error == -ENOENT)
		count_add(&counts->unknown, 1);
	else
		count_add(&counts->failed, 1);
}

/* Ask one source after the other, from s->source on; false: the next one has to be waited for. */
static bool
look_on(struct authenticator *a, uint64_t now_ms, struct account_search *s)
{
	const struct login_policy *policy = s->policy;

	for (; s->source < policy->source_count; s->source++) {
		const struct source *source = policy->sources[s->source];
		struct search_counts *counts = &a->looked_up[s->source];
		int error;

		if (source->workers == NULL) {
			error = accounts_find(a->accounts, span_of_string(s->address), s->account);
			count_answer(counts, error);
			if (error != -ENOENT)
				return end(s, error);
		} else if (source->knows_all && s->whom == SEARCH_FOR_MAIL) {
			continue;
		} else if (account_cache_find(a->said, s->source, s->address, now_ms,
				   source->fresh_ms, s->account)) {
			count_add(&counts->remembered, 1);
			return end(s, 0);
		} else {
			s->asked_ms = now_ms;
			return false;
		}
	}
	return end(s, -ENOENT);
}

bool
search_begin(struct authenticator *a, const char *address, enum search_for whom, uint64_t now_ms,
	struct account *account, struct account_search *s)
{
	s->policy = a->policy;
	s->account = account;
	s->whom = whom;
	s->source = 0;
	s->error = 0;
	strcpy(s->address, address);
	return look_on(a, now_ms, s);
}

struct offload *
search_workers(const struct account_search *s)
{
	return s->policy->sources[s->source]->workers;
}

bool
search_is_too_late(const struct login_policy *policy, uint64_t asked_ms)
{
	return policy->queue_limit_ms != 0 &&
		clock_monotonic_ms() - asked_ms > policy->queue_limit_ms;
}

void
search_work(struct account_search *s)
{
	if (search_is_too_late(s->policy, s->asked_ms))
		s->error = -ETIMEDOUT;
	else
		s->error = source_find(
			s->policy->sources[s->source], span_of_string(s->address), s->account);
}

/* What was said of the account when all could answer: by the source that cannot now, or by one
 * behind it, which was asked then because those before it did not know the account. */
static bool
remembers(struct authenticator *a, uint64_t now_ms, struct account_search *s)
{
	for (unsigned i = s->source; i < s->policy->source_count; i++) {
		const struct source *source = s->policy->sources[i];

		if (source->workers != NULL && !(source->knows_all && s->whom == SEARCH_FOR_MAIL) &&
			account_cache_find(
				a->said, i, s->address, now_ms, source->stale_ms, s->account)) {
			count_add(&a->looked_up[i].stale, 1);
			s->source = i;
			return true;
		}
	}
	return false;
}

bool
search_go_on(struct authenticator *a, uint64_t now_ms, struct account_search *s)
{
	int error = s->error;

	count_answer(&a->looked_up[s->source], error);
	if (error == -ENOENT) {
		account_cache_drop(a->said, s->source, s->address);
		s->source++;
		return look_on(a, now_ms, s);
	}
	if (error == 0)
		account_cache_put(a->said, s->source, s->address, now_ms, s->account);
	else if (remembers(a, now_ms, s))
		error = 0;
	return end(s, error);
}
