/*
 * ctl.h - the frame of the `ringpost` command: one row and one function for each subcommand.
 *
 * main.c reads the global options and the settings, opens the spool as far as the row asks for it,
 * and calls the row's function with argv[0] = the subcommand's name and the rest behind it (scan it
 * with getopt_long from optind = 1; main.c has reset it).  The function returns a sysexits(3) code.
 *
 * Errors are one line on stderr by ctl_error(): what is wrong and what to do.  Results go to
 * stdout, as JSON (one object a line) where `json` is set.
 *
 * The tool works while the server runs: all that both touch is agreed through files and their
 * locks. Started as root, what it makes in the spool belongs to the owner of the spool, so that the
 * server, which is not root, can use it (owned_disk.h).
 */
#ifndef CORE_CTL_CTL_H
#define CORE_CTL_CTL_H

#include "core/settings.h"
#include "io/disk.h"
#include "storage/accounts.h"
#include "storage/maildrop.h"

#include <stdbool.h>
#include <stdio.h>
#include <sysexits.h>

struct ctl {
	const struct settings *settings;
	struct disk disk; /* the spool; waits.  root_fd is -1 for a row without one */
	struct maildrop_options maildrop_options;
	bool json; /* --json, before or behind the subcommand */
};

enum ctl_spool {
	CTL_NEEDS_SPOOL,    /* EX_NOINPUT where there is none */
	CTL_MAKES_SPOOL,    /* made where there is none, with the owner that `user` names */
	CTL_NEEDS_SETTINGS, /* and no spool */
	CTL_WITHOUT_SPOOL,  /* neither settings nor spool: `settings` is NULL */
};

struct ctl_command {
	const char *name;
	int (*run)(struct ctl *ctl, int argc, char **argv);
	const char *usage; /* the arguments: "add ADDRESS [--read-only] ..."; '\n' between forms */
	const char *summary;
	enum ctl_spool spool;
	bool for_a_queue; /* a mail queue reads the exit code: where settings or spool cannot be
			   * used it is EX_TEMPFAIL, as mail must not bounce for that */
};

extern const struct ctl_command ctl_user_command;
extern const struct ctl_command ctl_deliver_command;
extern const struct ctl_command ctl_quota_command;
extern const struct ctl_command ctl_settings_command;
extern const struct ctl_command ctl_metrics_command;
extern const struct ctl_command ctl_tls_command;
extern const struct ctl_command ctl_import_command;
extern const struct ctl_command ctl_export_command;
extern const struct ctl_command ctl_list_command;
extern const struct ctl_command ctl_show_command;
extern const struct ctl_command ctl_verify_command;
extern const struct ctl_command ctl_repair_command;
extern const struct ctl_command ctl_compact_command;

/* One line on stderr, "ringpost: ..."; returns `code`. */
int ctl_error(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with the words for a negative errno and the sysexits code that fits it. */
int ctl_errno(int error, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The sysexits code that fits a negative errno. */
int ctl_exit_code(int error);
/* "usage: ringpost user ..."; ctl_usage() prints it on stderr and returns EX_USAGE. */
void ctl_print_usage(const struct ctl_command *command, FILE *to);
int ctl_usage(const struct ctl_command *command);

/* The canonical form of an address from the command line.  Names that could be no account, and
 * those with a detail part that the server would cut off, are told to the operator.  Returns EX_OK
 * or a code. */
int ctl_address(
	const struct ctl *ctl, const char *text, char address_out[ACCOUNT_ADDRESS_OCTETS_MAX + 1]);

/* The same for lists: 0, or -EINVAL without a word (a detail part is -EINVAL too). */
int ctl_address_quietly(
	const struct ctl *ctl, const char *text, char address_out[ACCOUNT_ADDRESS_OCTETS_MAX + 1]);

/* Started as root: be the owner of the open spool, as the server is, and root again.  0 or a
 * negative errno. */
int ctl_become_owner(const struct ctl *ctl);
int ctl_become_root_again(void);

/* The accounts of the spool; errors are told.  Returns EX_OK or a code. */
int ctl_open_accounts(
	const struct ctl *ctl, enum accounts_mode mode, struct accounts **accounts_out);

#endif
