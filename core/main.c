/*
 * main.c - ringpostd, the server program: reads the command line and the settings.
 */
#include "core/server.h"
#include "core/version.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

static const char usage[] = "usage: ringpostd [-c FILE] [--check]\n"
			    "\n"
			    "  -c FILE    read the settings from FILE (" SETTINGS_PATH_DEFAULT ")\n"
			    "  --check    check the settings, print those in effect, and exit\n"
			    "  --version  print the version and exit\n"
			    "  --help     print this and exit\n"
			    "\n"
			    "See ringpostd(8) and ringpost.conf(5).\n";

enum action {
	ACTION_RUN,
	ACTION_CHECK,
	ACTION_HELP,
	ACTION_VERSION,
	ACTION_REFUSE,
};

static enum action
read_command_line(int argc, char **argv, const char **file_out)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "check", no_argument, NULL, ACTION_CHECK },
		{ "help", no_argument, NULL, ACTION_HELP },
		{ "version", no_argument, NULL, ACTION_VERSION },
		{ 0 },
	};
	enum action action = ACTION_RUN;
	int option;

	*file_out = SETTINGS_PATH_DEFAULT;
	while ((option = getopt_long(argc, argv, "c:", options, NULL)) != -1) {
		if (option == 'c')
			*file_out = optarg;
		else if (option == '?')
			return ACTION_REFUSE;
		else
			action = (enum action)option;
	}
	return optind == argc ? action : ACTION_REFUSE;
}

static int
run(const char *file, enum action action)
{
	struct settings *settings;
	int code = EX_OK;

	if (!settings_load(file, stderr, &settings))
		return EX_CONFIG;
	if (action == ACTION_CHECK)
		settings_print(settings, stdout);
	else
		code = server_run(settings);
	settings_free(settings);
	return code;
}

int
main(int argc, char **argv)
{
	const char *file;
	enum action action = read_command_line(argc, argv, &file);

	switch (action) {
	case ACTION_HELP:
		fputs(usage, stdout);
		return EX_OK;
	case ACTION_VERSION:
		puts("ringpostd " RINGPOST_VERSION);
		return EX_OK;
	case ACTION_REFUSE:
		fputs(usage, stderr);
		return EX_USAGE;
	case ACTION_RUN:
	case ACTION_CHECK:
		break;
	}
	return run(file, action);
}
