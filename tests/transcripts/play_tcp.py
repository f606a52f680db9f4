#!/usr/bin/python3
"""play_tcp.py FILE... - plays transcripts over TCP against a real server; README.md has the format.

Each file is played as written, with all input of a connection at once, one octet at a time, and cut
at random; the server's octets must be the same each time.  Every play begins with a copy of the same
spool.  Speaks TAP.
"""
import os
import random
import re
import shutil
import socket
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
import harness  # noqa: E402
import tls  # noqa: E402

SILENCE_S = 0.05
NOOP_ANSWERS = {"pop3": b"+OK nothing done\r\n", "lmtp": b"250 2.0.0 ok\r\n"}
OCTETS_ONE_BY_ONE_MAX = 3000  # more would take long and show nothing new


class Mistake(Exception):
    pass


# ---- reading ------------------------------------------------------------------------------------

class Text:
    """Octets; in a glob some of them are wild."""

    def __init__(self, source):
        self.octets, self.wild = b"", []
        self._read(source.encode("utf-8", "surrogateescape"))

    def _put(self, octets, wild=None):
        self.octets += octets
        self.wild += wild or [False] * len(octets)

    def _read(self, source):
        names = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0", b"s": b" ", b"\\": b"\\",
                 b"*": b"*", b"?": b"?"}
        at = 0
        while at < len(source):
            c = source[at:at + 1]
            at += 1
            if c != b"\\":
                self._put(c, [c in b"*?"])
                continue
            e = source[at:at + 1]
            if e in names:
                self._put(names[e])
                at += 1
            elif e == b"x":
                self._put(bytes([int(source[at + 1:at + 3], 16)]))
                at += 3
            elif e == b"(":
                found = re.match(rb"((?:\\.|[^)\\])*) x (\d+)\)", source[at + 1:], re.S)
                if not found:
                    raise Mistake("\\(TEXT x N)")
                once = Text(found.group(1).decode("utf-8", "surrogateescape"))
                self._put(once.octets * int(found.group(2)), once.wild * int(found.group(2)))
                at += 1 + found.end()
            else:
                raise Mistake("an escape is wrong")

    def fits(self, line):
        if not hasattr(self, "pattern"):
            self.pattern = re.compile(b"".join(
                ({b"*": b".*", b"?": b"."}[self.octets[i:i + 1]] if wild
                 else re.escape(self.octets[i:i + 1]))
                for i, wild in enumerate(self.wild)), re.S)
        return self.pattern.fullmatch(line) is not None


class Account:
    def __init__(self, secret):
        self.secret, self.flags, self.messages = secret, [], []


def generated(n):
    return (b"Subject: message %d\n\n" % n
            + b"".join(b"line %d\n" % i for i in range(1, n % 7 + 1)))


class Transcript:
    def __init__(self, path):
        self.path, self.accounts, self.settings, self.steps = path, {}, {}, []
        self.masters = []
        self.listener, self.session_only, self.protocol = {}, False, "pop3"
        with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as f:
            for number, line in enumerate(f, 1):
                self.number = number
                try:
                    self._read_line(line[:-1] if line.endswith("\n") else line)
                except Mistake as mistake:
                    raise Mistake("%s:%d: %s" % (path, number, mistake))
        if not self.accounts:
            self._account("alice")
        self.changes_mail = self.protocol == "lmtp" or any(kind == "send" and b"DELE" in text.octets.upper()
                                for kind, _, _, text in self.steps)

    def _account(self, name):
        if name == "alice" and not self.accounts:
            self.accounts[name] = Account(b"secret")
        if name not in self.accounts:
            raise Mistake("no such account")
        return self.accounts[name]

    def _step(self, kind, times, text):
        self.steps.append((kind, self.number, times, text))

    def _read_line(self, line):
        if line == "" or line.startswith("#"):
            return
        dialogue = re.match(r"(C|C-raw|C-tls|C-reset|C-again|C-pop3|C-lmtp|C-times|S|S-times|S\.\.\.|S-has|S-lacks|"
                            r"S-silence|S-close)(?: (\d+))?(?:: ?(.*))?$", line, re.S)
        if dialogue:
            word, times, text = dialogue.groups()
            kind = {"C": "send", "C-raw": "send", "C-times": "send", "C-tls": "tls", "C-reset": "reset",
                    "C-again": "again", "C-pop3": "pop3", "C-lmtp": "lmtp", "S": "line", "S-times": "line", "S...": "pass",
                    "S-has": "has", "S-lacks": "lacks", "S-silence": "silence",
                    "S-close": "close"}[word]
            end = "\\r\\n" if word in ("C", "C-times") else ""
            self._step(kind, int(times or 1), Text((text or "") + end))
            return
        self._read_header(line)

    def _read_header(self, line):
        word, _, rest = line.partition(" ")
        name, _, value = rest.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if word == "account":
            self.accounts[name] = Account(Text(value).octets)
        elif word == "message":
            self._account(name).messages.append(Text(value).octets)
        elif word == "messages":
            self._account(name).messages += [generated(n) for n in range(1, int(value) + 1)]
        elif word == "maildrop":
            for file in value.split():
                with open(os.path.join(HERE, "mail", file), "rb") as f:
                    self._account(name).messages.append(f.read())
        elif word in ("read-only", "disabled"):
            self._account(rest).flags.append("--" + word)
        elif word == "master":
            self.masters.append('"%s@example.org"' % rest)
            self.settings["master_users"] = "{%s}" % ", ".join(self.masters)
        elif word in ("quota-octets", "quota-messages"):
            self._account(name).flags += ["--" + word, value]
        elif line == "protocol lmtp":
            self.protocol = "lmtp"
        elif word == "setting":
            key, _, value = rest.partition(" = ")
            (self.listener if key in ("plaintext_auth", "tls", "xclient_networks") else self.settings)[key] = value
            if key == "tls":
                self.settings.update(tls.settings(tls.certificate("transcript")))
        elif word == "pretend" or line == "only session":
            self.session_only = True
        elif line == "only server":
            pass
        elif line.startswith("logged in as "):
            name = line[len("logged in as "):]
            secret = self._account(name).secret.decode("utf-8", "surrogateescape")
            self._step("line", 1, Text("+OK *"))
            self._step("send", 1, Text("USER %s\\r\\n" % name))
            self._step("line", 1, Text("+OK *"))
            self._step("send", 1, Text("PASS %s\\r\\n" % secret))
            self._step("line", 1, Text("+OK *"))
        else:
            raise Mistake("not a line of a transcript")


# ---- playing ------------------------------------------------------------------------------------

class Failed(Exception):
    pass


class StepByStep:
    """As written; keeps all that the server said: for each connection a list, in clear and in TLS."""

    def __init__(self, transcript, site):
        self.t, self.site = transcript, site
        self.said = []
        self.pop = None
        self.protocol = transcript.protocol

    def connect(self):
        self.pop = connect(self.site, self.protocol)
        self.said.append([b""])

    def line(self):
        line = self.pop.line()
        self.said[-1][-1] += line
        if not line.endswith(b"\r\n"):
            raise Failed("no line came, but %r" % line)
        return line[:-2]

    def nothing_more(self):
        self.pop.socket.settimeout(SILENCE_S)
        try:
            more = self.pop.buffer or self.pop.socket.recv(100)
            self.pop.buffer = b""
        except (socket.timeout, BlockingIOError):
            more = None
        self.pop.socket.settimeout(harness.WAIT_S)
        if more:
            raise Failed("more was said: %r" % more[:100])
        return more is None

    def expect_close(self):
        rest = self.pop.rest()
        if rest:
            raise Failed("more was said before the end: %r" % rest[:100])

    def pass_over(self, glob, conditions):
        lines = []
        while True:
            line = self.line()
            if glob.fits(line):
                break
            lines.append(line)
        for kind, text in conditions:
            seen = any(text.fits(line) for line in lines)
            if seen != (kind == "has"):
                raise Failed("%r is %sthere" % (text.octets, "" if seen else "not "))

    def play(self):
        self.connect()
        conditions = []
        for kind, number, times, text in self.t.steps:
            try:
                if kind in ("has", "lacks"):
                    conditions.append((kind, text))
                else:
                    self.step(kind, times, text, conditions)
                    conditions = []
            except Failed as failed:
                raise Failed("%s:%d: %s" % (self.t.path, number, failed))
            except OSError as error:
                raise Failed("%s:%d: %s" % (self.t.path, number, error))
        if self.t.steps[-1][0] != "close":
            self.nothing_more()
        self.pop.close()
        return self.said

    def step(self, kind, times, text, conditions):
        if kind == "send":
            self.pop.send(text.octets * times)
        elif kind == "tls":
            begin_tls(self.pop)
            self.said[-1].append(b"")
        elif kind in ("reset", "again", "pop3", "lmtp"):
            if kind != "reset":
                self.expect_close()
            if kind in ("pop3", "lmtp"):
                self.protocol = kind
            self.pop.close()
            self.connect()
        elif kind == "line":
            for _ in range(times):
                line = self.line()
                if not text.fits(line):
                    raise Failed("another line came: %r" % line[:200])
        elif kind == "pass":
            self.pass_over(text, conditions)
        elif kind == "silence":
            if not self.nothing_more():
                raise Failed("the server has closed")
        elif kind == "close":
            self.expect_close()


def connect(site, protocol):
    return site.pop() if protocol == "pop3" else site.lmtp()


def begin_tls(pop):
    pop.socket = tls.context().wrap_socket(pop.socket, server_hostname="transcript")


def connections_of(transcript):
    """What the client says on each connection, in clear and in TLS, whether the server closes it, and
    what they speak."""
    inputs, closed, protocols = [[b""]], [], [transcript.protocol]
    last = None
    for kind, _, times, text in transcript.steps:
        if kind in ("reset", "again", "pop3", "lmtp"):
            inputs.append([b""])
            closed.append(kind != "reset")
            protocols.append(kind if kind in NOOP_ANSWERS else protocols[-1])
        elif kind == "send":
            inputs[-1][-1] += text.octets * times
        elif kind == "tls":
            inputs[-1].append(b"")
        last = kind
    return list(zip(inputs, closed + [last == "close"], protocols))


def pieces(octets, way, seed):
    if way == "whole":
        yield octets
        return
    r = random.Random(seed)
    at = 0
    while at < len(octets):
        cut = 1 if way == "octets" else r.randint(1, 40)
        yield octets[at:at + cut]
        at += cut


def play_cut(transcript, site, way, expected, seed=0):
    for (stretches, closes, protocol), said in zip(connections_of(transcript), expected):
        octets, wanted = stretches[-1], said[-1]
        # where the session goes on, one more answer shows that nothing else was said before it
        asks_more = not closes and (octets == b"" or octets.endswith(b"\n"))
        if protocol == "lmtp" and transcript.steps[-1][0] == "silence":
            asks_more = False  # it may be text of a message
        with connect(site, protocol) as pop:
            for in_clear, answer in zip(stretches[:-1], said[:-1]):
                for piece in pieces(in_clear, way, seed):
                    pop.send(piece)
                got = pop.exactly(len(answer))
                if got != answer:
                    raise Failed("%s: cut %s another answer before TLS: %r"
                                 % (transcript.path, way, got[:80]))
                begin_tls(pop)
            try:
                for piece in pieces(octets + (b"NOOP\r\n" if asks_more else b""), way, seed):
                    pop.send(piece)
            except (BrokenPipeError, ConnectionResetError):
                pass  # it had closed before all was said
            got = pop.exactly(len(wanted))
            if got != wanted:
                at = next((i for i, (g, w) in enumerate(zip(got, wanted)) if g != w), len(got))
                raise Failed("%s: cut %s the answer differs at octet %d of %d: %r, not %r"
                             % (transcript.path, way, at, len(wanted), got[at:at + 80],
                                wanted[at:at + 80]))
            more = pop.rest() if closes else pop.line() if asks_more else b""
            if closes and more or asks_more and more != NOOP_ANSWERS[protocol]:
                raise Failed("%s: cut %s more was said: %r" % (transcript.path, way, more[:100]))


def make_site(transcript):
    if transcript.protocol == "lmtp":
        site = harness.Site(None, {k: v for k, v in transcript.listener.items() if k != "plaintext_auth"},
                            **transcript.settings)
    else:
        site = harness.Site(transcript.listener, **transcript.settings)
    for name, account in transcript.accounts.items():
        site.add_user(name, account.secret, *account.flags)
        if account.messages:
            site.deliver(account.messages, name)
    return site


def play(transcript):
    site = make_site(transcript)
    fresh = site.spool + ".fresh"
    shutil.copytree(site.spool, fresh)
    longest = max(len(octets) for stretches, _, _ in connections_of(transcript) for octets in stretches)
    try:
        site.start()
        said = StepByStep(transcript, site).play()
        for way in ("whole", "octets", "random"):
            if way == "octets" and longest > OCTETS_ONE_BY_ONE_MAX:
                continue
            if transcript.changes_mail:
                check_end(site)
                shutil.rmtree(site.spool)
                shutil.copytree(fresh, site.spool)
                open(site.log_path, "w").close()
                site.start()
            play_cut(transcript, site, way, said, seed=longest)
        check_end(site)
    finally:
        site.cleanup()


def check_end(site):
    code = site.stop()
    if code != 0 or harness.SANITIZER.search(site.log()):
        raise Failed("the server ended with %s\n%s" % (code, site.log()[-3000:]))


def main():
    failed = 0
    for number, path in enumerate(sys.argv[1:], 1):
        started = time.monotonic()
        verdict, more = "ok", ""
        try:
            transcript = Transcript(path)
            if transcript.session_only:
                more = " # SKIP on the bare session only"
            else:
                play(transcript)
        except (Failed, Mistake, AssertionError, OSError, EOFError) as error:
            verdict, failed = "not ok", failed + 1
            for line in ("%s: %s" % (type(error).__name__, error)).splitlines():
                print("# " + line)
        print("%s %d - %s (%.1f s)%s" % (verdict, number, path, time.monotonic() - started, more),
              flush=True)
    print("1..%d" % (len(sys.argv) - 1))
    sys.exit(1 if failed else 0)


main()
