/*
 * metrics_listener.c - the HTTP listener of the setting `metrics` (GNU libmicrohttpd).
 *
 * One thread of the library's own, few connections at once and none for long: whoever watches the
 * server never weighs on it.
 */
#include "core/metrics.h"
#include "core/server_doors.h"
#include "core/settings_table.h"
#include "io/base/must.h"
#include "io/listener.h"

#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#define BACKLOG         16
#define CONNECTIONS_MAX 16u
#define TIMEOUT_S       10u
#define SOCKET_MODE     0660

struct metrics_listener {
	const struct shard *shards;
	unsigned shard_count;
	struct MHD_Daemon *daemon;
};

/* ---- answers ------------------------------------------------------------------------------- */

static enum MHD_Result
answer_in_words(struct MHD_Connection *c, unsigned status, const char *words)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(
		strlen(words), (void *)(uintptr_t)words, MHD_RESPMEM_PERSISTENT);
	enum MHD_Result queued = MHD_NO;

	if (response != NULL) {
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
		queued = MHD_queue_response(c, status, response);
		MHD_destroy_response(response);
	}
	return queued;
}

static enum MHD_Result
answer_with_metrics(const struct metrics_listener *l, struct MHD_Connection *c)
{
	struct MHD_Response *response = NULL;
	enum MHD_Result queued = MHD_NO;
	char *text = NULL;
	size_t octets = 0;
	FILE *to = open_memstream(&text, &octets);

	if (to == NULL)
		return MHD_NO;
	metrics_print(l->shards, l->shard_count, to);
	if (fclose(to) == 0)
		response = MHD_create_response_from_buffer(octets, text, MHD_RESPMEM_MUST_FREE);
	if (response == NULL) {
		free(text);
		return MHD_NO;
	}
	(void)MHD_add_response_header(
		response, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8");
	queued = MHD_queue_response(c, MHD_HTTP_OK, response);
	MHD_destroy_response(response);
	return queued;
}

static enum MHD_Result
asked(void *listener, struct MHD_Connection *c, const char *path, const char *method,
	const char *version, const char *body, size_t *body_octets, void **state)
{
	(void)version;
	(void)body;
	(void)state;
	if (*body_octets != 0) { /* not wanted, but it has to be heard out */
		*body_octets = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_in_words(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET\n");
	if (strcmp(path, "/metrics") != 0)
		return answer_in_words(c, MHD_HTTP_NOT_FOUND, "see /metrics\n");
	return answer_with_metrics(listener, c);
}

/* ---- life ---------------------------------------------------------------------------------- */

int
metrics_listener_bind(const struct settings *settings, int *socket_out)
{
	const char *at = settings->metrics;
	struct sockaddr_storage address;
	socklen_t octets;
	int fd;

	*socket_out = -1;
	if (at[0] == '\0')
		return EX_OK;
	must(settings_read_address(at, &address, &octets));
	if (address.ss_family == AF_UNIX)
		fd = listener_make_local_socket(at, SOCKET_MODE, (uid_t)-1, (gid_t)-1, BACKLOG);
	else if (listener_check_free((const struct sockaddr *)&address, octets) == -EADDRINUSE)
		fd = -EADDRINUSE;
	else
		fd = listener_make_socket((const struct sockaddr *)&address, octets, BACKLOG);
	if (fd < 0)
		return server_fail(fd == -EACCES ? EX_NOPERM : EX_UNAVAILABLE,
			"cannot listen on %s (setting `metrics`): %s", at, strerror(-fd));
	*socket_out = fd;
	return EX_OK;
}

int
metrics_listener_start(int socket, const struct shard *shards, unsigned shard_count,
	struct metrics_listener **listener_out)
{
	struct metrics_listener *l;

	*listener_out = NULL;
	if (socket < 0)
		return 0;
	l = malloc(sizeof(*l));
	if (l == NULL) {
		close(socket);
		return -ENOMEM;
	}
	*l = (struct metrics_listener){ .shards = shards, .shard_count = shard_count };
	l->daemon = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL,
		asked, l, MHD_OPTION_LISTEN_SOCKET, socket, MHD_OPTION_CONNECTION_LIMIT,
		CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT, TIMEOUT_S, MHD_OPTION_END);
	if (l->daemon == NULL) {
		close(socket);
		free(l);
		return -ENOMEM;
	}
	*listener_out = l;
	return 0;
}

void
metrics_listener_stop(struct metrics_listener *l)
{
	if (l == NULL)
		return;
	MHD_stop_daemon(l->daemon);
	free(l);
}
