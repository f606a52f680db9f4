/*
 * ctl.c - what the subcommands of `ringpost` share: words for errors, addresses, accounts.
 */
#include "core/ctl/ctl.h"

#include "core/auth/address.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int
ctl_error(int code, const char *format, ...)
{
	va_list args;

	fputs("ringpost: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	putc('\n', stderr);
	return code;
}

/* Where our own meaning of an errno says more than the system's. */
static const char *
words_of(int error)
{
	switch (-error) {
	case EBADMSG:
		return "it is damaged";
	case EPROTONOSUPPORT:
		return "it was written by a newer ringpost";
	case ETIMEDOUT:
		return "somebody else holds its lock; try again later";
	case EACCES:
		return "permission denied; run this as root or as the owner of the spool";
	case ENOSPC:
		return "no space left";
	default:
		return strerror(-error);
	}
}

int
ctl_exit_code(int error)
{
	switch (-error) {
	case ENOENT:
		return EX_NOINPUT;
	case EACCES:
	case EPERM:
		return EX_NOPERM;
	case EAGAIN:
	case ENOMEM:
	case ETIMEDOUT:
		return EX_TEMPFAIL;
	case EBADMSG:
	case EINVAL:
	case EPROTONOSUPPORT:
		return EX_DATAERR;
	case EIO:
	case ENOSPC:
	case EDQUOT:
		return EX_IOERR;
	default:
		return EX_OSERR;
	}
}

int
ctl_errno(int error, const char *format, ...)
{
	va_list args;

	fputs("ringpost: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, ": %s\n", words_of(error));
	return ctl_exit_code(error);
}

void
ctl_print_usage(const struct ctl_command *command, FILE *to)
{
	const char *form = command->usage;

	while (form != NULL) {
		const char *end = strchrnul(form, '\n');

		fprintf(to, "%s ringpost %s %.*s\n", form == command->usage ? "usage:" : "      ",
			command->name, (int)(end - form), form);
		form = *end == '\n' ? end + 1 : NULL;
	}
}

int
ctl_usage(const struct ctl_command *command)
{
	ctl_print_usage(command, stderr);
	return EX_USAGE;
}

int
ctl_address_quietly(
	const struct ctl *ctl, const char *text, char address_out[ACCOUNT_ADDRESS_OCTETS_MAX + 1])
{
	struct address_rules rules = {
		.default_domain = ctl->settings->default_domain,
		.detail_separator = ctl->settings->detail_separator,
	};
	char address[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	char uncut[ACCOUNT_ADDRESS_OCTETS_MAX + 1];

	if (address_canonical(span_of_string(text), &rules, address) != 0)
		return -EINVAL;
	rules.detail_separator = "";
	if (address_canonical(span_of_string(text), &rules, uncut) != 0 ||
		strcmp(address, uncut) != 0)
		return -EINVAL;
	strcpy(address_out, address);
	return 0;
}

int
ctl_address(
	const struct ctl *ctl, const char *text, char address_out[ACCOUNT_ADDRESS_OCTETS_MAX + 1])
{
	if (ctl_address_quietly(ctl, text, address_out) == 0)
		return EX_OK;
	return ctl_error(EX_DATAERR,
		"\"%s\" can be no account: write local@domain (or set default_domain), without "
		"blanks and without a detail part%s%s",
		text, ctl->settings->detail_separator[0] != '\0' ? " behind " : "",
		ctl->settings->detail_separator);
}

int
ctl_become_owner(const struct ctl *ctl)
{
	struct stat spool;

	if (getuid() != 0)
		return 0;
	if (fstat(ctl->disk.root_fd, &spool) != 0)
		return -errno;
	return setegid(spool.st_gid) == 0 && seteuid(spool.st_uid) == 0 ? 0 : -errno;
}

int
ctl_become_root_again(void)
{
	return getuid() != 0 || (seteuid(0) == 0 && setegid(0) == 0) ? 0 : -EPERM;
}

/* LMDB makes and opens its files as the owner of the spool: the server can use them, and a link
 * that the owner has put there leads root nowhere. */
static int
open_as_owner(const struct ctl *ctl, const char *path, enum accounts_mode mode,
	struct accounts **accounts_out)
{
	int error = ctl_become_owner(ctl);

	if (error == 0)
		error = accounts_open(path, mode, accounts_out);
	return ctl_become_root_again() == 0 ? error : -EPERM;
}

int
ctl_open_accounts(const struct ctl *ctl, enum accounts_mode mode, struct accounts **accounts_out)
{
	char path[PATH_MAX];
	int error;

	if (snprintf(path, sizeof(path), "%s/" ACCOUNTS_FILE, ctl->settings->spool) >=
		(int)sizeof(path))
		return ctl_error(EX_CONFIG, "the path of the spool is too long");
	error = open_as_owner(ctl, path, mode, accounts_out);
	if (error == -ENOENT && mode == ACCOUNTS_READ)
		return ctl_error(
			EX_NOINPUT, "%s is not there: `ringpost user add ADDRESS` makes it", path);
	if (error != 0)
		return ctl_errno(error, "%s", path);
	return EX_OK;
}
