"""nginx' mail proxy: what it asks by auth_http, by hand, whole, cut and damaged; and a real nginx."""
import base64
import hashlib
import os
import re
import subprocess
import threading
import time
import unittest
import urllib.parse

import harness
import tls
from proxies import Program, example

CLIENT = "192.0.2.7"
BACKEND = "192.0.2.1"
GOOD = {"Auth-Status": "OK", "Auth-Server": BACKEND, "Auth-Port": "110"}
WRONG = {"Auth-Status": "[AUTH] wrong name or password", "Auth-Wait": "1"}


def question(name="alice", secret=harness.SECRET, **more):
    """As nginx asks; what is None is left out."""
    fields = {"Host": "127.0.0.1", "Auth-Method": "plain", "Auth-User": urllib.parse.quote(name),
              "Auth-Pass": urllib.parse.quote(secret), "Auth-Protocol": "pop3", "Auth-Login-Attempt": "1",
              "Client-IP": CLIENT, "Client-Host": "[UNAVAILABLE]", "Auth-SSL": "on"}
    fields.update({name.replace("_", "-"): value for name, value in more.items()})
    return ("GET /auth HTTP/1.0\r\n" + "".join("%s: %s\r\n" % item for item in fields.items()
                                               if item[1] is not None) + "\r\n").encode()


class AuthHttp(harness.Case):
    def asked(self, listener=None, **settings):
        """A site whose listener answers nginx."""
        return self.site(listener={"protocol": "auth_http", "backend": '"%s:110"' % BACKEND,
                                   "plaintext_auth": "no", **(listener or {})}, **settings)

    def raw(self, site, octets, **how):
        with site.pop(**how) as conn:
            conn.send(octets)
            return conn.rest()

    def ask(self, site, *args, **more):
        """The status, and the headers that are nginx'."""
        head, end, body = self.raw(site, question(*args, **more)).partition(b"\r\n\r\n")
        self.assertEqual((end, body), (b"\r\n\r\n", b""))
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        self.assertEqual((headers.pop("Content-Length"), headers.pop("Connection")), ("0", "close"))
        self.assertEqual(status, "HTTP/1.0 200 OK")
        return headers

    def test_good_and_bad_logins(self):
        site = self.asked(auth_penalty_max_s="0")
        self.assertEqual(self.ask(site), GOOD)
        self.assertEqual(self.ask(site, "alice@example.org", Client_IP="unix:"), GOOD)
        for name, secret in (("alice", "wrong"), ("alice", ""), ("", "x"), ("nobody", "secret"),
                             ("alice\0", "secret"), ("../alice", "secret"), ("a/b%", "secret"),
                             ("alice\r\nAuth-Status: OK", "secret"), ("alice", "secret\0"),
                             ("a" * 255, "secret"), ("a" * 3000, "secret"), ("alice", "s" * 20000),
                             ("\u0430lice", "secret")):
            self.assertEqual(self.ask(site, name, secret), WRONG, (name, secret))
        failed = site.wait_for_events("login_failed", 13)
        self.assertEqual({(e["protocol"], e["peer"]) for e in failed}, {("auth_http", CLIENT)})
        ended = site.wait_for_events("session_end", 15)
        self.assertEqual({(e["protocol"], e["why"]) for e in ended}, {("auth_http", "answered")})
        self.assertEqual([e["address"] for e in ended if e["address"]], ["alice@example.org"] * 2)

    def test_the_log_line_is_fail2bans(self):
        harness.needs("fail2ban-regex")
        site = self.asked()
        self.ask(site, secret="wrong")
        site.wait_for_events("login_failed")
        line = [l for l in site.log().splitlines() if "event=login_failed" in l][0]
        path = os.path.join(site.directory, "line")
        with open(path, "w") as f:
            f.write(line + "\n")
        filter_path = os.path.join(harness.ROOT, "dist/fail2ban/filter.d/ringpost.conf")
        said = subprocess.run(["fail2ban-regex", path, filter_path], capture_output=True, text=True,
                              timeout=60).stdout
        self.assertIn("1 matched", said)

    def test_the_backend_of_an_account(self):
        site = self.asked()
        site.add_user("bob", "secret", "--backend", "198.51.100.7")
        site.add_user("carol", "secret", "--backend", "[2001:db8::7]:1110")
        site.add_user("dave", "secret", "--backend", "mail7.example.org")
        self.assertEqual(self.ask(site, "bob"), {**GOOD, "Auth-Server": "198.51.100.7"})
        self.assertEqual(self.ask(site, "carol"),
                         {**GOOD, "Auth-Server": "2001:db8::7", "Auth-Port": "1110"})
        self.assertEqual(self.ask(site, "dave"),
                         {"Auth-Status": "[SYS/TEMP] login is not possible at the moment"})
        unusable = site.wait_for_events("backend_unusable")[0]
        self.assertEqual((unusable["address"], unusable["backend"]),
                         ("dave@example.org", "mail7.example.org"))

    def test_disabled_and_from_elsewhere(self):
        site = self.asked(auth_penalty_max_s="0")
        site.add_user("bob", "secret", "--disabled")
        site.add_user("carol", "secret", "--networks", "192.0.2.0/24")
        self.assertEqual(self.ask(site, "bob"), WRONG)
        self.assertEqual(self.ask(site, "carol"), GOOD)
        self.assertEqual(self.ask(site, "carol", Client_IP="198.51.100.1"), WRONG)

    def test_what_is_not_offered(self):
        site = self.asked()
        for more, status in (({"Auth_SSL": None}, "passwords are not taken on a connection in clear"),
                             ({"Auth_SSL": "off"}, "passwords are not taken on a connection in clear"),
                             ({"Auth_Protocol": "imap"}, "that mechanism is not offered here"),
                             ({"Auth_Protocol": "smtp", "Auth_Method": "none"},
                              "that mechanism is not offered here"),
                             ({"Auth_Method": "cram-md5"}, "that mechanism is not offered here"),
                             ({"Auth_Method": "external"}, "that mechanism is not offered here")):
            self.assertEqual(self.ask(site, **more), {"Auth-Status": status})
        self.assertEqual(site.events("login_failed"), [])
        site = self.asked({"plaintext_auth": "yes"})
        self.assertEqual(self.ask(site, Auth_SSL=None), GOOD)

    def test_apop(self):
        site = self.asked(apop="yes", users=("bob",), auth_penalty_max_s="0")
        site.add_user("alice", "tan staaf")
        stamp = "<1896.697170952@dbc.mtview.ca.us>"
        digest = hashlib.md5((stamp + "tan staaf").encode()).hexdigest()
        more = {"Auth_Method": "apop", "Auth_Salt": stamp, "Auth_SSL": None}
        self.assertEqual(self.ask(site, secret=digest, **more), {**GOOD, "Auth-Pass": "tan staaf"})
        self.assertEqual(self.ask(site, secret=digest.upper(), **more), {**GOOD, "Auth-Pass": "tan staaf"})
        self.assertEqual(self.ask(site, secret="0" * 32, **more), WRONG)

    def test_the_last_attempt_has_no_wait(self):
        site = self.asked(failed_logins="3", auth_penalty_max_s="0")
        for attempt, waits in ((1, True), (2, True), (3, False), (4000000000, False)):
            self.assertEqual("Auth-Wait" in self.ask(site, secret="wrong", Auth_Login_Attempt=str(attempt)),
                             waits)

    def test_failures_delay_by_client(self):
        site = self.asked(users=("alice", "bob"))
        for n in range(4):
            self.ask(site, "nobody%d" % n, "wrong")

        def seconds(name, **more):
            started = time.monotonic()
            self.assertEqual(self.ask(site, name, **more), GOOD)
            return time.monotonic() - started

        self.assertLess(seconds("alice", Client_IP="192.0.2.8"), 1)
        self.assertGreater(seconds("bob"), 1.5)

    def test_a_delayed_question_costs_nobody_else_time(self):
        site = self.asked(auth_penalty_max_s="30")
        for n in range(5):
            self.ask(site, "nobody%d" % n, "wrong")
        waiting = [site.pop() for _ in range(20)]
        for conn in waiting:
            conn.send(question("alice"))
        time.sleep(0.2)
        started = time.monotonic()
        self.assertEqual(self.ask(site, Client_IP="192.0.2.99"), GOOD)
        self.assertLess(time.monotonic() - started, 1)
        for conn in waiting:  # gone before the answer
            conn.close()
        self.assertEqual(len(site.wait_for_events("session_end", 26)), 26)
        started = time.monotonic()
        self.assertEqual(site.stop(), 0)
        self.assertLess(time.monotonic() - started, 5)

    def test_what_no_nginx_says(self):
        site = self.asked()
        for octets, status in (
                (b"GET / HTTP/1.0\r\n\r\n", b"400"), (b"GET / HTTP/3.0\r\n\r\n", b"400"),
                (b"POST / HTTP/1.0\r\n\r\n", b"405"), (b"\x16\x03\x01\x02\x00\x01", b"405"),
                (b"CAPA\r\n", b"405"), (b"\r\n", b"405"),
                (question(Client_IP="nowhere"), b"400"), (question(Client_IP=None), b"400"),
                (question()[:-2] + b"Auth-User: bob\r\n\r\n", b"400"),
                (question()[:-2] + b" folded\r\n\r\n", b"400"),
                (question(Auth_User="%zz"), b"400"), (question(Auth_Login_Attempt="x"), b"400"),
                (question()[:-2] + b"X: " + b"x" * 2000 + b"\r\n\r\n", b"431"),
                (question()[:-2] + b"Auth-SSL-Cert: " + b"x" * 70000 + b"\r\n\r\n", b"431"),
                (question()[:-2] + b"X: y\r\n" * 101 + b"\r\n", b"431")):
            said = self.raw(site, octets)
            self.assertTrue(said.startswith(b"HTTP/1.0 " + status), (octets[:80], said))
        certificate = base64.b64encode(os.urandom(30000))
        self.assertEqual(self.ask(site, Auth_SSL_Cert=certificate.decode()), GOOD)
        self.assertEqual(site.events("login_failed"), [])

    def test_cut_and_broken_off_everywhere(self):
        site = self.asked()
        whole = question()
        for cut in range(1, len(whole), 3):
            with site.pop() as conn:
                conn.send(whole[:cut])
                time.sleep(0.001)
                conn.send(whole[cut:])
                self.assertIn(b"Auth-Status: OK", conn.rest(), cut)
        cuts = range(0, len(whole), 3)
        before = len(site.wait_for_events("session_end", len(cuts)))
        for cut in cuts:
            with site.pop() as conn:
                conn.send(whole[:cut])
                if cut % 2:  # perhaps even before it was accepted
                    conn.reset()
        closed = sum(cut % 2 == 0 for cut in cuts)
        ended = site.wait_for_events("session_end", before + closed)[before:]
        self.assertGreaterEqual(len(ended), closed)
        self.assertLessEqual({e["why"] for e in ended}, {"closed_by_peer", "connection_failed"})
        self.assertEqual(self.ask(site), GOOD)

    def test_a_drain_waits_for_no_question(self):
        site = self.asked()
        with site.pop() as silent, site.pop() as half:
            half.send(question()[:40])
            time.sleep(0.1)
            started = time.monotonic()
            self.assertEqual(site.stop(), 0)
            self.assertLess(time.monotonic() - started, 3)
            self.assertEqual((silent.rest(), half.rest()), (b"", b""))

    def test_one_question_for_each_connection(self):
        site = self.asked()
        said = self.raw(site, question() * 2)
        self.assertEqual(said.count(b"HTTP/1.0 200 OK"), 1)

    def test_others_may_not_ask(self):
        site = self.asked({"networks": '{"127.0.0.1"}'})
        self.assertIn(b"403", self.raw(site, question(), source="127.0.0.2"))
        self.assertEqual(site.wait_for_events("guest_turned_away")[0]["why"], "network")

    def test_nginx_is_not_counted_by_its_address(self):
        site = self.asked(connections_per_address="2", connection_rate_per_address="1")
        held = [site.pop() for _ in range(10)]
        self.assertEqual(self.ask(site), GOOD)
        for conn in held:
            conn.close()

    def test_accounts_that_cannot_be_read_are_temporary(self):
        site = self.asked()
        site.kill()
        with open(site.config, "a") as f:
            f.write('sources = {"sql"}\nsource sql {\n\tkind = pgsql\n\tconnection = '
                    '"host=127.0.0.1 port=1 connect_timeout=1"\n'
                    '\tquery = "SELECT password FROM accounts WHERE address = $1"\n}\n')
        site.start_after_kill()
        headers = self.ask(site)
        self.assertEqual(headers["Auth-Status"], "[SYS/TEMP] login is not possible at the moment")

    def test_many_at_once(self):
        site = self.asked()
        wrong = []

        def run():
            for _ in range(100):
                try:
                    if self.ask(site) != GOOD:
                        wrong.append("not good")
                except (AssertionError, OSError) as error:
                    wrong.append(error)

        threads = [threading.Thread(target=run) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(wrong, [])

    def test_settings_that_do_not_fit_together(self):
        for listener, words in (({"protocol": "auth_http"}, b"needed: backend"),
                                ({"backend": '"127.0.0.1:110"'}, b"needed: protocol = auth_http"),
                                ({"protocol": "auth_http", "backend": '"localhost:110"'},
                                 b"no address with a port"),
                                ({"protocol": "auth_http", "backend": '"127.0.0.1"'},
                                 b"no address with a port"),
                                ({"protocol": "auth_http", "backend": '"127.0.0.1:110"', "tls": "stls"},
                                 b"needed: tls = off")):
            site = self.site(users=(), listener=listener, start=False)
            self.assertIn(words, site.ringpost("user", "list", check=False).stderr)


class RealNginx(harness.Case):
    """docs/OPERATING.md as it stands there, but for ports and paths."""

    def behind_nginx(self, **settings):
        ours, theirs = example("nginx")
        listeners = dict(re.findall(r"listen (\w+) \{\n(.*?)\n\}", ours, re.S))
        read = {name: dict(re.findall(r"\t(\w+) = (.*)", text)) for name, text in listeners.items()}
        asks, logs_in = read["nginx_asks"], read["nginx_logs_in"]
        asked, clear, secured = harness.free_port(), harness.free_port(), harness.free_port()
        site = self.site(listener={k: v for k, v in logs_in.items() if k != "address"}, start=False,
                         apop="yes", **settings)
        asks["address"] = '"127.0.0.1:%d"' % asked
        asks["backend"] = '"127.0.0.1:%d"' % site.port
        with open(site.config, "a") as f:
            f.write("listen nginx_asks {\n%s}\n" % "".join("\t%s = %s\n" % item for item in asks.items()))
        site.start()
        certificate, key = tls.certificate("mail.example.org")
        config = theirs.replace("/etc/nginx/mail.pem", certificate).replace("/etc/nginx/mail.key", key)
        config = config.replace("127.0.0.1:9110", "127.0.0.1:%d" % asked)
        config = config.replace("127.0.0.1:110;", "127.0.0.1:%d;" % clear)
        config = config.replace("127.0.0.1:995 ssl", "127.0.0.1:%d ssl" % secured)
        config = ("load_module /usr/lib/nginx/modules/ngx_mail_module.so;\ndaemon off;\nmaster_process off;\n"
                  "pid %s/nginx.pid;\nerror_log stderr;\nevents {}\n" % site.directory) + config
        nginx = Program(self, site, "nginx.conf", config, "nginx", "-p", site.directory, "-e", "stderr", "-c")
        nginx.wait_for_port(clear)
        site.nginx = nginx
        return site, clear, secured

    def ended(self, site, count):
        """The sessions of clients."""
        deadline = time.monotonic() + 10
        while True:
            found = [e for e in site.events("session_end") if e["protocol"] == "pop3" and e["address"]]
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def test_the_client_is_seen_through_it(self):
        site, clear, secured = self.behind_nginx(messages=[b"Subject: x\n\nthe body\n"])
        for port, stls, source in ((clear, True, "127.0.0.2"), (secured, False, "127.0.0.3")):
            with tls.TlsPop(port, stls=stls, source=source) as pop:
                pop.login()
                self.assertIn(b"the body\r\n", pop.command_multi("RETR 1"))
                pop.ok("QUIT")
        self.assertEqual([(e["peer"], e["why"]) for e in self.ended(site, 2)],
                         [("127.0.0.2", "quit"), ("127.0.0.3", "quit")])

    def test_a_wrong_password_may_be_tried_again(self):
        site, clear, secured = self.behind_nginx(failed_logins="3", auth_penalty_max_s="0")
        with tls.TlsPop(secured, source="127.0.0.5") as pop:
            pop.line()
            pop.ok("USER alice")
            self.assertEqual(pop.command("PASS wrong"), b"-ERR [AUTH] wrong name or password\r\n")
            pop.ok("USER alice")
            pop.ok("PASS secret")
        self.assertEqual(site.wait_for_events("login_failed")[0]["peer"], "127.0.0.5")
        with tls.TlsPop(secured) as pop:
            pop.line()
            for _ in range(3):
                pop.ok("USER alice")
                self.assertEqual(pop.command("PASS wrong"), b"-ERR [AUTH] wrong name or password\r\n")
            self.assertEqual(pop.rest(), b"")

    def test_odd_names_and_secrets_come_through(self):
        site, clear, secured = self.behind_nginx(auth_penalty_max_s="0")
        for n, secret in enumerate(("100% sure", "a b", "\"'%41", "\u00fcml\u00e4ut", "x" * 60, "%", "%%25")):
            name = "user%d" % n
            site.add_user(name, secret)
            with tls.TlsPop(secured) as pop:
                pop.line()
                pop.ok("USER " + name)
                pop.ok(b"PASS " + secret.encode())

    def test_sasl_plain_and_login(self):
        site, clear, secured = self.behind_nginx()
        with tls.TlsPop(secured) as pop:
            pop.line()
            pop.ok("AUTH PLAIN " + base64.b64encode(b"\0alice\0secret").decode())
        with tls.TlsPop(secured) as pop:
            pop.line()
            self.assertTrue(pop.command("AUTH LOGIN").startswith(b"+ "))
            self.assertTrue(pop.command(base64.b64encode(b"alice")).startswith(b"+ "))
            pop.ok(base64.b64encode(b"secret"))

    def test_apop(self):
        site, clear, secured = self.behind_nginx()
        with harness.Pop(clear) as pop:  # it shows no password
            stamp = re.search(rb"<[^>]*>", pop.line())[0]
            pop.ok("APOP alice " + hashlib.md5(stamp + harness.SECRET.encode()).hexdigest())
            pop.ok("STAT")

    def test_in_clear_it_is_refused(self):
        site, clear, secured = self.behind_nginx()
        with harness.Pop(clear) as pop:
            pop.line()
            # nginx itself (starttls on) asks only where it must not refuse at once
            said = pop.command("USER alice")
            if said.startswith(b"+OK"):
                said = pop.command("PASS secret")
            self.assertTrue(said.startswith(b"-ERR"), said)

    def test_maildrops_on_two_hosts(self):
        other = self.site(users=("bob",), messages=None, listener={"proxy_protocol": "on",
                          "proxy_networks": '{"127.0.0.1"}'})
        other.deliver([b"Subject: on the other host\n\nx\n"], "bob")
        site, clear, secured = self.behind_nginx()
        site.add_user("bob", harness.SECRET, "--backend", "127.0.0.1:%d" % other.port)
        with tls.TlsPop(secured) as pop:
            pop.login("bob")
            self.assertIn(b"on the other host", pop.command_multi("RETR 1"))
        with tls.TlsPop(secured) as pop:
            pop.login("alice")
            self.assertEqual(pop.stat()[0], 0)

    def test_nobody_asks_when_we_are_gone(self):
        site, clear, secured = self.behind_nginx()
        self.assertEqual(site.stop(), 0)
        with tls.TlsPop(secured) as pop:
            pop.line()
            pop.ok("USER alice")
            self.assertTrue(pop.command("PASS secret").startswith(b"-ERR"))


if __name__ == "__main__":
    unittest.main()
