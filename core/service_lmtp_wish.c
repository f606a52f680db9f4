/*
 * service_lmtp_wish.c - bringing about what an LMTP session wants and cannot do itself: look a
 * recipient up, store what comes, deliver it.
 *
 * What need not wait is done on the shard; a cold index and a draft that has outgrown its memory go
 * to a worker, deliveries to the desk.  One job at a time, or one or more deliveries; while any is
 * away nothing is read from the client, which is all the back-pressure there is.
 *
 * Ownership: a delivery is the session's recipient; the desk borrows it, with address, head and
 * draft, until delivery_done().
 */
#include "core/service_lmtp.h"

#include "core/lmtp_head.h"
#include "io/base/clock.h"
#include "io/base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct log_kind EVENT_DELIVERY = { "delivery", LOG_INFO };
static const struct log_kind EVENT_DELIVERY_FAILED = { "delivery_failed", LOG_ERROR };
static const struct log_kind EVENT_RECIPIENT_REFUSED = { "recipient_refused", LOG_INFO };
static const struct log_kind EVENT_RECIPIENT_UNAVAILABLE = { "recipient_unavailable", LOG_ERROR };
static const struct log_kind EVENT_SPILL_FAILED = { "spill_failed", LOG_ERROR };

struct lmtp_delivery {
	struct lmtp_recipient recipient; /* first: the session's part of the block */
	struct desk_delivery desk;
	struct lmtp_service *service;
	struct quota quota;
	uint64_t started_ms;
	char id[LMTP_HEAD_ID_OCTETS];
	char head[LMTP_HEAD_OCTETS_MAX];
};

size_t
lmtp_delivery_octets(void)
{
	return sizeof(struct lmtp_delivery);
}

static struct lmtp_delivery *
delivery_of(struct lmtp_recipient *r)
{
	return container_of(r, struct lmtp_delivery, recipient);
}

/* ---- workers ------------------------------------------------------------------------------- */

static void
go_away(struct lmtp_service *p)
{
	p->service.wish_is_away = true;
	p->service.shard->jobs_away++;
}

static void
come_home(struct lmtp_service *p)
{
	must(p->service.wish_is_away);
	p->service.wish_is_away = false;
	p->service.shard->jobs_away--;
}

/* False: the workers have too much to do; job_error says so. */
static bool
send_away(struct lmtp_service *p, void (*work)(struct offload_job *job),
	void (*done)(struct offload_job *job))
{
	struct shard *shard = p->service.shard;

	p->job.work = work;
	p->job.done = done;
	go_away(p);
	if (offload_submit(shard->common->disk_workers, shard->home, &p->job) == 0)
		return true; /* the job is the worker's: its result may be in it by now */
	come_home(p);
	p->job_error = -EBUSY;
	return false;
}

static struct lmtp_service *
service_of_job(struct offload_job *job)
{
	return container_of(job, struct lmtp_service, job);
}

/* ---- RECIPIENT ----------------------------------------------------------------------------- */

static void
log_refusal(struct lmtp_service *p, enum lmtp_verdict verdict, const char *address)
{
	static const char *const words[] = {
		[LMTP_VERDICT_UNKNOWN] = "unknown",
		[LMTP_VERDICT_DISABLED] = "disabled",
		[LMTP_VERDICT_OVER_QUOTA] = "quota",
	};
	char peer[INET6_ADDRSTRLEN];

	if (verdict == LMTP_VERDICT_UNAVAILABLE)
		log_event(EVENT_RECIPIENT_UNAVAILABLE,
			kv_word("peer", service_peer(&p->service, peer)),
			kv_str("address", address), kv_str("error", strerror(-p->job_error)));
	else if (verdict != LMTP_VERDICT_GOOD)
		log_event(EVENT_RECIPIENT_REFUSED, kv_word("peer", service_peer(&p->service, peer)),
			kv_str("address", address), kv_word("why", words[verdict]));
}

static enum lmtp_next
tell_verdict(struct lmtp_service *p, enum lmtp_verdict verdict)
{
	log_refusal(p, verdict, p->session.asked->address);
	return lmtp_session_recipient(&p->session, verdict);
}

/* What a look-up has found, and that its address is the session's now,
 * if it may have mail at all. */
static enum lmtp_verdict
judge(struct lmtp_service *p, const struct account *account, int error)
{
	p->job_error = error;
	if (error == -ENOENT)
		return LMTP_VERDICT_UNKNOWN;
	if (error != 0)
		return LMTP_VERDICT_UNAVAILABLE;
	strcpy(p->session.asked->address, account_maildrop(account));
	return account->enabled && !account->read_only ? LMTP_VERDICT_GOOD : LMTP_VERDICT_DISABLED;
}

static int
look_at_usage(struct lmtp_service *p, const struct disk *disk)
{
	return maildrop_usage(disk, p->session.asked->address,
		&p->service.shard->common->maildrop_options, &p->usage_octets, &p->usage_messages);
}

/* What the message will bring is not known unless SIZE says it; the desk decides in the end. */
static enum lmtp_verdict
weigh(const struct lmtp_service *p)
{
	const struct quota *quota = &p->quota;

	if (p->job_error != 0)
		return LMTP_VERDICT_UNAVAILABLE;
	if (quota->messages != 0 && p->usage_messages >= quota->messages)
		return LMTP_VERDICT_OVER_QUOTA;
	if (quota->octets != 0 &&
		(p->usage_octets >= quota->octets ||
			p->session.declared_octets > quota->octets - p->usage_octets))
		return LMTP_VERDICT_OVER_QUOTA;
	return LMTP_VERDICT_GOOD;
}

static void
work_usage(struct offload_job *job)
{
	struct lmtp_service *p = service_of_job(job);

	p->job_error = look_at_usage(p, &p->service.shard->common->disk);
}

static void
usage_done(struct offload_job *job)
{
	struct lmtp_service *p = service_of_job(job);

	come_home(p);
	service_resume(&p->service, (int)tell_verdict(p, weigh(p)));
}

/* All is known but how full the maildrop is.  True: *next_out; false: a worker looks. */
static bool
recipient_found(struct lmtp_service *p, const struct account *account, int error, int *next_out)
{
	enum lmtp_verdict verdict = judge(p, account, error);

	if (verdict == LMTP_VERDICT_GOOD) {
		p->quota = quota_of(p->service.shard->common->settings, account);
		delivery_of(p->session.asked)->quota = p->quota;
		if (p->quota.octets != 0 || p->quota.messages != 0) {
			p->job_error = look_at_usage(p, &p->service.shard->disk);
			if (p->job_error == -EAGAIN && send_away(p, work_usage, usage_done))
				return false;
			verdict = weigh(p);
		}
	}
	*next_out = (int)tell_verdict(p, verdict);
	return true;
}

/* A look-up in a source that has to be waited for. */
struct lookup {
	struct offload_job job;
	struct lmtp_service *service;
	struct account_search search;
	struct account account;
};

static void
end_lookup(struct lookup *l)
{
	explicit_bzero(&l->account, sizeof(l->account));
	free(l);
}

static void
work_lookup(struct offload_job *job)
{
	search_work(&container_of(job, struct lookup, job)->search);
}

/* False: its workers have too much to do. */
static bool
send_lookup(struct lookup *l)
{
	struct lmtp_service *p = l->service;

	go_away(p);
	if (offload_submit(search_workers(&l->search), p->service.shard->home, &l->job) == 0)
		return true;
	come_home(p);
	l->search.error = -EBUSY;
	return false;
}

static void
lookup_done(struct offload_job *job)
{
	struct lookup *l = container_of(job, struct lookup, job);
	struct lmtp_service *p = l->service;
	struct shard *shard = p->service.shard;
	bool is_there;
	int next;

	come_home(p);
	if (!search_go_on(&shard->authenticator, shard->loop.now_ms, &l->search) && send_lookup(l))
		return;
	is_there = recipient_found(p, &l->account, l->search.error, &next);
	end_lookup(l);
	if (is_there)
		service_resume(&p->service, next);
}

/* `begun` goes on elsewhere: true, or it cannot, and *error_out says why. */
static bool
look_up_elsewhere(struct lmtp_service *p, const struct account_search *begun, int *error_out)
{
	struct lookup *l = malloc(sizeof(*l));

	*error_out = -ENOMEM;
	if (l == NULL)
		return false;
	*l = (struct lookup){ .service = p, .search = *begun };
	l->job.work = work_lookup;
	l->job.done = lookup_done;
	l->search.account = &l->account;
	if (send_lookup(l))
		return true;
	*error_out = l->search.error;
	end_lookup(l);
	return false;
}

bool
lmtp_wish_recipient(struct lmtp_service *p, int *next_out)
{
	struct shard *shard = p->service.shard;
	struct authenticator *a = &shard->authenticator;
	char canonical[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct account_search search;
	struct account account;
	int error = -ENOENT;

	if (address_canonical(
		    span_of_string(p->session.asked->address), &a->policy->rules, canonical) != 0)
		return recipient_found(p, &account, -ENOENT, next_out);
	if (search_begin(a, canonical, SEARCH_FOR_MAIL, shard->loop.now_ms, &account, &search))
		error = search.error;
	else if (look_up_elsewhere(p, &search, &error))
		return false;
	return recipient_found(p, &account, error, next_out);
}

/* ---- drafts -------------------------------------------------------------------------------- */

/* A file takes its time to go: a worker closes it. */
struct closing {
	struct offload_job job;
	struct draft *draft;
	struct shard *shard;
};

static void
work_closing(struct offload_job *job)
{
	draft_close_file(container_of(job, struct closing, job)->draft);
}

static void
closing_done(struct offload_job *job)
{
	struct closing *c = container_of(job, struct closing, job);

	draft_free(c->draft);
	c->shard->jobs_away--;
	free(c);
}

static bool
close_elsewhere(struct shard *shard, struct draft *draft)
{
	struct closing *c = malloc(sizeof(*c));

	if (c == NULL)
		return false;
	*c = (struct closing){ .draft = draft, .shard = shard };
	c->job.work = work_closing;
	c->job.done = closing_done;
	if (offload_submit(shard->common->disk_workers, shard->home, &c->job) == 0) {
		shard->jobs_away++;
		return true;
	}
	free(c);
	return false;
}

static void
drop_kept(struct lmtp_service *p)
{
	if (p->kept != NULL)
		slab_give(&p->service.shard->inputs, p->kept);
	p->kept = NULL;
}

void
lmtp_drop_draft(struct lmtp_service *p)
{
	drop_kept(p);
	if (p->draft == NULL)
		return;
	if (!draft_is_spilled(p->draft) || !close_elsewhere(p->service.shard, p->draft))
		draft_free(p->draft);
	p->draft = NULL;
}

static void
work_spill(struct offload_job *job)
{
	struct lmtp_service *p = service_of_job(job);

	p->job_error = draft_spill(p->draft);
}

static void
log_spill(const struct lmtp_service *p)
{
	if (p->job_error != 0)
		log_event(EVENT_SPILL_FAILED, kv_str("error", strerror(-p->job_error)));
}

/* ---- STORE --------------------------------------------------------------------------------- */

static int
put(struct lmtp_service *p, struct span *run)
{
	if (p->draft == NULL)
		p->draft = draft_begin(&p->service.shard->drafts);
	if (p->draft == NULL)
		return -ENOMEM;
	return lmtp_session_run_is_wire(&p->session) ? draft_put_wire(p->draft, run)
						     : draft_put_text(p->draft, run);
}

static enum lmtp_next
tell_stored(struct lmtp_service *p, int error)
{
	drop_kept(p);
	if (error != 0)
		lmtp_drop_draft(p);
	return lmtp_session_stored(&p->session, error);
}

/* The run lies in a buffer of the ring's, which is not ours to hold while the draft is away. */
static bool
keep(struct lmtp_service *p, struct span rest)
{
	if (p->kept == NULL)
		p->kept = slab_take(&p->service.shard->inputs);
	if (p->kept == NULL)
		return false;
	must(rest.length <= INPUT_BLOCK_OCTETS);
	memmove(p->kept, rest.at, rest.length);
	p->kept_octets = (uint16_t)rest.length;
	return true;
}

static bool store(struct lmtp_service *p, struct span run, int *next_out);

static void
store_done(struct offload_job *job)
{
	struct lmtp_service *p = service_of_job(job);
	int next;

	come_home(p);
	log_spill(p);
	if (p->job_error != 0)
		next = (int)tell_stored(p, p->job_error);
	else if (!store(p, span_of(p->kept, p->kept_octets), &next))
		return;
	service_resume(&p->service, next);
}

static bool
store(struct lmtp_service *p, struct span run, int *next_out)
{
	int error = put(p, &run);

	if (error == -EAGAIN) {
		error = keep(p, run) ? 0 : -ENOMEM;
		if (error == 0 && send_away(p, work_spill, store_done))
			return false;
		error = error == 0 ? p->job_error : error;
	}
	*next_out = (int)tell_stored(p, error);
	return true;
}

bool
lmtp_wish_store(struct lmtp_service *p, int *next_out)
{
	return store(p, lmtp_session_run(&p->session), next_out);
}

/* ---- DELIVER ------------------------------------------------------------------------------- */

static enum lmtp_next
tell_delivered(struct lmtp_service *p)
{
	enum lmtp_next next;

	lmtp_drop_draft(p);
	next = lmtp_session_delivered(&p->session);
	return (enum lmtp_next)lmtp_next_unless_draining(p, next);
}

static void
log_delivery(const struct lmtp_delivery *d)
{
	const struct shard *shard = d->service->service.shard;
	uint64_t ms = shard->loop.now_ms - d->started_ms;

	if (d->recipient.error == 0)
		log_event(EVENT_DELIVERY, kv_str("address", d->recipient.address),
			kv_word("id", d->id), kv_u64("uid", d->desk.uid),
			kv_u64("octets", draft_counts(d->desk.draft)->octets + d->desk.head.length),
			kv_u64("ms", ms));
	else
		log_event(EVENT_DELIVERY_FAILED, kv_str("address", d->recipient.address),
			kv_word("id", d->id), kv_u64("ms", ms),
			kv_str("error", strerror(-d->recipient.error)));
}

static void
delivery_done(struct desk_delivery *desk)
{
	struct lmtp_delivery *d = container_of(desk, struct lmtp_delivery, desk);
	struct lmtp_service *p = d->service;

	d->recipient.error = desk->error;
	log_delivery(d);
	must(p->deliveries_away > 0);
	if (--p->deliveries_away > 0)
		return;
	come_home(p);
	service_resume(&p->service, (int)tell_delivered(p));
}

static struct span
put_head(struct lmtp_delivery *d, int64_t arrived_at)
{
	const struct lmtp_service *p = d->service;
	const struct settings *settings = p->service.shard->common->settings;
	char peer[INET6_ADDRSTRLEN];
	const struct lmtp_head head = {
		.sender = lmtp_session_sender(&p->session),
		.recipient = d->recipient.address,
		.client = lmtp_session_client(&p->session),
		.peer = p->service.peer_family == AF_UNIX ? NULL : service_peer(&p->service, peer),
		.hostname = settings->hostname,
		.id = d->id,
		.is_secure = p->session.is_secure,
		.takes_utf8 = p->session.takes_utf8,
		.arrived_at = arrived_at,
	};

	return span_of(d->head, lmtp_head_put(&head, settings, d->head));
}

/* One name for the message in log and Received lines: when, where, and the how-manieth. */
static void
put_id(struct shard *shard, int64_t now_us, char to[LMTP_HEAD_ID_OCTETS])
{
	snprintf(to, LMTP_HEAD_ID_OCTETS, "%llx.%x.%llx", (unsigned long long)now_us / 1000000,
		shard->number, (unsigned long long)++shard->messages_taken);
}

static void
submit(struct lmtp_service *p, struct lmtp_delivery *d, const char *id, int64_t arrived_at)
{
	struct shard *shard = p->service.shard;
	int error;

	d->service = p;
	d->started_ms = shard->loop.now_ms;
	memcpy(d->id, id, sizeof(d->id));
	d->desk = (struct desk_delivery){
		.address = d->recipient.address,
		.draft = p->draft,
		.head = put_head(d, arrived_at),
		.arrived_at = arrived_at,
		.quota_octets = d->quota.octets,
		.quota_messages = d->quota.messages,
		.done = delivery_done,
	};
	p->deliveries_away++;
	error = desk_submit(shard->common->desk, shard->home, &d->desk);
	if (error == 0)
		return;
	p->deliveries_away--;
	d->recipient.error = error;
	log_delivery(d);
}

/* True: nothing is away. */
static bool
submit_all(struct lmtp_service *p)
{
	int64_t now_us = clock_calendar_us();
	char id[LMTP_HEAD_ID_OCTETS] = "";

	put_id(p->service.shard, now_us, id);
	for (struct lmtp_recipient *r = p->session.recipients; r != NULL; r = r->next)
		submit(p, delivery_of(r), id, now_us / 1000000);
	if (p->deliveries_away == 0)
		return true;
	go_away(p);
	return false;
}

static void
fail_all(struct lmtp_service *p, int error)
{
	for (struct lmtp_recipient *r = p->session.recipients; r != NULL; r = r->next)
		r->error = error;
}

static bool deliver(struct lmtp_service *p, int *next_out);

static void
deliver_done(struct offload_job *job)
{
	struct lmtp_service *p = service_of_job(job);
	int next;

	come_home(p);
	log_spill(p);
	if (p->job_error != 0) {
		fail_all(p, p->job_error);
		next = (int)tell_delivered(p);
	} else if (!deliver(p, &next)) {
		return;
	}
	service_resume(&p->service, next);
}

static bool
deliver(struct lmtp_service *p, int *next_out)
{
	int error;

	if (p->draft == NULL) /* an empty message */
		p->draft = draft_begin(&p->service.shard->drafts);
	error = p->draft == NULL ? -ENOMEM : draft_end(p->draft);
	if (error == -EAGAIN) {
		if (send_away(p, work_spill, deliver_done))
			return false;
		error = p->job_error;
	}
	if (error != 0)
		fail_all(p, error);
	else if (!submit_all(p))
		return false;
	*next_out = (int)tell_delivered(p);
	return true;
}

bool
lmtp_wish_deliver(struct lmtp_service *p, int *next_out)
{
	return deliver(p, next_out);
}
