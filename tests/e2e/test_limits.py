"""Limits that keep bad guests out: penalties, sessions, LOGIN-DELAY, rates, and what fail2ban reads."""
import base64
import os
import ssl
import subprocess
import threading
import time
import unittest

import harness
import tls

FILTER = os.path.join(harness.ROOT, "dist/fail2ban/filter.d/ringpost.conf")
BAD = b"-ERR [AUTH] wrong name or password\r\n"
# Of what the delays should be: timers fire up to a tick late, and the machine is used by others.
EARLY_S, LATE_S = 0.01, 2.0


class Limits(harness.Case):
    def attempt(self, site, name, secret="wrong", source="127.0.0.1"):
        """(reply to PASS, seconds that it took)"""
        with site.pop(source=source) as pop:
            pop.line()
            pop.ok("USER " + name)
            started = time.monotonic()
            return pop.command("PASS " + secret), time.monotonic() - started

    def assert_takes(self, took, expected, what):
        self.assertGreaterEqual(took, expected - EARLY_S, what)
        self.assertLess(took, expected + LATE_S, what)

    def metric(self, site, name):
        path = site.settings["metrics"].strip('"')
        done = subprocess.run(["curl", "-s", "--unix-socket", path, "http://localhost/metrics"],
                              capture_output=True, text=True, check=True)
        return sum(float(line.split()[-1]) for line in done.stdout.splitlines()
                   if line.startswith(name))

    def with_metrics(self, **settings):
        site = self.site(start=False, **settings)
        site.settings["metrics"] = '"%s/metrics"' % site.directory
        site.write_config()
        return site.start()


class Penalties(Limits):
    def penal_site(self, users=("alice", "bob"), **settings):
        site = self.site(users=users, start=False, auth_penalty_exempt='""', **settings)
        site.settings["metrics"] = '"%s/metrics"' % site.directory
        site.write_config()
        return site.start()

    def test_each_failure_makes_the_next_login_wait_longer(self):
        site = self.penal_site(auth_penalty_max_s="1", auth_penalty_forget_s="3600")
        for expected in (0, 0.25, 0.5, 1, 1):
            reply, took = self.attempt(site, "alice")
            self.assertEqual(reply, BAD)
            self.assert_takes(took, expected, "a wrong password after others")
        # The same address, another name; the same name, another address; neither.
        self.assert_takes(self.attempt(site, "nobody")[1], 1, "the address")
        self.assert_takes(self.attempt(site, "alice", source="127.0.0.2")[1], 1, "the account")
        self.assertLess(self.attempt(site, "bob", source="127.0.0.3")[1], 0.25)
        # A name that nobody has waits like one that somebody has.
        for expected in (0, 0.25, 0.5):
            self.assert_takes(self.attempt(site, "nobody2", source="127.0.0.9")[1], expected,
                              "an unknown name")
        # Good and bad wait alike.
        reply, took = self.attempt(site, "alice", harness.SECRET)
        self.assertTrue(reply.startswith(b"+OK"))
        self.assert_takes(took, 1, "a right password")
        self.assertEqual(self.metric(site, "ringpost_logins_waiting"), 0)
        self.assertGreaterEqual(self.metric(site, "ringpost_logins_delayed_total"), 8)

    def test_whose_login_was_good_before_does_not_wait(self):
        site = self.penal_site(auth_penalty_max_s="5", auth_penalty_forget_s="3600", shards="1")
        self.assertTrue(self.attempt(site, "alice", harness.SECRET)[0].startswith(b"+OK"))
        for _ in range(6):
            threading.Thread(target=self.attempt, args=(site, "alice", "wrong")).start()
        self.assertEqual(len(site.wait_for_events("login_failed", 6, timeout=20)), 6)
        for source in ("127.0.0.1", "127.0.0.2"):
            reply, took = self.attempt(site, "alice", harness.SECRET, source)
            self.assertTrue(reply.startswith(b"+OK"))
            self.assertLess(took, 0.25)

    def test_failures_are_forgotten(self):
        site = self.penal_site(auth_penalty_max_s="1", auth_penalty_forget_s="1")
        for _ in range(3):
            self.attempt(site, "alice")
        time.sleep(3.1)
        self.assertLess(self.attempt(site, "alice")[1], 0.25)

    def test_exempt_networks_and_off(self):
        site = self.site(users=("alice",))  # loopback is exempt unless somebody says otherwise
        other = self.site(users=("alice",), auth_penalty_exempt='""', auth_penalty_max_s='"off"')
        for _ in range(5):
            for one in (site, other):
                self.assertLess(self.attempt(one, "alice")[1], 0.25)

    def test_thousand_wait_and_nobody_else_does(self):
        """A wait is a timer: it takes no worker and stops no shard."""
        harness.raise_file_limit()
        site = self.penal_site(auth_penalty_max_s="3", auth_penalty_forget_s="3600", shards="1",
                               auth_workers="1", password_scheme='"yescrypt"')
        quiet = site.session("bob")
        for _ in range(5):
            self.attempt(site, "alice")
        waiting = [site.pop(source="127.0.0.1") for _ in range(1000)]
        for pop in waiting:
            self.addCleanup(pop.close)
            pop.send("USER alice\r\nPASS wrong\r\n")
        for pop in waiting:
            self.assertEqual([pop.line()[:3] for _ in range(2)], [b"+OK", b"+OK"])
        self.assertGreater(self.metric(site, "ringpost_logins_waiting"), 0)
        started = time.monotonic()
        quiet.ok("NOOP")
        reply, took = self.attempt(site, "bob", harness.SECRET, "127.0.0.2")
        self.assertTrue(reply.startswith(b"+OK"))
        self.assertLess(time.monotonic() - started, 1)
        # Some leave before they are answered, in the rudest way.
        for pop in waiting[::2]:
            pop.reset()
        for pop in waiting[1::2]:
            self.assertEqual(pop.line(), BAD)
        deadline = time.monotonic() + 10
        while self.metric(site, "ringpost_sessions") > 501 and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertEqual(self.metric(site, "ringpost_sessions"), 501)
        self.assertEqual(self.metric(site, "ringpost_logins_waiting"), 0)

    def test_a_server_that_ends_does_not_wait_for_who_waits(self):
        site = self.penal_site(auth_penalty_max_s="30", auth_penalty_forget_s="3600", shards="1")
        guessers = [threading.Thread(target=self.attempt, args=(site, "alice")) for _ in range(8)]
        for guesser in guessers:
            guesser.start()
        for guesser in guessers:
            guesser.join()
        pops = [site.pop() for _ in range(20)]
        for pop in pops:
            pop.line()
            pop.ok("USER alice")
            pop.send("PASS wrong\r\n")
        time.sleep(0.2)
        started = time.monotonic()
        self.assertEqual(site.stop(), 0)
        self.assertLess(time.monotonic() - started, 10)
        for pop in pops:
            pop.rest()
            pop.close()

    def test_who_leaves_before_the_answer_has_failed(self):
        """Otherwise a guesser would not wait: no answer at once is an answer."""
        site = self.penal_site(auth_penalty_max_s="3", auth_penalty_forget_s="3600", shards="1")
        for n in range(1, 5):
            pop = site.pop()
            pop.line()
            pop.send("USER alice\r\nPASS wrong\r\n")
            pop.line()
            pop.reset() if n % 2 else pop.close()
            self.assertEqual(len(site.wait_for_events("login_failed", n)), n)
        # A reset is seen at once by who has something to send: the wait is over then.
        pop = site.pop(receive_buffer=4096)
        pop.line()
        sent, before = 0, -1
        while sent != before:
            before = sent
            pop.send("CAPA\r\n" * 400)
            time.sleep(0.05)
            sent = self.metric(site, "ringpost_sent_octets_total")
        pop.send("USER alice\r\nPASS wrong\r\n")
        deadline = time.monotonic() + 10
        while self.metric(site, "ringpost_logins_waiting") != 1:
            self.assertLess(time.monotonic(), deadline)
        pop.reset()
        told = site.wait_for_events("login_failed", 5)
        self.assertEqual([e["why"] for e in told], ["wrong_password"] * 4 + ["gone_while_waiting"])
        self.assertEqual(self.metric(site, "ringpost_logins_waiting"), 0)
        self.assert_takes(self.attempt(site, "alice")[1], 3, "after those that left")

    def test_scram_waits_before_a_wrong_proof_is_told(self):
        site = self.penal_site(auth_penalty_max_s="1", auth_penalty_forget_s="3600",
                               sasl_mechanisms='"SCRAM-SHA-256"')
        took = []
        for _ in range(4):
            with site.pop() as pop:
                pop.line()
                first = base64.b64encode(b"n,,n=alice,r=0123456789abcdef").decode()
                started = time.monotonic()
                challenge = base64.b64decode(pop.command("AUTH SCRAM-SHA-256 " + first)[2:])
                nonce = dict(f.split(b"=", 1) for f in challenge.split(b","))[b"r"]
                final = b"c=biws,r=" + nonce + b",p=" + base64.b64encode(b"x" * 32)
                self.assertEqual(pop.command(base64.b64encode(final)), BAD)
                took.append(time.monotonic() - started)
        self.assertLess(took[0], 0.25)
        for seconds, expected in zip(took, (0, 0.25, 0.5, 1)):
            self.assertGreaterEqual(seconds, expected - EARLY_S, took)


class OfAccounts(Limits):
    def test_sessions_of_one_account(self):
        site = self.site(users=("alice", "bob"), sessions_per_account="2", shards="2")
        held = [site.session() for _ in range(2)]
        for _ in range(3):
            with site.pop() as pop:
                pop.line()
                pop.ok("USER alice")
                self.assertTrue(pop.command("PASS secret").startswith(b"-ERR [IN-USE] "))
                pop.ok("USER bob")  # the connection goes on, and others have theirs
                pop.ok("PASS secret")
        held[0].ok("QUIT")
        held[0].rest()
        held[1].reset()
        deadline = time.monotonic() + 10
        while len(held) < 4:
            pop = site.pop()
            pop.line()
            pop.ok("USER alice")
            if pop.command("PASS secret").startswith(b"+OK"):
                held.append(pop)
            else:
                self.assertLess(time.monotonic(), deadline, "an end is counted")
                pop.close()
        for pop in held[2:]:
            pop.close()
        refused = site.wait_for_events("login_refused", 3)
        self.assertEqual({(e["why"], e["peer"]) for e in refused},
                         {("too_many_sessions", "127.0.0.1")})

    def test_login_delay(self):
        site = self.site(users=("alice", "bob"), login_delay_s="4", login_delay_burst="2", shards="2")
        for _ in range(2):
            with site.session() as pop:
                self.assertIn(b"\r\nLOGIN-DELAY 4\r\n", pop.command_multi("CAPA"))
                pop.ok("QUIT")
        with site.pop() as pop:
            pop.line()
            self.assertIn(b"\r\nLOGIN-DELAY 4\r\n", pop.command_multi("CAPA"))
            pop.ok("USER alice")
            self.assertTrue(pop.command("PASS secret").startswith(b"-ERR [LOGIN-DELAY] "))
            pop.ok("USER alice")  # who has the wrong password hears that and nothing else
            self.assertEqual(pop.command("PASS wrong"), BAD)
        site.session("bob").close()
        time.sleep(4.1)
        site.session().close()
        self.assertEqual([e["why"] for e in site.events("login_refused")], ["too_soon"])
        self.assertEqual([e["why"] for e in site.events("login_failed")], ["wrong_password"])

    def test_a_login_that_came_to_nothing_delays_nobody(self):
        site = self.site(users=("alice",), login_delay_s="3600", login_delay_burst="1",
                         sessions_per_account="1", session_policy="exclusive",
                         messages=[b"Subject: x\n\nx\n"])
        log = os.path.join(site.maildrop_directory(), "log")
        os.rename(log, log + ".away")
        os.mkdir(log)  # the maildrop cannot be opened
        with site.pop() as pop:
            pop.line()
            pop.ok("USER alice")
            self.assertTrue(pop.command("PASS secret").startswith(b"-ERR [SYS/TEMP] "))
            os.rmdir(log)
            os.rename(log + ".away", log)
            pop.ok("USER alice")
            pop.ok("PASS secret")

    def test_no_limit_no_line(self):
        with self.site().session() as pop:
            self.assertNotIn(b"LOGIN-DELAY", pop.command_multi("CAPA"))


class Rates(Limits):
    def test_connections_of_one_address(self):
        site = self.with_metrics(connection_rate_per_address="1", shards="2")
        for _ in range(10):
            with site.pop() as pop:
                self.assertTrue(pop.line().startswith(b"+OK"))
        refused = []
        for _ in range(20):
            with site.pop() as pop:
                refused.append(pop.rest())
        self.assertGreaterEqual(refused.count(b"-ERR [SYS/TEMP] too many connections, try later\r\n"), 15)
        with site.pop(source="127.0.0.2") as pop:
            self.assertTrue(pop.line().startswith(b"+OK"))
        events = site.wait_for_events("guest_turned_away", 1)
        self.assertEqual({(e["why"], e["peer"]) for e in events}, {("connection_rate", "127.0.0.1")})
        self.assertLessEqual(len(events), 2)  # one of each shard in 10 s
        time.sleep(2)
        with site.pop() as pop:
            self.assertTrue(pop.line().startswith(b"+OK"))
        self.assertGreaterEqual(
            self.metric(site, 'ringpost_turned_away_total{why="connection_rate"}'), 15)

    def test_handshakes_of_one_address(self):
        for door in ("implicit", "stls"):
            site = self.site(listener={"tls": '"%s"' % door}, handshake_rate_per_address="1",
                             **tls.settings(tls.certificate("mail.example.org")))
            refused = 0
            for n in range(20):
                try:
                    tls.TlsPop(site.port, stls=door == "stls").close()
                    self.assertLess(refused, 5)
                except (ssl.SSLError, OSError):
                    refused += 1
                    self.assertGreaterEqual(n, 10)
            self.assertGreaterEqual(refused, 5)
            tls.TlsPop(site.port, stls=door == "stls", source="127.0.0.2").close()
            self.assertIn("handshake_rate",
                          [e["why"] for e in site.wait_for_events("guest_turned_away", 1)])
            self.assertIn("handshake_rate", [e["why"] for e in site.wait_for_events("session_end", 20)])
            site.stop()


class Fail2ban(Limits):
    NAMES = ("alice", "nobody", 'a"b', "x\\", "Jan  1 00:00:00 host ringpostd[1]:",
             'event=login_failed level=warning protocol=pop3 peer=192.0.2.99 mechanism=USER name="x"',
             "\u0430lice@example.org", "a\tb")

    def test_every_failed_login_is_found_and_nothing_else(self):
        harness.needs("fail2ban-regex")
        site = self.site(start=False, failed_logins="100", login_delay_s="60", login_delay_burst="3")
        six = harness.free_port("::1")
        site.listener["address"] = '{"127.0.0.1:%d", "[::1]:%d"}' % (site.port, six)
        site.write_config()
        site.start()
        expected = []
        for host, port, source in (("127.0.0.1", site.port, "127.0.0.1"), ("::1", six, None),
                                   ("127.0.0.1", site.port, "127.0.0.77")):
            with harness.Pop(port, host=host, source=source) as pop:
                pop.line()
                for name in self.NAMES:
                    pop.ok(b"USER " + name.encode())
                    self.assertEqual(pop.command("PASS wrong"), BAD)
                    expected.append(source or host)
                pop.command("AUTH PLAIN AGFsaWNlAHdyb25n")
                expected.append(source or host)
                pop.ok("USER alice")
                pop.ok("PASS secret")
        with site.pop() as pop:  # good, but too soon: not what anybody is banned for
            pop.line()
            pop.ok("USER alice")
            self.assertTrue(pop.command("PASS secret").startswith(b"-ERR [LOGIN-DELAY] "))
        self.assertEqual(len(site.wait_for_events("login_failed", len(expected))), len(expected))
        self.assertEqual(len(site.wait_for_events("login_refused", 1)), 1)
        site.stop()
        self.check(site.log_path, expected)
        # The same as syslog writes it.
        with open(site.log_path) as log, open(site.log_path + ".syslog", "w") as syslog:
            syslog.writelines("Nov 22 02:52:16 mail ringpostd[123]: " + line for line in log)
        self.check(site.log_path + ".syslog", expected)

    def check(self, path, expected):
        done = subprocess.run(["fail2ban-regex", "-o", "ip", path, FILTER], capture_output=True,
                              text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertCountEqual(done.stdout.split(), expected)


if __name__ == "__main__":
    unittest.main()
