/*
 * app_password.h - secrets that we make, each for one program of the user's.
 *
 * 160 random bits in base32, "qbz3-k7xw-...": nobody guesses one, so what is stored is a plain
 * SHA-256 of salt and secret, and checking one costs less than a microsecond.  Blanks, dashes and
 * case do not matter when it is typed.
 */
#ifndef CORE_AUTH_APP_PASSWORD_H
#define CORE_AUTH_APP_PASSWORD_H

#include "io/base/span.h"
#include "storage/accounts.h"

#define APP_PASSWORD_TEXT_OCTETS 39u /* 32 digits in eight groups, and dashes between them */

/* A new secret: its text, to be shown once, and what is stored of it (salt and digest).
 * 0, -EIO. */
int app_password_make(char text_out[APP_PASSWORD_TEXT_OCTETS + 1], struct app_password *p);

/* Could it be one at all?  Almost no password of a user's is made of these 32 digits, so a login by
 * password costs nothing here. */
bool app_password_may_be(struct span secret);

/* Is `secret` this one?  In a time that does not depend on where it differs. */
bool app_password_fits(const struct app_password *p, struct span secret);

/* A name: 1 to APP_PASSWORD_NAME_OCTETS_MAX octets, no controls. */
bool app_password_name_is_good(struct span name);

#endif
