/*
 * ctl_export.c - `ringpost export`: a maildrop for other mail software, or as a backup.
 */
#include "core/ctl/mail.h"
#include "core/ctl/progress.h"
#include "io/base/must.h"
#include "storage/convert/export.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

struct request {
	struct ctl *ctl;
	bool json;
	enum export_format format;
	struct export_options options;
	const char *path;
	uint64_t messages, octets; /* done */
	struct progress progress;
};

static const struct {
	const char *name;
	enum export_format format;
} formats[] = {
	{ "maildir", EXPORT_MAILDIR },
	{ "mbox", EXPORT_MBOX },
	{ "eml", EXPORT_EML },
};

static void
report(void *ctx, const char *text)
{
	struct request *r = ctx;

	progress_clear(&r->progress);
	fprintf(stderr, "ringpost: %s\n", text);
}

static void
count(void *ctx, uint64_t messages, uint64_t octets)
{
	struct request *r = ctx;

	r->messages += messages;
	r->octets += octets;
	progress_update(&r->progress, r->messages, r->octets);
}

static int
tell(const struct request *r, int error)
{
	switch (-error) {
	case EEXIST:
		return ctl_error(EX_CANTCREAT, "%s exists: name a file that does not", r->path);
	case ENOTEMPTY:
		return ctl_error(EX_CANTCREAT, "%s is not empty: name a new directory", r->path);
	case ENOENT:
	case ENOTDIR:
	case EACCES:
	case EROFS:
		return ctl_error(EX_CANTCREAT, "%s cannot be made: %s", r->path, strerror(-error));
	default:
		return ctl_errno(error, "exporting to %s", r->path);
	}
}

static int export(struct request *r, const char *address, const struct maildrop *m)
{
	struct export_counts counts;
	int error;

	progress_start(&r->progress, "messages", m->octets, r->json);
	error = export_maildrop(&r->ctl->disk, m, r->format, r->path, &r->options, &counts);
	if (error != 0)
		return tell(r, error);
	progress_end(&r->progress, r->messages, r->octets);
	if (!r->json)
		printf("%s: %" PRIu64 " messages exported, %" PRIu64 " damaged and left out\n",
			address, counts.written, counts.damaged);
	else
		mail_print_json(json_pack("{s:s, s:I, s:I, s:I}", "address", address, "exported",
			(json_int_t)counts.written, "damaged", (json_int_t)counts.damaged, "octets",
			(json_int_t)counts.octets));
	return counts.damaged == 0 ? EX_OK : EX_DATAERR;
}

static int
read_request(struct request *r, int argc, char **argv)
{
	static const struct option options[] = {
		{ "json", no_argument, NULL, 'j' },
		{ "lf", no_argument, NULL, EXPORT_LF },
		{ "crlf", no_argument, NULL, EXPORT_CRLF },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == '?')
			return EX_USAGE;
		if (option == 'j')
			r->json = true;
		else
			r->options.line_ends = (enum export_line_ends)option;
	}
	if (argc - optind != 3)
		return ctl_usage(&ctl_export_command);
	for (size_t i = 0; i < array_count(formats); i++) {
		if (strcmp(argv[optind], formats[i].name) == 0) {
			r->format = formats[i].format;
			r->path = argv[optind + 2];
			return EX_OK;
		}
	}
	return ctl_usage(&ctl_export_command);
}

static int
run(struct ctl *ctl, int argc, char **argv)
{
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	struct request r = {
		.ctl = ctl,
		.json = ctl->json,
		.options = { .report = report, .progress = count, .ctx = &r },
	};
	struct maildrop *m;
	int code = read_request(&r, argc, argv);

	if (code == EX_OK)
		code = mail_open(ctl, argv[optind + 1], &m, address);
	if (code != EX_OK)
		return code;
	code = export(&r, address, m);
	maildrop_close(&ctl->disk, m);
	return code;
}

const struct ctl_command ctl_export_command = {
	.name = "export",
	.run = run,
	.usage = "maildir ADDRESS DIRECTORY [--crlf] [--json]\n"
		 "mbox ADDRESS FILE [--crlf] [--json]\n"
		 "eml ADDRESS DIRECTORY [--lf] [--json]",
	.summary = "write a maildrop as maildir, mbox or eml files",
	.spool = CTL_NEEDS_SPOOL,
};
