/*
 * introspect.c - see introspect.h.
 *
 * A request is a handle of libcurl, taken for one question and given back; the handle keeps its
 * connection.  Redirections are not followed and proxies of the environment are not used: a token
 * and our credentials go to the one address that is set.
 */
#include "core/auth/introspect.h"

#include "io/base/clock.h"
#include "io/base/log.h"
#include "io/base/must.h"

#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ANSWER_OCTETS_MAX      65536u
#define CREDENTIALS_OCTETS_MAX 1024u
#define TROUBLE_EVERY_MS       10000u

static const struct log_kind EVENT_INTROSPECTION_FAILED = { "introspection_failed", LOG_ERROR };

struct request {
	CURL *handle;
	char error[CURL_ERROR_SIZE];
	size_t octets;
	char answer[ANSWER_OCTETS_MAX];
};

struct introspect {
	struct introspect_options options;
	struct curl_slist *headers;
	pthread_mutex_t lock; /* of what follows */
	char credentials[CREDENTIALS_OCTETS_MAX];
	unsigned free_count;
	struct request *free[INTROSPECT_CONNECTIONS_MAX];

	_Atomic uint64_t last_trouble_ms;
	unsigned request_count;
	struct request requests[];
};

/* ---- the beginning and the end ------------------------------------------------------------- */

/* One line, "name:secret". */
static int
read_credentials(const char *path, char *to, char why[INTROSPECT_WHY_OCTETS])
{
	FILE *file;
	bool is_line;

	to[0] = '\0';
	if (path[0] == '\0')
		return 0;
	file = fopen(path, "re");
	if (file == NULL) {
		snprintf(why, INTROSPECT_WHY_OCTETS,
			"oauth_introspection_credentials: %.300s cannot be opened: %s", path,
			strerror(errno));
		return -EINVAL;
	}
	setbuf(file, NULL); /* no copy of the secret stays behind */
	is_line = fgets(to, (int)CREDENTIALS_OCTETS_MAX, file) != NULL;
	fclose(file);
	to[strcspn(to, "\r\n")] = '\0';
	if (is_line && strchr(to, ':') != NULL && to[0] != ':')
		return 0;
	snprintf(why, INTROSPECT_WHY_OCTETS,
		"oauth_introspection_credentials: %.300s: its first line must be NAME:SECRET, as "
		"this server is known where tokens are made",
		path);
	return -EINVAL;
}

/* In clear only to where nobody can listen. */
static int
check_url(const char *url, char why[INTROSPECT_WHY_OCTETS])
{
	CURLU *parsed = curl_url();
	char *scheme = NULL;
	char *host = NULL;
	bool is_fit = false;

	if (parsed != NULL && curl_url_set(parsed, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
		curl_url_get(parsed, CURLUPART_HOST, &host, 0) == CURLUE_OK)
		is_fit = strcmp(scheme, "https") == 0 ||
			(strcmp(scheme, "http") == 0 &&
				(strcmp(host, "localhost") == 0 || strcmp(host, "127.0.0.1") == 0 ||
					strcmp(host, "[::1]") == 0));
	curl_free(scheme);
	curl_free(host);
	curl_url_cleanup(parsed);
	if (is_fit)
		return 0;
	snprintf(why, INTROSPECT_WHY_OCTETS,
		"oauth_introspection_url: \"%.300s\" must be https://..., or http:// on 127.0.0.1, "
		"[::1] or localhost",
		url);
	return -EINVAL;
}

/* The library would say so at the first question only. */
static int
check_ca(const char *path, char why[INTROSPECT_WHY_OCTETS])
{
	if (path[0] == '\0' || access(path, R_OK) == 0)
		return 0;
	snprintf(why, INTROSPECT_WHY_OCTETS, "oauth_introspection_ca: %.300s cannot be read: %s",
		path, strerror(errno));
	return -EINVAL;
}

/* More than fits ends the transfer. */
static size_t
take_octets(char *octets, size_t one, size_t count, void *ctx)
{
	struct request *r = ctx;

	must(one == 1);
	if (count > sizeof(r->answer) - r->octets)
		return 0;
	memcpy(r->answer + r->octets, octets, count);
	r->octets += count;
	return count;
}

static int
open_request(struct introspect *i, struct request *r)
{
	CURL *h = curl_easy_init();

	r->handle = h;
	if (h == NULL || curl_easy_setopt(h, CURLOPT_URL, i->options.url) != CURLE_OK ||
		curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https") != CURLE_OK ||
		curl_easy_setopt(h, CURLOPT_PROXY, "") != CURLE_OK ||
		curl_easy_setopt(h, CURLOPT_HTTPHEADER, i->headers) != CURLE_OK)
		return -ENOMEM;
	if (i->options.ca_file[0] != '\0' &&
		(curl_easy_setopt(h, CURLOPT_CAINFO, i->options.ca_file) != CURLE_OK ||
			curl_easy_setopt(h, CURLOPT_CAPATH, NULL) != CURLE_OK))
		return -ENOMEM;
	(void)curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
	(void)curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl_easy_setopt(h, CURLOPT_TIMEOUT_MS, (long)i->options.time_limit_ms);
	(void)curl_easy_setopt(h, CURLOPT_ERRORBUFFER, r->error);
	(void)curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, take_octets);
	(void)curl_easy_setopt(h, CURLOPT_WRITEDATA, r);
	i->free[i->free_count++] = r;
	return 0;
}

static int
open_requests(struct introspect *i)
{
	int error = 0;

	i->headers = curl_slist_append(NULL, "Accept: application/json");
	if (i->headers == NULL)
		return -ENOMEM;
	for (unsigned n = 0; n < i->request_count && error == 0; n++)
		error = open_request(i, &i->requests[n]);
	return error;
}

int
introspect_open(const struct introspect_options *options, char why[INTROSPECT_WHY_OCTETS],
	struct introspect **introspect_out)
{
	unsigned count = options->connections;
	struct introspect *i;
	int error;

	must(count > 0 && count <= INTROSPECT_CONNECTIONS_MAX);
	snprintf(why, INTROSPECT_WHY_OCTETS, "oauth_introspection_url: no memory");
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return -ENOMEM;
	i = calloc(1, sizeof(*i) + count * sizeof(i->requests[0]));
	if (i == NULL) {
		curl_global_cleanup();
		return -ENOMEM;
	}
	i->options = *options;
	i->request_count = count;
	pthread_mutex_init(&i->lock, NULL);
	error = check_url(options->url, why);
	if (error == 0)
		error = check_ca(options->ca_file, why);
	if (error == 0)
		error = read_credentials(options->credentials, i->credentials, why);
	if (error == 0)
		error = open_requests(i);
	if (error != 0) {
		introspect_close(i);
		return error;
	}
	*introspect_out = i;
	return 0;
}

void
introspect_close(struct introspect *i)
{
	for (unsigned n = 0; n < i->request_count; n++)
		curl_easy_cleanup(i->requests[n].handle);
	curl_slist_free_all(i->headers);
	pthread_mutex_destroy(&i->lock);
	explicit_bzero(i->credentials, sizeof(i->credentials));
	free(i);
	curl_global_cleanup();
}

int
introspect_reload(struct introspect *i, char why[INTROSPECT_WHY_OCTETS])
{
	char credentials[CREDENTIALS_OCTETS_MAX];
	int error = read_credentials(i->options.credentials, credentials, why);

	if (error == 0) {
		pthread_mutex_lock(&i->lock);
		memcpy(i->credentials, credentials, sizeof(credentials));
		pthread_mutex_unlock(&i->lock);
	}
	explicit_bzero(credentials, sizeof(credentials));
	return error;
}

/* ---- a question ---------------------------------------------------------------------------- */

/* The last one given back is the first one taken: its connection is warm. */
static struct request *
take_request(struct introspect *i, char credentials_out[CREDENTIALS_OCTETS_MAX])
{
	struct request *r;

	pthread_mutex_lock(&i->lock);
	must(i->free_count > 0);
	r = i->free[--i->free_count];
	memcpy(credentials_out, i->credentials, CREDENTIALS_OCTETS_MAX);
	pthread_mutex_unlock(&i->lock);
	r->octets = 0;
	r->error[0] = '\0';
	return r;
}

static void
give_request(struct introspect *i, struct request *r)
{
	explicit_bzero(r->answer, r->octets);
	pthread_mutex_lock(&i->lock);
	i->free[i->free_count++] = r;
	pthread_mutex_unlock(&i->lock);
}

static int
set_credentials(struct request *r, char credentials[CREDENTIALS_OCTETS_MAX])
{
	char *secret = strchr(credentials, ':');

	if (secret == NULL)
		return 0;
	*secret++ = '\0';
	if (curl_easy_setopt(r->handle, CURLOPT_HTTPAUTH, CURLAUTH_BASIC) != CURLE_OK ||
		curl_easy_setopt(r->handle, CURLOPT_USERNAME, credentials) != CURLE_OK ||
		curl_easy_setopt(r->handle, CURLOPT_PASSWORD, secret) != CURLE_OK)
		return -ENOMEM;
	return 0;
}

/* "token=...&token_type_hint=access_token"; an allocation of its own, or NULL. */
static char *
make_form(struct request *r, struct span token)
{
	char *escaped = curl_easy_escape(r->handle, token.at, (int)token.length);
	char *form = NULL;

	if (escaped != NULL &&
		asprintf(&form, "token=%s&token_type_hint=access_token", escaped) < 0)
		form = NULL;
	if (escaped != NULL)
		explicit_bzero(escaped, strlen(escaped));
	curl_free(escaped);
	return form;
}

static int
errno_of(CURLcode code)
{
	switch ((int)code) {
	case CURLE_OK:
		return 0;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_PEER_FAILED_VERIFICATION:
		return -EKEYREJECTED;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	default:
		return -EPROTO;
	}
}

static int
errno_of_status(long status)
{
	if (status == 200)
		return 0;
	return status == 401 || status == 403 ? -EACCES : -EPROTO;
}

static int
ask(struct request *r, struct span token, long *status_out)
{
	char *form = make_form(r, token);
	CURLcode code;

	if (form == NULL)
		return -ENOMEM;
	(void)curl_easy_setopt(r->handle, CURLOPT_POSTFIELDS, form);
	code = curl_easy_perform(r->handle);
	(void)curl_easy_setopt(r->handle, CURLOPT_POSTFIELDS, "");
	(void)curl_easy_getinfo(r->handle, CURLINFO_RESPONSE_CODE, status_out);
	explicit_bzero(form, strlen(form));
	free(form);
	return code != CURLE_OK ? errno_of(code) : errno_of_status(*status_out);
}

static int
read_answer(const struct request *r, const struct claims_rules *rules, int64_t now,
	struct token_owner *owner_out, const char **why_out)
{
	json_t *answer = json_loadb(r->answer, r->octets, JSON_REJECT_DUPLICATES, NULL);
	const json_t *active = json_object_get(answer, "active");
	int error = 0;

	if (!json_is_boolean(active))
		error = -EBADMSG;
	else if (json_is_false(active))
		*why_out = "token_inactive";
	else
		*why_out = claims_check(answer, rules, false, now, owner_out);
	json_decref(answer);
	return error;
}

/* What each login tells in short; in full now and then, not for each of thousands. */
static void
note_trouble(struct introspect *i, const struct request *r, long status, int error)
{
	uint64_t now_ms = clock_monotonic_ms();
	uint64_t last_ms = atomic_load(&i->last_trouble_ms);

	if (last_ms != 0 && now_ms - last_ms < TROUBLE_EVERY_MS)
		return;
	if (!atomic_compare_exchange_strong(&i->last_trouble_ms, &last_ms, now_ms))
		return;
	log_event(EVENT_INTROSPECTION_FAILED, kv_str("url", i->options.url),
		kv_u64("status", (uint64_t)status), kv_str("error", strerror(-error)),
		kv_str("why", r->error));
}

int
introspect_verify(struct introspect *i, const struct claims_rules *rules, struct span token,
	int64_t now, struct token_owner *owner_out, const char **why_out)
{
	char credentials[CREDENTIALS_OCTETS_MAX];
	struct request *r = take_request(i, credentials);
	long status = 0;
	int error = set_credentials(r, credentials);

	explicit_bzero(credentials, sizeof(credentials));
	if (error == 0)
		error = ask(r, token, &status);
	if (error == 0)
		error = read_answer(r, rules, now, owner_out, why_out);
	if (error != 0)
		note_trouble(i, r, status, error);
	give_request(i, r);
	return error;
}
