/*
 * syncs.c - how many deliveries the disk can make durable, and what each costs us.
 *
 *   build/release/bench/micro/syncs [--json] [DIRECTORY]     (below /var/tmp)
 *
 * The floor is 20 KiB appended and fdatasync(2)ed, again and again, by 1 and by 32 threads, each to
 * files of its own.  Beside it the same by one thread with a ring of its own that keeps 32 syncs in
 * flight (IORING_OP_FSYNC, io-wq bounded at 32 workers), and into space that was allocated before.
 * Then the same octets as mail: through drafts and the desk, from one shard with one or 32
 * connections that each wait for their answer, to maildrops in turn and to a single one.
 * CPU is user and system time of the whole process, io-wq's threads included.
 */
#include "bench/micro/micro.h"
#include "io/base/must.h"
#include "storage/desk.h"

#include <fcntl.h>
#include <ftw.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
	OCTETS = 20 * 1024,
	FILES = 256,
	AT_ONCE = 32,
	MEASURE_NS = 2000000000,
	FILE_OCTETS_MAX = 8 << 20, /* then it is begun anew */
};

static char message[OCTETS];
static char root[256];
static unsigned ahead; /* octets allocated at once; 0: as the file grows */

struct file {
	int fd;
	uint64_t octets;
	uint64_t allocated;
};

static struct file files[FILES];
static uint64_t deadline_ns;

static uint64_t
cpu_ns(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * 1000000000 +
		(uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static void
open_files(void)
{
	for (unsigned i = 0; i < FILES; i++) {
		char path[300];

		snprintf(path, sizeof(path), "%s/%u", root, i);
		files[i].fd = open(path, O_CREAT | O_RDWR | O_TRUNC, 0600);
		files[i].octets = 0;
		files[i].allocated = 0;
		must(files[i].fd >= 0);
	}
	sync();
}

static void
close_files(void)
{
	for (unsigned i = 0; i < FILES; i++)
		close(files[i].fd);
}

static void
append(struct file *f)
{
	if (f->octets + OCTETS > FILE_OCTETS_MAX)
		f->octets = 0;
	if (ahead > 0 && f->octets + OCTETS > f->allocated) {
		uint64_t to = (f->octets + OCTETS + ahead - 1) / ahead * ahead;

		must(fallocate(f->fd, FALLOC_FL_KEEP_SIZE, (off_t)f->allocated,
			     (off_t)(to - f->allocated)) == 0);
		f->allocated = to;
	}
	must(pwrite(f->fd, message, OCTETS, (off_t)f->octets) == OCTETS);
	f->octets += OCTETS;
}

/* ---- threads ------------------------------------------------------------------------------- */

struct hand {
	pthread_t thread;
	unsigned number;
	unsigned hands;
	uint64_t appends;
};

static void *
append_and_sync(void *argument)
{
	struct hand *h = argument;
	unsigned at = h->number;

	while (wall_ns() < deadline_ns) {
		append(&files[at]);
		must(fdatasync(files[at].fd) == 0);
		h->appends++;
		at = (at + h->hands) % FILES;
	}
	return NULL;
}

static uint64_t
by_threads(unsigned count)
{
	struct hand hands[AT_ONCE];
	uint64_t appends = 0;

	for (unsigned i = 0; i < count; i++) {
		hands[i] = (struct hand){ .number = i, .hands = count };
		must(pthread_create(&hands[i].thread, NULL, append_and_sync, &hands[i]) == 0);
	}
	for (unsigned i = 0; i < count; i++) {
		pthread_join(hands[i].thread, NULL);
		appends += hands[i].appends;
	}
	return appends;
}

/* ---- a ring -------------------------------------------------------------------------------- */

static void
start_sync(struct io_uring *ring, unsigned at)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	append(&files[at]);
	io_uring_prep_fsync(sqe, files[at].fd, IORING_FSYNC_DATASYNC);
	io_uring_sqe_set_data64(sqe, at);
}

static uint64_t
by_ring(unsigned count)
{
	struct io_uring ring;
	struct io_uring_params params = {
		.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
	};
	unsigned workers[2] = { count, 1 };
	uint64_t appends = 0;
	unsigned in_flight = 0;

	must(io_uring_queue_init_params(64, &ring, &params) == 0);
	must(io_uring_register_iowq_max_workers(&ring, workers) == 0);
	for (; in_flight < count; in_flight++)
		start_sync(&ring, in_flight);
	while (in_flight > 0) {
		struct io_uring_cqe *cqe;

		must(io_uring_submit_and_wait(&ring, 1) >= 0);
		while (io_uring_peek_cqe(&ring, &cqe) == 0) {
			unsigned at = (unsigned)cqe->user_data;

			must(cqe->res == 0);
			io_uring_cqe_seen(&ring, cqe);
			appends++;
			if (wall_ns() < deadline_ns)
				start_sync(&ring, (at + count) % FILES);
			else
				in_flight--;
		}
	}
	io_uring_queue_exit(&ring);
	return appends;
}

/* ---- the desk ------------------------------------------------------------------------------ */

struct connection {
	struct desk_delivery delivery;
	struct draft *draft;
	struct shard *shard;
};

struct shard {
	struct loop loop;
	struct offload_home *home;
	struct draft_pool drafts;
	struct desk *desk;
	struct connection connections[AT_ONCE];
	char addresses[FILES][48];
	unsigned address_count;
	unsigned at;
	unsigned in_flight;
	uint64_t deliveries;
};

static void
deliver_next(struct connection *c)
{
	struct shard *s = c->shard;
	struct span text = span_of(message, sizeof(message));

	c->draft = draft_begin(&s->drafts);
	must(draft_put_wire(c->draft, &text) == 0 && draft_end(c->draft) == 0);
	c->delivery.address = s->addresses[s->at++ % s->address_count];
	c->delivery.draft = c->draft;
	c->delivery.head = SPAN("Return-Path: <ann@example.org>\r\n");
	must(desk_submit(s->desk, s->home, &c->delivery) == 0);
}

static void
delivered(struct desk_delivery *delivery)
{
	struct connection *c = container_of(delivery, struct connection, delivery);
	struct shard *s = c->shard;

	must(delivery->error == 0);
	draft_free(c->draft);
	s->deliveries++;
	if (wall_ns() < deadline_ns)
		deliver_next(c);
	else
		s->in_flight--;
}

static struct shard shard;

static void
open_shard(const struct disk *disk, unsigned addresses)
{
	static const struct loop_options loop_options = {
		.ring = { .entries = 64, .buffers = 8, .buffer_octets = 4096 },
		.reply_blocks_max = 8,
		.cold_buffers_max = 1,
	};
	static const struct draft_options draft_options = {
		.drafts_max = AT_ONCE,
		.blocks_max = AT_ONCE * 4,
		.memory_octets_max = 1 << 20,
	};
	static const struct desk_options desk_options = {
		.threads = AT_ONCE,
		.waiting_max = AT_ONCE,
		.maildrop = { .lock_timeout_ms = 1000, .sync = true },
	};

	shard.address_count = addresses;
	for (unsigned i = 0; i < addresses; i++)
		snprintf(shard.addresses[i], sizeof(shard.addresses[i]), "user%u@%u.example", i,
			addresses);
	must(loop_open(&shard.loop, &loop_options) == 0);
	must(offload_home_open(&shard.loop, &shard.home) == 0);
	draft_pool_init(&shard.drafts, disk, &draft_options);
	must(desk_open(disk, &desk_options, &shard.desk) == 0);
}

static void
close_shard(void)
{
	desk_close(shard.desk);
	draft_pool_destroy(&shard.drafts);
	loop_close(&shard.loop);
	offload_home_close(shard.home);
}

static uint64_t
by_desk(unsigned count)
{
	shard.deliveries = 0;
	shard.in_flight = count;
	for (unsigned i = 0; i < count; i++) {
		shard.connections[i].shard = &shard;
		shard.connections[i].delivery.done = delivered;
		deliver_next(&shard.connections[i]);
	}
	while (shard.in_flight > 0)
		must(loop_turn(&shard.loop, 1000) == 0);
	return shard.deliveries;
}

/* ---- figures ------------------------------------------------------------------------------- */

static void
measure(struct figures *f, const char *what, uint64_t (*run)(unsigned count), unsigned count)
{
	char name[80];
	uint64_t start_cpu, start, appends;

	open_files();
	start_cpu = cpu_ns();
	start = wall_ns();
	deadline_ns = start + MEASURE_NS;
	appends = run(count);
	start = wall_ns() - start;
	start_cpu = cpu_ns() - start_cpu;
	close_files();
	snprintf(name, sizeof(name), "%s, %u at once", what, count);
	figures_put(f, name, (double)appends * 1e9 / (double)start, "per_s");
	figures_put(f, name, (double)start_cpu / (double)appends / 1e3, "us_CPU");
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *where)
{
	(void)st;
	(void)kind;
	(void)where;
	return remove(path);
}

static void
measure_desk(struct figures *f)
{
	struct disk disk;

	must(disk_open_root(root, true, &disk) == 0);
	open_shard(&disk, FILES);
	deadline_ns = wall_ns() + MEASURE_NS / 4; /* so that the maildrops are there */
	by_desk(AT_ONCE);
	measure(f, "delivered to 256 maildrops, connections", by_desk, 1);
	measure(f, "delivered to 256 maildrops, connections", by_desk, AT_ONCE);
	close_shard();
	open_shard(&disk, 1);
	measure(f, "delivered to one maildrop, connections", by_desk, 1);
	measure(f, "delivered to one maildrop, connections", by_desk, AT_ONCE);
	close_shard();
	disk_close_root(&disk);
}

int
main(int argc, char **argv)
{
	struct figures figures;

	figures_begin(&figures, argc, argv);
	snprintf(root, sizeof(root), "%s/ringpost-syncs-XXXXXX",
		argc > 1 + figures.json ? argv[1 + figures.json] : "/var/tmp");
	if (mkdtemp(root) == NULL) {
		fprintf(stderr, "usage: syncs [--json] [DIRECTORY]\n");
		return 64;
	}
	memset(message, 'x', sizeof(message));
	for (unsigned i = 70; i + 2 <= OCTETS; i += 72)
		memcpy(message + i, "\r\n", 2);
	memcpy(message + OCTETS - 2, "\r\n", 2);
	measure(&figures, "append and fdatasync, threads", by_threads, 1);
	measure(&figures, "append and fdatasync, threads", by_threads, 8);
	measure(&figures, "append and fdatasync, threads", by_threads, AT_ONCE);
	measure_desk(&figures);
	measure(&figures, "append and fdatasync, a ring", by_ring, 1);
	measure(&figures, "append and fdatasync, a ring", by_ring, 8);
	measure(&figures, "append and fdatasync, a ring", by_ring, AT_ONCE);
	ahead = 64 << 10;
	measure(&figures, "allocated 64 KiB ahead, threads", by_threads, AT_ONCE);
	ahead = 256 << 10;
	measure(&figures, "allocated 256 KiB ahead, threads", by_threads, AT_ONCE);
	ahead = 1 << 20;
	measure(&figures, "allocated 1 MiB ahead, threads", by_threads, AT_ONCE);
	measure(&figures, "allocated 1 MiB ahead, a ring", by_ring, AT_ONCE);
	must(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0);
	figures_end(&figures);
	return 0;
}
