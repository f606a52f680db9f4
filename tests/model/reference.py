"""reference.py - what a maildrop and its sessions must answer, from the RFCs alone.

A Maildrop is a list of messages; a Session sees the list as it was at its login, less what it has
marked itself.  Nothing here knows how ringpost does it.
"""
import harness


class Message:
    def __init__(self, raw, uid):
        self.uid = uid
        self.text = harness.normalised(raw)
        self.octets = len(self.text)
        self.wire = harness.on_the_wire(raw)

    def top(self, lines):
        """The whole reply to TOP; as many lines as there are, or more, is RETR."""
        head, blank, body = harness.stuffed(self.text).partition(b"\r\n\r\n")
        if self.text.startswith(b"\r\n"):
            head, blank, body = b"", b"\r\n", harness.stuffed(self.text)[2:]
        if not blank:
            return b"+OK top of message follows\r\n" + harness.stuffed(self.text) + b"\r\n.\r\n"
        there = body.split(b"\r\n")[:-1]
        if lines >= len(there):
            return self.wire
        cut = b"".join(line + b"\r\n" for line in there[:lines])
        return b"+OK top of message follows\r\n" + head + blank + cut + b".\r\n"


class Maildrop:
    def __init__(self, quota_messages=None):
        self.messages = []
        self.quota_messages = quota_messages
        self.next_uid = 1
        self.uid_validity = None  # learned from the first unique-id that is seen

    def deliver(self, raw):
        self.messages.append(Message(raw, self.next_uid))
        self.next_uid += 1

    def is_full(self):
        return self.quota_messages is not None and len(self.messages) >= self.quota_messages

    def remove(self, gone):
        self.messages = [m for m in self.messages if m not in gone]

    def unique_id(self, message):
        return b"%08x%08x" % (message.uid, self.uid_validity)


class Session:
    """After login.  answer() is what the server must say: octets, or a prefix for a line whose text
    is free."""

    def __init__(self, maildrop):
        self.maildrop = maildrop
        self.snapshot = list(maildrop.messages)
        self.marked = set()

    def left(self):
        return [(n, m) for n, m in enumerate(self.snapshot, 1) if n not in self.marked]

    def find(self, number):
        if 1 <= number <= len(self.snapshot) and number not in self.marked:
            return self.snapshot[number - 1]
        return None

    def value(self, word, message):
        if word == "LIST":
            return b"%d" % message.octets
        return self.maildrop.unique_id(message)

    def listing(self, word, arguments):
        if arguments:
            message = self.find(arguments[0])
            if message is None:
                return b"-ERR "
            return b"+OK %d %s\r\n" % (arguments[0], self.value(word, message))
        left = self.left()
        lines = [b"%d %s\r\n" % (n, self.value(word, m)) for n, m in left]
        return b"+OK %d messages\r\n" % len(left) + b"".join(lines) + b".\r\n"

    def answer(self, word, *arguments):
        message = self.find(arguments[0]) if arguments else None
        if word == "STAT":
            left = self.left()
            return b"+OK %d %d\r\n" % (len(left), sum(m.octets for _, m in left))
        if word in ("LIST", "UIDL"):
            return self.listing(word, arguments)
        if word == "NOOP":
            return b"+OK "
        if word == "RSET":
            self.marked.clear()
            return b"+OK %d messages\r\n" % len(self.snapshot)
        if word in ("RETR", "TOP", "DELE") and message is None:
            return b"-ERR "
        if word == "RETR":
            return message.wire
        if word == "TOP":
            return message.top(arguments[1])
        if word == "DELE":
            self.marked.add(arguments[0])
            return b"+OK "
        return b"-ERR "  # no such command, or not with such arguments

    def quit(self):
        self.maildrop.remove({self.snapshot[n - 1] for n in self.marked})


class Delivery:
    """An LMTP connection (RFC 2033, RFC 5321): answer() gives what each reply must begin with."""

    def __init__(self, drops, disabled):
        self.drops, self.disabled = drops, disabled
        self.greeted = False
        self.reset()

    def reset(self):
        self.has_sender, self.recipients, self.chunks = False, [], None

    def complete(self, raw):
        """The message has come: an answer for each recipient."""
        answers = []
        for name in self.recipients:
            full = self.drops[name].is_full()
            answers.append(b"452 4.2.2 " if full else b"250 2.")
            if not full:
                self.drops[name].deliver(raw)
        self.reset()
        return answers

    def refused(self, code):
        answers = [code] * len(self.recipients)
        self.reset()
        return answers

    def rcpt(self, name):
        base = name.partition("+")[0]
        if not self.has_sender or self.chunks is not None:
            return b"503 "
        if base not in self.drops:
            return b"550 5.2.1 " if base in self.disabled else b"550 5.1.1 "
        if self.drops[base].is_full():
            return b"452 4.2.2 "
        self.recipients.append(base)
        return b"250 2.1.5 "

    def may_send(self):
        return self.has_sender and self.chunks is None and bool(self.recipients)

    def data(self, raw, has_bare_newlines):
        """Behind 354."""
        return self.refused(b"550 5.6.0 ") if has_bare_newlines else self.complete(raw)

    def chunk(self, octets, is_last):
        if not self.recipients:
            return [b"503 "]
        self.chunks = (self.chunks or b"") + octets
        return self.complete(self.chunks) if is_last else [b"250 2."]

    def answer(self, word, *arguments):
        if word == "LHLO":
            self.greeted = True
            self.reset()
            return b"250 "
        if word == "MAIL":
            if not self.greeted or self.has_sender:
                return b"503 "
            self.has_sender = True
            return b"250 2.1.0 "
        if word == "RCPT":
            return self.rcpt(*arguments)
        if word == "DATA":
            return b"354 " if self.may_send() else b"503 "
        if word == "RSET":
            self.reset()
            return b"250 2."
        return {"NOOP": b"250 2.", "VRFY": b"252 2."}.get(word, b"5")
