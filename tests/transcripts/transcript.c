/*
 * transcript.c - see transcript.h.
 *
 * Line by line; the first mistake ends it, as a transcript that is half understood proves nothing.
 */
#include "tests/transcripts/transcript.h"

#include "core/auth/sasl.h"
#include "io/base/must.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

struct reader {
	struct transcript *t;
	unsigned line;
	const char *mistake;
};

static void
text_put(struct text *to, char octet, bool wild)
{
	if (to->length == to->room) {
		to->room = to->room * 2 + 64;
		to->octets = realloc(to->octets, to->room);
		to->wild = realloc(to->wild, to->room);
		must(to->octets != NULL && to->wild != NULL);
	}
	to->octets[to->length] = octet;
	to->wild[to->length++] = wild;
}

static void
text_free(struct text *text)
{
	free(text->octets);
	free(text->wild);
	*text = (struct text){ 0 };
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static bool text_read(struct span from, struct text *to);

/* "TEXT x N)" behind the opening bracket; returns how many octets that was, 0: it is wrong. */
static size_t
read_repetition(struct span from, struct text *to)
{
	size_t end = 0;
	size_t x;
	uint64_t count;
	struct text once = { 0 };

	while (end < from.length && from.at[end] != ')')
		end += from.at[end] == '\\' ? 2 : 1;
	if (end >= from.length)
		return 0;
	for (x = end; x >= 3 && memcmp(from.at + x - 3, " x ", 3) != 0; x--)
		;
	if (x < 3 || !span_to_u64(span_of(from.at + x, end - x), 1u << 24, &count) ||
		!text_read(span_of(from.at, x - 3), &once))
		return 0;
	while (count-- > 0)
		for (size_t i = 0; i < once.length; i++)
			text_put(to, once.octets[i], once.wild[i]);
	text_free(&once);
	return end + 1;
}

/* What follows a backslash; returns how many octets that was, 0: it is wrong. */
static size_t
read_escape(struct span from, struct text *to)
{
	static const char names[] = "rnt0s\\*?";
	static const char octets[] = "\r\n\t\0 \\*?";
	const char *name;

	if (from.length == 0)
		return 0;
	if (*from.at == '(') {
		size_t length = read_repetition(span_after(from, 1), to);

		return length == 0 ? 0 : length + 1;
	}
	if (*from.at == 'x') {
		if (from.length < 3 || hex_digit(from.at[1]) < 0 || hex_digit(from.at[2]) < 0)
			return 0;
		text_put(to, (char)(hex_digit(from.at[1]) << 4 | hex_digit(from.at[2])), false);
		return 3;
	}
	name = strchr(names, *from.at);
	if (name == NULL || *from.at == '\0')
		return 0;
	text_put(to, octets[name - names], false);
	return 1;
}

static bool
text_read(struct span from, struct text *to)
{
	while (from.length > 0) {
		char c = *from.at;
		size_t length = 0;

		from = span_after(from, 1);
		if (c != '\\') {
			text_put(to, c, c == '*' || c == '?');
			continue;
		}
		length = read_escape(from, to);
		if (length == 0)
			return false;
		from = span_after(from, length);
	}
	return true;
}

/* Wildcards without recursion: after a mismatch the last "*" takes one more. */
bool
text_fits(const struct text *glob, struct span octets)
{
	size_t g = 0;
	size_t o = 0;
	size_t star = SIZE_MAX;
	size_t taken = 0;

	while (o < octets.length) {
		bool wild = g < glob->length && glob->wild[g];

		if (wild && glob->octets[g] == '*') {
			star = g++;
			taken = o;
		} else if (g < glob->length && (wild || glob->octets[g] == octets.at[o])) {
			g++;
			o++;
		} else if (star != SIZE_MAX) {
			g = star + 1;
			o = ++taken;
		} else {
			return false;
		}
	}
	while (g < glob->length && glob->wild[g] && glob->octets[g] == '*')
		g++;
	return g == glob->length;
}

static bool
wrong(struct reader *r, const char *mistake)
{
	r->mistake = mistake;
	return false;
}

/* If `*rest` begins with `word`, go behind it. */
static bool
take_word(char **rest, const char *word)
{
	size_t length = strlen(word);

	if (strncmp(*rest, word, length) != 0)
		return false;
	*rest += length;
	return true;
}

static struct transcript_account *
account_named(struct reader *r, const char *name)
{
	struct transcript *t = r->t;

	for (unsigned i = 0; i < t->account_count; i++)
		if (strcmp(t->accounts[i].name, name) == 0)
			return &t->accounts[i];
	if (strcmp(name, "alice") == 0 && t->account_count == 0) {
		struct transcript_account *alice = &t->accounts[t->account_count++];

		alice->name = strdup(name);
		text_read(SPAN("secret"), &alice->secret);
		return alice;
	}
	wrong(r, "no such account");
	return NULL;
}

/* "NAME: VALUE"; cuts the name off in place. */
static char *
cut_value(char *rest)
{
	char *colon = strstr(rest, ":");

	if (colon == NULL)
		return NULL;
	*colon = '\0';
	return colon[1] == ' ' ? colon + 2 : colon + 1;
}

static struct text *
new_message(struct transcript_account *account)
{
	if (account->message_count == account->message_room) {
		account->message_room = account->message_room * 2 + 16;
		account->messages =
			realloc(account->messages, account->message_room * sizeof(struct text));
		must(account->messages != NULL);
	}
	account->messages[account->message_count] = (struct text){ 0 };
	return &account->messages[account->message_count++];
}

static bool
read_account(struct reader *r, char *rest)
{
	char *secret = cut_value(rest);
	struct transcript_account *account = &r->t->accounts[r->t->account_count];

	if (secret == NULL || r->t->account_count == TRANSCRIPT_ACCOUNTS_MAX)
		return wrong(r, "one of at most 8: account NAME: SECRET");
	r->t->account_count++;
	account->name = strdup(rest);
	if (!text_read(span_of_string(secret), &account->secret))
		return wrong(r, "an escape is wrong");
	return true;
}

static bool
read_message(struct reader *r, char *rest)
{
	char *text = cut_value(rest);
	struct transcript_account *account = account_named(r, rest);

	if (text == NULL || account == NULL)
		return wrong(r, "message NAME: TEXT, of a known account");
	if (!text_read(span_of_string(text), new_message(account)))
		return wrong(r, "an escape is wrong");
	return true;
}

static bool
read_generated(struct reader *r, char *rest)
{
	char *number = cut_value(rest);
	struct transcript_account *account = account_named(r, rest);
	uint64_t count;

	if (number == NULL || account == NULL ||
		!span_to_u64(span_of_string(number), 10000000, &count))
		return wrong(r, "messages NAME: N, of a known account");
	for (uint64_t n = 1; n <= count; n++) {
		struct text *message = new_message(account);
		char part[64];

		snprintf(part, sizeof(part), "Subject: message %llu\\n\\n", (unsigned long long)n);
		text_read(span_of_string(part), message);
		for (uint64_t line = 1; line <= n % 7; line++) {
			snprintf(part, sizeof(part), "line %llu\\n", (unsigned long long)line);
			text_read(span_of_string(part), message);
		}
	}
	return true;
}

static bool
read_mail_file(struct reader *r, struct transcript_account *account, const char *name)
{
	char path[4096];
	struct text *message = new_message(account);
	FILE *file;
	int c;

	snprintf(path, sizeof(path), "tests/transcripts/mail/%s", name);
	file = fopen(path, "rb");
	if (file == NULL)
		return wrong(r, "no such file in tests/transcripts/mail");
	while ((c = getc(file)) != EOF)
		text_put(message, (char)c, false);
	fclose(file);
	return true;
}

static bool
read_maildrop(struct reader *r, char *rest)
{
	char *files = cut_value(rest);
	struct transcript_account *account = account_named(r, rest);
	char *place;

	if (files == NULL || account == NULL)
		return wrong(r, "maildrop NAME: FILE..., of a known account");
	for (char *name = strtok_r(files, " ", &place); name != NULL;
		name = strtok_r(NULL, " ", &place))
		if (!read_mail_file(r, account, name))
			return false;
	return true;
}

static bool
read_setting(struct reader *r, char *rest)
{
	char *value = strstr(rest, " = ");
	struct transcript *t = r->t;

	if (value == NULL)
		return wrong(r, "setting KEY = VALUE");
	*value = '\0';
	value += 3;
	if (strcmp(rest, "plaintext_auth") == 0) {
		t->plaintext_auth = strcmp(value, "yes") == 0;
	} else if (strcmp(rest, "tls") == 0) {
		t->offers_tls = strcmp(value, "stls") == 0;
	} else if (strcmp(rest, "xclient_networks") == 0) {
		t->takes_xclient = true;
	} else if (strcmp(rest, "greeting") == 0) {
		free(t->greeting);
		t->greeting = strndup(value + 1, strlen(value) - 2); /* it stands in quotes */
	} else if (strcmp(rest, "expire_days") == 0) {
		t->expire_days = (unsigned)strtoul(value, NULL, 10);
	} else if (strcmp(rest, "login_delay_s") == 0) {
		t->login_delay_s = (unsigned)strtoul(value, NULL, 10);
	} else if (strcmp(rest, "sasl_mechanisms") == 0) {
		value[strlen(value) - 1] = '\0'; /* it stands in quotes */
		if (!sasl_mechanisms_read(value + 1, &t->mechanisms))
			return wrong(r, "an unknown mechanism");
	} else if (strcmp(rest, "bare_newlines") == 0) {
		t->normalises_newlines = strcmp(value, "normalise") == 0;
	} else if (strcmp(rest, "lmtp_message_octets") == 0) {
		t->lmtp_octets = strtoul(value, NULL, 10);
	} else if (strcmp(rest, "lmtp_recipients") == 0) {
		t->lmtp_recipients = strtoul(value, NULL, 10);
	} else if (strcmp(rest, "add_return_path") == 0) {
		t->add_return_path = strcmp(value, "yes") == 0;
	} else if (strcmp(rest, "add_delivered_to") == 0) {
		t->add_delivered_to = strcmp(value, "yes") == 0;
	} else if (strcmp(rest, "add_received") == 0) {
		t->add_received = strcmp(value, "yes") == 0;
	} else if (strcmp(rest, "failed_logins") == 0) {
		t->failed_logins = (unsigned)strtoul(value, NULL, 10);
	} else if (strcmp(rest, "login_delay_burst") != 0) { /* which a session does not count */
		t->server_only = true;
	}
	return true;
}

static bool
read_errno(struct reader *r, const char *name, int *error_out)
{
	static const int known[] = { EIO, EBUSY, EBADMSG, ETIMEDOUT, ENOSPC, EPROTONOSUPPORT,
		EAGAIN, EDQUOT, EFBIG, ENOMEM };

	for (size_t i = 0; i < array_count(known); i++) {
		if (strcmp(strerrorname_np(known[i]), name) == 0) {
			*error_out = -known[i];
			return true;
		}
	}
	return wrong(r, "an errno that play.c knows");
}

/* "NAME: ERRNO" */
static bool
read_delivery(struct reader *r, char *rest)
{
	char *name = cut_value(rest);
	struct transcript_account *account = account_named(r, rest);

	if (name == NULL || account == NULL)
		return wrong(r, "pretend deliver NAME: ERRNO, of a known account");
	return read_errno(r, name, &account->deliver_error);
}

/* "NAME: N" */
static bool
read_quota(struct reader *r, char *rest, size_t field)
{
	char *number = cut_value(rest);
	struct transcript_account *account = account_named(r, rest);

	if (number == NULL || account == NULL)
		return wrong(r, "quota-octets NAME: N, or quota-messages, of a known account");
	*(unsigned long *)((char *)account + field) = strtoul(number, NULL, 10);
	return true;
}

static bool
read_pretence(struct reader *r, char *rest)
{
	if (strcmp(rest, "login unavailable") == 0) {
		r->t->login_unavailable = true;
		return true;
	}
	if (strcmp(rest, "login too soon") == 0) {
		r->t->good_is = LOGIN_TOO_SOON;
		return true;
	}
	if (strcmp(rest, "login too many") == 0) {
		r->t->good_is = LOGIN_TOO_MANY;
		return true;
	}
	if (take_word(&rest, "open "))
		return read_errno(r, rest, &r->t->open_error);
	if (take_word(&rest, "check "))
		return read_errno(r, rest, &r->t->check_error);
	if (take_word(&rest, "scan "))
		return read_errno(r, rest, &r->t->scan_error);
	if (take_word(&rest, "commit "))
		return read_errno(r, rest, &r->t->commit_error);
	if (take_word(&rest, "store "))
		return read_errno(r, rest, &r->t->store_error);
	if (take_word(&rest, "deliver "))
		return read_delivery(r, rest);
	return wrong(r, "pretend login|open|check|scan|commit ...");
}

static bool
add_step(struct reader *r, enum step_kind kind, unsigned times, const char *text, const char *end)
{
	struct transcript *t = r->t;
	struct step *step = &t->steps[t->step_count];

	if (t->step_count == TRANSCRIPT_STEPS_MAX)
		return wrong(r, "too many steps");
	*step = (struct step){ .kind = kind, .line = r->line, .times = times };
	t->step_count++;
	if (!text_read(span_of_string(text), &step->text) ||
		!text_read(span_of_string(end), &step->text))
		return wrong(r, "an escape is wrong");
	return true;
}

static bool
add_login(struct reader *r, const char *name)
{
	const struct transcript_account *account = account_named(r, name);
	char line[512];

	if (account == NULL)
		return false;
	snprintf(line, sizeof(line), "USER %s", name);
	if (!add_step(r, STEP_LINE, 1, "+OK *", "") || !add_step(r, STEP_SEND, 1, line, "\\r\\n") ||
		!add_step(r, STEP_LINE, 1, "+OK *", ""))
		return false;
	snprintf(line, sizeof(line), "PASS %.*s", (int)account->secret.length,
		account->secret.octets);
	return add_step(r, STEP_SEND, 1, line, "\\r\\n") && add_step(r, STEP_LINE, 1, "+OK *", "");
}

static bool
set_flag(struct reader *r, const char *name, size_t flag)
{
	struct transcript_account *account = account_named(r, name);

	if (account == NULL)
		return false;
	*(bool *)((char *)account + flag) = true;
	return true;
}

static bool
read_header(struct reader *r, char *line)
{
	if (take_word(&line, "account "))
		return read_account(r, line);
	if (take_word(&line, "message "))
		return read_message(r, line);
	if (take_word(&line, "messages "))
		return read_generated(r, line);
	if (take_word(&line, "maildrop "))
		return read_maildrop(r, line);
	if (take_word(&line, "setting "))
		return read_setting(r, line);
	if (take_word(&line, "pretend "))
		return read_pretence(r, line);
	if (take_word(&line, "read-only "))
		return set_flag(r, line, offsetof(struct transcript_account, read_only));
	if (take_word(&line, "disabled "))
		return set_flag(r, line, offsetof(struct transcript_account, disabled));
	if (take_word(&line, "master "))
		return set_flag(r, line, offsetof(struct transcript_account, is_master));
	if (take_word(&line, "logged in as "))
		return add_login(r, line);
	if (take_word(&line, "quota-octets "))
		return read_quota(r, line, offsetof(struct transcript_account, quota_octets));
	if (take_word(&line, "quota-messages "))
		return read_quota(r, line, offsetof(struct transcript_account, quota_messages));
	if (strcmp(line, "protocol lmtp") == 0) {
		r->t->speaks_lmtp = true;
		return true;
	}
	if (strcmp(line, "only server") == 0) {
		r->t->server_only = true;
		return true;
	}
	if (strcmp(line, "only session") == 0)
		return true;
	return wrong(r, "not a line of a transcript");
}

/* "N: TEXT" */
static bool
read_times(struct reader *r, char *rest, enum step_kind kind, const char *end)
{
	char *text = cut_value(rest);
	uint64_t times;

	if (text == NULL || !span_to_u64(span_of_string(rest), 1000000, &times))
		return wrong(r, "a number and a colon");
	return add_step(r, kind, (unsigned)times, text, end);
}

static bool
read_line(struct reader *r, char *line)
{
	static const struct {
		const char *word;
		enum step_kind kind;
		const char *end;
	} steps[] = {
		{ "C:", STEP_SEND, "\\r\\n" },
		{ "C-raw:", STEP_SEND, "" },
		{ "C-tls", STEP_TLS, "" },
		{ "C-reset", STEP_RESET, "" },
		{ "C-again", STEP_AGAIN, "" },
		{ "C-pop3", STEP_POP3, "" },
		{ "C-lmtp", STEP_LMTP, "" },
		{ "S:", STEP_LINE, "" },
		{ "S...:", STEP_PASS_OVER, "" },
		{ "S-has:", STEP_HAS, "" },
		{ "S-lacks:", STEP_LACKS, "" },
		{ "S-silence", STEP_SILENCE, "" },
		{ "S-close", STEP_CLOSE, "" },
	};

	if (*line == '\0' || *line == '#')
		return true;
	if (take_word(&line, "C-times "))
		return read_times(r, line, STEP_SEND, "\\r\\n");
	if (take_word(&line, "S-times "))
		return read_times(r, line, STEP_LINE, "");
	for (size_t i = 0; i < array_count(steps); i++) {
		if (take_word(&line, steps[i].word))
			return add_step(
				r, steps[i].kind, 1, *line == ' ' ? line + 1 : line, steps[i].end);
	}
	return read_header(r, line);
}

struct transcript *
transcript_read(const char *path)
{
	struct reader r = { .t = calloc(1, sizeof(*r.t)) };
	FILE *file = fopen(path, "rb");
	char *line = NULL;
	size_t room = 0;
	ssize_t length;
	bool good = file != NULL;

	must(r.t != NULL);
	r.t->path = path;
	r.t->plaintext_auth = true;
	r.t->failed_logins = 3;
	r.t->lmtp_octets = 52428800;
	r.t->lmtp_recipients = 1000;
	r.t->add_return_path = r.t->add_delivered_to = r.t->add_received = true;
	r.t->mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_EXTERNAL);
	r.t->greeting = strdup("ringpost ready");
	r.mistake = "it cannot be opened";
	while (good && (length = getline(&line, &room, file)) >= 0) {
		if (length > 0 && line[length - 1] == '\n')
			line[length - 1] = '\0';
		r.line++;
		good = read_line(&r, line);
	}
	free(line);
	if (file != NULL)
		fclose(file);
	if (!good) {
		fprintf(stderr, "%s:%u: %s\n", path, r.line, r.mistake);
		transcript_free(r.t);
		return NULL;
	}
	if (r.t->account_count == 0)
		account_named(&r, "alice");
	return r.t;
}

void
transcript_free(struct transcript *t)
{
	for (unsigned i = 0; i < t->account_count; i++) {
		struct transcript_account *account = &t->accounts[i];

		for (unsigned m = 0; m < account->message_count; m++)
			text_free(&account->messages[m]);
		free(account->messages);
		text_free(&account->secret);
		free(account->name);
	}
	for (unsigned i = 0; i < t->step_count; i++)
		text_free(&t->steps[i].text);
	free(t->greeting);
	free(t);
}
