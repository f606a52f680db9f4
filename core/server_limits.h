/*
 * server_limits.h - the tables of limits that all shards share, made of the settings at start.
 */
#ifndef CORE_SERVER_LIMITS_H
#define CORE_SERVER_LIMITS_H

#include "core/shard.h"

/* Opens common->guests, penalties and admission.  0 or a negative errno. */
int server_limits_open(const struct settings *settings, struct shard_common *common);
void server_limits_close(struct shard_common *common);

#endif
