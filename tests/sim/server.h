/*
 * server.h - the server in the simulated world: its shards as fibers of one process.
 */
#ifndef TESTS_SIM_SERVER_H
#define TESTS_SIM_SERVER_H

#include "core/settings.h"
#include "tests/sim/disk.h"

/* `shards` of them, listening on all ports of the settings.  One server at a time. */
void server_start(const struct settings *settings, const struct disk *disk, unsigned shards);
bool server_is_up(void);
/* It is killed, as it stands. */
void server_kill(void);
/* It is asked to stop; server_is_up() says when it has. */
void server_drain(void);

/* The world is over. */
void server_forget_world(void);

#endif
