"""What a guest may say instead of a login: names that are paths, base64 that is none, exchanges that end anywhere."""
import base64
import hashlib
import os
import shutil
import ssl
import tempfile
import time
import unittest

import databases
import harness
import test_tokens
import tls
from test_auth import Scram

ALICE = "alice@" + harness.DOMAIN
BAD = b"-ERR [AUTH] wrong name or password\r\n"
# NUL, "=", ",", and what SASLprep forbids, are part of how a mechanism speaks.
MALFORMED = b"-ERR that is not what the mechanism says\r\n"
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


class Case(harness.Case):
    MECHANISMS = MECHANISMS

    def all_mechanisms(self, **settings):
        settings.setdefault("sasl_mechanisms", '"%s"' % " ".join(self.MECHANISMS))
        # bearer tokens are offered where somebody can judge them
        directory = tempfile.mkdtemp(prefix="ringpost-keys-")
        self.addCleanup(shutil.rmtree, directory, True)
        settings.update(oauth_keys='{"%s"}' % test_tokens.Key(directory, "ES256", "one").path,
                        oauth_issuer='"https://login.example.org"', oauth_audience='"ringpost"')
        return self.site(apop="yes", failed_logins="100", **settings)

    def pop(self, site):
        return site.pop()


class Names(Case):
    def tree(self, site):
        found = []
        for directory, names, files in os.walk(site.directory):
            found += [os.path.join(directory, name) for name in names + files]
        return sorted(p for p in found if p != site.log_path)

    def assert_homes(self, site, before, count):
        """What is new since `before` is `count` maildrops, each below its escaped name."""
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
        self.assertEqual(len(homes), count)

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
        for name in (ALICE.encode(), *NAMES, *WITH_NUL):
            with site.pop() as pop:
                greeting = pop.line()
                stamp = greeting[greeting.index(b"<"):greeting.index(b">") + 1]
                for lines in self.ways_in(name, stamp):
                    reply = self.say(pop, lines)
                    self.assertIn(reply, (BAD, MALFORMED), (name, lines))
                    if name.isascii() and not set(name) & set(b"\0=,") or lines[0].startswith(b"USER"):
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
        self.assert_homes(site, before, len(made))

    def test_look_alikes_are_other_accounts(self):
        """Each has a maildrop of its own, and none opens another's."""
        site = self.site(users=("alice",), start=False)
        names = [name for name in NAMES if not name.isascii() and b"@example.org" in name]
        for n, name in enumerate(names):
            site.ringpost("user", "add", name, "--password-hash", "{PLAIN}secret%d" % n)
        site.start()
        site.deliver([b"Subject: for alice\n\nx\n"])
        self.assertEqual(len(names), 5)
        for n, name in enumerate(names):
            with site.pop() as pop:
                pop.line()
                pop.ok(b"USER " + name)
                self.assertEqual(pop.command("PASS secret"), BAD, name)
                pop.ok(b"USER " + name)
                self.assertEqual(pop.ok("PASS secret%d" % n), b"+OK 0 messages\r\n", name)
        for n in range(len(names)):
            with site.pop() as pop:
                pop.line()
                pop.ok("USER alice")
                self.assertEqual(pop.command("PASS secret%d" % n), BAD)

    def test_mail_to_such_names(self):
        """By LMTP and by `ringpost deliver`: a maildrop below its own directory, or none; never a path."""
        site = self.site(users=(), start=False, lmtp=True)
        made = set()
        for name in NAMES:
            if b"@" in name or not name.isascii():
                continue
            done = site.ringpost("user", "add", name + b"@example.org", "--password-hash", "{PLAIN}secret",
                                 check=False)
            if done.returncode == 0:
                made.add(name + b"@example.org")
        site.start()
        before = self.tree(site)
        for name in NAMES:
            address = name if b"@" in name else name + b"@example.org"
            local = name.split(b"@")[0]
            quoted = local.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
            for path, means in ((address, address), (b'"%s"@example.org' % quoted, local + b"@example.org")):
                with harness.Lmtp(site.lmtp_port) as lmtp:
                    lmtp.say("MAIL FROM:<> SMTPUTF8", 250)
                    lmtp.send(b"RCPT TO:<" + path + b">\r\n")
                    reply = lmtp.reply()
                    if path.startswith(b'"'):
                        self.assertEqual(reply.startswith(b"250"), means in made, (path, reply))
                    if not reply.startswith(b"250"):
                        self.assertRegex(reply, rb"\A5(50|01|53|55)[ -]", path)
                        continue
                    self.assertIn(means, made, path)
                    lmtp.say("DATA", 354)
                    lmtp.send("Subject: x\r\n\r\nx\r\n.\r\n")
                    lmtp.expect(250)
            done = site.ringpost("deliver", address, check=False, input=b"Subject: y\n\ny\n")
            self.assertEqual(done.returncode == 0, address in made, (address, done.stderr))
            self.assertIn(done.returncode, (0, 64, 65, 67), (address, done.stderr))
        site.stop()
        self.assert_homes(site, before, len(made))


class Exchanges(Case):
    """The mechanisms that can be spoken in clear, and what is no mechanism."""

    def exchange(self, mechanism, greeting):
        """The client's lines, all but what it must hear first to make them: a function of the last reply."""
        name = ALICE.encode()
        if mechanism == "USER":
            return [b"USER " + name, b"PASS secret"]
        if mechanism == "APOP":
            stamp = greeting[greeting.index(b"<"):greeting.index(b">") + 1]
            return [b"APOP %s %s" % (name, hashlib.md5(stamp + b"secret").hexdigest().encode())]
        if mechanism == "PLAIN":
            return [b"AUTH PLAIN", b64(b"\0" + name + b"\0secret")]
        if mechanism == "LOGIN":
            return [b"AUTH LOGIN", b64(name), b64(b"secret")]
        if mechanism == "EXTERNAL":
            return [b"AUTH EXTERNAL", b64(name)]
        if mechanism == "OAUTHBEARER":
            return [b"AUTH OAUTHBEARER", b64(b"n,a=" + name + b",\1auth=Bearer x\1\1"), b"AQ=="]
        if mechanism == "XOAUTH2":
            return [b"AUTH XOAUTH2", b64(b"user=" + name + b"\1auth=Bearer x\1\1"), b""]
        # Of -PLUS the binding is wrong: only the client's library knows the right one (test_auth.py).
        scram = Scram(ALICE, "secret", "sha1" if mechanism.endswith("-1") else "sha256",
                      bytes(32) if mechanism.endswith("PLUS") else None)
        return [b"AUTH " + mechanism.encode(), scram.first().encode(),
                lambda reply: scram.final(reply[2:]).encode(), *([] if scram.header[0] == "p" else [b""])]

    def good_ending(self, mechanism):
        is_bad = mechanism in ("OAUTHBEARER", "XOAUTH2", "SCRAM-SHA-256-PLUS")
        return b"-ERR" if is_bad else b"+OK"

    def say_all(self, pop, lines):
        """The reply to the last of them; all others are challenges, or the OK of USER."""
        reply = b""
        for line in lines:
            self.assertNotEqual(reply[:1], b"-", reply)
            reply = pop.command(line(reply) if callable(line) else line)
        return reply

    def test_base64_of_all_wrong_kinds(self):
        """In the command itself, and in the place of each response."""
        site = self.all_mechanisms()
        for mechanism in self.MECHANISMS:
            with self.pop(site) as pop:
                greeting = pop.line()
                for wrong in NO_BASE64:
                    reply = pop.command(b"AUTH %s %s" % (mechanism.encode(), wrong))
                    self.assertTrue(reply.startswith(b"-ERR "), (mechanism, wrong, reply))
                    pop.ok("NOOP")
            for step in range(1, len(self.exchange(mechanism, greeting))):
                with self.pop(site) as pop:
                    pop.line()
                    for wrong in NO_BASE64:
                        lines = self.exchange(mechanism, greeting)[:step]
                        self.assertTrue(self.say_all(pop, lines).startswith(b"+ "), (mechanism, step))
                        reply = pop.command(wrong)
                        self.assertTrue(reply.startswith(b"-ERR "), (mechanism, step, wrong, reply))
                        pop.ok("NOOP")
                    reply = self.say_all(pop, self.exchange(mechanism, greeting))
                    self.assertTrue(reply.startswith(self.good_ending(mechanism)), (mechanism, reply))

    def test_what_is_too_long_for_any_exchange(self):
        site = self.all_mechanisms()
        for mechanism in self.MECHANISMS:
            with self.pop(site) as pop:
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

    def test_a_star_at_each_step(self):
        site = self.all_mechanisms()
        for mechanism in self.MECHANISMS:
            with self.pop(site) as pop:
                greeting = pop.line()
                for steps in range(1, len(self.exchange(mechanism, greeting))):
                    reply = self.say_all(pop, self.exchange(mechanism, greeting)[:steps])
                    self.assertTrue(reply.startswith(b"+ "), (mechanism, steps, reply))
                    self.assertEqual(pop.command("*"), b"-ERR authentication cancelled\r\n")
                    pop.ok("NOOP")
                reply = self.say_all(pop, self.exchange(mechanism, greeting))
                self.assertTrue(reply.startswith(self.good_ending(mechanism)), (mechanism, reply))

    def test_a_line_end_at_each_octet(self):
        """Each response cut anywhere is refused or not enough yet, and then given up; the session goes on."""
        site = self.all_mechanisms(auth_penalty_max_s="off")
        for mechanism in self.MECHANISMS:
            for step in range(1, len(self.exchange(mechanism, b""))):
                at, length, pop = 0, 1, None
                while at < length:
                    if pop is None or at % 50 == 0:  # so many may be wrong in one session
                        pop = self.pop(site)
                        self.addCleanup(pop.close)
                        pop.line()
                    lines = self.exchange(mechanism, b"")
                    reply = self.say_all(pop, lines[:step])
                    last = lines[step](reply) if callable(lines[step]) else lines[step]
                    length = len(last)
                    if at == length or (mechanism == "EXTERNAL" and at == 0):
                        pop.command("*")  # that would be right
                    else:
                        reply = pop.command(last[:at])
                        if reply.startswith(b"+ "):
                            reply = pop.command("*")
                        self.assertTrue(reply.startswith(b"-ERR "), (mechanism, step, last[:at], reply))
                    pop.ok("NOOP")
                    at += 1

    def test_an_end_at_each_octet(self):
        site = self.all_mechanisms(shards="2")
        count = 0
        for n, mechanism in enumerate((*self.WAYS_BESIDES, *self.MECHANISMS)):
            step, steps = 0, 1
            while step < steps:
                at, length = 0, 1
                while at <= length:
                    pop = self.pop(site)
                    lines = self.exchange(mechanism, pop.line())
                    steps = len(lines)
                    reply = self.say_all(pop, lines[:step])
                    last = lines[step](reply) if callable(lines[step]) else lines[step]
                    last += b"\r\n"
                    length = len(last)
                    pop.send(last[:at])
                    if (at + n) % 2:
                        pop.reset()
                    else:
                        pop.close()
                    at += 1
                    count += 1
                step += 1
        with self.pop(site) as pop:
            pop.login()
        site.stop()  # sanitizers see that nothing was left
        ends = site.events("session_end")
        self.assertGreater(len(ends), count / 2)
        self.assertEqual({e["why"] for e in ends} - {"closed_by_peer", "connection_failed"}, set())

    WAYS_BESIDES = ("USER", "APOP")

    def test_an_end_while_the_answer_is_being_found(self):
        """A hash on its worker, a question that a database does not answer: who asked may be gone."""
        server = databases.Postgres().start()
        self.addCleanup(server.remove)
        server.run("CREATE TABLE users (address text, password text);"
                   "INSERT INTO users VALUES ('bob@example.org', '{PLAIN}secret');")
        site = self.site(users=(), start=False, shards="2", password_scheme='"yescrypt"', auth_workers="1",
                         apop="yes", auth_penalty_max_s="off", sources='{"lmdb", "there"}')
        with open(site.config, "a") as f:
            f.write('source there {\n\tkind = pgsql\n\tconnection = "%s"\n\tquery = "SELECT password FROM users '
                    'WHERE address = $1"\n\ttime_limit_ms = 1000\n\tcache_s = 0\n\tcache_stale_s = 0\n}\n'
                    % server.connection)
        site.ringpost("user", "add", ALICE, input=b"secret\n")
        site.start()
        site.session("bob").close()
        ways = ([b"USER %s", b"PASS secret"], [b"APOP %s 0123456789abcdef0123456789abcdef"],
                [b"AUTH PLAIN %p"])
        for name in (ALICE.encode(), b"nobody@example.org", b"bob@example.org"):
            if not name.startswith(b"alice"):
                server.freeze()
            try:
                for n in range(60):
                    pop = site.pop()
                    pop.line()
                    for line in ways[n % len(ways)]:
                        pop.send(line.replace(b"%s", name).replace(b"%p", b64(b"\0" + name + b"\0secret"))
                                 + b"\r\n")
                    time.sleep(n % 4 * 0.003)
                    pop.reset() if n % 2 else pop.close()
            finally:
                server.thaw()
            deadline = time.monotonic() + 15
            while True:  # nothing is left behind: the workers have come back from them
                with site.pop() as pop:
                    pop.line()
                    pop.ok("USER bob")
                    if pop.command("PASS secret").startswith(b"+OK"):
                        break
                self.assertLess(time.monotonic(), deadline, site.log()[-2000:])
                time.sleep(0.2)
        site.session().close()


class ExchangesOverTls(Exchanges):
    """Those that need TLS: a certificate of the client's, and a binding to its connection."""
    MECHANISMS = ("EXTERNAL", "SCRAM-SHA-256-PLUS")
    WAYS_BESIDES = ()
    test_an_end_while_the_answer_is_being_found = None

    def all_mechanisms(self, **settings):
        chain, self.key, _, authorities = tls.issued("nobody", alternatives="email:" + ALICE)
        self.chain = chain
        return super().all_mechanisms(listener={"tls": "implicit", "plaintext_auth": "no"},
                                      tls_client_ca='"%s"' % authorities, tls_client_name='"email"',
                                      **tls.settings(tls.certificate("mail.example.org")), **settings)

    def pop(self, site):
        context = tls.context(ssl.TLSVersion.TLSv1_3)
        context.load_cert_chain(self.chain, self.key)
        return tls.TlsPop(site.port, context=context)


if __name__ == "__main__":
    unittest.main()
