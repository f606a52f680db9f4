/*
 * settings.h - what the operator decides, read once at start from one file (libconfuse syntax).
 *
 * One table in settings.c names every setting, its type, default, bounds and explanation; the
 * reference in docs/SETTINGS.md and the output of `ringpostd --check` come out of that table.  Only
 * core reads settings: lower rooms are handed plain options.
 *
 * Ownership: the struct owns all it points to until settings_free(); it is read-only once loaded
 * and shared by all threads.
 */
#ifndef CORE_SETTINGS_H
#define CORE_SETTINGS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/socket.h>

#define SETTINGS_PATH_DEFAULT "/etc/ringpost/ringpost.conf"

enum protocol {
	PROTOCOL_POP3,
	PROTOCOL_LMTP,
	PROTOCOL_AUTH_HTTP, /* nginx asks about its clients (core/auth_http/session.h) */
};
#define PROTOCOLS 3u

enum session_policy {
	SESSION_POLICY_SHARED,    /* many sessions may hold a maildrop, each its own snapshot */
	SESSION_POLICY_EXCLUSIVE, /* RFC 1939's lock: the second gets [IN-USE] */
};

enum verify_on_read {
	VERIFY_ON_READ_FIRST,  /* before an open maildrop sends a message for the first time */
	VERIFY_ON_READ_ALWAYS, /* before each time */
	VERIFY_ON_READ_OFF,
};

/* A CR or LF in a message that is not part of a CRLF. */
enum bare_newlines {
	BARE_NEWLINES_REJECT,
	BARE_NEWLINES_NORMALISE,
};

/* What a delivery has to wait for before it is acknowledged. */
enum delivery_sync {
	DELIVERY_SYNC_ALWAYS,
	DELIVERY_SYNC_OFF,
};

enum listener_tls {
	LISTENER_TLS_OFF,
	LISTENER_TLS_STLS,     /* in clear, until the client asks for it (RFC 2595, RFC 3207) */
	LISTENER_TLS_IMPLICIT, /* from the first octet (RFC 8314) */
};

/* Several texts, in their order. */
struct settings_texts {
	char **at;
	unsigned count;
};

struct network;

/* One address to listen on; a `listen` section with several addresses gives several of these. */
struct settings_listener {
	const char *name; /* the section's title */
	enum protocol protocol;
	struct sockaddr_storage address;
	socklen_t address_octets;
	const char *address_text; /* as written */
	const char *socket_mode;  /* of a local socket, octal */
	const char *socket_group; /* "": that of the process */
	struct settings_texts networks;
	struct network *allowed; /* the same, read; NULL: anybody */
	bool proxy_protocol;     /* every connection begins with a header (io/proxyhdr.h) */
	bool proxy_tls;          /* the header's word on TLS counts */
	struct settings_texts proxy_networks;
	struct network *proxies; /* the same, read; NULL: nobody */
	struct settings_texts xclient_networks;
	struct network *xclients;
	bool plaintext_auth; /* USER/PASS allowed although the connection is in clear */
	const char *backend; /* where nginx finds maildrops; "" unless it asks here */
	enum listener_tls tls;
};

/* What a `domain` section says; what it leaves out is the server's. */
struct settings_domain {
	const char *name; /* the section's title, lower-case */
	uint64_t quota_octets;
	unsigned quota_messages;
};

enum source_kind {
	SOURCE_PGSQL,
	SOURCE_LDAP,
	SOURCE_PAM,
};

/* What a `source` section says. */
struct settings_source {
	const char *name; /* the section's title */
	enum source_kind kind;
	unsigned workers;
	unsigned time_limit_ms;
	unsigned cache_s;
	unsigned cache_stale_s;
	/* pgsql */
	const char *connection;
	const char *query;
	/* ldap */
	const char *uri;
	bool starttls;
	const char *ca_file;
	const char *bind_dn;
	const char *bind_password_file;
	const char *base;
	unsigned scope; /* enum source_ldap_scope */
	const char *filter;
	struct settings_texts attributes;
	unsigned prove; /* enum source_ldap_prove */
	/* pam */
	const char *service;
	const char *service_directory;
	const char *user_name; /* a template: what PAM calls the account */
	unsigned names;        /* enum source_pam_names */
};

struct settings {
	/* server */
	const char *user; /* to become when started as root; "" to stay */
	unsigned shards;  /* 0: one for each core we may run on */
	const char *hostname;
	bool sqpoll; /* let a kernel thread poll the rings */
	unsigned drain_timeout_s;
	struct settings_listener *listeners;
	unsigned listener_count;

	/* storage */
	const char *spool; /* directory that holds `mail` and the accounts */
	unsigned lock_timeout_ms;
	unsigned disk_workers;
	unsigned maildrop_cache; /* maildrops a shard keeps open after their last session */
	enum session_policy session_policy;
	enum verify_on_read verify_on_read;

	/* accounts */
	struct settings_texts sources; /* names, in order; none: "lmdb" */
	struct settings_source *source_sections;
	unsigned source_section_count;
	unsigned account_cache_entries; /* for each shard, of what sources that wait have said */
	const char *default_domain;     /* put behind a login name without "@"; "" for none */
	const char *detail_separator;   /* cut off the local part from here on; "" to keep it */
	const char *password_scheme;    /* for new hashes: yescrypt, scram-sha-256, ... */
	bool password_upgrade;          /* at a good login, to that scheme */
	const char *sasl_mechanisms;    /* offered by AUTH, as sasl_mechanisms_read() takes them */
	bool apop;
	bool last_login; /* keep when and from where an account logged in */
	struct settings_texts master_users;
	struct settings_texts oauth_keys; /* files; none: no token is verified here */
	const char *oauth_issuer;
	const char *oauth_audience;
	const char *oauth_account_claim;
	const char *oauth_introspection_url;         /* "": nobody is asked about tokens */
	const char *oauth_introspection_credentials; /* a file; "": none are sent */
	const char *oauth_introspection_ca;          /* a file; "": whom the system trusts */
	unsigned oauth_time_limit_ms;
	unsigned oauth_workers;
	unsigned oauth_cache_seconds;
	unsigned auth_workers; /* "auto" is resolved by settings_load() */
	unsigned auth_queue;   /* logins that may wait for a worker, beyond them [SYS/TEMP] */
	unsigned auth_queue_deadline_s; /* what waited longer is not done */
	unsigned auth_cache_seconds;    /* 0: every login is verified anew */
	unsigned auth_cache_entries;    /* for each shard */
	uint64_t quota_octets;          /* of accounts without their own; 0: no limit */
	unsigned quota_messages;
	struct settings_domain *domains; /* in order of name; core/quota.h looks them up */
	unsigned domain_count;

	/* limits */
	unsigned connections;             /* in all */
	unsigned connections_per_address; /* 0: no limit */
	unsigned login_deadline_s;
	unsigned idle_timeout_s;
	unsigned failed_logins;               /* in one connection, then it is closed */
	unsigned connection_rate_per_address; /* in a second; 0: no limit */
	unsigned handshake_rate_per_address;
	unsigned sessions_per_account;   /* at once; 0: no limit */
	unsigned login_delay_s;          /* 0: none */
	unsigned login_delay_burst;      /* logins at once all the same */
	unsigned auth_penalty_max_s;     /* 0: failed logins delay nobody */
	unsigned auth_penalty_forget_s;  /* in which a failed login is forgotten */
	const char *auth_penalty_exempt; /* networks, with blanks between them */

	/* TLS */
	struct settings_texts tls_certificates;
	struct settings_texts tls_keys;
	const char *tls_ticket_key; /* a file; "" for keys of our own */
	const char *tls_client_ca;  /* a file; "": clients are not asked for certificates */
	bool tls_client_required;
	unsigned tls_client_name; /* enum tls_peer_by */
	unsigned ktls;            /* enum tls_ktls */
	unsigned tls_deadline_s;  /* for a handshake */
	unsigned tls_handshakes;  /* at once, in each shard */

	/* mail that comes in */
	uint64_t lmtp_message_octets;
	unsigned lmtp_recipients;    /* of one message */
	unsigned lmtp_timeout_s;     /* without an octet */
	unsigned lmtp_transaction_s; /* from MAIL to its end */
	enum bare_newlines bare_newlines;
	bool add_return_path;
	bool add_delivered_to;
	bool add_received;
	enum delivery_sync delivery_sync;
	unsigned delivery_workers;
	unsigned delivery_queue;
	uint64_t draft_memory;       /* of all messages on their way into one shard */
	uint64_t draft_spill_octets; /* of one; above that it goes on in a file */

	/* what clients read */
	const char *greeting; /* text behind "+OK " */
	unsigned expire_days; /* CAPA EXPIRE; 0: NEVER */
	const char *metrics;  /* where to tell what is counted; "": nowhere */
	bool log_sessions;    /* one line for each session */
};

/* Read and check `path`.  On an error returns false after it has written one line, "file:line: what
 * is wrong, what is allowed", to `errors` for each mistake found. */
bool settings_load(const char *path, FILE *errors, struct settings **settings_out);
void settings_free(struct settings *s);

/* The effective settings as a file that settings_load() reads back (ringpostd --check). */
void settings_print(const struct settings *s, FILE *to);
/* docs/SETTINGS.md, and the same as dist/man/ringpost.conf.5. */
void settings_print_reference(FILE *to);
void settings_print_manual(FILE *to);

#endif
