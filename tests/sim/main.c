/*
 * main.c - one simulation for each seed.
 *
 *   sim [--talk] [--lose-syncs] SEED [COUNT]
 *
 * A world of a few accounts: a courier brings mail, guests come and go, things go wrong as the seed
 * says, the server is stopped, killed, or the power cut.  At the end nothing goes wrong any more:
 * every maildrop is looked at, every octet verified, the server stops, and nothing may be left of
 * it.  One line for each seed with its trace; a violation says which promise was broken and how to
 * see it again.
 */
#include "tests/sim/courier.h"
#include "tests/sim/guest.h"
#include "tests/sim/mailer.h"
#include "tests/sim/model.h"
#include "tests/sim/net.h"
#include "tests/sim/server.h"

#include "storage/layout.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define GUESTS_MIN    40u
#define GUESTS_SPREAD 200u

/* Each world has one of these. */
#define CONFIGURATION                                                                              \
	"spool = \"/nowhere\"\n"                                                                   \
	"user = \"\"\n"                                                                            \
	"auth_workers = 2\n"                                                                       \
	"auth_cache_entries = 64\n"                                                                \
	"password_scheme = plain\n"                                                                \
	"hostname = mx.example.org\n"                                                              \
	"add_received = no\n"                                                                      \
	"lock_timeout_ms = 30000\n"                                                                \
	"connections_per_address = 0\n"                                                            \
	"login_deadline_s = 600\n"                                                                 \
	"idle_timeout_s = 600\n"                                                                   \
	"lmtp_timeout_s = 600\n"                                                                   \
	"drain_timeout_s = 20\n"                                                                   \
	"listen lmtp { address = \"127.0.0.1:24\"\nprotocol = lmtp }\n"                            \
	"listen pop3 { address = \"127.0.0.1:110\"\nplaintext_auth = yes }\n"
static const char *const configurations[] = {
	CONFIGURATION "disk_workers = 4\ndelivery_workers = 4\n",
	CONFIGURATION "disk_workers = 4\ndelivery_workers = 4\nsession_policy = exclusive\n",
	CONFIGURATION "disk_workers = 1\ndelivery_workers = 1\nmaildrop_cache = 0\n",
	CONFIGURATION "disk_workers = 8\ndelivery_workers = 8\ndraft_spill_octets = 65536\n"
		      "auth_cache_seconds = 0\n",
};

static struct settings *settings_of[array_count(configurations)];
static struct settings *settings;
static struct disk disk;
static unsigned shards;
static unsigned guests_left;
static bool story_is_over;
static unsigned addresses;
static unsigned stay_s; /* the time over which guests and mail come */
static unsigned accounts;
static bool is_kind; /* nothing happens that a guest may notice, but to the whole server */
static unsigned kills;
static unsigned power_cuts;
static uint64_t faults[FAULT_COUNT];

/* ---- who comes ----------------------------------------------------------------------------- */

static void
one_guest(void *ctx)
{
	(void)ctx;
	if (sim_chance(3))
		mailer_visit(accounts, ++addresses);
	else
		guest_visit(sim_below(accounts), ++addresses);
	guests_left--;
}

static void
guest_comes(void *ctx, uint64_t number)
{
	(void)ctx;
	(void)number;
	fiber_start(NULL, one_guest, NULL);
}

static void
invite_guests(void)
{
	guests_left = GUESTS_MIN + sim_below(GUESTS_SPREAD);
	for (unsigned i = 0; i < guests_left; i++)
		sim_later(sim_below(stay_s * 1000) * (uint64_t)SIM_MS, NULL, guest_comes, NULL, 0);
}

/* ---- what goes wrong ----------------------------------------------------------------------- */

/* In a quarter of the worlds nothing does that a guest might notice. */
static void
choose_faults(void)
{
	static const uint32_t one_in[] = { 20, 100, 300, 1000 };

	is_kind = sim_chance(4);
	for (unsigned f = 0; f < FAULT_COUNT; f++)
		if (sim_chance(2) && (f < FAULT_EXCUSES || !is_kind))
			sim.one_in[f] = one_in[sim_below(4)] * (f < FAULT_EXCUSES ? 1 : 5);
	sim.faults_on = true;
}

/* Losing an index loses nothing. */
static void
lose_indexes(void)
{
	bool faults_on = sim.faults_on;

	sim.faults_on = false;
	for (unsigned n = 0; n < accounts; n++) {
		char address[SIM_ADDRESS_OCTETS];
		char path[LAYOUT_PATH_MAX];

		sim_address(n, address);
		must(layout_file(address, "index", path) == 0);
		if (sim_chance(4))
			(void)disk_unlink(&disk, path);
	}
	sim.faults_on = faults_on;
}

static void
serve_again(void)
{
	if (sim_chance(4))
		lose_indexes();
	server_start(settings, &disk, shards);
}

static void
die(bool with_machine)
{
	kills++;
	power_cuts += with_machine;
	sim.excuses++;
	net_go_dark(with_machine);
	server_kill();
	if (with_machine) {
		courier_dies();
		simdisk_cut_power();
		courier_goes_on();
	}
	net_go_dark(false);
	model_crash(with_machine);
	serve_again();
}

/* For a while one kind of fault strikes every other time. */
static void
storm(void *ctx)
{
	unsigned count = sim_chance(4) ? 1 + sim_below(3) : 0;

	(void)ctx;
	for (unsigned i = 0; i < count; i++) {
		unsigned f = FAULT_EXCUSES + sim_below(FAULT_COUNT - FAULT_EXCUSES);
		uint32_t one_in = sim.one_in[f];

		fiber_sleep(sim_below(stay_s * 500) * (uint64_t)SIM_MS);
		sim_note("storm", f, 0);
		sim.one_in[f] = 2;
		fiber_sleep(sim_below(stay_s * 100) * (uint64_t)SIM_MS);
		sim.one_in[f] = one_in;
	}
}

static void
wait_until_down(void)
{
	while (server_is_up())
		fiber_sleep(100 * SIM_MS);
}

/* A few times in the story something happens to the whole server. */
static void
fate(void *ctx)
{
	unsigned blows = sim_below(5);

	(void)ctx;
	for (unsigned i = 0; i < blows; i++) {
		fiber_sleep(sim_below(stay_s * 500) * (uint64_t)SIM_MS);
		switch (sim_below(4)) {
		case 0:
			sim.stops = true;
			sim.excuses++;
			server_drain();
			wait_until_down();
			sim.excuses++;
			sim.stops = false;
			serve_again();
			break;
		case 1:
			die(false);
			break;
		default:
			die(true);
			break;
		}
		simdisk_evict();
	}
}

/* ---- the end ------------------------------------------------------------------------------- */

static void
inspect_all(void)
{
	for (unsigned n = 0; n < SIM_ACCOUNTS; n++)
		guest_inspect(n);
	for (unsigned n = 0; n < SIM_ACCOUNTS; n++)
		courier_verify(n);
}

static void
story(void *ctx)
{
	(void)ctx;
	serve_again();
	courier_start(&disk, accounts, 10 + sim_below(60), stay_s);
	invite_guests();
	if (!is_kind)
		fiber_start(NULL, storm, NULL);
	fate(NULL);
	while (guests_left > 0 || courier_left() > 0)
		fiber_sleep(SIM_S);
	sim.faults_on = false;
	if (sim.loses_syncs || sim_chance(2))
		die(sim.loses_syncs || sim_chance(2));
	fiber_sleep(SIM_S);
	inspect_all();
	server_drain();
	wait_until_down();
	fiber_sleep(100 * (uint64_t)SIM_S);
	story_is_over = true;
}

/* ---- one world ----------------------------------------------------------------------------- */

static void
simulate(uint64_t seed)
{
	sim_begin(seed);
	model_begin();
	simdisk_open(&disk);
	must(layout_prepare_spool(&disk, true) == 0);
	must(disk_sync_directory(&disk, ".") == 0);
	settings = settings_of[sim_below(array_count(configurations))];
	guest_expects_claims = settings->session_policy == SESSION_POLICY_EXCLUSIVE;
	model_sizes = sim_chance(5) ? 300000 : 3000;
	shards = 1 + sim_below(3);
	accounts = 1 + sim_below(SIM_ACCOUNTS);
	stay_s = sim_chance(3) ? 5 : sim_chance(2) ? 30 : 300;
	story_is_over = false;
	choose_faults();
	fiber_start(NULL, story, NULL);
	while (!story_is_over && sim_step())
		;
	if (!story_is_over)
		sim_violation("nothing happens any more");
	for (unsigned f = 0; f < FAULT_COUNT; f++)
		faults[f] += sim.faults[f];
	sim_doubts_forget_world();
	courier_forget_world();
	server_forget_world();
	net_forget_world();
	simdisk_close();
	model_end();
	sim_end();
}

static void
load_settings(const char *configuration, struct settings **settings_out)
{
	char path[32];
	int fd = memfd_create("configuration", MFD_CLOEXEC);
	ssize_t octets = (ssize_t)strlen(configuration);

	must(fd >= 0 && write(fd, configuration, (size_t)octets) == octets);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (!settings_load(path, stderr, settings_out))
		exit(1);
	close(fd);
}

/* Whatever ends the program: this is how to see it again. */
static void
tell_seed(int signal_number)
{
	char text[64];
	int length = snprintf(text, sizeof(text), "# make sim SEED=%" PRIu64 "\n", sim.seed);

	(void)!write(STDOUT_FILENO, text, (size_t)length);
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

static void
tell_faults(void)
{
	static const char *const names[] = {
		[FAULT_SHORT] = "short transfers",
		[FAULT_NOBUFS] = "receives without a buffer",
		[FAULT_COLD] = "cold reads",
		[FAULT_EMFILE] = "descriptors refused",
		[FAULT_OPEN] = "failed opens",
		[FAULT_READ] = "failed reads",
		[FAULT_WRITE] = "failed writes",
		[FAULT_SYNC] = "failed syncs",
		[FAULT_RENAME] = "failed changes of names",
		[FAULT_SPACE] = "full disks",
		[FAULT_MEMORY] = "failed allocations",
	};

	printf("# %u kills, %u of them power cuts", kills, power_cuts);
	for (unsigned f = 0; f < FAULT_COUNT; f++)
		printf(", %" PRIu64 " %s", faults[f], names[f]);
	printf("\n");
}

static double
host_seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

int
main(int count, char **words)
{
	uint64_t first = 1;
	uint64_t seeds = 1;
	unsigned numbers = 0;
	double simulated = 0;
	double began;

	for (int i = 1; i < count; i++) {
		if (strcmp(words[i], "--talk") == 0)
			sim.talks = true;
		else if (strcmp(words[i], "--lose-syncs") == 0)
			sim.loses_syncs = true;
		else if (numbers++ == 0)
			first = strtoull(words[i], NULL, 10);
		else
			seeds = strtoull(words[i], NULL, 10);
	}
	setvbuf(stdout, NULL, sim.talks ? _IOFBF : _IOLBF, 0);
	signal(SIGABRT, tell_seed);
	signal(SIGSEGV, tell_seed);
	for (unsigned i = 0; i < array_count(configurations); i++)
		load_settings(configurations[i], &settings_of[i]);
	began = host_seconds();
	for (uint64_t seed = first; seed < first + seeds; seed++) {
		simulate(seed);
		simulated += (double)(sim.now_ns - sim.began_ns) / 1e9;
		printf("seed %" PRIu64 " trace %016" PRIx64 " steps %" PRIu64 "\n", seed, sim.trace,
			sim.steps);
	}
	printf("# %" PRIu64 " seeds, %u sessions, %u replies checked, %u farewells, %u lost\n",
		seeds, guest_counts.sessions, guest_counts.replies, guest_counts.farewells,
		guest_counts.lost);
	printf("# %u LMTP sessions, %u messages acknowledged, %u not\n", mailer_counts.sessions,
		mailer_counts.delivered, mailer_counts.failed);
	tell_faults();
	printf("# %.0f s simulated in %.1f s: %.0f times faster than real time\n", simulated,
		host_seconds() - began, simulated / (host_seconds() - began));
	for (unsigned i = 0; i < array_count(configurations); i++)
		settings_free(settings_of[i]);
	return 0;
}
