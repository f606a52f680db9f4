/*
 * ask_secret.c - reading a password without showing or keeping it.
 *
 * While the terminal does not echo it does not make signals either: ^C arrives as an octet and
 * cancels, so that no signal can leave the terminal mute behind us.
 */
#include "core/ctl/ask_secret.h"

#include "core/ctl/ctl.h"

#include <errno.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define LINE_OCTETS (PASSWORD_SECRET_OCTETS_MAX + 2) /* with LF and NUL */
#define CTRL_C      '\003'

/* One line, without stdio, which would keep a copy.  -E2BIG: too long; -EPIPE: no line. */
static int
read_line(char line[LINE_OCTETS])
{
	size_t length = 0;

	for (;;) {
		ssize_t n = read(STDIN_FILENO, line + length, 1);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0 && length == 0)
			return -EPIPE;
		if (n == 1 && line[length] == CTRL_C)
			return -ECANCELED;
		if (n == 0 || line[length] == '\n')
			break;
		if (++length > PASSWORD_SECRET_OCTETS_MAX)
			return -E2BIG;
	}
	if (length > 0 && line[length - 1] == '\r')
		length--;
	line[length] = '\0';
	return (int)length;
}

static int
prompt(const char *question, const char *address, char line[LINE_OCTETS])
{
	struct termios before, mute;
	int result;

	if (tcgetattr(STDIN_FILENO, &before) != 0)
		return -errno;
	mute = before;
	mute.c_lflag &= ~(tcflag_t)(ECHO | ISIG);
	fprintf(stderr, "%s %s: ", question, address);
	fflush(stderr);
	if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &mute) != 0)
		return -errno;
	result = read_line(line);
	tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
	putc('\n', stderr);
	return result;
}

static int
complain(int error)
{
	switch (-error) {
	case E2BIG:
		return ctl_error(
			EX_DATAERR, "a password has at most %u octets", PASSWORD_SECRET_OCTETS_MAX);
	case EPIPE:
		return ctl_error(EX_DATAERR,
			"no password: give it as one line of stdin, or use --password-hash");
	case ECANCELED:
		return ctl_error(EX_TEMPFAIL, "cancelled");
	default:
		return ctl_errno(error, "reading the password");
	}
}

static int
ask_twice(const char *address, char first[LINE_OCTETS])
{
	char second[LINE_OCTETS];
	int code = EX_OK;
	int length = prompt("New password for", address, first);

	if (length >= 0)
		length = prompt("Once more for", address, second);
	if (length < 0)
		code = complain(length);
	else if (strcmp(first, second) != 0)
		code = ctl_error(EX_DATAERR, "the two passwords differ");
	explicit_bzero(second, sizeof(second));
	return code;
}

static int
ask_once(char line[LINE_OCTETS])
{
	int length = read_line(line);

	return length < 0 ? complain(length) : EX_OK;
}

int
ask_secret(const char *address, char secret_out[PASSWORD_SECRET_OCTETS_MAX + 1])
{
	char line[LINE_OCTETS];
	int code = isatty(STDIN_FILENO) ? ask_twice(address, line) : ask_once(line);

	if (code == EX_OK && line[0] == '\0')
		code = ctl_error(EX_DATAERR, "an empty password is none");
	if (code == EX_OK)
		strcpy(secret_out, line);
	explicit_bzero(line, sizeof(line));
	return code;
}
