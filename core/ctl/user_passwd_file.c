/*
 * user_passwd_file.c - a line of Dovecot's passwd-file:
 *
 *     user:{SCHEME}hash:uid:gid:gecos:home:shell:extra fields
 *
 * A hash without a scheme is one of crypt(5), as Dovecot takes it.  Of the extra fields those are
 * taken that mean something here: allow_nets, host, nologin, userdb_quota_rule.  Uid, home and the
 * like have no meaning here.
 */
#include "core/ctl/user.h"

#include <errno.h>
#include <string.h>

#define FIELDS 8u

static void
split(char *line, char *fields_out[FIELDS])
{
	static char empty[] = "";

	for (unsigned i = 0; i < FIELDS; i++) {
		fields_out[i] = line != NULL ? line : empty;
		if (line != NULL && i + 1 < FIELDS) {
			line = strchr(line, ':');
			if (line != NULL)
				*line++ = '\0';
		}
	}
}

/* "*:storage=1G" or "*:messages=1000"; the other rules are for folders and flags of IMAP. */
static const char *
take_quota_rule(const char *rule, struct account *account)
{
	uint64_t limit;

	if (strncmp(rule, "*:", 2) != 0)
		return NULL;
	rule += 2;
	if (strncmp(rule, "storage=", 8) == 0 || strncmp(rule, "bytes=", 6) == 0) {
		bool is_storage = rule[0] == 's';
		struct span number = span_of_string(strchr(rule, '=') + 1);

		if (number.length > 0 && number.at[number.length - 1] == 'B')
			number.length--;
		if (!span_to_octets(number, INT64_MAX / 1024, &limit))
			return "a quota_rule that is no number";
		/* a bare number is in kilobytes there */
		if (is_storage && number.at[number.length - 1] <= '9')
			limit *= 1024;
		account->quota_octets = limit == 0 ? ACCOUNT_QUOTA_OCTETS_NONE : limit;
	} else if (strncmp(rule, "messages=", 9) == 0) {
		if (!span_to_u64(span_of_string(rule + 9), ACCOUNT_QUOTA_MESSAGES_NONE - 1, &limit))
			return "a quota_rule that is no number";
		account->quota_messages =
			limit == 0 ? ACCOUNT_QUOTA_MESSAGES_NONE : (uint32_t)limit;
	}
	return NULL;
}

static const char *
take_networks(const char *list, struct account *account)
{
	if (strlen(list) > ACCOUNT_TEXT_OCTETS_MAX)
		return "allow_nets is too long";
	strcpy(account->networks, list);
	for (char *at = account->networks; *at != '\0'; at++) {
		if (*at == ',')
			*at = ' ';
	}
	return user_fault_of_networks(account->networks);
}

static const char *
take_extra(char *extra, struct account *account)
{
	const char *wrong = NULL;
	char *place = NULL;

	for (char *field = strtok_r(extra, " ", &place); field != NULL && wrong == NULL;
		field = strtok_r(NULL, " ", &place)) {
		char *value = strchr(field, '=');

		if (value != NULL)
			*value++ = '\0';
		if (strcmp(field, "nologin") == 0)
			account->enabled = false;
		else if (value == NULL)
			continue;
		else if (strcmp(field, "allow_nets") == 0)
			wrong = take_networks(value, account);
		else if (strcmp(field, "host") == 0 && strlen(value) <= ACCOUNT_TEXT_OCTETS_MAX)
			strcpy(account->backend, value);
		else if (strncmp(field, "userdb_quota_rule", 17) == 0)
			wrong = take_quota_rule(value, account);
	}
	return wrong;
}

const char *
user_read_passwd_line(const struct ctl *ctl, char *line, struct account *account_out)
{
	char *fields[FIELDS];
	int error;

	if (strchr(line, ':') == NULL)
		return "no \":\" between user and hash";
	split(line, fields);
	*account_out = (struct account){ .enabled = true };
	if (ctl_address_quietly(ctl, fields[0], account_out->address) != 0)
		return "no address that could have an account (default_domain is put behind a bare "
		       "name)";
	if (fields[1][0] == '\0' || strchr("*!x", fields[1][0]) != NULL)
		return "no password";
	error = user_take_hash(fields[1], account_out);
	if (error == -ENOTSUP)
		return "a hash of a scheme that is not accepted";
	if (error != 0)
		return "no hash of its scheme";
	return take_extra(fields[7], account_out);
}
