/*
 * user_load.c - `ringpost user load FILE`: a line "address:hash" for each account, by the million;
 * and `ringpost user import`, with the lines of another server.
 *
 * Empty lines and lines that begin with "#" are passed over.  A bad line is told with its number
 * and skipped, the rest is loaded; the exit code then is EX_DATAERR.  Accounts that exist are
 * replaced.
 */
#include "core/ctl/progress.h"
#include "core/ctl/user.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct load {
	const struct user_request *request;
	const char *(*read)(const struct ctl *ctl, char *line, struct account *account_out);
	FILE *from;
	const char *name;
	char *line; /* getline's, freed at the end */
	size_t room;
	uint64_t line_number;
	uint64_t octets;
	uint64_t accounts;
	uint64_t bad_lines;
	struct progress progress;
};

/* An account of "address:hash", or what is wrong with the line. */
static const char *
read_pair(const struct ctl *ctl, char *line, struct account *account_out)
{
	char *colon = strchr(line, ':');
	int error;

	*account_out = (struct account){ .enabled = true };
	if (colon == NULL)
		return "no \":\" between address and hash";
	*colon = '\0';
	if (ctl_address_quietly(ctl, line, account_out->address) != 0)
		return "no address that could have an account";
	error = user_take_hash(colon + 1, account_out);
	if (error == -ENOTSUP)
		return "a hash of a scheme that is not accepted";
	return error == 0 ? NULL : "no hash of its scheme";
}

static void
cut_line_end(char *line, ssize_t length)
{
	if (length > 0 && line[length - 1] == '\n')
		line[--length] = '\0';
	if (length > 0 && line[length - 1] == '\r')
		line[--length] = '\0';
}

static int
next_account(void *ctx, struct account *account_out)
{
	struct load *l = ctx;
	ssize_t length;

	while ((length = getline(&l->line, &l->room, l->from)) >= 0) {
		const char *wrong;

		l->line_number++;
		l->octets += (uint64_t)length;
		cut_line_end(l->line, length);
		if (l->line[0] == '\0' || l->line[0] == '#')
			continue;
		wrong = l->read(l->request->ctl, l->line, account_out);
		if (wrong == NULL) {
			progress_update(&l->progress, ++l->accounts, l->octets);
			return 1;
		}
		l->bad_lines++;
		progress_clear(&l->progress);
		fprintf(stderr, "%s:%" PRIu64 ": %s; skipped\n", l->name, l->line_number, wrong);
	}
	return ferror(l->from) ? -EIO : 0;
}

static uint64_t
octets_of(FILE *file)
{
	struct stat st;

	if (fstat(fileno(file), &st) != 0 || !S_ISREG(st.st_mode))
		return 0;
	return (uint64_t)st.st_size;
}

static int
load_into(struct accounts *a, struct load *l)
{
	bool json = l->request->json;
	uint64_t loaded;
	int error;

	progress_start(&l->progress, "accounts", octets_of(l->from), json);
	error = accounts_load(a, next_account, l, &loaded);
	progress_end(&l->progress, loaded, l->octets);
	printf(json ? "{\"loaded\":%" PRIu64 ",\"bad_lines\":%" PRIu64 "}\n"
		    : "loaded %" PRIu64 " accounts, %" PRIu64 " bad lines\n",
		loaded, l->bad_lines);
	if (error != 0)
		return ctl_errno(error, "loading stopped; a second run may begin at the start");
	return l->bad_lines == 0 ? EX_OK : EX_DATAERR;
}

static int
load_file(struct user_request *r, const char *file,
	const char *(*read)(const struct ctl *ctl, char *line, struct account *account_out))
{
	bool is_stdin = strcmp(file, "-") == 0;
	struct load l = { .request = r, .read = read, .name = is_stdin ? "stdin" : file };
	struct accounts *a;
	int code;

	l.from = is_stdin ? stdin : fopen(file, "re");
	if (l.from == NULL)
		return ctl_errno(-errno, "%s", file);
	code = ctl_open_accounts(r->ctl, ACCOUNTS_WRITE, &a);
	if (code == EX_OK) {
		code = load_into(a, &l);
		accounts_close(a);
	}
	free(l.line);
	if (!is_stdin)
		fclose(l.from);
	return code;
}

int
user_load(struct user_request *r)
{
	return load_file(r, r->argument, read_pair);
}

int
user_import(struct user_request *r)
{
	if (strcmp(r->argument, "passwd-file") != 0 && strcmp(r->argument, "dovecot") != 0)
		return ctl_usage(&ctl_user_command);
	return load_file(r, r->name, user_read_passwd_line);
}
