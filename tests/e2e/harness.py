"""harness.py - a site of our own for each test: spool, accounts, mail, a running ringpostd.

A Site makes everything in a temporary directory, starts the server on a free port of loopback and
stops it by SIGTERM.  Case checks at the end of each test that the server left with exit code 0 and
that no sanitizer had anything to say.  $RINGPOST_BUILD selects the programs (default build/release).

The model of what a message must look like on the wire is written here once more, in Python and from
RFC 1939 alone, so that it shares no mistake with storage/wire.c.
"""
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("RINGPOST_BUILD", "build/release"))
RINGPOST = os.path.join(BUILD, "ringpost")
RINGPOSTD = os.path.join(BUILD, "ringpostd")
FILL = os.path.join(BUILD, "tests/tools/fill")
DOMAIN = "example.org"
SECRET = "secret"
WAIT_S = 30.0
EX_UNAVAILABLE = 69

IS_SANITIZED = "asan" in os.path.basename(os.path.normpath(BUILD))
SANITIZER = re.compile(r"ERROR: (Address|Leak|Thread)Sanitizer|runtime error:|SUMMARY: ")


# ---- the model ------------------------------------------------------------------------------------

def normalised(raw):
    """What a client must get for a message that was imported as `raw`, before byte-stuffing."""
    text = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\0", b"\x80")
    if text and not text.endswith(b"\n"):
        text += b"\n"
    return text.replace(b"\n", b"\r\n")


def stuffed(text):
    return re.sub(rb"(?m)^\.", b"..", text)


def on_the_wire(raw):
    """The whole reply to RETR."""
    text = normalised(raw)
    return b"+OK %d octets\r\n" % len(text) + stuffed(text) + b".\r\n"


def varied_messages(count, seed=1):
    """Messages of many shapes: line ends, dots, 8 bits, NUL, no end, no body, long lines."""
    import random
    r = random.Random(seed)
    shapes = [
        lambda n: b"Body %d.\n" % n,
        lambda n: b".\n..\n...\n.x\n\n.\n" * (n % 5 + 1),
        lambda n: b"no end of the last line",
        lambda n: b"".join(b"line %d\r\n" % i for i in range(n % 50)),
        lambda n: b"\xe4\xf6\xfc \xff\x00\x01 mixed\n" * 3,
        lambda n: b"x" * (n * 97 % 9000) + b"\n" + b"y" * 1200 + b"\n",
        lambda n: b"",
        lambda n: b"\n\n\n\n",
        lambda n: b"one\rtwo\r\nthree\nfour\r\r\nfive\n",
        lambda n: bytes(r.randrange(256) for _ in range(n * 31 % 3000)),
        lambda n: b"From the start\n>From quoted\n" * 4,
    ]
    made = []
    for n in range(1, count + 1):
        header = (b"From: sender%d@example.net\nTo: alice@example.org\nSubject: message %d\n"
                  b"Date: Mon, 2 Jan 2023 10:%02d:%02d +0000\nMessage-Id: <%d.%d@example.net>\n"
                  % (n, n, n // 60 % 60, n % 60, n, seed))
        if n % 13 == 0:
            header = header.replace(b"\n", b"\r\n")
            made.append(header + b"\r\n" + shapes[n % len(shapes)](n))
        else:
            made.append(header + b"\n" + shapes[n % len(shapes)](n))
    return made


# ---- a client that sees every octet -------------------------------------------------------------

class Pop:
    """A socket that reads lines; nothing is interpreted."""

    def __init__(self, port, host="127.0.0.1", receive_buffer=None, timeout=WAIT_S, source=None):
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source:
            self.socket.bind((source, 0))
        self.socket.settimeout(timeout)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Go away in the rudest way: RST."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def send(self, octets):
        self.socket.sendall(octets if isinstance(octets, bytes) else octets.encode())

    def _fill(self):
        more = self.socket.recv(65536)
        self.buffer += more
        return more != b""

    def line(self):
        """The next line with its CRLF; b"" at the end of the connection."""
        while b"\n" not in self.buffer:
            if not self._fill():
                rest, self.buffer = self.buffer, b""
                return rest
        line, _, self.buffer = self.buffer.partition(b"\n")
        return line + b"\n"

    def multi(self):
        """A multi-line reply, its status line and end line included, as it came."""
        status = self.line()
        if not status.startswith(b"+OK"):
            return status
        pieces = [status]
        while pieces[-1] != b".\r\n":
            line = self.line()
            if not line:
                raise EOFError("the server closed inside a multi-line reply")
            pieces.append(line)
        return b"".join(pieces)

    def exactly(self, count):
        while len(self.buffer) < count:
            if not self._fill():
                break
        got, self.buffer = self.buffer[:count], self.buffer[count:]
        return got

    def rest(self):
        """All until the server closes."""
        try:
            while self._fill():
                pass
        except ConnectionResetError:
            pass
        got, self.buffer = self.buffer, b""
        return got

    def command(self, text):
        self.send(text + "\r\n" if isinstance(text, str) else text + b"\r\n")
        return self.line()

    def command_multi(self, text):
        self.send(text + "\r\n")
        return self.multi()

    def ok(self, text):
        reply = self.command(text)
        if not reply.startswith(b"+OK"):
            raise AssertionError("%s: %r" % (text, reply))
        return reply

    def login(self, name="alice", secret=SECRET):
        greeting = self.line()
        if not greeting.startswith(b"+OK"):
            raise AssertionError("greeting: %r" % greeting)
        self.ok("USER " + name)
        self.ok("PASS " + secret)
        return self

    def stat(self):
        _, count, octets = self.ok("STAT").split()[:3]
        return int(count), int(octets)

    def listing(self, command):
        """LIST or UIDL as a list of (number, value)."""
        reply = self.command_multi(command)
        if not reply.startswith(b"+OK"):
            raise EOFError("%s: %r" % (command, reply))
        lines = reply.split(b"\r\n")
        return [(int(n), value.decode()) for n, value in (l.split(b" ") for l in lines[1:-2])]


class Lmtp(Pop):
    """The same for LMTP; a path instead of a port is a local socket."""

    def __init__(self, port, hello=True, **how):
        """`hello` True: up to LHLO; False: up to the greeting; None: nothing is heard yet."""
        if isinstance(port, int):
            super().__init__(port, **how)
        else:
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(WAIT_S)
            self.socket.connect(port)
            self.buffer = b""
        if hello:
            self.hello()
        elif hello is not None:
            self.expect(220)

    def reply(self):
        """All lines of one reply."""
        lines = [self.line()]
        while lines[-1][3:4] == b"-":
            lines.append(self.line())
        return b"".join(lines)

    def answer(self):
        """The last line of one."""
        line = self.reply().splitlines(True)[-1:]
        if not line:
            raise EOFError("the server closed")
        return line[0]

    def ask(self, text):
        self.send(text + "\r\n")
        return self.answer()

    def say(self, text, code):
        self.send(text + "\r\n" if isinstance(text, str) else text + b"\r\n")
        return self.expect(code, text)

    def expect(self, code, what="reply"):
        reply = self.reply()
        if not reply.startswith(b"%d" % code):
            raise AssertionError("%s: %r" % (what, reply))
        return reply

    def hello(self):
        self.expect(220)
        self.say("LHLO client.example.net", 250)
        return self

    def envelope(self, *recipients, sender="sender@example.net"):
        self.say("MAIL FROM:<%s>" % sender, 250)
        for name in recipients:
            self.say("RCPT TO:<%s@%s>" % (name, DOMAIN), 250)
        return self

    def send_mail(self, message, *names):
        """One message, LF or CRLF, step by step; the replies, one for each recipient."""
        self.envelope(*names)
        self.say("DATA", 354)
        self.send(stuffed(normalised(message)) + b".\r\n")
        return [self.reply() for _ in names]

    def deliver(self, recipients, message, sender="sender@example.net"):
        """One transaction, `message` with CRLF line ends; an answer for each recipient."""
        self.send("MAIL FROM:<%s>\r\n" % sender
                  + "".join("RCPT TO:<%s>\r\n" % r for r in recipients) + "DATA\r\n")
        self.answer()
        answers = [self.answer() for _ in recipients]
        if self.answer().startswith(b"354"):
            self.send(stuffed(message) + b".\r\n")
            answers = [self.answer() if a.startswith(b"250") else a for a in answers]
        return answers


# ---- a site -----------------------------------------------------------------------------------------

def free_port(host="127.0.0.1"):
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as s:
        s.bind((host, 0))
        return s.getsockname()[1]


class Site:
    def __init__(self, listener=None, lmtp=None, in_memory=False, **settings):
        """`lmtp`: True, or settings: a second listener, on a port and a local socket."""
        memory = "/dev/shm" if in_memory and os.path.isdir("/dev/shm") else None
        self.directory = tempfile.mkdtemp(prefix="ringpost-e2e-", dir=memory)
        os.chmod(self.directory, 0o755)
        self.spool = os.path.join(self.directory, "spool")
        self.config = os.path.join(self.directory, "ringpost.conf")
        self.log_path = os.path.join(self.directory, "log")
        self.settings = {"user": '""', "default_domain": '"%s"' % DOMAIN,
                         "connections_per_address": "0", "password_scheme": '"plain"'}
        self.settings.update(settings)
        self.listener = {"plaintext_auth": "yes"}
        self.listener.update(listener or {})
        self.port = free_port()
        self.lmtp_listener = {} if lmtp is True else lmtp
        self.lmtp_port = free_port()
        self.lmtp_path = os.path.join(self.directory, "lmtp")
        self.process = None
        self.write_config()

    def write_config(self):
        with open(self.config, "w") as f:
            for name, value in self.settings.items():
                f.write("%s = %s\n" % (name, value))
            f.write('spool = "%s"\n' % self.spool)
            f.write('listen test {\n\taddress = "127.0.0.1:%d"\n' % self.port)
            for name, value in self.listener.items():
                f.write("\t%s = %s\n" % (name, value))
            f.write("}\n")
            if self.lmtp_listener is not None:
                f.write('listen lmtp {\n\tprotocol = lmtp\n\taddress = {"127.0.0.1:%d", "%s"}\n'
                        % (self.lmtp_port, self.lmtp_path))
                for name, value in self.lmtp_listener.items():
                    f.write("\t%s = %s\n" % (name, value))
                f.write("}\n")

    # accounts and mail

    def ringpost(self, *args, check=True, program=RINGPOST, **more):
        done = subprocess.run([program, "-c", self.config, *args], capture_output=True, timeout=300,
                              **more)
        if check and done.returncode != 0:
            raise AssertionError("ringpost %s: exit %d, %s"
                                 % (" ".join(map(str, args)), done.returncode, done.stderr.decode()))
        return done

    def add_user(self, name="alice", secret=SECRET, *flags):
        self.ringpost("user", "add", "%s@%s" % (name, DOMAIN), "--password-hash",
                      b"{PLAIN}" + (secret if isinstance(secret, bytes) else secret.encode()),
                      *flags)

    def deliver(self, messages, name="alice"):
        """One commit, as a delivery makes it; the server may be running."""
        done = subprocess.run([FILL, self.spool, "%s@%s" % (name, DOMAIN)], timeout=300,
                              input=b"".join(b"%d\n" % len(m) + m for m in messages),
                              capture_output=True)
        if done.returncode != 0:
            raise AssertionError("fill: " + done.stderr.decode())

    def write_maildir(self, messages, name="Maildir"):
        """A Maildir whose order, by time and name, is that of the list."""
        path = os.path.join(self.directory, name)
        for folder in ("cur", "new", "tmp"):
            os.makedirs(os.path.join(path, folder))
        for n, message in enumerate(messages):
            with open(os.path.join(path, "cur", "%d.M%06dP1.host:2,S" % (1000000000 + n, n)),
                      "wb") as f:
                f.write(message)
        return path

    def maildrop_directory(self, name="alice"):
        mail = os.path.join(self.spool, "mail")
        for first in os.listdir(mail):
            for second in os.listdir(os.path.join(mail, first)):
                path = os.path.join(mail, first, second, "%s@%s" % (name, DOMAIN))
                if os.path.isdir(path):
                    return path
        raise AssertionError("no maildrop of " + name)

    # the server

    def start(self, wrapper=(), preexec=None, wait=True):
        environment = dict(os.environ)
        environment.setdefault("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0:exitcode=99")
        environment.setdefault("UBSAN_OPTIONS", "print_stacktrace=1:halt_on_error=1")
        self.log_file = open(self.log_path, "ab")
        self.started_before = self.log().count("event=server_started")
        self.process = subprocess.Popen([*wrapper, RINGPOSTD, "-c", self.config],
                                        stdin=subprocess.DEVNULL, stdout=self.log_file,
                                        stderr=self.log_file, env=environment, preexec_fn=preexec)
        if wait:
            self.wait_until_it_listens()
        return self

    def start_after_kill(self):
        """The kernel closes the sockets of a killed ring a moment after its process is gone; as a
        service manager does, try again."""
        deadline = time.monotonic() + 10
        while True:
            self.start(wait=False)
            try:
                return self.wait_until_it_listens()
            except AssertionError:
                if self.process.returncode != EX_UNAVAILABLE or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def wait_until_it_listens(self):
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError("the server ended: exit %d\n%s"
                                     % (self.process.returncode, self.log()))
            # the event comes when all shards run; sockets take connections before that
            if self.log().count("event=server_started") > self.started_before:
                return
            time.sleep(0.01)
        raise AssertionError("the server did not start\n" + self.log())

    def stop(self, timeout=WAIT_S + 30):
        """SIGTERM and wait; returns the exit code."""
        if self.process is None:
            return 0
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            code = "did not end within %d s after SIGTERM" % timeout
        self.process = None
        self.log_file.close()
        return code

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process = None
        self.log_file.close()

    def cleanup(self):
        if self.process is not None:
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def log(self):
        with open(self.log_path, "rb") as f:
            return f.read().decode("utf-8", "replace")

    def events(self, name):
        """Events of that name as dicts."""
        found = []
        for line in self.log().splitlines():
            fields = dict(re.findall(r'(\w+)=("[^"]*"|\S*)', line))
            if fields.get("event") == name:
                found.append({k: v.strip('"') for k, v in fields.items()})
        return found

    def wait_for_events(self, name, count=1, timeout=10.0):
        deadline = time.monotonic() + timeout
        while True:
            found = self.events(name)
            if len(found) >= count or time.monotonic() > deadline:
                return found
            time.sleep(0.02)

    def pop(self, **how):
        return Pop(self.port, **how)

    def lmtp(self, **how):
        return Lmtp(self.lmtp_port, hello=None, **how)

    def session(self, name="alice", secret=SECRET, **how):
        return Pop(self.port, **how).login(name, secret)

    # what the server costs

    def cpu_seconds(self):
        with open("/proc/%d/stat" % self.process.pid) as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Case(unittest.TestCase):
    """One test, one or more sites.  Servers must end well."""
    maxDiff = 2000

    def site(self, users=("alice",), listener=None, lmtp=None, start=True, messages=None, **settings):
        site = Site(listener, lmtp, **settings)
        self.addCleanup(self.end_site, site)
        for name in users:
            site.add_user(name)
        if messages is not None:
            site.deliver(messages)
        if start:
            site.start()
        return site

    def end_site(self, site):
        had_server = site.process is not None
        code = site.stop()
        log = site.log() if os.path.exists(site.log_path) else ""
        site.cleanup()
        if had_server:
            self.assertEqual(code, 0, "exit code of the server\n" + log[-4000:])
        self.assertIsNone(SANITIZER.search(log), log[-6000:])

    def assert_octets(self, got, expected, what=""):
        """assertEqual for long octet strings: says where they differ."""
        if got == expected:
            return
        at = next((i for i, (g, e) in enumerate(zip(got, expected)) if g != e),
                  min(len(got), len(expected)))
        self.fail("%s: %d octets came, %d were expected; they differ at %d: %r, expected %r"
                  % (what, len(got), len(expected), at, got[at:at + 60], expected[at:at + 60]))


def needs(*programs):
    """Programs of dist/packages.test; a machine without them fails rather than skips."""
    missing = [p for p in programs if shutil.which(p) is None]
    if missing:
        raise AssertionError("not installed: " + " ".join(missing) + "; run `make deps`")


def raise_file_limit():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
