"""TLS with real clients: both doors, both versions, every octet."""
import errno
import os
import random
import re
import signal
import socket
import ssl
import subprocess
import time
import unittest

import harness
import tls

MESSAGES = harness.varied_messages(60, seed=5)
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
SUITES = [(TLS13, None)] + [(TLS12, suite) for suite in (
    "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305")]
HOST = "mail.example.org"


class TlsCase(harness.Case):
    def tls_site(self, door="implicit", pairs=None, listener=None, **more):
        settings = tls.settings(*(pairs or [tls.certificate(HOST)]))
        settings.update(more)
        return self.site(listener={"tls": '"%s"' % door, "plaintext_auth": "no", **(listener or {})},
                         **settings)

    def pop(self, site, door="implicit", **how):
        pop = tls.TlsPop(site.port, stls=door == "stls", **how)
        self.addCleanup(pop.close)
        return pop


class Doors(TlsCase):
    def test_every_message_by_both_doors_in_both_versions(self):
        for door in ("implicit", "stls"):
            site = self.tls_site(door, messages=MESSAGES)
            for version, suite in SUITES:
                context = tls.context(version, suite)
                pop = self.pop(site, door, context=context).login()
                for n, raw in enumerate(MESSAGES, 1):
                    self.assert_octets(pop.command_multi("RETR %d" % n),
                                       harness.on_the_wire(raw), "message %d" % n)
                pop.send("QUIT\r\n")
                self.assertRegex(pop.clean_rest(), rb"\A\+OK [^\r]+\r\n\Z")
            events = site.wait_for_events("session_end", len(SUITES))
            self.assertCountEqual([e["tls"] for e in events], ["1.3", "1.2", "1.2", "1.2"])
            self.assertCountEqual([e["cipher"] for e in events if e["tls"] == "1.2"],
                                  ["AES-128-GCM", "AES-256-GCM", "CHACHA20-POLY1305"])
            for event in events:
                self.assertIn(event["ktls"], ("yes", "no"))
            site.stop()

    def test_old_versions_and_plain_octets_are_refused(self):
        site = self.tls_site()
        old = tls.context()
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        self.assertRaises(ssl.SSLError, tls.TlsPop, site.port, context=old)
        with site.pop() as pop:
            pop.send("USER alice\r\n")
            self.assertEqual(pop.rest(), b"")
        with site.pop() as pop:
            pop.send(b"\x16\x03\x01\x00\x05" + b"\x01\x00\x00\x01\x00" + b"\xff" * 100)
            self.assertNotIn(b"+OK", pop.rest())
        kinds = [e["why"] for e in site.wait_for_events("tls_failed", 3)]
        self.assertEqual(len(kinds), 3)
        self.assertLessEqual({"version", "not_tls"}, set(kinds))
        self.pop(site).login()

    def test_credentials_only_after_tls(self):
        site = self.tls_site("stls", messages=MESSAGES)
        with site.pop() as pop:
            pop.line()
            capabilities = pop.command_multi("CAPA").split(b"\r\n")
            self.assertIn(b"STLS", capabilities)
            self.assertNotIn(b"USER", capabilities)
            self.assertTrue(pop.command("USER alice").startswith(b"-ERR"))
        pop = self.pop(site, "stls")
        pop.line()
        capabilities = pop.command_multi("CAPA").split(b"\r\n")
        self.assertNotIn(b"STLS", capabilities)
        self.assertIn(b"USER", capabilities)
        self.assertTrue(pop.command("STLS").startswith(b"-ERR"))
        pop.ok("USER alice")
        pop.ok("PASS " + harness.SECRET)

    def test_large_messages_and_a_slow_reader(self):
        line = bytes(random.Random(3).randrange(33, 127) for _ in range(76)) + b"\n"
        messages = [b"x\n"] + [b"Subject: large\n\n" + line * (size // 77)
                               for size in (1000, 100000, 1 << 20, 5 << 20)]
        site = self.tls_site(messages=messages)
        pop = self.pop(site, receive_buffer=8192).login()
        for n in (5, 1, 4, 2, 3, 5):
            wanted = harness.on_the_wire(messages[n - 1])
            pop.send("RETR %d\r\n" % n)
            if n == 5:
                time.sleep(0.3)
            self.assert_octets(pop.exactly(len(wanted)), wanted, "message %d" % n)
        pop.ok("NOOP")

    def test_the_end_of_a_reply_is_never_torn(self):
        """Lengths around the edges of a record: the last record holds the whole CRLF.CRLF."""
        status = len(b"+OK 16384 octets\r\n")
        messages = [b"S: x\n\n" + b"y" * (k * 16384 - status - 13 + d) + b"\n"
                    for k in (1, 4, 5) for d in range(-12, 14)]
        site = self.tls_site(messages=messages)
        for version in (TLS12, TLS13):
            pop = self.pop(site, context=tls.context(version)).login()
            for n, raw in enumerate(messages, 1):
                wanted = harness.on_the_wire(raw)
                got, last = b"", b""
                pop.send("RETR %d\r\n" % n)
                while len(got) < len(wanted):
                    last = pop.socket.recv(65536)  # one record at a time
                    self.assertNotEqual(last, b"")
                    got += last
                self.assert_octets(got, wanted, "message %d" % n)
                self.assertTrue(last.endswith(b"\r\n.\r\n"), "message %d: %r" % (n, last[-9:]))
                got, last = b"", b""
                pop.send("TOP %d 0\r\n" % n)
                while not got.endswith(b"\r\n.\r\n"):
                    last = pop.socket.recv(65536)
                    got += last
                self.assertTrue(last.endswith(b"\r\n.\r\n"), "TOP %d: %r" % (n, last[-9:]))

    def test_all_pipelined_behind_the_handshake(self):
        """The client's first octets travel with its Finished, and all of the session with them."""
        site = self.tls_site(messages=MESSAGES)
        commands = ("USER alice\r\nPASS %s\r\n" % harness.SECRET
                    + "".join("RETR %d\r\n" % n for n in range(1, len(MESSAGES) + 1)) + "QUIT\r\n")
        wanted = b"".join(harness.on_the_wire(m) for m in MESSAGES)
        for version in (TLS12, TLS13):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = tls.context(version).wrap_bio(incoming, outgoing, server_hostname=HOST)
            with site.pop() as pop:
                while True:
                    try:
                        client.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        pop.send(outgoing.read())
                        incoming.write(pop.socket.recv(65536))
                client.write(commands.encode())
                pop.send(outgoing.read())  # Finished and all commands in one
                got = b""
                while True:
                    try:
                        more = client.read(65536)
                        if not more:
                            break
                        got += more
                    except ssl.SSLWantReadError:
                        octets = pop.socket.recv(65536)
                        self.assertNotEqual(octets, b"", "no close_notify")
                        incoming.write(octets)
                    except ssl.SSLZeroReturnError:
                        break
            self.assertIn(wanted, got)
            self.assertRegex(got[got.index(wanted) + len(wanted):], rb"\A\+OK [^\r]+\r\n\Z")

    def test_one_octet_at_a_time(self):
        site = self.tls_site(messages=MESSAGES[:5])
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = tls.context().wrap_bio(incoming, outgoing, server_hostname=HOST)
        with site.pop() as pop:
            def trickle():
                for octet in outgoing.read():
                    pop.send(bytes([octet]))
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    trickle()
                    incoming.write(pop.socket.recv(65536))
            client.write(b"CAPA\r\nQUIT\r\n")
            trickle()
            got = b""
            while b"goodbye" not in got:
                try:
                    got += client.read(65536)
                except ssl.SSLWantReadError:
                    incoming.write(pop.socket.recv(65536))
        self.assertIn(b"\r\n.\r\n+OK goodbye", got)

    def test_random_pieces_in_both_directions(self):
        site = self.tls_site(messages=MESSAGES)
        r = random.Random(11)
        pop = self.pop(site).login()
        order = [r.randint(1, len(MESSAGES)) for _ in range(300)]
        commands = "".join("RETR %d\r\nNOOP\r\n" % n for n in order).encode()
        while commands:
            cut = r.randint(1, 200)
            pop.send(commands[:cut])
            commands = commands[cut:]
        for n in order:
            wanted = harness.on_the_wire(MESSAGES[n - 1])
            self.assert_octets(pop.exactly(len(wanted)), wanted)
            self.assertTrue(pop.line().startswith(b"+OK "))

    def test_a_long_piece_of_input_in_one_record(self):
        """A record of 16 KiB is more than one receive."""
        site = self.tls_site(messages=MESSAGES)
        pop = self.pop(site).login()
        pop.send("NOOP\r\n" * 5000)
        for _ in range(5000):
            self.assertEqual(pop.line(), b"+OK nothing done\r\n")

    def test_half_close_still_gets_the_answers(self):
        site = self.tls_site(messages=MESSAGES)
        wanted = b"".join(harness.on_the_wire(m) for m in MESSAGES)
        pop = self.pop(site).login()
        pop.send("".join("RETR %d\r\n" % n for n in range(1, len(MESSAGES) + 1)))
        raw = socket.socket(fileno=os.dup(pop.socket.fileno()))
        raw.shutdown(socket.SHUT_WR)
        raw.close()
        self.assert_octets(pop.clean_rest(), wanted)


class Injection(TlsCase):
    def test_what_came_with_stls_is_never_executed(self):
        site = self.tls_site("stls", listener={"plaintext_auth": "yes"}, messages=MESSAGES)
        for tail in (b"CAPA\r\n", b"USER mallory\r\n", b"USER alice\r\nPASS secret\r\nDELE 1\r\nQUIT\r\n",
                     b"US", b"\r\n", b"\x16", b"\x16\x03\x01", b"\x17\x03\x03\x00\x05hello"):
            for delay in (0, 0.05):
                with site.pop() as pop:
                    pop.line()
                    if delay:
                        pop.send(b"STLS\r\n")
                        pop.line()
                        time.sleep(delay)
                        pop.send(tail)
                    else:
                        pop.send(b"STLS\r\n" + tail)
                        self.assertTrue(pop.line().startswith(b"+OK "))
                    pop.socket.shutdown(socket.SHUT_WR)
                    said = pop.rest()
                    self.assertNotIn(b"+OK", said, tail)
                    self.assertNotIn(b"-ERR", said, tail)
        self.assertEqual(self.pop(site, "stls").login().stat()[0], len(MESSAGES))

    def test_all_that_was_said_in_clear_is_forgotten(self):
        site = self.tls_site("stls", listener={"plaintext_auth": "yes"})
        with site.pop() as pop:
            pop.line()
            pop.ok("USER alice")
            pop.ok("STLS")
            pop.socket = tls.context().wrap_socket(pop.socket, server_hostname=HOST)
            self.assertTrue(pop.command("PASS " + harness.SECRET).startswith(b"-ERR"))


class Handshake(TlsCase):
    def test_resumption_on_every_shard(self):
        for version in (TLS12, TLS13):
            site = self.tls_site(shards="2")
            context = tls.context(version)
            with self.pop(site, context=context) as pop:
                pop.login().ok("NOOP")  # the ticket of TLS 1.3 comes behind the handshake
                session = pop.socket.session
            resumed = 0
            for _ in range(12):
                with self.pop(site, context=context, session=session) as pop:
                    pop.login().ok("NOOP")
                    resumed += pop.socket.session_reused
                    if version == TLS13:
                        session = pop.socket.session
            self.assertEqual(resumed, 12)
            shards = {e["shard"] for e in site.wait_for_events("session_end", 13)
                      if e["resumed"] == "yes"}
            self.assertEqual(shards, {"0", "1"})
            site.stop()

    def test_a_ticket_key_file_outlives_a_restart(self):
        path = os.path.join(tls.directory(), "tickets")
        with open(path, "wb") as f:
            f.write(os.urandom(64))
        site = self.tls_site(tls_ticket_key='"%s"' % path)
        context = tls.context()
        with self.pop(site, context=context) as pop:
            pop.login().ok("NOOP")
            session = pop.socket.session
        site.stop()
        site.start()
        with self.pop(site, context=context, session=session) as pop:
            pop.login()
            self.assertTrue(pop.socket.session_reused)

    def test_alpn(self):
        site = self.tls_site()
        for version in (TLS12, TLS13):
            pop = self.pop(site, context=tls.context(version, alpn=["imap", "pop3"]))
            self.assertEqual(pop.socket.selected_alpn_protocol(), "pop3")
            pop = self.pop(site, context=tls.context(version))
            self.assertIsNone(pop.socket.selected_alpn_protocol())
            with self.assertRaisesRegex(ssl.SSLError, "(?i)no.application.protocol"):
                self.pop(site, context=tls.context(version, alpn=["http/1.1", "h2"])).line()
        self.assertEqual([e["why"] for e in site.wait_for_events("tls_failed", 2)], ["alpn"] * 2)

    def test_each_host_and_each_client_its_certificate(self):
        first = tls.certificate("one.example.org", "rsa")
        twin = tls.certificate("one.example.org", "ecdsa", more=("alias.example.org",))
        other = tls.certificate("*.example.net", "ecdsa")
        site = self.tls_site(pairs=[first, twin, other])

        def shown(host, *more):
            done = subprocess.run(
                ["openssl", "s_client", "-connect", "127.0.0.1:%d" % site.port,
                 *(["-servername", host] if host else ["-noservername"]), *more],
                stdin=subprocess.DEVNULL, capture_output=True, timeout=30)
            pem = re.search(rb"-----BEGIN CERT.*?-----END CERTIFICATE-----\n", done.stdout, re.S)
            self.assertIsNotNone(pem, done.stderr)
            return pem.group()

        def file_of(pair):
            with open(pair[0], "rb") as f:
                return f.read()

        rsa_only = ["-sigalgs", "RSA-PSS+SHA256:RSA+SHA256"]
        for version in ("-tls1_2", "-tls1_3"):
            self.assertEqual(shown("one.example.org", version), file_of(twin))
            self.assertEqual(shown(None, version), file_of(twin))
            self.assertEqual(shown("elsewhere.example.com", version), file_of(twin))
            self.assertEqual(shown("ALIAS.example.org", version), file_of(twin))
            self.assertEqual(shown("pop.example.net", version), file_of(other))
            self.assertEqual(shown("one.example.org", version, *rsa_only), file_of(first))
        self.assertEqual(shown("one.example.org", "-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"),
                         file_of(first))

    def test_a_chain_is_sent_whole(self):
        chain, key, root, _ = tls.issued(HOST)
        site = self.tls_site(pairs=[(chain, key)])
        for version in (TLS12, TLS13):
            self.pop(site, context=tls.context(version, trusts=root)).login().ok("QUIT")

    def test_client_certificates(self):
        chain, key, _, authorities = tls.issued("alice")
        site = self.tls_site(tls_client_ca='"%s"' % authorities, tls_client_required="yes")
        for version in (TLS12, TLS13):
            with self.assertRaises((ssl.SSLError, ConnectionResetError, AssertionError)):
                self.pop(site, context=tls.context(version)).login()
            context = tls.context(version)
            context.load_cert_chain(chain, key)
            self.pop(site, context=context).login().ok("QUIT")
            context = tls.context(version)
            context.load_cert_chain(*tls.certificate("mallory"))
            with self.assertRaises((ssl.SSLError, ConnectionResetError, AssertionError)):
                self.pop(site, context=context).login()
        kinds = {e["why"] for e in site.wait_for_events("tls_failed", 4)}
        self.assertEqual(kinds, {"client_certificate"})

    def external(self, site, context, session=None):
        """(what AUTH EXTERNAL gets, the connection)."""
        pop = self.pop(site, context=context, session=session)
        self.assertTrue(pop.line().startswith(b"+OK"))
        return pop.command("AUTH EXTERNAL ="), pop

    def test_who_a_client_certificate_says_it_is(self):
        """By the one address among its alternative names, or by its common name; never a resumed session."""
        address = "alice@" + harness.DOMAIN
        by_address = tls.issued("nobody", alternatives="DNS:x.example.org,email:%s,DNS:y.example.org" % address)
        by_name = tls.issued(address, alternatives="DNS:x.example.org")
        for setting, good, bad in (("email", by_address, by_name), ("common_name", by_name, by_address)):
            for version in (TLS12, TLS13):
                for (chain, key, _, authorities), is_good in ((good, True), (bad, False)):
                    site = self.tls_site(messages=MESSAGES, tls_client_ca='"%s"' % authorities,
                                         tls_client_name='"%s"' % setting)
                    context = tls.context(version)
                    context.load_cert_chain(chain, key)
                    answer, pop = self.external(site, context)
                    self.assertEqual(answer.startswith(b"+OK"), is_good, (setting, version, answer))
                    if is_good:
                        self.assertEqual(pop.stat()[0], len(MESSAGES))
                        answer, again = self.external(site, context, session=pop.socket.session)
                        self.assertFalse(again.socket.session_reused)
                        self.assertTrue(answer.startswith(b"+OK"), answer)
                        again.close()
                    pop.close()
                    self.end_site(site)

    def test_without_a_certificate_nobody_is_somebody(self):
        authorities = tls.issued("alice")[3]
        site = self.tls_site(tls_client_ca='"%s"' % authorities)
        pop = self.pop(site)
        pop.line()
        self.assertNotIn(b"EXTERNAL", pop.command_multi("CAPA"))
        self.assertTrue(pop.command("AUTH EXTERNAL =").startswith(b"-ERR"))
        pop.ok("USER alice")

    def test_an_odd_name_is_none(self):
        address = "email:alice@" + harness.DOMAIN
        for names in (address + ",email:bob@" + harness.DOMAIN, address + "x" * 250, "DNS:alice@" + harness.DOMAIN):
            chain, key, _, authorities = tls.issued("nobody", alternatives=names)
            site = self.tls_site(tls_client_ca='"%s"' % authorities)
            context = tls.context()
            context.load_cert_chain(chain, key)
            answer, _ = self.external(site, context)
            self.assertTrue(answer.startswith(b"-ERR"), answer)

    def test_a_slow_handshake_has_a_deadline(self):
        site = self.tls_site(tls_deadline_s="1")
        silent, half = site.pop(), site.pop()
        half.send(b"\x16\x03\x01\x02\x00\x01")
        started = time.monotonic()
        self.assertEqual(silent.rest() + half.rest(), b"")
        self.assertLess(time.monotonic() - started, 8)
        kinds = [e["why"] for e in site.wait_for_events("tls_failed", 2)]
        self.assertEqual(kinds, ["deadline", "deadline"])
        ends = [e["why"] for e in site.wait_for_events("session_end", 2)]
        self.assertEqual(ends, ["tls_failed", "tls_failed"])

    def test_a_storm_of_handshakes_waits_in_line(self):
        site = self.tls_site(tls_handshakes="3", shards="1", messages=MESSAGES)
        contexts = [tls.context() for _ in range(60)]
        pops = []
        for context in contexts:
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = context.wrap_bio(incoming, outgoing, server_hostname=HOST)
            with self.assertRaises(ssl.SSLWantReadError):
                client.do_handshake()
            pop = site.pop()
            pop.send(outgoing.read())
            pops.append((pop, client, incoming, outgoing))
        for pop, client, incoming, outgoing in pops:
            while True:
                try:
                    client.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    incoming.write(pop.socket.recv(65536))
            pop.send(outgoing.read())
            while True:
                try:
                    self.assertTrue(client.read(100).startswith(b"+OK"))
                    break
                except ssl.SSLWantReadError:
                    incoming.write(pop.socket.recv(65536))
            pop.close()

    def test_garbage_in_the_middle_of_everything(self):
        site = self.tls_site(messages=MESSAGES)
        r = random.Random(7)
        for turn in range(60):
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            client = tls.context(r.choice((TLS12, TLS13))).wrap_bio(incoming, outgoing,
                                                                    server_hostname=HOST)
            with site.pop(timeout=5) as pop:
                try:
                    for step in range(r.randint(1, 4)):
                        try:
                            client.do_handshake()
                        except ssl.SSLWantReadError:
                            pass
                        octets = bytearray(outgoing.read())
                        if octets and turn % 2:
                            octets[r.randrange(len(octets))] ^= 1 << r.randrange(8)
                        pop.send(bytes(octets) or bytes(r.randrange(256) for _ in range(50)))
                        if turn % 3 == 0:
                            break
                        pop.socket.settimeout(0.2)
                        incoming.write(pop.socket.recv(65536))
                    if turn % 5 == 0:
                        pop.reset()
                except OSError:
                    pass
        self.assertEqual(self.pop(site).login().stat()[0], len(MESSAGES))


class Broken(TlsCase):
    """Records that nobody with the keys has sent, in the middle of a session."""

    def test_the_client_hears_what_was_wrong(self):
        site = self.tls_site(messages=MESSAGES, ktls="off")
        faults = ((b"\x17\x03\x03\x00\x40" + os.urandom(64), "(?i)bad record mac"),
                  (b"\x17\x03\x03\x60\x00" + os.urandom(64), "(?i)record overflow"),
                  (b"STAT\r\n", "(?i)unexpected.message"))
        for version, suite in SUITES:
            for octets, why in faults:
                pop = self.pop(site, context=tls.context(version, suite)).login()
                os.write(pop.socket.fileno(), octets)
                with self.assertRaisesRegex(ssl.SSLError, why):
                    pop.line()
        ends = site.wait_for_events("session_end", len(SUITES) * len(faults))
        self.assertEqual({e["why"] for e in ends}, {"connection_failed"})
        self.assertEqual(self.pop(site).login().stat()[0], len(MESSAGES))

    def test_renegotiation_is_refused(self):
        site = self.tls_site(messages=MESSAGES, ktls="off")
        with tls.OpenSslPop(site, "-brief", "-tls1_2") as pop:
            while not (line := pop.line()).startswith(b"+OK"):
                self.assertTrue(line)
            pop.send("R\n")  # s_client begins another handshake
            self.assertEqual(pop.rest(), b"")
        event, = site.wait_for_events("session_end")
        self.assertEqual(event["why"], "connection_failed")


class Reload(TlsCase):
    def test_new_files_for_new_sessions_and_wrong_ones_change_nothing(self):
        names = [os.path.join(tls.directory(), "live." + e) for e in ("pem", "key")]

        def put(pair):
            for source, to in zip(pair, names):
                with open(source, "rb") as f, open(to, "wb") as g:
                    g.write(f.read())

        def shown(pop):
            return pop.socket.getpeercert(binary_form=True)

        put(tls.certificate(HOST))
        site = self.tls_site(pairs=[tuple(names)], shards="2", messages=MESSAGES)
        old = self.pop(site).login()
        context = tls.context()
        with self.pop(site, context=context) as pop:
            pop.login().ok("NOOP")
        put(tls.certificate(HOST, days=60))
        site.process.send_signal(signal.SIGHUP)
        site.wait_for_events("tls_reloaded")
        for _ in range(4):
            new = self.pop(site).login()
            self.assertNotEqual(shown(new), shown(old))
        self.assertEqual(old.stat()[0], len(MESSAGES))
        put((tls.certificate(HOST)[0], tls.certificate("other")[1]))  # they do not belong together
        site.process.send_signal(signal.SIGHUP)
        event, = site.wait_for_events("tls_reload_failed")
        self.assertIn("does not belong", event["why"])
        self.assertEqual(shown(self.pop(site).login()), shown(new))
        os.unlink(names[0])
        site.process.send_signal(signal.SIGHUP)
        events = site.wait_for_events("tls_reload_failed", 2)
        self.assertIn(names[0], events[1]["why"])
        self.assertEqual(shown(self.pop(site).login()), shown(new))
        self.assertEqual(old.stat()[0], len(MESSAGES))

    def test_wrong_files_at_the_start_are_one_clear_line(self):
        good = tls.certificate(HOST)
        site = self.tls_site(start=False)
        for certificate, key, word in ((good[0], tls.certificate("b")[1], "does not belong"),
                                       (good[1], good[1], "no certificate"),
                                       (good[0], good[0], "no private key"),
                                       ("/nonexistent.pem", good[1], "/nonexistent.pem")):
            site.settings.update(tls.settings((certificate, key)))
            site.write_config()
            done = site.ringpost(program=harness.RINGPOSTD, check=False)
            self.assertNotEqual(done.returncode, 0)
            said = done.stderr.decode()
            self.assertEqual(len(said.strip().splitlines()), 1, said)
            self.assertIn(word, said)


class Check(TlsCase):
    def test_it_says_what_is_there_and_what_is_wrong(self):
        chain, key, root, _ = tls.issued(HOST)
        site = self.tls_site(start=False, pairs=[(chain, key), tls.certificate("b.example.org", "rsa")])
        done = site.ringpost("tls", "check")
        said = done.stdout.decode()
        self.assertRegex(said, r"ECDSA, 2 in its chain, until \d{4}-.* \((29|30) days\), for %s\n" % HOST)
        self.assertRegex(said, r"RSA, 1 in its chain, .* for b\.example\.org\n")
        torn = os.path.join(tls.directory(), "torn.pem")
        with open(torn, "wb") as f:
            for path in (chain, root, tls.certificate("c")[0]):
                with open(path, "rb") as part:
                    f.write(part.read())
        for pair, word in (((torn, key), "certificate 3 is not signed"),
                           ((chain, tls.certificate("b")[1]), "does not belong"),
                           (tls.certificate(HOST, days=-1), "expired")):
            site.settings.update(tls.settings(pair))
            site.write_config()
            done = site.ringpost("tls", "check", check=False)
            self.assertEqual(done.returncode, 65, done.stderr)
            self.assertIn(word, done.stderr.decode())


class Clients(TlsCase):
    def test_curl(self):
        harness.needs("curl", "openssl")
        for door, url in (("implicit", "pop3s"), ("stls", "pop3")):
            site = self.tls_site(door, messages=MESSAGES)
            for version in ("--tls-max 1.2", "--tlsv1.3"):
                done = subprocess.run(
                    ["curl", "-sS", "-k", "--ssl-reqd", *version.split(), "-u",
                     "alice:" + harness.SECRET, "%s://127.0.0.1:%d/1" % (url, site.port)],
                    capture_output=True, timeout=30)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assert_octets(done.stdout, harness.normalised(MESSAGES[0]))
            site.stop()

    def test_openssl_s_client(self):
        for door, more in (("implicit", []), ("stls", ["-starttls", "pop3"])):
            site = self.tls_site(door, messages=MESSAGES)
            for version in ("-tls1_2", "-tls1_3"):
                done = subprocess.run(
                    ["openssl", "s_client", "-quiet", "-crlf", version, *more, "-connect",
                     "127.0.0.1:%d" % site.port], capture_output=True, timeout=30,
                    input=b"USER alice\nPASS secret\nSTAT\nUIDL 1\nQUIT\n")
                self.assertIn(b"+OK goodbye\r\n", done.stdout, done.stderr)
                self.assertIn(b"+OK %d " % len(MESSAGES), done.stdout)
            site.stop()

    def test_openssl_changes_its_keys(self):
        """Without the kernel a KeyUpdate is followed here; s_client takes K for both sides' keys, k for its own."""
        messages = [MESSAGES[0], b"Subject: long\n\n" + b"0123456789\n" * 30000]
        site = self.tls_site(messages=messages, ktls="off")
        for count, cipher in enumerate(("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                        "TLS_CHACHA20_POLY1305_SHA256"), 1):
            with tls.OpenSslPop(site, "-brief", "-tls1_3", "-ciphersuites", cipher) as pop:
                while not (line := pop.line()).startswith(b"+OK"):
                    self.assertTrue(line)
                pop.ok("user alice")
                pop.ok("pass " + harness.SECRET)
                for letter in "KkK":
                    pop.send(letter + "\n")
                    time.sleep(0.2)  # s_client looks at the first octet of what it reads at once
                    for n, raw in enumerate(messages, 1):
                        wanted = harness.on_the_wire(raw)
                        pop.send("retr %d\r\n" % n)
                        self.assert_octets(pop.exactly(len(wanted)), wanted)
            event = site.wait_for_events("session_end", count)[-1]
            self.assertEqual((event["why"], event["retrieved"], event["ktls"]), ("closed_by_peer", "6", "no"))

    def run_client(self, site, program, config, *arguments):
        """Runs it with a configuration file of its own, in a home of its own; all it wrote to `got`."""
        harness.needs(program)
        home = os.path.join(site.directory, "home-" + program)
        os.makedirs(os.path.join(home, "got"))
        path = os.path.join(home, "config")
        with open(path, "w") as f:
            f.write(config.replace("HOME", home))
        os.chmod(path, 0o600)
        done = subprocess.run([program, *[a.replace("HOME", home) for a in arguments]],
                              capture_output=True, timeout=60, env=dict(os.environ, HOME=home))
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return sorted(os.listdir(os.path.join(home, "got")))

    def check_sessions(self, site):
        """All mail was fetched, and over TLS 1.2 or later."""
        event = site.wait_for_events("session_end")[-1]
        self.assertIn(event["tls"], ("1.2", "1.3"))
        self.assertGreaterEqual(int(event["retrieved"]) + int(event["topped"]), len(MESSAGES))

    def test_mpop(self):
        """It stands on GnuTLS."""
        for door, starttls in (("implicit", "off"), ("stls", "on")):
            site = self.tls_site(door, messages=MESSAGES)
            config = ("account a\nhost 127.0.0.1\nport %d\nuser alice\npassword %s\nauth user\n"
                      "tls on\ntls_starttls %s\ntls_certcheck off\nkeep on\nuidls_file HOME/uidls\n"
                      "delivery mbox HOME/got/mbox\n" % (site.port, harness.SECRET, starttls))
            self.assertEqual(self.run_client(site, "mpop", config, "-C", "HOME/config", "-q", "-a"),
                             ["mbox"])
            self.check_sessions(site)

    def test_fetchmail(self):
        for door, how in (("implicit", "ssl"), ("stls", 'sslproto "tls1+"')):
            site = self.tls_site(door, messages=MESSAGES)
            config = ('set no bouncemail\npoll 127.0.0.1 service %d protocol pop3\n'
                      'user "alice" password "%s" is root here keep no rewrite no mimedecode\n'
                      '%s no sslcertck mda "cat >> HOME/got/all"\n' % (site.port, harness.SECRET, how))
            self.assertEqual(self.run_client(site, "fetchmail", config, "-f", "HOME/config", "-i",
                                             "HOME/ids", "--pidfile", "HOME/pid"), ["all"])
            self.check_sessions(site)


class Kernel(TlsCase):
    def kernel_has_tls(self):
        with socket.socket() as s:
            try:
                s.setsockopt(socket.IPPROTO_TCP, 31, b"tls")  # TCP_ULP
            except OSError as error:
                return error.errno == errno.ENOTCONN
        return True

    def test_required_and_not_there_is_one_clear_line(self):
        site = self.tls_site(start=False, ktls="require")
        if self.kernel_has_tls():
            site.start()
            self.pop(site).login()
            return
        done = site.ringpost(program=harness.RINGPOSTD, check=False)
        self.assertNotEqual(done.returncode, 0)
        said = done.stderr.decode()
        self.assertEqual(len(said.strip().splitlines()), 1, said)
        self.assertIn("modprobe tls", said)

    def test_the_log_says_which_it_is(self):
        for ktls in ("auto", "off"):
            site = self.tls_site(ktls=ktls)
            self.pop(site).login().ok("QUIT")
            event, = site.wait_for_events("session_end")
            in_kernel = ktls == "auto" and self.kernel_has_tls()
            self.assertEqual(event["ktls"], "yes" if in_kernel else "no")
            self.assertEqual(event["records"], "kernel" if in_kernel else
                             {"auto": "no_kernel_support", "off": "setting"}[ktls])
            self.assertEqual(len(site.events("ktls_off")), 0 if in_kernel else 1)
            site.stop()
            self.assertEqual(sum(int(e["handshakes"]) for e in site.events("tls_counts")), 1)


if __name__ == "__main__":
    unittest.main()
