"""`ringpost deliver` and `ringpost quota`: mail through a pipe, limits, exit codes a queue can trust."""
import json
import os
import subprocess
import threading
import time
import unittest

from harness import DOMAIN, RINGPOST, Case, normalised, on_the_wire, varied_messages

EX_USAGE, EX_DATAERR, EX_NOUSER, EX_TEMPFAIL, EX_NOPERM = 64, 65, 67, 75, 77
MESSAGE = b"From: bob@example.net\nSubject: hello\n\nHello,\n.\nAlice.\n"


class Deliveries(Case):
    def deliver(self, site, message, *args, code=0):
        done = site.ringpost("deliver", *args, input=message, check=False)
        self.assertEqual(done.returncode, code, done.stderr.decode())
        self.assertEqual(done.stdout, b"")
        if code == 0:
            self.assertEqual(done.stderr, b"")
        return done.stderr.decode()

    def stored(self, site, name="alice"):
        """All messages of a maildrop, as RETR gives them."""
        with site.session(name) as pop:
            count, _ = pop.stat()
            return [pop.command_multi("RETR %d" % n) for n in range(1, count + 1)]

    def usage(self, site, *args):
        out = site.ringpost("quota", "--json", *args).stdout.decode()
        return [json.loads(line) for line in out.splitlines()]


class Deliver(Deliveries):
    def test_a_message_is_there_at_once_and_whole(self):
        site = self.site()
        for sender in ("bob@example.net", "<bob@example.net>"):
            self.deliver(site, MESSAGE, "-f", sender, "alice@" + DOMAIN)
        head = b"Return-Path: <bob@example.net>\nDelivered-To: alice@example.org\n"
        self.assertEqual(self.stored(site), [on_the_wire(head + MESSAGE)] * 2)

    def test_any_octets_come_out_as_the_model_says(self):
        site = self.site()
        messages = varied_messages(33)
        for message in messages:
            self.deliver(site, message, "alice@" + DOMAIN)
        head = b"Delivered-To: alice@example.org\r\n"
        for got, message in zip(self.stored(site), messages, strict=True):
            self.assert_octets(got, on_the_wire(head + normalised(message)))

    def test_the_empty_sender_is_a_bounce(self):
        site = self.site()
        for sender in ("<>", ""):
            self.deliver(site, MESSAGE, "--from", sender, "alice@" + DOMAIN)
        for got in self.stored(site):
            self.assertIn(b"Return-Path: <>\r\nDelivered-To: alice@example.org\r\n", got)

    def test_header_lines_are_settings(self):
        site = self.site(add_return_path="no", add_delivered_to="no")
        self.deliver(site, MESSAGE, "-f", "bob@example.net", "alice@example.org")
        self.assertEqual(self.stored(site), [on_the_wire(MESSAGE)])

    def test_addresses_are_what_the_server_takes_them_for(self):
        site = self.site()
        self.deliver(site, MESSAGE, "ALICE+lists@Example.Org")
        self.deliver(site, MESSAGE, "alice")
        self.assertEqual(self.stored(site), [on_the_wire(b"Delivered-To: alice@example.org\n" + MESSAGE)] * 2)

    def test_sender_and_address_by_environment(self):
        site = self.site()
        for sender in ("bob@example.net", ""):
            done = site.ringpost("deliver", "-e", input=MESSAGE, check=False,
                                 env=dict(os.environ, SENDER=sender, RECIPIENT="Alice@example.org"))
            self.assertEqual((done.returncode, done.stderr), (0, b""))
        head = b"Return-Path: <%s>\nDelivered-To: alice@example.org\n"
        self.assertEqual(self.stored(site), [on_the_wire(head % s + MESSAGE) for s in (b"bob@example.net", b"")])
        for args in (["-e", "alice@example.org"], ["-e", "-f", "x@example.net"], ["-e"]):
            self.deliver(site, MESSAGE, *args, code=EX_USAGE)

    def test_all_get_it_once(self):
        site = self.site(users=("alice", "bob", "carol"))
        self.deliver(site, MESSAGE, "-f", "x@example.net", "carol@example.org", "alice@example.org",
                     "bob@example.org", "alice+again@example.org")
        for name in ("alice", "bob", "carol"):
            head = b"Return-Path: <x@example.net>\nDelivered-To: %s@example.org\n" % name.encode()
            self.assertEqual(self.stored(site, name), [on_the_wire(head + MESSAGE)])

    def test_who_is_unknown_or_disabled_is_refused_for_good(self):
        site = self.site()
        site.add_user("dora", "secret", "--disabled")
        self.assertIn("no such account", self.deliver(site, MESSAGE, "nobody@example.org", code=EX_NOUSER))
        self.assertIn("can be no account", self.deliver(site, MESSAGE, "a b@example.org", code=EX_NOUSER))
        self.assertIn("disabled", self.deliver(site, MESSAGE, "dora@example.org", code=EX_NOPERM))
        site.add_user("rita", "secret", "--read-only")
        self.assertIn("read-only", self.deliver(site, MESSAGE, "rita@example.org", code=EX_NOPERM))
        self.assertFalse(os.path.exists(os.path.join(site.spool, "mail")) and
                         os.listdir(os.path.join(site.spool, "mail")))

    def test_mail_goes_where_the_account_looks(self):
        site = self.site()
        site.add_user("info", "secret", "--maildrop", "alice@example.org")
        self.deliver(site, MESSAGE, "info@example.org", "alice@example.org")
        self.assertEqual(self.stored(site), [on_the_wire(b"Delivered-To: alice@example.org\n" + MESSAGE)])
        self.assertEqual([u["messages"] for u in self.usage(site, "--all")], [1, 1])

    def test_all_or_none(self):
        site = self.site(users=("alice", "bob"))
        site.add_user("full", "secret", "--quota-messages", "1")
        self.deliver(site, MESSAGE, "full@example.org")
        self.deliver(site, MESSAGE, "alice@example.org", "nobody@example.org", code=EX_NOUSER)
        # an answer that may change outweighs one that will not
        told = self.deliver(site, MESSAGE, "alice@example.org", "full@example.org", code=EX_TEMPFAIL)
        self.assertIn("full@example.org: over quota", told)
        self.assertIn("nobody has the message", told)
        self.assertEqual([u["messages"] for u in self.usage(site, "--all")], [0, 0, 1])
        self.assertEqual(self.stored(site), [])

    def test_wrong_use_is_told(self):
        site = self.site(start=False)
        self.deliver(site, MESSAGE, code=EX_USAGE)
        self.deliver(site, MESSAGE, "--nonsense", "alice@example.org", code=EX_USAGE)
        self.deliver(site, MESSAGE, *["a%d@example.org" % n for n in range(101)], code=EX_USAGE)
        self.deliver(site, MESSAGE, "-f", "a\r\nBcc: x", "alice@example.org", code=EX_DATAERR)
        self.deliver(site, b"", "alice@example.org", code=EX_DATAERR)

    def test_what_is_wrong_with_the_machine_bounces_nothing(self):
        site = self.site(start=False)
        os.rename(site.spool, site.spool + ".unmounted")
        self.deliver(site, MESSAGE, "alice@example.org", code=EX_TEMPFAIL)
        os.mkdir(site.spool)
        self.deliver(site, MESSAGE, "alice@example.org", code=EX_TEMPFAIL)
        os.rmdir(site.spool)
        os.rename(site.spool + ".unmounted", site.spool)
        with open(os.path.join(site.spool, "accounts.lmdb"), "r+b") as accounts:
            accounts.truncate(8192)
        self.deliver(site, MESSAGE, "alice@example.org", code=EX_TEMPFAIL)
        with open(site.config, "a") as config:
            config.write("nonsense = 1\n")
        self.deliver(site, MESSAGE, "alice@example.org", code=EX_TEMPFAIL)

    def test_a_damaged_maildrop_is_for_later(self):
        site = self.site(messages=[MESSAGE])
        log = os.path.join(site.maildrop_directory(), "log")
        with open(log, "r+b") as f:
            f.write(b"xxxxxxxx")
        self.assertIn("damaged", self.deliver(site, MESSAGE, "alice@example.org", code=EX_TEMPFAIL))

    def test_a_large_message_takes_little_memory(self):
        site = self.site()
        line = b"x" * 998 + b"\n"
        count = 100000
        process = subprocess.Popen([RINGPOST, "-c", site.config, "deliver", "alice@example.org"],
                                   stdin=subprocess.PIPE)
        process.stdin.write(b"Subject: large\n\n")
        for _ in range(count // 1000):
            process.stdin.write(line * 1000)
        process.stdin.close()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        self.assertLess(used.ru_maxrss, 24 << 10 if "asan" not in RINGPOST else 200 << 10)
        expected = normalised(b"Delivered-To: alice@example.org\nSubject: large\n\n") + b"x" * 998 + b"\r\n"
        with site.session() as pop:
            self.assertEqual(pop.stat(), (1, len(expected) + (count - 1) * 1000))
            self.assertEqual(pop.command_multi("TOP 1 1"),
                             b"+OK top of message follows\r\n" + expected + b".\r\n")

    def test_killed_in_the_middle_it_leaves_nothing(self):
        site = self.site()
        for wait in (0.0, 0.05, 0.2):
            process = subprocess.Popen([RINGPOST, "-c", site.config, "deliver", "alice@example.org"],
                                       stdin=subprocess.PIPE)
            process.stdin.write(MESSAGE + b"y\n" * 1000000)
            process.stdin.flush()
            time.sleep(wait)
            process.kill()
            process.wait()
            process.stdin.close()
        self.assertEqual(self.stored(site), [])
        left = [name for _, _, names in os.walk(site.spool) for name in names]
        self.assertEqual([n for n in left if n.startswith("draft")], [])

    def test_many_at_once_beside_the_server(self):
        site = self.site()
        numbers = range(40)

        def one(n):
            done = site.ringpost("deliver", "alice@example.org", input=b"Subject: %d\n\nbody\n" % n)
            codes.append(done.returncode)

        codes = []
        threads = [threading.Thread(target=lambda s=start: [one(n) for n in numbers[s::4]])
                   for start in range(4)]
        for thread in threads:
            thread.start()
        for _ in range(20):
            self.stored(site)
        for thread in threads:
            thread.join()
        self.assertEqual(codes, [0] * len(numbers))
        subjects = [m.split(b"\r\n")[2] for m in self.stored(site)]
        self.assertEqual(sorted(subjects), sorted(b"Subject: %d" % n for n in numbers))


class Quota(Deliveries):
    def test_usage_follows_every_delivery_and_quit(self):
        site = self.site()
        octets = len(normalised(b"Delivered-To: alice@example.org\n" + MESSAGE))
        nothing = {"address": "alice@example.org", "octets": 0, "quota_octets": None, "messages": 0,
                   "quota_messages": None}
        self.assertEqual(self.usage(site, "alice@example.org"), [nothing])
        for n in range(1, 4):
            self.deliver(site, MESSAGE, "alice@example.org")
            self.assertEqual(self.usage(site, "alice"), [nothing | {"octets": n * octets, "messages": n}])
        with site.session() as pop:
            pop.ok("DELE 2")
            self.assertEqual(self.usage(site, "alice")[0]["messages"], 3)
            pop.ok("QUIT")
        self.assertEqual(self.usage(site, "alice"), [nothing | {"octets": 2 * octets, "messages": 2}])
        with site.session() as pop:
            pop.ok("DELE 1")
            pop.ok("DELE 2")
            pop.ok("QUIT")
        self.assertEqual(self.usage(site, "--all"), [nothing])

    def test_the_limit_is_exact(self):
        octets = len(normalised(b"Delivered-To: alice@example.org\n" + MESSAGE))
        site = self.site()
        site.ringpost("user", "set", "alice@example.org", "--quota-octets", str(2 * octets))
        self.deliver(site, MESSAGE, "alice@example.org")
        self.deliver(site, MESSAGE + b"x", "alice@example.org", code=EX_TEMPFAIL)
        self.deliver(site, MESSAGE, "alice@example.org")
        self.deliver(site, b"\n", "alice@example.org", code=EX_TEMPFAIL)
        self.assertEqual(self.usage(site, "alice"),
                         [{"address": "alice@example.org", "octets": 2 * octets, "quota_octets": 2 * octets,
                           "messages": 2, "quota_messages": None}])
        with site.session() as pop:
            pop.ok("DELE 1")
            pop.ok("QUIT")
        self.deliver(site, MESSAGE, "alice@example.org")

    def test_the_domain_and_the_server_have_defaults(self):
        site = self.site(users=("alice",), start=False, quota_messages="1")
        with open(site.config, "a") as config:
            config.write('domain "example.net" { quota_messages = 2 quota_octets = 1M }\n')
        for address, *flags in (("bob@example.net",), ("carol@example.net", "--quota-messages", "none"),
                                ("dave@example.net", "--quota-messages", "3")):
            site.ringpost("user", "add", address, "--password-hash", "{PLAIN}x", *flags)
        self.assertEqual([(u["quota_messages"], u["quota_octets"]) for u in self.usage(site, "--all")],
                         [(1, None), (2, 1 << 20), (None, 1 << 20), (3, 1 << 20)])
        for address, count in (("alice@example.org", 1), ("bob@example.net", 2), ("dave@example.net", 3)):
            for _ in range(count):
                self.deliver(site, MESSAGE, address)
            self.deliver(site, MESSAGE, address, code=EX_TEMPFAIL)
        text = site.ringpost("quota", "alice@example.org", "carol@example.net").stdout.decode()
        octets = len(normalised(b"Delivered-To: alice@example.org\n" + MESSAGE))
        self.assertEqual(text, "alice@example.org\t%d\tnone\t1\t1\ncarol@example.net\t0\t1048576\t0\tnone\n"
                         % octets)

    def test_wrong_use_and_unknown_accounts_are_told(self):
        site = self.site(start=False)
        for args in ([], ["--all", "alice"], ["--nonsense"]):
            self.assertEqual(site.ringpost("quota", *args, check=False).returncode, EX_USAGE)
        done = site.ringpost("quota", "nobody@example.org", "alice@example.org", check=False)
        self.assertEqual(done.returncode, EX_NOUSER)
        self.assertIn(b"no account nobody@example.org", done.stderr)
        self.assertIn(b"alice@example.org\t0\tnone\t0\tnone\n", done.stdout)


if __name__ == "__main__":
    unittest.main()
