"""Random streams of commands, several sessions at once to the same maildrops, deliveries, crashes of
clients and of the server, compaction and lost indexes between them, against the reference model.

    MODEL_COMMANDS=20000 MODEL_SEED=...   how many, and which; a failing stream is printed with its
    seed, made shorter, and written to build/test-logs/model-stream, from where
    MODEL_STREAM=FILE plays it again.
"""
import ast
import os
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import harness  # noqa: E402
import reference  # noqa: E402
import stream  # noqa: E402

COMMANDS = int(os.environ.get("MODEL_COMMANDS", "20000"))
SEED = int(os.environ.get("MODEL_SEED", "1"))
PIECES = 4  # streams of their own, each from an empty spool
SHORTEN_S = 120
STREAM_FILE = os.path.join(harness.ROOT, "build/test-logs/model-stream")


class Violation(AssertionError):
    pass


class World:
    """A site, its connections, and the model of both."""

    def __init__(self):
        self.site = harness.Site(idle_timeout_s="86400", connections_per_address="0")
        self.drops = {name: reference.Maildrop() for name in stream.ACCOUNTS}
        self.slots = {}  # slot: (client, session)
        for name in stream.ACCOUNTS:
            self.site.add_user(name)
        self.site.start()

    def close(self):
        for pop, _ in self.slots.values():
            pop.close()
        code = self.site.stop()
        log = self.site.log()
        self.site.cleanup()
        if code != 0 or harness.SANITIZER.search(log):
            raise Violation("the server ended with %s\n%s" % (code, log[-4000:]))

    def play(self, op):
        getattr(self, op[0].replace("-", "_"))(*op[1:])

    def expect(self, got, wanted, what):
        fits = got == wanted if wanted.endswith(b"\r\n") else got.startswith(wanted)
        if not fits:
            raise Violation("%s: %r, not %r" % (what, got[:300], wanted[:300]))

    # connections

    def forget(self, slot):
        if slot in self.slots:
            self.slots.pop(slot)[0].close()

    def login(self, slot, account):
        self.forget(slot)
        drop = self.drops[account]
        pop = self.site.session(account)
        session = reference.Session(drop)
        self.slots[slot] = pop, session
        if drop.uid_validity is None and session.snapshot:
            _, _, unique_id = pop.command("UIDL 1").split()
            drop.uid_validity = int(unique_id[8:], 16)

    def bad_login(self, account):
        with self.site.pop() as pop:
            self.expect(pop.line(), b"+OK ", "greeting")
            pop.ok("USER " + account)
            self.expect(pop.command("PASS wrong"), b"-ERR [AUTH] ", "wrong password")

    def say(self, slot, commands):
        if slot not in self.slots:
            return
        pop, session = self.slots[slot]
        pop.send("".join(" ".join(map(str, c)) + "\r\n" for c in commands))
        for command in commands:
            wanted = session.answer(*command)
            is_long = wanted.endswith(b"\r\n.\r\n")
            self.expect(pop.multi() if is_long else pop.line(), wanted, command)

    def raw(self, slot, text):
        if slot in self.slots:
            self.expect(self.slots[slot][0].command(text), b"-ERR ", text)

    def quit(self, slot):
        if slot not in self.slots:
            return
        pop, session = self.slots.pop(slot)
        self.expect(pop.command("QUIT"), b"+OK ", "QUIT")
        session.quit()
        self.expect(pop.rest(), b"", "after QUIT")
        pop.close()

    def vanish(self, slot):
        if slot in self.slots:
            self.slots.pop(slot)[0].reset()

    def quit_vanish(self, slot):
        """QUIT goes through even if the client is gone (PROTOCOL.md, rule 23): soon."""
        if slot not in self.slots:
            return
        pop, session = self.slots.pop(slot)
        pop.send("QUIT\r\n")
        pop.close()
        session.quit()
        account = next(a for a, d in self.drops.items() if d is session.maildrop)
        left = len(session.maildrop.messages)
        deadline = time.monotonic() + 10
        while True:
            with self.site.session(account) as other:
                count = other.stat()[0]
            if count == left:
                return
            if time.monotonic() > deadline:
                raise Violation("QUIT without a client: %d messages, not %d" % (count, left))
            time.sleep(0.005)

    # the world

    def deliver(self, account, seeds):
        messages = [stream.message(seed) for seed in seeds]
        self.site.deliver(messages, account)
        for message in messages:
            self.drops[account].deliver(message)

    def compact(self, account):
        self.site.ringpost("compact", "%s@%s" % (account, harness.DOMAIN))

    def lose_index(self, account):
        if self.drops[account].next_uid > 1:
            try:
                os.unlink(os.path.join(self.site.maildrop_directory(account), "index"))
            except FileNotFoundError:
                pass

    def crash(self):
        self.site.kill()
        for slot in list(self.slots):
            self.forget(slot)
        self.site.start_after_kill()

    def check_all(self):
        """At the end: every octet of both maildrops, and verify."""
        for account in self.drops:
            self.login(0, account)
            session = self.slots[0][1]
            self.say(0, [("STAT",), ("UIDL",), ("LIST",)])
            self.say(0, [("RETR", n) for n, _ in session.left()])
            self.quit(0)
        done = self.site.ringpost("verify", "--all", check=False)
        if done.returncode != 0:
            raise Violation("verify: %r %r" % (done.stdout, done.stderr))


def play(ops):
    """None, or what went wrong and with which operation."""
    world, at, wrong = World(), None, None
    try:
        for at, op in enumerate(ops):
            world.play(op)
        at = len(ops)
        world.check_all()
    except (Violation, AssertionError, EOFError, OSError) as error:
        wrong = "operation %s, %r: %s" % (at, ops[at] if at < len(ops) else "the end", error)
    try:
        world.close()
    except Violation as error:
        wrong = wrong or str(error)
    return wrong


def shorten(ops):
    """Leave out what is not needed for a failure, in smaller and smaller pieces."""
    deadline, piece = time.monotonic() + SHORTEN_S, max(len(ops) // 2, 1)
    while time.monotonic() < deadline:
        at = 0
        while at < len(ops) and time.monotonic() < deadline:
            rest = ops[:at] + ops[at + piece:]
            if rest and play(rest):
                ops = rest
            else:
                at += piece
        if piece == 1:
            break
        piece = max(piece // 2, 1)
    return ops


class Model(unittest.TestCase):
    def check(self, ops, name):
        wrong = play(ops)
        if not wrong:
            return
        ops = shorten(ops)
        os.makedirs(os.path.dirname(STREAM_FILE), exist_ok=True)
        with open(STREAM_FILE, "w") as f:
            f.write("[\n" + "".join("    %r,\n" % (op,) for op in ops) + "]\n")
        self.fail("%s: %s\n\n%d operations still show it: %s\nagain: MODEL_STREAM=%s\n%r"
                  % (name, wrong, len(ops), play(ops), STREAM_FILE, ops[:40]))

    @unittest.skipUnless("MODEL_STREAM" in os.environ, "MODEL_STREAM=FILE plays a stream again")
    def test_a_stream(self):
        with open(os.environ["MODEL_STREAM"]) as f:
            self.check(ast.literal_eval(f.read()), "the stream")

    def test_random_streams(self):
        for piece in range(PIECES):
            seed = SEED + piece
            ops = stream.generate(seed, COMMANDS // PIECES)
            self.check(ops, "MODEL_SEED=%d MODEL_COMMANDS=%d" % (seed, COMMANDS))
        print("# %d commands, seeds %d to %d" % (COMMANDS, SEED, SEED + PIECES - 1))


if __name__ == "__main__":
    unittest.main()
