"""stream.py - random streams of what clients and the world do, as plain lists: a stream can be
printed, played again, and made shorter.

An operation is a tuple; the second is the slot of a connection where there is one:
    ("login", slot, account)   ("bad-login", account)
    ("say", slot, ((WORD, arguments...), ...))  commands, all sent ahead; answers come in order
    ("raw", slot, text)        a line that no session can like
    ("quit", slot)             and wait for the answer
    ("vanish", slot)           the client is gone without QUIT
    ("quit-vanish", slot)      QUIT is sent and the answer not waited for
    ("deliver", account, seeds)    as an import does
    ("mail", slot, (command, ...)) LMTP on a connection of its own kind of slot; the commands:
        ("LHLO",) ("MAIL",) ("RCPT", name) ("RSET",) ("NOOP",) ("VRFY",) ("XYZZY",)
        ("DATA", seed, kind)       kind "bare": with line ends that LMTP does not take
        ("BDAT", seed, pieces)     the message in so many chunks
    ("mail-vanish", slot)
    ("compact", account)       ("lose-index", account)      ("crash",)
"""
import random

ACCOUNTS = ("alice", "bob", "dave")  # dave has a quota
QUOTA = {"dave": 6}
DISABLED = ("carol",)
RECIPIENTS = ("alice", "bob", "dave", "alice+list", "carol", "nobody")
SLOTS = 6
MAIL_SLOTS = 3
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


def mail_command(r):
    word = r.choices(("LHLO", "MAIL", "RCPT", "DATA", "BDAT", "RSET", "NOOP", "VRFY", "XYZZY"),
                     (6, 20, 40, 20, 10, 4, 3, 2, 3))[0]
    if word == "RCPT":
        return word, r.choice(RECIPIENTS)
    if word == "DATA":
        return word, r.randrange(1 << 30), r.choices(("good", "bare"), (9, 1))[0]
    if word == "BDAT":
        return word, r.randrange(1 << 30), r.choice((1, 1, 2, 5))
    return (word,)


def mail_commands(r):
    """A transaction as a mail server makes it, or anything."""
    if r.random() < 0.3:
        return tuple(mail_command(r) for _ in range(r.choice((1, 2, 5))))
    recipients = tuple(("RCPT", r.choice(RECIPIENTS)) for _ in range(r.choice((1, 1, 2, 3))))
    end = mail_command(r)
    while end[0] not in ("DATA", "BDAT"):
        end = mail_command(r)
    return (("LHLO",), ("MAIL",)) + recipients + (end,)


def operation(r):
    slot, account = r.randrange(SLOTS), r.choice(ACCOUNTS)
    kind = r.choices(("login", "say", "raw", "quit", "vanish", "quit-vanish", "deliver",
                      "bad-login", "compact", "lose-index", "crash", "mail", "mail-vanish"),
                     (70, 500, 40, 60, 15, 10, 15, 3, 6, 3, 2, 120, 5))[0]
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
    if kind == "mail":
        return kind, r.randrange(MAIL_SLOTS), mail_commands(r)
    if kind == "mail-vanish":
        return kind, r.randrange(MAIL_SLOTS)
    return ("crash",) if kind == "crash" else (kind, slot)


def commands_in(op):
    """Commands that this operation sends, for the count."""
    return {"say": lambda: len(op[2]), "mail": lambda: len(op[2]), "login": lambda: 2, "bad-login": lambda: 2,
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
