/*
 * service_wish.c - see service_wish.h.
 *
 * The pattern is the same five times: wish_xyz() tries on the shard's disk, which does not wait; on
 * -EAGAIN work_xyz() does the same on the worker's disk, which does; xyz_done() tells the session.
 */
#include "core/service_wish.h"

#include "io/base/log.h"
#include "storage/claim.h"
#include "storage/content.h"
#include "storage/topscan.h"

#include <errno.h>
#include <stdlib.h>

static const struct log_kind EVENT_LOGIN_FAILED = { "login_failed", LOG_WARNING };
static const struct log_kind EVENT_LOGIN_UNAVAILABLE = { "login_unavailable", LOG_ERROR };
static const struct log_kind EVENT_MAILDROP_UNAVAILABLE = { "maildrop_unavailable", LOG_ERROR };
static const struct log_kind EVENT_MESSAGE_DAMAGED = { "message_damaged", LOG_ERROR };
static const struct log_kind EVENT_UPDATE_FAILED = { "update_failed", LOG_ERROR };
static const struct log_kind EVENT_RECLAIM_FAILED = { "reclaim_failed", LOG_WARNING };

struct wish {
	struct offload_job job;
	struct service *service; /* NULL: nobody waits for it */
	const struct shard_common *common;
	int error;
	struct login_request login; /* from VERIFY until its maildrop is open */
	union {
		struct {
			struct maildrop *maildrop;
			int claim_fd;
		} open;
		struct {
			int log_fd;
			const struct maildrop_entry *message;
		} check;
		struct {
			struct pop3_scan what;
			uint64_t octets;
		} scan;
		struct {
			uint32_t *uids;
			uint32_t count;
			uint32_t removed;
		} commit;
	};
};

size_t
wish_octets(void)
{
	return sizeof(struct wish);
}

static struct wish *
take_wish(struct service *v)
{
	struct wish *w = v->wish;

	if (w == NULL)
		w = slab_take(&v->shard->wishes);
	if (w == NULL)
		return NULL;
	if (v->wish == NULL)
		*w = (struct wish){ .service = v, .common = v->shard->common };
	v->wish = w;
	return w;
}

void
wish_forget(struct service *v)
{
	must(!v->wish_is_away);
	if (v->wish == NULL)
		return;
	authenticate_forget(&v->wish->login);
	slab_give(&v->shard->wishes, v->wish);
	v->wish = NULL;
}

/* Hand a wish to workers; false: they have too much to do already. */
static bool
send_away(struct service *v, struct offload *workers, void (*work)(struct offload_job *job),
	void (*done)(struct offload_job *job))
{
	struct wish *w = v->wish;
	int error;

	w->job.work = work;
	w->job.done = done;
	v->wish_is_away = true;
	v->shard->jobs_away++;
	error = offload_submit(workers, v->shard->home, &w->job);
	if (error == 0)
		return true; /* the wish is the worker's: its result may be in it by now */
	v->wish_is_away = false;
	v->shard->jobs_away--;
	w->error = error;
	return false;
}

static struct wish *
wish_of(struct offload_job *job)
{
	return container_of(job, struct wish, job);
}

/* The service of a wish that has come home. */
static struct service *
come_home(struct offload_job *job)
{
	struct service *v = wish_of(job)->service;

	must(v->wish_is_away);
	v->wish_is_away = false;
	v->shard->jobs_away--;
	return v;
}

/* ---- VERIFY -------------------------------------------------------------------------------- */

static void
log_login(struct service *v, enum verdict verdict)
{
	const struct login_request *login = &v->wish->login;
	char peer[INET6_ADDRSTRLEN];
	struct span name;
	struct span secret;

	if (verdict == VERDICT_GOOD)
		return;
	pop3_session_credentials(&v->session, &name, &secret);
	if (verdict == VERDICT_BAD)
		log_event(EVENT_LOGIN_FAILED, kv_word("protocol", "pop3"),
			kv_word("peer", service_peer(v, peer)), kv_span("name", name));
	else
		log_event(EVENT_LOGIN_UNAVAILABLE, kv_word("protocol", "pop3"),
			kv_word("peer", service_peer(v, peer)), kv_span("name", name),
			kv_str("error", strerror(-login->error)));
}

static enum pop3_next
tell_verdict(struct service *v, enum verdict verdict)
{
	static const enum pop3_verdict words[] = {
		[VERDICT_GOOD] = POP3_VERDICT_GOOD,
		[VERDICT_BAD] = POP3_VERDICT_BAD,
		[VERDICT_UNAVAILABLE] = POP3_VERDICT_UNAVAILABLE,
	};
	bool read_only = v->wish->login.account.read_only;

	log_login(v, verdict);
	authenticate_forget(&v->wish->login);
	if (verdict != VERDICT_GOOD)
		wish_forget(v);
	return pop3_session_verified(&v->session, words[verdict], read_only);
}

static void
work_verify(struct offload_job *job)
{
	authenticate_prove(&wish_of(job)->login);
}

static void
verify_done(struct offload_job *job)
{
	struct service *v = come_home(job);
	struct shard *shard = v->shard;

	service_resume(v,
		tell_verdict(v,
			authenticate_finish(
				&shard->authenticator, &wish_of(job)->login, shard->loop.now_ms)));
}

bool
wish_verify(struct service *v, enum pop3_next *next_out)
{
	struct shard *shard = v->shard;
	struct wish *w = take_wish(v);
	enum verdict verdict;
	struct span name;
	struct span secret;

	if (w == NULL) {
		*next_out = pop3_session_verified(&v->session, POP3_VERDICT_UNAVAILABLE, false);
		return true;
	}
	pop3_session_credentials(&v->session, &name, &secret);
	verdict = authenticate_begin(
		&shard->authenticator, name, secret, shard->loop.now_ms, &w->login);
	if (verdict == VERDICT_NEEDS_PROOF) {
		if (send_away(v, shard->common->auth_workers, work_verify, verify_done))
			return false;
		w->login.error = -EBUSY;
		verdict = VERDICT_UNAVAILABLE;
	}
	*next_out = tell_verdict(v, verdict);
	return true;
}

/* ---- OPEN ---------------------------------------------------------------------------------- */

static int
open_maildrop(struct wish *w, const struct disk *disk)
{
	const char *address = w->login.account.address;
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
tell_opened(struct service *v, int error)
{
	if (error != 0 && error != -EBUSY)
		log_event(EVENT_MAILDROP_UNAVAILABLE,
			kv_str("address", v->wish->login.account.address),
			kv_str("error", strerror(-error)));
	wish_forget(v);
	if (error != 0)
		return pop3_session_opened(&v->session, error, NULL);
	conn_set_idle_limit(&v->conn, v->shard->common->settings->idle_timeout_s * 1000);
	return pop3_session_opened(&v->session, 0, v->hold->maildrop);
}

/* The maildrop just opened becomes this session's. */
static enum pop3_next
take_opened(struct service *v)
{
	struct wish *w = v->wish;
	const struct disk *disk = &v->shard->disk;

	if (w->error == 0) {
		v->hold = maildrop_cache_add(&v->shard->maildrops, w->open.maildrop);
		v->claim_fd = w->open.claim_fd;
		if (v->hold == NULL) {
			maildrop_close(disk, w->open.maildrop);
			w->error = -ENOMEM;
		}
	}
	return tell_opened(v, w->error);
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
	struct service *v = come_home(job);

	service_resume(v, take_opened(v));
}

bool
wish_open(struct service *v, enum pop3_next *next_out)
{
	struct wish *w = v->wish;

	must(w != NULL);
	if (v->shard->common->settings->session_policy == SESSION_POLICY_SHARED)
		v->hold = maildrop_cache_find(&v->shard->maildrops, w->login.account.address);
	if (v->hold != NULL) {
		*next_out = tell_opened(v, 0);
		return true;
	}
	w->error = open_maildrop(w, &v->shard->disk);
	if (w->error == -EMFILE && maildrop_cache_shrink(&v->shard->maildrops))
		w->error = open_maildrop(w, &v->shard->disk);
	if (w->error == -EAGAIN &&
		send_away(v, v->shard->common->disk_workers, work_open, open_done))
		return false;
	*next_out = take_opened(v);
	return true;
}

/* ---- CHECK --------------------------------------------------------------------------------- */

static int
check_message(struct wish *w, const struct disk *disk)
{
	return content_check(disk, w->check.log_fd, w->check.message);
}

static enum pop3_next
tell_checked(struct service *v)
{
	const struct wish *w = v->wish;
	const struct maildrop *m = v->hold->maildrop;
	const struct maildrop_entry *message = w->check.message;
	int error = w->error;

	if (error == 0)
		content_note_good(&v->hold->content, m, (uint32_t)(message - m->entries),
			v->shard->loop.now_ms);
	else
		log_event(EVENT_MESSAGE_DAMAGED, kv_str("address", m->address),
			kv_u64("uid", message->uid), kv_u64("at", message->wire_offset),
			kv_str("error", strerror(-error)));
	wish_forget(v);
	return pop3_session_checked(&v->session, error);
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
	struct service *v = come_home(job);

	service_resume(v, tell_checked(v));
}

/* Nobody wants it checked, or it was a moment ago. */
static bool
needs_no_check(const struct service *v, const struct maildrop_entry *message)
{
	enum verify_on_read verify = v->shard->common->settings->verify_on_read;

	return verify == VERIFY_ON_READ_OFF ||
		(verify == VERIFY_ON_READ_FIRST &&
			content_is_known_good(&v->hold->content,
				(uint32_t)(message - v->hold->maildrop->entries),
				v->shard->loop.now_ms));
}

bool
wish_check(struct service *v, enum pop3_next *next_out)
{
	const struct maildrop_entry *message = pop3_session_check(&v->session);
	struct wish *w;

	if (needs_no_check(v, message)) {
		*next_out = pop3_session_checked(&v->session, 0);
		return true;
	}
	w = take_wish(v);
	if (w == NULL) {
		*next_out = pop3_session_checked(&v->session, -ENOMEM);
		return true;
	}
	w->check.log_fd = v->hold->maildrop->log_fd;
	w->check.message = message;
	w->error = check_message(w, &v->shard->disk);
	if (w->error == -EAGAIN &&
		send_away(v, v->shard->common->disk_workers, work_check, check_done))
		return false;
	*next_out = tell_checked(v);
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
tell_scanned(struct service *v)
{
	int error = v->wish->error;
	uint64_t octets = v->wish->scan.octets;

	wish_forget(v);
	return pop3_session_scanned(&v->session, error, octets);
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
	struct service *v = come_home(job);

	service_resume(v, tell_scanned(v));
}

bool
wish_scan(struct service *v, enum pop3_next *next_out)
{
	struct wish *w = take_wish(v);

	if (w == NULL) {
		*next_out = pop3_session_scanned(&v->session, -ENOMEM, 0);
		return true;
	}
	w->scan.what = pop3_session_scan(&v->session);
	w->error = scan_body(w, &v->shard->disk);
	if (w->error == -EAGAIN &&
		send_away(v, v->shard->common->disk_workers, work_scan, scan_done))
		return false;
	*next_out = tell_scanned(v);
	return true;
}

/* ---- COMMIT -------------------------------------------------------------------------------- */

static enum pop3_next
tell_committed(struct service *v, int error)
{
	if (error != 0)
		log_event(EVENT_UPDATE_FAILED, kv_str("address", v->hold->maildrop->address),
			kv_str("error", strerror(-error)));
	v->has_removed_mail = error == 0;
	wish_forget(v);
	return pop3_session_committed(&v->session, error);
}

static void
work_commit(struct offload_job *job)
{
	struct wish *w = wish_of(job);

	w->error = maildrop_commit(&w->common->disk, w->service->hold->maildrop->address,
		&w->common->maildrop_options, w->commit.uids, w->commit.count, &w->commit.removed);
	free(w->commit.uids);
}

static void
commit_done(struct offload_job *job)
{
	struct service *v = come_home(job);

	service_resume(v, tell_committed(v, v->wish->error));
}

bool
wish_commit(struct service *v, enum pop3_next *next_out)
{
	struct wish *w = take_wish(v);
	const struct listing *listing = &v->session.listing;

	if (w == NULL) {
		*next_out = tell_committed(v, -ENOMEM);
		return true;
	}
	w->commit.count = listing_deleted(listing);
	w->commit.uids = malloc(w->commit.count * sizeof(*w->commit.uids));
	if (w->commit.uids == NULL) {
		*next_out = tell_committed(v, -ENOMEM);
		return true;
	}
	listing_deleted_uids(listing, w->commit.uids);
	maildrop_cache_disown(&v->shard->maildrops, v->hold);
	if (send_away(v, v->shard->common->disk_workers, work_commit, commit_done))
		return false;
	free(w->commit.uids);
	*next_out = tell_committed(v, w->error);
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
