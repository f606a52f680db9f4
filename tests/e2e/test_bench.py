"""ringpost-bench: is a wrong answer an error, and a right one none, in every way it can speak?

ringpost is what it speaks POP3 to in clear; for TLS and LMTP there are small servers here, in Python and
so that they share nothing with the generator.
"""
import json
import os
import re
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

import harness

BENCH = os.path.join(harness.BUILD, "ringpost-bench")
MESSAGES = harness.varied_messages(60)


def bench(mix, port, *more, expect=0):
    done = subprocess.run(
        [BENCH, "bench/mixes/%s.mix" % mix, "--port", str(port), "--json", "--quiet", "--warmup", "0",
         "--connections", "4", *more],
        cwd=harness.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        timeout=harness.WAIT_S * 4)
    if done.returncode != expect:
        raise AssertionError("exit %d: %s %s" % (done.returncode, done.stderr, done.stdout[-800:]))
    return json.loads(done.stdout)


def write_maildir(folder, messages):
    os.makedirs(folder + "/cur")
    os.makedirs(folder + "/new")
    for n, text in enumerate(messages):
        with open("%s/cur/%d.M%d.here:2,S" % (folder, 1700000000 + n, n), "wb") as to:
            to.write(text)


class Stub:
    """A server with a thread for each connection; `talk` gets a file of octets and the socket."""

    def __init__(self, talk, context=None):
        self.talk, self.context = talk, context
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.resumed, self.failed = 0, []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                guest, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(guest,), daemon=True).start()

    def secure(self, guest):
        guest = self.context.wrap_socket(guest, server_side=True, suppress_ragged_eofs=True)
        self.resumed += guest.session_reused
        return guest

    def serve(self, guest):
        try:
            with guest:
                self.talk(self, guest)
        except (OSError, ValueError) as error:
            self.failed.append(error)

    def close(self):
        self.listener.close()


def certificate(directory):
    name = directory + "/pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                    "-nodes", "-keyout", name, "-out", name + ".crt", "-days", "2", "-subj", "/CN=localhost"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(name + ".crt", name)
    return context


BIG = b"+OK 90003 octets\r\n" + b"x" * 88 + b"\r\n" + b"\r\n" + b"y" * 89909 + b"\r\n.\r\n"


def pop3(stub, guest, stls):
    """Enough of a POP3 server for the mixes login and fetch."""
    replies = {b"USER": b"+OK\r\n", b"PASS": b"+OK in\r\n", b"STAT": b"+OK 2 180006\r\n", b"RETR": BIG,
               b"QUIT": b"+OK bye\r\n"}
    secured = not stls
    if secured:
        guest = stub.secure(guest)
    guest.sendall(b"+OK here\r\n")
    lines = guest.makefile("rb")
    for line in lines:
        word = line.split()[0]
        if word == b"STLS" and not secured:
            guest.sendall(b"+OK go on\r\n")
            guest, secured = stub.secure(guest), True
            lines = guest.makefile("rb")
            return pop3_go_on(guest, lines, replies)
        if not secured:
            raise ValueError("%r in clear" % line)
        guest.sendall(replies[word])
        if word == b"QUIT":
            return guest.close()


def pop3_go_on(guest, lines, replies):
    for line in lines:
        guest.sendall(replies[line.split()[0]])
        if line.startswith(b"QUIT"):
            return guest.close()


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.context = certificate(cls.directory.name)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def run_against(self, how, *more, mix="fetch"):
        stub = Stub(lambda s, g: pop3(s, g, how == "stls"), self.context)
        result = bench(mix, stub.port, "--tls", how, "--sessions", "20", *more)
        stub.close()
        self.assertEqual(stub.failed, [])
        self.assertEqual(result["errors"]["count"], 0)
        self.assertEqual(result["sessions"], 20)
        self.assertEqual(result["tls"]["handshakes"], 20)
        self.assertEqual(result["tls"]["resumed"], stub.resumed)
        return result

    def test_implicit(self):
        result = self.run_against("implicit", "--tls-version", "1.3")
        self.assertIn("TLSv1.3", result["tls"]["session"])
        self.assertEqual(result["messages"], 40)
        self.assertEqual(result["tls"]["resumed"], 0)

    def test_stls(self):
        result = self.run_against("stls", "--tls-version", "1.2", "--pipeline", "4")
        self.assertIn("TLSv1.2", result["tls"]["session"])
        self.assertEqual(result["latency"]["STLS"]["count"], 20)
        self.assertEqual(result["latency"]["TLS"]["count"], 20)

    def test_resumption(self):
        for version in ("1.2", "1.3"):
            result = self.run_against("implicit", "--resume", "--tls-version", version, mix="login")
            self.assertGreater(result["tls"]["resumed"], 8)

    def test_no_tls_there(self):
        stub = Stub(lambda s, g: g.sendall(b"+OK this is in clear\r\n") or g.recv(100))
        result = bench("login", stub.port, "--tls", "implicit", "--sessions", "4", expect=1)
        self.assertEqual(result["errors"]["by_kind"], {"TLS failed": 4})
        stub.close()


class Lmtp(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory()
        self.addCleanup(self.directory.cleanup)
        write_maildir(self.directory.name + "/mail", MESSAGES)
        self.taken = []

    def talk(self, stub, guest):
        lines = guest.makefile("rb")
        guest.sendall(b"220 here\r\n")
        recipients = []
        for line in lines:
            word = line.split()[0]
            if word == b"LHLO":
                guest.sendall(b"250-here\r\n250 PIPELINING\r\n")
            elif word == b"RCPT":
                recipients.append(re.search(rb"<(.*)>", line).group(1))
                guest.sendall(b"250 ok\r\n")
            elif word == b"DATA":
                guest.sendall(b"354 go on\r\n")
                text = b"".join(iter(lines.readline, b".\r\n"))
                self.taken.append((text, recipients))
                guest.sendall(b"".join(self.answer(r) for r in recipients))
                recipients = []
            else:
                guest.sendall(b"221 bye\r\n" if word == b"QUIT" else b"250 ok\r\n")
            if word == b"QUIT":
                return

    def answer(self, recipient):
        return b"250 stored for %s\r\n" % recipient

    def test_messages_arrive_whole(self):
        stub = Stub(self.talk)
        result = bench("deliver-many", stub.port, "--mail", self.directory.name + "/mail", "--users", "3",
                       "--sessions", "12", "--pipeline", "4")
        stub.close()
        self.assertEqual(stub.failed, [])
        self.assertEqual(result["messages"], 12 * (1 + 1 + 1 + 5))
        self.assertEqual(len(self.taken), 12 * 4)
        wanted = {harness.stuffed(harness.normalised(m)) for m in MESSAGES}
        for text, recipients in self.taken:
            self.assertIn(text, wanted)
            self.assertLessEqual(set(recipients), {b"user1", b"user2", b"user3"})
        self.assertGreater(len({text for text, _ in self.taken}), 10)

    def test_one_refused_recipient_is_an_error(self):
        self.answer = lambda r: b"452 4.2.2 full\r\n" if r == b"user2" else b"250 ok\r\n"
        stub = Stub(self.talk)
        result = bench("deliver", stub.port, "--mail", self.directory.name + "/mail", "--users", "2",
                       "--sessions", "4", expect=1)
        stub.close()
        self.assertEqual(result["errors"]["count"], 2)
        self.assertEqual(result["messages"], 2)


class Clear(harness.Case):
    def setUp(self):
        super().setUp()
        self.mail = tempfile.TemporaryDirectory()
        self.addCleanup(self.mail.cleanup)
        write_maildir(self.mail.name + "/alice", MESSAGES)

    def bench(self, mix, port, *more, expect=0):
        return bench(mix, port, "--user-pattern", "alice", "--sessions", "8", *more, expect=expect)

    def test_every_mix_verified(self):
        site = self.site(messages=MESSAGES)
        for mix in ("fetch", "top", "leave-on-server", "big-mail", "poll", "morning-rush"):
            for depth in ("1", "16"):
                result = self.bench(mix, site.port, "--verify", self.mail.name, "--pipeline", depth)
                self.assertEqual((result["errors"]["count"], result["sessions"]), (0, 8), mix)

    def test_fetch_delete_leaves_nothing(self):
        site = self.site(messages=MESSAGES)
        result = self.bench("fetch-delete", site.port, "--verify", self.mail.name, "--connections", "1")
        self.assertEqual(result["messages"], len(MESSAGES))

    def test_one_wrong_octet_is_an_error(self):
        site = self.site(messages=MESSAGES)
        path = self.mail.name + "/alice/cur/" + sorted(os.listdir(self.mail.name + "/alice/cur"))[7]
        with open(path, "r+b") as message:
            message.seek(10)
            octet = message.read(1)
            message.seek(10)
            message.write(bytes([octet[0] ^ 1]))
        result = self.bench("fetch", site.port, "--verify", self.mail.name, expect=1)
        self.assertEqual(result["errors"]["by_kind"], {"not the message of the source": 8})

    def test_a_missing_message_is_an_error(self):
        site = self.site(messages=MESSAGES[:-1])
        result = self.bench("login", site.port, "--verify", self.mail.name, expect=1)
        self.assertEqual(result["errors"]["by_kind"], {"not as many messages as in the source": 8})

    def test_open_loop_keeps_its_rate(self):
        site = self.site(messages=MESSAGES)
        result = bench("login", site.port, "--user-pattern", "alice", "--rate", "100", "--even", "--duration", "2")
        self.assertEqual(result["sessions"], 200)
        self.assertEqual(sum(result["course"]["sessions"]), 200)

    def test_page_holds_the_result(self):
        site = self.site(messages=MESSAGES)
        page = self.mail.name + "/page.html"
        self.bench("login", site.port, "--label", "<b>&\"x", "--html", page,
                   "--server-pid", str(site.process.pid))
        with open(page) as text:
            text = text.read()
        self.assertNotIn("<b>&", text)  # nobody's label is markup
        self.assertNotIn("http", text)  # nothing is fetched
        result = json.loads(re.search(r"const REPORT = (.*?);\nconst COLOURS", text, re.S).group(1))["runs"][0]
        self.assertEqual(result["run"]["server"], "<b>&\"x")
        self.assertGreater(result["server"]["peak_pss_octets"], 0)


if __name__ == "__main__":
    unittest.main()
