/*
 * ctl_care.c - `ringpost verify`, `repair` and `compact`: the caretakers of maildrops.
 *
 * Each does its work on one maildrop after the other; what is wrong with one is told and the next
 * is taken.  All of them go on while the server runs.
 */
#include "core/ctl/mail.h"
#include "storage/layout.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

struct care {
	struct ctl *ctl;
	bool json;
	const char *address; /* of the present maildrop */
	int (*work)(struct care *c);
	int code;
	uint64_t maildrops;
	uint64_t findings;
	uint64_t before, after; /* octets on disk */
};

static void
tell_finding(void *ctx, uint64_t offset, const char *text)
{
	struct care *c = ctx;

	c->findings++;
	if (!c->json)
		printf("%s: octet %" PRIu64 ": %s\n", c->address, offset, text);
	else
		mail_print_json(json_pack("{s:s, s:I, s:s}", "address", c->address, "offset",
			(json_int_t)offset, "finding", text));
}

static int
verify(struct care *c)
{
	int found = maildrop_verify(
		&c->ctl->disk, c->address, &c->ctl->maildrop_options, tell_finding, c);

	if (found < 0)
		return ctl_errno(found, "verifying %s", c->address);
	return found == 0 ? EX_OK : EX_DATAERR;
}

static int
tell_busy(const struct care *c)
{
	return ctl_error(EX_TEMPFAIL,
		"a session has the maildrop of %s for itself: try again when it has ended",
		c->address);
}

static int
repair(struct care *c)
{
	int error = maildrop_repair(
		&c->ctl->disk, c->address, &c->ctl->maildrop_options, tell_finding, c);

	if (error == -EBUSY)
		return tell_busy(c);
	return error >= 0 ? EX_OK : ctl_errno(error, "repairing %s", c->address);
}

static int
compact(struct care *c)
{
	uint64_t before = 0, after = 0;
	int error = maildrop_compact(
		&c->ctl->disk, c->address, &c->ctl->maildrop_options, &before, &after);

	if (error == -EBADMSG)
		return ctl_error(EX_DATAERR,
			"the maildrop of %s is damaged and stays as it is: `ringpost repair %s` first",
			c->address, c->address);
	if (error == -EBUSY)
		return tell_busy(c);
	if (error != 0)
		return ctl_errno(error, "compacting %s", c->address);
	c->before += before;
	c->after += after;
	if (!c->json)
		printf("%s: %" PRIu64 " octets before, %" PRIu64 " after\n", c->address, before,
			after);
	else
		mail_print_json(json_pack("{s:s, s:I, s:I}", "address", c->address, "octets_before",
			(json_int_t)before, "octets_after", (json_int_t)after));
	return EX_OK;
}

static int
each_maildrop(void *ctx, const char *address)
{
	struct care *c = ctx;
	int code;

	c->address = address;
	c->maildrops++;
	code = c->work(c);
	if (c->code == EX_OK)
		c->code = code;
	return ferror(stdout) ? -EIO : 0;
}

static int
all_maildrops(struct care *c)
{
	int error = layout_each_maildrop(&c->ctl->disk, each_maildrop, c);

	return error == 0 ? EX_OK : ctl_errno(error, "going through the spool");
}

static int
named_maildrops(struct care *c, int count, char **names)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct maildrop *m;

	for (int i = 0; i < count; i++) {
		int code = ctl_address(c->ctl, names[i], address);

		if (code != EX_OK)
			return code;
		/* A mistyped address is not a maildrop that is well. */
		if (maildrop_open(&c->ctl->disk, address, &c->ctl->maildrop_options, &m) == 0) {
			bool is_none = m->count == 0 && m->uid_validity == 0;

			maildrop_close(&c->ctl->disk, m);
			if (is_none)
				code = mail_check_account(c->ctl, address);
		}
		if (code != EX_OK)
			return code;
		if (each_maildrop(c, address) != 0)
			return EX_IOERR;
	}
	return EX_OK;
}

static int
run(struct care *c, const struct ctl_command *command, bool may_all, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "all", no_argument, NULL, 'a' },
		{ 0 },
	};
	bool all = false;
	int option, code;

	c->json = c->ctl->json;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			return EX_USAGE;
		if (option == 'a' && !may_all)
			return ctl_usage(command);
		c->json |= option == 'j';
		all |= option == 'a';
	}
	if (all == (argc > optind))
		return ctl_usage(command);
	code = all ? all_maildrops(c) : named_maildrops(c, argc - optind, argv + optind);
	return code != EX_OK ? code : c->code;
}

static int
run_verify(struct ctl *ctl, int argc, char **argv)
{
	struct care c = { .ctl = ctl, .work = verify };
	int code = run(&c, &ctl_verify_command, true, argc, argv);

	if (code == EX_USAGE)
		return code;
	if (!c.json)
		printf("%" PRIu64 " maildrops verified, %" PRIu64 " findings%s\n", c.maildrops,
			c.findings, c.findings > 0 ? ": `ringpost repair ADDRESS` mends them" : "");
	else
		mail_print_json(json_pack("{s:I, s:I}", "maildrops", (json_int_t)c.maildrops,
			"findings", (json_int_t)c.findings));
	return code;
}

static int
run_repair(struct ctl *ctl, int argc, char **argv)
{
	struct care c = { .ctl = ctl, .work = repair };

	return run(&c, &ctl_repair_command, false, argc, argv);
}

static int
run_compact(struct ctl *ctl, int argc, char **argv)
{
	struct care c = { .ctl = ctl, .work = compact };
	int code = run(&c, &ctl_compact_command, true, argc, argv);

	if (c.maildrops > 1 && !c.json)
		printf("%" PRIu64 " maildrops: %" PRIu64 " octets before, %" PRIu64 " after\n",
			c.maildrops, c.before, c.after);
	return code;
}

const struct ctl_command ctl_verify_command = {
	.name = "verify",
	.run = run_verify,
	.usage = "ADDRESS... [--json]\n--all [--json]",
	.summary = "check every octet of maildrops",
	.spool = CTL_NEEDS_SPOOL,
};

const struct ctl_command ctl_repair_command = {
	.name = "repair",
	.run = run_repair,
	.usage = "ADDRESS... [--json]",
	.summary = "keep what is intact of damaged maildrops",
	.spool = CTL_NEEDS_SPOOL,
};

const struct ctl_command ctl_compact_command = {
	.name = "compact",
	.run = run_compact,
	.usage = "ADDRESS... [--json]\n--all [--json]",
	.summary = "give back the space of deleted messages",
	.spool = CTL_NEEDS_SPOOL,
};
