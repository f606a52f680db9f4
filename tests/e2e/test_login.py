"""Logins with real hashes: time tells nothing, the cache forgets at once, overload is temporary."""
import statistics
import threading
import time
import unittest

import harness


class Login(harness.Case):
    def site_with_hashes(self, **settings):
        """Accounts with yescrypt hashes, made as an operator would."""
        site = self.site(users=(), start=False, password_scheme='"yescrypt"', **settings)
        for name in ("alice", "bob"):
            site.ringpost("user", "add", "%s@%s" % (name, harness.DOMAIN), input=b"secret\n")
        return site.start()

    def attempt(self, site, name, secret):
        """(reply, seconds that PASS took)"""
        with site.pop() as pop:
            pop.line()
            pop.ok("USER " + name)
            started = time.monotonic()
            return pop.command("PASS " + secret), time.monotonic() - started

    def test_unknown_and_known_names_take_the_same_time(self):
        """PROTOCOL 12."""
        site = self.site_with_hashes()
        known, unknown, odd = [], [], []
        for _ in range(25):
            for name, times in (("alice", known), ("nobody", unknown), ("a@b@c", odd)):
                reply, seconds = self.attempt(site, name, "wrong")
                self.assertEqual(reply, b"-ERR [AUTH] wrong name or password\r\n")
                times.append(seconds)
        of_known = statistics.median(known)
        for times in (unknown, odd):
            self.assertLess(abs(statistics.median(times) - of_known), 0.3 * of_known)

    def test_a_good_login_is_remembered_and_a_changed_password_counts_at_once(self):
        site = self.site_with_hashes()
        _, first = self.attempt(site, "alice", "secret")
        again = statistics.median(self.attempt(site, "alice", "secret")[1] for _ in range(20))
        self.assertLess(again, first)
        site.ringpost("user", "passwd", "alice@example.org", input=b"changed\n")
        for _ in range(4):  # both shards
            self.assertTrue(self.attempt(site, "alice", "secret")[0].startswith(b"-ERR [AUTH] "))
            self.assertTrue(self.attempt(site, "alice", "changed")[0].startswith(b"+OK"))
        site.ringpost("user", "set", "alice@example.org", "--disabled")
        for _ in range(4):
            self.assertTrue(self.attempt(site, "alice", "changed")[0].startswith(b"-ERR [AUTH] "))
        site.ringpost("user", "del", "bob@example.org")
        self.assertTrue(self.attempt(site, "bob", "secret")[0].startswith(b"-ERR [AUTH] "))

    def test_a_new_account_can_log_in_while_the_server_runs(self):
        site = self.site_with_hashes()
        self.assertTrue(self.attempt(site, "carol", "secret")[0].startswith(b"-ERR [AUTH] "))
        site.add_user("carol")
        self.assertTrue(self.attempt(site, "carol", "secret")[0].startswith(b"+OK"))

    def test_hashing_stops_nobody_who_has_logged_in(self):
        site = self.site_with_hashes(shards="1", auth_workers="1")
        quick = site.session()
        ends = time.monotonic() + 2
        replies = []

        def guess():
            while time.monotonic() < ends:
                replies.append(self.attempt(site, "bob", "wrong")[0])

        guessers = [threading.Thread(target=guess) for _ in range(8)]
        for t in guessers:
            t.start()
        waits = []
        while time.monotonic() < ends:
            started = time.monotonic()
            quick.ok("NOOP")
            waits.append(time.monotonic() - started)
            time.sleep(0.002)
        for t in guessers:
            t.join()
        self.assertTrue(all(r.startswith(b"-ERR [AUTH] ") for r in replies), set(replies))
        self.assertLess(statistics.median(waits), 0.02)

    def test_more_logins_than_may_wait_are_temporary_failures(self):
        site = self.site_with_hashes(auth_workers="1", auth_queue="1", shards="1")
        pops = []
        for _ in range(12):
            pop = site.pop()
            self.addCleanup(pop.close)
            pop.line()
            pop.ok("USER alice")
            pops.append(pop)
        for pop in pops:
            pop.send("PASS wrong\r\n")
        replies = [pop.line() for pop in pops]
        self.assertTrue(any(r.startswith(b"-ERR [SYS/TEMP] ") for r in replies), replies)
        self.assertTrue(any(r.startswith(b"-ERR [AUTH] ") for r in replies), replies)
        self.assertEqual({r[:6] for r in replies}, {b"-ERR ["})
        for pop in pops:  # and each of them may try again
            pop.ok("USER alice")


if __name__ == "__main__":
    unittest.main()
