/*
 * account_field.c - see account_field.h.
 */
#include "core/auth/account_field.h"

#include "core/auth/password_legacy.h"
#include "core/network.h"
#include "io/base/must.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

const char *const account_field_names[ACCOUNT_FIELDS] = {
	[ACCOUNT_FIELD_PASSWORD] = "password",
	[ACCOUNT_FIELD_DISABLED] = "disabled",
	[ACCOUNT_FIELD_READ_ONLY] = "read_only",
	[ACCOUNT_FIELD_NO_DELETE] = "no_delete",
	[ACCOUNT_FIELD_QUOTA_OCTETS] = "quota_octets",
	[ACCOUNT_FIELD_QUOTA_MESSAGES] = "quota_messages",
	[ACCOUNT_FIELD_NETWORKS] = "networks",
	[ACCOUNT_FIELD_MAILDROP] = "maildrop",
	[ACCOUNT_FIELD_BACKEND] = "backend",
};

bool
account_field_find(struct span name, enum account_field *field_out)
{
	for (unsigned i = 0; i < ACCOUNT_FIELDS; i++) {
		if (span_equals(name, span_of_string(account_field_names[i]))) {
			*field_out = (enum account_field)i;
			return true;
		}
	}
	return false;
}

void
account_field_begin(struct span address, struct account *account_out)
{
	*account_out = (struct account){ .enabled = true };
	must(address.length < sizeof(account_out->address));
	memcpy(account_out->address, address.at, address.length);
}

/* As databases and directories write it. */
static int
read_yes_no(const char *text, bool *value_out)
{
	static const char *const words[] = { "f", "t", "false", "true", "0", "1", "no", "yes", "n",
		"y", "off", "on" };

	for (unsigned i = 0; i < array_count(words); i++) {
		if (strcasecmp(text, words[i]) == 0) {
			*value_out = i % 2 == 1;
			return 0;
		}
	}
	return -EBADMSG;
}

/* 0 and "" are the default of the domain; less than 0, or "none": no limit. */
static int
read_limit(const char *text, uint64_t max, uint64_t none, uint64_t *value_out)
{
	if (text[0] == '-' || strcasecmp(text, "none") == 0) {
		*value_out = none;
		return 0;
	}
	return span_to_octets(span_of_string(text), max, value_out) ? 0 : -EBADMSG;
}

static int
copy_text(const char *text, char to[ACCOUNT_TEXT_OCTETS_MAX + 1])
{
	if (strlen(text) > ACCOUNT_TEXT_OCTETS_MAX)
		return -EBADMSG;
	strcpy(to, text);
	return 0;
}

/* A network that cannot be read must not let anybody in, nor keep everybody out without a word. */
static int
read_networks(const char *text, char to[ACCOUNT_TEXT_OCTETS_MAX + 1])
{
	char copy[ACCOUNT_TEXT_OCTETS_MAX + 1];
	char *rest = NULL;
	struct network unused;

	if (copy_text(text, copy) != 0)
		return -EBADMSG;
	for (char *word = strtok_r(copy, " ", &rest); word != NULL;
		word = strtok_r(NULL, " ", &rest)) {
		if (network_read(word, &unused) != NULL)
			return -EBADMSG;
	}
	strcpy(to, text);
	return 0;
}

static int
read_hash(const char *text, char to[ACCOUNT_HASH_OCTETS_MAX + 1])
{
	int error = password_take_hash(text, to);

	return error == 0 || error == -ENOTSUP ? error : -EBADMSG;
}

static int
read_quota_messages(const char *text, uint32_t *value_out)
{
	uint64_t value;
	int error = read_limit(
		text, ACCOUNT_QUOTA_MESSAGES_NONE - 1, ACCOUNT_QUOTA_MESSAGES_NONE, &value);

	if (error == 0)
		*value_out = (uint32_t)value;
	return error;
}

static int
read_disabled(const char *text, bool *enabled_out)
{
	bool disabled;
	int error = read_yes_no(text, &disabled);

	if (error == 0)
		*enabled_out = !disabled;
	return error;
}

int
account_field_set(struct account *account, enum account_field field, const char *text,
	const struct address_rules *rules)
{
	if (text[0] == '\0')
		return 0;
	switch (field) {
	case ACCOUNT_FIELD_PASSWORD:
		return read_hash(text, account->password_hash);
	case ACCOUNT_FIELD_DISABLED:
		return read_disabled(text, &account->enabled);
	case ACCOUNT_FIELD_READ_ONLY:
		return read_yes_no(text, &account->read_only);
	case ACCOUNT_FIELD_NO_DELETE:
		return read_yes_no(text, &account->no_delete);
	case ACCOUNT_FIELD_QUOTA_OCTETS:
		return read_limit(
			text, INT64_MAX, ACCOUNT_QUOTA_OCTETS_NONE, &account->quota_octets);
	case ACCOUNT_FIELD_QUOTA_MESSAGES:
		return read_quota_messages(text, &account->quota_messages);
	case ACCOUNT_FIELD_NETWORKS:
		return read_networks(text, account->networks);
	case ACCOUNT_FIELD_MAILDROP:
		return address_canonical(span_of_string(text), rules, account->maildrop) == 0
			? 0
			: -EBADMSG;
	case ACCOUNT_FIELD_BACKEND:
		return copy_text(text, account->backend);
	case ACCOUNT_FIELDS:
		break;
	}
	must(!"a field without a reader");
	return -EBADMSG;
}
