"""Random streams of POP3 and LMTP commands, several sessions at once to the same maildrops, clients
that vanish, crashes of the server, compaction and lost indexes between them, against the reference
model.

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
        self.site = harness.Site(lmtp=True, in_memory=True, idle_timeout_s="86400",
                                 add_return_path="no", add_delivered_to="no", add_received="no")
        self.drops = {name: reference.Maildrop(stream.QUOTA.get(name))
                      for name in stream.ACCOUNTS}
        self.slots = {}  # slot: (client, session)
        self.mail_slots = {}
        for name, drop in self.drops.items():
            quota = ("--quota-messages", "%d" % drop.quota_messages) if drop.quota_messages else ()
            self.site.add_user(name, harness.SECRET, *quota)
        for name in stream.DISABLED:
            self.site.add_user(name, harness.SECRET, "--disabled")
        self.site.start()

    def close(self):
        for client, _ in [*self.slots.values(), *self.mail_slots.values()]:
            client.close()
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
        """QUIT goes through even if the client is gone (its +OK is not needed for that): soon."""
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

    # LMTP

    def mail_forget(self, slot):
        if slot in self.mail_slots:
            self.mail_slots.pop(slot)[0].close()

    def mail_vanish(self, slot):
        if slot in self.mail_slots:
            self.mail_slots.pop(slot)[0].reset()

    def mail(self, slot, commands):
        """All up to what has to be waited for (RFC 2920) is sent ahead."""
        if slot not in self.mail_slots:
            client = harness.Lmtp(self.site.lmtp_port, hello=False)
            self.mail_slots[slot] = client, reference.Delivery(self.drops, stream.DISABLED)
        client, delivery = self.mail_slots[slot]
        waiting = []
        for command in commands:
            if command[0] == "DATA":
                self.hear(client, waiting + [("DATA", self.say_mail(client, delivery, "DATA"))])
                waiting = self.send_data(client, delivery, *command[1:])
            elif command[0] == "BDAT":
                waiting += [("BDAT", a) for a in self.send_chunks(client, delivery, *command[1:])]
            else:
                waiting.append((command, self.say_mail(client, delivery, *command)))
        self.hear(client, waiting)
        client.ask("NOOP")  # errors in a row end a connection; that is not looked at here

    def say_mail(self, client, delivery, word, *arguments):
        line = {"LHLO": "LHLO client.example.net", "MAIL": "MAIL FROM:<sender@example.net>",
                "VRFY": "VRFY alice"}.get(word, word)
        if word == "RCPT":
            line = "RCPT TO:<%s@%s>" % (arguments[0], harness.DOMAIN)
        client.send(line + "\r\n")
        return delivery.answer(word, *arguments)

    def hear(self, client, waiting):
        for command, wanted in waiting:
            self.expect(client.answer(), wanted, command)

    def send_data(self, client, delivery, seed, kind):
        """Behind DATA, if it was taken: what must be answered."""
        if not delivery.may_send():
            return []
        text = harness.normalised(stream.message(seed))
        if kind == "bare":
            client.send(harness.stuffed(text) + b"bare\nnewline\r\n.\r\n")
        else:
            client.send(harness.stuffed(text) + b".\r\n")
        return [("the message", a) for a in delivery.data(text, kind == "bare")]

    def send_chunks(self, client, delivery, seed, pieces):
        text = harness.normalised(stream.message(seed))
        if seed % 3 == 0:
            text = text[:-2]  # an end of the last line is added
        step = len(text) // pieces + 1
        chunks = [text[at:at + step] for at in range(0, len(text), step)] or [b""]
        answers = []
        for n, chunk in enumerate(chunks, 1):
            is_last = n == len(chunks)
            client.send(b"BDAT %d%s\r\n" % (len(chunk), b" LAST" if is_last else b"") + chunk)
            answers += delivery.chunk(chunk, is_last)
        return answers

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
        for slot in list(self.mail_slots):
            self.mail_forget(slot)
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

    def test_random_streams(self):
        if "MODEL_STREAM" in os.environ:
            with open(os.environ["MODEL_STREAM"]) as f:
                self.check(ast.literal_eval(f.read()), "the stream")
            return
        for piece in range(PIECES):
            seed = SEED + piece
            ops = stream.generate(seed, COMMANDS // PIECES)
            self.check(ops, "MODEL_SEED=%d MODEL_COMMANDS=%d" % (seed, COMMANDS))
        print("# %d commands, seeds %d to %d" % (COMMANDS, SEED, SEED + PIECES - 1))


if __name__ == "__main__":
    unittest.main()
