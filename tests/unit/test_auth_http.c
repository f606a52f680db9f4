/*
 * test_auth_http.c - what nginx asks and hears, and what no nginx says.
 */
#include "core/auth_http/session.h"
#include "io/base/must.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define QUESTION                                                                                   \
	"GET /auth HTTP/1.0\r\nHost: 127.0.0.1\r\nAuth-Method: plain\r\nAuth-User: alice\r\n"      \
	"Auth-Pass: secret\r\nAuth-Protocol: pop3\r\nAuth-Login-Attempt: 1\r\n"                    \
	"Client-IP: 192.0.2.42\r\nClient-Host: client.example.org\r\n"
#define BEHIND_TLS "Auth-SSL: on\r\nAuth-SSL-Protocol: TLSv1.3\r\nAuth-SSL-Cipher: x\r\n"

struct world {
	struct auth_http_policy policy;
	struct segments_pool pool;
	struct segments reply;
	struct auth_http_session session;
	enum auth_http_next next;
	char said[2048];
};

static int
begin(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	must(w != NULL);
	w->policy = (struct auth_http_policy){
		.backend = { .address = "192.0.2.1", .port = 110 },
		.failed_logins_max = 3,
	};
	segments_pool_init(&w->pool, 100);
	segments_init(&w->reply, &w->pool);
	*state = w;
	return 0;
}

static int
end(void **state)
{
	struct world *w = *state;

	auth_http_session_end(&w->session);
	segments_clear(&w->reply);
	segments_pool_destroy(&w->pool);
	free(w);
	return 0;
}

/* All that is in the reply. */
static const char *
hear(struct world *w)
{
	size_t length = 0;

	while (!segments_is_empty(&w->reply)) {
		struct span octets = segment_octets(w->reply.first);

		must(length + octets.length < sizeof(w->said));
		memcpy(w->said + length, octets.at, octets.length);
		length += octets.length;
		segments_advance(&w->reply, octets.length);
	}
	w->said[length] = '\0';
	return w->said;
}

/* The lines of `text`, as far as they are wanted. */
static enum auth_http_next
ask(struct world *w, const char *text)
{
	segments_clear(&w->reply);
	auth_http_session_init(&w->session, &w->policy, &w->reply);
	w->next = AUTH_HTTP_NEXT_LINE;
	while (w->next == AUTH_HTTP_NEXT_LINE && text[0] != '\0') {
		const char *line_end = strstr(text, "\r\n");

		must(line_end != NULL);
		w->next = auth_http_session_line(
			&w->session, span_of(text, (size_t)(line_end - text)));
		text = line_end + 2;
	}
	return w->next;
}

static const char *
answer(struct world *w, enum login_verdict verdict, const char *backend, const char *secret)
{
	assert_int_equal(w->next, AUTH_HTTP_NEXT_VERIFY);
	w->next = auth_http_session_answered(&w->session, verdict, backend, span_of_string(secret));
	assert_int_equal(w->next, AUTH_HTTP_NEXT_CLOSE);
	return hear(w);
}

#define END "Content-Length: 0\r\nConnection: close\r\n\r\n"

static void
a_question_is_read_and_answered(void **state)
{
	struct world *w = *state;
	struct login_question q;
	const struct sockaddr_in *in = (const void *)&w->session.client;

	assert_int_equal(ask(w, QUESTION BEHIND_TLS "\r\n"), AUTH_HTTP_NEXT_VERIFY);
	q = auth_http_session_question(&w->session);
	assert_int_equal(q.kind, LOGIN_PASSWORD);
	assert_true(span_equals(q.name, SPAN("alice")));
	assert_true(span_equals(q.secret, SPAN("secret")));
	assert_int_equal(in->sin_family, AF_INET);
	assert_int_equal(ntohl(in->sin_addr.s_addr), 0xc000022a);
	assert_string_equal(answer(w, LOGIN_GOOD, "", ""),
		"HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: 192.0.2.1\r\nAuth-Port: 110\r\n" END);
	assert_int_equal(w->session.end, AUTH_HTTP_END_ANSWERED);
	for (size_t i = 0; i < sizeof(w->session.secret); i++)
		assert_int_equal(w->session.secret[i], 0);
}

static void
each_verdict_has_its_words(void **state)
{
	static const struct {
		enum login_verdict verdict;
		const char *status;
	} cases[] = {
		{ LOGIN_BAD, "[AUTH] wrong name or password" },
		{ LOGIN_UNAVAILABLE, "[SYS/TEMP] login is not possible at the moment" },
	};
	char expected[300];
	struct world *w = *state;

	for (size_t i = 0; i < array_count(cases); i++) {
		ask(w, QUESTION BEHIND_TLS "\r\n");
		snprintf(expected, sizeof(expected),
			"HTTP/1.0 200 OK\r\nAuth-Status: %s\r\nAuth-Wait: 1\r\n" END,
			cases[i].status);
		assert_string_equal(answer(w, cases[i].verdict, "", ""), expected);
	}
}

static void
the_last_attempt_ends_the_connection(void **state)
{
	struct world *w = *state;

	w->policy.plaintext_auth = true;
	ask(w,
		"GET / HTTP/1.0\r\nAuth-Method: plain\r\nAuth-User: a\r\nAuth-Pass: b\r\n"
		"Auth-Protocol: pop3\r\nClient-IP: ::1\r\nAuth-Login-Attempt: 3\r\n\r\n");
	assert_null(strstr(answer(w, LOGIN_BAD, "", ""), "Auth-Wait"));
}

static void
an_account_may_have_a_backend_of_its_own(void **state)
{
	static const struct {
		const char *backend, *server, *port;
	} cases[] = {
		{ "198.51.100.7", "198.51.100.7", "110" },
		{ "198.51.100.7:1110", "198.51.100.7", "1110" },
		{ "2001:db8::7", "2001:db8::7", "110" },
		{ "[2001:db8::7]", "2001:db8::7", "110" },
		{ "[2001:db8::7]:65535", "2001:db8::7", "65535" },
	};
	static const char *const wrong[] = { "mail7.example.org", "198.51.100.7:0",
		"198.51.100.7:65536", "198.51.100.7:", "198.51.100.7:1x", "[198.51.100.7]:110",
		"[2001:db8::7", "2001:db8::7]:110", "[2001:db8::7]110", ":110", "[]:110",
		"198.51.100.7\r\nAuth-User: bob",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd" };
	struct world *w = *state;
	char expected[300];

	for (size_t i = 0; i < array_count(cases); i++) {
		ask(w, QUESTION BEHIND_TLS "\r\n");
		snprintf(expected, sizeof(expected), "Auth-Server: %s\r\nAuth-Port: %s\r\n",
			cases[i].server, cases[i].port);
		assert_non_null(strstr(answer(w, LOGIN_GOOD, cases[i].backend, ""), expected));
	}
	for (size_t i = 0; i < array_count(wrong); i++) {
		ask(w, QUESTION BEHIND_TLS "\r\n");
		assert_string_equal(answer(w, LOGIN_GOOD, wrong[i], ""),
			"HTTP/1.0 200 OK\r\nAuth-Status: [SYS/TEMP] login is not possible at the "
			"moment\r\n" END);
		assert_int_equal(w->session.end, AUTH_HTTP_END_NO_BACKEND);
	}
}

#define APOP                                                                                       \
	"GET / HTTP/1.0\r\nAuth-Method: apop\r\nAuth-User: mrose\r\nAuth-Protocol: pop3\r\n"       \
	"Client-IP: unix:\r\nAuth-Login-Attempt: 1\r\n"

static void
apop_needs_the_password_back(void **state)
{
	struct world *w = *state;
	struct login_question q;

	assert_int_equal(ask(w,
				 APOP "Auth-Salt: <1896.697170952@dbc.mtview.ca.us>\r\n"
				      "Auth-Pass: c4c9334bac560ecc979e58001b3e22fb\r\n\r\n"),
		AUTH_HTTP_NEXT_VERIFY);
	q = auth_http_session_question(&w->session);
	assert_int_equal(q.kind, LOGIN_APOP);
	assert_true(span_equals(q.stamp, SPAN("<1896.697170952@dbc.mtview.ca.us>")));
	assert_int_equal(w->session.client.ss_family, AF_UNIX);
	assert_non_null(strstr(answer(w, LOGIN_GOOD, "", "tan staaf"), "Auth-Pass: tan staaf\r\n"));
}

/* What would be read as another header, or not come back as it is, is not said. */
static void
a_password_that_fits_no_header_is_not_said(void **state)
{
	static const char *const wrong[] = { "", " a", "a ", "a\nb", "a\rb", "a\tb", "\x7f" };
	struct world *w = *state;

	for (size_t i = 0; i < array_count(wrong); i++) {
		ask(w,
			APOP
			"Auth-Salt: <1@a>\r\nAuth-Pass: c4c9334bac560ecc979e58001b3e22fb\r\n\r\n");
		assert_null(strstr(answer(w, LOGIN_GOOD, "", wrong[i]), "Auth-Pass"));
		assert_int_equal(w->session.end, AUTH_HTTP_END_NO_BACKEND);
	}
}

static void
escapes_are_read(void **state)
{
	struct world *w = *state;
	struct login_question q;

	assert_int_equal(
		ask(w,
			"GET / HTTP/1.0\r\nAUTH-METHOD:plain\r\nauth-user:\t%61b%00%0d%0A%e2%98%ba \r\n"
			"Auth-Pass: a%25%20b\r\nAuth-Protocol: pop3\r\nClient-IP: ::ffff:192.0.2.1\r\n"
			"Auth-SSL: on\r\n\r\n"),
		AUTH_HTTP_NEXT_VERIFY);
	q = auth_http_session_question(&w->session);
	assert_true(span_equals(q.name, SPAN("ab\0\r\n\xe2\x98\xba")));
	assert_true(span_equals(q.secret, SPAN("a% b")));
	assert_int_equal(w->session.client.ss_family, AF_INET);
}

/* Cut, so that it is too long for any account, and never read as another one. */
static void
long_values_are_cut(void **state)
{
	char text[5000];
	char *at = text;
	struct world *w = *state;
	struct login_question q;

	at += sprintf(at,
		"GET / HTTP/1.0\r\nAuth-Method: plain\r\nAuth-Protocol: pop3\r\n"
		"Client-IP: ::1\r\nAuth-SSL: on\r\nAuth-User: ");
	memset(at, 'a', 2000);
	at += 2000;
	at += sprintf(at, "\r\nAuth-Pass: ");
	memset(at, 'b', 2000);
	at += 2000;
	sprintf(at, "\r\n\r\n");
	assert_int_equal(ask(w, text), AUTH_HTTP_NEXT_VERIFY);
	q = auth_http_session_question(&w->session);
	assert_int_equal(q.name.length, AUTH_HTTP_NAME_OCTETS_MAX);
	assert_true(q.secret.length > PASSWORD_SECRET_OCTETS_MAX);
}

static void
what_is_not_offered_is_refused(void **state)
{
	static const struct {
		const char *text, *status;
		enum auth_http_end end;
	} cases[] = {
		{ QUESTION "\r\n", "passwords are not taken on a connection in clear",
			AUTH_HTTP_END_CLEAR },
		{ "GET / HTTP/1.0\r\nAuth-Method: cram-md5\r\nAuth-Protocol: pop3\r\n"
		  "Client-IP: ::1\r\n\r\n",
			"that mechanism is not offered here", AUTH_HTTP_END_NOT_OFFERED },
		{ "GET / HTTP/1.0\r\nAuth-Method: plain\r\nAuth-Protocol: imap\r\n"
		  "Client-IP: ::1\r\n\r\n",
			"that mechanism is not offered here", AUTH_HTTP_END_NOT_OFFERED },
		{ "GET / HTTP/1.0\r\nAuth-Method: none\r\nAuth-Protocol: smtp\r\n"
		  "Client-IP: ::1\r\n\r\n",
			"that mechanism is not offered here", AUTH_HTTP_END_NOT_OFFERED },
	};
	struct world *w = *state;
	char expected[300];

	for (size_t i = 0; i < array_count(cases); i++) {
		assert_int_equal(ask(w, cases[i].text), AUTH_HTTP_NEXT_CLOSE);
		snprintf(expected, sizeof(expected), "HTTP/1.0 200 OK\r\nAuth-Status: %s\r\n" END,
			cases[i].status);
		assert_string_equal(hear(w), expected);
		assert_int_equal(w->session.end, cases[i].end);
	}
}

static void
what_no_nginx_says_is_a_bad_request(void **state)
{
	static const char *const wrong[] = {
		"\r\n",
		"GET\r\n",
		"GET \r\n",
		"GET /\r\n",
		"GET / HTTP/2.0\r\n",
		"GET  HTTP/1.\r\n",
		"POST / HTTP/1.0\r\n",
		"get / HTTP/1.0\r\n",
		"USER alice\r\n",
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.0\r\nno header\r\n",
		"GET / HTTP/1.0\r\n: x\r\n",
		"GET / HTTP/1.0\r\nA: b\r\n c\r\n",
		"GET / HTTP/1.0\r\nA: b\r\n\tc: d\r\n",
		QUESTION "Auth-User: bob\r\n",
		QUESTION "auth-pass: other\r\n",
		QUESTION "Client-IP: 192.0.2.43\r\n",
		"GET / HTTP/1.0\r\nClient-IP: localhost\r\n",
		"GET / HTTP/1.0\r\nClient-IP: 192.0.2.1, 192.0.2.2\r\n",
		"GET / HTTP/1.0\r\nClient-IP: \r\n",
		"GET / HTTP/1.0\r\nClient-IP: "
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc\r\n",
		"GET / HTTP/1.0\r\nAuth-Login-Attempt: -1\r\n",
		"GET / HTTP/1.0\r\nAuth-Login-Attempt: 99999999999999999999999\r\n",
		"GET / HTTP/1.0\r\nAuth-User: 100%\r\n",
		"GET / HTTP/1.0\r\nAuth-User: %4\r\n",
		"GET / HTTP/1.0\r\nAuth-User: %4g\r\n",
		"GET / HTTP/1.0\r\nAuth-Pass: %-1\r\n",
		APOP "Auth-Pass: c4c9334bac560ecc979e58001b3e22fb\r\n\r\n",
		APOP "Auth-Salt: <1@a>\r\n\r\n",
		APOP "Auth-Salt: <1@a>\r\nAuth-Pass: c4c9334bac560ecc979e58001b3e22f\r\n\r\n",
		APOP "Auth-Salt: <1@a>\r\nAuth-Pass: c4c9334bac560ecc979e58001b3e22fg\r\n\r\n",
	};
	struct world *w = *state;

	for (size_t i = 0; i < array_count(wrong); i++) {
		assert_int_equal(ask(w, wrong[i]), AUTH_HTTP_NEXT_REFUSE);
		assert_string_equal(hear(w), "HTTP/1.0 400 Bad Request\r\n" END);
		assert_int_equal(w->session.end, AUTH_HTTP_END_MALFORMED);
	}
}

static void
first_octets_tell_other_protocols(void **state)
{
	struct world *w = *state;

	auth_http_session_init(&w->session, &w->policy, &w->reply);
	for (size_t n = 1; n <= 5; n++)
		assert_false(auth_http_session_is_foreign(&w->session, span_of("GET /", n)));
	assert_true(auth_http_session_is_foreign(&w->session, SPAN("\x16\x03\x01")));
	assert_string_equal(hear(w), "HTTP/1.0 405 Method Not Allowed\r\nAllow: GET\r\n" END);
}

static void
too_many_lines_and_too_much_time_end_it(void **state)
{
	char text[20 + 101 * 6 + 1] = "GET / HTTP/1.0\r\n";
	struct world *w = *state;

	for (unsigned i = 0; i < AUTH_HTTP_LINES_MAX; i++)
		strcat(text, "A: b\r\n");
	assert_int_equal(ask(w, text), AUTH_HTTP_NEXT_REFUSE);
	assert_string_equal(hear(w), "HTTP/1.0 431 Request Header Fields Too Large\r\n" END);
	ask(w, "GET / HTTP/1.0\r\n");
	auth_http_session_timed_out(&w->session);
	assert_string_equal(hear(w), "HTTP/1.0 408 Request Timeout\r\n" END);
	assert_string_equal(auth_http_end_word((enum auth_http_end)w->session.end), "timed_out");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_question_is_read_and_answered, begin, end),
		cmocka_unit_test_setup_teardown(each_verdict_has_its_words, begin, end),
		cmocka_unit_test_setup_teardown(the_last_attempt_ends_the_connection, begin, end),
		cmocka_unit_test_setup_teardown(
			an_account_may_have_a_backend_of_its_own, begin, end),
		cmocka_unit_test_setup_teardown(apop_needs_the_password_back, begin, end),
		cmocka_unit_test_setup_teardown(
			a_password_that_fits_no_header_is_not_said, begin, end),
		cmocka_unit_test_setup_teardown(escapes_are_read, begin, end),
		cmocka_unit_test_setup_teardown(long_values_are_cut, begin, end),
		cmocka_unit_test_setup_teardown(what_is_not_offered_is_refused, begin, end),
		cmocka_unit_test_setup_teardown(what_no_nginx_says_is_a_bad_request, begin, end),
		cmocka_unit_test_setup_teardown(first_octets_tell_other_protocols, begin, end),
		cmocka_unit_test_setup_teardown(
			too_many_lines_and_too_much_time_end_it, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
