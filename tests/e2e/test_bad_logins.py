"""What a guest may say instead of a login: names that are paths, base64 that is none, exchanges that end anywhere."""
import base64
import hashlib
import os
import shutil
import tempfile
import unittest

import harness
import test_tokens
from test_auth import Scram

ALICE = "alice@" + harness.DOMAIN
BAD = b"-ERR [AUTH] wrong name or password\r\n"
MECHANISMS = ("PLAIN", "LOGIN", "SCRAM-SHA-256", "SCRAM-SHA-1", "OAUTHBEARER", "XOAUTH2")


def b64(octets):
    return base64.b64encode(octets)


# Octets that mean something to paths, to printf, to C, to databases, to readers of logs.
NAMES = [
    b"..", b".", b"../..", b"../../../../etc/passwd", b"..@example.org", b"../x@example.org", b"/",
    b"/etc/passwd", b"a/b@example.org", b"alice/../bob@example.org", b"alice@../example.org",
    b"alice@example.org/..", b"alice@..", b"%", b"%s%s%n", b"%2e%2e%2f", b"alice%00@example.org",
    b"%41lice@example.org", b"alice\\@example.org", b"~alice", b"$(id)", b"`id`", b"alice;id", b"a|b",
    b"' OR '1'='1", b"alice'--", b"\";drop table accounts;--", b"*)(uid=*))(|(uid=*", b"*", b"alice*",
    b"a" * 255, b"a" * 243 + b"@example.org", b"@", b"@example.org", b"a@b@c", b"a@" + b"b" * 254, b"log",
    b"accounts.lmdb", b"\xff\xfe", b"\xc0\xae\xc0\xae/", b"alice\xc2\xa0", b"\xe2\x80\xaealice",
    # look-alikes: Cyrillic a, full-width, a combining mark, a dotless i, a ligature
    "\u0430lice@example.org".encode(), "\uff41lice@example.org".encode(),
    "a\u0301lice@example.org".encode(), "al\u0131ce@example.org".encode(),
    "alice@example.\u043erg".encode(), "\ufb01@example.org".encode(),
]
WITH_NUL = [b"\0", b"alice\0@example.org", b"alice@example.org\0", b"\0alice@example.org",
            b"alice@example.org\0x@example.org"]
# Responses that are no base64: other octets, lengths, padding, and what only looks empty.
NO_BASE64 = [b"!", b"A", b"AB", b"ABC", b"A===", b"====", b"AA=A", b"AAA=AAAA", b"AAAA=", b"-_-_", b"A A A A ",
             b"\xff\xff\xff\xff", b"AAAA\0AAA", b"=AAA", b"AAAA AAAA", b"%41%41", b"AAAA\tAAAA"]


class BadLogins(harness.Case):
    def all_mechanisms(self, **settings):
        settings.setdefault("sasl_mechanisms", '"%s"' % " ".join(MECHANISMS))
        # bearer tokens are offered where somebody can judge them
        directory = tempfile.mkdtemp(prefix="ringpost-keys-")
        self.addCleanup(shutil.rmtree, directory, True)
        settings.update(oauth_keys='{"%s"}' % test_tokens.Key(directory, "ES256", "one").path,
                        oauth_issuer='"https://login.example.org"', oauth_audience='"ringpost"')
        return self.site(apop="yes", failed_logins="100", **settings)

    def tree(self, site):
        found = []
        for directory, names, files in os.walk(site.directory):
            found += [os.path.join(directory, name) for name in names + files]
        return sorted(p for p in found if p != site.log_path)

    def ways_in(self, name, stamp):
        """Lines that try to log in by `name`, and wrongly, each with what the server asks first."""
        yield [b"USER " + name, b"PASS wrong"]
        yield [b"APOP %s %s" % (name, hashlib.md5(stamp + b"wrong").hexdigest().encode())]
        yield [b"AUTH PLAIN " + b64(b"\0" + name + b"\0wrong")]
        yield [b"AUTH PLAIN " + b64(name + b"\0alice@example.org\0wrong")]
        yield [b"AUTH LOGIN", b64(name), b64(b"wrong")]
        yield [b"AUTH OAUTHBEARER " + b64(b"n,a=" + name + b",\1auth=Bearer x\1\1"), b"AQ=="]
        yield [b"AUTH XOAUTH2 " + b64(b"user=" + name + b"\1auth=Bearer x\1\1"), b"AQ=="]
        yield [b"AUTH SCRAM-SHA-256 " + b64(b"n,,n=" + name + b",r=0123456789abcdef"), None]

    def say(self, pop, lines):
        """The last reply, of the lines and of a proof that cannot be right."""
        for line in lines:
            if line is None:
                fields = dict(f.split(b"=", 1) for f in base64.b64decode(reply[2:]).split(b","))
                line = b64(b"c=biws,r=" + fields[b"r"] + b",p=" + b64(b"x" * 32))
            reply = pop.command(line)
            if reply.startswith(b"-ERR"):
                break
        return reply

    def test_no_name_is_a_path_and_all_hear_the_same(self):
        site = self.all_mechanisms()
        before = self.tree(site)
        for name in NAMES + WITH_NUL:
            with site.pop() as pop:
                greeting = pop.line()
                stamp = greeting[greeting.index(b"<"):greeting.index(b">") + 1]
                for lines in self.ways_in(name, stamp):
                    reply = self.say(pop, lines)
                    self.assertTrue(reply.startswith(b"-ERR "), (name, lines, reply))
                    if lines[0].startswith((b"USER", b"AUTH LOGIN")) and b"\0" not in name:
                        self.assertEqual(reply, BAD, (name, lines))
                pop.ok("NOOP")
        site.session().close()
        site.stop()
        new = [p for p in self.tree(site) if p not in before and "/accounts.lmdb" not in p]
        self.assertEqual(new, [])
        # And none of it is more than one line of the log, nor anything but a quoted name in it.
        for line in site.log().splitlines():
            self.assertTrue(line.startswith("event=") and line.isprintable(), line)

    def test_accounts_with_such_names_live_below_their_own_directory(self):
        site = self.site(users=(), start=False)
        made = []
        for name in NAMES:
            if b"@" in name or not name.isascii():
                continue
            address = name + b"@example.org"
            done = site.ringpost("user", "add", address, "--password-hash", "{PLAIN}secret", check=False)
            if done.returncode == 0:
                made.append(name)
        self.assertGreaterEqual(len(made), 12)
        for name in (b"..", b"/", b"../..", b"../../../../etc/passwd", b"%2e%2e%2f"):
            self.assertIn(name, made)
        before = self.tree(site)
        site.start()
        for name in made:
            with site.pop() as pop:
                pop.line()
                pop.ok(b"USER " + name)
                pop.ok("PASS secret")
                pop.ok("QUIT")
        for name in made:
            site.deliver([b"Subject: to %s\n\nx\n" % name], name=name.decode())
            with site.pop() as pop:
                pop.line()
                pop.ok(b"USER " + name)
                self.assertEqual(pop.ok("PASS secret"), b"+OK 1 messages\r\n")
                self.assertIn(b"Subject: to %s\r\n" % name, pop.command_multi("RETR 1"))
        site.stop()
        homes = set()
        for path in self.tree(site):
            if path in before:
                continue
            parts = os.path.relpath(path, site.spool).split("/")
            self.assertIn(parts[0], ("mail", "accounts.lmdb", "accounts.lmdb-lock"), path)
            self.assertLessEqual(len(parts), 5, path)  # mail, two of the digest, the maildrop, its files
            if len(parts) >= 4:
                self.assertRegex(parts[3], r"\A[^./%][^/]*@example\.org\Z|\A%[0-9A-Fa-f]{2}[^/]*@example\.org\Z")
                homes.add(parts[3])
        self.assertEqual(len(homes), len(made))

    def test_base64_of_all_wrong_kinds(self):
        site = self.all_mechanisms()
        for mechanism in MECHANISMS:
            with site.pop() as pop:
                pop.line()
                for wrong in NO_BASE64:
                    reply = pop.command(b"AUTH %s %s" % (mechanism.encode(), wrong))
                    self.assertTrue(reply.startswith(b"-ERR "), (mechanism, wrong, reply))
                    self.assertTrue(pop.command("AUTH " + mechanism).startswith(b"+ "), mechanism)
                    reply = pop.command(wrong)
                    self.assertTrue(reply.startswith(b"-ERR "), (mechanism, wrong, reply))
                pop.ok("NOOP")
                pop.ok(b"AUTH PLAIN " + b64(b"\0%s\0secret" % ALICE.encode()))
        # The second response of LOGIN, and the last of SCRAM.
        with site.pop() as pop:
            pop.line()
            for wrong in NO_BASE64:
                self.assertTrue(pop.command("AUTH LOGIN").startswith(b"+ "))
                self.assertTrue(pop.command(b64(ALICE.encode())).startswith(b"+ "))
                self.assertTrue(pop.command(wrong).startswith(b"-ERR "), wrong)
                first = Scram(ALICE, "secret", "sha256").first()
                self.assertTrue(pop.command("AUTH SCRAM-SHA-256 " + first).startswith(b"+ "))
                self.assertTrue(pop.command(wrong).startswith(b"-ERR "), wrong)
            pop.ok("NOOP")

    def test_what_is_too_long_for_any_exchange(self):
        site = self.all_mechanisms()
        for mechanism in MECHANISMS:
            with site.pop() as pop:
                pop.line()
                for length in (65536 - 24, 65536, 65537, 200000):
                    for as_initial in (True, False):
                        octets = b"A" * (length // 4 * 4 + length % 4)
                        if as_initial:
                            reply = pop.command(b"AUTH %s %s" % (mechanism.encode(), octets))
                        else:
                            self.assertTrue(pop.command("AUTH " + mechanism).startswith(b"+ "))
                            reply = pop.command(octets)
                        if reply.startswith(b"+ "):  # LOGIN takes a name of any length; a token is explained
                            reply = pop.command("*")
                        self.assertTrue(reply.startswith(b"-ERR "), (mechanism, length, reply))
                        pop.ok("NOOP")

    def exchange(self, mechanism):
        """The client's lines, all but what it must hear first to make them: a function of the last reply."""
        name = ALICE.encode()
        if mechanism == "PLAIN":
            return [b"AUTH PLAIN", b64(b"\0" + name + b"\0secret")]
        if mechanism == "LOGIN":
            return [b"AUTH LOGIN", b64(name), b64(b"secret")]
        if mechanism == "OAUTHBEARER":
            return [b"AUTH OAUTHBEARER", b64(b"n,a=" + name + b",\1auth=Bearer x\1\1"), b"AQ=="]
        if mechanism == "XOAUTH2":
            return [b"AUTH XOAUTH2", b64(b"user=" + name + b"\1auth=Bearer x\1\1"), b""]
        scram = Scram(ALICE, "secret", "sha1" if mechanism.endswith("-1") else "sha256")
        return [b"AUTH " + mechanism.encode(), scram.first().encode(),
                lambda reply: scram.final(reply[2:]).encode(), b""]

    def good_ending(self, mechanism):
        return b"-ERR" if mechanism.endswith("BEARER") or mechanism == "XOAUTH2" else b"+OK"

    def test_a_star_at_each_step(self):
        site = self.all_mechanisms()
        for mechanism in MECHANISMS:
            with site.pop() as pop:
                pop.line()
                for steps in range(1, len(self.exchange(mechanism))):
                    reply = b""
                    for line in self.exchange(mechanism)[:steps]:
                        reply = pop.command(line(reply) if callable(line) else line)
                        self.assertTrue(reply.startswith(b"+ "), (mechanism, steps, reply))
                    self.assertEqual(pop.command("*"), b"-ERR authentication cancelled\r\n")
                    pop.ok("NOOP")
                reply = b""
                for line in self.exchange(mechanism):
                    reply = pop.command(line(reply) if callable(line) else line)
                self.assertTrue(reply.startswith(self.good_ending(mechanism)), (mechanism, reply))

    def test_an_end_at_each_octet(self):
        site = self.all_mechanisms(shards="2")
        for n, mechanism in enumerate(MECHANISMS):
            for step in range(len(self.exchange(mechanism))):
                at, length = 0, 1
                while at <= length:
                    pop = site.pop()
                    pop.line()
                    lines, reply = self.exchange(mechanism), b""
                    for line in lines[:step]:
                        reply = pop.command(line(reply) if callable(line) else line)
                    last = lines[step](reply) if callable(lines[step]) else lines[step]
                    last += b"\r\n"
                    length = len(last)
                    pop.send(last[:at])
                    if (at + n) % 2:
                        pop.reset()
                    else:
                        pop.close()
                    at += 1
        site.session().close()
        site.stop()  # sanitizers see that nothing was left
        ends = site.events("session_end")
        self.assertGreater(len(ends), 500)
        self.assertEqual({e["why"] for e in ends} - {"closed_by_peer", "connection_failed"}, set())


if __name__ == "__main__":
    unittest.main()
