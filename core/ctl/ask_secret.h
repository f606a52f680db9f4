/*
 * ask_secret.h - a password from the operator.
 */
#ifndef CORE_CTL_ASK_SECRET_H
#define CORE_CTL_ASK_SECRET_H

#include "core/auth/password.h"

/* From a terminal: asked for twice, without echo.  From a pipe or a file: the first line of stdin.
 * Errors are told.  Returns EX_OK or a sysexits code; the caller wipes secret_out. */
int ask_secret(const char *address, char secret_out[PASSWORD_SECRET_OCTETS_MAX + 1]);

#endif
