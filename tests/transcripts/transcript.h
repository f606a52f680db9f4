/*
 * transcript.h - a dialogue read from its file (README.md has the format).
 *
 * Ownership: a transcript owns all it points to until transcript_free().
 */
#ifndef TESTS_TRANSCRIPTS_TRANSCRIPT_H
#define TESTS_TRANSCRIPTS_TRANSCRIPT_H

#include "core/auth/login.h"
#include "io/base/span.h"

#define TRANSCRIPT_ACCOUNTS_MAX 8u
#define TRANSCRIPT_STEPS_MAX    1024u

/* Text with escapes resolved; in a glob `wild` says which octets are wildcards. */
struct text {
	char *octets;
	bool *wild;
	size_t length;
	size_t room;
};

enum step_kind {
	STEP_SEND,
	STEP_TLS,
	STEP_RESET,
	STEP_AGAIN,
	STEP_POP3,
	STEP_LMTP,
	STEP_LINE,
	STEP_PASS_OVER,
	STEP_HAS,
	STEP_LACKS,
	STEP_SILENCE,
	STEP_CLOSE,
};

struct step {
	enum step_kind kind;
	unsigned line; /* in the file; 0: implied by "logged in as" */
	unsigned times;
	struct text text;
};

struct transcript_account {
	char *name;
	struct text secret;
	bool read_only;
	bool is_master;
	bool disabled;
	unsigned long quota_octets;
	unsigned long quota_messages;
	int deliver_error;
	struct text *messages;
	unsigned message_count;
	unsigned message_room;
};

struct transcript {
	const char *path;
	struct transcript_account accounts[TRANSCRIPT_ACCOUNTS_MAX];
	unsigned account_count;
	bool server_only;
	bool speaks_lmtp; /* the first connection */
	/* settings that the bare session knows */
	bool plaintext_auth;
	bool offers_tls;
	bool takes_xclient;
	unsigned mechanisms; /* SASL_BIT()s */
	char *greeting;
	unsigned expire_days;
	unsigned login_delay_s;
	unsigned failed_logins;
	bool normalises_newlines;
	unsigned long lmtp_octets;
	unsigned long lmtp_recipients;
	bool add_return_path;
	bool add_delivered_to;
	bool add_received;
	/* what the world answers: 0 or a negative errno */
	bool login_unavailable;
	enum login_verdict good_is; /* what a good login hears */
	int open_error;
	int check_error;
	int scan_error;
	int commit_error;
	int store_error;
	struct step steps[TRANSCRIPT_STEPS_MAX];
	unsigned step_count;
};

/* NULL after one line, "file:line: what is wrong", on stderr. */
struct transcript *transcript_read(const char *path);
void transcript_free(struct transcript *t);

bool text_fits(const struct text *glob, struct span octets);

#endif
