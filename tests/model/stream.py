"""stream.py - random streams of what clients and the world do, as plain lists: a stream can be
printed, played again, and made shorter.

An operation is a tuple; the second is the slot of a connection where there is one:
    ("login", slot, account)   ("bad-login", account)
    ("say", slot, ((WORD, arguments...), ...))  commands, all sent ahead; answers come in order
    ("raw", slot, text)        a line that no session can like
    ("quit", slot)             and wait for the answer
    ("vanish", slot)           the client is gone without QUIT
    ("quit-vanish", slot)      QUIT is sent and the answer not waited for
    ("deliver", account, seeds)
    ("compact", account)       ("lose-index", account)      ("crash",)
"""
import random

ACCOUNTS = ("alice", "bob")
SLOTS = 6
BAD_LINES = ("RETR", "RETR x", "RETR 1 2", "TOP 1", "TOP 1 x", "DELE", "DELE -1", "LIST x", "STAT 1",
             "XYZZY", "RETR 99999999999999999999", "USER alice", "PASS x", "", "   ", "L\x00ST")


def number(r):
    return r.choice((0, 1, 1, 2, 3, r.randrange(1, 12), r.randrange(1, 60), 1000000))


def command(r):
    word = r.choices(("STAT", "LIST", "UIDL", "RETR", "TOP", "DELE", "RSET", "NOOP"),
                     (6, 10, 10, 24, 12, 24, 2, 4))[0]
    if word in ("LIST", "UIDL"):
        return (word, number(r)) if r.random() < 0.7 else (word,)
    if word in ("RETR", "DELE"):
        return word, number(r)
    if word == "TOP":
        return word, number(r), r.choice((0, 1, 2, 5, 100, 4294967295))
    return (word,)


def operation(r):
    slot, account = r.randrange(SLOTS), r.choice(ACCOUNTS)
    kind = r.choices(("login", "say", "raw", "quit", "vanish", "quit-vanish", "deliver",
                      "bad-login", "compact", "lose-index", "crash"),
                     (70, 560, 40, 60, 15, 10, 60, 3, 6, 3, 2))[0]
    if kind == "say":
        count = r.choice((1, 1, 1, 2, 5, 20))
        return kind, slot, tuple(command(r) for _ in range(count))
    if kind == "raw":
        return kind, slot, r.choice(BAD_LINES)
    if kind == "login":
        return kind, slot, account
    if kind == "deliver":
        return kind, account, tuple(r.randrange(1 << 30) for _ in range(r.choice((1, 1, 2, 4))))
    if kind in ("bad-login", "compact", "lose-index"):
        return kind, account
    return ("crash",) if kind == "crash" else (kind, slot)


def commands_in(op):
    """POP3 commands that this operation sends, for the count."""
    return {"say": lambda: len(op[2]), "login": lambda: 2, "bad-login": lambda: 2,
            "raw": lambda: 1, "quit": lambda: 1, "quit-vanish": lambda: 1}.get(op[0], lambda: 0)()


def generate(seed, commands):
    r = random.Random(seed)
    made, count = [], 0
    while count < commands:
        made.append(operation(r))
        count += commands_in(made[-1])
    return made


def message(seed):
    """A message of one of many shapes, the same for the same seed."""
    r = random.Random(seed)
    header = b"".join(b"%s: %d\n" % (name, seed) for name in (b"From", b"Subject", b"X-Seed")
                      [:r.randrange(1, 4)])
    if r.random() < 0.05:
        return header  # no blank line, no body
    line = (b"text", b".", b"..", b"", b".x", b"From y", b"\xe4\xff", b"x" * 1200)
    count = r.choice((0, 1, 3, 10, 40)) if r.random() < 0.98 else 30000
    body = b"\n".join(r.choice(line) for _ in range(count))
    end = b"" if r.random() < 0.3 else b"\n"
    text = header + b"\n" + body + end
    return text.replace(b"\n", b"\r\n") if r.random() < 0.3 else text
