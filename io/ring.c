/*
 * ring.c - io_uring as a shard uses it; see ring.h.
 *
 * Flags, and why (figures in docs/PERFORMANCE.md): SINGLE_ISSUER | DEFER_TASKRUN run completions
 * only when the shard asks for them, at one place in its loop; COOP_TASKRUN goes with SQPOLL, which
 * excludes DEFER_TASKRUN.  Receive buffers are a provided-buffer ring: an idle connection holds
 * none.  Single-shot receives give back-pressure: what is not asked for stays in the socket.
 * liburing 2.3 has no words for some of this; the kernel (6.1 and later) has.
 */
#include "io/ring.h"

#include "io/base/clock.h"
#include "io/base/must.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>

#define BUFFER_GROUP   1
#define HARVEST_MAX    256u
#define SQPOLL_IDLE_MS 1000u

/* What can wait gets so long in one turn while there is more of it. */
#define LATER_NS         2000000u
#define LATER_CLOCK_EACH 16u /* completions between two looks at the clock */

/* In user_data, beside the address of the op: its completions can wait. */
#define CAN_WAIT 1u

static_assert(OP_MORE == IORING_CQE_F_MORE, "ops speak the kernel's flags");
static_assert(OP_SOCKET_NONEMPTY == IORING_CQE_F_SOCK_NONEMPTY, "ops speak the kernel's flags");

static void
give_buffer(struct ring *r, unsigned id)
{
	io_uring_buf_ring_add(r->buffer_ring, r->buffers + (size_t)id * r->buffer_octets,
		r->buffer_octets, (unsigned short)id, io_uring_buf_ring_mask(r->buffer_count), 0);
	io_uring_buf_ring_advance(r->buffer_ring, 1);
}

static size_t
buffer_ring_octets(const struct ring *r)
{
	return r->buffer_count * sizeof(struct io_uring_buf);
}

static int
open_buffers(struct ring *r)
{
	struct io_uring_buf_reg registration = { .bgid = BUFFER_GROUP };
	size_t octets = buffer_ring_octets(r);
	int error;

	r->buffer_ring =
		mmap(NULL, octets, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (r->buffer_ring == MAP_FAILED)
		return -ENOMEM;
	r->buffers = aligned_alloc(4096, (size_t)r->buffer_count * r->buffer_octets);
	if (r->buffers == NULL) {
		error = -ENOMEM;
		goto fail_unmap;
	}
	memset(r->buffers, 0, (size_t)r->buffer_count * r->buffer_octets); /* no faults later */
	registration.ring_addr = (uintptr_t)r->buffer_ring;
	registration.ring_entries = r->buffer_count;
	error = io_uring_register_buf_ring(&r->uring, &registration, 0);
	if (error != 0)
		goto fail_free;
	io_uring_buf_ring_init(r->buffer_ring);
	for (unsigned id = 0; id < r->buffer_count; id++)
		give_buffer(r, id);
	return 0;

fail_free:
	free(r->buffers);
fail_unmap:
	munmap(r->buffer_ring, octets);
	return error;
}

int
ring_open(const struct ring_options *options, struct ring *ring_out)
{
	struct ring *r = ring_out;
	struct io_uring_params params = {
		.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CLAMP |
			IORING_SETUP_SINGLE_ISSUER,
		.cq_entries = options->entries * 4,
	};
	int error;

	*r = (struct ring){
		.buffer_count = options->buffers,
		.buffer_octets = options->buffer_octets,
		.sqpoll = options->sqpoll,
	};
	if (options->sqpoll) {
		params.flags |= IORING_SETUP_SQPOLL;
		params.sq_thread_idle = SQPOLL_IDLE_MS;
	} else {
		/* the flag word lets a wait of no time see that the kernel has something for us */
		params.flags |= IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_COOP_TASKRUN |
			IORING_SETUP_TASKRUN_FLAG;
	}
	error = io_uring_queue_init_params(options->entries, &r->uring, &params);
	if (error != 0)
		return error;
	r->later = calloc(RING_LATER_MAX, sizeof(*r->later));
	error = r->later == NULL ? -ENOMEM : open_buffers(r);
	if (error != 0) {
		io_uring_queue_exit(&r->uring);
		free(r->later);
	}
	return error;
}

void
ring_close(struct ring *r)
{
	io_uring_queue_exit(&r->uring);
	free(r->later);
	free(r->buffers);
	munmap(r->buffer_ring, buffer_ring_octets(r));
}

const char *
ring_explain(int error)
{
	switch (-error) {
	case ENOSYS:
		return "this kernel has no io_uring, or a container's seccomp profile hides it: "
		       "run Linux 6.1 or later and allow io_uring_setup, io_uring_enter and "
		       "io_uring_register in the profile";
	case EPERM:
	case EACCES:
		return "io_uring is forbidden here: set the sysctl kernel.io_uring_disabled to 0, "
		       "and allow io_uring_setup in the container's seccomp profile";
	case ENOMEM:
		return "no memory for the rings: raise the limit on locked memory "
		       "(ulimit -l, LimitMEMLOCK= in the unit)";
	case EINVAL:
		return "this kernel's io_uring is too old: run Linux 6.1 or later";
	case EMFILE:
	case ENFILE:
		return "no file descriptor for the ring: raise the limit on open files "
		       "(ulimit -n, LimitNOFILE= in the unit)";
	default:
		return strerror(-error);
	}
}

static struct io_uring_sqe *
next_sqe(struct ring *r, struct op *op)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&r->uring);

	while (sqe == NULL) {
		int submitted = io_uring_submit(&r->uring);

		if (r->sqpoll)
			io_uring_sqring_wait(&r->uring);
		must(submitted >= 0 || submitted == -EBUSY || submitted == -EAGAIN ||
			submitted == -EINTR);
		sqe = io_uring_get_sqe(&r->uring);
	}
	io_uring_sqe_set_data(sqe, op);
	return sqe;
}

/* The io_uring_prep_xyz() functions clear user_data in some versions, so it is set behind them. */
#define start(r, op, prepare, ...)                                                                 \
	do {                                                                                       \
		struct io_uring_sqe *sqe_ = next_sqe((r), (op));                                   \
		prepare(sqe_, __VA_ARGS__);                                                        \
		io_uring_sqe_set_data(sqe_, (op));                                                 \
	} while (0)

static void
let_wait(struct io_uring_sqe *sqe, struct op *op)
{
	io_uring_sqe_set_data64(sqe, (uintptr_t)op | CAN_WAIT);
}

void
ring_accept(struct ring *r, struct op *op, int listening_fd)
{
	struct io_uring_sqe *sqe = next_sqe(r, op);

	io_uring_prep_accept(sqe, listening_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	let_wait(sqe, op);
}

void
ring_receive(struct ring *r, struct op *op, int fd, bool expect_wait, bool can_wait)
{
	struct io_uring_sqe *sqe = next_sqe(r, op);

	io_uring_prep_recv(sqe, fd, NULL, r->buffer_octets, 0);
	sqe->flags |= IOSQE_BUFFER_SELECT;
	sqe->buf_group = BUFFER_GROUP;
	if (expect_wait)
		sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
	if (can_wait)
		let_wait(sqe, op);
	else
		io_uring_sqe_set_data(sqe, op);
}

struct span
ring_received(const struct ring *r, int result, uint32_t flags)
{
	size_t id = flags >> IORING_CQE_BUFFER_SHIFT;

	must(result > 0 && (flags & IORING_CQE_F_BUFFER) != 0);
	return span_of(r->buffers + id * r->buffer_octets, (size_t)result);
}

void
ring_give_back(struct ring *r, uint32_t flags)
{
	give_buffer(r, flags >> IORING_CQE_BUFFER_SHIFT);
}

void
ring_send(struct ring *r, struct op *op, int fd, struct span octets)
{
	start(r, op, io_uring_prep_send, fd, octets.at, octets.length, MSG_WAITALL | MSG_NOSIGNAL);
}

void
ring_send_some(struct ring *r, struct op *op, int fd, struct span octets)
{
	start(r, op, io_uring_prep_send, fd, octets.at, octets.length, MSG_NOSIGNAL);
}

void
ring_poll_writable(struct ring *r, struct op *op, int fd)
{
	start(r, op, io_uring_prep_poll_add, fd, POLLOUT);
}

void
ring_read(struct ring *r, struct op *op, int fd, void *to, uint32_t size, uint64_t offset)
{
	start(r, op, io_uring_prep_read, fd, to, size, offset);
}

void
ring_close_file(struct ring *r, struct op *op, int fd)
{
	start(r, op, io_uring_prep_close, fd);
}

void
ring_cancel(struct ring *r, struct op *op, struct op *target)
{
	uintptr_t address = (uintptr_t)target;

	/* It is not known here which of the two it was started as. */
	start(r, op, io_uring_prep_cancel64, address, 0);
	start(r, op, io_uring_prep_cancel64, address | CAN_WAIT, 0);
}

static void
run_one(struct ring_completion c)
{
	c.op->done(c.op, c.result, c.flags);
}

static struct ring_completion
take_later(struct ring *r)
{
	struct ring_completion c = r->later[r->later_first];

	r->later_first = (r->later_first + 1) % RING_LATER_MAX;
	r->later_count--;
	return c;
}

static void
put_off(struct ring *r, struct ring_completion c)
{
	r->later[(r->later_first + r->later_count++) % RING_LATER_MAX] = c;
}

/* Copy completions out before running them: done() may start operations, which may submit.  When the
 * queue of those that wait is full, the rest stays with the kernel. */
static unsigned
harvest(struct ring *r)
{
	uint32_t room = RING_LATER_MAX - r->later_count;
	struct io_uring_cqe *cqes[HARVEST_MAX];
	struct ring_completion ready[HARVEST_MAX];
	unsigned count =
		io_uring_peek_batch_cqe(&r->uring, cqes, room < HARVEST_MAX ? room : HARVEST_MAX);
	unsigned urgent = 0;

	for (unsigned i = 0; i < count; i++) {
		uint64_t data = io_uring_cqe_get_data64(cqes[i]);
		struct ring_completion c = { (struct op *)(uintptr_t)(data & ~(uint64_t)CAN_WAIT),
			cqes[i]->res, cqes[i]->flags };

		if ((data & CAN_WAIT) != 0)
			put_off(r, c);
		else
			ready[urgent++] = c;
	}
	io_uring_cq_advance(&r->uring, count);
	for (unsigned i = 0; i < urgent; i++)
		run_one(ready[i]);
	return count;
}

static void
run_later(struct ring *r)
{
	uint64_t ends_ns = clock_monotonic_ns() + LATER_NS;
	unsigned done = 0;

	while (r->later_count > 0) {
		run_one(take_later(r));
		if (++done % LATER_CLOCK_EACH == 0 && clock_monotonic_ns() >= ends_ns)
			return;
	}
}

static int
submit_and_wait(struct ring *r, uint64_t timeout_ns)
{
	struct __kernel_timespec ts = {
		.tv_sec = (int64_t)(timeout_ns / 1000000000u),
		.tv_nsec = (long long)(timeout_ns % 1000000000u),
	};
	struct io_uring_cqe *cqe;

	/* A wait of no time is one for many: in one call the kernel (6.13) takes in as many completions
	 * as are waited for, or 20, and in a flood the others would lie there for turns of the loop.
	 * (Waiting for none, liburing 2.3 submits and does not look.) */
	if (timeout_ns == 0)
		return io_uring_submit_and_wait_timeout(&r->uring, &cqe, HARVEST_MAX, &ts, NULL);
	return io_uring_submit_and_wait_timeout(
		&r->uring, &cqe, 1, timeout_ns == UINT64_MAX ? NULL : &ts, NULL);
}

int
ring_wait(struct ring *r, uint64_t timeout_ns)
{
	int error = submit_and_wait(r, timeout_ns);

	if (error < 0 && error != -ETIME && error != -EINTR && error != -EAGAIN && error != -EBUSY)
		return error;
	return 0;
}

bool
ring_run(struct ring *r)
{
	while (harvest(r) == HARVEST_MAX)
		;
	if (r->later_count > 0)
		run_later(r);
	return r->later_count > 0;
}
