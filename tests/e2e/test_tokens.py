"""OAUTHBEARER and XOAUTH2: tokens signed by OpenSSL, and a server that is asked about the others."""
import base64
import http.server
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
import unittest
import urllib.parse

import harness
import tls

ALICE = "alice@" + harness.DOMAIN
ISSUER = "https://id.example.org"
BAD = b"-ERR [AUTH] wrong name or password\r\n"
REFUSAL = {"status": "invalid_token", "schemes": "bearer"}


def b64(octets):
    return base64.b64encode(octets).decode()


def b64url(octets):
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def openssl(*arguments, **more):
    return subprocess.run(["openssl", *arguments], check=True, capture_output=True, **more).stdout


def der_integers(der):
    """Of a SEQUENCE of two INTEGERs, each in 32 octets, as JOSE wants them (RFC 7518, section 3.4)."""
    at, raw = 2, b""
    for _ in range(2):
        length = der[at + 1]
        raw += int.from_bytes(der[at + 2:at + 2 + length], "big").to_bytes(32, "big")
        at += 2 + length
    return raw


class Key:
    """Of OpenSSL; `kind` RS256 or ES256."""

    def __init__(self, directory, kind, name):
        self.kind = kind
        self.secret = os.path.join(directory, name + ".key")
        self.path = os.path.join(directory, name + ".pub")
        how = ("RSA", "rsa_keygen_bits:2048") if kind == "RS256" else ("EC", "ec_paramgen_curve:P-256")
        openssl("genpkey", "-algorithm", how[0], "-pkeyopt", how[1], "-out", self.secret)
        openssl("pkey", "-in", self.secret, "-pubout", "-out", self.path)

    def token(self, **changes):
        claims = {"iss": ISSUER, "aud": "mail", "email": ALICE, "exp": int(time.time()) + 600, **changes}
        text = "%s.%s" % (b64url(json.dumps({"alg": self.kind, "typ": "JWT"}).encode()),
                          b64url(json.dumps({k: v for k, v in claims.items() if v is not None}).encode()))
        signed = openssl("dgst", "-sha256", "-sign", self.secret, input=text.encode())
        return "%s.%s" % (text, b64url(signed if self.kind == "RS256" else der_integers(signed)))


def said(mechanism, name, token):
    if mechanism == "XOAUTH2":
        return b64(("user=%s\1auth=Bearer %s\1\1" % (name, token)).encode())
    header = "n,a=%s," % name if name else "n,,"
    return b64(("%s\1host=mail.example.org\1port=995\1auth=Bearer %s\1\1" % (header, token)).encode())


class Issuer(http.server.ThreadingHTTPServer):
    """A server of RFC 7662; `answer` says what to do with a question."""
    daemon_threads = True

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def setup(self):
            super().setup()
            self.server.connections.append(self.connection)

        def do_POST(self):
            form = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self.server.asked.append((self.headers["Authorization"], urllib.parse.parse_qs(form)))
            status, body = self.server.answer()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Location", "http://127.0.0.1:%d/elsewhere" % self.server.server_port)
            try:
                self.end_headers()
                self.wfile.write(body)
            except OSError:
                pass  # it has enough, or no more time

        def log_message(self, *unused):
            pass

    def __init__(self, certificate=None):
        super().__init__(("127.0.0.1", 0), self.Handler)
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.asked, self.connections = [], []
        self.says(active=True, email=ALICE)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def says(self, **claims):
        self.answers(200, json.dumps(claims).encode())

    def answers(self, status, body, after=0.0):
        self.answer = lambda: (time.sleep(after), (status, body))[1]

    def stop(self):
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # it is closed already


class Tokens(harness.Case):
    def key(self, kind="ES256", name="one"):
        if not hasattr(self, "directory"):
            directory = self.site(users=(), start=False).directory
            self.directory = directory
        return Key(self.directory, kind, name)

    def keys_site(self, *keys, **settings):
        return self.site(oauth_keys="{%s}" % ", ".join('"%s"' % k.path for k in keys),
                         oauth_issuer='"%s"' % ISSUER, oauth_audience='"mail"', **settings)

    def issuer_site(self, **settings):
        issuer = Issuer()
        self.addCleanup(issuer.stop)
        settings.setdefault("oauth_time_limit_ms", "1000")
        return issuer, self.site(
            oauth_introspection_url='"http://127.0.0.1:%d/introspect"' % issuer.server_port, **settings)

    def attempt(self, site, token, name=ALICE, mechanism="XOAUTH2", steps=1):
        """The last line; a refusal is explained first."""
        with site.pop() as pop:
            pop.line()
            if steps == 1:
                reply = pop.command("AUTH %s %s" % (mechanism, said(mechanism, name, token)))
            else:
                self.assertEqual(pop.command("AUTH " + mechanism), b"+ \r\n")
                reply = pop.command(said(mechanism, name, token))
            if reply.startswith(b"+ "):
                self.assertEqual(json.loads(base64.b64decode(reply[2:])), REFUSAL)
                reply = pop.command("AQ==")
            elif reply.startswith(b"+OK"):
                pop.ok("STAT")
            return reply

    def good(self, site, token, **how):
        reply = self.attempt(site, token, **how)
        self.assertTrue(reply.startswith(b"+OK"), (reply, site.log()[-1000:]))

    def bad(self, site, token, why, **how):
        before = len(site.events("login_failed"))
        self.assertEqual(self.attempt(site, token, **how), BAD)
        self.assertEqual(site.wait_for_events("login_failed", before + 1)[-1]["why"], why)

    def unavailable(self, site, token, **how):
        self.assertTrue(self.attempt(site, token, **how).startswith(b"-ERR [SYS/TEMP]"))

    def offered(self, pop):
        capa = pop.command_multi("CAPA").decode().split("\r\n")
        return {m for line in capa if line.startswith("SASL ") for m in line.split()[1:]}

    def test_signed_tokens(self):
        rsa, ec, other = self.key("RS256", "rsa"), self.key("ES256", "ec"), self.key("ES256", "other")
        site = self.keys_site(rsa, ec, users=("alice", "bob"))
        for key in (rsa, ec):
            for mechanism in ("OAUTHBEARER", "XOAUTH2"):
                for steps in (1, 2):
                    self.good(site, key.token(), mechanism=mechanism, steps=steps)
        self.good(site, ec.token(), name="", mechanism="OAUTHBEARER")
        self.good(site, ec.token(), name="alice")
        self.good(site, ec.token(email="Alice@EXAMPLE.org"))
        self.good(site, ec.token(aud=["web", "mail"]))
        now = int(time.time())
        for changes, why in (({"exp": now - 60}, "token_expired"), ({"exp": None}, "token_no_expiry"),
                             ({"nbf": now + 600}, "token_not_yet"), ({"aud": "web"}, "token_audience"),
                             ({"iss": "https://id.example.com"}, "token_issuer"),
                             ({"email": None}, "token_no_account"),
                             ({"email": "a@b@c"}, "token_no_account"),
                             ({"email": "alice+x@example.org"}, "token_no_account"),
                             ({"email_verified": False}, "token_email_unverified"),
                             ({"email": "bob@example.org"}, "token_of_another")):
            self.bad(site, ec.token(**changes), why)
        self.bad(site, other.token(), "token_signature")
        self.bad(site, "opaque", "token_malformed")
        header, payload, signature = ec.token().split(".")
        none = b64url(b'{"alg":"none"}')
        self.bad(site, "%s.%s." % (none, payload), "token_malformed")
        self.bad(site, "%s.%s.%s" % (none, payload, signature), "token_algorithm")
        hs256 = "%s.%s" % (b64url(b'{"alg":"HS256"}'), payload)
        with open(ec.path, "rb") as f:  # the public key, taken for a secret
            mac = openssl("dgst", "-sha256", "-mac", "HMAC", "-macopt", "hexkey:" + f.read().hex(),
                          "-binary", input=hs256.encode())
        self.bad(site, "%s.%s" % (hs256, b64url(mac)), "token_algorithm")
        self.bad(site, ec.token(email="carol@example.org"), "unknown_account", name="carol")
        self.bad(site, ec.token(x="x" * 30000, exp=1), "token_expired")
        self.good(site, ec.token(x="x" * 30000))
        site.ringpost("user", "set", ALICE, "--networks", "10.0.0.0/8")
        self.bad(site, ec.token(), "not_from_here")

    def test_offered_where_it_works(self):
        key = self.key()
        both = {"OAUTHBEARER", "XOAUTH2"}
        for site, offers in ((self.keys_site(key), True), (self.site(), False),
                             (self.keys_site(key, listener={"plaintext_auth": "no"}), False)):
            with site.pop() as pop:
                pop.line()
                self.assertEqual(self.offered(pop) & both, both if offers else set())
                if not offers:
                    self.assertTrue(pop.command("AUTH XOAUTH2 eA==").startswith(b"-ERR"))

    def test_a_refusal_may_be_heard_out_and_tried_again(self):
        key = self.key()
        site = self.keys_site(key, failed_logins="3")
        with site.pop() as pop:
            pop.line()
            for last in ("AQ==", "", "*"):
                reply = pop.command("AUTH OAUTHBEARER " + said("OAUTHBEARER", ALICE, "a.b.c"))
                self.assertEqual(json.loads(base64.b64decode(reply[2:])), REFUSAL)
                reply = pop.command(last)
                self.assertTrue(reply.startswith(b"-ERR"), reply)
            pop.ok("AUTH OAUTHBEARER " + said("OAUTHBEARER", ALICE, key.token()))

    def test_new_keys_by_sighup(self):
        key, other = self.key(name="one"), self.key(name="two")
        site = self.keys_site(key)
        token = key.token()
        with site.pop() as pop:
            pop.line()
            pop.ok("AUTH XOAUTH2 " + said("XOAUTH2", ALICE, token))
            self.bad(site, other.token(), "token_signature")
            with open(key.path, "rb") as f, open(other.path, "rb") as g:
                old, new = f.read(), g.read()
            with open(key.path, "wb") as f:
                f.write(b"no key\n")
            site.process.send_signal(signal.SIGHUP)
            event, = site.wait_for_events("oauth_reload_failed")
            self.assertIn(key.path, event["why"])
            self.good(site, token)
            with open(key.path, "wb") as f:
                f.write(new)
            site.process.send_signal(signal.SIGHUP)
            self.assertEqual(site.wait_for_events("oauth_reloaded")[0]["keys"], "1")
            self.good(site, other.token())
            self.bad(site, token, "token_signature")  # although it was good a moment ago
            self.assertNotEqual(old, new)
            pop.ok("NOOP")

    def test_a_token_is_remembered_no_longer_than_it_lives(self):
        key = self.key()
        site = self.keys_site(key, shards="1")
        token = key.token(exp=int(time.time()) - 28)  # within the leeway for two seconds
        self.good(site, token)
        time.sleep(3)
        self.bad(site, token, "token_expired")

    def test_what_is_wrong_at_the_start_is_one_line(self):
        key = self.key()
        site = self.keys_site(key)
        site.stop()
        for name, value, word in (("oauth_keys", '{"%s"}' % key.secret, "private"),
                                  ("oauth_keys", '{"/nowhere"}', "/nowhere"),
                                  ("oauth_keys", '{"%s"}' % site.config, "neither"),
                                  ("oauth_audience", '""', "oauth_audience"),
                                  ("oauth_introspection_url", '"http://192.0.2.1/"', "https")):
            before = dict(site.settings)
            site.settings[name] = value
            site.write_config()
            done = site.ringpost(program=harness.RINGPOSTD, check=False)
            self.assertNotEqual(done.returncode, 0)
            lines = done.stderr.decode().strip().splitlines()
            self.assertEqual(len(lines), 1, lines)
            self.assertIn(word, lines[0])
            site.settings = before
        site.write_config()

    def test_introspection(self):
        issuer, site = self.issuer_site(oauth_cache_seconds="2", shards="1", auth_cache_seconds="600")
        self.good(site, "tok/en+1==")
        self.good(site, "tok/en+1==")
        self.assertEqual(len(issuer.asked), 1)  # it is remembered
        self.assertEqual(issuer.asked[0][1]["token"], ["tok/en+1=="])
        self.good(site, "two", mechanism="OAUTHBEARER", name="")
        self.good(site, "two", mechanism="OAUTHBEARER", name="")
        self.assertEqual(len(issuer.asked), 3)  # without a name only the token tells whose it is
        issuer.says(active=False)
        time.sleep(2.1)
        self.bad(site, "tok/en+1==", "token_inactive")
        issuer.says(active=True, email=ALICE, exp=int(time.time()) - 60)
        self.bad(site, "three", "token_expired")
        issuer.says(active=True, email="bob@example.org")
        self.bad(site, "three", "token_of_another")
        issuer.says(active=True)
        self.bad(site, "three", "token_no_account")
        self.assertLessEqual(len(issuer.connections), 4)  # of as many workers

    def test_introspection_that_fails_is_never_a_refusal(self):
        issuer, site = self.issuer_site(oauth_time_limit_ms="300", oauth_workers="1", shards="1")
        for status, body in ((500, b'{"active":true}'), (401, b""), (302, b""), (204, b""), (200, b""),
                             (200, b"garbage"), (200, b"[]"), (200, b'{"active":"true"}'),
                             (200, b'{"active":false,"active":true,"email":"%s"}' % ALICE.encode()),
                             (200, b'{"active":true,"email":"%s","x":"%s"}'
                              % (ALICE.encode(), b"x" * 70000))):
            issuer.answers(status, body)
            self.unavailable(site, "one")
        self.assertEqual(len(issuer.asked), 10)  # no redirection was followed
        issuer.answers(200, b"{}", after=3.0)
        began = time.monotonic()
        self.unavailable(site, "one")
        self.assertLess(time.monotonic() - began, 2.5)
        issuer.says(active=True, email=ALICE)
        self.good(site, "one")
        issuer.stop()
        self.good(site, "one")  # remembered
        self.unavailable(site, "two")
        self.assertEqual(site.events("login_failed"), [])
        failed = site.wait_for_events("introspection_failed")
        self.assertEqual((len(failed), failed[0]["status"]), (1, "500"))

    def test_a_slow_issuer_holds_up_nobody_else(self):
        issuer, site = self.issuer_site(oauth_time_limit_ms="2000", oauth_workers="1", shards="1",
                                        auth_workers="1")
        issuer.answers(200, b'{"active":true,"email":"%s"}' % ALICE.encode(), after=1.5)
        with site.pop() as slow:
            slow.line()
            slow.send("AUTH XOAUTH2 " + said("XOAUTH2", ALICE, "slow") + "\r\n")
            time.sleep(0.2)
            began = time.monotonic()
            site.session().close()
            self.assertLess(time.monotonic() - began, 1.0)
            self.assertTrue(slow.line().startswith(b"+OK"))

    def test_an_issuer_over_tls(self):
        mine, other = tls.certificate("localhost"), tls.certificate("elsewhere")
        for shown, trusted, is_good in ((mine, mine, True), (mine, other, False), (other, other, False)):
            issuer = Issuer(shown)
            self.addCleanup(issuer.stop)
            site = self.site(oauth_introspection_url='"https://localhost:%d/"' % issuer.server_port,
                             oauth_introspection_ca='"%s"' % trusted[0])
            if is_good:
                self.good(site, "one")
                continue
            self.unavailable(site, "one")
            self.assertEqual(issuer.asked, [])
            self.assertEqual(site.wait_for_events("introspection_failed")[0]["error"],
                             "Key was rejected by service")

    def test_credentials_for_the_issuer(self):
        path = os.path.join(self.site(users=(), start=False).directory, "credentials")

        def put(text):
            with open(path, "w") as f:
                f.write(text)

        put("ringpost:s:e c\nmore\n")
        issuer, site = self.issuer_site(oauth_introspection_credentials='"%s"' % path)
        self.good(site, "one")
        put("ringpost:newest\n")
        site.process.send_signal(signal.SIGHUP)
        site.wait_for_events("oauth_reloaded")
        self.good(site, "one")
        self.assertEqual([a for a, _ in issuer.asked],
                         ["Basic " + b64(b"ringpost:s:e c"), "Basic " + b64(b"ringpost:newest")])
        put("x\n")
        site.process.send_signal(signal.SIGHUP)
        self.assertIn("NAME:SECRET", site.wait_for_events("oauth_reload_failed")[0]["why"])
        self.assertNotIn("newest", site.log())

    def test_gone_while_the_issuer_thinks(self):
        issuer, site = self.issuer_site()
        issuer.answers(200, b'{"active":true,"email":"%s"}' % ALICE.encode(), after=0.4)
        for _ in range(3):
            with site.pop() as pop:
                pop.line()
                pop.send("AUTH XOAUTH2 " + said("XOAUTH2", ALICE, "gone") + "\r\n")
                time.sleep(0.05)
                pop.reset()
        with site.pop() as pop:  # and at the end of the server
            pop.line()
            pop.send("AUTH XOAUTH2 " + said("XOAUTH2", ALICE, "gone") + "\r\n")
            time.sleep(0.1)
            site.process.send_signal(signal.SIGTERM)
            self.assertTrue(pop.line().startswith(b"+OK"))

    def test_both(self):
        key = self.key()
        issuer = Issuer()
        self.addCleanup(issuer.stop)
        site = self.keys_site(key, oauth_introspection_url='"http://localhost:%d/"' % issuer.server_port)
        issuer.says(active=True, email=ALICE, iss=ISSUER, aud="mail")
        self.good(site, key.token())
        self.assertEqual(issuer.asked, [])
        self.good(site, "opaque")
        self.assertEqual(len(issuer.asked), 1)
        issuer.says(active=True, email=ALICE)
        self.bad(site, "other", "token_issuer")


if __name__ == "__main__":
    unittest.main()
