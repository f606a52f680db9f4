"""kill -9, hundreds of times: of the server under a mixed load of LMTP deliveries, fetches and
deletions, of an import that runs.

What was acknowledged stays, what was not is there whole or not at all, no unique-id ever changes or
comes twice.  KILL_CYCLES=500 is the number for the server.
"""
import os
import random
import subprocess
import threading
import time
import unittest

import harness

SERVER_CYCLES = int(os.environ.get("KILL_CYCLES", "30" if harness.IS_SANITIZED else "500"))
IMPORT_CYCLES = 20 if harness.IS_SANITIZED else 80
MAILDROPS = 500 if harness.IS_SANITIZED else 10000
FIRST_LOGIN_S = 1.0
NAMES = ("alice", "bob", "carol")
GONE = (OSError, EOFError, AssertionError, ValueError)  # what clients meet when the server is gone


class Mailbox:
    """One account and what must be in it."""

    def __init__(self, site, name, seed):
        self.site, self.name, self.random = site, name, random.Random(seed)
        self.contents = {}    # unique-id: reply to RETR, for all that must be there
        self.accepted = []    # acknowledged to LMTP, unique-id not seen yet
        self.offered = []     # sent and not acknowledged
        self.pending = set()  # unique-ids whose QUIT was sent and not answered
        self.seen = set()     # all unique-ids that there ever were
        self.faults = []

    def fetch_and_delete(self):
        """A client, until the server is gone."""
        try:
            while True:
                with self.site.session(self.name, timeout=10) as pop:
                    self.one_session(pop)
        except GONE:
            return  # settle() looks at what is left

    def one_session(self, pop):
        known = list(self.contents)
        ids = [u.encode() for _, u in pop.listing("UIDL")]
        if ids[:len(known)] != known:
            self.faults.append("%s: %r, not %r" % (self.name, ids, known))
            raise EOFError
        for n in self.random.sample(range(len(known)), min(3, len(known))):
            reply = pop.command_multi("RETR %d" % (n + 1))
            if reply != self.contents[ids[n]]:
                if reply.endswith(b"\n"):  # else the server was killed
                    self.faults.append("%s: %r is %r" % (self.name, ids[n], reply[:200]))
                raise EOFError
        count = min(self.random.randint(0, max(3, len(known) // 3)), max(len(known) - 5, 0))
        gone = sorted(self.random.sample(range(len(known)), count))
        pop.send("".join("DELE %d\r\n" % (n + 1) for n in gone))
        for _ in gone:
            if not pop.line().startswith(b"+OK"):
                raise EOFError
        self.pending = {ids[n] for n in gone}
        pop.send("QUIT\r\n")
        if not pop.line().startswith(b"+OK"):
            raise EOFError  # killed before it answered
        for u in self.pending:
            del self.contents[u]
        self.pending = set()

    def settle(self, case):
        """After a crash: all that was acknowledged is there, what was not, whole or not at all."""
        with self.site.session(self.name) as pop:
            ids = [u.encode() for _, u in pop.listing("UIDL")]
            pop.send("".join("RETR %d\r\n" % n for n in range(1, len(ids) + 1)))
            found = {u: pop.multi() for u in ids}
            pop.ok("QUIT")
        case.assertEqual(len(found), len(ids), "each unique-id once")
        missing = set(self.contents) - set(found)
        case.assertIn(missing, (set(), self.pending), "%s: all or none" % self.name)
        for u, reply in found.items():
            if u in self.contents:
                case.assert_octets(reply, self.contents[u], self.name)
                continue
            case.assertNotIn(u, self.seen, "%s: a unique-id came again" % self.name)
            origin = self.accepted if reply in self.accepted else self.offered
            case.assertIn(reply, origin, "%s: nobody has sent that, or it came twice" % self.name)
            origin.remove(reply)
        case.assertEqual(self.accepted, [], "%s: acknowledged and lost" % self.name)
        self.contents, self.pending, self.offered = found, set(), []
        self.seen.update(found)


class Sender:
    """A mail server that delivers to all mailboxes, until it is told to stop or cannot."""

    def __init__(self, site, boxes, seed):
        self.site, self.boxes, self.random = site, boxes, random.Random(seed)

    def message(self):
        lines = self.random.choice((0, 1, 20, 200, 200, 4000))
        return (b"Subject: %d\r\n\r\n" % self.random.getrandbits(60)
                + b".a line of some length, to fill the log\r\n" * lines)

    def deliver(self):
        try:
            with harness.Lmtp(self.site.lmtp_port) as lmtp:
                while True:
                    boxes = self.random.sample(self.boxes, self.random.randint(1, len(self.boxes)))
                    message = self.message()
                    wire = harness.on_the_wire(message)
                    for box in boxes:
                        box.offered.append(wire)
                    replies = lmtp.deliver([box.name + "@" + harness.DOMAIN for box in boxes],
                                           message)
                    for box, reply in zip(boxes, replies):
                        if reply.startswith(b"250 "):
                            box.accepted.append(wire)
                            box.offered.remove(wire)
        except GONE:
            return


def crc32c(octets):
    crc = 0xFFFFFFFF
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def stood_in_line_s():
    """How long somebody has waited for a core so far; 0: the kernel does not count."""
    try:
        with open("/proc/pressure/cpu") as f:
            return int(f.readline().rpartition("total=")[2]) / 1e6
    except OSError:
        return 0


class FirstLogin:
    """After a kill: how long it took, of that until the server listened, and with how many others
    about (the share of the time in which somebody stood in line for a core)."""

    def __init__(self, site):
        started, line = time.monotonic(), stood_in_line_s()
        site.start_after_kill()
        listening = time.monotonic()
        with site.session("alice") as pop:
            pop.stat()
        self.s = time.monotonic() - started
        self.listening_s = listening - started
        self.crowd = (stood_in_line_s() - line) / self.s

    def __str__(self):
        return ("%.0f ms, %.0f of them until the server listened, with a line for the cores in "
                "%.0f %% of the time" % (1000 * self.s, 1000 * self.listening_s, 100 * self.crowd))


class Kill(harness.Case):
    def fill_spool(self, site):
        """Thousands of maildrops, copies of one (docs/FORMAT.md says where they lie)."""
        site.deliver([b"Subject: one of many\n\ntext\n"] * 3, "many0")
        source = site.maildrop_directory("many0")
        files = {}
        for name in ("log", "index"):
            with open(os.path.join(source, name), "rb") as f:
                files[name] = f.read()
        for n in range(1, MAILDROPS):
            address = "many%d@%s" % (n, harness.DOMAIN)
            crc = crc32c(address.encode())
            path = os.path.join(site.spool, "mail", "%02x" % (crc >> 24),
                                "%02x" % (crc >> 16 & 255), address)
            os.makedirs(path)
            for name, octets in files.items():
                with open(os.path.join(path, name), "wb") as f:
                    f.write(octets)
        site.add_user("many%d" % (MAILDROPS - 1))

    def check_first_logins(self, logins):
        """19 of 20 in time, not all.  Beside much other work some took up to two seconds, most of it
        before the server listened.  But one of 300 took 1.3 s with a line for the cores in half of
        that time only, 1.2 s of it after the server listened; what that one waited for is not known
        (a SYN that was sent again would look like it)."""
        logins = sorted(logins, key=lambda login: login.s)
        print("# first login after %.0f ms; the slowest: %s"
              % (1000 * logins[len(logins) // 2].s, logins[-1]))
        self.assertLess(logins[-1 - len(logins) // 20].s, FIRST_LOGIN_S)

    def test_the_server_under_mixed_load(self):
        # SIGKILL takes nothing from the page cache: a spool in memory loses as little, and is quick
        site = self.site(users=NAMES, start=False, lmtp=True, in_memory=True,
                         add_return_path="no", add_delivered_to="no", add_received="no",
                         log_sessions="no")
        self.fill_spool(site)
        site.start()
        with site.session("many%d" % (MAILDROPS - 1)) as pop:
            self.assertEqual(pop.stat()[0], 3)
        boxes = [Mailbox(site, name, seed) for seed, name in enumerate(NAMES)]
        senders = [Sender(site, boxes, seed) for seed in (7, 8)]
        r = random.Random(1234)
        first_logins, delivered = [], 0
        for cycle in range(SERVER_CYCLES):
            work = [box.fetch_and_delete for box in boxes] + [s.deliver for s in senders]
            threads = [threading.Thread(target=each) for each in work]
            for thread in threads:
                thread.start()
            time.sleep(r.uniform(0.0, 0.04))
            site.kill()
            for thread in threads:
                thread.join()
            first_logins.append(FirstLogin(site))
            for box in boxes:
                self.assertEqual(box.faults, [], "cycle %d" % cycle)
                delivered += len(box.accepted)
                try:
                    box.settle(self)
                except AssertionError as error:
                    raise AssertionError("cycle %d: %s" % (cycle, error)) from error
        print("# %d kills, %d deliveries acknowledged" % (SERVER_CYCLES, delivered))
        self.assertGreater(delivered, SERVER_CYCLES)
        if not harness.IS_SANITIZED:
            self.check_first_logins(first_logins)
        done = site.ringpost("verify", "--all", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_an_import(self):
        messages = harness.varied_messages(600, seed=21)
        site = self.site()
        path = site.write_maildir(messages)
        command = [harness.RINGPOST, "-c", site.config, "import", "maildir"]
        r = random.Random(99)
        kills = accounts = 0
        while kills < IMPORT_CYCLES:
            accounts += 1
            name = "user%d" % accounts
            site.add_user(name)
            before = []
            while kills < IMPORT_CYCLES:
                importing = subprocess.Popen(command + [name + "@example.org", path],
                                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                try:
                    code = importing.wait(r.uniform(0.0, 0.12))
                    self.assertEqual(code, 0)
                    break
                except subprocess.TimeoutExpired:
                    importing.kill()
                    importing.wait()
                    kills += 1
                with site.session(name) as pop:
                    ids = [u for _, u in pop.listing("UIDL")]
                self.assertEqual(ids[:len(before)], before)
                before = ids
            site.ringpost("import", "maildir", name + "@example.org", path)
            with site.session(name) as pop:
                ids = [u for _, u in pop.listing("UIDL")]
                self.assertEqual(len(ids), len(messages), "each message once")
                self.assertEqual(ids[:len(before)], before)
                for n in r.sample(range(len(messages)), 40):
                    self.assert_octets(pop.command_multi("RETR %d" % (n + 1)),
                                       harness.on_the_wire(messages[n]))
        print("# %d kills, %d accounts" % (kills, accounts))
        done = site.ringpost("verify", "--all", check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
