/*
 * settings_table.c - the table of all settings.
 *
 * To add a setting: a field in settings.h, a row here, then `ringpost settings > docs/SETTINGS.md`.
 */
#include "core/settings_table.h"
#include "core/auth_http/backend.h"

#include "core/auth/introspect.h"
#include "core/auth/sasl.h"
#include "core/auth/source_ldap.h"
#include "core/auth/source_pam.h"
#include "core/auth/source_pgsql.h"
#include "core/auth/template.h"
#include "core/network.h"
#include "io/base/must.h"
#include "io/tls.h"

#include <stdlib.h>
#include <string.h>

static const char *const policy_words[] = {
	[SESSION_POLICY_SHARED] = "shared",
	[SESSION_POLICY_EXCLUSIVE] = "exclusive",
	NULL,
};
static const char *const verify_words[] = {
	[VERIFY_ON_READ_FIRST] = "first",
	[VERIFY_ON_READ_ALWAYS] = "always",
	[VERIFY_ON_READ_OFF] = "off",
	NULL,
};
static const char *const protocol_words[] = {
	[PROTOCOL_POP3] = "pop3",
	[PROTOCOL_LMTP] = "lmtp",
	[PROTOCOL_AUTH_HTTP] = "auth_http",
	NULL,
};
static const char *const newline_words[] = {
	[BARE_NEWLINES_REJECT] = "reject",
	[BARE_NEWLINES_NORMALISE] = "normalise",
	NULL,
};
static const char *const sync_words[] = {
	[DELIVERY_SYNC_ALWAYS] = "always",
	[DELIVERY_SYNC_OFF] = "off",
	NULL,
};
static const char *const tls_words[] = {
	[LISTENER_TLS_OFF] = "off",
	[LISTENER_TLS_STLS] = "stls",
	[LISTENER_TLS_IMPLICIT] = "implicit",
	NULL,
};
static const char *const client_name_words[] = {
	[TLS_PEER_BY_ADDRESS] = "email",
	[TLS_PEER_BY_COMMON_NAME] = "common_name",
	NULL,
};
static const char *const ktls_words[] = {
	[TLS_KTLS_AUTO] = "auto",
	[TLS_KTLS_REQUIRE] = "require",
	[TLS_KTLS_OFF] = "off",
	NULL,
};
static const char *const scheme_words[] = { "yescrypt", "scram-sha-256", "sha512-crypt", "bcrypt",
	"plain", NULL };

static const char *const source_words[] = {
	[SOURCE_PGSQL] = "pgsql",
	[SOURCE_LDAP] = "ldap",
	[SOURCE_PAM] = "pam",
	NULL,
};
static const char *const scope_words[] = {
	[SOURCE_LDAP_SUBTREE] = "subtree",
	[SOURCE_LDAP_ONE] = "one",
	[SOURCE_LDAP_BASE] = "base",
	NULL,
};
static const char *const prove_words[] = {
	[SOURCE_LDAP_BY_BIND] = "bind",
	[SOURCE_LDAP_BY_HASH] = "hash",
	NULL,
};
static const char *const names_words[] = {
	[SOURCE_PAM_USERS] = "users",
	[SOURCE_PAM_ANY] = "any",
	NULL,
};

static bool
has_control(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

static const char *
fault_of_text(const char *text)
{
	return has_control(text) ? "it holds a control character" : NULL;
}

/* Thunderbird takes any "<...@...>" in a greeting for an APOP stamp. */
static const char *
fault_of_greeting(const char *text)
{
	const char *open = strchr(text, '<');

	if (open != NULL && strchr(open, '@') != NULL)
		return "\"<\" before \"@\" reads as an APOP stamp to clients";
	return fault_of_text(text);
}

static const char *
fault_of_domain(const char *text)
{
	char before = '.';

	for (const char *at = text; *at != '\0'; before = *at++) {
		if (strchr("abcdefghijklmnopqrstuvwxyz0123456789-_.", *at) == NULL &&
			(unsigned char)*at < 0x80)
			return "a domain is written in a-z 0-9 - _ and single dots, lower-case";
		if (*at == '.' && before == '.')
			return "a part between two dots is empty";
	}
	return text[0] != '\0' && before == '.' ? "it ends with a dot" : NULL;
}

static const char *
fault_of_mechanisms(const char *text)
{
	unsigned set;

	return sasl_mechanisms_read(text, &set) ? NULL : "a mechanism in it is not known";
}

static const char *
fault_of_separator(const char *text)
{
	if (strchr(text, '@') != NULL)
		return "\"@\" ends the local part already";
	return fault_of_text(text);
}

static const char *
fault_of_mode(const char *text)
{
	return strspn(text, "01234567") == strlen(text) ? NULL : "a mode is written in octal";
}

static const char *
fault_of_network(const char *text)
{
	struct network unused;

	return network_read(text, &unused);
}

/* Several networks with blanks between them. */
static const char *
fault_of_networks(const char *text)
{
	char one[INET6_ADDRSTRLEN + sizeof("/128")];

	for (text += strspn(text, " "); *text != '\0'; text += strspn(text, " ")) {
		size_t length = strcspn(text, " ");

		if (length >= sizeof(one))
			return "it is no network";
		memcpy(one, text, length);
		one[length] = '\0';
		if (fault_of_network(one) != NULL)
			return fault_of_network(one);
		text += length;
	}
	return NULL;
}

/* What libpq says of it, up to the end of the line. */
static const char *
fault_of_connection(const char *text)
{
	static _Thread_local char said[80];
	char *fault = source_pgsql_fault(text);

	if (fault == NULL)
		return fault_of_text(text);
	snprintf(said, sizeof(said), "%s", fault);
	free(fault);
	return said;
}

static const char *
fault_of_metrics(const char *text)
{
	struct sockaddr_storage address;
	socklen_t octets;

	if (text[0] == '\0' || settings_read_address(text, &address, &octets))
		return NULL;
	return "neither an address with a port nor the path of a socket";
}

static const char *
fault_of_backend(const char *text)
{
	struct backend backend;

	if (text[0] == '\0' || (backend_read(text, 0, &backend) && backend.port != 0))
		return NULL;
	return "no address with a port";
}

#define FIELD(field) #field, .offset = offsetof(struct settings, field)
#define NUMBER(field, text, low, high)                                                             \
	.name = FIELD(field), .kind = SETTING_NUMBER, .fallback = (text), .min = (low),            \
	.max = (high)
#define YES_NO(field, text) .name = FIELD(field), .kind = SETTING_YES_NO, .fallback = (text)
#define TEXT(field, text, low, high, check)                                                        \
	.name = FIELD(field), .kind = SETTING_TEXT, .fallback = (text), .min = (low),              \
	.max = (high), .fault = (check)

#define QUOTA_OCTETS_TEXT                                                                          \
	"Octets that a maildrop may hold (sizes as POP3 tells them); beyond them a delivery is "   \
	"refused for now. An account may have a limit of its own (`ringpost user set`)."
#define QUOTA_MESSAGES_TEXT "Messages that a maildrop may hold."

/* clang-format off */
const struct setting settings_rows[] = {
	{ TEXT(user, "ringpost", 0, 32, fault_of_text), .group = "Server",
	  .explanation = "The user that ringpostd becomes when it is started as root, and that owns the "
			 "spool. Empty: it stays what it is." },
	{ NUMBER(shards, "auto", 0, 1024), .zero_word = "auto",
	  .explanation = "Pinned threads that serve connections, each with its own ring. `auto`: one for "
			 "each core the process may run on." },
	{ YES_NO(sqpoll, "no"),
	  .explanation = "Let a kernel thread for each shard take in submissions (IORING_SETUP_SQPOLL): "
			 "fewer system calls under load, but a core for each such thread." },
	{ TEXT(hostname, "", 0, 253, fault_of_domain),
	  .explanation = "What the server calls itself to those who deliver mail. Empty: the name of the "
			 "host." },
	{ NUMBER(drain_timeout_s, "30", 0, 86400),
	  .explanation = "Seconds that sessions get to finish after SIGTERM." },

	{ TEXT(spool, "/var/lib/ringpost", 1, 3500, fault_of_text), .group = "Storage",
	  .explanation = "Directory that holds the maildrops (`mail/`) and the accounts "
			 "(`accounts.lmdb`)." },
	{ NUMBER(lock_timeout_ms, "5000", 0, 600000),
	  .explanation = "Milliseconds to wait for the lock of a maildrop; after that the client reads "
			 "`[SYS/TEMP]`." },
	{ NUMBER(disk_workers, "4", 1, 256),
	  .explanation = "Threads that wait for disks, so that no shard does." },
	{ NUMBER(maildrop_cache, "1024", 0, 1000000),
	  .explanation = "Maildrops that each shard keeps open after their last session. Each costs an "
			 "open file." },
	{ .name = FIELD(session_policy), .kind = SETTING_CHOICE, .fallback = "shared",
	  .words = policy_words,
	  .explanation = "`shared`: many sessions may hold one maildrop, each sees what was there at its "
			 "login. `exclusive`: the second is refused with `[IN-USE]` (RFC 1939, section 8)." },

	{ .name = FIELD(verify_on_read), .kind = SETTING_CHOICE, .fallback = "first",
	  .words = verify_words,
	  .explanation = "Check a message against the checksum made when it was delivered, before it is "
			 "sent: a damaged one is refused with `[SYS/PERM]`, never sent. `first`: when an "
			 "open maildrop sends it for the first time, and again after 10 minutes, as it may "
			 "have been read from the disk anew. `always`: each time. `off`: never; only "
			 "`ringpost verify` finds damage." },

	{ .name = FIELD(sources), .kind = SETTING_TEXTS, .fallback = "", .min = 1, .max = 32,
	  .group = "Accounts",
	  .explanation = "Where accounts are looked up, in this order until one knows the name: `\"lmdb\"`, the "
			 "spool's own, and names of `source` sections. None: `{\"lmdb\"}`. A source that cannot "
			 "answer ends the search: the client reads `[SYS/TEMP]`." },
	{ NUMBER(account_cache_entries, "16384", 16, 16777216),
	  .explanation = "Accounts of `source` sections that each shard remembers (`cache_s`), 2.5 KiB each." },
	{ TEXT(default_domain, "", 0, 253, fault_of_domain),
	  .explanation = "Domain put behind a login name without `@`. Empty: such a name is no account." },
	{ TEXT(detail_separator, "+", 0, 8, fault_of_separator),
	  .explanation = "What follows it in the local part is cut off: with `+`, `alice+lists@example.org` "
			 "is `alice@example.org`. Empty: nothing is cut." },
	{ TEXT(password_scheme, "yescrypt", 0, 64, NULL), .words = scheme_words,
	  .explanation = "Scheme of new password hashes. All of them are accepted at login whatever is "
			 "set here. `plain` is for tests only." },
	{ YES_NO(password_upgrade, "no"),
	  .explanation = "At a good login by password, replace a hash of another scheme (imported from "
			 "another server, say) by one of `password_scheme`." },
	{ TEXT(sasl_mechanisms, "PLAIN LOGIN EXTERNAL OAUTHBEARER XOAUTH2", 0, 200, fault_of_mechanisms),
	  .explanation = "What AUTH offers, of `SCRAM-SHA-256-PLUS`, `SCRAM-SHA-256`, `SCRAM-SHA-1`, "
			 "`PLAIN`, `LOGIN`, `EXTERNAL`, `OAUTHBEARER`, `XOAUTH2`. Each is shown where it can "
			 "work: those that show a secret only where passwords may travel, `EXTERNAL` to a client "
			 "with a certificate, `PLUS` over TLS 1.3, the last two where `oauth_keys` or "
			 "`oauth_introspection_url` is set. SCRAM works for accounts whose hash is of the "
			 "scheme `scram-sha-256` (or `plain`); clients prefer it wherever it is offered, so "
			 "offer it when all accounts have one." },
	{ YES_NO(apop, "no"),
	  .explanation = "Offer APOP (RFC 1939, section 7), with a stamp in the greeting. It works for "
			 "accounts whose password is stored as it is, and MD5 is weak: TLS and PLAIN are "
			 "better." },
	{ YES_NO(last_login, "yes"),
	  .explanation = "Keep when, from where and by which protocol each account, of any source, logged in "
			 "last (`ringpost user show`). Written in batches every 5 seconds, never on the way in." },
	{ .name = FIELD(master_users), .kind = SETTING_TEXTS, .fallback = "", .min = 3, .max = 254,
	  .explanation = "Accounts that may open the maildrops of others: a SASL login with their own "
			 "password and another account's name as authorization identity." },
	{ .name = FIELD(oauth_keys), .kind = SETTING_TEXTS, .fallback = "", .min = 1, .max = 4095,
	  .explanation = "Files with the public keys of who makes tokens for AUTH OAUTHBEARER and XOAUTH2: a "
			 "JSON Web Key Set (what its `jwks_uri` gives), or one key or certificate in PEM "
			 "form. JSON Web Tokens signed by them (RS, PS, ES and EdDSA) are verified here. "
			 "`oauth_issuer` and `oauth_audience` must be set too. SIGHUP reads them anew. None: "
			 "no token is verified here." },
	{ TEXT(oauth_issuer, "", 0, 1000, fault_of_text),
	  .explanation = "What a token must name as its issuer (`iss`). Empty, with introspection only: "
			 "anything." },
	{ TEXT(oauth_audience, "", 0, 1000, fault_of_text),
	  .explanation = "What must be among those that a token is meant for (`aud`). Empty, with "
			 "introspection only: anything." },
	{ TEXT(oauth_account_claim, "email", 1, 100, fault_of_text),
	  .explanation = "The claim of a token that names its account; introspection mostly has it as "
			 "`username`. An `email` that the token calls unverified is none." },
	{ TEXT(oauth_introspection_url, "", 0, 2000, fault_of_text),
	  .explanation = "Where to ask about tokens (RFC 7662): `https://...`, or `http://` on this machine. "
			 "With `oauth_keys` too, only about those that are no JSON Web Tokens. Empty: "
			 "nobody is asked." },
	{ TEXT(oauth_introspection_credentials, "", 0, 4095, fault_of_text),
	  .explanation = "File with one line, `NAME:SECRET`, by which this server is known there (HTTP basic "
			 "authentication). SIGHUP reads it anew. Empty: none are sent." },
	{ TEXT(oauth_introspection_ca, "", 0, 4095, fault_of_text),
	  .explanation = "File with the certificates, in PEM form, of the authorities that may have certified "
			 "that server. Empty: those that the system trusts (package ca-certificates)." },
	{ NUMBER(oauth_time_limit_ms, "3000", 50, 60000),
	  .explanation = "Milliseconds that an answer about a token may take; after that the client reads "
			 "`[SYS/TEMP]`." },
	{ NUMBER(oauth_workers, "4", 1, INTROSPECT_CONNECTIONS_MAX),
	  .explanation = "Threads that ask about tokens, each with a connection that is kept." },
	{ NUMBER(oauth_cache_seconds, "300", 0, 86400), .zero_word = "off",
	  .explanation = "Seconds for which it counts what was said of a token, if the client names its "
			 "account too; never beyond its expiry, nor beyond `auth_cache_seconds`." },
	{ NUMBER(auth_workers, "auto", 0, 256), .zero_word = "auto",
	  .explanation = "Threads that verify passwords. `auto`: one for each core the process may run on." },
	{ NUMBER(auth_queue, "1024", 1, 1000000),
	  .explanation = "Logins that may wait for such a thread; beyond them the client reads "
			 "`[SYS/TEMP]`." },
	{ NUMBER(auth_queue_deadline_s, "10", 1, 600),
	  .explanation = "Seconds that a login may wait for a thread; after that the client reads "
			 "`[SYS/TEMP]` and no time is spent on it." },
	{ NUMBER(auth_cache_seconds, "3600", 0, 86400), .zero_word = "off",
	  .explanation = "Seconds for which a good login is remembered (as a keyed digest), so that a "
			 "poller costs no new password hash. A changed password counts at once." },
	{ NUMBER(auth_cache_entries, "65536", 0, 16777216),
	  .explanation = "Good logins that each shard remembers, 32 octets each." },
	{ .name = FIELD(quota_octets), .kind = SETTING_OCTETS, .fallback = "none", .zero_word = "none",
	  .explanation = QUOTA_OCTETS_TEXT },
	{ NUMBER(quota_messages, "none", 0, UINT32_MAX - 1), .zero_word = "none",
	  .explanation = QUOTA_MESSAGES_TEXT },

	{ NUMBER(connections, "100000", 1, 10000000), .group = "Limits",
	  .explanation = "Connections in all; more are refused with one line. Each needs an open file "
			 "(LimitNOFILE)." },
	{ NUMBER(connections_per_address, "1000", 0, 10000000), .zero_word = "unlimited",
	  .explanation = "Connections from one client address (IPv6: /64). Webmail and mobile carriers come with "
			 "thousands of users from few addresses: raise it there." },
	{ NUMBER(login_deadline_s, "60", 5, 3600),
	  .explanation = "Seconds from connecting until the login must have succeeded." },
	{ NUMBER(idle_timeout_s, "600", 600, 86400),
	  .explanation = "Seconds without a command after which a session is closed. RFC 1939, section 3, "
			 "asks for at least 10 minutes." },
	{ NUMBER(failed_logins, "3", 1, 100),
	  .explanation = "Failed logins after which a connection is closed." },
	{ NUMBER(auth_penalty_max_s, "15", 0, 60), .zero_word = "off",
	  .explanation = "Failed logins slow down those that follow from the same address (IPv6: /64) or for "
			 "the same account, known or not: by 0.25 s after the first, twice as long after each "
			 "further one, up to so many seconds. A login that was good a while ago "
			 "(`auth_cache_seconds`) is not delayed. `off`: nobody is." },
	{ NUMBER(auth_penalty_forget_s, "60", 1, 86400),
	  .explanation = "Seconds in which one failed login is forgotten." },
	{ TEXT(auth_penalty_exempt, "127.0.0.0/8 ::1/128", 0, 4095, fault_of_networks),
	  .explanation = "Networks, with blanks between them, from which failed logins delay nobody: those of "
			 "webmail servers, say, behind which all your users are one address." },
	{ NUMBER(sessions_per_account, "unlimited", 0, 1000000), .zero_word = "unlimited",
	  .explanation = "Sessions of one account at once, over all listeners; one more reads `[IN-USE]`." },
	{ NUMBER(login_delay_s, "off", 0, 86400), .zero_word = "off",
	  .explanation = "Seconds from one login of an account to the next (LOGIN-DELAY, RFC 2449, section "
			 "6.5); CAPA tells it, and who comes sooner reads `[LOGIN-DELAY]`." },
	{ NUMBER(login_delay_burst, "3", 1, 1000),
	  .explanation = "With `login_delay_s`: logins that may come at once, if the account then stays away "
			 "until the average is right. 1: the delay counts between any two." },
	{ NUMBER(connection_rate_per_address, "unlimited", 0, 10000), .zero_word = "unlimited",
	  .explanation = "New connections in a second from one client address (IPv6: /64); ten seconds' worth "
			 "may come at once. More are refused with one line." },
	{ NUMBER(handshake_rate_per_address, "unlimited", 0, 10000), .zero_word = "unlimited",
	  .explanation = "The same for TLS handshakes, which cost the most; one more is not begun, and the "
			 "connection is closed." },

	{ .name = FIELD(lmtp_message_octets), .kind = SETTING_OCTETS, .fallback = "50M", .min = 65536,
	  .max = UINT32_MAX, .group = "Mail that comes in (LMTP)",
	  .explanation = "Octets of a message at most (SIZE)." },
	{ NUMBER(lmtp_recipients, "1000", 1, 100000),
	  .explanation = "Recipients of one message at most; more are told to come again." },
	{ NUMBER(lmtp_timeout_s, "300", 5, 3600),
	  .explanation = "Seconds without an octet after which a connection is closed." },
	{ NUMBER(lmtp_transaction_s, "3600", 5, 86400),
	  .explanation = "Seconds that a message may take in all, from MAIL to its end." },
	{ .name = FIELD(bare_newlines), .kind = SETTING_CHOICE, .fallback = "reject",
	  .words = newline_words,
	  .explanation = "A CR or LF in a message that is not part of a CRLF: `reject` the message, or "
			 "`normalise` it to CRLF. Neither takes it for the end of the message: that is how "
			 "mail is smuggled." },
	{ YES_NO(add_return_path, "yes"),
	  .explanation = "Put a Return-Path line, with the sender, before each message." },
	{ YES_NO(add_delivered_to, "yes"),
	  .explanation = "Put a Delivered-To line, with the account, before each message." },
	{ YES_NO(add_received, "yes"),
	  .explanation = "Put a Received line, with client and time, before each message." },
	{ .name = FIELD(delivery_sync), .kind = SETTING_CHOICE, .fallback = "always",
	  .words = sync_words,
	  .explanation = "`always`: a message is on the disk before its delivery is acknowledged, and "
			 "deletions before QUIT is. `off`: neither is waited for, and a power cut loses what "
			 "was acknowledged; for tests and copies only." },
	{ NUMBER(delivery_workers, "32", 1, 1024),
	  .explanation = "Maildrops that are delivered to at once. Deliveries to one maildrop share a "
			 "sync." },
	{ NUMBER(delivery_queue, "8192", 1, 1000000),
	  .explanation = "Deliveries that may be under way or wait; beyond them the client is told to "
			 "come again." },
	{ .name = FIELD(draft_memory), .kind = SETTING_OCTETS, .fallback = "64M", .min = 1048576,
	  .max = UINT32_MAX,
	  .explanation = "Memory of each shard for messages on their way in. When it is used up they go on "
			 "in files of the spool, and new ones are told to come again." },
	{ .name = FIELD(draft_spill_octets), .kind = SETTING_OCTETS, .fallback = "1M", .min = 65536,
	  .max = 1u << 30,
	  .explanation = "A message larger than this goes on in a file of the spool while it comes in." },

	{ .name = FIELD(tls_certificates), .kind = SETTING_TEXTS, .fallback = "", .min = 1, .max = 4095,
	  .group = "TLS",
	  .explanation = "Files in PEM form, each a certificate with the chain behind it. Several serve "
			 "several hosts, or one host with an ECDSA and an RSA key: each client gets the one "
			 "for the host it asks for whose key it understands, ECDSA first. The first is for "
			 "clients that ask for no host. SIGHUP reads them anew." },
	{ .name = FIELD(tls_keys), .kind = SETTING_TEXTS, .fallback = "", .min = 1, .max = 4095,
	  .explanation = "Files with their private keys, in the same order. None: each key lies in the "
			 "file of its certificate. The `user` must be able to read them." },
	{ TEXT(tls_ticket_key, "", 0, 4095, fault_of_text),
	  .explanation = "File with at least 32 random octets, from which the keys of session tickets "
			 "are made, a new one every 12 hours. With the same file on several machines a "
			 "client resumes its session on any of them. Empty: a secret that lasts as long as "
			 "the server does." },
	{ TEXT(tls_client_ca, "", 0, 4095, fault_of_text),
	  .explanation = "File with certificates of authorities in PEM form: clients are asked for a "
			 "certificate, and one that is shown must be issued by one of them (name those "
			 "between root and client too). Empty: nobody is asked." },
	{ YES_NO(tls_client_required, "no"),
	  .explanation = "With `tls_client_ca`: who shows no certificate is refused." },
	{ .name = FIELD(tls_client_name), .kind = SETTING_CHOICE, .fallback = "email",
	  .words = client_name_words,
	  .explanation = "Which name in a client's certificate is that of its account, for AUTH EXTERNAL: "
			 "`email`, the one address among its alternative names, or `common_name`. Where "
			 "clients are asked for certificates no session is resumed: a resumed one shows none." },
	{ .name = FIELD(ktls), .kind = SETTING_CHOICE, .fallback = "auto", .words = ktls_words,
	  .explanation = "Does the kernel make TLS records once the handshake is done (`modprobe tls`)? "
			 "`auto`: where it can. `require`: the server does not start where it cannot. `off`: "
			 "never. `session_end` in the log says which it was." },
	{ NUMBER(tls_deadline_s, "15", 1, 600),
	  .explanation = "Seconds that a handshake may take." },
	{ NUMBER(tls_handshakes, "1000", 1, 1000000),
	  .explanation = "Handshakes at once in each shard; more wait for their turn." },

	{ TEXT(greeting, "ringpost ready", 1, 400, fault_of_greeting), .group = "What clients read",
	  .explanation = "Text of the greeting behind `+OK `." },
	{ NUMBER(expire_days, "never", 0, 36500), .zero_word = "never",
	  .explanation = "What CAPA says in EXPIRE (RFC 2449): the least number of days that mail is kept." },
	{ YES_NO(log_sessions, "yes"),
	  .explanation = "Log one line for each session." },
	{ TEXT(metrics, "", 0, 100, fault_of_metrics),
	  .explanation = "Where the server tells by HTTP what it counts (`/metrics`, in Prometheus' text "
			 "format; docs/METRICS.md): `127.0.0.1:9110`, `[::1]:9110`, or the path of a local "
			 "socket. There is no password: keep it from the public. Empty: nowhere." },
};
static_assert(array_count(settings_rows) <= SETTINGS_ROWS_MAX, "settings.c has room for all rows");
const size_t settings_row_count = array_count(settings_rows);

#define LISTENER_FIELD(field) #field, .offset = offsetof(struct settings_listener, field)

const struct setting listener_rows[] = {
	{ .name = "address", .kind = SETTING_ADDRESSES,
	  .explanation = "Where to listen: `\"127.0.0.1:110\"`, `\"[::1]:110\"`, or a list of such, "
			 "`{\"0.0.0.0:110\", \"[::]:110\"}`. `[::]` means IPv6 only. Port 1 to 65535. A path, "
			 "`\"/run/ringpost/lmtp\"`, is a local socket." },
	{ .name = LISTENER_FIELD(protocol), .kind = SETTING_CHOICE, .fallback = "pop3",
	  .words = protocol_words,
	  .explanation = "What is spoken there: `pop3`; `lmtp` (RFC 2033), by which a mail server delivers and "
			 "which knows no passwords: who may connect may deliver; or `auth_http`, by which an nginx "
			 "mail proxy asks whether a client's login is good and where to go on with it (`backend`)." },
	{ .name = LISTENER_FIELD(networks), .kind = SETTING_TEXTS, .fallback = "", .min = 1, .max = 49,
	  .fault = fault_of_network,
	  .explanation = "Networks whose clients are let in, `{\"127.0.0.0/8\", \"2001:db8::/32\"}`. None: "
			 "everybody; but `lmtp` and `auth_http` on an address other hosts can reach need them. Local sockets "
			 "have `socket_mode` instead." },
	{ .name = LISTENER_FIELD(socket_mode), .kind = SETTING_TEXT, .fallback = "0660", .min = 3,
	  .max = 4, .fault = fault_of_mode,
	  .explanation = "Mode of a local socket: who may write to it may connect." },
	{ .name = LISTENER_FIELD(socket_group), .kind = SETTING_TEXT, .fallback = "", .max = 32,
	  .fault = fault_of_text,
	  .explanation = "Group of a local socket, one that `user` belongs to. Empty: that of the server." },
	{ .name = LISTENER_FIELD(plaintext_auth), .kind = SETTING_YES_NO, .fallback = "no",
	  .explanation = "Take passwords although the connection is in clear. For loopback, or behind "
			 "something that does TLS. `no`: credentials only after TLS has begun; with `auth_http`, "
			 "TLS between nginx and its client." },
	{ .name = LISTENER_FIELD(backend), .kind = SETTING_TEXT, .fallback = "", .max = 60,
	  .fault = fault_of_backend,
	  .explanation = "With `protocol = auth_http`: where nginx goes on with a good login, `\"127.0.0.1:110\"`: "
			 "POP3 in clear, as nginx speaks no TLS there. An account may have a `backend` of its own, an "
			 "address with or without a port." },
	{ .name = LISTENER_FIELD(tls), .kind = SETTING_CHOICE, .fallback = "off", .words = tls_words,
	  .explanation = "`stls`: in clear until the client says STLS (RFC 2595, port 110), or in LMTP "
			 "STARTTLS (RFC 3207). `implicit`: TLS from the first octet (RFC 8314, port 995). Both need `tls_certificates`." },
	{ .name = LISTENER_FIELD(proxy_protocol), .kind = SETTING_YES_NO, .fallback = "no",
	  .explanation = "Every connection begins with a header of the PROXY protocol, version 1 or 2, which "
			 "says for whom it is (HAProxy: `send-proxy`, `send-proxy-v2`, `send-proxy-v2-ssl`; nginx: "
			 "`proxy_protocol on`); with `tls = implicit`, before TLS. Log, limits, `networks`, "
			 "Received lines and last logins are about that client then." },
	{ .name = LISTENER_FIELD(proxy_networks), .kind = SETTING_TEXTS, .fallback = "", .min = 1, .max = 49,
	  .fault = fault_of_network,
	  .explanation = "With `proxy_protocol`: the proxies, `{\"192.0.2.1\"}`. Who comes from elsewhere is "
			 "refused, whatever it says. Local sockets have `socket_mode` instead." },
	{ .name = LISTENER_FIELD(proxy_tls), .kind = SETTING_YES_NO, .fallback = "no",
	  .explanation = "With `proxy_protocol`: where the header says that the client speaks TLS with the "
			 "proxy, the connection counts as secure, and passwords are taken. For a network in "
			 "which nobody can read along." },
	{ .name = LISTENER_FIELD(xclient_networks), .kind = SETTING_TEXTS, .fallback = "", .min = 1, .max = 49,
	  .fault = fault_of_network,
	  .explanation = "Who may say by XCLIENT for whom it speaks: a Dovecot proxy (POP3 and LMTP), nginx, "
			 "a content filter. They are let in whatever `networks` says, which is asked again for the address "
			 "that they name." },
};

#define DOMAIN_FIELD(field) #field, .offset = offsetof(struct settings_domain, field)

const struct setting domain_rows[] = {
	{ .name = DOMAIN_FIELD(quota_octets), .kind = SETTING_OCTETS, .zero_word = "none",
	  .explanation = QUOTA_OCTETS_TEXT },
	{ .name = DOMAIN_FIELD(quota_messages), .kind = SETTING_NUMBER, .max = UINT32_MAX - 1,
	  .zero_word = "none",
	  .explanation = QUOTA_MESSAGES_TEXT },
};

#define SOURCE_FIELD(field) #field, .offset = offsetof(struct settings_source, field)
#define SOURCE_TEXT(field, text, high) \
	.name = SOURCE_FIELD(field), .kind = SETTING_TEXT, .fallback = (text), .max = (high)

const struct setting source_rows[] = {
	{ .name = SOURCE_FIELD(kind), .kind = SETTING_CHOICE, .words = source_words,
	  .explanation = "`pgsql`: a PostgreSQL database. `ldap`: a directory. `pam`: PAM proves passwords." },
	{ .name = SOURCE_FIELD(workers), .kind = SETTING_NUMBER, .fallback = "4", .min = 1,
	  .max = SOURCE_CONNECTIONS_MAX,
	  .explanation = "Threads that ask this source, each with a connection of its own; questions beyond "
			 "them wait (`auth_queue`, `auth_queue_deadline_s`)." },
	{ .name = SOURCE_FIELD(time_limit_ms), .kind = SETTING_NUMBER, .fallback = "2000", .min = 10,
	  .max = 60000,
	  .explanation = "Milliseconds that one question may take, connecting included. After as many "
			 "failures in a row as there are workers the source is down: questions are answered "
			 "at once by what is remembered (`cache_stale_s`) or `[SYS/TEMP]`, while one of them tries "
			 "every 0.1 to 2 seconds whether it is back." },
	{ .name = SOURCE_FIELD(cache_s), .kind = SETTING_NUMBER, .fallback = "60", .max = 86400,
	  .zero_word = "off",
	  .explanation = "Seconds for which an account is not asked for again: a changed password, or an account "
			 "taken away, counts after that." },
	{ .name = SOURCE_FIELD(cache_stale_s), .kind = SETTING_NUMBER, .fallback = "86400", .max = 2592000,
	  .zero_word = "off",
	  .explanation = "Seconds for which what the source said of an account counts while it cannot answer: "
			 "good logins go on." },
	{ SOURCE_TEXT(connection, "", 1000), .fault = fault_of_connection,
	  .explanation = "`pgsql`: the connection as libpq reads it, `\"host=/run/postgresql dbname=mail "
			 "user=ringpost\"`, `\"hostaddr=192.0.2.7 dbname=mail user=ringpost sslmode=verify-full "
			 "sslrootcert=/etc/ssl/ca.pem passfile=/etc/ringpost/pgpass\"`. A `hostaddr` needs no "
			 "DNS, whose time is not limited here." },
	{ SOURCE_TEXT(query, "", 8000),
	  .explanation = "`pgsql`: the query for an account. `$1` is its address, `$2` the local part, `$3` the "
			 "domain, of type text and always bound, never pasted. It gives no row, or one, "
			 "with columns named `password` (a hash as `ringpost user import` takes it), `disabled`, "
			 "`read_only`, `no_delete`, `quota_octets`, `quota_messages`, `networks`, `maildrop`, "
			 "`backend`; what is left out or NULL is nothing special." },
	{ SOURCE_TEXT(uri, "", 1000), .fault = source_ldap_fault_of_uri,
	  .explanation = "`ldap`: the servers, `\"ldaps://a.example.org ldaps://b.example.org\"`; the first that can "
			 "be reached is asked." },
	{ .name = SOURCE_FIELD(starttls), .kind = SETTING_YES_NO, .fallback = "no",
	  .explanation = "`ldap`: speak TLS over `ldap://` before anything else (RFC 4511, section 4.14). The "
			 "server's certificate must be right, here and with `ldaps://`." },
	{ SOURCE_TEXT(ca_file, "", 4095), .fault = fault_of_text,
	  .explanation = "`ldap`: file with the authorities that may have issued that certificate. Empty: those of "
			 "`ldap.conf`(5)." },
	{ SOURCE_TEXT(bind_dn, "", 1000), .fault = fault_of_text,
	  .explanation = "`ldap`: who searches. Empty: anybody may." },
	{ SOURCE_TEXT(bind_password_file, "", 4095), .fault = fault_of_text,
	  .explanation = "`ldap`: file whose first line is the password of `bind_dn`. The `user` must be able to "
			 "read it." },
	{ SOURCE_TEXT(base, "", 1000), .fault = fault_of_text,
	  .explanation = "`ldap`: where the search begins, `\"ou=people,dc=example,dc=org\"`." },
	{ .name = SOURCE_FIELD(scope), .kind = SETTING_CHOICE, .fallback = "subtree", .words = scope_words,
	  .explanation = "`ldap`: how far it goes." },
	{ SOURCE_TEXT(filter, "(mail=%u)", 2000), .fault = template_fault,
	  .explanation = "`ldap`: the filter that fits an account's entry and no other. `%u` is the address, `%n` "
			 "the local part, `%d` the domain, each escaped (RFC 4515); `%%` is a percent sign." },
	{ .name = SOURCE_FIELD(attributes), .kind = SETTING_TEXTS, .fallback = "", .min = 3, .max = 200,
	  .fault = source_ldap_fault_of_attribute,
	  .explanation = "`ldap`: what is in which attribute, `{\"password=userPassword\", "
			 "\"quota_octets=mailQuota\"}`; the names on the left are those of the columns of `query`." },
	{ .name = SOURCE_FIELD(prove), .kind = SETTING_CHOICE, .fallback = "bind", .words = prove_words,
	  .explanation = "`ldap`: how a password is proven: by a `bind` as the entry, or by the `hash` that "
			 "`attributes` calls `password`. What a bind has proven is remembered for `cache_s`." },
	{ SOURCE_TEXT(service, "ringpost", 64), .fault = fault_of_text,
	  .explanation = "`pam`: the service, a file in `/etc/pam.d`. Its modules run as `user`, without "
			 "privileges to gain (`pam_unix` cannot read `/etc/shadow`); no session is opened. A "
			 "module may hang and cannot be stopped: `time_limit_ms` does not hold for it, only "
			 "`auth_queue_deadline_s` for those who wait behind it." },
	{ SOURCE_TEXT(service_directory, "", 4095), .fault = fault_of_text,
	  .explanation = "`pam`: where that file lies, if not in the system's place." },
	{ SOURCE_TEXT(user_name, "%n", 200), .fault = template_fault,
	  .explanation = "`pam`: what PAM calls the account; written like `filter`, without escapes." },
	{ .name = SOURCE_FIELD(names), .kind = SETTING_CHOICE, .fallback = "users", .words = names_words,
	  .explanation = "`pam`: which names are accounts: the system's `users` (getpwnam), or `any`. With "
			 "`any` this source is not asked who gets mail." },
};
/* clang-format on */
const size_t source_row_count = array_count(source_rows);
const size_t listener_row_count = array_count(listener_rows);
const size_t domain_row_count = array_count(domain_rows);

const char *
settings_fault_of_domain(const char *text)
{
	return text[0] == '\0' ? "it is empty" : fault_of_domain(text);
}

/* ---- sources ------------------------------------------------------------------------------- */
