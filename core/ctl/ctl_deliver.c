/*
 * ctl_deliver.c - `ringpost deliver`: one message from standard input, for mail transport agents
 * that deliver through a pipe.
 *
 * The exit code is all that such an agent learns, and it holds for every address of the call.  So
 * either all addresses get the message, durably, and the code is 0, or none gets it.  Maildrops are
 * locked in the order of their names, so that no two calls wait for each other.  What is left is a
 * disk that fails between the syncs of two maildrops: the code is EX_TEMPFAIL then, and those that
 * have the message get it a second time when the agent tries again.
 *
 * What is wrong with this machine (settings, permissions, disk, a lock) is EX_TEMPFAIL whatever it
 * is: nobody's mail bounces for it.
 *
 * The message is read to its end before anything is locked, so a slow agent holds nobody up.  It
 * lies in memory up to MEMORY_OCTETS, in an unnamed file of the spool beyond that.
 */
#include "core/auth/address.h"
#include "core/ctl/ctl.h"
#include "core/ctl/finder.h"
#include "core/quota.h"
#include "io/base/must.h"
#include "storage/draft.h"
#include "storage/maildrop.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define RECIPIENTS_MAX 100u /* RFC 5321, section 4.5.3.1.8; each costs two open files */
#define READ_OCTETS    65536u
#define MEMORY_OCTETS  (1u << 20)
#define SENDER_MAX     512u
#define HEAD_MAX                                                                                   \
	(sizeof("Return-Path: <>\r\nDelivered-To: \r\n") + SENDER_MAX + ACCOUNT_ADDRESS_OCTETS_MAX)

struct recipient {
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct quota quota;
	char head[HEAD_MAX];
	struct maildrop_writer *writer; /* NULL: not open */
};

struct deliver {
	const struct ctl *ctl;
	const char *sender; /* without "<" and ">"; NULL: not given */
	bool by_environment;
	char *recipient;  /* of the environment */
	char **addresses; /* as written */
	int address_count;
	struct draft_pool pool;
	struct draft *draft;
	struct recipient *recipients;
	unsigned count;
	unsigned delivered;
	int code; /* what the agent is told */
};

/* A temporary failure anywhere outweighs a refusal: the agent tries again, and nothing is lost. */
static void
note(struct deliver *d, int code)
{
	if (d->code == EX_OK || code == EX_TEMPFAIL)
		d->code = code;
}

/* What happened to the message of `address`; "" for the message itself. */
static int
tell_error(int error, const char *address)
{
	switch (-error) {
	case EDQUOT:
		return ctl_error(EX_TEMPFAIL, "%s: over quota", address);
	case EFBIG:
		return ctl_error(EX_DATAERR, "%s: the message is too large", address);
	case EBADMSG:
		return ctl_error(EX_TEMPFAIL,
			"%s: the maildrop is damaged: `ringpost repair %s` keeps what is intact",
			address, address);
	default:
		ctl_errno(error, "%s", address);
		return EX_TEMPFAIL;
	}
}

/* ---- who gets it --------------------------------------------------------------------------- */

static bool
is_there_already(const struct deliver *d, const char *address)
{
	for (unsigned i = 0; i < d->count; i++) {
		if (strcmp(d->recipients[i].address, address) == 0)
			return true;
	}
	return false;
}

/* Whatever keeps a source from answering is no reason for mail to bounce. */
static int
find_account(struct finder *finder, const char *address, struct found *found_out)
{
	int error = finder_find(finder, address, FINDER_FOR_MAIL, found_out);
	const struct account *account = &found_out->account;

	if (error == -ENOENT)
		return ctl_error(EX_NOUSER, "%s: there is no such account", address);
	if (error != 0) {
		(void)finder_tell(error, found_out, address);
		return EX_TEMPFAIL;
	}
	if (!account->enabled)
		return ctl_error(EX_NOPERM, "%s: the account is disabled", address);
	if (account->read_only)
		return ctl_error(EX_NOPERM, "%s: the account is read-only", address);
	return EX_OK;
}

static int
take_recipient(struct deliver *d, struct finder *finder, const char *text)
{
	const struct settings *settings = d->ctl->settings;
	const struct address_rules rules = { settings->default_domain, settings->detail_separator };
	struct recipient *r = &d->recipients[d->count];
	struct found found;
	int code;

	if (address_canonical(span_of_string(text), &rules, r->address) != 0)
		return ctl_error(EX_NOUSER, "\"%s\" can be no account", text);
	code = find_account(finder, r->address, &found);
	if (code == EX_OK)
		snprintf(r->address, sizeof(r->address), "%s", account_maildrop(&found.account));
	if (code == EX_OK && !is_there_already(d, r->address)) {
		r->quota = quota_of(settings, &found.account);
		d->count++;
	}
	explicit_bzero(&found, sizeof(found));
	return code;
}

static int
compare_recipients(const void *a, const void *b)
{
	return strcmp(
		((const struct recipient *)a)->address, ((const struct recipient *)b)->address);
}

static int
take_recipients(struct deliver *d)
{
	struct accounts *accounts;
	struct finder *finder;

	d->recipients = calloc((size_t)d->address_count, sizeof(*d->recipients));
	if (d->recipients == NULL || ctl_open_accounts(d->ctl, ACCOUNTS_READ, &accounts) != EX_OK)
		return EX_TEMPFAIL;
	if (finder_open(d->ctl, accounts, &finder) == 0) {
		for (int i = 0; i < d->address_count; i++)
			note(d, take_recipient(d, finder, d->addresses[i]));
		finder_close(finder);
	} else {
		note(d, ctl_error(EX_TEMPFAIL, "no memory"));
	}
	accounts_close(accounts);
	qsort(d->recipients, d->count, sizeof(*d->recipients), compare_recipients);
	return d->code;
}

/* ---- the message --------------------------------------------------------------------------- */

static int
put_text(struct draft *draft, struct span text)
{
	int error;

	while ((error = draft_put_text(draft, &text)) == -EAGAIN) {
		error = draft_spill(draft);
		if (error != 0)
			break;
	}
	return error;
}

static int
read_message(struct draft *draft)
{
	char octets[READ_OCTETS];
	ssize_t got;

	while ((got = read(STDIN_FILENO, octets, sizeof(octets))) != 0) {
		int error;

		if (got < 0 && errno == EINTR)
			continue;
		error = got < 0 ? -errno : put_text(draft, span_of(octets, (size_t)got));
		if (error != 0)
			return error;
	}
	return draft_end(draft);
}

static int
take_message(struct deliver *d)
{
	int error;

	d->draft = draft_begin(&d->pool);
	error = d->draft == NULL ? -ENOMEM : read_message(d->draft);
	if (error != 0)
		return tell_error(error, "standard input");
	if (draft_counts(d->draft)->octets == 0)
		return ctl_error(EX_DATAERR, "standard input is empty: it must be a message");
	return EX_OK;
}

/* ---- delivery ------------------------------------------------------------------------------ */

/* The header lines that a final delivery adds (RFC 5321, section 4.4). */
static struct span
put_head(const struct deliver *d, struct recipient *r)
{
	const struct settings *settings = d->ctl->settings;
	size_t used = 0;

	if (d->sender != NULL && settings->add_return_path)
		used += (size_t)snprintf(
			r->head, sizeof(r->head), "Return-Path: <%s>\r\n", d->sender);
	if (settings->add_delivered_to)
		used += (size_t)snprintf(
			r->head + used, sizeof(r->head) - used, "Delivered-To: %s\r\n", r->address);
	must(used < sizeof(r->head));
	return span_of(r->head, used);
}

/* Lock the maildrop and write the message; nobody sees it yet. */
static int
add_message(const struct deliver *d, struct recipient *r, int64_t arrived_at)
{
	const struct ctl *ctl = d->ctl;
	const struct maildrop_delivery delivery = {
		.arrived_at = arrived_at,
		.quota_octets = r->quota.octets,
		.quota_messages = r->quota.messages,
	};
	uint32_t uid;
	int error =
		maildrop_writer_open(&ctl->disk, r->address, &ctl->maildrop_options, 0, &r->writer);

	if (error == 0)
		error = maildrop_writer_add_draft(
			r->writer, &delivery, put_head(d, r), d->draft, &uid);
	return error == 0 ? EX_OK : tell_error(error, r->address);
}

static void
deliver_to_all(struct deliver *d)
{
	int64_t now = time(NULL);

	for (unsigned i = 0; i < d->count; i++)
		note(d, add_message(d, &d->recipients[i], now));
	while (d->code == EX_OK && d->delivered < d->count) {
		struct recipient *r = &d->recipients[d->delivered];
		int error = maildrop_writer_commit(r->writer);

		if (error == 0)
			d->delivered++;
		else
			note(d, tell_error(error, r->address));
	}
	for (unsigned i = 0; i < d->count; i++)
		maildrop_writer_close(d->recipients[i].writer);
}

static void
deliver(struct deliver *d)
{
	const struct draft_options options = {
		.drafts_max = 1,
		.blocks_max = MEMORY_OCTETS / DRAFT_BLOCK_OCTETS + 1,
		.memory_octets_max = MEMORY_OCTETS,
	};

	note(d, take_recipients(d));
	if (d->code == EX_OK) {
		draft_pool_init(&d->pool, &d->ctl->disk, &options);
		note(d, take_message(d));
		if (d->code == EX_OK)
			deliver_to_all(d);
		if (d->draft != NULL)
			draft_free(d->draft);
		draft_pool_destroy(&d->pool);
	}
	free(d->recipients);
}

/* ---- the command line ---------------------------------------------------------------------- */

static bool
is_printable(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return false;
	}
	return true;
}

/* "<alice@example.org>", "alice@example.org", "<>" or "": agents write all of them. */
static int
take_sender(struct deliver *d, char *text)
{
	size_t length = strlen(text);

	if (length >= 2 && text[0] == '<' && text[length - 1] == '>') {
		text[length - 1] = '\0';
		text++;
	}
	if (strlen(text) > SENDER_MAX || !is_printable(text))
		return ctl_error(EX_DATAERR, "the sender is no address");
	d->sender = text;
	return EX_OK;
}

/* $SENDER and $RECIPIENT, as qmail, Exim and OpenSMTPD set them: no shell and no template of the
 * agent's has had its hands on them. */
static int
take_environment(struct deliver *d)
{
	char *sender = getenv("SENDER");

	d->recipient = getenv("RECIPIENT");
	if (sender == NULL || d->recipient == NULL)
		return ctl_error(EX_USAGE, "-e: SENDER and RECIPIENT must be in the environment");
	d->addresses = &d->recipient;
	d->address_count = 1;
	return take_sender(d, sender);
}

static int
take_option(struct deliver *d, int option)
{
	switch (option) {
	case 'f':
		return take_sender(d, optarg);
	case 'e':
		d->by_environment = true;
		return EX_OK;
	default:
		return EX_USAGE;
	}
}

static int
read_options(struct deliver *d, int argc, char **argv)
{
	static const struct option options[] = {
		{ "from", required_argument, NULL, 'f' },
		{ "environment", no_argument, NULL, 'e' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "f:e", options, NULL)) != -1) {
		int code = take_option(d, option);

		if (code != EX_OK)
			return code;
	}
	d->addresses = argv + optind;
	d->address_count = argc - optind;
	if (d->by_environment != (d->address_count == 0) ||
		(d->by_environment && d->sender != NULL))
		return ctl_usage(&ctl_deliver_command);
	if (d->address_count > (int)RECIPIENTS_MAX)
		return ctl_error(EX_USAGE, "%d addresses; allowed: 1 to %u in one call",
			d->address_count, RECIPIENTS_MAX);
	return d->by_environment ? take_environment(d) : EX_OK;
}

static int
run(struct ctl *ctl, int argc, char **argv)
{
	struct deliver d = { .ctl = ctl };
	int code = read_options(&d, argc, argv);

	if (code != EX_OK)
		return code;
	deliver(&d);
	if (d.code != EX_OK && d.delivered > 0)
		ctl_error(d.code,
			"%u of %u have the message, and get it again with the next attempt",
			d.delivered, d.count);
	else if (d.code != EX_OK && d.address_count > 1)
		ctl_error(d.code, "nobody has the message");
	return d.code;
}

const struct ctl_command ctl_deliver_command = {
	.name = "deliver",
	.run = run,
	.usage = "[-f SENDER] ADDRESS...\n"
		 "-e",
	.summary = "deliver a message from standard input, for mail transport agents",
	.spool = CTL_NEEDS_SPOOL,
	.for_a_queue = true,
};
