/*
 * service_pop3_wish.c - see service_pop3_wish.h.
 *
 * The pattern is the same five times: wish_xyz() tries on the shard's disk, which does not wait; on
 * -EAGAIN work_xyz() does the same on the worker's disk, which does; xyz_done() tells the session.
 */
#include "core/service_pop3_wish.h"

#include "io/base/clock.h"
#include "io/base/log.h"
#include "storage/claim.h"
#include "storage/content.h"
#include "storage/topscan.h"

#include <errno.h>
#include <stdlib.h>

static const struct log_kind EVENT_LOGIN_FAILED = { "login_failed", LOG_WARNING };
static const struct log_kind EVENT_LOGIN_REFUSED = { "login_refused", LOG_INFO };
static const struct log_kind EVENT_LOGIN_UNAVAILABLE = { "login_unavailable", LOG_ERROR };
static const struct log_kind EVENT_MAILDROP_UNAVAILABLE = { "maildrop_unavailable", LOG_ERROR };
static const struct log_kind EVENT_MESSAGE_DAMAGED = { "message_damaged", LOG_ERROR };
static const struct log_kind EVENT_UPDATE_FAILED = { "update_failed", LOG_ERROR };
static const struct log_kind EVENT_RECLAIM_FAILED = { "reclaim_failed", LOG_WARNING };

struct wish {
	struct offload_job job;
	struct pop3_service *service;
	const struct shard_common *common;
	int error;
	struct login_request login; /* from VERIFY until its maildrop is open */
	struct timer wait;          /* for failed logins before this one (core/auth/penalties.h) */
	bool is_waiting;
	bool has_waited;
	bool answer_stands; /* what comes when it has waited */
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
take_wish(struct pop3_service *p)
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

static void give_up_waiting(struct pop3_service *p);

void
wish_forget(struct pop3_service *p)
{
	must(!p->service.wish_is_away);
	if (p->wish == NULL)
		return;
	if (p->wish->is_waiting)
		give_up_waiting(p);
	authenticate_forget(&p->wish->login);
	slab_give(&p->service.shard->wishes, p->wish);
	p->wish = NULL;
}

/* Hand a wish to workers; false: they have too much to do already. */
static bool
send_away(struct pop3_service *p, struct offload *workers, void (*work)(struct offload_job *job),
	void (*done)(struct offload_job *job))
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

static struct wish *
wish_of(struct offload_job *job)
{
	return container_of(job, struct wish, job);
}

/* The service of a wish that has come home. */
static struct pop3_service *
come_home(struct offload_job *job)
{
	struct pop3_service *p = wish_of(job)->service;

	must(p->service.wish_is_away);
	p->service.wish_is_away = false;
	p->service.shard->jobs_away--;
	return p;
}

/* ---- VERIFY -------------------------------------------------------------------------------- */

/* The peer stands in front of all that a guest can choose: what bans addresses looks there. */
static void
log_login(const struct pop3_service *p, const struct login_request *login)
{
	char peer[INET6_ADDRSTRLEN];

	switch (login->answer.verdict) {
	case LOGIN_GOOD:
		break;
	case LOGIN_BAD:
		log_event(EVENT_LOGIN_FAILED, kv_word("protocol", "pop3"),
			kv_word("peer", service_peer(&p->service, peer)),
			kv_word("mechanism", login->question.mechanism),
			kv_span("name", login->question.name), kv_word("why", login->why));
		break;
	case LOGIN_TOO_SOON:
	case LOGIN_TOO_MANY:
		log_event(EVENT_LOGIN_REFUSED, kv_word("protocol", "pop3"),
			kv_word("peer", service_peer(&p->service, peer)),
			kv_word("mechanism", login->question.mechanism),
			kv_span("name", login->question.name), kv_word("why", login->why));
		break;
	case LOGIN_UNAVAILABLE:
		log_event(EVENT_LOGIN_UNAVAILABLE, kv_word("protocol", "pop3"),
			kv_word("peer", service_peer(&p->service, peer)),
			kv_word("mechanism", login->question.mechanism),
			kv_span("name", login->question.name),
			kv_str("error", strerror(-login->error)));
		break;
	}
}

static void
note_login(const struct pop3_service *p, const struct login_request *login)
{
	struct login_note *note;
	char peer[INET6_ADDRSTRLEN];

	if (p->service.shard->last_logins == NULL)
		return;
	note = last_logins_note(p->service.shard->last_logins);
	if (note == NULL)
		return;
	strcpy(note->address, login->account.address);
	strcpy(note->app_password, login->app_password);
	strcpy(note->protocol, "pop3");
	strcpy(note->peer, service_peer(&p->service, peer));
	note->at = clock_calendar_us() / 1000000;
}

/* It is good; but is there room for one more of this account? */
static void
admit(struct pop3_service *p, struct login_request *login)
{
	struct shard *shard = p->service.shard;

	if (shard->common->admission == NULL || login->answer.verdict != LOGIN_GOOD ||
		login->question.kind == LOGIN_KEYS)
		return;
	login->answer.verdict = admission_enter(shard->common->admission,
		span_of_string(login->account.address), shard->loop.now_ms, &p->admission);
	if (login->answer.verdict == LOGIN_TOO_SOON)
		login->why = "too_soon";
	else if (login->answer.verdict == LOGIN_TOO_MANY)
		login->why = "too_many_sessions";
}

static void
count_login(const struct pop3_service *p, const struct login_request *login)
{
	struct shard *shard = p->service.shard;

	if (login->question.kind != LOGIN_KEYS)
		count_add(&shard->counts.logins[login->answer.verdict], 1);
	if (login->answer.verdict == LOGIN_BAD && shard->common->penalties != NULL)
		penalties_note_failure(shard->common->penalties, &login->question.peer,
			login->address, shard->loop.now_ms);
	log_login(p, login);
}

/* The session hears the answer; the request stays while its maildrop is being opened. */
static enum pop3_next
tell_answer(struct pop3_service *p)
{
	struct login_request *login = &p->wish->login;
	enum pop3_next next;

	admit(p, login);
	count_login(p, login);
	if (login->answer.verdict == LOGIN_GOOD && login->question.kind != LOGIN_KEYS)
		note_login(p, login);
	next = pop3_session_answered(&p->session, &login->answer);
	line_reader_allow_long(&p->service.lines, pop3_session_long_word(&p->session));
	authenticate_forget(login);
	if (next != POP3_NEXT_OPEN && next != POP3_NEXT_VERIFY)
		wish_forget(p);
	return next;
}

static void
work_verify(struct offload_job *job)
{
	authenticate_work(&wish_of(job)->login);
}

static void verify_done(struct offload_job *job);

/* Let a worker go on with it; false: they have too much to do, and that is the answer. */
static bool
send_to_workers(struct pop3_service *p)
{
	struct login_request *login = &p->wish->login;

	if (send_away(p, authenticate_workers(login), work_verify, verify_done))
		return true;
	authenticate_give_up(login, -EBUSY);
	return false;
}

static void wait_is_over(struct timer *t);

/*
 * Others have failed before, from there or for that name: then this one waits, once, before anybody
 * looks whether it is good.  No worker waits with it, and it holds nothing but its wish.
 */
static bool
must_wait(struct pop3_service *p, bool answer_stands)
{
	struct shard *shard = p->service.shard;
	struct wish *w = p->wish;
	uint32_t delay_ms;

	if (shard->common->penalties == NULL || w->has_waited || p->service.wait == WAIT_FOR_END ||
		!authenticate_is_about_to_tell(&w->login, answer_stands))
		return false;
	delay_ms = penalties_delay_ms(shard->common->penalties, &w->login.question.peer,
		w->login.address, shard->loop.now_ms);
	if (delay_ms == 0)
		return false;
	w->has_waited = true;
	w->is_waiting = true;
	w->answer_stands = answer_stands;
	count_add(&shard->counts.logins_delayed, 1);
	count_add(&shard->counts.logins_waiting, 1);
	timer_init(&w->wait, wait_is_over);
	timer_arm(&shard->loop.timers, &w->wait, shard->loop.now_ms + delay_ms);
	return true;
}

static void
end_wait(struct wish *w)
{
	struct shard *shard = w->service->service.shard;

	timer_disarm(&shard->loop.timers, &w->wait);
	count_subtract(&shard->counts.logins_waiting, 1);
	w->is_waiting = false;
}

/* The guest does not wait for his answer: he may have made up his mind already, so it counts. */
static void
give_up_waiting(struct pop3_service *p)
{
	struct login_request *login = &p->wish->login;

	end_wait(p->wish);
	if (p->service.end != SERVICE_END_CLOSED_BY_PEER &&
		p->service.end != SERVICE_END_CONNECTION_FAILED)
		return;
	if (!p->wish->answer_stands) {
		login->answer.verdict = LOGIN_BAD;
		login->why = "gone_while_waiting";
	}
	count_login(p, login);
}

/* True: it is answered, *next_out comes next. */
static bool
go_on(struct pop3_service *p, bool answer_stands, int *next_out)
{
	if (must_wait(p, answer_stands) || (!answer_stands && send_to_workers(p)))
		return false;
	*next_out = (int)tell_answer(p);
	return true;
}

static void
wait_is_over(struct timer *t)
{
	struct wish *w = container_of(t, struct wish, wait);
	struct pop3_service *p = w->service;
	int next;

	if (p->service.wait == WAIT_FOR_END)
		return; /* the connection is on its way out, and takes the wish with it */
	end_wait(w);
	authenticate_note_wait(&w->login, p->service.shard->loop.now_ms);
	if (go_on(p, w->answer_stands, &next))
		service_resume(&p->service, next);
}

static void
verify_done(struct offload_job *job)
{
	struct pop3_service *p = come_home(job);
	struct shard *shard = p->service.shard;
	bool answer_stands =
		authenticate_go_on(&shard->authenticator, shard->loop.now_ms, &wish_of(job)->login);
	int next;

	if (go_on(p, answer_stands, &next))
		service_resume(&p->service, next);
}

bool
wish_verify(struct pop3_service *p, int *next_out)
{
	static const struct login_answer no_memory = { .verdict = LOGIN_UNAVAILABLE };
	struct shard *shard = p->service.shard;
	struct login_question question = pop3_session_question(&p->session);
	struct wish *w = take_wish(p);

	if (w == NULL) {
		*next_out = (int)pop3_session_answered(&p->session, &no_memory);
		return true;
	}
	question.peer.family = p->service.peer_family;
	memcpy(question.peer.address, p->service.peer_address, sizeof(question.peer.address));
	w->has_waited = false;
	return go_on(p,
		authenticate_begin(&shard->authenticator, &question, shard->loop.now_ms, &w->login),
		next_out);
}

/* ---- OPEN ---------------------------------------------------------------------------------- */

/* The address whose maildrop it is. */
static const char *
maildrop_address(const struct wish *w)
{
	const struct account *account = &w->login.account;

	return account->maildrop[0] != '\0' ? account->maildrop : account->address;
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
			span_of_string(p->wish->login.account.address),
			p->service.shard->loop.now_ms, &p->admission);
	wish_forget(p);
	if (error != 0)
		return pop3_session_opened(&p->session, error, NULL);
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
	struct pop3_service *p = come_home(job);

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
		send_away(p, p->service.shard->common->disk_workers, work_open, open_done))
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
	struct pop3_service *p = come_home(job);

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
	w = take_wish(p);
	if (w == NULL) {
		*next_out = (int)pop3_session_checked(&p->session, -ENOMEM);
		return true;
	}
	w->check.log_fd = p->hold->maildrop->log_fd;
	w->check.message = message;
	w->error = check_message(w, &p->service.shard->disk);
	if (w->error == -EAGAIN &&
		send_away(p, p->service.shard->common->disk_workers, work_check, check_done))
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
	struct pop3_service *p = come_home(job);

	service_resume(&p->service, (int)tell_scanned(p));
}

bool
wish_scan(struct pop3_service *p, int *next_out)
{
	struct wish *w = take_wish(p);

	if (w == NULL) {
		*next_out = (int)pop3_session_scanned(&p->session, -ENOMEM, 0);
		return true;
	}
	w->scan.what = pop3_session_scan(&p->session);
	w->error = scan_body(w, &p->service.shard->disk);
	if (w->error == -EAGAIN &&
		send_away(p, p->service.shard->common->disk_workers, work_scan, scan_done))
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
	struct pop3_service *p = come_home(job);

	service_resume(&p->service, (int)tell_committed(p, p->wish->error));
}

bool
wish_commit(struct pop3_service *p, int *next_out)
{
	struct wish *w = take_wish(p);
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
	if (send_away(p, p->service.shard->common->disk_workers, work_commit, commit_done))
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
