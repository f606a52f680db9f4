/*
 * source_pam.c - see source_pam.h.
 */
#include "core/auth/source_pam.h"

#include "core/auth/account_field.h"
#include "core/auth/password.h"
#include "core/auth/template.h"
#include "io/base/must.h"

#include <errno.h>
#include <pwd.h>
#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PASSWD_OCTETS_MAX 65536u

struct pam_source {
	struct source source;
	struct source_pam_options options;
};

static const struct source_pam_options *
options_of(struct source *s)
{
	return &((struct pam_source *)s)->options;
}

/* ---- find ---------------------------------------------------------------------------------- */

static int
look_up_user(const char *name)
{
	struct passwd entry;
	struct passwd *found = NULL;
	char *room = malloc(PASSWD_OCTETS_MAX);
	int error;

	if (room == NULL)
		return -ENOMEM;
	error = getpwnam_r(name, &entry, room, PASSWD_OCTETS_MAX, &found);
	free(room);
	if (found != NULL)
		return 0;
	/* What getpwnam(3) lists: some services say so when they do not know the name. */
	return error == 0 || error == ENOENT || error == ESRCH || error == EBADF || error == EPERM
		? -ENOENT
		: -error;
}

static int
pam_find(struct source *s, struct span address, struct account *account_out)
{
	const struct source_pam_options *o = options_of(s);
	char user[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	int error;

	if (!template_fill(o->user, address, TEMPLATE_AS_IT_IS, user, sizeof(user)))
		return -ENOENT;
	error = o->names == SOURCE_PAM_USERS ? look_up_user(user) : 0;
	if (error != 0) {
		if (error != -ENOENT)
			source_say(s, "getpwnam: %s", strerror(-error));
		return error;
	}
	account_field_begin(address, account_out);
	return source_mark_later(account_out, user);
}

/* ---- prove --------------------------------------------------------------------------------- */

struct conversation {
	const char *user;
	const char *secret;
};

/* One answer for each question; libpam frees them, and wipes them before (Linux-PAM does). */
static int
converse(int count, const struct pam_message **messages, struct pam_response **answers_out,
	void *ctx)
{
	const struct conversation *c = ctx;
	struct pam_response *answers;

	if (count <= 0 || count > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	answers = calloc((size_t)count, sizeof(*answers));
	if (answers == NULL)
		return PAM_BUF_ERR;
	for (int i = 0; i < count; i++) {
		int style = messages[i]->msg_style;

		if (style == PAM_PROMPT_ECHO_OFF)
			answers[i].resp = strdup(c->secret);
		else if (style == PAM_PROMPT_ECHO_ON)
			answers[i].resp = strdup(c->user);
	}
	*answers_out = answers;
	return PAM_SUCCESS;
}

/* A failed login is slowed down by a timer of ours, not by a worker that sleeps. */
static void
no_delay(int status, unsigned delay_us, void *ctx)
{
	(void)status;
	(void)delay_us;
	(void)ctx;
}

/* What is about this login; all else is about PAM or what stands behind it. */
static bool
is_refusal(int status)
{
	return status == PAM_AUTH_ERR || status == PAM_USER_UNKNOWN || status == PAM_MAXTRIES ||
		status == PAM_ACCT_EXPIRED || status == PAM_PERM_DENIED ||
		status == PAM_NEW_AUTHTOK_REQD || status == PAM_CRED_INSUFFICIENT ||
		status == PAM_AUTHTOK_EXPIRED || status == PAM_CRED_EXPIRED;
}

static int
run_pam(pam_handle_t *pam)
{
	void (*delay)(int, unsigned, void *) = no_delay;
	const void *delay_item;
	int status;

	memcpy(&delay_item, &delay, sizeof(delay_item));
	status = pam_set_item(pam, PAM_FAIL_DELAY, delay_item);
	if (status == PAM_SUCCESS)
		status = pam_authenticate(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	if (status == PAM_SUCCESS)
		status = pam_acct_mgmt(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	return status;
}

static int
ask_pam(struct source *s, const char *user, const char *secret, bool *right_out)
{
	const struct source_pam_options *o = options_of(s);
	struct conversation said = { user, secret };
	const struct pam_conv talk = { converse, &said };
	pam_handle_t *pam = NULL;
	int status = pam_start_confdir(
		o->service, user, &talk, o->directory[0] != '\0' ? o->directory : NULL, &pam);

	if (status == PAM_SUCCESS)
		status = run_pam(pam);
	*right_out = status == PAM_SUCCESS;
	if (!*right_out && !is_refusal(status))
		source_say(s, "service %s: %s", o->service, pam_strerror(pam, status));
	if (pam != NULL)
		(void)pam_end(pam, status);
	return *right_out || is_refusal(status) ? 0 : -EIO;
}

static int
pam_prove(struct source *s, const struct account *account, struct span secret, bool *right_out)
{
	const char *user = source_marked(account);
	char text[PASSWORD_SECRET_OCTETS_MAX + 1];
	int error;

	*right_out = false;
	if (user == NULL || secret.length == 0 || secret.length >= sizeof(text) ||
		memchr(secret.at, '\0', secret.length) != NULL)
		return 0;
	memcpy(text, secret.at, secret.length);
	text[secret.length] = '\0';
	error = ask_pam(s, user, text, right_out);
	explicit_bzero(text, sizeof(text));
	return error;
}

/* ---- opening and closing ------------------------------------------------------------------- */

static void
pam_close(struct source *s)
{
	free((struct pam_source *)s);
}

static const struct source_ops pam_ops = {
	.find = pam_find,
	.prove = pam_prove,
	.close = pam_close,
};

int
source_pam_open(const struct source_pam_options *options, struct source **source_out)
{
	struct pam_source *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	p->options = *options;
	source_set_up(&p->source, &pam_ops, &options->common);
	p->source.knows_all = options->names == SOURCE_PAM_ANY;
	*source_out = &p->source;
	return 0;
}
