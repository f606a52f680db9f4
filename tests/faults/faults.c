/*
 * faults.c - the n-th write, sync, open, ... allocation or LMDB call fails, for n = 1, 2, 3 until a
 * run meets none; once, and with all that follow; with EIO, ENOSPC and where it fits EMFILE.
 *
 *   faults [word]        only scenarios whose names hold it
 *
 * After each run: nothing positive was said wrongly; on a sound disk the maildrop opens with what
 * must be in it, verify finds nothing, and it goes on; no memory, no descriptor (and with them no
 * lock) and no file is left behind.
 */
#include "tests/faults/points.h"
#include "tests/faults/stage.h"
#include "tests/unit/fault_disk.h"

#include <dirent.h>

#define DISK_KINDS 14u
#define MANY       2000u /* no scenario makes so many calls of one kind */

/* What fails, for the message when a check does. */
struct fault {
	const char *what;
	enum points_kind points; /* POINTS_NONE: the disk */
	unsigned kinds;          /* of the disk's calls */
	unsigned at;
	int error;
	bool is_sticky;
};

static struct fault present;
static unsigned runs;

static unsigned
count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned count = 0;

	assert_non_null(dir);
	while (readdir(dir) != NULL)
		count++;
	closedir(dir);
	return count;
}

static void
stage_make(struct stage *s)
{
	*s = (struct stage){ .failed = false };
	spool_make(&s->spool);
	s->disk = &s->spool.disk;
	model_init(&s->alice, "alice@example.org");
	model_init(&s->bob, "bob@example.org");
	snprintf(s->accounts, sizeof(s->accounts), "%s/accounts.lmdb", s->spool.root);
	snprintf(s->source, sizeof(s->source), "%s/source", s->spool.root);
}

/* With `f` on the disk; true if it was met. */
static bool
act_on_disk(const struct scenario *scenario, struct stage *s, const struct fault *f)
{
	struct fault_disk disk;
	bool was_hit;

	fault_init(&disk, &s->spool.disk, f->at, -f->error, false);
	disk.kinds = f->kinds;
	disk.is_sticky = f->is_sticky;
	s->disk = &disk.disk;
	points_arm(POINTS_NONE, 0, 0, false);
	scenario->act(s);
	points_disarm();
	was_hit = disk.was_hit;
	s->disk = &s->spool.disk;
	fault_free(&disk);
	return was_hit;
}

static bool
act_at_points(const struct scenario *scenario, struct stage *s, const struct fault *f)
{
	bool was_hit;

	points_arm(f->points, f->at, f->error, f->is_sticky);
	scenario->act(s);
	was_hit = points_disarm();
	assert_int_equal(points_leaked(), 0);
	return was_hit;
}

static bool
run(const struct scenario *scenario, const struct fault *f)
{
	unsigned descriptors = count_descriptors();
	unsigned before;
	struct stage s;
	bool was_hit;

	present = *f;
	runs++;
	stage_make(&s);
	scenario->prepare(&s);
	before = count_descriptors();
	if (f->points == POINTS_NONE)
		was_hit = act_on_disk(scenario, &s, f);
	else
		was_hit = act_at_points(scenario, &s, f);
	assert_int_equal(count_descriptors(), before);
	assert_true(was_hit || (!s.failed && !s.alice.failed && !s.bob.failed));
	if (scenario->finish != NULL)
		scenario->finish(&s);
	model_check(&s.alice, &s.spool.disk);
	model_check(&s.bob, &s.spool.disk);
	spool_remove(&s.spool);
	assert_int_equal(count_descriptors(), descriptors);
	present.what = NULL;
	return was_hit;
}

static void
run_until_none_is_met(const struct scenario *scenario, struct fault f)
{
	for (f.at = 1; run(scenario, &f); f.at++)
		assert_true(f.at < MANY);
}

static void
run_all(void **state)
{
	static const char *const disk_words[DISK_KINDS] = { "open", "read", "write", "sync",
		"sync of a directory", "truncate", "punch", "status", "lock", "mkdir", "rename",
		"link", "unlink", "list" };
	const struct scenario *scenario = *state;

	for (unsigned sticky = 0; sticky < 2; sticky++) {
		for (unsigned kind = 0; kind < DISK_KINDS; kind++) {
			struct fault f = {
				.what = disk_words[kind],
				.kinds = 1u << kind,
				.error = EIO,
				.is_sticky = sticky != 0,
			};

			run_until_none_is_met(scenario, f);
			f.error = f.kinds == FAULT_OPEN ? EMFILE : ENOSPC;
			if ((f.kinds & (FAULT_READ | FAULT_STATUS | FAULT_LOCK | FAULT_LIST)) == 0)
				run_until_none_is_met(scenario, f);
		}
		run_until_none_is_met(scenario,
			(struct fault){ "allocation", POINTS_ALLOCATION, 0, 0, ENOMEM, sticky });
		run_until_none_is_met(
			scenario, (struct fault){ "LMDB", POINTS_LMDB, 0, 0, EIO, sticky });
		run_until_none_is_met(
			scenario, (struct fault){ "LMDB", POINTS_LMDB, 0, 0, ENOSPC, sticky });
	}
}

static int
say_what_failed(void **state)
{
	(void)state;
	points_disarm();
	if (present.what != NULL)
		print_error("%s %u fails%s with %s\n", present.what, present.at,
			present.is_sticky ? ", and all that follow," : "", strerror(present.error));
	present.what = NULL;
	return 0;
}

int
main(int argc, char **argv)
{
	struct CMUnitTest tests[32];
	size_t count = 0;
	int failed;

	for (size_t i = 0; i < scenario_count; i++) {
		if (argc > 1 && strstr(scenarios[i].name, argv[1]) == NULL)
			continue;
		tests[count++] = (struct CMUnitTest){
			.name = scenarios[i].name,
			.test_func = run_all,
			.teardown_func = say_what_failed,
			.initial_state = (void *)&scenarios[i],
		};
	}
	failed = _cmocka_run_group_tests("faults", tests, count, NULL, NULL);
	print_message("# %u runs\n", runs);
	return failed;
}
