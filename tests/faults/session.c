/*
 * session.c - one POP3 session from greeting to QUIT: the pure session with the real accounts and
 * maildrops behind it, on the stage's disk.
 *
 * What is positive in an answer must be true: STAT counts all that must be there, RETR brings the
 * message to the last octet, +OK to QUIT means that the deletions stay, and a fault is never told
 * as a wrong password.
 */
#include "core/pop3/session.h"
#include "core/auth/authenticate.h"
#include "core/limits.h"
#include "core/line.h"
#include "io/base/must.h"
#include "storage/content.h"
#include "tests/faults/stage.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct client {
	struct stage *stage;
	struct pop3_session session;
	struct segments_pool pool;
	struct segments reply;
	struct slab names;
	struct authenticator authenticator;
	struct maildrop *maildrop;
	char *said; /* by the last command */
	size_t said_octets;
	bool is_over;
	bool has_committed; /* or tried to */
};

static const struct pop3_policy policy = {
	.greeting = "ready",
	.implementation = "ringpost",
	.plaintext_auth = true,
	.failed_logins_max = 3,
};

/* As the socket would: what a full reply holds, from memory and from the file. */
static void
take_reply(struct client *c)
{
	if (c->reply.failed) { /* a reply with a hole is never sent: the connection ends */
		segments_clear(&c->reply);
		c->is_over = true;
		return;
	}
	while (!segments_is_empty(&c->reply)) {
		const struct segment *first = c->reply.first;
		size_t octets = (size_t)(first->end - first->offset);
		char *to = c->said + c->said_octets;

		assert_true(c->said_octets + octets < MODEL_TEXT_MAX * 2);
		if (first->fd >= 0)
			assert_int_equal(
				pread(first->fd, to, octets, (off_t)first->offset), octets);
		else
			memcpy(to, segment_octets(first).at, octets);
		c->said_octets += octets;
		segments_advance(&c->reply, octets);
	}
	c->said[c->said_octets] = '\0';
}

static enum pop3_next
verify(struct client *c)
{
	struct login_question question = pop3_session_question(&c->session);
	struct login_request login = { .secret_octets = 0 };
	enum pop3_next next;

	if (!authenticate_begin(&c->authenticator, &question, 1, &login)) {
		do
			authenticate_work(&login);
		while (!authenticate_go_on(&c->authenticator, 1, &login));
	}
	assert_int_not_equal(login.answer.verdict, LOGIN_BAD);
	next = pop3_session_answered(&c->session, &login.answer);
	authenticate_forget(&login);
	return next;
}

static enum pop3_next
open_maildrop(struct client *c)
{
	int error = maildrop_open(
		c->stage->disk, c->stage->alice.address, &spool_options, &c->maildrop);

	return pop3_session_opened(&c->session, error, error == 0 ? c->maildrop : NULL);
}

static enum pop3_next
commit(struct client *c)
{
	uint32_t uids[MODEL_MESSAGES];
	uint32_t removed;

	assert_true(listing_deleted(&c->session.listing) <= MODEL_MESSAGES);
	listing_deleted_uids(&c->session.listing, uids);
	c->has_committed = true;
	return pop3_session_committed(&c->session,
		maildrop_commit(c->stage->disk, c->stage->alice.address, &spool_options, uids,
			listing_deleted(&c->session.listing), &removed));
}

static void
go_on(struct client *c, enum pop3_next next)
{
	while (next != POP3_NEXT_LINE) {
		switch (next) {
		case POP3_NEXT_DRAIN:
			take_reply(c);
			if (c->is_over)
				return;
			next = pop3_session_drained(&c->session);
			break;
		case POP3_NEXT_VERIFY:
			next = verify(c);
			break;
		case POP3_NEXT_OPEN:
			next = open_maildrop(c);
			break;
		case POP3_NEXT_CHECK:
			next = pop3_session_checked(&c->session,
				content_check(c->stage->disk, c->maildrop->log_fd,
					pop3_session_check(&c->session)));
			break;
		case POP3_NEXT_COMMIT:
			next = commit(c);
			break;
		case POP3_NEXT_CLOSE:
		case POP3_NEXT_REFUSE:
			take_reply(c);
			c->is_over = true;
			return;
		case POP3_NEXT_LINE:
		case POP3_NEXT_SCAN:
		case POP3_NEXT_XCLIENT:
		case POP3_NEXT_TLS:
			fail_msg("nobody asked for that");
		}
	}
	take_reply(c);
}

/* True: the answer is +OK. */
static bool
command(struct client *c, const char *line)
{
	c->said_octets = 0;
	c->said[0] = '\0';
	if (c->is_over)
		return false;
	go_on(c, pop3_session_line(&c->session, span_of_string(line)));
	return strncmp(c->said, "+OK", 3) == 0;
}

static void
fetch(struct client *c, unsigned count)
{
	struct model *m = &c->stage->alice;

	for (unsigned i = 1; i <= count; i++) {
		char line[32];
		int n;

		snprintf(line, sizeof(line), "RETR %u", i);
		if (!command(c, line)) {
			m->failed = true;
			continue;
		}
		n = model_number(c->said, c->said_octets);
		assert_true(n >= 0);
		assert_int_equal(m->fate[n], THERE);
	}
}

static unsigned
count_there(const struct model *m)
{
	unsigned count = 0;

	for (unsigned n = 0; n < MODEL_MESSAGES; n++)
		count += m->fate[n] == THERE;
	return count;
}

/* The model's number of message-number 1, 2, ... of a fresh snapshot. */
static unsigned
nth_there(const struct model *m, unsigned message_number)
{
	unsigned n = 0;

	for (;; n++) {
		if (m->fate[n] == THERE && --message_number == 0)
			return n;
	}
}

static void
fetch_and_delete(struct client *c)
{
	struct model *m = &c->stage->alice;
	const unsigned deleted[] = { nth_there(m, 1), nth_there(m, 3) };
	bool is_fine = command(c, "STAT");
	unsigned count;

	if (is_fine) {
		assert_int_equal(sscanf(c->said, "+OK %u", &count), 1);
		assert_int_equal(count, count_there(m));
	}
	m->failed |= !is_fine;
	fetch(c, count_there(m));
	is_fine = command(c, "DELE 1") && command(c, "DELE 3");
	m->failed |= !is_fine;
	if (is_fine && command(c, "QUIT"))
		model_deleted(m, deleted, 2, 0);
	else if (c->has_committed)
		model_deleted(m, deleted, 2, -EIO);
	else
		m->failed = true;
}

static void
talk(struct client *c)
{
	struct model *m = &c->stage->alice;
	char line[64];

	go_on(c, pop3_session_greet(&c->session, NULL));
	snprintf(line, sizeof(line), "USER %s", m->address);
	if (command(c, line) && command(c, "PASS " STAGE_SECRET)) {
		fetch_and_delete(c);
		return;
	}
	m->failed = true;
	assert_true(c->said[0] == '\0' || strstr(c->said, "[SYS/TEMP]") != NULL);
}

static void
play(struct client *c)
{
	segments_pool_init(&c->pool, 64);
	segments_init(&c->reply, &c->pool);
	slab_init(&c->names, LINE_OCTETS_MAX, 1);
	pop3_session_init(&c->session, &policy, &c->reply, &c->names);
	talk(c);
	segments_clear(&c->reply);
	pop3_session_end(&c->session);
	maildrop_close(c->stage->disk, c->maildrop);
	segments_pool_destroy(&c->pool);
	slab_destroy(&c->names);
}

void
stage_pop3(struct stage *s)
{
	static struct source lmdb = { .name = "lmdb" };
	static struct source *const sources[] = { &lmdb };
	static const struct login_policy login_policy = {
		.sources = sources,
		.source_count = 1,
		.rules = { .default_domain = "", .detail_separator = "" },
		.dummy_hash = "{PLAIN}nobody",
	};
	static char said[MODEL_TEXT_MAX * 2];
	struct client c = {
		.stage = s,
		.said = said,
		.authenticator.policy = &login_policy,
	};
	struct accounts *accounts;
	int error = accounts_open(s->accounts, ACCOUNTS_READ, &accounts);

	s->alice.failed |= error != 0;
	if (error != 0)
		return;
	error = accounts_reader_open(accounts, &c.authenticator.accounts);
	if (error == 0)
		error = login_cache_create(8, 60, &c.authenticator.good_logins);
	s->alice.failed |= error != 0;
	if (error == 0) {
		play(&c);
		login_cache_destroy(c.authenticator.good_logins);
	}
	if (c.authenticator.accounts != NULL)
		accounts_reader_close(c.authenticator.accounts);
	accounts_close(accounts);
}
