/*
 * ctl_metrics.c - `ringpost metrics`: what the running server counts, as its listener says it.
 */
#include "core/ctl/ctl.h"
#include "core/metrics.h"
#include "core/settings_table.h"
#include "io/base/must.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#define WAIT_S        10
#define ANSWER_MAX    (4u << 20)
#define PIECE_OCTETS  16384u
#define STATUS_OK     "HTTP/1.0 200 "
#define STATUS_OK_1_1 "HTTP/1.1 200 "

/* ---- asking -------------------------------------------------------------------------------- */

static int
connect_to(const char *at)
{
	const struct timeval wait = { .tv_sec = WAIT_S };
	struct sockaddr_storage address;
	socklen_t octets;
	int fd, error;

	must(settings_read_address(at, &address, &octets));
	fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	if (connect(fd, (struct sockaddr *)&address, octets) == 0)
		return fd;
	error = -errno;
	close(fd);
	return error;
}

/* All until the server closes, for free(), with a NUL behind it. */
static int
read_all(int fd, char **text_out)
{
	char *text = NULL;
	size_t length = 0;
	ssize_t n;

	do {
		char *longer = realloc(text, length + PIECE_OCTETS + 1);

		if (longer == NULL || length > ANSWER_MAX) {
			free(longer != NULL ? longer : text);
			return longer == NULL ? -ENOMEM : -EMSGSIZE;
		}
		text = longer;
		n = recv(fd, text + length, PIECE_OCTETS, 0);
		if (n > 0)
			length += (size_t)n;
	} while (n > 0);
	if (n < 0) {
		free(text);
		return -errno;
	}
	text[length] = '\0';
	*text_out = text;
	return 0;
}

/* HTTP/1.0, so that the end of the connection is the end of the answer. */
static int
ask(const char *at, char **answer_out)
{
	static const char question[] = "GET /metrics HTTP/1.0\r\n\r\n";
	int fd = connect_to(at);
	int error = 0;

	if (fd < 0)
		return fd;
	if (send(fd, question, sizeof(question) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(question) - 1)
		error = -EPIPE;
	if (error == 0)
		error = read_all(fd, answer_out);
	close(fd);
	return error;
}

/* The body of a good answer; NULL: it is none. */
static const char *
body_of(const char *answer)
{
	const char *end = strstr(answer, "\r\n\r\n");
	bool is_good = strncmp(answer, STATUS_OK, sizeof(STATUS_OK) - 1) == 0 ||
		strncmp(answer, STATUS_OK_1_1, sizeof(STATUS_OK_1_1) - 1) == 0;

	return is_good && end != NULL ? end + 4 : NULL;
}

/* ---- telling ------------------------------------------------------------------------------- */

/* "name{labels} value" as one object. */
static void
print_sample(const char *line, size_t length)
{
	const char *value = memrchr(line, ' ', length);
	const char *brace = memchr(line, '{', length);
	size_t name_octets, labels_octets = 0;
	json_t *sample;

	if (value == NULL)
		return;
	name_octets = (size_t)((brace != NULL ? brace : value) - line);
	if (brace != NULL)
		labels_octets = (size_t)(value - brace) - 2;
	sample = json_pack("{s:s%, s:s%, s:I}", "metric", line, name_octets, "labels",
		brace != NULL ? brace + 1 : "", labels_octets, "value",
		(json_int_t)strtoll(value + 1, NULL, 10));
	if (sample != NULL) {
		(void)json_dumpf(sample, stdout, JSON_COMPACT);
		putchar('\n');
	}
	json_decref(sample);
}

static void
print_json(const char *text)
{
	while (*text != '\0') {
		size_t length = strcspn(text, "\n");

		if (length > 0 && text[0] != '#')
			print_sample(text, length);
		text += length + (text[length] == '\n');
	}
}

static int
show(const struct ctl *ctl)
{
	const char *at = ctl->settings->metrics;
	const char *body;
	char *answer;
	int error;

	if (at[0] == '\0')
		return ctl_error(EX_CONFIG,
			"the server has no listener for this: set `metrics`, for example to "
			"\"127.0.0.1:9110\"");
	error = ask(at, &answer);
	if (error != 0)
		return ctl_error(EX_UNAVAILABLE, "%s does not answer: %s; does the server run?", at,
			strerror(-error));
	body = body_of(answer);
	if (body == NULL) {
		free(answer);
		return ctl_error(EX_PROTOCOL, "who answers on %s is no ringpostd", at);
	}
	if (ctl->json)
		print_json(body);
	else
		fputs(body, stdout);
	free(answer);
	return EX_OK;
}

static int
run(struct ctl *ctl, int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--reference") == 0) {
		metrics_print_reference(stdout);
		return EX_OK;
	}
	if (argc == 2 && strcmp(argv[1], "--json") == 0)
		ctl->json = true;
	else if (argc != 1)
		return ctl_usage(&ctl_metrics_command);
	return show(ctl);
}

const struct ctl_command ctl_metrics_command = {
	.name = "metrics",
	.run = run,
	.usage = "[--json]\n--reference",
	.summary = "what the running server counts",
	.spool = CTL_NEEDS_SETTINGS,
};
