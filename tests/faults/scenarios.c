/*
 * scenarios.c - what is done while something fails, and what was said about it.
 */
#include "io/base/must.h"
#include "storage/convert/import.h"
#include "storage/desk.h"
#include "storage/draft.h"
#include "tests/faults/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* ---- steps --------------------------------------------------------------------------------- */

int
stage_deliver(struct stage *s, struct model *m, unsigned first, unsigned last, bool with_ids)
{
	char text[MODEL_TEXT_MAX];
	uint32_t uids[MODEL_MESSAGES];
	struct maildrop_writer *w;
	int error = maildrop_writer_open(s->disk, m->address, &spool_options, 0, &w);

	if (error != 0) {
		model_delivered(m, first, last, NULL, error);
		return error;
	}
	for (unsigned n = first; error == 0 && n <= last; n++) {
		struct maildrop_delivery delivery = { .arrived_at = n };
		char id[32];

		snprintf(id, sizeof(id), "imported-%u", n);
		if (with_ids)
			delivery.unique_id = id;
		error = maildrop_writer_begin(w, &delivery);
		if (error == 0)
			error = maildrop_writer_text(w, span_of(text, model_text(n, text)));
		else
			break;
		if (error == 0)
			error = maildrop_writer_end(w, &uids[n - first]);
	}
	if (error == 0)
		error = maildrop_writer_commit(w);
	model_delivered(m, first, last, uids, error);
	if (error == 0)
		m->uid_validity = maildrop_writer_uid_validity(w);
	maildrop_writer_close(w);
	return error;
}

static void delete (struct stage *s, struct model *m, const unsigned *numbers, unsigned count)
{
	uint32_t uids[MODEL_MESSAGES];
	uint32_t uid_count = 0;
	uint32_t removed = 0;
	int error;

	for (unsigned i = 0; i < count; i++) {
		if (m->fate[numbers[i]] == THERE)
			uids[uid_count++] = m->uid[numbers[i]];
	}
	error = maildrop_commit(s->disk, m->address, &spool_options, uids, uid_count, &removed);
	if (error == 0)
		assert_int_equal(removed, uid_count);
	model_deleted(m, numbers, count, error);
}

#define DELETE(s, m, ...)                                                                          \
	delete (s, m, (const unsigned[]){ __VA_ARGS__ },                                           \
		array_count(((const unsigned[]){ __VA_ARGS__ })))

/* A login: what it shows is right, or it shows nothing. */
static void
look(struct stage *s, struct model *m)
{
	struct maildrop *drop;
	int error = maildrop_open(s->disk, m->address, &spool_options, &drop);
	uint32_t expected = 0;
	uint32_t in_doubt = 0;

	m->failed |= error != 0;
	if (error != 0)
		return;
	for (unsigned n = 0; n < MODEL_MESSAGES; n++) {
		expected += m->fate[n] == THERE;
		in_doubt += m->fate[n] == UNKNOWN;
	}
	assert_true(drop->count >= expected && drop->count <= expected + in_doubt);
	maildrop_close(s->disk, drop);
}

static void
reclaim(struct stage *s, struct model *m)
{
	m->failed |= maildrop_reclaim(s->disk, m->address, &spool_options) != 0;
}

static void
compact(struct stage *s, struct model *m)
{
	uint64_t before;
	uint64_t after;

	m->failed |= maildrop_compact(s->disk, m->address, &spool_options, &before, &after) != 0;
}

static void
index_path(const struct stage *s, char path[512])
{
	spool_path(&s->spool, s->alice.address, "index", path, 512);
}

/* ---- deliveries ---------------------------------------------------------------------------- */

static void
nothing(struct stage *s)
{
	(void)s;
}

static void
some_mail(struct stage *s)
{
	assert_int_equal(stage_deliver(s, &s->alice, 0, 3, false), 0);
	assert_int_equal(stage_deliver(s, &s->alice, 4, 5, true), 0);
	assert_int_equal(stage_deliver(s, &s->bob, 0, 1, false), 0);
}

static void
deliver_first(struct stage *s)
{
	stage_deliver(s, &s->alice, 0, 0, false);
}

static void
deliver_more(struct stage *s)
{
	stage_deliver(s, &s->alice, 10, 13, false);
	stage_deliver(s, &s->alice, 14, 15, true);
}

static void
deliver_to_several(struct stage *s)
{
	stage_deliver(s, &s->alice, 10, 10, false);
	stage_deliver(s, &s->bob, 10, 10, false);
	stage_deliver(s, &s->alice, 11, 11, false);
}

/* ---- the desk ------------------------------------------------------------------------------ */

/* Message n as it comes in by LMTP; a large one does not fit and is spilled. */
static int
fill_draft(struct draft *draft, unsigned n, bool is_wire)
{
	char text[MODEL_TEXT_MAX];
	size_t length = model_text(n, text);
	struct span left = span_after(span_of(text, length), strcspn(text, "\n") + 1);
	int error;

	if (is_wire) { /* behind the blank line stands the only dot */
		memmove(text + length - left.length + 3, left.at + 2, left.length - 2);
		text[length - left.length + 2] = '.';
		left.length++;
	}
	do {
		error = is_wire ? draft_put_wire(draft, &left) : draft_put_text(draft, &left);
		if (error == -EAGAIN)
			error = draft_spill(draft);
	} while (error == 0 && left.length > 0);
	while (error == 0 && (error = draft_end(draft)) == -EAGAIN)
		error = draft_spill(draft);
	return error;
}

static struct desk_delivery
delivery_of(const struct draft *draft, const struct model *m, unsigned n)
{
	static char heads[MODEL_MESSAGES][32];

	snprintf(heads[n], sizeof(heads[n]), "Subject: %u\r\n", n);
	return (struct desk_delivery){
		.address = m->address,
		.draft = draft,
		.head = span_of_string(heads[n]),
		.arrived_at = n,
	};
}

/* Three for alice in one batch, one of them over quota, and two of them for bob as well. */
static void
deliver_drafts(struct stage *s, struct draft *const drafts[3])
{
	struct desk_delivery alice[3];
	struct desk_delivery bob[2];

	for (unsigned i = 0; i < 3; i++) {
		alice[i] = delivery_of(drafts[i], &s->alice, 10 + i);
		alice[i].next = i < 2 ? &alice[i + 1] : NULL;
	}
	alice[2].quota_messages = 1;
	for (unsigned i = 0; i < 2; i++) {
		bob[i] = delivery_of(drafts[i], &s->bob, 10 + i);
		bob[i].next = i < 1 ? &bob[i + 1] : NULL;
	}
	desk_deliver(s->disk, &spool_options, alice);
	desk_deliver(s->disk, &spool_options, bob);
	for (unsigned i = 0; i < 2; i++) {
		model_delivered(&s->alice, 10 + i, 10 + i, &alice[i].uid, alice[i].error);
		model_delivered(&s->bob, 10 + i, 10 + i, &bob[i].uid, bob[i].error);
	}
	assert_int_not_equal(alice[2].error, 0);
	s->failed |= alice[2].error != -EDQUOT;
}

static void
deliver_by_desk(struct stage *s)
{
	const struct draft_options options = {
		.drafts_max = 3,
		.blocks_max = 6,
		.memory_octets_max = 2 * DRAFT_BLOCK_OCTETS,
	};
	struct draft *drafts[3] = { NULL };
	struct draft_pool pool;
	int error = 0;

	draft_pool_init(&pool, s->disk, &options);
	for (unsigned i = 0; error == 0 && i < 3; i++) {
		drafts[i] = draft_begin(&pool);
		error = drafts[i] == NULL ? -ENOMEM : fill_draft(drafts[i], 10 + i, i != 0);
	}
	s->failed |= error != 0;
	if (error == 0)
		deliver_drafts(s, drafts);
	for (unsigned i = 0; i < 3; i++)
		if (drafts[i] != NULL)
			draft_free(drafts[i]);
	draft_pool_destroy(&pool);
}

/* ---- deletions and what follows them ------------------------------------------------------- */

static void
delete_some(struct stage *s)
{
	DELETE(s, &s->alice, 0, 2, 5);
	look(s, &s->alice);
	stage_deliver(s, &s->alice, 10, 10, false);
}

static void
dead_mail(struct stage *s)
{
	some_mail(s);
	assert_int_equal(stage_deliver(s, &s->alice, 19, 19, false), 0);
	DELETE(s, &s->alice, 3, 19);
}

static void
reclaim_holes(struct stage *s)
{
	reclaim(s, &s->alice);
	stage_deliver(s, &s->alice, 10, 10, false);
}

static void
all_dead(struct stage *s)
{
	some_mail(s);
	DELETE(s, &s->alice, 0, 1, 2, 3, 4, 5);
}

static void
reclaim_all(struct stage *s)
{
	reclaim(s, &s->alice);
	look(s, &s->alice);
	stage_deliver(s, &s->alice, 10, 10, false);
}

/* More than a megabyte, most of it dead. */
static void
mostly_dead(struct stage *s)
{
	char *large = malloc(1200000);
	struct maildrop_writer *w;
	uint32_t removed;
	uint32_t uid;

	assert_non_null(large);
	memset(large, 'x', 1200000);
	some_mail(s);
	assert_int_equal(maildrop_writer_open(s->disk, s->alice.address, &spool_options, 0, &w), 0);
	uid = spool_add(w, large, 1200000, NULL, 0);
	assert_int_equal(maildrop_writer_commit(w), 0);
	maildrop_writer_close(w);
	assert_int_equal(
		maildrop_commit(s->disk, s->alice.address, &spool_options, &uid, 1, &removed), 0);
	s->alice.next_uid = uid + 1;
	free(large);
}

static void
compact_twice(struct stage *s)
{
	compact(s, &s->alice);
	stage_deliver(s, &s->alice, 10, 10, true);
	compact(s, &s->alice);
	look(s, &s->alice);
}

static void
whole_life(struct stage *s)
{
	struct model *m = &s->alice;

	stage_deliver(s, m, 0, 0, false);
	stage_deliver(s, m, 1, 5, false);
	DELETE(s, m, 0, 2, 3);
	reclaim(s, m);
	stage_deliver(s, m, 6, 7, true);
	compact(s, m);
	stage_deliver(s, m, 8, 8, false);
	look(s, m);
	DELETE(s, m, 1, 4, 5, 6, 7, 8);
	reclaim(s, m);
	stage_deliver(s, m, 9, 12, false);
	DELETE(s, m, 10);
	look(s, m);
}

/* ---- the index ----------------------------------------------------------------------------- */

static void
lose_index(struct stage *s)
{
	char path[512];

	dead_mail(s);
	index_path(s, path);
	assert_int_equal(unlink(path), 0);
}

/* As a crash leaves it: the last commit is in the log only. */
static void
index_behind(struct stage *s)
{
	char path[512];
	struct stat st;

	some_mail(s);
	index_path(s, path);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(stage_deliver(s, &s->alice, 10, 11, false), 0);
	assert_int_equal(truncate(path, st.st_size), 0);
}

static void
damage_index(struct stage *s)
{
	char path[512];
	int fd;

	some_mail(s);
	index_path(s, path);
	fd = open(path, O_WRONLY);
	assert_int_equal(pwrite(fd, "damage", 6, 64 + 70), 6);
	close(fd);
}

static void
look_and_deliver(struct stage *s)
{
	look(s, &s->alice);
	stage_deliver(s, &s->alice, 20, 20, false);
	look(s, &s->alice);
}

/* ---- repair -------------------------------------------------------------------------------- */

static void
damage_log(struct stage *s)
{
	struct maildrop *drop;
	char path[512];
	char octet;
	int fd;

	some_mail(s);
	drop = spool_open(s->disk, s->alice.address);
	spool_path(&s->spool, s->alice.address, "log", path, sizeof(path));
	fd = open(path, O_RDWR);
	assert_int_equal(pread(fd, &octet, 1, (off_t)drop->entries[1].wire_offset + 20), 1);
	octet ^= 1;
	assert_int_equal(pwrite(fd, &octet, 1, (off_t)drop->entries[1].wire_offset + 20), 1);
	close(fd);
	maildrop_close(s->disk, drop);
	s->alice.fate[1] = GONE; /* to be given up, and nothing but it */
}

static void
hear_nothing(void *ctx, uint64_t offset, const char *text)
{
	(void)ctx;
	(void)offset;
	(void)text;
}

static int
repair_alice(struct stage *s)
{
	return maildrop_repair(s->disk, s->alice.address, &spool_options, hear_nothing, NULL);
}

static void
repair(struct stage *s)
{
	s->alice.failed |= repair_alice(s) != 0;
}

static void
repair_again(struct stage *s)
{
	assert_int_equal(repair_alice(s), 0);
}

/* ---- import -------------------------------------------------------------------------------- */

static void
write_source(const struct stage *s, const char *folder, unsigned n)
{
	char path[256];
	char text[MODEL_TEXT_MAX];
	size_t length = model_text(n, text);
	int fd;

	snprintf(path, sizeof(path), "%s/%s", s->source, folder);
	mkdir(path, 0700);
	if (n == MODEL_MESSAGES)
		return;
	snprintf(path, sizeof(path), "%s/%s/%u.M1P1.host:2,S", s->source, folder, 1000000000 + n);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
	assert_int_equal(write(fd, text, length), length);
	close(fd);
}

static void
a_source(struct stage *s)
{
	mkdir(s->source, 0700);
	write_source(s, "new", MODEL_MESSAGES);
	write_source(s, "tmp", MODEL_MESSAGES);
	for (unsigned n = 20; n < 26; n++)
		write_source(s, "cur", n);
}

static void
a_source_and_mail(struct stage *s)
{
	some_mail(s);
	a_source(s);
}

static int
import_source_once(struct stage *s)
{
	const struct source_options source_options = { .lock_timeout_ms = 1000 };
	const struct import_options options = { .maildrop = spool_options };
	struct import_counts counts = { 0 };
	struct source *source;
	int error = source_open_maildir(s->source, &source_options, &source);

	if (error != 0)
		return error;
	error = import_source(s->disk, s->alice.address, source, &options, &counts);
	source_close(source);
	return error != 0 ? error : counts.damaged > 0 ? -EIO : 0;
}

static void
import_mail(struct stage *s)
{
	int error = import_source_once(s);

	model_delivered(&s->alice, 20, 25, NULL, error);
	/* what could not be read is left out, the rest goes on */
	for (unsigned n = 20; error != 0 && n < 26; n++)
		s->alice.together[n] = s->alice.steps++;
}

/* Whatever the first import came to, a second one brings what is missing, and nothing twice. */
static void
import_again(struct stage *s)
{
	assert_int_equal(import_source_once(s), 0);
	model_delivered(&s->alice, 20, 25, NULL, 0);
}

/* ---- uids, and the end --------------------------------------------------------------------- */

static void
reserve(struct stage *s)
{
	int error = maildrop_reserve_uids(s->disk, s->alice.address, &spool_options, 1000);

	s->alice.failed |= error != 0;
	if (error == 0)
		s->alice.next_uid = 1000;
	stage_deliver(s, &s->alice, 10, 10, false);
}

static void
remove_maildrop(struct stage *s)
{
	unsigned all[MODEL_MESSAGES];
	int error = maildrop_remove(s->disk, s->alice.address, &spool_options);

	for (unsigned n = 0; n < MODEL_MESSAGES; n++)
		all[n] = n;
	model_deleted(&s->alice, all, MODEL_MESSAGES, error);
	s->alice.may_be_another = true;
}

/* What a removal that failed has left is no maildrop that could be opened: the log is still there,
 * and all in it, or it is removed. */
static void
remove_again(struct stage *s)
{
	assert_int_equal(maildrop_remove(s->disk, s->alice.address, &spool_options), 0);
	for (unsigned n = 0; n < MODEL_MESSAGES; n++)
		s->alice.fate[n] = s->alice.fate[n] == NOT_YET ? NOT_YET : GONE;
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void
mail_and_accounts(struct stage *s)
{
	some_mail(s);
	stage_add_accounts(s);
}

static void
a_session_on_a_lost_index(struct stage *s)
{
	lose_index(s);
	stage_add_accounts(s);
}

const struct scenario scenarios[] = {
	{ "the first delivery", nothing, deliver_first, NULL },
	{ "deliveries", some_mail, deliver_more, NULL },
	{ "deliveries to several", some_mail, deliver_to_several, NULL },
	{ "deliveries by the desk", some_mail, deliver_by_desk, NULL },
	{ "a deletion", some_mail, delete_some, NULL },
	{ "holes", dead_mail, reclaim_holes, NULL },
	{ "a fresh log when all is gone", all_dead, reclaim_all, NULL },
	{ "a compaction when most is gone", mostly_dead, reclaim_holes, NULL },
	{ "compactions", dead_mail, compact_twice, NULL },
	{ "a whole life", nothing, whole_life, NULL },
	{ "the index is lost", lose_index, look_and_deliver, NULL },
	{ "the index is behind", index_behind, look_and_deliver, NULL },
	{ "the index is damaged", damage_index, look_and_deliver, NULL },
	{ "a repair", damage_log, repair, repair_again },
	{ "a first import", a_source, import_mail, import_again },
	{ "an import", a_source_and_mail, import_mail, import_again },
	{ "uids are reserved", some_mail, reserve, NULL },
	{ "a removal", some_mail, remove_maildrop, remove_again },
	{ "accounts", stage_add_accounts, stage_change_accounts, stage_check_accounts },
	{ "an LMTP session", mail_and_accounts, stage_lmtp, NULL },
	{ "a POP3 session", mail_and_accounts, stage_pop3, NULL },
	{ "a POP3 session that finds no index", a_session_on_a_lost_index, stage_pop3, NULL },
};
const size_t scenario_count = array_count(scenarios);
