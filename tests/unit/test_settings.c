/*
 * test_settings.c - what a file may say, what it gets when it says nothing, and how a mistake is
 * told.
 */
#include "core/network.h"
#include "core/quota.h"
#include "core/settings_table.h"
#include "io/base/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LISTEN "listen pop3 { address = \"127.0.0.1:1110\" }\n"

static char path[] = "/tmp/ringpost-settings-XXXXXX";

static int
make_file(void **state)
{
	int fd = mkstemp(path);

	(void)state;
	must(fd >= 0);
	close(fd);
	return 0;
}

static int
remove_file(void **state)
{
	(void)state;
	return unlink(path);
}

/* NULL with what was told in *errors_out (to be freed), or the settings and no errors. */
static struct settings *
load(const char *text, char **errors_out)
{
	struct settings *s = NULL;
	size_t octets;
	FILE *file = fopen(path, "w");
	FILE *errors = open_memstream(errors_out, &octets);

	must(file != NULL && errors != NULL);
	fputs(text, file);
	fclose(file);
	if (!settings_load(path, errors, &s))
		s = NULL;
	fclose(errors);
	return s;
}

static struct settings *
load_good(const char *text)
{
	char *errors;
	struct settings *s = load(text, &errors);

	assert_string_equal(errors, "");
	assert_non_null(s);
	free(errors);
	return s;
}

/* `expected` is what is told, with "%" for the file's name. */
static void
expect_mistakes(const char *text, const char *expected)
{
	char *errors, *want;
	size_t octets;
	FILE *to = open_memstream(&want, &octets);

	must(to != NULL);
	for (const char *c = expected; *c != '\0'; c++)
		*c == '%' ? fputs(path, to) : putc(*c, to);
	fclose(to);
	assert_null(load(text, &errors));
	assert_string_equal(errors, want);
	free(errors);
	free(want);
}

static void
a_listener_is_a_whole_file(void **state)
{
	struct settings *s = load_good(LISTEN);

	(void)state;
	assert_string_equal(s->user, "ringpost");
	assert_string_equal(s->spool, "/var/lib/ringpost");
	assert_int_equal(s->shards, 0);
	assert_false(s->sqpoll);
	assert_int_equal(s->drain_timeout_s, 30);
	assert_int_equal(s->lock_timeout_ms, 5000);
	assert_int_equal(s->session_policy, SESSION_POLICY_SHARED);
	assert_string_equal(s->default_domain, "");
	assert_string_equal(s->detail_separator, "+");
	assert_string_equal(s->password_scheme, "yescrypt");
	assert_true(s->auth_workers >= 1);
	assert_int_equal(s->auth_cache_seconds, 3600);
	assert_int_equal(s->idle_timeout_s, 600);
	assert_int_equal(s->login_deadline_s, 60);
	assert_int_equal(s->failed_logins, 3);
	assert_string_equal(s->greeting, "ringpost ready");
	assert_int_equal(s->expire_days, 0);
	assert_true(s->log_sessions);
	assert_int_equal(s->listener_count, 1);
	assert_string_equal(s->listeners[0].name, "pop3");
	assert_int_equal(s->listeners[0].protocol, PROTOCOL_POP3);
	assert_false(s->listeners[0].plaintext_auth);
	settings_free(s);
}

static void
lists_of_texts_keep_their_order(void **state)
{
	struct settings *s =
		load_good("tls_certificates = {\"a.pem\",\n\"b.pem\"}\n"
			  "tls_keys = {\"a.key\", \"b.key\"}\n"
			  "listen pop3s { address = \"127.0.0.1:1995\" tls = implicit }\n");

	(void)state;
	assert_int_equal(s->tls_certificates.count, 2);
	assert_string_equal(s->tls_certificates.at[0], "a.pem");
	assert_string_equal(s->tls_certificates.at[1], "b.pem");
	assert_string_equal(s->tls_keys.at[1], "b.key");
	assert_int_equal(s->listeners[0].tls, LISTENER_TLS_IMPLICIT);
	settings_free(s);
}

static void
tls_needs_what_belongs_to_it(void **state)
{
	(void)state;
	expect_mistakes("listen pop3s { address = \"127.0.0.1:1995\" tls = implicit }\n",
		"%: listen pop3s speaks TLS; needed: tls_certificates = {\"/etc/...pem\"}\n");
	expect_mistakes("tls_certificates = \"a.pem\"\ntls_keys = {\"a.key\", \"b.key\"}\n" LISTEN,
		"%: tls_keys has 2 files, tls_certificates 1; allowed: as many, or none\n");
}

static void
values_are_taken(void **state)
{
	struct settings *s = load_good("user = \"\"\n"
				       "shards = 3 # a comment\n"
				       "sqpoll = yes\n"
				       "spool = \"/srv/mail\"\n"
				       "session_policy = exclusive\n"
				       "auth_cache_seconds = off\n"
				       "auth_workers = 7\n"
				       "connections_per_address = unlimited\n"
				       "expire_days = 30\n"
				       "log_sessions = no\n"
				       "greeting = \"a \\\"quoted\\\" \\${word} \\\\\"\n" LISTEN);

	(void)state;
	assert_string_equal(s->user, "");
	assert_int_equal(s->shards, 3);
	assert_true(s->sqpoll);
	assert_string_equal(s->spool, "/srv/mail");
	assert_int_equal(s->session_policy, SESSION_POLICY_EXCLUSIVE);
	assert_int_equal(s->auth_cache_seconds, 0);
	assert_int_equal(s->auth_workers, 7);
	assert_int_equal(s->connections_per_address, 0);
	assert_int_equal(s->expire_days, 30);
	assert_false(s->log_sessions);
	assert_string_equal(s->greeting, "a \"quoted\" ${word} \\");
	settings_free(s);
}

static void
domains_differ_from_the_server(void **state)
{
	struct settings *s = load_good("domain \"small.example\" { quota_octets = 10M }\n"
				       "domain \"free.example\" {\n"
				       "  quota_octets = none\n"
				       "  quota_messages = none\n"
				       "}\n"
				       "quota_octets = 1G\n"
				       "quota_messages = 1000\n" LISTEN);

	(void)state;
	assert_true(s->quota_octets == 1ull << 30);
	assert_int_equal(s->quota_messages, 1000);
	assert_int_equal(s->domain_count, 2);
	assert_string_equal(s->domains[0].name, "free.example");
	assert_true(s->domains[0].quota_octets == 0);
	assert_int_equal(s->domains[0].quota_messages, 0);
	assert_string_equal(s->domains[1].name, "small.example");
	assert_true(s->domains[1].quota_octets == 10ull << 20);
	assert_int_equal(s->domains[1].quota_messages, 1000);
	settings_free(s);
	expect_mistakes("domain Example.org {\n}\n"
			"domain \"\" {\n}\n"
			"domain \"a.example\" {\n"
			"  quota_octets = 9223372036854775808\n"
			"  quota_octets = 1GB\n"
			"}\n" LISTEN,
		"%:2: domain \"Example.org\": a domain is written in a-z 0-9 - _ and single dots, "
		"lower-case\n"
		"%:4: domain \"\": it is empty\n"
		"%:6: quota_octets = 9223372036854775808: out of range; allowed: none (0), or 1 to "
		"9223372036854775807, or with K, M, G or T behind it\n"
		"%:7: quota_octets = 1GB: not a number of octets; allowed: none (0), or 1 to "
		"9223372036854775807, or with K, M, G or T behind it\n");
	expect_mistakes("domain \"a.example\" {\n quota = 1\n}\n" LISTEN,
		"%:2: domain has no setting \"quota\"; allowed: quota_octets, quota_messages\n");
}

static struct quota
quota_for(const struct settings *s, const char *address, uint64_t octets, uint32_t messages)
{
	struct account account = { .quota_octets = octets, .quota_messages = messages };

	strcpy(account.address, address);
	return quota_of(s, &account);
}

static void
the_nearest_quota_counts(void **state)
{
	struct settings *s = load_good("domain \"a.example\" { quota_octets = 10 }\n"
				       "domain \"b.example\" { quota_messages = none }\n"
				       "quota_octets = 1000\n"
				       "quota_messages = 7\n" LISTEN);
	struct quota q = quota_for(s, "x@elsewhere.example", 0, 0);

	(void)state;
	assert_int_equal(q.octets, 1000);
	assert_int_equal(q.messages, 7);
	q = quota_for(s, "x@a.example", 0, 0);
	assert_int_equal(q.octets, 10);
	assert_int_equal(q.messages, 7);
	q = quota_for(s, "x@b.example", 0, 0);
	assert_int_equal(q.octets, 1000);
	assert_int_equal(q.messages, 0);
	q = quota_for(s, "x@sub.a.example", 0, 0);
	assert_int_equal(q.octets, 1000);
	q = quota_for(s, "x@a.example", 55, 0);
	assert_int_equal(q.octets, 55);
	assert_int_equal(q.messages, 7);
	q = quota_for(s, "x@a.example", ACCOUNT_QUOTA_OCTETS_NONE, ACCOUNT_QUOTA_MESSAGES_NONE);
	assert_int_equal(q.octets, 0);
	assert_int_equal(q.messages, 0);
	settings_free(s);
}

static void
listeners_have_one_or_many_addresses(void **state)
{
	struct settings *s = load_good("listen outer {\n"
				       "  address = {\"0.0.0.0:110\", \"[::]:110\"}\n"
				       "}\n"
				       "listen inner {\n"
				       "  address = \"[::1]:65535\"\n"
				       "  plaintext_auth = yes\n"
				       "  protocol = \"pop3\"\n"
				       "}\n");
	const struct sockaddr_in *four = (const void *)&s->listeners[0].address;
	const struct sockaddr_in6 *six = (const void *)&s->listeners[2].address;

	(void)state;
	assert_int_equal(s->listener_count, 3);
	assert_int_equal(four->sin_family, AF_INET);
	assert_int_equal(ntohs(four->sin_port), 110);
	assert_int_equal(four->sin_addr.s_addr, INADDR_ANY);
	assert_int_equal(s->listeners[0].address_octets, sizeof(*four));
	assert_string_equal(s->listeners[1].name, "outer");
	assert_string_equal(s->listeners[1].address_text, "[::]:110");
	assert_false(s->listeners[1].plaintext_auth);
	assert_string_equal(s->listeners[2].name, "inner");
	assert_true(s->listeners[2].plaintext_auth);
	assert_int_equal(six->sin6_family, AF_INET6);
	assert_int_equal(ntohs(six->sin6_port), 65535);
	assert_memory_equal(&six->sin6_addr, &in6addr_loopback, sizeof(in6addr_loopback));
	assert_int_equal(s->listeners[2].address_octets, sizeof(*six));
	settings_free(s);
}

static void
every_wrong_value_is_told_at_once(void **state)
{
	(void)state;
	expect_mistakes("idle_timeout_s = 599\n"
			"shards = many\n"
			"\n"
			"sqpoll = maybe\n"
			"session_policy = rude\n"
			"password_scheme = md5\n"
			"failed_logins = -1\n"
			"greeting = \"\"\n"
			"greeting = \"twice\"\n"
			"default_domain = \"Example.org\"\n"
			"connections = 99999999999999999999\n"
			"listen a {\n"
			"  address = {\"127.0.0.1\", \"127.0.0.1:0\", \"::1:110\"}\n"
			"  plaintext_auth = 1\n"
			"  protocol = imap\n"
			"}\n"
			"listen b {\n"
			"}\n",
		"%:1: idle_timeout_s = 599: out of range; allowed: 600 to 86400\n"
		"%:2: shards = many: not a whole number; allowed: auto (0), or 1 to 1024\n"
		"%:4: sqpoll = maybe: neither yes nor no; allowed: yes or no\n"
		"%:5: session_policy = rude: no such choice; allowed: shared, exclusive\n"
		"%:6: password_scheme = \"md5\": no such choice; allowed: yescrypt, scram-sha-256, sha512-crypt, "
		"bcrypt, plain\n"
		"%:7: failed_logins = -1: not a whole number; allowed: 1 to 100\n"
		"%:8: greeting = \"\": too short; allowed: 1 to 400 octets\n"
		"%:9: greeting is set in line 8 already; allowed: once\n"
		"%:10: default_domain = \"Example.org\": a domain is written in a-z 0-9 - _ and single "
		"dots, lower-case; allowed: 0 to 253 octets\n"
		"%:11: connections = 99999999999999999999: not a whole number; allowed: 1 to "
		"10000000\n"
		"%:13: address = 127.0.0.1: not an address with a port; allowed: "
		"\"127.0.0.1:110\" or \"[::1]:110\", port 1 to 65535, or the path of a local "
		"socket, up to 106 octets\n"
		"%:13: address = 127.0.0.1:0: not an address with a port; allowed: "
		"\"127.0.0.1:110\" or \"[::1]:110\", port 1 to 65535, or the path of a local "
		"socket, up to 106 octets\n"
		"%:13: address = ::1:110: not an address with a port; allowed: "
		"\"127.0.0.1:110\" or \"[::1]:110\", port 1 to 65535, or the path of a local "
		"socket, up to 106 octets\n"
		"%:14: plaintext_auth = 1: neither yes nor no; allowed: yes or no\n"
		"%:15: protocol = imap: no such choice; allowed: pop3, lmtp, auth_http\n"
		"%:18: listen b has no address; needed: address = \"127.0.0.1:110\"\n");
}

static void
unknown_names_are_told(void **state)
{
	(void)state;
	expect_mistakes("\nidle_timout = 700\n" LISTEN,
		"%:2: no setting is called \"idle_timout\"; the nearest is \"idle_timeout_s\", "
		"ringpost.conf(5) lists all\n");
	expect_mistakes("listen a {\n port = 110\n}\n",
		"%:2: listen has no setting \"port\"; allowed: address, protocol, networks, "
		"socket_mode, socket_group, plaintext_auth, backend, tls, "
		"proxy_protocol, proxy_networks, proxy_tls, xclient_networks\n");
}

static void
mail_comes_in_where_it_is_said(void **state)
{
	struct settings *s = load_good("lmtp_message_octets = 1M\n"
				       "bare_newlines = normalise\n"
				       "add_received = no\n"
				       "listen mta {\n"
				       "  address = {\"/run/ringpost/lmtp\", \"127.0.0.1:24\"}\n"
				       "  protocol = lmtp\n"
				       "  socket_mode = \"0600\"\n"
				       "}\n"
				       "listen far {\n"
				       "  address = \"0.0.0.0:24\"\n"
				       "  protocol = lmtp\n"
				       "  networks = {\"192.0.2.0/24\", \"2001:db8::1\"}\n"
				       "}\n");

	(void)state;
	assert_int_equal(s->lmtp_message_octets, 1048576);
	assert_int_equal(s->bare_newlines, BARE_NEWLINES_NORMALISE);
	assert_true(s->add_return_path);
	assert_false(s->add_received);
	assert_int_equal(s->delivery_sync, DELIVERY_SYNC_ALWAYS);
	assert_int_not_equal(s->hostname[0], '\0');
	assert_int_equal(s->listener_count, 3);
	assert_int_equal(s->listeners[0].address.ss_family, AF_UNIX);
	assert_int_equal(s->listeners[0].protocol, PROTOCOL_LMTP);
	assert_string_equal(s->listeners[0].socket_mode, "0600");
	assert_null(s->listeners[1].allowed);
	assert_int_equal(s->listeners[2].networks.count, 2);
	assert_int_equal(s->listeners[2].allowed[0].bits, 24);
	assert_int_equal(s->listeners[2].allowed[1].bits, 128);
	settings_free(s);
}

static void
nobody_takes_mail_from_anybody_by_mistake(void **state)
{
	(void)state;
	expect_mistakes("listen mta { address = \"0.0.0.0:24\" protocol = lmtp }\n",
		"%: listen mta takes mail from anybody at 0.0.0.0:24; needed: networks = "
		"{\"192.0.2.0/24\"}\n");
	expect_mistakes("listen mta {\n  address = \"[::1]:24\"\n"
			"  networks = {\"192.0.2.1/24\"}\n  socket_mode = \"rw\"\n}\n",
		"%:3: networks = 192.0.2.1/24: the address has bits behind those that count; "
		"allowed: a text of 1 to 49 octets, or a list of such\n"
		"%:4: socket_mode = \"rw\": too short; allowed: 3 to 4 octets\n");
}

static void
networks_hold_their_own(void **state)
{
	static const struct {
		const char *network, *peer;
		bool holds;
	} cases[] = {
		{ "192.0.2.0/24", "192.0.2.255", true },
		{ "192.0.2.0/24", "192.0.3.0", false },
		{ "192.0.2.0/25", "192.0.2.128", false },
		{ "192.0.2.7", "192.0.2.7", true },
		{ "192.0.2.7", "192.0.2.6", false },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "[::1]", false },
		{ "2001:db8::/33", "[2001:db8:7fff::1]", true },
		{ "2001:db8::/33", "[2001:db8:8000::1]", false },
		{ "::/0", "[2001:db8::1]", true },
	};
	static const char *const wrong[] = { "", "/8", "192.0.2.0/33", "192.0.2.0/", "192.0.2/24",
		"2001:db8::/129", "example.org", "10.0.0.1/8",
		"2001:0db8:0000:0000:0000:0000:0000:0000:0000:0000:0001" };

	(void)state;
	for (size_t i = 0; i < array_count(cases); i++) {
		struct sockaddr_storage peer;
		struct network n;
		socklen_t octets;
		char text[64];

		snprintf(text, sizeof(text), "%s:25", cases[i].peer);
		assert_true(settings_read_address(text, &peer, &octets));
		assert_null(network_read(cases[i].network, &n));
		assert_int_equal(network_holds(&n, &peer), cases[i].holds);
	}
	for (size_t i = 0; i < array_count(wrong); i++) {
		struct network n;

		assert_non_null(network_read(wrong[i], &n));
	}
}

static void
broken_syntax_is_told(void **state)
{
	(void)state;
	expect_mistakes("spool\nshards = 1\n",
		"%:2: missing equal sign after option 'spool'; allowed: name = value, and listen NAME { ... } with a name of its own\n");
	expect_mistakes("greeting = \"open\n",
		"%:2: premature end of file; allowed: name = value, and listen NAME { ... } with a name of its own\n");
	expect_mistakes("listen { address = \"127.0.0.1:110\" }\n",
		"%:1: missing title for section 'listen'; allowed: name = value, and listen NAME { ... } with a name of its own\n");
	expect_mistakes(LISTEN LISTEN,
		"%:2: found duplicate title 'pop3'; allowed: name = value, and listen NAME { ... } with a name of its own\n");
}

static void
somewhere_to_listen_is_needed(void **state)
{
	(void)state;
	expect_mistakes("shards = 1\n",
		"%: nothing to listen on; needed: listen pop3 { address = "
		"\"127.0.0.1:110\" }\n");
	expect_mistakes(
		"listen a { address = \"[::1]:110\" }\nlisten b { address = \"[0:0::1]:110\" }\n",
		"%: listen a and listen b: [0:0::1]:110 is there twice; allowed: once\n");
}

static void
a_file_that_cannot_be_read_is_told(void **state)
{
	struct settings *s;
	char *errors;
	size_t octets;
	FILE *to = open_memstream(&errors, &octets);

	(void)state;
	assert_false(settings_load("/tmp/ringpost-no-such-file", to, &s));
	assert_false(settings_load("/tmp", to, &s));
	fclose(to);
	assert_string_equal(errors,
		"/tmp/ringpost-no-such-file: cannot be read: No such file or directory\n"
		"/tmp: cannot be read: Is a directory\n");
	free(errors);
}

static char *
printed(const struct settings *s)
{
	char *text;
	size_t octets;
	FILE *to = open_memstream(&text, &octets);

	must(to != NULL);
	settings_print(s, to);
	fclose(to);
	return text;
}

/* What --check prints is a file that says the same. */
static void
printed_settings_read_back(void **state)
{
	struct settings *s = load_good("spool = \"/a \\\"b\\\" \\\\ \\${HOME} #c\"\n"
				       "user = \"\"\n"
				       "auth_cache_seconds = off\n"
				       "quota_octets = 20M\n"
				       "domain \"b.example\" { quota_octets = 1025 }\n"
				       "domain \"a.example\" { quota_octets = none }\n"
				       "listen \"two words\" {\n"
				       "  address = {\"127.0.0.1:1\", \"127.0.0.1:2\"}\n"
				       "  plaintext_auth = yes\n"
				       "}\n" LISTEN);
	char *first = printed(s);
	struct settings *again = load_good(first);
	char *second = printed(again);

	(void)state;
	assert_string_equal(again->spool, "/a \"b\" \\ ${HOME} #c");
	assert_int_equal(again->listener_count, 3);
	assert_string_equal(again->listeners[1].name, "two words");
	assert_string_equal(first, second);
	free(first);
	free(second);
	settings_free(s);
	settings_free(again);
}

static char *
read_whole(const char *name)
{
	FILE *file = fopen(name, "r");
	char *text = NULL;
	size_t room = 0;

	if (file == NULL)
		return NULL;
	if (getdelim(&text, &room, '\0', file) < 0)
		must(!"an empty file");
	fclose(file);
	return text;
}

static void
expect_file(const char *name, void (*print)(FILE *to))
{
	char *committed = read_whole(name);
	char *made;
	size_t octets;
	FILE *to = open_memstream(&made, &octets);

	must(to != NULL);
	print(to);
	fclose(to);
	assert_non_null(committed); /* tests run in the root of the source tree */
	assert_string_equal(committed, made);
	free(committed);
	free(made);
}

/* After a change of the table: ringpost settings > docs/SETTINGS.md, and --man. */
static void
the_reference_is_that_of_the_table(void **state)
{
	(void)state;
	expect_file("docs/SETTINGS.md", settings_print_reference);
	expect_file("dist/man/ringpost.conf.5", settings_print_manual);
}

static void
the_example_is_right(void **state)
{
	struct settings *s;

	(void)state;
	assert_true(settings_load("dist/ringpost.conf", stderr, &s));
	assert_string_equal(s->spool, "/var/lib/ringpost");
	settings_free(s);
}

static void
sources(void **state)
{
	static const char file[] =
		LISTEN "sources = {\"lmdb\", \"sql\"}\n"
		       "source sql {\n\tkind = pgsql\n\tconnection = \"host=/run/pg dbname=mail\"\n"
		       "\tquery = \"SELECT password FROM \\\"users\\\"\n WHERE address = $1\"\n}\n";
	struct settings *s = load_good(file);
	FILE *again = fopen(path, "w");

	(void)state;
	assert_int_equal(s->sources.count, 2);
	assert_int_equal(s->source_section_count, 1);
	assert_string_equal(s->source_sections[0].name, "sql");
	assert_int_equal(s->source_sections[0].workers, 4);
	assert_string_equal(
		s->source_sections[0].query, "SELECT password FROM \"users\"\n WHERE address = $1");
	settings_print(s, again);
	fclose(again);
	settings_free(s);
	assert_true(settings_load(path, stderr, &s));
	assert_string_equal(
		s->source_sections[0].query, "SELECT password FROM \"users\"\n WHERE address = $1");
	settings_free(s);
}

static void
mistakes_in_sources(void **state)
{
	(void)state;
	expect_mistakes(LISTEN "sources = {\"sql\"}\n",
		"%: sources names \"sql\"; needed: source sql { kind = ... }\n");
	expect_mistakes(LISTEN "sources = {\"lmdb\", \"lmdb\"}\n",
		"%: sources names \"lmdb\" twice; allowed: once\n");
	expect_mistakes(LISTEN "sources = {\"dir\"}\n"
			       "source dir {\n kind = ldap\n uri = \"http://x\"\n"
			       " attributes = {\"uid=uid\"}\n}\n",
		"%:5: uri = \"http://x\": it is written as ldap://host, ldaps://host or "
		"ldapi://socket; allowed: 0 to 1000 octets\n"
		"%:6: attributes = uid=uid: fields: password, disabled, read_only, no_delete, "
		"quota_octets, quota_messages, networks, maildrop, backend; allowed: a text of 3 to 200 "
		"octets, or a list of such\n");
	expect_mistakes(LISTEN "source sql { query = \"SELECT 1\" }\n",
		"%:2: source sql has no kind; allowed: pgsql, ldap, pam\n");
	expect_mistakes(LISTEN "source sql { kind = pgsql\n query = \"SELECT 1\" }\n",
		"%: source sql: it is never asked; needed: sources = {\"lmdb\", \"ITS NAME\"}\n");
	expect_mistakes(LISTEN "sources = {\"sql\"}\nsource sql { kind = pgsql }\n",
		"%: source sql: needed: query = \"SELECT ...\"\n");
	expect_mistakes(LISTEN "source sql {\n kind = pgsql\n connection = \"nonsense=1\"\n}\n",
		"%:4: connection = \"nonsense=1\": invalid connection option \"nonsense\"; allowed: 0 "
		"to 1000 octets\n");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources),
		cmocka_unit_test(mistakes_in_sources),
		cmocka_unit_test(a_listener_is_a_whole_file),
		cmocka_unit_test(values_are_taken),
		cmocka_unit_test(lists_of_texts_keep_their_order),
		cmocka_unit_test(tls_needs_what_belongs_to_it),
		cmocka_unit_test(domains_differ_from_the_server),
		cmocka_unit_test(the_nearest_quota_counts),
		cmocka_unit_test(listeners_have_one_or_many_addresses),
		cmocka_unit_test(every_wrong_value_is_told_at_once),
		cmocka_unit_test(unknown_names_are_told),
		cmocka_unit_test(mail_comes_in_where_it_is_said),
		cmocka_unit_test(nobody_takes_mail_from_anybody_by_mistake),
		cmocka_unit_test(networks_hold_their_own),
		cmocka_unit_test(broken_syntax_is_told),
		cmocka_unit_test(somewhere_to_listen_is_needed),
		cmocka_unit_test(a_file_that_cannot_be_read_is_told),
		cmocka_unit_test(printed_settings_read_back),
		cmocka_unit_test(the_reference_is_that_of_the_table),
		cmocka_unit_test(the_example_is_right),
	};

	return cmocka_run_group_tests(tests, make_file, remove_file);
}
