/*
 * courier.c - see courier.h.
 */
#include "tests/sim/courier.h"

#include "storage/maildrop.h"
#include "tests/sim/model.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define BATCH_MAX       4u
#define LOCK_TIMEOUT_MS 30000u

struct courier {
	struct courier *next;
	struct sim_process process;
	const struct disk *disk;
};

static struct courier *couriers; /* the last one is at work */
static unsigned left;
static unsigned accounts_known;
static unsigned pause_ms;

static const struct maildrop_options options = { .lock_timeout_ms = LOCK_TIMEOUT_MS, .sync = true };

/* In pieces, with line ends of either kind. */
static int
hand_over(struct maildrop_writer *w, const struct model_message *m)
{
	const struct maildrop_delivery delivery = { .arrived_at = (int64_t)(sim.now_ns / SIM_S) };
	struct span rest = span_of(m->text, m->octets);
	int error = maildrop_writer_begin(w, &delivery);
	uint32_t uid;

	while (error == 0 && rest.length > 0) {
		size_t length = sim_chance(3) ? 1 + sim_below((uint32_t)rest.length) : rest.length;

		error = maildrop_writer_text(w, span_of(rest.at, length));
		rest = span_after(rest, length);
	}
	return error != 0 ? error : maildrop_writer_end(w, &uid);
}

static int
deliver(struct courier *c, unsigned account, struct model_message **messages, unsigned count)
{
	struct maildrop_writer *w;
	char address[SIM_ADDRESS_OCTETS];
	int error;

	sim_address(account, address);
	error = maildrop_writer_open(c->disk, address, &options, 0, &w);
	if (error != 0)
		return error;
	for (unsigned i = 0; i < count && error == 0; i++)
		error = hand_over(w, messages[i]);
	if (error == 0)
		error = maildrop_writer_commit(w);
	maildrop_writer_close(w);
	return error;
}

static void
visit(struct courier *c)
{
	unsigned account = sim_below(accounts_known);
	struct model_batch *batch = model_batch(account, false);
	struct model_message *messages[BATCH_MAX];
	unsigned count = 1 + (sim_chance(3) ? sim_below(BATCH_MAX) : 0);
	uint64_t excuses = sim.excuses;
	int error;

	for (unsigned i = 0; i < count; i++) {
		const struct model_recipient r = { account, "" };
		char *text = model_text(&r, 1);

		messages[i] = model_message(batch, &r, text);
		sim_free(text);
	}
	model_batch_starts(batch);
	error = deliver(c, account, messages, count);
	sim_note("courier", account, (uint64_t)(int64_t)error);
	if (error == 0)
		model_batch_is_acknowledged(batch);
	else if (sim.excuses != excuses)
		model_batch_fails(batch, 0);
	else
		sim_violation(
			"a delivery to u%u failed without cause: %s", account, strerror(-error));
}

/* `ringpost compact` */
static void
compact(struct courier *c)
{
	char address[SIM_ADDRESS_OCTETS];
	uint64_t excuses = sim.excuses;
	uint64_t before;
	uint64_t after;
	int error;

	sim_address(sim_below(accounts_known), address);
	error = maildrop_compact(c->disk, address, &options, &before, &after);
	sim_note("compact", (uint64_t)(int64_t)error, 0);
	if (error != 0 && error != -EBUSY && sim.excuses == excuses)
		sim_violation("%s cannot be compacted: %s", address, strerror(-error));
}

static void
go_round(void *ctx)
{
	struct courier *c = ctx;

	while (left > 0) {
		left--;
		fiber_sleep(sim_below(pause_ms) * (uint64_t)SIM_MS);
		if (sim_chance(6))
			compact(c);
		else
			visit(c);
	}
}

static void
set_out(const struct disk *disk)
{
	struct courier *c = sim_allocate(sizeof(*c));

	memset(c, 0, sizeof(*c));
	c->next = couriers;
	c->disk = disk;
	couriers = c;
	sim_process_start(&c->process, "the courier");
	fiber_start(&c->process, go_round, c);
	fiber_start(&c->process, go_round, c);
}

void
courier_start(const struct disk *disk, unsigned accounts, unsigned visits, unsigned stay_s)
{
	left = visits;
	accounts_known = accounts;
	pause_ms = stay_s * 2 * 2000 / visits; /* there are two at work */
	set_out(disk);
}

unsigned
courier_left(void)
{
	return list_is_empty(&couriers->process.fibers) ? 0 : left + 1;
}

void
courier_dies(void)
{
	sim_process_kill(&couriers->process);
}

void
courier_goes_on(void)
{
	set_out(couriers->disk);
}

static void
hear_finding(void *ctx, uint64_t offset, const char *text)
{
	const char *address = ctx;

	sim_violation("%s at %" PRIu64 ": %s", address, offset, text);
}

static void
verify(void *ctx)
{
	char address[SIM_ADDRESS_OCTETS];
	int found;

	sim_address((unsigned)(uintptr_t)ctx, address);
	found = maildrop_verify(couriers->disk, address, &options, hear_finding, address);
	if (found != 0)
		sim_violation("%s cannot be verified: %s", address, strerror(-found));
}

void
courier_verify(unsigned account)
{
	fiber_start(&couriers->process, verify, (void *)(uintptr_t)account);
}

void
courier_forget_world(void)
{
	if (couriers->process.is_alive)
		sim_process_end(&couriers->process);
	while (couriers != NULL) {
		struct courier *c = couriers;

		couriers = c->next;
		sim_free(c);
	}
}
