/*
 * spool.c - the directory that holds it all.
 *
 * A spool is made only where nothing is, or an empty directory: a directory with other files and
 * without the spool's marker is somebody else's, or the wrong disk is mounted.
 */
#include "core/ctl/spool.h"

#include "storage/layout.h"

#include <errno.h>
#include <pwd.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SPOOL_MODE 0700

static int
stop_at_first(void *ctx, const char *name)
{
	(void)ctx;
	(void)name;
	return 1;
}

/* Root makes the spool for the user that the server becomes. */
static int
give_to_server(const char *path, const char *user)
{
	const struct passwd *entry;

	if (geteuid() != 0 || user[0] == '\0')
		return EX_OK;
	entry = getpwnam(user);
	if (entry == NULL)
		return ctl_error(EX_NOUSER,
			"there is no user \"%s\": make it (systemd-sysusers), or set `user`", user);
	if (chown(path, entry->pw_uid, entry->pw_gid) != 0)
		return ctl_errno(-errno, "%s", path);
	return EX_OK;
}

static int
make_directory(const struct settings *settings)
{
	int code;

	if (mkdir(settings->spool, SPOOL_MODE) != 0)
		return errno == EEXIST ? EX_OK : ctl_errno(-errno, "making %s", settings->spool);
	code = give_to_server(settings->spool, settings->user);
	if (code != EX_OK)
		rmdir(settings->spool);
	return code;
}

/* As root: all that is made in the spool belongs to the spool's owner. */
static int
keep_owner(struct ctl *ctl, struct owned_disk *owned)
{
	struct stat st;

	if (geteuid() != 0)
		return EX_OK;
	if (fstat(ctl->disk.root_fd, &st) != 0)
		return ctl_errno(-errno, "%s", ctl->settings->spool);
	if (st.st_uid != 0)
		owned_disk_wrap(owned, &ctl->disk, st.st_uid, st.st_gid);
	return EX_OK;
}

static int
prepare(struct ctl *ctl, enum ctl_spool how)
{
	const char *spool = ctl->settings->spool;
	bool make = how == CTL_MAKES_SPOOL && disk_list(&ctl->disk, ".", stop_at_first, NULL) == 0;
	int error = layout_prepare_spool(&ctl->disk, make);

	if (error == -ENOENT)
		return ctl_error(EX_CONFIG,
			"%s is no ringpost spool: is its disk mounted?  A new one needs an empty directory",
			spool);
	if (error != 0)
		return ctl_errno(error, "%s", spool);
	return EX_OK;
}

int
spool_open(struct ctl *ctl, enum ctl_spool how, struct owned_disk *owned)
{
	const char *spool = ctl->settings->spool;
	int code = how == CTL_MAKES_SPOOL ? make_directory(ctl->settings) : EX_OK;
	int error;

	if (code != EX_OK)
		return code;
	error = disk_open_root(spool, true, &ctl->disk);
	if (error == -ENOENT)
		return ctl_error(EX_NOINPUT,
			"there is no spool %s: `ringpost user add ADDRESS` makes it", spool);
	if (error != 0)
		return ctl_errno(error, "%s", spool);
	code = keep_owner(ctl, owned);
	if (code == EX_OK)
		code = prepare(ctl, how);
	if (code != EX_OK)
		disk_close_root(&ctl->disk);
	return code;
}
