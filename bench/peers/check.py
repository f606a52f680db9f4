"""check.py - does a peer serve the mail it was given?  A benchmark of wrong answers is none.

For each user: log in, STAT, UIDL, LIST, RETR of every message.  Counts and sizes must agree with one
another, unique-ids must differ, and each message must be its source as POP3 sends it: every line end
CRLF, the last one there.  Liberties are counted beside, as servers of that kind take them:
    header lines added at the top   a delivery leaves its trace (Cyrus: Return-Path, Received)
    ">From "                        mbox cannot hold a line that begins with "From " (popa3d)
    wrapped                         a message with UTF-8 in its header goes to a client that has not said
                                    UTF8 (RFC 6856) as an attachment of a message made for it (Courier)
"""
import collections
import os
import re
import socket

SECRET = "secret"


class Client:
    def __init__(self, host, port):
        self.socket = socket.create_connection((host, port), 60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.input = self.socket.makefile("rb", 1 << 20)
        self.status()

    def status(self):
        line = self.input.readline()
        if not line.startswith(b"+OK"):
            raise ValueError(f"the server says {line!r}")
        return line

    def one(self, command):
        self.socket.sendall(command.encode() + b"\r\n")
        return self.status()

    def many(self, command):
        """The lines of the reply as they came, dots taken back."""
        self.one(command)
        lines = []
        while (line := self.input.readline()) != b".\r\n":
            if not line:
                raise ValueError(f"{command}: the reply ends in the middle")
            lines.append(line[1:] if line.startswith(b".") else line)
        return lines


def as_sent(source):
    """A message as POP3 sends it."""
    text = re.sub(rb"\r*\n", b"\r\n", source)
    return text if text.endswith(b"\r\n") else text + b"\r\n"


def key_of(text):
    """Message-ID: the spool's generator makes no two alike."""
    found = re.search(rb"(?mi)^message-id:[ \t]*(\S+)", text)
    return found.group(1) if found else text


def sources(maildir):
    found = {}
    for part in ("cur", "new"):
        for name in os.listdir(f"{maildir}/{part}"):
            with open(f"{maildir}/{part}/{name}", "rb") as message:
                text = as_sent(message.read())
            found[key_of(text)] = text
    return found


def compare(text, source):
    """same, or which liberty was taken, or wrong"""
    if text == source:
        return "same"
    if text == source + b"\r\n" or text + b"\r\n" == source:
        return "blank line at the end"
    if re.sub(rb"(?m)^>(>*From )", rb"\1", text) == source:
        return "From quoted"
    kept = re.sub(rb"\AReturn-Path: .*\r\n", b"", source)  # a delivery writes its own
    if text.endswith(kept):
        added = text[:-len(kept)]
        if re.fullmatch(rb"(?:[!-9;-~]+:.*\r\n(?:[ \t].*\r\n)*)+", added):
            return "header lines added"
    if text.startswith(b"From: ") and source in text:
        return "wrapped"
    return "wrong"


def check_user(state, user, counts, wrong):
    have = sources(f"{state['spool']}/{user}")
    client = Client(state["host"], state["port"])
    client.one(f"USER {user}")
    client.one(f"PASS {SECRET}")
    count, octets = map(int, client.one("STAT").split()[1:3])
    unique_ids = [line.split()[1] for line in client.many("UIDL")]
    sizes = [int(line.split()[1]) for line in client.many("LIST")]
    if not count == len(sizes) == len(unique_ids) == len(set(unique_ids)) == len(have):
        wrong.append(f"{user}: STAT {count}, LIST {len(sizes)}, UIDL {len(set(unique_ids))}, spool {len(have)}")
    if sum(sizes) != octets:
        wrong.append(f"{user}: STAT says {octets} octets, LIST {sum(sizes)}")
    for number, size in enumerate(sizes, 1):
        text = b"".join(client.many(f"RETR {number}"))
        verdict = compare(text, have.pop(key_of(text), None) or b"")
        counts[verdict] += 1
        counts["octets"] += len(text)
        if size != len(text):
            counts["LIST differs from RETR"] += 1
        if verdict == "wrong":
            wrong.append(f"{user}: message {number} is not what was stored")
    client.one("QUIT")
    wrong += [f"{user}: {key.decode()} was not served" for key in have]


def check_server(state, users=0):
    counts, wrong = collections.Counter(), []
    for user in state["users"][:users or None]:
        try:
            check_user(state, user, counts, wrong)
        except (OSError, ValueError) as error:
            wrong.append(f"{user}: {error}")
    return {"name": state["name"], "variant": state["variant"], "messages": dict(counts),
            "errors": len(wrong), "first_errors": wrong[:10]}


def is_clean(found):
    return found["errors"] == 0 and found["messages"].get("octets", 0) > 0
