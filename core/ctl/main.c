/*
 * main.c - the `ringpost` command: global options, then one row of the table.
 *
 * To add a subcommand: a file ctl_<name>.c with its row, its name in ctl.h and here.
 */
#include "core/ctl/ctl.h"
#include "core/ctl/spool.h"
#include "core/version.h"
#include "io/base/must.h"

#include <getopt.h>
#include <string.h>

static const struct ctl_command *const commands[] = {
	&ctl_user_command,
	&ctl_import_command,
	&ctl_export_command,
	&ctl_deliver_command,
	&ctl_quota_command,
	&ctl_list_command,
	&ctl_show_command,
	&ctl_verify_command,
	&ctl_repair_command,
	&ctl_compact_command,
	&ctl_metrics_command,
	&ctl_tls_command,
	&ctl_settings_command,
};

struct invocation {
	const char *settings_path;
	bool json;
	bool done; /* --help or --version was answered */
};

static void
print_help(FILE *to)
{
	fprintf(to,
		"usage: ringpost [-c FILE] [--json] COMMAND ...\n\n"
		"  -c, --config FILE  settings (default " SETTINGS_PATH_DEFAULT ")\n"
		"      --json         results and progress as JSON, one object a line\n"
		"      --help         this text; behind COMMAND, its arguments\n"
		"      --version\n\n");
	for (size_t i = 0; i < array_count(commands); i++)
		fprintf(to, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
}

/* Returns EX_OK with optind at the subcommand, or EX_USAGE. */
static int
read_options(int argc, char **argv, struct invocation *in)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' },
		{ "version", no_argument, NULL, 'v' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "+c:h", options, NULL)) != -1) {
		switch (option) {
		case 'c':
			in->settings_path = optarg;
			break;
		case 'j':
			in->json = true;
			break;
		case 'h':
			print_help(stdout);
			in->done = true;
			return EX_OK;
		case 'v':
			puts("ringpost " RINGPOST_VERSION);
			in->done = true;
			return EX_OK;
		default:
			return EX_USAGE;
		}
	}
	if (optind == argc) {
		print_help(stderr);
		return EX_USAGE;
	}
	return EX_OK;
}

static const struct ctl_command *
find_command(const char *name)
{
	for (size_t i = 0; i < array_count(commands); i++) {
		if (strcmp(commands[i]->name, name) == 0)
			return commands[i];
	}
	return NULL;
}

/* The row's function with settings and spool as it wants them. */
static int
run_command(const struct ctl_command *command, const struct invocation *in, int argc, char **argv)
{
	struct ctl ctl = { .disk.root_fd = -1, .json = in->json };
	struct owned_disk owned;
	struct settings *settings;
	int code;

	if (command->spool == CTL_WITHOUT_SPOOL)
		return command->run(&ctl, argc, argv);
	if (!settings_load(in->settings_path, stderr, &settings))
		return command->for_a_queue ? EX_TEMPFAIL : EX_CONFIG;
	ctl.settings = settings;
	ctl.maildrop_options = (struct maildrop_options){
		.lock_timeout_ms = settings->lock_timeout_ms,
		.sync = true,
	};
	code = command->spool == CTL_NEEDS_SETTINGS ? command->run(&ctl, argc, argv)
						    : spool_open(&ctl, command->spool, &owned);
	if (code != EX_OK && command->for_a_queue)
		code = EX_TEMPFAIL;
	if (code == EX_OK && command->spool != CTL_NEEDS_SETTINGS) {
		code = command->run(&ctl, argc, argv);
		disk_close_root(&ctl.disk);
	}
	settings_free(settings);
	return code;
}

static int
dispatch(const struct invocation *in, int argc, char **argv)
{
	const struct ctl_command *command = find_command(argv[0]);

	if (command == NULL)
		return ctl_error(
			EX_USAGE, "no command \"%s\": `ringpost --help` lists them", argv[0]);
	if (argc == 2 && strcmp(argv[1], "--help") == 0) {
		ctl_print_usage(command, stdout);
		printf("\n%s\n", command->summary);
		return EX_OK;
	}
	optind = 0; /* glibc: start anew, with the subcommand as the program's name */
	return run_command(command, in, argc, argv);
}

int
main(int argc, char **argv)
{
	struct invocation in = { .settings_path = SETTINGS_PATH_DEFAULT };
	int code = read_options(argc, argv, &in);

	if (code == EX_OK && !in.done)
		code = dispatch(&in, argc - optind, argv + optind);
	if (fflush(stdout) != 0 && code == EX_OK)
		code = ctl_error(EX_IOERR, "writing the result failed");
	return code;
}
