"""Run inside the VM with the newest kernel (tests/ktls/vm --newest): new keys in the middle of a session whose
records the kernel makes (KeyUpdate, RFC 8446, section 4.6.3).

/proc/net/tls_stat says that it was the kernel that took them.
"""
import contextlib
import os
import re
import select
import socket
import ssl
import struct
import sys
import time
import unittest

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)), where) for where in (".", "../e2e")]
import harness
import test_ktls
from test_kernel import AES_128_GCM, SOL_TLS, TCP_ULP, TLS_1_3, TLS_RX, TLS_TX, tls_stat
from test_ktls import ALERT, CIPHERS_13, HANDSHAKE, MEGABYTES_10, TlsCase, client_context, text_of
from tls import OpenSslPop

IN_A_ROW_MAX = 16  # io/conn_tls.c: more of them with nothing between end the session
TICKETS = 1        # records that the server sends before its greeting
GET_RECORD_TYPE = 2
NOT_REQUESTED, REQUESTED = 0, 1


@contextlib.contextmanager
def send_buffers_of(sizes):
    """Of sockets that are made meanwhile: least, first, most."""
    path = "/proc/sys/net/ipv4/tcp_wmem"
    with open(path) as f:
        kept = f.read()
    try:
        with open(path, "w") as f:
            f.write(sizes)
        yield
    finally:
        with open(path, "w") as f:
            f.write(kept)


def next_secret(secret):
    return test_ktls.expand(secret, b"traffic upd", 32)


class KernelPop(harness.Pop):
    """A client that changes keys when it likes: Python's ssl does the handshake, this side's kernel the rest."""

    def __init__(self, site, **how):
        super().__init__(site.port, **how)
        log = os.path.join(site.directory, "keys")
        context = client_context(ssl.TLSVersion.TLSv1_3)
        context.keylog_filename = log
        with context.wrap_socket(self.socket, server_hostname="mail.example.org") as wrapped:
            greeting = wrapped.recv(1024)
            if not greeting.startswith(b"+OK") or not greeting.endswith(b"\r\n"):
                raise AssertionError("greeting: %r" % greeting)
            self.socket = socket.socket(fileno=os.dup(wrapped.fileno()))
            self.socket.setblocking(True)
            self.assert_suite(wrapped)
        with open(log) as f:
            said = f.read()
        os.unlink(log)
        self.ours, self.theirs = (
            bytes.fromhex(re.search(r"(?m)^%s_TRAFFIC_SECRET_0 \w+ (\w+)$" % side, said).group(1))
            for side in ("CLIENT", "SERVER"))
        self.updates_heard = 0
        self.socket.setsockopt(socket.SOL_TCP, TCP_ULP, b"tls")
        self.set_keys(TLS_TX, self.ours, 0)
        self.set_keys(TLS_RX, self.theirs, TICKETS + 1)

    @staticmethod
    def assert_suite(wrapped):
        if wrapped.cipher()[0] != CIPHERS_13[0]:
            raise AssertionError(wrapped.cipher())

    def set_keys(self, direction, secret, sequence):
        key, iv = test_ktls.traffic_keys(secret)
        self.socket.setsockopt(SOL_TLS, direction, struct.pack("HH", TLS_1_3, AES_128_GCM[0]) + iv[4:] + key
                               + iv[:4] + struct.pack(">Q", sequence))

    def login_behind_greeting(self):
        self.ok("USER alice")
        self.ok("PASS " + harness.SECRET)

    def send_record(self, record_type, octets):
        self.socket.sendmsg([octets], [(SOL_TLS, 1, bytes([record_type]))])

    def update(self, request, message=None):
        self.send_record(HANDSHAKE, message or bytes((24, 0, 0, 1, request)))
        self.ours = next_secret(self.ours)
        self.set_keys(TLS_TX, self.ours, 0)

    def receive(self):
        """Looks first: poll() says nothing while a KeyUpdate lies decrypted in this side's kernel."""
        deadline = time.monotonic() + harness.WAIT_S
        while time.monotonic() < deadline:
            try:
                return self.socket.recvmsg(1 << 16, 64, socket.MSG_DONTWAIT)
            except BlockingIOError:
                select.select([self.socket], [], [], 0.05)
        raise TimeoutError("nothing came")

    def take_record(self):
        """(type, octets) of the next one; a KeyUpdate is followed."""
        octets, control, *_ = self.receive()
        record_type = control[0][2][0] if control else None
        if record_type == HANDSHAKE and octets == bytes((24, 0, 0, 1, NOT_REQUESTED)):
            self.updates_heard += 1
            self.theirs = next_secret(self.theirs)
            self.set_keys(TLS_RX, self.theirs, 0)
        return record_type, octets

    def _fill(self):
        record_type, octets = self.take_record()
        if record_type in (None, 23):
            self.buffer += octets
            return bool(octets)
        if record_type == HANDSHAKE:
            return True
        raise AssertionError("record of type %s: %r" % (record_type, octets))


class RekeyCase(TlsCase):
    def assert_moved(self, before, wanted):
        """Counters of the whole VM: a client in the kernel counts too."""
        deadline = time.monotonic() + harness.WAIT_S
        while time.monotonic() < deadline:
            moved = {name: tls_stat()[name] - before[name] for name in wanted}
            if moved == wanted:
                return
            time.sleep(0.02)
        self.assertEqual(moved, wanted)

    def end_of(self, site, count=1):
        return site.wait_for_events("session_end", count)[-1]


class ByOpenSsl(RekeyCase):
    """s_client takes a line that begins with K for: change both sides' keys, with k: change mine."""

    def log_in(self, pop):
        while not (line := pop.line()).startswith(b"+OK"):  # s_client says a word of its own first
            self.assertTrue(line)
        pop.ok("user alice")
        pop.ok("pass " + harness.SECRET)

    def assert_retr(self, pop, number, raw):
        wanted = harness.on_the_wire(raw)
        pop.send("retr %d\r\n" % number)  # R alone would renegotiate
        self.assert_octets(pop.exactly(len(wanted)), wanted, "message %d" % number)

    def test_in_all_ciphers(self):
        messages = [text_of(n) for n in (3, 16384, 200000)]
        site = self.tls_site(messages=messages)
        for count, cipher in enumerate(CIPHERS_13, 1):
            with OpenSslPop(site, "-brief", "-tls1_3", "-ciphersuites", cipher) as pop:
                self.log_in(pop)
                for letter in "KkK":
                    before = tls_stat()
                    pop.send(letter + "\n")
                    self.assert_moved(before, {"TlsRxRekeyOk": 1, "TlsTxRekeyOk": int(letter == "K")})
                    for n, raw in enumerate(messages, 1):
                        self.assert_retr(pop, n, raw)
            event = self.end_of(site, count)
            self.assertEqual((event["why"], event["retrieved"]), ("closed_by_peer", "9"), event)
        self.ends(site, len(CIPHERS_13))


class ByRecords(RekeyCase):
    def test_the_server_says_that_it_can(self):
        site = self.tls_site()
        event, = site.wait_for_events("ktls_on")
        self.assertEqual(event["rekey"], "yes", event)

    def test_whole_replies_between_changes(self):
        messages = [text_of(n) for n in (3, 16380, 16384, 16390, 100000)]
        site = self.tls_site(messages=messages)
        with KernelPop(site) as pop:
            pop.login_behind_greeting()
            for again in range(40):
                pop.update(REQUESTED if again % 2 else NOT_REQUESTED)
                self.assert_retr(pop, again % 5 + 1, messages[again % 5])
                self.assertEqual(pop.updates_heard, (again + 1) // 2)
            pop.ok("QUIT")
            self.assertEqual(pop.take_record(), (ALERT, b"\x01\x00"))  # close_notify
        self.assertEqual(self.end_of(site)["why"], "quit")
        self.ends(site, 1)

    def test_in_the_middle_of_a_reply(self):
        """With small buffers between, the change of our keys lies between two records of one reply."""
        raw = text_of(200000)
        wanted = harness.on_the_wire(raw)
        site = self.tls_site(messages=[raw])
        with send_buffers_of("4096 16384 32768"), KernelPop(site, receive_buffer=4096) as pop:
            pop.login_behind_greeting()
            for again in range(1, 4):
                pop.send("RETR 1\r\n")
                got = pop.exactly(20000)
                pop.update(REQUESTED)
                got += pop.exactly(len(wanted) - len(got) - 5000)
                self.assertEqual(pop.updates_heard, again)
                got += pop.exactly(5000)
                self.assert_octets(got, wanted)
            pop.ok("QUIT")
        self.assertEqual(self.end_of(site)["why"], "quit")

    def test_behind_a_long_reply(self):
        """What the server does not read before its reply is out, it answers then."""
        site = self.tls_site(messages=[MEGABYTES_10])
        wanted = harness.on_the_wire(MEGABYTES_10)
        with KernelPop(site) as pop:
            pop.login_behind_greeting()
            pop.send("RETR 1\r\n")
            got = pop.exactly(20000)
            for _ in range(5):
                pop.update(REQUESTED)
                got += pop.exactly(1 << 20)
            got += pop.exactly(len(wanted) - len(got))
            self.assert_octets(got, wanted)
            pop.ok("QUIT")
            self.assertGreater(pop.updates_heard, 0)
        self.assertEqual(self.end_of(site)["why"], "quit")

    def test_commands_right_behind_and_before(self):
        raw = text_of(5000)
        site = self.tls_site(messages=[raw])
        wanted = harness.on_the_wire(raw)
        with KernelPop(site) as pop:
            pop.login_behind_greeting()
            for _ in range(20):
                pop.send("RETR 1\r\nNOOP\r\n")
                pop.update(REQUESTED)
                pop.send("RETR 1\r\n")
            for _ in range(20):
                self.assert_octets(pop.exactly(len(wanted)), wanted)
                self.assertTrue(pop.line().startswith(b"+OK"))
                self.assert_octets(pop.exactly(len(wanted)), wanted)
            pop.ok("QUIT")
        self.assertEqual(self.end_of(site)["why"], "quit")

    def assert_ended_by_an_alert(self, site, pop):
        record_type, octets = pop.take_record()
        while record_type == HANDSHAKE:
            record_type, octets = pop.take_record()
        self.assertEqual((record_type, octets), (ALERT, b"\x02\x0a"))  # fatal, unexpected_message
        self.assertEqual(self.end_of(site)["why"], "connection_failed")

    def test_change_after_change_is_ended(self):
        site = self.tls_site()
        with KernelPop(site) as pop:
            pop.login_behind_greeting()
            for _ in range(IN_A_ROW_MAX):
                pop.update(NOT_REQUESTED)
            pop.ok("NOOP")
            for _ in range(IN_A_ROW_MAX + 1):
                pop.update(NOT_REQUESTED)
            self.assert_ended_by_an_alert(site, pop)

    def test_what_is_no_key_update_is_refused(self):
        for message in (b"\x18\x00\x00\x01\x02", b"\x18\x00\x00\x01", b"\x18\x00\x00\x01\x00\x18\x00\x00\x01\x00"):
            with self.subTest(message=message):
                site = self.tls_site()
                with KernelPop(site) as pop:
                    pop.login_behind_greeting()
                    pop.send_record(HANDSHAKE, message)
                    self.assert_ended_by_an_alert(site, pop)


if __name__ == "__main__":
    unittest.main()
