/*
 * layout.h - where a maildrop lives below the spool: mail/<h1>/<h2>/<escaped address>/.
 *
 * A path never holds an octet of an address that was not looked at: all but a-z 0-9 . _ + - @ = are
 * written as %XX, and so is a leading dot.  h1 and h2 are two hexadecimal digits each of the
 * CRC-32C of the address, so that no directory grows beyond thousands of names.
 */
#ifndef STORAGE_LAYOUT_H
#define STORAGE_LAYOUT_H

#include "io/disk.h"

#define LAYOUT_ADDRESS_OCTETS_MAX 254u /* RFC 5321, section 4.5.3.1 and its erratum 1690 */
#define LAYOUT_NAME_OCTETS_MAX    255u /* NAME_MAX */
#define LAYOUT_PATH_MAX           288u /* "mail/ab/cd/" name "/" longest file name, NUL */

/* The maildrop's directory, without a slash at the end.  -EINVAL: empty, too long, or its escaped
 * form is; *path_out is set on success only. */
int layout_directory(const char *address, char path_out[LAYOUT_PATH_MAX]);
/* A file in it. */
int layout_file(const char *address, const char *file, char path_out[LAYOUT_PATH_MAX]);
/* The same where the directory is known; directory and file together fit, or it is our own bug. */
void layout_join(const char *directory, const char *file, char path_out[LAYOUT_PATH_MAX]);
/* The address of an escaped directory name; -EINVAL where it is none. */
int layout_address(const char *name, char address_out[LAYOUT_ADDRESS_OCTETS_MAX + 1]);

/* Make (once) or check the spool below `d`: its marker file `ringpost-spool` and the directory
 * `mail`. A spool without its marker is not ours, or not mounted: -ENOENT unless `create`. */
int layout_prepare_spool(const struct disk *d, bool create);

/* Call `each` for every maildrop there is, in no order, until it returns other than 0 (waits). */
int layout_each_maildrop(
	const struct disk *d, int (*each)(void *ctx, const char *address), void *ctx);

#endif
