/*
 * source_pam.h - accounts whose secrets PAM proves.
 *
 * pam_authenticate(3) and pam_acct_mgmt(3) of the operator's service; no session is opened and no
 * credentials are taken.  PAM knows no accounts: either every name is one (until its secret is
 * wrong; such a source is not asked who gets mail), or those that the system's users have
 * (getpwnam_r(3)).
 *
 * A module may take as long as it likes, and nobody can stop it: the time limit of a source is not
 * kept here.  What waits behind it ends by auth_queue_deadline_s, and no shard ever waits.
 */
#ifndef CORE_AUTH_SOURCE_PAM_H
#define CORE_AUTH_SOURCE_PAM_H

#include "core/auth/source.h"

enum source_pam_names {
	SOURCE_PAM_USERS, /* those that getpwnam_r() knows */
	SOURCE_PAM_ANY,
};

struct source_pam_options {
	struct source_options common;
	const char *service;
	const char *directory; /* of the services' files; "": the system's */
	const char *user;      /* a template (template.h): what PAM calls the account */
	enum source_pam_names names;
};

/* Texts are borrowed for the life of the source.  0, -ENOMEM. */
int source_pam_open(const struct source_pam_options *options, struct source **source_out);

#endif
