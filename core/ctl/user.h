/*
 * user.h - what the forms of `ringpost user` share.
 */
#ifndef CORE_CTL_USER_H
#define CORE_CTL_USER_H

#include "core/ctl/ctl.h"
#include "core/ctl/finder.h"

enum user_option {
	USER_JSON = 1 << 0,
	USER_PASSWORD_HASH = 1 << 1,
	USER_READ_ONLY = 1 << 2,
	USER_READ_WRITE = 1 << 3,
	USER_DISABLED = 1 << 4,
	USER_ENABLED = 1 << 5,
	USER_QUOTA_OCTETS = 1 << 6,
	USER_QUOTA_MESSAGES = 1 << 7,
	USER_MAIL = 1 << 8,
	USER_NO_DELETE = 1 << 9,
	USER_MAY_DELETE = 1 << 10,
	USER_NETWORKS = 1 << 11,
	USER_MAILDROP = 1 << 12,
	USER_BACKEND = 1 << 13,
	USER_EXPIRES = 1 << 14,
	USER_UNUSED = 1 << 15,
};

struct user_request {
	const struct ctl *ctl;
	bool json;
	unsigned given; /* enum user_option, together */
	const char *password_hash;
	uint64_t quota_octets;
	uint64_t quota_messages;
	const char *networks;
	char maildrop[ACCOUNT_ADDRESS_OCTETS_MAX + 1];
	const char *backend;
	int64_t expires_s;
	int64_t unused_s;
	const char *argument; /* ADDRESS or FILE; NULL where the form has none */
	const char *name;     /* of an app password */
};

/* A hash as an operator or another server writes it into *account_out: Dovecot's
 * "{SHA512-CRYPT}$6$..." is "$6$...".  0, -ENOTSUP: a scheme that is not accepted, -EINVAL: no
 * hash. */
int user_take_hash(const char *text, struct account *account_out);

/* Networks with blanks between them: NULL, or what is wrong with them. */
const char *user_fault_of_networks(const char *text);

/* What accounts.h answered about one address, as an exit code and a line. */
int user_tell(int error, const char *address);

/* ---- any account that can log in (user_kept.c) ---- */

/* As finder_find(), once: EX_OK, or a code and a line. */
int user_find(
	const struct ctl *ctl, struct accounts *a, const char *address, struct found *found_out);

struct user_app {
	struct app_password password;
	struct login_note last_use; /* `at` 0: never */
};

/* What the spool keeps of an address, whatever source it comes from. */
struct user_kept {
	struct login_note last_login; /* `at` 0: never */
	unsigned app_count;
	struct user_app apps[APP_PASSWORDS_MAX];
};

int user_read_kept(struct accounts *a, const char *address, struct user_kept *kept_out);

/* ---- `ringpost user list`, `ringpost user show ADDRESS` (user_show.c) ---- */

int user_list(struct user_request *r);
int user_show(struct user_request *r);
/* A line, with `before` in front. */
void user_print_app(const char *before, const struct user_app *app);
struct json_t;
struct json_t *user_app_json(const struct user_app *app);

/* `ringpost user load FILE`, `ringpost user import KIND FILE` (user_load.c). */
int user_load(struct user_request *r);
int user_import(struct user_request *r);

/* One line of Dovecot's passwd-file (user_passwd_file.c), which is changed;
 * NULL, or what is wrong with it. */
const char *user_read_passwd_line(const struct ctl *ctl, char *line, struct account *account_out);

/* `ringpost user app-password add|list|revoke` (user_app_password.c). */
int user_app_add(struct user_request *r);
int user_app_list(struct user_request *r);
int user_app_revoke(struct user_request *r);

#endif
