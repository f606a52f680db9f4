"""mta.py - a mail transport agent in front of ringpost, set up by docs/OPERATING.md and nothing else.

The tests run in a box of the agent's own (tests/mta/box), so what stands in the documentation is taken
as it stands: a fenced block whose first line is a comment with a path is that file ("..., added" at the
end of that line: it is appended), and a block of `sh` is run by a shell.
"""
import os
import re
import shutil
import smtplib
import socket
import subprocess
import sys
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))

from harness import BUILD, SECRET, Pop, normalised

DOCUMENTATION = os.path.join(ROOT, "docs/OPERATING.md")
SPOOL = "/var/lib/ringpost"
SYSLOG = "/run/syslog"
SERVER_LOG = "/run/ringpostd.log"
WAIT_S = 20.0
TRACE = re.compile(rb"(?:(?:Return-Path|Delivered-To|Received|X-Envelope-[A-Za-z]+|Envelope-To|Delivery-Date):"
                   rb".*\r\n(?:[ \t].*\r\n)*)*\Z", re.IGNORECASE)


# ---- the documentation ------------------------------------------------------------------------------

def blocks(heading):
    """The fenced blocks between `heading`, a whole line of the page, and the next heading."""
    with open(DOCUMENTATION) as page:
        lines = iter(page.read().splitlines())
    if heading not in lines:  # this moves on to behind it
        raise AssertionError(f"docs/OPERATING.md has no {heading!r}")
    found, block = [], None
    for line in lines:
        if line.startswith("```"):
            if block is None:
                block = (line[3:], [])
            else:
                found.append((block[0], "\n".join(block[1]) + "\n"))
                block = None
        elif block is not None:
            block[1].append(line)
        elif re.match(r"#+ ", line):
            break
    return found


def apply(heading):
    """Do what the documentation says there."""
    done = 0
    for language, text in blocks(heading):
        path = re.match(r"# (/\S+?)(, added)?\n", text)
        if path:
            os.makedirs(os.path.dirname(path[1]), exist_ok=True)
            with open(path[1], "a" if path[2] else "w") as to:
                to.write(text)
        elif language == "sh":
            run("sh", "-ec", text)
        else:
            raise AssertionError(f"{heading}: what is to be done with {text!r}?")
        done += 1
    assert done > 0, heading


def run(*command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60, **more)
    if done.returncode != 0:
        raise AssertionError("%s: exit %d\n%s" % (" ".join(command), done.returncode,
                                                  done.stdout.decode("utf-8", "replace")))
    return done.stdout.decode("utf-8", "replace")


def wait_until(is_so, what):
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {WAIT_S:.0f} s: {what}")
        time.sleep(0.05)


def listens(where, family=socket.AF_INET):
    with socket.socket(family) as s:
        return s.connect_ex(where) == 0


# ---- ringpost ---------------------------------------------------------------------------------------

def install_ringpost():
    for program, folder in (("ringpost", "/usr/bin"), ("ringpostd", "/usr/sbin")):
        link = f"{folder}/{program}"
        if not os.path.lexists(link):
            os.symlink(os.path.join(BUILD, program), link)
    os.makedirs("/run/ringpost", exist_ok=True)  # RuntimeDirectory= of the unit
    shutil.chown("/run/ringpost", "ringpost", "ringpost")


def make_spool():
    """An empty one with three accounts."""
    for left in os.listdir(SPOOL):
        path = os.path.join(SPOOL, left)
        shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    for name in ("alice", "bob", "sender"):
        run("ringpost", "user", "add", name + "@example.org", input=SECRET.encode())


class Server:
    """ringpostd as its unit starts it."""

    def __init__(self):
        with open(SERVER_LOG, "ab") as log:
            self.process = subprocess.Popen(["/usr/sbin/ringpostd"], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, user="ringpost", group="ringpost",
                                            extra_groups=[], umask=0o077)

    def stop(self):
        self.process.terminate()
        code = self.process.wait(40)
        if code != 0:
            raise AssertionError(f"ringpostd: exit {code}")


# ---- the tests --------------------------------------------------------------------------------------

def message(subject, body):
    """With all that an agent would add otherwise, as 8 bits in CRLF lines."""
    return (b"From: Sender <sender@example.org>\r\nTo: alice@example.org\r\nSubject: %s\r\n"
            b"Date: Mon, 2 Jan 2023 10:00:00 +0000\r\nMessage-Id: <%s.%d@example.org>\r\n"
            b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Transfer-Encoding: 8bit\r\n\r\n"
            % (subject, subject, time.monotonic_ns()) + body)


BODIES = [
    b"Hello.\r\n",
    b".\r\n..\r\n.x\r\n\r\n.\r\nFrom the start\r\n>From quoted\r\n \r\n",
    b"".join(b"%06d \xc3\xa4\xc3\xb6\xc3\xbc %s\r\n" % (n, b"x" * (n % 80)) for n in range(6000)),
]


class Agent(unittest.TestCase):
    """The tests of every agent.  A subclass has a `name`, the heading of its `example`, and knows its
    commands; unittest must not take this one for a case (load_tests below)."""
    maxDiff = 2000

    # what a subclass says

    name = None             # the folder with its `setup`
    settings = ("## The listener",)  # headings of docs/OPERATING.md
    example = None
    mail_log = SYSLOG
    deferred_line = None    # what its log says when a message has to wait
    needs_server = True     # or it delivers without
    refuses_unknown = True  # at RCPT; or a bounce goes back
    refusal = 550
    bounce_begins = rb"\AReturn-Path: <>\r\n"

    @classmethod
    def start(cls):
        raise NotImplementedError

    @classmethod
    def stop(cls):
        """It ends, and its queue is empty."""
        raise NotImplementedError

    def queue_length(self):
        raise NotImplementedError

    def flush(self):
        """Try everything in the queue again, now."""
        raise NotImplementedError

    # a site: the agent for each class, the server and its spool for each test

    @classmethod
    def setUpClass(cls):
        install_ringpost()
        for heading in cls.settings:
            apply(heading)
        make_spool()
        run(os.path.join(ROOT, "tests/mta", cls.name, "setup"))
        apply(cls.example)
        cls.start()
        cls.addClassCleanup(cls.stop)
        wait_until(lambda: listens(("127.0.0.1", 25)), "nobody listens at port 25")

    def setUp(self):
        with open(self.mail_log, "ab") as log:
            self.log_begins = log.tell()
        open(SERVER_LOG, "wb").close()
        make_spool()
        self.server = None
        self.addCleanup(self.stop_server)
        self.start_server()

    def run(self, result=None):
        """What the programs had to say is shown where the test fails."""
        before = len(result.failures) + len(result.errors)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            for path, begins in ((self.mail_log, self.log_begins), (SERVER_LOG, 0)):
                with open(path, errors="replace") as log:
                    log.seek(begins)
                    print("# " + log.read()[-4000:].replace("\n", "\n# "))

    def start_server(self):
        self.server = Server()
        wait_until(lambda: listens(("127.0.0.1", 110)), "ringpostd does not listen")

    def stop_server(self):
        if self.server is not None:
            self.server.stop()
        self.server = None

    # sending and fetching

    def send(self, text, *names, sender="sender@example.org"):
        with smtplib.SMTP("127.0.0.1", 25, "client.example.org", timeout=WAIT_S) as smtp:
            smtp.sendmail(sender, [n + "@example.org" for n in names], text,
                          ["BODY=8BITMIME"] if smtp.has_extn("8bitmime") else [])

    def fetch(self, name="alice"):
        """All messages of a maildrop as they were sent, without byte-stuffing."""
        with Pop(110) as pop:
            pop.login(name + "@example.org")
            count, _ = pop.stat()
            replies = [pop.command_multi("RETR %d" % n) for n in range(1, count + 1)]
        texts = [reply.partition(b"\r\n")[2][:-3] for reply in replies]
        return [re.sub(rb"(?m)^\.\.", b".", text) for text in texts]

    def wait_for(self, count, name="alice"):
        wait_until(lambda: len(self.fetch(name)) >= count, f"{count} messages for {name}")
        time.sleep(0.2)  # one too many would come now
        found = self.fetch(name)
        self.assertEqual(len(found), count)
        return found

    def assert_sent(self, got, sent):
        """The same octets, behind lines of trace."""
        self.assertTrue(got.endswith(sent), got[:2000])
        self.assertRegex(got[:-len(sent)], TRACE)

    def wait_until_it_waits(self):
        """One message is in the queue, and its first attempt is over."""
        wait_until(lambda: self.deferred(), "nothing is deferred")
        self.assertEqual(self.queue_length(), 1)

    def deferred(self):
        with open(self.mail_log, errors="replace") as log:
            log.seek(self.log_begins)
            return self.deferred_line.search(log.read()) is not None

    # what must be so

    def test_mail_comes_in_octet_for_octet(self):
        sent = [message(b"exact%d" % n, body) for n, body in enumerate(BODIES)]
        for n, text in enumerate(sent, 1):
            self.send(text, "alice", "bob") if n == 2 else self.send(text, "alice")
            self.assert_sent(self.wait_for(n)[-1], text)
        self.assert_sent(self.wait_for(1, "bob")[0], sent[1])
        run("/usr/sbin/sendmail", "-i", "-f", "sender@example.org", "alice@example.org",
            input=sent[1].replace(b"\r\n", b"\n"))
        got = self.wait_for(len(sent) + 1)[-1]
        self.assert_sent(got, sent[1])
        head = got[:got.index(b"From: ")]
        self.assertIn(b"Return-Path: <sender@example.org>\r\n", head)
        self.assertEqual(head.lower().count(b"return-path:"), 1)
        self.assertEqual(head.count(b"Delivered-To: alice@example.org\r\n"), 1)
        self.assertEqual(self.queue_length(), 0)

    def test_an_unknown_address_is_no_place_for_mail(self):
        text = message(b"unknown", b"Nobody reads this.\r\n")
        if self.refuses_unknown:
            with self.assertRaises(smtplib.SMTPRecipientsRefused) as refused:
                self.send(text, "nobody")
            code, _ = refused.exception.recipients["nobody@example.org"]
            self.assertEqual(code, self.refusal)
        else:
            self.send(text, "nobody")
            bounce = self.wait_for(1, "sender")[0]
            self.assertIn(b"nobody@example.org", bounce)
            self.assertRegex(bounce, self.bounce_begins)
        wait_until(lambda: self.queue_length() == 0, "it stays in the queue")

    def test_over_quota_waits_in_the_queue(self):
        run("ringpost", "user", "set", "alice@example.org", "--quota-messages", "1")
        first, second = (message(b"quota%d" % n, BODIES[0]) for n in (1, 2))
        self.send(first, "alice")
        self.wait_for(1)
        self.send(second, "alice")
        self.wait_until_it_waits()
        self.assertEqual(len(self.fetch()), 1)
        run("ringpost", "user", "set", "alice@example.org", "--quota-messages", "none")
        self.flush()
        self.assert_sent(self.wait_for(2)[1], second)
        wait_until(lambda: self.queue_length() == 0, "it stays in the queue")

    def test_what_comes_while_it_is_down_arrives_later_and_once(self):
        first, text = message(b"now", BODIES[0]), message(b"later", BODIES[1])
        self.send(first, "alice")  # an agent that asks for addresses remembers this one
        self.wait_for(1)
        self.take_down()
        self.send(text, "alice")
        self.wait_until_it_waits()
        self.bring_up()
        self.flush()
        self.assert_sent(self.wait_for(2)[1], text)
        wait_until(lambda: self.queue_length() == 0, "it stays in the queue")
        self.flush()
        self.wait_for(2)

    def take_down(self):
        if self.needs_server:
            self.stop_server()
        else:  # the disk with the mail is not mounted
            os.rename("/etc/ringpost/ringpost.conf", "/etc/ringpost/away")

    def bring_up(self):
        if self.needs_server:
            self.start_server()
        else:
            os.rename("/etc/ringpost/away", "/etc/ringpost/ringpost.conf")
