/*
 * ctl_settings.c - `ringpost settings`: the reference of all settings, as it stands in the program.
 */
#include "core/ctl/ctl.h"

#include <string.h>

static int
run(struct ctl *ctl, int argc, char **argv)
{
	(void)ctl;
	if (argc == 2 && strcmp(argv[1], "--man") == 0)
		settings_print_manual(stdout);
	else if (argc == 1)
		settings_print_reference(stdout);
	else
		return ctl_usage(&ctl_settings_command);
	return EX_OK;
}

const struct ctl_command ctl_settings_command = {
	.name = "settings",
	.run = run,
	.usage = "[--man]",
	.summary = "print the reference of all settings",
	.spool = CTL_WITHOUT_SPOOL,
};
