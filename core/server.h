/*
 * server.h - the life of ringpostd: open all, run the shards, close all.
 */
#ifndef CORE_SERVER_H
#define CORE_SERVER_H

#include "core/settings.h"

/* Runs until SIGTERM or SIGINT; returns a sysexits(3) code.  What goes wrong is told in one line on
 * standard error: what it is, and what to do. */
int server_run(const struct settings *settings);

#endif
