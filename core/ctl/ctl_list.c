/*
 * ctl_list.c - `ringpost list` and `ringpost show`: what is in a maildrop.
 */
#include "core/ctl/mail.h"
#include "storage/convert/message_read.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

/* --json and --wire, and exactly `arguments` arguments, which begin at optind. */
static int
read_options(const struct ctl_command *command, int argc, char **argv, int arguments, bool *json,
	bool *wire)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "wire", no_argument, NULL, 'w' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'j' && json != NULL)
			*json = true;
		else if (option == 'w' && wire != NULL)
			*wire = true;
		else
			return option == '?' ? EX_USAGE : ctl_usage(command);
	}
	return argc - optind == arguments ? EX_OK : ctl_usage(command);
}

static int
print_entry(const struct maildrop *m, uint32_t number, bool json)
{
	const struct maildrop_entry *e = &m->entries[number - 1];
	char id[MAILDROP_UNIQUE_ID_MAX + 1], date[MAIL_DATE_OCTETS];

	maildrop_unique_id(m, e, id);
	mail_put_date(e->arrived_at, date);
	if (json)
		return mail_print_json(
			json_pack("{s:I, s:I, s:I, s:s, s:I, s:s}", "number", (json_int_t)number,
				"uid", (json_int_t)e->uid, "octets", (json_int_t)e->octets, "date",
				date, "arrived_at", (json_int_t)e->arrived_at, "unique_id", id));
	printf("%" PRIu32 "\t%" PRIu32 "\t%" PRIu32 "\t%s\t%s\n", number, e->uid, e->octets, date,
		id);
	return ferror(stdout) ? -EIO : 0;
}

static int
run_list(struct ctl *ctl, int argc, char **argv)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	bool json = ctl->json;
	struct maildrop *m;
	int error = 0;
	int code = read_options(&ctl_list_command, argc, argv, 1, &json, NULL);

	if (code == EX_OK)
		code = mail_open(ctl, argv[optind], &m, address);
	if (code != EX_OK)
		return code;
	for (uint32_t number = 1; error == 0 && number <= m->count; number++)
		error = print_entry(m, number, json);
	maildrop_close(&ctl->disk, m);
	return error == 0 ? EX_OK : ctl_errno(error, "listing %s", address);
}

static int
put_to_stdout(void *ctx, struct span text)
{
	(void)ctx;
	return fwrite(text.at, 1, text.length, stdout) == text.length ? 0 : -EPIPE;
}

static int
show_message(const struct ctl *ctl, const struct maildrop *m, const char *address,
	const char *number_text, bool wire)
{
	uint64_t number;
	int error;

	if (!span_to_u64(span_of_string(number_text), UINT32_MAX, &number) || number == 0)
		return ctl_error(
			EX_USAGE, "\"%s\" is no message-number: they count from 1", number_text);
	if (number > m->count)
		return ctl_error(EX_NOINPUT, "there is no message %s: %s has %" PRIu32, number_text,
			address, m->count);
	error = message_read(&ctl->disk, m, &m->entries[number - 1],
		wire ? MESSAGE_WIRE : MESSAGE_LF, put_to_stdout, NULL);
	if (error == -EBADMSG)
		return ctl_error(EX_DATAERR,
			"message %s of %s is damaged, what was printed is not what was stored",
			number_text, address);
	return error == 0 ? EX_OK : ctl_errno(error, "message %s of %s", number_text, address);
}

static int
run_show(struct ctl *ctl, int argc, char **argv)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct maildrop *m;
	bool wire = false;
	int code = read_options(&ctl_show_command, argc, argv, 2, NULL, &wire);

	if (code == EX_OK)
		code = mail_open(ctl, argv[optind], &m, address);
	if (code != EX_OK)
		return code;
	code = show_message(ctl, m, address, argv[optind + 1], wire);
	maildrop_close(&ctl->disk, m);
	return code;
}

const struct ctl_command ctl_list_command = {
	.name = "list",
	.run = run_list,
	.usage = "ADDRESS [--json]",
	.summary = "list a maildrop: number, uid, octets, date, unique-id",
	.spool = CTL_NEEDS_SPOOL,
};

const struct ctl_command ctl_show_command = {
	.name = "show",
	.run = run_show,
	.usage = "ADDRESS NUMBER [--wire]",
	.summary = "print a message with LF line ends; --wire: as POP3 sends it",
	.spool = CTL_NEEDS_SPOOL,
};
