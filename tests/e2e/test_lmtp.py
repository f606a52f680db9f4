"""Mail that comes in by LMTP, through real clients, and what POP3 makes of it."""
import grp
import json
import os
import pwd
import random
import re
import smtplib
import socket
import stat
import subprocess
import threading
import time
import unittest

import harness
import tls

BENCH = os.path.join(harness.BUILD, "ringpost-bench")
NO_HEAD = {"add_received": "no", "add_return_path": "no", "add_delivered_to": "no"}
SENDER = "sender@example.net"


def address(name):
    return "%s@%s" % (name, harness.DOMAIN)


def dot_message(message):
    return harness.stuffed(harness.normalised(message)) + b".\r\n"


class Base(harness.Case):
    def site(self, *args, **settings):
        settings.setdefault("lmtp", {})
        return super().site(*args, **settings)

    def messages_of(self, site, name="alice"):
        """What RETR says of each message, without status line and end line, unstuffed."""
        with site.session(name) as pop:
            count = pop.stat()[0]
            replies = [pop.command_multi("RETR %d" % n) for n in range(1, count + 1)]
            pop.ok("QUIT")
        return [re.sub(rb"(?m)^\.\.", b".", r.partition(b"\r\n")[2][:-3]) for r in replies]


class Deliver(Base):
    def test_pythons_client_over_tcp_and_a_local_socket(self):
        site = self.site(users=("alice", "bob"))
        message = b"Subject: hello\r\n\r\n.dot\r\n\xe4\xf6\xfc\r\n"
        for host, port in (("127.0.0.1", site.lmtp_port), (site.lmtp_path, 0)):
            client = smtplib.LMTP(host, port, local_hostname="client.example.net")
            self.assertEqual(client.sendmail(SENDER, [address("alice"), address("nobody"), address("bob")],
                                             message, ["BODY=8BITMIME"]),
                             {address("nobody"): (550, b"5.1.1 no such user")})
            client.quit()
        for name in ("alice", "bob"):
            by_tcp, by_socket = self.messages_of(site, name)
            head = (rb"Return-Path: <sender@example\.net>\r\nDelivered-To: %s\r\n"
                    rb"Received: from client\.example\.net %s\r\n\tby \S+ \(ringpost\) with LMTP id \S+\r\n"
                    rb"\tfor <%s>; \w{3}, \d+ \w{3} \d{4} \d\d:\d\d:\d\d \+0000\r\n")
            for got, peer in ((by_tcp, rb"\(\[127\.0\.0\.1\]\)"), (by_socket, rb"\(local\)")):
                found = re.match(head % (address(name).encode(), peer, address(name).encode()), got)
                self.assertIsNotNone(found, got)
                self.assert_octets(got[found.end():], message)

    def test_what_goes_in_comes_out(self):
        site = self.site(**NO_HEAD)
        # NUL becomes 0x80; a CR or LF alone never gets this far
        messages = harness.varied_messages(200)
        with site.lmtp().hello() as client:
            for message in messages:
                self.assertRegex(client.send_mail(message, "alice")[0], b"^250 2.0.0 ")
            client.say("QUIT", 221)
        with site.session() as pop:
            for n, message in enumerate(messages, 1):
                self.assert_octets(pop.command_multi("RETR %d" % n), harness.on_the_wire(message),
                                   "message %d" % n)

    def test_by_chunks_comes_out_the_same(self):
        site = self.site(**NO_HEAD)
        messages = [harness.normalised(m) for m in harness.varied_messages(60, seed=2)]
        r = random.Random(3)
        with site.lmtp().hello() as client:
            for message in messages:
                client.envelope("alice")
                at = 0
                while at < len(message):
                    size = r.choice((0, 1, 7, 1000, 5000))
                    chunk = message[at:at + size]
                    client.send(b"BDAT %d\r\n" % len(chunk) + chunk)
                    client.expect(250)
                    at += size
                client.say("BDAT 0 LAST", 250)
        with site.session() as pop:
            for n, message in enumerate(messages, 1):
                self.assert_octets(pop.command_multi("RETR %d" % n), harness.on_the_wire(message),
                                   "message %d" % n)

    def test_octet_by_octet(self):
        site = self.site(**NO_HEAD)
        message = b"Subject: slow\n\n.\n..\nlast\n"
        with site.lmtp() as client:
            for octet in (b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n"
                          + dot_message(message) + b"QUIT\r\n"):
                client.send(bytes([octet]))
                time.sleep(0.0005)
            self.assertRegex(client.rest(), rb"(?s)250 2.0.0 <alice@example.org> has it\r\n221 .*$")
        self.assertEqual(self.messages_of(site), [harness.normalised(message)])

    def test_over_tls(self):
        site = self.site(lmtp={"tls": "stls"}, **tls.settings(tls.certificate("mail.example.org")))
        client = smtplib.LMTP("127.0.0.1", site.lmtp_port)
        client.starttls(context=tls.context())
        self.assertNotIn("starttls", client.esmtp_features if client.ehlo_or_helo_if_needed() is None
                         else {})
        client.sendmail(SENDER, [address("alice")], b"Subject: secret\r\n\r\n" + b"x" * 100000 + b"\r\n")
        client.quit()
        self.assertRegex(self.messages_of(site)[0], rb"with LMTPS id ")
        ends = {e["protocol"]: e["tls"] for e in site.wait_for_events("session_end", 2)}
        self.assertIn(ends["lmtp"], ("1.3", "1.2"))

    def test_a_protocol_offered_by_tls_is_passed_over(self):
        """IANA has no name of LMTP for ALPN, so a client may offer any, and none is chosen."""
        harness.needs("openssl")
        for door, more in (("stls", ["-starttls", "lmtp"]), ("implicit", [])):
            site = self.site(lmtp={"tls": '"%s"' % door}, **tls.settings(tls.certificate("mail.example.org")))
            for version in ("-tls1_2", "-tls1_3"):
                for offer in ("smtp", "pop3", "lmtp,h2"):
                    done = subprocess.run(
                        ["openssl", "s_client", "-connect", "127.0.0.1:%d" % site.lmtp_port, *more, version,
                         "-alpn", offer, "-crlf", "-ign_eof"], input=b"LHLO x\nQUIT\n", capture_output=True,
                        timeout=30)
                    self.assertIn(b"No ALPN negotiated", done.stdout, done.stderr)
                    self.assertRegex(done.stdout, rb"(?m)^221 ")
            self.end_site(site)

    def test_the_log_says_what_became_of_it(self):
        site = self.site(users=("alice", "bob"))
        with site.lmtp().hello() as client:
            client.send_mail(b"Subject: one\n\nbody\n", "alice", "bob")
            client.say("MAIL FROM:<>", 250)
            client.say("RCPT TO:<nobody@example.org>", 550)
            client.say("QUIT", 221)
        deliveries = site.wait_for_events("delivery", 2)
        self.assertEqual(sorted(e["address"] for e in deliveries), [address("alice"), address("bob")])
        self.assertEqual({e["uid"] for e in deliveries}, {"1"})
        self.assertEqual(len({e["id"] for e in deliveries}), 1)
        head = self.messages_of(site)[0]
        self.assertIn(deliveries[0]["id"].encode(), head)
        self.assertEqual(next(e for e in deliveries if e["address"] == address("alice"))["octets"],
                         str(len(head)))
        refused = site.wait_for_events("recipient_refused")
        self.assertEqual((refused[0]["address"], refused[0]["why"]), (address("nobody"), "unknown"))
        end = next(e for e in site.wait_for_events("session_end", 2) if e["protocol"] == "lmtp")
        self.assertEqual([end[k] for k in ("protocol", "client", "messages", "delivered", "failed", "why")],
                         ["lmtp", "client.example.net", "1", "2", "0", "quit"])


class Refuse(Base):
    def test_quota_is_exact(self):
        site = self.site(users=("alice",), start=False, **NO_HEAD)
        message = b"x" * 98 + b"\n"  # 100 octets
        site.add_user("small", harness.SECRET, "--quota-octets", "350")
        site.add_user("few", harness.SECRET, "--quota-messages", "2")
        site.start()
        with site.lmtp().hello() as client:
            for n in range(3):
                replies = client.send_mail(message, "small", "alice")
                self.assertEqual([r[:9] for r in replies], [b"250 2.0.0", b"250 2.0.0"])
            # 50 octets are left: RCPT does not know the size, the end of the message does
            replies = client.send_mail(message, "small", "alice")
            self.assertEqual([r[:9] for r in replies], [b"452 4.2.2", b"250 2.0.0"])
            client.say("MAIL FROM:<> SIZE=51", 250)
            client.say("RCPT TO:<small@example.org>", 452)
            client.say("RSET", 250)
            self.assertEqual(client.send_mail(b"x" * 48 + b"\n", "small")[0][:9], b"250 2.0.0")
            client.say("MAIL FROM:<>", 250)
            client.say("RCPT TO:<small@example.org>", 452)
            client.say("RSET", 250)
            for n in range(2):
                client.send_mail(message, "few")
            client.say("MAIL FROM:<>", 250)
            self.assertRegex(client.say("RCPT TO:<few@example.org>", 452), b"^452 4.2.2 ")
        with site.session("small") as pop:
            self.assertEqual(pop.stat(), (4, 350))
            pop.ok("DELE 1")
            pop.ok("QUIT")
        with site.lmtp().hello() as client:
            self.assertEqual(client.send_mail(message, "small")[0][:9], b"250 2.0.0")

    def test_too_large(self):
        site = self.site(lmtp_message_octets="65536", **NO_HEAD)
        line = b"x" * 62 + b"\n"
        with site.lmtp().hello() as client:
            self.assertEqual(client.send_mail(line * 1024, "alice")[0][:9], b"250 2.0.0")
            self.assertEqual(client.send_mail(line * 1024 + b"\n", "alice", "alice"),
                             [b"552 5.3.4 the message is too large\r\n"] * 2)
            # dots that stuffing adds do not count
            self.assertEqual(client.send_mail((b"." * 62 + b"\n") * 1024, "alice")[0][:9], b"250 2.0.0")
            client.say("MAIL FROM:<> SIZE=65537", 552)
        self.assertEqual([len(m) for m in self.messages_of(site)], [65536, 65536])

    def test_networks(self):
        site = self.site(lmtp={"networks": '{"192.0.2.0/24", "2001:db8::/32"}'})
        with site.lmtp() as client:
            self.assertEqual(client.rest(), b"421 4.7.1 not from your network\r\n")
        self.assertEqual(site.wait_for_events("guest_turned_away")[0]["why"], "network")
        with harness.Lmtp(site.lmtp_path, hello=None) as client:  # that has a mode instead
            client.hello()

    def test_pop3_listeners_have_networks_too(self):
        site = self.site(listener={"networks": '"127.0.0.0/30"'})
        with site.pop() as pop:
            self.assertRegex(pop.line(), rb"^\+OK ")
        with site.pop(source="127.0.0.9") as pop:
            self.assertRegex(pop.rest(), rb"^-ERR \[SYS/PERM\] ")

    def test_time_limits(self):
        site = self.site(lmtp_timeout_s="5", lmtp_transaction_s="5")
        with site.lmtp() as silent, site.lmtp().hello() as slow:
            started = time.monotonic()
            slow.envelope("alice")
            slow.say("DATA", 354)
            while True:
                try:
                    slow.send(b"x")
                except OSError:
                    break
                if time.monotonic() - started > 4 and select_readable(slow.socket):
                    break
                self.assertLess(time.monotonic() - started, 20)
                time.sleep(0.2)
            self.assertEqual(slow.rest()[:9], b"421 4.4.2")
            self.assertGreater(time.monotonic() - started, 4.5)
            silent.expect(220)
            self.assertEqual(silent.rest()[:9], b"421 4.4.2")
            self.assertLess(time.monotonic() - started, 20)
        self.assertEqual([e["why"] for e in site.wait_for_events("session_end", 2)], ["timed_out"] * 2)
        self.assertEqual(self.messages_of(site), [])

    def test_smuggling(self):
        """A sample over the real server: one message in, one message out or a refusal, in step."""
        site = self.site(**NO_HEAD)
        r = random.Random(7)
        accepted = []
        with site.lmtp().hello() as client:
            for n in range(400):
                five = bytes(r.choice(b"\r\n.\0x") for _ in range(5))
                body = b"Subject: %d\r\n\r\n" % n + five
                sent = body + b"\r\n.\r\n"
                end = (b"\r\n" + sent).index(b"\r\n.\r\n")
                content, rest = sent[:end], sent[end + 3:]
                client.envelope("alice")
                client.say("DATA", 354)
                cut = r.randrange(len(sent))
                client.send(sent[:cut])
                client.send(sent[cut:] + b"NOOP\r\n")
                reply = client.reply()
                is_bare = re.search(rb"\r(?!\n)|(?<!\r)\n", content)
                self.assertEqual(reply[:9], b"550 5.6.0" if is_bare else b"250 2.0.0", sent)
                if not is_bare:
                    accepted.append(re.sub(rb"(?m)^\.", b"", content).replace(b"\0", b"\x80"))
                # what is left of the five behind the end were commands, and ones that nobody knows
                for _ in range(rest.count(b"\n")):
                    self.assertRegex(client.reply(), b"^500 ")
                self.assertRegex(client.reply(), b"^(250|500) ")
                client.say("RSET", 250)
        self.assertGreater(len(accepted), 30)
        self.assertEqual(self.messages_of(site), accepted)


def select_readable(s):
    import select
    return bool(select.select([s], [], [], 0)[0])


class Large(Base):
    def test_fifty_megabytes(self):
        site = self.site(lmtp_message_octets="64M", draft_memory="1M", draft_spill_octets="64K", **NO_HEAD)
        r = random.Random(5)
        lines = [bytes(r.choice(b"abcdefgh. ") for _ in range(r.randrange(100))) for _ in range(1000)]
        message = b"Subject: large\r\n\r\n" + b"".join(r.choice(lines) + b"\r\n" for _ in range(1000000))
        self.assertGreater(len(message), 50000000)
        with site.lmtp().hello() as client:
            client.envelope("alice", "alice")
            client.say("DATA", 354)
            client.send(harness.stuffed(message) + b".\r\n")
            self.assertEqual([client.reply()[:9] for _ in range(2)], [b"250 2.0.0"] * 2)
            client.envelope("alice")
            client.send(b"BDAT %d LAST\r\n" % len(message) + message)
            client.expect(250)
        with open("/proc/%d/status" % site.process.pid) as f:
            peak = int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1))
        print("# peak memory: %d KiB" % peak)
        if not harness.IS_SANITIZED:
            self.assertLess(peak, 64 * 1024)
        with site.session() as pop:
            for n in (1, 2, 3):
                pop.send("RETR %d\r\n" % n)
                wire = b"+OK %d octets\r\n" % len(message) + harness.stuffed(message) + b".\r\n"
                self.assert_octets(pop.exactly(len(wire)), wire)

    def test_ten_messages_in_one_breath(self):
        """Chunks need no answer before the next command: what follows a message waits for its delivery."""
        site = self.site(draft_spill_octets="64K", **NO_HEAD)
        messages = [b"Subject: %d\r\n\r\n" % n + b"0123456789abcde\r\n" * (n * n * 100) for n in range(10)]
        with site.lmtp().hello() as client:
            client.send(b"".join(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nBDAT %d LAST\r\n" % len(m) + m
                                 for m in messages) + b"QUIT\r\n")
            for _ in messages:
                self.assertEqual([client.reply()[:3] for _ in range(3)], [b"250"] * 3)
            client.expect(221)
        self.assertEqual(self.messages_of(site), messages)

    def test_memory_for_messages_is_bounded(self):
        """More messages at once than there is memory for: each is taken whole, or refused for now."""
        site = self.site(shards="1", draft_memory="1M", draft_spill_octets="1M", **NO_HEAD)
        message = b"Subject: many\n\n" + b"0123456789abcde\n" * 4000
        wire = dot_message(message)
        clients = [site.lmtp().hello() for _ in range(40)]
        for client in clients:
            client.envelope("alice")
            client.say("DATA", 354)
            client.send(wire[:-20000])
        time.sleep(0.3)
        replies = []
        for client in clients:
            client.send(wire[-20000:])
        for client in clients:
            replies.append(client.reply()[:9])
            client.say("NOOP", 250)
            client.close()
        self.assertLessEqual(set(replies), {b"250 2.0.0", b"452 4.3.1"})
        self.assertGreater(replies.count(b"250 2.0.0"), 0)
        self.assertEqual(self.messages_of(site),
                         [harness.normalised(message)] * replies.count(b"250 2.0.0"))


class Break(Base):
    def test_going_at_every_octet(self):
        """The message is there if its end was sent, else not; the server goes on."""
        site = self.site(**NO_HEAD)
        said = (b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n"
                b"Subject: one\r\n\r\nbody\r\n.\r\nQUIT\r\n")
        whole = said.index(b".\r\nQUIT") + 3
        for cut in range(len(said) + 1):
            client = site.lmtp()
            client.line()
            client.send(said[:cut])
            client.socket.shutdown(socket.SHUT_WR)
            client.rest()
            client.close()
        self.assertEqual(self.messages_of(site),
                         [b"Subject: one\r\n\r\nbody\r\n"] * (len(said) + 1 - whole))

    def test_resets_at_every_octet(self):
        site = self.site(**NO_HEAD)
        said = (b"LHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nBDAT 5\r\none\r\n"
                b"BDAT 5 LAST\r\ntwo\r\nQUIT\r\n")
        for cut in range(len(said) + 1):
            client = site.lmtp()
            client.send(said[:cut])
            client.reset()
        with site.lmtp().hello() as client:
            self.assertEqual(client.send_mail(b"last\n", "alice")[0][:9], b"250 2.0.0")
        messages = self.messages_of(site)
        self.assertEqual(messages[-1], b"last\r\n")
        self.assertLessEqual(set(messages[:-1]), {b"one\r\ntwo\r\n"})

    def test_sigterm_in_the_middle_of_deliveries(self):
        """What was acknowledged is there; who is between two messages is told to come again."""
        site = self.site(drain_timeout_s="10", **NO_HEAD)
        acknowledged, ends, lock = [], [], threading.Lock()

        def deliver(worker):
            client = site.lmtp().hello()
            for n in range(100000):
                subject = b"Subject: %d.%d\n" % (worker, n)
                try:
                    client.send(b"MAIL FROM:<>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n"
                                + dot_message(subject))
                    codes = [client.reply()[:3] for _ in range(4)]
                except OSError:
                    codes = [b""]
                if codes == [b"250", b"250", b"354", b"250"]:
                    with lock:
                        acknowledged.append(subject.replace(b"\n", b"\r\n"))
                else:
                    with lock:
                        ends.append(codes[0])
                    return

        workers = [threading.Thread(target=deliver, args=(n,)) for n in range(16)]
        for worker in workers:
            worker.start()
        time.sleep(1.0)
        started = time.monotonic()
        code = site.stop()
        stopped_s = time.monotonic() - started
        for worker in workers:
            worker.join()
        self.assertEqual(code, 0, site.log()[-2000:])
        self.assertLess(stopped_s, 9)
        self.assertGreater(len(acknowledged), 16)
        self.assertLessEqual(set(ends), {b"421"})
        site.start()
        self.assertLessEqual(set(acknowledged), set(self.messages_of(site)))

    def test_kill_9_loses_nothing_that_was_acknowledged(self):
        site = self.site(**NO_HEAD)
        acknowledged = []
        for round in range(3):
            with site.lmtp().hello() as client:
                for n in range(20):
                    message = b"Subject: %d.%d\r\n" % (round, n)
                    client.send_mail(message, "alice")
                    acknowledged.append(message)
                client.envelope("alice")
                client.say("DATA", 354)
                client.send(b"half a mess")
                site.kill()
            site.start_after_kill()
        self.assertEqual(self.messages_of(site), acknowledged)


class LocalSocket(Base):
    def test_mode_and_life(self):
        site = self.site(lmtp={"socket_mode": '"0600"'})
        st = os.stat(site.lmtp_path)
        self.assertTrue(stat.S_ISSOCK(st.st_mode))
        self.assertEqual(stat.S_IMODE(st.st_mode), 0o600)
        self.assertEqual(site.stop(), 0)
        self.assertFalse(os.path.exists(site.lmtp_path))

    def test_it_belongs_to_the_user_that_the_server_becomes(self):
        if os.geteuid() != 0:
            self.skipTest("only root can become another")
        site = self.site(start=False, user='"nobody"', lmtp={"socket_group": '"daemon"'})
        subprocess.run(["chown", "-R", "nobody:", site.directory], check=True)
        site.start()
        st = os.stat(site.lmtp_path)
        self.assertEqual((pwd.getpwuid(st.st_uid).pw_name, grp.getgrgid(st.st_gid).gr_name),
                         ("nobody", "daemon"))
        with harness.Lmtp(site.lmtp_path) as client:
            self.assertEqual(client.send_mail(b"one\n", "alice")[0][:3], b"250")
        self.assertEqual(site.stop(), 0)
        self.assertFalse(os.path.exists(site.lmtp_path))

    def test_a_group_that_does_not_exist(self):
        site = self.site(start=False, lmtp={"socket_group": '"no-such-group"'})
        done = subprocess.run([harness.RINGPOSTD, "-c", site.config], capture_output=True, timeout=30)
        self.assertEqual(done.returncode, 78)
        self.assertIn(b'group "no-such-group" does not exist', done.stderr)

    def test_a_stale_one_is_replaced(self):
        site = self.site()
        site.kill()
        self.assertTrue(os.path.exists(site.lmtp_path))
        site.start_after_kill()
        with harness.Lmtp(site.lmtp_path, hello=None) as client:
            client.hello().send_mail(b"one\n", "alice")

    def test_another_server_is_not_robbed(self):
        site = self.site()
        other = harness.Site(lmtp={})
        self.addCleanup(other.cleanup)
        other.lmtp_path = site.lmtp_path
        other.write_config()
        other.add_user()
        done = subprocess.run([harness.RINGPOSTD, "-c", other.config], capture_output=True, timeout=30)
        self.assertEqual(done.returncode, harness.EX_UNAVAILABLE, done.stderr)
        self.assertIn(b"is in use by another program", done.stderr)
        with harness.Lmtp(site.lmtp_path, hello=None) as client:
            client.hello()

    def test_what_is_no_socket_is_left_alone(self):
        site = self.site(start=False)
        with open(site.lmtp_path, "w") as f:
            f.write("precious")
        done = subprocess.run([harness.RINGPOSTD, "-c", site.config], capture_output=True, timeout=30)
        self.assertEqual(done.returncode, harness.EX_UNAVAILABLE)
        self.assertIn(b"move it away", done.stderr)
        with open(site.lmtp_path) as f:
            self.assertEqual(f.read(), "precious")

    def test_all_shards_take_from_it(self):
        site = self.site(shards="4")
        clients = [harness.Lmtp(site.lmtp_path, hello=None).hello() for _ in range(64)]
        for client in clients:
            client.say("QUIT", 221)
            client.close()
        ends = site.wait_for_events("session_end", 64)
        self.assertEqual(len(ends), 64)
        self.assertEqual({e["peer"] for e in ends}, {"unix"})


class Clients(Base):
    def test_swaks(self):
        harness.needs("swaks")
        site = self.site(**NO_HEAD)
        done = subprocess.run(["swaks", "--protocol", "LMTP", "--socket", site.lmtp_path, "--from", SENDER,
                               "--to", address("alice"), "--pipeline", "--body", "from swaks"],
                              capture_output=True, timeout=30)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn(b"from swaks", self.messages_of(site)[0])

    def test_the_load_generator(self):
        site = self.site(users=["user%d" % n for n in range(1, 9)], log_sessions="no")
        mail = os.path.join(site.directory, "mail")
        site.write_maildir([b"Subject: load %d\n\n" % n + b"0123456789abcdef0123456789abcdef01234567\n" * 488
                            for n in range(4)], "mail")
        for mix, sessions in (("deliver", 400), ("deliver-many", 100)):
            done = subprocess.run([BENCH, mix, "--port", str(site.lmtp_port), "--users", "8", "--mail", mail,
                                   "--connections", "32", "--sessions", str(sessions), "--json",
                                   "--server-pid", str(site.process.pid)],
                                  capture_output=True, text=True, cwd=harness.ROOT)
            self.assertEqual(done.returncode, 0, done.stderr)
            report = json.loads(done.stdout)
            print("#", mix, {k: v for k, v in report.items() if not isinstance(v, (list, dict))})
        with site.session("user1") as pop:
            self.assertGreater(pop.stat()[0], 10)


if __name__ == "__main__":
    unittest.main()
