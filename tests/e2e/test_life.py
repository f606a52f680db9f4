"""The life of the server: start, refusals, privileges, shards, limits, drain."""
import os
import pwd
import random
import re
import signal
import socket
import stat
import subprocess
import time
import unittest

import harness

MESSAGES = harness.varied_messages(10, seed=9)


class Start(harness.Case):
    def refused(self, site, *words, code=None):
        done = site.ringpost(program=harness.RINGPOSTD, check=False)
        said = done.stderr.decode()
        self.assertNotEqual(done.returncode, 0)
        if code is not None:
            self.assertEqual(done.returncode, code, said)
        self.assertEqual(len(said.strip().splitlines()), 1, said)
        for word in words:
            self.assertIn(word, said)

    def test_check_prints_settings_that_load_again(self):
        site = self.site(start=False, idle_timeout_s="1234")
        first = site.ringpost("--check", program=harness.RINGPOSTD).stdout.decode()
        self.assertRegex(first, r"(?m)^idle_timeout_s = 1234$")
        self.assertRegex(first, r"(?m)^drain_timeout_s = 30$")
        with open(site.config, "w") as f:
            f.write(first)
        self.assertEqual(site.ringpost("--check", program=harness.RINGPOSTD).stdout.decode(), first)

    def test_wrong_settings_name_file_line_and_what_is_allowed(self):
        site = self.site(start=False)
        with open(site.config) as f:
            good = f.read()
        for line, words in (("shards = 5000", ("1024",)),
                            ("idle_timeout_s = 10", ("600", "86400")),
                            ("no_such_setting = 1", ("no_such_setting",)),
                            ('session_policy = "other"', ("shared", "exclusive")),
                            ("sqpoll = perhaps", ("yes", "no")),
                            ('greeting = "<1@x>"', ("greeting",))):
            with open(site.config, "w") as f:
                f.write("# a comment\n" + line + "\n" + good)
            done = site.ringpost("--check", program=harness.RINGPOSTD, check=False)
            said = done.stderr.decode()
            self.assertEqual(done.returncode, 78, line)
            self.assertIn("%s:2:" % site.config, said, line)
            for word in words:
                self.assertIn(word, said, line)

    def test_no_file_no_listener(self):
        site = self.site(start=False)
        with open(site.config, "w") as f:
            f.write('spool = "%s"\n' % site.spool)
        done = site.ringpost("--check", program=harness.RINGPOSTD, check=False)
        self.assertEqual(done.returncode, 78)
        os.unlink(site.config)
        done = site.ringpost("--check", program=harness.RINGPOSTD, check=False)
        self.assertEqual(done.returncode, 78)
        self.assertIn(site.config, done.stderr.decode())

    def test_a_spool_that_is_not_there(self):
        site = self.site(users=(), start=False)
        self.refused(site, site.spool)

    def test_a_spool_without_its_marker_is_not_mounted(self):
        site = self.site(start=False, messages=MESSAGES)
        os.unlink(os.path.join(site.spool, "ringpost-spool"))
        self.refused(site, site.spool, "mounted")

    def test_a_port_that_is_taken(self):
        site = self.site(start=False)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", site.port))
            taken.listen()
            self.refused(site, str(site.port), "in use")

    def test_a_user_that_does_not_exist(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        site = self.site(start=False)
        site.settings["user"] = '"no-such-user"'
        site.write_config()
        self.refused(site, "no-such-user")

    def test_it_becomes_the_unprivileged_user(self):
        if os.geteuid() != 0:
            self.skipTest("needs root")
        nobody = pwd.getpwnam("nobody")
        site = self.site(start=False, messages=MESSAGES)
        site.settings["user"] = '"nobody"'
        site.write_config()
        for folder, _, files in os.walk(site.spool):
            for name in [folder] + [os.path.join(folder, f) for f in files]:
                os.chown(name, nobody.pw_uid, nobody.pw_gid)
        site.start()
        with open("/proc/%d/status" % site.process.pid) as f:
            status = f.read()
        self.assertRegex(status, r"(?m)^Uid:(\s+%d){4}$" % nobody.pw_uid)
        self.assertRegex(status, r"(?m)^CapEff:\s+0+$")
        self.assertRegex(status, r"(?m)^NoNewPrivs:\s+1$")
        pop = site.session()
        self.assert_octets(pop.command_multi("RETR 1"), harness.on_the_wire(MESSAGES[0]))
        pop.ok("DELE 1")
        pop.ok("QUIT")
        self.assertEqual(site.session().stat()[0], 9)

    def test_ipv6_beside_ipv4(self):
        site = self.site(start=False, messages=MESSAGES)
        port6 = harness.free_port("::1")
        with open(site.config) as f:
            text = f.read()
        with open(site.config, "w") as f:
            f.write(text.replace('address = "127.0.0.1:%d"' % site.port,
                                 'address = {"127.0.0.1:%d", "[::1]:%d"}' % (site.port, port6)))
        site.start()
        with harness.Pop(port6, host="::1") as pop:
            pop.login().ok("QUIT")
            pop.rest()
        event, = site.wait_for_events("session_end")
        self.assertEqual(event["peer"], "::1")
        self.assertEqual(site.session().stat()[0], 10)

    def test_files_of_the_spool_are_private(self):
        site = self.site(messages=MESSAGES)
        for folder, _, files in os.walk(site.spool):
            for name in [folder] + [os.path.join(folder, f) for f in files]:
                self.assertEqual(stat.S_IMODE(os.stat(name).st_mode) & 0o077, 0, name)


class Shards(harness.Case):
    def test_connections_spread_evenly(self):
        """SO_REUSEPORT: a few hundred sessions, each shard gets between 35 and 65 of a hundred."""
        site = self.site(shards="2")
        for _ in range(400):
            with site.pop() as pop:
                pop.line()
                pop.send("QUIT\r\n")
                pop.rest()
        events = site.wait_for_events("session_end", 400)
        self.assertEqual(len(events), 400)
        share = sum(e["shard"] == "0" for e in events) / 400
        self.assertGreater(share, 0.35)
        self.assertLess(share, 0.65)

    def test_one_shard_and_four(self):
        for shards in ("1", "4"):
            site = self.site(messages=MESSAGES, shards=shards)
            for _ in range(20):
                site.session().ok("QUIT")
            used = {e["shard"] for e in site.wait_for_events("session_end", 20)}
            self.assertLessEqual(len(used), int(shards))
            site.stop()

    def test_sqpoll(self):
        site = self.site(messages=MESSAGES, sqpoll="yes", shards="1")
        pop = site.session()
        for n, raw in enumerate(MESSAGES, 1):
            self.assert_octets(pop.command_multi("RETR %d" % n), harness.on_the_wire(raw))
        pop.ok("QUIT")


class Limits(harness.Case):
    def greeting(self, site, **how):
        pop = site.pop(**how)
        self.addCleanup(pop.close)
        return pop, pop.line()

    def test_connections_in_all(self):
        site = self.site(connections="5")
        held = [self.greeting(site) for _ in range(5)]
        self.assertTrue(all(line.startswith(b"+OK") for _, line in held))
        pop, line = self.greeting(site)
        self.assertTrue(line.startswith(b"-ERR [SYS/TEMP] "), line)
        self.assertEqual(pop.rest(), b"")
        held[0][0].ok("QUIT")
        held[0][0].rest()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            pop, line = self.greeting(site)
            if line.startswith(b"+OK"):
                break
            pop.close()
        self.assertTrue(line.startswith(b"+OK"), line)

    def test_connections_per_address(self):
        site = self.site(connections_per_address="3")
        held = [self.greeting(site, source="127.0.0.7") for _ in range(3)]
        self.assertTrue(all(line.startswith(b"+OK") for _, line in held))
        pop, line = self.greeting(site, source="127.0.0.7")
        self.assertTrue(line.startswith(b"-ERR "), line)
        self.assertEqual(pop.rest(), b"")
        self.assertTrue(self.greeting(site, source="127.0.0.8")[1].startswith(b"+OK"))

    def test_login_deadline(self):
        site = self.site(login_deadline_s="5", messages=MESSAGES)
        slow, line = self.greeting(site)
        quick = site.session()
        started = time.monotonic()
        for _ in range(12):  # NOOPs do not move it
            time.sleep(0.25)
            slow.send("NOOP\r\n")
        slow.rest()
        took = time.monotonic() - started
        self.assertGreater(took, 4)
        self.assertLess(took, 9)
        event = site.wait_for_events("session_end")[0]
        self.assertEqual(event["why"], "login_deadline")
        time.sleep(1)
        self.assertEqual(quick.stat()[0], 10)  # who has logged in is not meant

    def test_garbage_of_many_kinds_never_ends_the_server(self):
        site = self.site(messages=MESSAGES)
        r = random.Random(77)
        for turn in range(150):
            with site.pop() as pop:
                try:
                    if turn % 3 == 0:
                        pop.send("USER alice\r\nPASS secret\r\n")
                    pop.send(bytes(r.randrange(256) for _ in range(r.randrange(1, 4000))))
                    if turn % 5 == 0:
                        pop.reset()
                except (BrokenPipeError, ConnectionResetError):
                    pass
        self.assertEqual(site.session().stat()[0], 10)


class Drain(harness.Case):
    def test_a_running_session_finishes_and_new_ones_are_refused(self):
        site = self.site(messages=MESSAGES)
        pop, idle = site.session(), site.pop()
        idle.line()
        pop.ok("DELE 1")
        site.process.send_signal(signal.SIGTERM)
        site.wait_for_events("server_drains")
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            try:
                site.pop().close()
                time.sleep(0.02)
            except ConnectionRefusedError:
                break
        self.assertRaises(ConnectionRefusedError, site.pop)
        self.assertEqual(idle.rest(), b"")  # who has not logged in is sent away
        self.assert_octets(pop.command_multi("RETR 2"), harness.on_the_wire(MESSAGES[1]))
        pop.ok("QUIT")
        self.assertEqual(site.process.wait(10), 0)
        site.stop()
        site.start()
        self.assertEqual(site.session().stat()[0], 9)

    def test_the_drain_has_an_end(self):
        site = self.site(messages=MESSAGES, drain_timeout_s="1")
        pop = site.session()
        pop.ok("DELE 1")
        started = time.monotonic()
        self.assertEqual(site.stop(), 0)
        self.assertLess(time.monotonic() - started, 6)
        self.assertEqual(pop.rest(), b"")
        site.start()
        self.assertEqual(site.session().stat()[0], 10)

    def test_sigint_and_sighup(self):
        site = self.site(messages=MESSAGES)
        site.process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        self.assertEqual(site.session().stat()[0], 10)
        site.process.send_signal(signal.SIGINT)
        self.assertEqual(site.process.wait(10), 0)

    def test_drain_under_load(self):
        """Thousands of octets in flight on many connections: every reply ends whole or not at all."""
        big = [b"Subject: b\n\n" + b"z" * 900 + b"\n" + (b"y" * 70 + b"\n") * 20000]
        site = self.site(messages=big)
        wanted = harness.on_the_wire(big[0])
        pops = [site.session() for _ in range(30)]
        for pop in pops:
            pop.send("RETR 1\r\nQUIT\r\n")
        site.process.send_signal(signal.SIGTERM)
        for pop in pops:
            self.assert_octets(pop.exactly(len(wanted)), wanted)
            self.assertTrue(pop.line().startswith(b"+OK"))
        self.assertEqual(site.process.wait(10), 0)


class Damage(harness.Case):
    def login_reply(self, site):
        with site.pop() as pop:
            pop.line()
            pop.ok("USER alice")
            return pop.command("PASS secret")

    def damaged(self, change, messages=MESSAGES):
        site = self.site(messages=messages)
        site.session().ok("QUIT")
        site.stop()
        change(site.maildrop_directory())
        site.start()
        return site

    def overwrite(self, path, offset, octets):
        with open(path, "r+b") as f:
            f.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
            f.write(octets)

    def test_a_log_without_its_header(self):
        def change(d):
            self.overwrite(os.path.join(d, "log"), 0, b"\xff" * 64)
        site = self.damaged(change)
        self.assertTrue(self.login_reply(site).startswith(b"-ERR [SYS/TEMP] "))
        self.assertEqual(len(site.wait_for_events("maildrop_unavailable")), 1)

    def test_a_log_that_is_shorter_than_its_index_says(self):
        def change(d):
            path = os.path.join(d, "log")
            os.truncate(path, os.path.getsize(path) // 2)
        self.assertTrue(self.login_reply(self.damaged(change)).startswith(b"-ERR [SYS/TEMP] "))

    def test_a_log_that_is_gone_though_its_index_is_there(self):
        def change(d):
            os.unlink(os.path.join(d, "log"))
        self.assertTrue(self.login_reply(self.damaged(change)).startswith(b"-ERR [SYS/TEMP] "))

    def test_any_flipped_octet_of_the_index_loses_nothing(self):
        """It is rebuilt from the log, or the login fails: never a shorter list."""
        site = self.site(messages=MESSAGES)
        wanted = site.session().listing("UIDL")
        site.stop()
        index = os.path.join(site.maildrop_directory(), "index")
        with open(index, "rb") as f:
            good = f.read()
        r = random.Random(4)
        for at in [0, 8, 20, len(good) - 1] + [r.randrange(len(good)) for _ in range(20)]:
            with open(index, "r+b") as f:
                f.seek(at)
                f.write(bytes([good[at] ^ 0xFF]))
            site.start()
            self.assertEqual(site.session().listing("UIDL"), wanted, "octet %d" % at)
            site.stop()
            with open(index, "wb") as f:
                f.write(good)

    def test_an_index_that_is_missing_empty_or_cut_loses_nothing(self):
        site = self.site(messages=MESSAGES)
        wanted = site.session().listing("UIDL")
        site.stop()
        index = os.path.join(site.maildrop_directory(), "index")
        for change in (os.unlink, lambda p: open(p, "w").close(),
                       lambda p: os.truncate(p, os.path.getsize(p) // 2),
                       lambda p: os.truncate(p, os.path.getsize(p) - 1)):
            change(index)
            site.start()
            pop = site.session()
            self.assertEqual(pop.listing("UIDL"), wanted)
            self.assert_octets(pop.command_multi("RETR 10"), harness.on_the_wire(MESSAGES[9]))
            pop.ok("QUIT")
            site.stop()

    def test_a_torn_tail_of_the_log_costs_nothing(self):
        """What a power cut leaves behind the last whole record was never acknowledged."""
        site = self.site(messages=MESSAGES)
        wanted = site.session().listing("UIDL")
        site.stop()
        log = os.path.join(site.maildrop_directory(), "log")
        for tail in (b"\0" * 5000, b"garbage" * 99, open(log, "rb").read()[64:700]):
            with open(log, "ab") as f:
                f.write(tail)
            site.start()
            self.assertEqual(site.session().listing("UIDL"), wanted)
            site.stop()
        site.start()
        site.deliver(MESSAGES[:1])
        listing = site.session().listing("UIDL")
        self.assertEqual(listing[:10], wanted)
        self.assertEqual(len(listing), 11)

    def test_a_damaged_message_is_never_sent(self):
        """A bit of each of two messages, a small one and one that a worker checks: these are
        refused, all others come octet for octet; without the check they go out as they lie."""
        messages = MESSAGES + [b"Subject: large\n\n" + b"0123456789abcdef\n" * 60000]
        def change(d):
            path = os.path.join(d, "log")
            with open(path, "rb") as f:
                log = f.read()
            for n in (3, 11):
                wire = harness.on_the_wire(messages[n - 1])
                self.assertEqual(log.count(wire), 1)
                at = log.index(wire) + len(wire) - 9
                self.overwrite(path, at, bytes([log[at] ^ 4]))
        site = self.damaged(change, messages)
        for how in ("first", "always", "off"):
            site.stop()
            site.settings["verify_on_read"] = how
            site.write_config()
            site.start()
            is_checked = how != "off"
            with site.session() as pop:
                for _ in range(2):
                    for n, message in enumerate(messages, 1):
                        reply = pop.command_multi("RETR %d" % n)
                        if n not in (3, 11):
                            self.assert_octets(reply, harness.on_the_wire(message))
                        elif is_checked:
                            self.assertTrue(reply.startswith(b"-ERR [SYS/PERM] "),
                                            (how, n, reply[:80]))
                            self.assertEqual(reply, pop.command("TOP %d 99999" % n))
                        else:
                            self.assertNotEqual(reply, harness.on_the_wire(message))
                            self.assertEqual(len(reply), len(harness.on_the_wire(message)))
                for _ in range(50 if is_checked else 0):  # what a worker finds is never lost
                    self.assertTrue(pop.command("RETR 11").startswith(b"-ERR "))
                # pipelined: order is kept whatever has to be waited for
                pop.send("RETR 2\r\nRETR 11\r\nRETR 3\r\nRETR 4\r\nNOOP\r\n")
                self.assert_octets(pop.multi(), harness.on_the_wire(messages[1]))
                self.assertEqual(pop.multi().startswith(b"+OK"), not is_checked)
                self.assertEqual(pop.multi().startswith(b"+OK"), not is_checked)
                self.assert_octets(pop.multi(), harness.on_the_wire(messages[3]))
                self.assertTrue(pop.line().startswith(b"+OK"))
                pop.ok("QUIT")
        found = site.wait_for_events("message_damaged")
        self.assertEqual({e["uid"] for e in found}, {"3", "11"})
        self.assertEqual(found[0]["address"], "alice@example.org")

    def test_accounts_that_cannot_be_read_are_no_wrong_password(self):
        site = self.site(start=False)
        accounts = os.path.join(site.spool, "accounts.lmdb")
        size = os.path.getsize(accounts)
        with open(accounts, "wb") as f:
            f.write(b"\xff" * size)
        done = site.ringpost(program=harness.RINGPOSTD, check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("accounts", done.stderr.decode())


if __name__ == "__main__":
    unittest.main()
