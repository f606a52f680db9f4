"""Run inside the VM (tests/ktls/vm): ringpostd over TLS, its records made by the kernel.

Every site says `ktls = require`, and each test looks at the log and at /proc/net/tls_stat: nothing here can pass
with records made in user space.
"""
import contextlib
import hashlib
import hmac
import os
import random
import re
import signal
import socket
import ssl
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../e2e"))
import harness
import tls
from test_kernel import AES_128_GCM, SOL_TLS, TCP_ULP, TLS_1_3, TLS_TX, tls_stat
from tls import OpenSslPop

RECORD_OCTETS_MAX = 16384
ALERT, HANDSHAKE = 21, 22
CIPHERS_13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
CIPHERS_12 = tuple("ECDHE-%s-%s" % (key, cipher) for key in ("ECDSA", "RSA") for cipher in
                   ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"))
LINE = b"0123456789" * 7 + b"\r\n"
MEGABYTES_10 = b"Subject: large\r\n\r\n" + LINE * ((10 << 20) // len(LINE))


def text_of(octets):
    """A message of exactly so many octets, CRLF and all; at least 2."""
    lines, rest = divmod(octets - 2, len(LINE))
    return LINE * lines + b"x" * rest + b"\r\n"


def client_context(version=None, ciphers=None):
    context = tls.context(version, ciphers)
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # or an end without close_notify looks like one with it
    return context


# ---- clients --------------------------------------------------------------------------------------

def connect(site, context=None, **how):
    return tls.TlsPop(site.port, context=context or client_context(), **how)


class RecordPop(harness.Pop):
    """Sees each record: `records` has the plain octets of every one, in order.  What is `behind` goes out in
    one write with the last message of the handshake."""

    def __init__(self, site, behind=b""):
        super().__init__(site.port)
        self.records = []
        self.inward, self.outward = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = client_context().wrap_bio(self.inward, self.outward, server_hostname="mail.example.org")
        while True:
            try:
                self.session.do_handshake()
                break
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outward.read())
                self.take_record()
        self.send(behind) if behind else self.socket.sendall(self.outward.read())

    def octets(self, count):
        got = b""
        while len(got) < count:
            more = self.socket.recv(count - len(got))
            if not more:
                raise EOFError("the connection ended inside a record")
            got += more
        return got

    def take_record(self):
        header = self.octets(5)
        self.inward.write(header + self.octets(struct.unpack(">H", header[3:])[0]))

    def _fill(self):
        self.take_record()
        with contextlib.suppress(ssl.SSLWantReadError):  # a ticket
            self.records.append(self.session.read(1 << 17))
            self.buffer += self.records[-1]
        return True

    def send(self, octets):
        self.session.write(octets if isinstance(octets, bytes) else octets.encode())
        self.socket.sendall(self.outward.read())


def expand(secret, label, length):
    """HKDF-Expand-Label (RFC 8446, section 7.1) with SHA-256, without a context."""
    info = struct.pack(">HB", length, 6 + len(label)) + b"tls13 " + label + b"\0"
    return hmac.digest(secret, info + b"\1", hashlib.sha256)[:length]


def traffic_keys(secret):
    """RFC 8446, section 7.3, for AES-128-GCM."""
    return expand(secret, b"key", 16), expand(secret, b"iv", 12)


def send_record(pop, key_log, record_type, octets):
    """Sends a record of any type over a connection that has sent nothing but its handshake: this side's kernel
    gets the keys from the log of secrets."""
    with open(key_log) as f:
        secret = re.search(r"^CLIENT_TRAFFIC_SECRET_0 \w+ (\w+)$", f.read(), re.M).group(1)
    key, iv = traffic_keys(bytes.fromhex(secret))
    info = struct.pack("HH", TLS_1_3, AES_128_GCM[0]) + iv[4:] + key + iv[:4] + bytes(8)
    with socket.socket(fileno=os.dup(pop.socket.fileno())) as raw:
        raw.setsockopt(socket.SOL_TCP, TCP_ULP, b"tls")
        raw.setsockopt(SOL_TLS, TLS_TX, info)
        raw.sendmsg([octets], [(SOL_TLS, 1, bytes([record_type]))])  # TLS_SET_RECORD_TYPE


# ---- tests ----------------------------------------------------------------------------------------

class TlsCase(harness.Case):
    def setUp(self):
        self.counted = tls_stat()

    def tls_site(self, door="implicit", **more):
        pairs = [tls.certificate("mail.example.org", kind) for kind in ("ecdsa", "rsa")]
        return self.site(listener={"tls": '"%s"' % door, "plaintext_auth": "no"}, shards="1",
                         ktls='"require"', **tls.settings(*pairs), **more)

    def ends(self, site, count):
        """The log's line for each of so many sessions; each had its records made by the kernel."""
        events = site.wait_for_events("session_end", count)
        self.assertEqual(len(events), count, site.log())
        for event in events:
            self.assertEqual((event["ktls"], event["records"]), ("yes", "kernel"), event)
        moved = tls_stat()
        for counter in ("TlsTxSw", "TlsRxSw"):
            self.assertGreaterEqual(moved[counter] - self.counted[counter], count, counter)
        return events

    def assert_retr(self, pop, number, raw):
        wanted = harness.on_the_wire(raw)
        pop.send("RETR %d\r\n" % number)
        self.assert_octets(pop.exactly(len(wanted)), wanted, "message %d" % number)

    def assert_closed_well(self, pop):
        """SSLEOFError where close_notify is missing."""
        self.assertEqual(pop.exactly(1), b"")


class Ciphers(TlsCase):
    MESSAGES = [text_of(n) for n in (2, 3, 1000, 16383, 16384, 16385, 100000, 1 << 20)]

    def check(self, pop):
        pop.login()
        for n, raw in enumerate(self.MESSAGES, 1):
            self.assert_retr(pop, n, raw)
        pop.send("".join("RETR %d\r\n" % n for n in range(1, len(self.MESSAGES) + 1)) + "QUIT\r\n")
        for raw in self.MESSAGES:
            wanted = harness.on_the_wire(raw)
            self.assert_octets(pop.exactly(len(wanted)), wanted)
        self.assertTrue(pop.line().startswith(b"+OK"))

    def test_of_tls_1_3(self):
        site = self.tls_site(messages=self.MESSAGES)
        for cipher in CIPHERS_13:
            with OpenSslPop(site, "-quiet", "-tls1_3", "-ciphersuites", cipher) as pop:
                self.check(pop)
        suites = [event["cipher"] for event in self.ends(site, len(CIPHERS_13))]
        self.assertEqual(len(set(suites)), len(CIPHERS_13), suites)

    def test_of_tls_1_2(self):
        site = self.tls_site(messages=self.MESSAGES)
        for cipher in CIPHERS_12:
            with connect(site, client_context(ssl.TLSVersion.TLSv1_2, cipher)) as pop:
                self.assertEqual(pop.socket.cipher()[0], cipher)
                self.check(pop)
                self.assert_closed_well(pop)
        suites = [event["cipher"] for event in self.ends(site, len(CIPHERS_12))]
        self.assertEqual(suites[:3], suites[3:])
        self.assertEqual(len(set(suites)), 3, suites)


class Sending(TlsCase):
    def test_one_octet_to_ten_megabytes(self):
        messages = [b"", b"x", b"\n"] + [text_of(1 << n) for n in range(1, 23)] + [MEGABYTES_10]
        site = self.tls_site(messages=messages)
        with connect(site) as pop:
            pop.login()
            for n, raw in enumerate(messages, 1):
                self.assert_retr(pop, n, raw)
            pop.ok("QUIT")
            self.assert_closed_well(pop)
        self.ends(site, 1)

    def test_the_end_line_is_never_torn(self):
        """Around each edge of a record the end of a reply, CRLF . CRLF, is whole in the last one."""
        messages = [text_of(edge * RECORD_OCTETS_MAX - over) for edge in (1, 2, 5) for over in range(-4, 36)]
        site = self.tls_site(messages=messages)
        with RecordPop(site) as pop:
            pop.login()
            for n, raw in enumerate(messages, 1):
                self.assert_retr(pop, n, raw)
                self.assertTrue(pop.records[-1].endswith(b"\r\n.\r\n"),
                                "message %d, the last record: %r" % (n, pop.records[-1][-20:]))
            pop.ok("QUIT")
        self.ends(site, 1)

    def test_commands_right_behind_the_handshake(self):
        """What wolfSSL has decrypted already is handed on; nothing is lost where the kernel takes over."""
        messages = harness.varied_messages(60)
        site = self.tls_site(messages=messages)
        commands = "USER alice\r\nPASS secret\r\n" + "".join("RETR %d\r\n" % n for n in range(1, 61))
        for _ in range(5):
            with RecordPop(site, behind=commands.encode()) as pop:
                for _ in range(3):  # greeting, USER, PASS
                    self.assertTrue(pop.line().startswith(b"+OK"))
                for n, raw in enumerate(messages, 1):
                    wanted = harness.on_the_wire(raw)
                    self.assert_octets(pop.exactly(len(wanted)), wanted, "message %d" % n)
                pop.ok("QUIT")
        self.ends(site, 5)

    def test_cold_mail(self):
        """What is not in the page cache goes another way (docs/DESIGN.md) and comes out the same."""
        messages = harness.varied_messages(30) + [text_of(n << 20) for n in (1, 2, 4)]
        site = self.tls_site(messages=messages)
        with connect(site) as pop:
            pop.login()
            for n in random.Random(2).sample(range(1, len(messages) + 1), len(messages)):
                os.sync()
                with open("/proc/sys/vm/drop_caches", "w") as f:
                    f.write("1\n")
                self.assert_retr(pop, n, messages[n - 1])
            pop.ok("QUIT")
            self.assert_closed_well(pop)
        self.ends(site, 1)

    def test_pipelined_in_pieces(self):
        messages = harness.varied_messages(60)
        site = self.tls_site(messages=messages)
        r = random.Random(1)
        order = [r.randint(1, 60) for _ in range(150)]
        commands = ("".join("RETR %d\r\nNOOP\r\n" % n for n in order) + "QUIT\r\n").encode()
        with connect(site) as pop:
            pop.login()
            while commands:
                cut = r.randint(1, 80)
                pop.send(commands[:cut])
                commands = commands[cut:]
            for n in order:
                wanted = harness.on_the_wire(messages[n - 1])
                self.assert_octets(pop.exactly(len(wanted)), wanted, "message %d" % n)
                self.assertTrue(pop.line().startswith(b"+OK"))
            self.assertTrue(pop.line().startswith(b"+OK"))
            self.assert_closed_well(pop)
        self.ends(site, 1)

    def test_a_slow_reader_holds_nobody_and_gets_everything(self):
        raw = text_of(3 << 20)
        site = self.tls_site(messages=[raw, b"Subject: small\n\nsmall\n"])
        wanted = harness.on_the_wire(raw)
        with connect(site, receive_buffer=4096) as slow, connect(site) as quick:
            slow.login()
            quick.login()
            slow.send("RETR 1\r\nQUIT\r\n")
            got = bytearray()
            for _ in range(20):
                got += slow.socket.recv(300)
                self.assert_retr(quick, 2, b"Subject: small\n\nsmall\n")
                time.sleep(0.02)
            got += slow.exactly(len(wanted) - len(got))
            self.assert_octets(bytes(got), wanted)
            self.assertTrue(slow.line().startswith(b"+OK"))
            self.assert_closed_well(slow)
            quick.ok("QUIT")
        self.ends(site, 2)


class Doors(TlsCase):
    def test_stls(self):
        messages = harness.varied_messages(20)
        site = self.tls_site(door="stls", messages=messages)
        with connect(site, stls=True) as pop:
            pop.login()
            for n, raw in enumerate(messages, 1):
                self.assert_retr(pop, n, raw)
            pop.ok("QUIT")
            self.assert_closed_well(pop)
        self.ends(site, 1)

    def test_a_session_is_resumed(self):
        raw = text_of(50000)
        site = self.tls_site(messages=[raw])
        for version, count in ((ssl.TLSVersion.TLSv1_3, 1), (ssl.TLSVersion.TLSv1_2, 2)):
            context, kept = client_context(version), None
            for again in range(3):
                with connect(site, context, session=kept) as pop:
                    self.assertEqual(pop.socket.session_reused, again > 0, version)
                    pop.login()
                    self.assert_retr(pop, 1, raw)
                    kept = pop.socket.session
                    pop.ok("QUIT")
                    self.assert_closed_well(pop)
            resumed = [event["resumed"] for event in self.ends(site, 3 * count)]
            self.assertEqual(resumed[-3:], ["no", "yes", "yes"])


class Ends(TlsCase):
    def end_of(self, site, pop, neighbour):
        """The one connection is over, its neighbour goes on."""
        events = site.wait_for_events("session_end")
        self.assertEqual(len(events), 1, site.log())
        neighbour.ok("NOOP")
        neighbour.ok("QUIT")
        self.assert_closed_well(neighbour)
        self.ends(site, 2)
        return events[0]

    def test_the_client_says_goodbye(self):
        site = self.tls_site()
        with connect(site) as pop, connect(site) as neighbour:
            pop.login()
            neighbour.login()
            pop.socket.unwrap().close()  # answers close_notify, or this fails
            self.assertEqual(self.end_of(site, pop, neighbour)["why"], "closed_by_peer")

    def odd_record(self, record_type, octets):
        """Sends it behind the handshake; returns the session's end and what the client read until its own."""
        site = self.tls_site()
        log = os.path.join(site.directory, "keys")
        context = client_context(ssl.TLSVersion.TLSv1_3)
        context.keylog_filename = log
        with connect(site, context) as pop, connect(site) as neighbour:
            self.assertEqual(pop.socket.cipher()[0], "TLS_AES_128_GCM_SHA256")
            neighbour.login()
            self.assertTrue(pop.line().startswith(b"+OK"))
            send_record(pop, log, record_type, octets)
            end = self.end_of(site, pop, neighbour)
            try:
                answer = pop.exactly(1)
            except ssl.SSLError as alert:
                answer = alert.reason
            except ConnectionResetError:
                answer = "reset"
        return end, answer

    def test_the_client_gives_up_by_an_alert(self):
        end, _ = self.odd_record(ALERT, b"\x02\x50")  # fatal, internal_error
        self.assertEqual(end["why"], "connection_failed")

    def test_new_keys_end_the_session_in_order(self):
        """Linux 6.1 cannot rekey (tests/ktls/test_rekey.py has one that can): the client hears why it ends."""
        for request in (b"\0", b"\1"):
            end, answer = self.odd_record(HANDSHAKE, b"\x18\x00\x00\x01" + request)  # KeyUpdate
            self.assertEqual(answer, "SSLV3_ALERT_UNEXPECTED_MESSAGE")
            self.assertEqual(end["why"], "connection_failed")

    def test_the_client_hears_that_a_record_was_forged(self):
        """As it does of records that are opened in user space (tests/e2e/test_tls.py)."""
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            site = self.tls_site()
            with connect(site, client_context(version)) as pop, connect(site) as neighbour:
                pop.login()
                neighbour.login()
                os.write(pop.socket.fileno(), b"\x17\x03\x03\x00\x40" + os.urandom(64))
                with self.assertRaisesRegex(ssl.SSLError, "(?i)bad record mac"):
                    pop.line()
                self.assertEqual(self.end_of(site, pop, neighbour)["why"], "connection_failed")
            self.counted = tls_stat()

    def test_the_log_says_that_it_cannot(self):
        event, = self.tls_site().wait_for_events("ktls_on")
        self.assertEqual((event["rekey"], event["why"]), ("no", "Device or resource busy"))

    def test_renegotiation_is_refused(self):
        """A ClientHello inside TLS 1.2."""
        site = self.tls_site()
        with connect(site) as neighbour:
            neighbour.login()
            with OpenSslPop(site, "-tls1_2") as pop:
                while b"+OK" not in pop.line():  # s_client tells what it thinks of the certificate
                    pass
                pop.send("R\n")
                pop.rest()  # s_client ends
                self.assertEqual(len(site.wait_for_events("session_end")), 1, site.log())
            neighbour.ok("QUIT")
        self.ends(site, 2)

    def test_key_update_of_a_real_client(self):
        site = self.tls_site()
        with connect(site) as neighbour:
            neighbour.login()
            with OpenSslPop(site, "-tls1_3") as pop:
                while b"+OK" not in pop.line():
                    pass
                pop.send("K\n")
                pop.rest()
                self.assertEqual(len(site.wait_for_events("session_end")), 1, site.log())
            neighbour.ok("QUIT")
        self.ends(site, 2)

    def test_octets_that_are_no_record(self):
        site = self.tls_site()
        with connect(site) as pop, connect(site) as neighbour:
            pop.login()
            neighbour.login()
            with socket.socket(fileno=os.dup(pop.socket.fileno())) as raw:
                raw.sendall(b"\x17\x03\x03\x00\x30" + b"no seal of ours, no seal of ours, no seal of o..")
            self.end_of(site, pop, neighbour)

    def test_a_kill_is_seen_by_the_client_and_harms_nothing(self):
        site = self.tls_site(messages=[MEGABYTES_10])
        with connect(site, receive_buffer=4096) as pop:
            pop.login()
            pop.send("RETR 1\r\n")
            pop.exactly(20000)
            site.process.send_signal(signal.SIGKILL)
            with self.assertRaises((ssl.SSLError, ConnectionResetError)):
                while pop.exactly(1 << 20):
                    pass
        site.kill()
        site.start_after_kill()
        with connect(site) as pop:
            pop.login()
            self.assert_retr(pop, 1, MEGABYTES_10)
            pop.ok("QUIT")
            self.assert_closed_well(pop)
        self.ends(site, 1)


class Memory(TlsCase):
    FIRST, SESSIONS = 60, 140
    KIB_EACH_MAX = 4  # a WOLFSSL takes 64; memory grows in steps of some 256 for all

    def test_nothing_of_wolfssl_is_left(self):
        site, context = self.tls_site(), client_context()
        with contextlib.ExitStack() as held:
            for _ in range(self.FIRST):  # what is taken once, and what the allocator keeps of handshakes
                held.enter_context(connect(site, context)).login()
            before = self.resident_kib(site)
            for _ in range(self.SESSIONS):
                held.enter_context(connect(site, context)).login()
            each = (self.resident_kib(site) - before) / self.SESSIONS
            now = tls_stat()
        print("# KiB for each idle session: %.2f" % each)
        self.assertLess(each, self.KIB_EACH_MAX)
        for counter in ("TlsCurrTxSw", "TlsCurrRxSw"):
            self.assertEqual(now[counter] - self.counted[counter], self.FIRST + self.SESSIONS, counter)

    def resident_kib(self, site):
        with open("/proc/%d/status" % site.process.pid) as f:
            return int(next(line.split()[1] for line in f if line.startswith("VmRSS")))


if __name__ == "__main__":
    unittest.main()
