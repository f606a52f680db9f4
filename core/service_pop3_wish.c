/*
 * service_pop3_wish.c - see service_pop3_wish.h.
 *
 * The pattern is the same each time: wish_xyz() tries on the shard's disk, which does not wait; on
 * -EAGAIN work_xyz() does the same on the worker's disk, which does; xyz_done() tells the session.
 * VERIFY has a file of its own, service_pop3_verify.c.
 */
#include "core/service_pop3_wish_internal.h"

#include "io/base/log.h"
#include "storage/claim.h"
#include "storage/content.h"
#include "storage/topscan.h"

#include <errno.h>
#include <stdlib.h>

static const struct log_kind EVENT_MAILDROP_UNAVAILABLE = { "maildrop_unavailable", LOG_ERROR };
static const struct log_kind EVENT_MESSAGE_DAMAGED = { "message_damaged", LOG_ERROR };
static const struct log_kind EVENT_UPDATE_FAILED = { "update_failed", LOG_ERROR };
static const struct log_kind EVENT_RECLAIM_FAILED = { "reclaim_failed", LOG_WARNING };

size_t
wish_octets(void)
{
	return sizeof(struct wish);
}

struct wish *
wish_take(struct pop3_service *p)
{
	struct wish *w = p->wish;

	if (w == NULL)
		w = slab_take(&p->service.shard->wishes);
	if (w == NULL)
		return NULL;
	if (p->wish == NULL)
		*w = (struct wish){ .service = p, .common = p->service.shard->common };
	p->wish = w;
	return w;
}

void
wish_forget(struct pop3_service *p)
{
	must(!p->service.wish_is_away);
	if (p->wish == NULL)
		return;
	service_login_forget(&p->wish->login);
	slab_give(&p->service.shard->wishes, p->wish);
	p->wish = NULL;
}

bool
wish_send_away(struct pop3_service *p, struct offload *workers,
	void (*work)(struct offload_job *job), void (*done)(struct offload_job *job))
{
	struct wish *w = p->wish;
	int error;

	w->job.work = work;
	w->job.done = done;
	p->service.wish_is_away = true;
	p->service.shard->jobs_away++;
	error = offload_submit(workers, p->service.shard->home, &w->job);
	if (error == 0)
		return true; /* the wish is the worker's: its result may be in it by now */
	p->service.wish_is_away = false;
	p->service.shard->jobs_away--;
	w->error = error;
	return false;
}

struct pop3_service *
wish_come_home(struct offload_job *job)
{
	struct pop3_service *p = wish_of(job)->service;

	must(p->service.wish_is_away);
	p->service.wish_is_away = false;
	p->service.shard->jobs_away--;
	return p;
}

/* ---- OPEN ---------------------------------------------------------------------------------- */

static const char *
maildrop_address(const struct wish *w)
{
	return account_maildrop(&w->login.request.account);
}

static int
open_maildrop(struct wish *w, const struct disk *disk)
{
	const char *address = maildrop_address(w);
	int error = 0;

	w->open.claim_fd = -1;
	if (w->common->settings->session_policy == SESSION_POLICY_EXCLUSIVE)
		error = claim_take(disk, address, &w->open.claim_fd);
	if (error == 0)
		error = maildrop_open(
			disk, address, &w->common->maildrop_options, &w->open.maildrop);
	if (error != 0 && w->open.claim_fd >= 0)
		claim_drop(disk, w->open.claim_fd);
	return error;
}

static enum pop3_next
tell_opened(struct pop3_service *p, int error)
{
	if (error != 0 && error != -EBUSY)
		log_event(EVENT_MAILDROP_UNAVAILABLE, kv_str("address", maildrop_address(p->wish)),
			kv_str("error", strerror(-error)));
	if (error != 0 && p->service.shard->common->admission != NULL)
		admission_take_back(p->service.shard->common->admission,
			span_of_string(p->wish->login.request.account.address),
			p->service.shard->loop.now_ms, &p->admission);
	wish_forget(p);
	if (error != 0)
		return pop3_session_opened(&p->session, error, NULL);
	conn_goes_first(&p->service.conn);
	conn_set_idle_limit(
		&p->service.conn, p->service.shard->common->settings->idle_timeout_s * 1000);
	line_reader_allow_long(&p->service.lines, NULL);
	return pop3_session_opened(&p->session, 0, p->hold->maildrop);
}

/* The maildrop just opened becomes this session's. */
static enum pop3_next
take_opened(struct pop3_service *p)
{
	struct wish *w = p->wish;
	const struct disk *disk = &p->service.shard->disk;

	if (w->error == 0) {
		p->hold = maildrop_cache_add(&p->service.shard->maildrops, w->open.maildrop);
		p->claim_fd = w->open.claim_fd;
		if (p->hold == NULL) {
			maildrop_close(disk, w->open.maildrop);
			w->error = -ENOMEM;
		}
	}
	return tell_opened(p, w->error);
}

static void
work_open(struct offload_job *job)
{
	struct wish *w = wish_of(job);

	w->error = open_maildrop(w, &w->common->disk);
}

static void
open_done(struct offload_job *job)
{
	struct pop3_service *p = wish_come_home(job);

	service_resume(&p->service, (int)take_opened(p));
}

bool
wish_open(struct pop3_service *p, int *next_out)
{
	struct wish *w = p->wish;

	must(w != NULL);
	if (p->service.shard->common->settings->session_policy == SESSION_POLICY_SHARED)
		p->hold = maildrop_cache_find(&p->service.shard->maildrops, maildrop_address(w));
	if (p->hold != NULL) {
		*next_out = (int)tell_opened(p, 0);
		return true;
	}
	w->error = open_maildrop(w, &p->service.shard->disk);
	if (w->error == -EMFILE && maildrop_cache_shrink(&p->service.shard->maildrops))
		w->error = open_maildrop(w, &p->service.shard->disk);
	if (w->error == -EAGAIN &&
		wish_send_away(p, p->service.shard->common->disk_workers, work_open, open_done))
		return false;
	*next_out = (int)take_opened(p);
	return true;
}

/* ---- CHECK --------------------------------------------------------------------------------- */

static int
check_message(struct wish *w, const struct disk *disk)
{
	return content_check(disk, w->check.log_fd, w->check.message);
}

static enum pop3_next
tell_checked(struct pop3_service *p)
{
	const struct wish *w = p->wish;
	const struct maildrop *m = p->hold->maildrop;
	const struct maildrop_entry *message = w->check.message;
	int error = w->error;

	if (error == 0)
		content_note_good(&p->hold->content, m, (uint32_t)(message - m->entries),
			p->service.shard->loop.now_ms);
	else
		log_event(EVENT_MESSAGE_DAMAGED, kv_str("address", m->address),
			kv_u64("uid", message->uid), kv_u64("at", message->wire_offset),
			kv_str("error", strerror(-error)));
	wish_forget(p);
	return pop3_session_checked(&p->session, error);
}

static void
work_check(struct offload_job *job)
{
	struct wish *w = wish_of(job);

	w->error = check_message(w, &w->common->disk);
}

static void
check_done(struct offload_job *job)
{
	struct pop3_service *p = wish_come_home(job);

	service_resume(&p->service, (int)tell_checked(p));
}

/* Nobody wants it checked, or it was a moment ago. */
static bool
needs_no_check(const struct pop3_service *p, const struct maildrop_entry *message)
{
	enum verify_on_read verify = p->service.shard->common->settings->verify_on_read;

	return verify == VERIFY_ON_READ_OFF ||
		(verify == VERIFY_ON_READ_FIRST &&
			content_is_known_good(&p->hold->content,
				(uint32_t)(message - p->hold->maildrop->entries),
				p->service.shard->loop.now_ms));
}

bool
wish_check(struct pop3_service *p, int *next_out)
{
	const struct maildrop_entry *message = pop3_session_check(&p->session);
	struct wish *w;

	if (needs_no_check(p, message)) {
		*next_out = (int)pop3_session_checked(&p->session, 0);
		return true;
	}
	w = wish_take(p);
	if (w == NULL) {
		*next_out = (int)pop3_session_checked(&p->session, -ENOMEM);
		return true;
	}
	w->check.log_fd = p->hold->maildrop->log_fd;
	w->check.message = message;
	w->error = check_message(w, &p->service.shard->disk);
	if (w->error == -EAGAIN &&
		wish_send_away(p, p->service.shard->common->disk_workers, work_check, check_done))
		return false;
	*next_out = (int)tell_checked(p);
	return true;
}

/* ---- SCAN ---------------------------------------------------------------------------------- */

static int
scan_body(struct wish *w, const struct disk *disk)
{
	const struct pop3_scan *what = &w->scan.what;

	return topscan(
		disk, what->log_fd, what->offset, what->length, what->lines, &w->scan.octets);
}

static enum pop3_next
tell_scanned(struct pop3_service *p)
{
	int error = p->wish->error;
	uint64_t octets = p->wish->scan.octets;

	wish_forget(p);
	return pop3_session_scanned(&p->session, error, octets);
}

static void
work_scan(struct offload_job *job)
{
	struct wish *w = wish_of(job);

	w->error = scan_body(w, &w->common->disk);
}

static void
scan_done(struct offload_job *job)
{
	struct pop3_service *p = wish_come_home(job);

	service_resume(&p->service, (int)tell_scanned(p));
}

bool
wish_scan(struct pop3_service *p, int *next_out)
{
	struct wish *w = wish_take(p);

	if (w == NULL) {
		*next_out = (int)pop3_session_scanned(&p->session, -ENOMEM, 0);
		return true;
	}
	w->scan.what = pop3_session_scan(&p->session);
	w->error = scan_body(w, &p->service.shard->disk);
	if (w->error == -EAGAIN &&
		wish_send_away(p, p->service.shard->common->disk_workers, work_scan, scan_done))
		return false;
	*next_out = (int)tell_scanned(p);
	return true;
}

/* ---- COMMIT -------------------------------------------------------------------------------- */

static enum pop3_next
tell_committed(struct pop3_service *p, int error)
{
	if (error != 0)
		log_event(EVENT_UPDATE_FAILED, kv_str("address", p->hold->maildrop->address),
			kv_str("error", strerror(-error)));
	p->has_removed_mail = error == 0;
	wish_forget(p);
	return pop3_session_committed(&p->session, error);
}

static void
work_commit(struct offload_job *job)
{
	struct wish *w = wish_of(job);

	w->error = maildrop_commit_snapshot(&w->common->disk, w->service->hold->maildrop->address,
		w->service->hold->maildrop, &w->common->maildrop_options, w->commit.uids,
		w->commit.count, &w->commit.removed);
	free(w->commit.uids);
}

static void
commit_done(struct offload_job *job)
{
	struct pop3_service *p = wish_come_home(job);

	service_resume(&p->service, (int)tell_committed(p, p->wish->error));
}

bool
wish_commit(struct pop3_service *p, int *next_out)
{
	struct wish *w = wish_take(p);
	const struct listing *listing = &p->session.listing;

	if (w == NULL) {
		*next_out = (int)tell_committed(p, -ENOMEM);
		return true;
	}
	w->commit.count = listing_deleted(listing);
	w->commit.uids = malloc(w->commit.count * sizeof(*w->commit.uids));
	if (w->commit.uids == NULL) {
		*next_out = (int)tell_committed(p, -ENOMEM);
		return true;
	}
	listing_deleted_uids(listing, w->commit.uids);
	maildrop_cache_disown(&p->service.shard->maildrops, p->hold);
	if (wish_send_away(p, p->service.shard->common->disk_workers, work_commit, commit_done))
		return false;
	free(w->commit.uids);
	*next_out = (int)tell_committed(p, w->error);
	return true;
}

/* ---- giving space back --------------------------------------------------------------------- */

struct reclaim {
	struct offload_job job;
	struct shard *shard;
	int error;
	char address[];
};

static void
work_reclaim(struct offload_job *job)
{
	struct reclaim *r = container_of(job, struct reclaim, job);
	const struct shard_common *common = r->shard->common;

	r->error = maildrop_reclaim(&common->disk, r->address, &common->maildrop_options);
}

static void
reclaim_done(struct offload_job *job)
{
	struct reclaim *r = container_of(job, struct reclaim, job);

	if (r->error != 0)
		log_event(EVENT_RECLAIM_FAILED, kv_str("address", r->address),
			kv_str("error", strerror(-r->error)));
	r->shard->jobs_away--;
	free(r);
}

/* Not done, it only means that the space comes back later: nobody is told when there is no time. */
void
wish_reclaim(struct shard *shard, const char *address)
{
	size_t octets = strlen(address) + 1;
	struct reclaim *r = malloc(sizeof(*r) + octets);

	if (r == NULL)
		return;
	*r = (struct reclaim){ .shard = shard };
	r->job.work = work_reclaim;
	r->job.done = reclaim_done;
	memcpy(r->address, address, octets);
	if (offload_submit(shard->common->disk_workers, shard->home, &r->job) != 0)
		free(r);
	else
		shard->jobs_away++;
}
