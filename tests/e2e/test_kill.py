"""kill -9, 200 times: of the server in the middle of DELE and QUIT, of an import that runs.

What was acknowledged stays, what was not is there whole or not at all, no unique-id ever changes.
"""
import random
import subprocess
import threading
import time
import unittest

import harness

SERVER_CYCLES, IMPORT_CYCLES = (120, 80) if not harness.IS_SANITIZED else (30, 20)


class Mailbox:
    """One account and what must be in it; a client deletes in it until the server is gone."""

    def __init__(self, site, name, seed):
        self.site, self.name, self.random = site, name, random.Random(seed)
        self.contents = {}   # unique-id: message, for all that must be there
        self.pending = set() # unique-ids whose QUIT was sent and not answered
        self.faults = []

    def refill(self):
        if len(self.contents) >= 15:
            return
        messages = [b"Subject: %d\n\n" % self.random.getrandbits(60)
                    + b"line\n" * self.random.randrange(200) for _ in range(30)]
        self.site.deliver(messages, self.name)
        with self.site.session(self.name) as pop:
            ids = [u for _, u in pop.listing("UIDL")]
        assert ids[:-30] == list(self.contents), "a delivery changed what was there"
        self.contents.update(zip(ids[-30:], messages))

    def settle(self, case):
        """After a crash: all of the pending deletions happened, or none."""
        with self.site.session(self.name) as pop:
            ids = [u for _, u in pop.listing("UIDL")]
            with_all = list(self.contents)
            with_none = [u for u in with_all if u not in self.pending]
            case.assertIn(ids, (with_all, with_none), self.name)
            self.contents = {u: self.contents[u] for u in ids}
            self.pending = set()
            for n in self.random.sample(range(len(ids)), min(4, len(ids))):
                case.assert_octets(pop.command_multi("RETR %d" % (n + 1)),
                                   harness.on_the_wire(self.contents[ids[n]]))

    def delete_until_the_end(self):
        try:
            while len(self.contents) > 3:
                with self.site.session(self.name, timeout=10) as pop:
                    ids = [u for _, u in pop.listing("UIDL")]
                    if ids != list(self.contents):
                        self.faults.append((ids, list(self.contents)))
                        return
                    gone = sorted(self.random.sample(range(len(ids)), self.random.randint(1, 3)))
                    pop.send("".join("DELE %d\r\n" % (n + 1) for n in gone))
                    for _ in gone:
                        if not pop.line().startswith(b"+OK"):
                            return
                    self.pending = {ids[n] for n in gone}
                    pop.send("QUIT\r\n")
                    if not pop.line().startswith(b"+OK"):
                        return  # killed before it answered
                    for u in self.pending:
                        del self.contents[u]
                    self.pending = set()
        except (OSError, EOFError, AssertionError, ValueError):
            return  # the server is gone; settle() looks at what it left


class Kill(harness.Case):
    def test_the_server_between_dele_and_quit(self):
        names = ("alice", "bob", "carol")
        site = self.site(users=names)
        boxes = [Mailbox(site, name, seed) for seed, name in enumerate(names)]
        r = random.Random(1234)
        for cycle in range(SERVER_CYCLES):
            for box in boxes:
                box.refill()
            clients = [threading.Thread(target=box.delete_until_the_end) for box in boxes]
            for client in clients:
                client.start()
            time.sleep(r.uniform(0.0, 0.03))
            site.kill()
            for client in clients:
                client.join()
            site.start_after_kill()
            for box in boxes:
                self.assertEqual(box.faults, [], "cycle %d" % cycle)
                box.settle(self)
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
