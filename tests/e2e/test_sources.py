"""Accounts in a real PostgreSQL and a real slapd, passwords that PAM proves: what they may say, what
happens when they are gone."""
import base64
import hashlib
import json
import os
import pwd
import re
import shutil
import tempfile
import threading
import time
import unittest
import warnings

import databases
import harness
import tls

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt

AUTH = b"-ERR [AUTH]"
TEMPORARY = b"-ERR [SYS/TEMP]"
NAMES = ("o'brien", 'quo"te', "per%cent", "star*", "par(en)", "back\\slash", "semi;--", "nul&and|or", "ünï",
         "$1", "{}", "a=b,c", "sharp#", "under_score")
SECRETS = ("'; drop table users; --", 'a"b\\c', "*)(uid=*", "%u%s%n", "pässword", " space ", "$1")


def session(site, name, secret):
    """The answer to a login."""
    with site.pop() as pop:
        pop.line()
        pop.command("USER " + name)
        return pop.command("PASS " + secret)


class Load(threading.Thread):
    """Logins one after the other until told to stop; what was heard, and when."""

    def __init__(self, site, names, secret):
        super().__init__()
        self.site, self.names, self.secret = site, names, secret
        self.heard, self.ends, self.slowest = [], False, 0.0

    def run(self):
        while not self.ends:
            for name in self.names:
                started = time.monotonic()
                self.heard.append(session(self.site, name, self.secret)[:12])
                self.slowest = max(self.slowest, time.monotonic() - started)

    def stop(self):
        self.ends = True
        self.join()
        return self.heard


class FromDatabase(harness.Case):
    """What holds for each kind of server; `server` and section() are the kind's."""

    def site_of(self, *more, stale="3600", cache="1", workers="2", limit="500", users=(), start=True,
                **settings):
        site = self.site(users=(*users, "spool"), start=False, shards="1", **settings)
        site.settings["sources"] = "{%s}" % ", ".join('"%s"' % s for s in (*more, "there"))
        site.write_config()
        section = {"workers": workers, "time_limit_ms": limit, "cache_s": cache,
                   "cache_stale_s": stale, **self.section()}
        with open(site.config, "a") as f:
            f.write("source there {\n%s}\n" % "".join("\t%s = %s\n" % i for i in section.items()))
        return site.start() if start else site

    def site_of_example(self, example, *replaced):
        """What the page says, with its places replaced by ours."""
        for there, here in replaced:
            self.assertIn(there, example)
            example = example.replace(there, here)
        site = self.site(users=("local",), start=False)
        with open(site.config) as f:
            ours = f.read()
        with open(site.config, "w") as f:
            f.write(example + ours)
        return site.start()

    def assert_answer(self, site, name, secret, expected):
        said = session(site, name, secret)
        self.assertTrue(said.startswith(expected), (name, secret, said))

    def wait_for(self, site, event, seconds=20):
        deadline = time.monotonic() + seconds
        while event not in site.log():
            self.assertLess(time.monotonic(), deadline, event + "\n" + site.log())
            time.sleep(0.05)

    def check_down_and_up(self, take_away, bring_back):
        """One who was in before goes on; nobody hears [AUTH] for a secret that is right."""
        site = self.site_of()
        self.assert_answer(site, "alice", "secret", b"+OK")
        known = Load(site, ["alice"], "secret")
        by_app_password = Load(site, ["alice"], self.app_password(site, "alice", "phone"))
        others = Load(site, ["bob", "nobody"], "secret")
        known.start(), by_app_password.start(), others.start()
        time.sleep(0.5)
        take_away()
        self.wait_for(site, "event=source_down")
        time.sleep(2)
        in_the_dark = len(others.heard)
        time.sleep(1)
        dark = others.heard[in_the_dark:]
        bring_back()
        self.wait_for(site, "event=source_up")
        time.sleep(1.5)
        bob = others.stop()[::2]
        self.assertEqual(set(known.stop()), {b"+OK 0 messag"})
        self.assertEqual(set(by_app_password.stop()), {b"+OK 0 messag"})
        self.assertEqual(re.findall('event=login_failed.*name="(?:alice|bob).*', site.log()), [])
        self.assertTrue(all(h.startswith((b"+OK", b"-ERR [SYS/TE")) for h in bob), set(bob))
        self.assertIn(b"-ERR [SYS/TE", dark)
        self.assertNotIn(b"-ERR [AUTH] ", dark)
        self.assert_answer(site, "bob", "secret", b"+OK")
        self.assert_answer(site, "nobody", "secret", AUTH)
        return site

    # what the spool keeps of accounts that are not its own

    def app_password(self, site, address, name, *flags):
        return site.ringpost("user", "app-password", "add", address, name, *flags).stdout.decode().strip()

    def shown(self, site, address, code=0):
        done = site.ringpost("user", "show", address, "--json", check=False)
        self.assertEqual(done.returncode, code, done.stderr)
        return json.loads(done.stdout) if done.stdout else None

    def check_app_passwords(self, scheme):
        """Of an account "alice" that the source knows; returns the site, stopped."""
        site = self.site_of("lmdb", workers="1", failed_logins="100")
        site.deliver([b"Subject: one\n\nText\n"], "alice")
        phone = self.app_password(site, "alice", "phone")
        desk = self.app_password(site, "Alice@Example.Org", "desk", "--no-delete")
        gone = self.app_password(site, "alice", "gone", "--expires", "1s")
        time.sleep(1.2)
        before = int(time.time())
        for secret, may_delete in ((phone, True), (desk, False), (phone.replace("-", "").upper(), True)):
            with site.pop() as pop:
                pop.line()
                pop.ok("USER alice")
                self.assertTrue(pop.command("PASS " + secret).startswith(b"+OK 1 "), secret)
                self.assertEqual(pop.command("DELE 1").startswith(b"+OK"), may_delete)
                pop.ok("RSET")
                pop.ok("QUIT")
        for name, secret in (("alice", gone), ("alice", phone[:-1] + "!"), ("spool", phone)):
            self.assert_answer(site, name, secret, AUTH)
        self.wait_for(site, "why=app_password_expired")
        added = self.app_password(site, "alice", "lost")
        self.assert_answer(site, "alice", added, b"+OK")
        site.ringpost("user", "app-password", "revoke", "alice", "lost")
        self.assert_answer(site, "alice", added, AUTH)
        for form in (("add", "nobody@other.org", "x"), ("list", "nobody@other.org")):
            done = site.ringpost("user", "app-password", *form, check=False)
            if self.knows_all:
                self.assertEqual(done.returncode, 0, done.stderr)
            else:
                self.assertEqual((done.returncode, done.stderr),
                                 (67, b"ringpost: there is no account nobody@other.org\n"))
        site.stop()
        alice = self.shown(site, "alice")
        self.assertEqual((alice["source"], alice["password_scheme"], alice["enabled"]),
                         ("there", scheme, True))
        self.assertEqual((alice["last_login"]["from"], alice["last_login"]["protocol"]),
                         ("127.0.0.1", "pop3"))
        self.assertGreaterEqual(alice["last_login"]["at"], before)
        apps = {p["name"]: p for p in alice["app_passwords"]}
        self.assertEqual({n: (p["scope"], p["last_used_from"]) for n, p in apps.items()},
                         {"desk": ("no-delete", "127.0.0.1"), "gone": ("all", ""),
                          "phone": ("all", "127.0.0.1")})
        text = site.ringpost("user", "show", "alice").stdout.decode()
        self.assertIn("address: alice@example.org\nsource: there\nenabled: yes\n", text)
        self.assertRegex(text, r"app-password: desk\tno-delete\tmade \S+Z\texpires never\tlast used \S+Z 127")
        self.assertEqual(self.shown(site, "spool")["source"], "lmdb")
        listed = site.ringpost("user", "app-password", "list", "alice", "--json").stdout.splitlines()
        self.assertEqual([json.loads(line) for line in listed], alice["app_passwords"])
        site.ringpost("user", "forget", "alice")
        alice = self.shown(site, "alice")
        self.assertEqual((alice["last_login"], alice["app_passwords"]), (None, []))
        return site

    def check_show_while_it_is_down(self, words):
        """One line says so, and what the spool knows is shown all the same."""
        site = self.site_of("lmdb", start=False)
        self.app_password(site, "alice", "phone")
        with open(site.config) as f:
            settings = f.read()
        with open(site.config, "w") as f:  # where nobody listens
            f.write(settings.replace(str(self.server.port), "1"))
        done = site.ringpost("user", "show", "alice", "--json", check=False)
        self.assertEqual(done.returncode, 75)
        self.assertRegex(done.stderr.decode(), r'\Aringpost: source "there" cannot say whether there is an account '
                         r"alice@example\.org: .*" + words + r"[^\n]*\n\Z")
        alice = json.loads(done.stdout)
        self.assertEqual((alice["address"], alice["source"], alice["last_login"]),
                         ("alice@example.org", None, None))
        self.assertEqual([p["name"] for p in alice["app_passwords"]], ["phone"])
        self.assertEqual(self.shown(site, "spool")["source"], "lmdb")  # it is asked first
        self.assertIn(b"phone", site.ringpost("user", "app-password", "list", "alice").stdout)
        self.assertEqual(site.ringpost("user", "app-password", "add", "alice", "x", check=False).returncode, 75)
        site.ringpost("user", "app-password", "revoke", "alice", "phone")

    knows_all = False

    def check_mail_by_command(self, site):
        """What comes in otherwise than by LMTP finds the same accounts."""
        before = json.loads(site.ringpost("quota", "--json", "alice").stdout)["messages"]
        mbox = os.path.join(site.directory, "mbox")
        with open(mbox, "wb") as f:
            f.write(b"From x Sat Nov 21 00:00:00 2026\nSubject: y\n\ny\n")
        site.ringpost("deliver", "Alice+detail@example.org", "local", input=b"Subject: z\n\nz\n")
        site.ringpost("import", "mbox", "alice@example.org", mbox)
        after = json.loads(site.ringpost("quota", "--json", "alice").stdout)["messages"]
        self.assertEqual(after, before + 2)
        done = site.ringpost("import", "batch", "--json", "-", check=False,
                             input=b"mbox alice %s\nmbox nobody x\n" % mbox.encode())
        told = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((told["mailboxes"], told["known"], told["bad_lines"]), (1, 1, 1))
        for args in (["deliver", "nobody@example.org"], ["quota", "nobody@example.org"],
                     ["import", "mbox", "nobody@example.org", mbox]):
            done = site.ringpost(*args, input=b"Subject: z\n\nz\n", check=False)
            self.assertEqual(done.returncode, 67, (args, done.stderr))

    def check_mail(self):
        """Who gets mail is asked of the same sources, and nobody is refused because they are down."""
        site = self.site_of("lmdb", users=("local",), lmtp=True, cache="0", stale="0", workers="1")
        with harness.Lmtp(site.lmtp_port) as lmtp:
            for name in ("local", "alice", "Alice+detail"):
                lmtp.envelope(name)
                lmtp.say("DATA", 354)
                lmtp.send("Subject: x\r\n\r\nx\r\n.\r\n")
                lmtp.expect(250)
            lmtp.say("MAIL FROM:<>", 250)
            lmtp.say("RCPT TO:<nobody@example.org>", 550)
            lmtp.send("RCPT TO:<bob@example.org>\r\nRCPT TO:<nobody@example.org>\r\n"
                      "RCPT TO:<alice@example.org>\r\nRSET\r\n")
            for code in (250, 550, 250, 250):
                lmtp.expect(code)
            with site.pop() as pop:
                self.assertEqual(pop.login().stat()[0], 2)
            self.check_mail_by_command(site)
            self.server.freeze()
            try:
                for args in (["deliver", "alice@example.org"], ["quota", "alice@example.org"],
                             ["import", "mbox", "alice@example.org", "/dev/null"]):
                    done = site.ringpost(*args, input=b"Subject: z\n\nz\n", check=False)
                    self.assertEqual(done.returncode, 75, (args, done.stderr))
                    self.assertIn(b"cannot say whether there is an account alice@example.org", done.stderr)
                lmtp.say("MAIL FROM:<>", 250)
                lmtp.say("RCPT TO:<alice@example.org>", 451)
                lmtp.say("RCPT TO:<nobody@example.org>", 451)
                lmtp.say("RCPT TO:<local@example.org>", 250)
                lmtp.say("RSET", 250)
                lmtp.say("MAIL FROM:<>", 250)
                lmtp.send("RCPT TO:<alice@example.org>\r\n")
                lmtp.reset()  # gone while it is looked up
            finally:
                self.server.thaw()
        time.sleep(2.2)
        with harness.Lmtp(site.lmtp_port) as lmtp:
            lmtp.say("MAIL FROM:<>", 250)
            lmtp.say("RCPT TO:<alice@example.org>", 250)


def examples(heading):
    """All blocks of docs/OPERATING.md under it, in order."""
    with open(os.path.join(harness.ROOT, "docs/OPERATING.md")) as page:
        section = re.search(r"^%s\n(.*?)(?=^##)" % re.escape(heading), page.read(), re.M | re.S)
    return re.findall(r"^```\w*\n(.*?)^```", section[1], re.M | re.S)


class PostgreSQL(FromDatabase):
    QUERY = ("SELECT password, disabled, read_only, no_delete, quota_octets, quota_messages, networks, "
             "maildrop, backend FROM users WHERE local = $2 AND domain = $3 AND address = $1")

    @classmethod
    def setUpClass(cls):
        cls.server = databases.Postgres().start()
        cls.addClassCleanup(cls.server.remove)
        cls.server.run("CREATE TABLE users (address text primary key, local text, domain varchar(200), "
                       "password text, disabled boolean, read_only boolean, no_delete int, "
                       "quota_octets bigint, quota_messages int, networks text, maildrop text, "
                       "backend text);")
        for name in ("alice", "bob", *NAMES):
            cls.add(name, "{PLAIN}secret")

    @classmethod
    def add(cls, name, password, **more):
        def quoted(text):
            return "'%s'" % str(text).replace("'", "''")
        fields = {"address": name + "@example.org", "local": name, "domain": "example.org",
                  "password": password, **more}
        cls.server.run("DELETE FROM users WHERE address = %s;" % quoted(fields["address"])
                       + "INSERT INTO users (%s) VALUES (%s);"
                       % (", ".join(fields), ", ".join(map(quoted, fields.values()))))

    def section(self):
        return {"kind": "pgsql", "connection": '"%s"' % self.server.connection,
                "query": '"%s"' % self.QUERY}

    def test_logins(self):
        site = self.site_of(workers="1")
        self.assert_answer(site, "alice", "secret", b"+OK")
        self.assert_answer(site, "Alice@EXAMPLE.org", "secret", b"+OK")
        for name, secret in (("alice", "wrong"), ("nobody", "secret"), ("alice@other.org", "secret"),
                             ("alice", "{PLAIN}secret"), ("..", "secret"), ("a/b", "x")):
            self.assert_answer(site, name, secret, AUTH)
        self.assertNotIn("source_down", site.log())

    def test_metacharacters(self):
        site = self.site_of(failed_logins="100")
        for name in NAMES:
            self.assert_answer(site, name, "secret", b"+OK")
        for n, secret in enumerate(SECRETS):
            self.add("s%d" % n, "{PLAIN}" + secret)
            self.assert_answer(site, "s%d" % n, secret, b"+OK")
        for name in ("' OR '1'='1", "alice'--", "alice' OR 'a'='a", "x'; DROP TABLE users; --", "%", "_lice",
                     "alice\\", "$2", "a" * 64, "a" * 255):
            self.assert_answer(site, name, "secret", AUTH)
        self.assertEqual(self.server.run("SELECT count(*) > 10 FROM users;").split()[2], "t")
        self.assertNotIn("source_down", site.log())

    def test_fields(self):
        self.add("disabled", "{PLAIN}secret", disabled="t")
        self.add("frozen", "{PLAIN}secret", read_only="t")
        self.add("keeper", "{PLAIN}secret", no_delete="1")
        self.add("elsewhere", "{PLAIN}secret", networks="10.0.0.0/8 192.0.2.1")
        self.add("here", "{PLAIN}secret", networks="10.0.0.0/8 127.0.0.1")
        self.add("sales", "{PLAIN}secret", maildrop="alice@example.org")
        self.add("crypt", "{SHA512-CRYPT}$6$saltsalt$" + "A" * 86)
        self.server.run("INSERT INTO users (address, local, domain) VALUES "
                        "('nopass@example.org', 'nopass', 'example.org');")
        site = self.site_of()
        site.deliver([b"Subject: for sales\n\nText\n"], "alice")
        for name, answer in (("disabled", AUTH), ("elsewhere", AUTH), ("here", b"+OK"), ("crypt", AUTH),
                             ("nopass", AUTH), ("sales", b"+OK 1 message")):
            self.assert_answer(site, name, "secret", answer)
        for name in ("frozen", "keeper"):
            site.deliver([b"Subject: keep\n\nText\n"], name)
            with site.pop() as pop:
                pop.login(name)
                self.assertTrue(pop.command("DELE 1").startswith(b"-ERR"))

    def test_an_entry_that_makes_no_sense(self):
        self.add("odd", "{PLAIN}secret", networks="10.0.0.0/99")
        self.add("strange", "{NO-SUCH-SCHEME}secret")
        site = self.site_of(workers="1")
        for _ in range(3):
            self.assert_answer(site, "odd", "secret", TEMPORARY)
            self.assert_answer(site, "strange", "secret", TEMPORARY)
        self.assert_answer(site, "alice", "secret", b"+OK")
        self.assertIn('event=account_damaged level=error source="there" address="odd@example.org"',
                      site.log())
        self.assertNotIn("source_down", site.log())

    def test_app_passwords_and_last_login(self):
        self.check_app_passwords("plain")

    def test_show_while_it_is_down(self):
        self.check_show_while_it_is_down("Connection refused")

    def test_show_tells_all_fields(self):
        self.add("whole", "{SHA512-CRYPT}$6$saltsalt$" + "A" * 86, disabled="t", read_only="t", no_delete="1",
                 quota_octets=5000000000, quota_messages=-1, networks="10.0.0.0/8 192.0.2.1",
                 maildrop="alice@example.org", backend="b1.example.org")
        self.add("odd", "{PLAIN}secret", networks="10.0.0.0/99")
        site = self.site_of("lmdb", start=False)
        self.assertEqual(self.shown(site, "whole"), {
            "address": "whole@example.org", "source": "there", "enabled": False, "read_only": True,
            "no_delete": True, "networks": "10.0.0.0/8 192.0.2.1", "maildrop": "alice@example.org",
            "backend": "b1.example.org", "quota_octets": 5000000000, "quota_messages": 0,
            "password_scheme": "sha512-crypt", "last_login": None, "app_passwords": []})
        self.assertIsNone(self.shown(site, "nobody", code=67))
        done = site.ringpost("user", "show", "odd", check=False)
        self.assertEqual((done.returncode, done.stderr), (
            65, b'ringpost: what source "there" says of odd@example.org makes no sense: '
                b"its networks cannot be read\n"))

    def test_what_is_the_databases_is_changed_there(self):
        site = self.site_of("lmdb", start=False)
        for form in (["passwd"], ["set", "--disabled"], ["del"]):
            done = site.ringpost("user", *form, "alice", check=False, input=b"x\n")
            self.assertEqual((done.returncode, done.stderr), (
                67, b"ringpost: the spool has no account alice@example.org; one of another source is changed there\n"))

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_root_asks_as_the_owner_of_the_spool(self):
        """Who has no user in the connection is who the process is; and there is no role root."""
        self.server.run("CREATE ROLE nobody LOGIN; GRANT SELECT ON users TO nobody;")
        self.section = lambda: dict(PostgreSQL.section(self), connection='"%s"'
                                    % self.server.connection.replace(" user=mail", ""))
        site = self.site_of("lmdb", start=False)
        done = site.ringpost("user", "show", "alice", check=False)
        self.assertEqual(done.returncode, 75)
        self.assertIn(b'"root"', done.stderr)
        nobody = pwd.getpwnam("nobody")
        for directory, _, files in os.walk(site.spool):
            for path in (directory, *(os.path.join(directory, name) for name in files)):
                os.chown(path, nobody.pw_uid, nobody.pw_gid)
        self.assertEqual(self.shown(site, "alice")["source"], "there")

    def test_an_account_without_a_password_may_have_an_app_password(self):
        self.server.run("INSERT INTO users (address, local, domain) VALUES "
                        "('sso@example.org', 'sso', 'example.org');")
        site = self.site_of()
        self.assert_answer(site, "sso", self.app_password(site, "sso", "phone"), b"+OK")
        self.assert_answer(site, "sso", "secret", AUTH)

    def test_order_of_sources(self):
        site = self.site_of("lmdb", users=("alice", "local"))
        self.add("local", "{PLAIN}other")
        self.assert_answer(site, "local", "secret", b"+OK")
        self.assert_answer(site, "local", "other", AUTH)
        self.assert_answer(site, "bob", "secret", b"+OK")
        self.assert_answer(site, "nobody", "secret", AUTH)

    def test_a_change_counts_after_cache_s(self):
        self.add("changes", "{PLAIN}old")
        site = self.site_of(cache="1")
        self.assert_answer(site, "changes", "old", b"+OK")
        self.add("changes", "{PLAIN}new")
        time.sleep(1.2)
        self.assert_answer(site, "changes", "old", AUTH)
        self.assert_answer(site, "changes", "new", b"+OK")
        self.server.run("DELETE FROM users WHERE local = 'changes';")
        time.sleep(1.2)
        self.assert_answer(site, "changes", "new", AUTH)

    def test_the_example_of_the_page(self):
        table, settings = examples("### PostgreSQL")
        self.server.run(table + "INSERT INTO accounts VALUES ('carol@example.org', '{PLAIN}secret', true, NULL, NULL),"
                        "('off@example.org', '{PLAIN}secret', false, NULL, NULL),"
                        "('sales@example.org', '{PLAIN}secret', true, 1000000, 'carol@example.org');")
        site = self.site_of_example(settings, ("host=/run/postgresql dbname=mail", "hostaddr=127.0.0.1 "
                                               "port=%d dbname=postgres" % self.server.port))
        site.deliver([b"Subject: one\n\nText\n"], "carol")
        for name, answer in (("local", b"+OK 0"), ("carol", b"+OK 1"), ("sales", b"+OK 1"), ("off", AUTH)):
            self.assert_answer(site, name, "secret", answer)

    def test_killed_and_restarted(self):
        site = self.check_down_and_up(self.server.kill, self.server.start)
        self.assertRegex(site.log(), r'event=source_down level=error source="there" error="[^"]+" said="[^"]+')

    def test_frozen(self):
        started = time.monotonic()
        site = self.check_down_and_up(self.server.freeze, self.server.thaw)
        self.assertIn("timed out", site.log())
        self.assertLess(time.monotonic() - started, 60)

    def test_mail(self):
        self.check_mail()

    def test_restarted_between_two_questions(self):
        site = self.site_of(cache="0")
        self.assert_answer(site, "alice", "secret", b"+OK")
        self.server.kill()
        self.server.start()
        self.assert_answer(site, "alice", "secret", b"+OK")
        self.assertNotIn("source_down", site.log())

    def test_a_lock_in_the_database_is_a_time_limit(self):
        site = self.site_of(workers="1", limit="300", cache="0", stale="0")
        self.assert_answer(site, "alice", "secret", b"+OK")
        locker = threading.Thread(target=self.server.run, args=(
            "BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(3); COMMIT;",))
        locker.start()
        time.sleep(0.5)
        started = time.monotonic()
        self.assert_answer(site, "alice", "secret", TEMPORARY)
        self.assertLess(time.monotonic() - started, 2)
        locker.join()
        time.sleep(2.1)
        self.assert_answer(site, "alice", "secret", b"+OK")

    def test_mistakes_are_told(self):
        for query, said in (("SELECT nothing FROM users", "nothing"),
                            ("SELECT password, local FROM users WHERE address = $1", "local"),
                            ("DELETE FROM users WHERE false", "SELECT")):
            self.QUERY = query
            site = self.site_of(workers="1")
            self.assert_answer(site, "alice", "secret", TEMPORARY)
            self.wait_for(site, "event=source_down")
            self.assertRegex(site.log(), 'source_down.*said="[^\n]*' + said)
            site.stop()

    def test_started_while_it_is_down(self):
        def told(name):
            """What is told of the source, by outcome."""
            return {labels: int(value) for labels, value in re.findall(
                r'%s\{source="there",?([^}]*)\} (\d+)' % name, site.ringpost("metrics").stdout.decode())}
        self.server.kill()
        site = self.site_of(metrics='"127.0.0.1:%d"' % harness.free_port())
        for _ in range(3):
            self.assert_answer(site, "alice", "secret", TEMPORARY)
        self.assertEqual(told("ringpost_source_down"), {"": 1})
        self.server.start()
        time.sleep(2.5)
        self.assert_answer(site, "alice", "secret", b"+OK")
        self.assert_answer(site, "alice", "secret", b"+OK")
        self.assert_answer(site, "nobody", "secret", AUTH)
        self.assertEqual(told("ringpost_source_down"), {"": 0})
        lookups = told("ringpost_account_lookups_total")
        self.assertEqual([lookups['outcome="%s"' % o] for o in ("unknown", "failed", "stale")], [1, 3, 0])
        self.assertGreaterEqual(lookups['outcome="found"'], 1)


class Directory(FromDatabase):
    """OpenLDAP.  Attributes of inetOrgPerson stand for what a mail schema would have."""
    ATTRIBUTES = ("disabled=employeeType", "read_only=roomNumber", "no_delete=carLicense",
                  "quota_octets=employeeNumber", "networks=description", "maildrop=manager")

    @classmethod
    def setUpClass(cls):
        certificate, key, _, cls.ca_file = tls.issued("slapd", alternatives="IP:127.0.0.1")
        os.chmod(tls.directory(), 0o755)
        os.chmod(key, 0o644)
        cls.server = databases.Slapd(certificate, key, log_level="256").start().fill()
        cls.addClassCleanup(cls.server.remove)
        person = cls.server.person
        cls.server.add(*(person(n, "secret") for n in ("alice", "bob")),
                       *(person(n, "secret", number="n%d" % i) for i, n in enumerate(NAMES)),
                       *(person("s%d" % i, s) for i, s in enumerate(SECRETS)))

    def section(self, prove="bind", uri=None, **more):
        attributes = (("password=userPassword",) if prove == "hash" else ()) + self.ATTRIBUTES
        return {"kind": "ldap", "uri": '"%s"' % (uri or self.server.uri), "prove": prove,
                "bind_dn": '"%s"' % self.server.SERVICE,
                "bind_password_file": '"%s"' % self.server.password_file,
                "base": '"ou=people,%s"' % self.server.BASE, "ca_file": '"%s"' % self.ca_file,
                "filter": '"(uid=%n)"', "attributes": "{%s}" % ", ".join(
                    '"%s"' % a for a in attributes), **more}

    def test_logins_by_bind(self):
        site = self.site_of(workers="1", failed_logins="100")
        self.assert_answer(site, "alice", "secret", b"+OK")
        self.assert_answer(site, "alice", "secret", b"+OK")
        self.assert_answer(site, "bob", "secret", b"+OK")
        for name, secret in (("alice", "wrong"), ("alice", ""), ("alice", " "), ("nobody", "secret"),
                             ("bob", "wrong"), ("*", "secret"), ("al*", "secret"),
                             ("alice)(uid=*", "secret"), ("alice\\2a", "secret"),
                             ("x)(|(uid=alice", "secret")):
            self.assert_answer(site, name, secret, b"-ERR")
            self.assertNotIn("unavailable", site.log(), (name, secret))
        self.assertNotIn("source_down", site.log())

    def test_an_empty_password_is_no_anonymous_bind(self):
        """By SASL PLAIN it could come with nothing behind the last NUL."""
        site = self.site_of()
        for response in (b"\0alice\0", b"\0alice\0\0", b"\0alice"):
            with site.pop() as pop:
                pop.line()
                said = pop.command("AUTH PLAIN " + base64.b64encode(response).decode())
                self.assertTrue(said.startswith(b"-ERR"), said)

    def test_metacharacters(self):
        site = self.site_of(failed_logins="100")
        for name in NAMES:
            self.assert_answer(site, name, "secret", b"+OK")
        for n, secret in enumerate(SECRETS):
            self.assert_answer(site, "s%d" % n, secret, b"+OK")

    def test_by_hash(self):
        person = self.server.person
        self.server.add(person("hashed", "{SSHA}" + base64.b64encode(
            hashlib.sha1(b"secretsalt").digest() + b"salt").decode(), number="h1"),
            person("two", "{X-ODD}abc", "{CRYPT}" + crypt.crypt("secret", "$6$salt$"), number="h2"),
            person("none", number="h3"))
        self.section = lambda: Directory.section(self, prove="hash")
        site = self.site_of()
        for name, secret, answer in (("hashed", "secret", b"+OK"), ("hashed", "wrong", AUTH),
                                     ("two", "secret", b"+OK"), ("two", "{X-ODD}abc", AUTH),
                                     ("none", "secret", AUTH), ("nobody", "secret", AUTH)):
            self.assert_answer(site, name, secret, answer)

    def test_fields(self):
        person = self.server.person
        self.server.add(person("disabled", "secret", employeeType="TRUE", number="f1"),
                        person("keeper", "secret", carLicense="TRUE", number="f2"),
                        person("elsewhere", "secret", description=["10.0.0.0/8", "192.0.2.1"],
                               number="f3"),
                        person("here", "secret", description=["10.0.0.0/8", "127.0.0.0/8"],
                               number="f4"),
                        person("odd", "secret", description="somewhere", number="f5"),
                        person("twice", "secret", number="f6"),
                        person("twice", "secret", number="f7"))
        site = self.site_of()
        site.deliver([b"Subject: keep\n\nText\n"], "keeper")
        for name, answer in (("disabled", AUTH), ("elsewhere", AUTH), ("here", b"+OK"),
                             ("odd", TEMPORARY), ("twice", TEMPORARY)):
            self.assert_answer(site, name, "secret", answer)
        with site.pop() as pop:
            pop.login("keeper")
            self.assertTrue(pop.command("DELE 1").startswith(b"-ERR"))
        self.assertNotIn("source_down", site.log())

    def test_a_change_counts_after_cache_s(self):
        self.server.add(self.server.person("changes", "old", number="c1"))
        site = self.site_of(cache="1")
        self.assert_answer(site, "changes", "old", b"+OK")
        self.server.tool("ldapmodify", "dn: uid=c1,ou=people,%s\nchangetype: modify\nreplace: "
                         "userPassword\nuserPassword: new\n" % self.server.BASE)
        time.sleep(1.2)
        self.assert_answer(site, "changes", "old", AUTH)
        self.assert_answer(site, "changes", "new", b"+OK")

    def binds(self, name):
        with open(os.path.join(self.server.directory, "log"), errors="replace") as log:
            return len(re.findall(r'BIND dn="uid=%s,[^"]*" method' % name, log.read()))

    def test_app_passwords_and_last_login(self):
        """The directory hears none of them, so it counts no failure; but for those that are known to nobody."""
        number = "u%x" % (hash("alice") & 0xffffffff)
        before = self.binds(number)
        self.check_app_passwords("source")
        self.assertEqual(self.binds(number) - before, 2)  # a digit is wrong; it was revoked
        site = self.site_of()
        self.assert_answer(site, "alice", "wrong", AUTH)
        self.assertEqual(self.binds(number) - before, 3)

    def test_show_while_it_is_down(self):
        self.check_show_while_it_is_down("Can't contact LDAP server")

    def test_tls(self):
        for uri, more in ((self.server.tls_uri, {}), (self.server.uri, {"starttls": "yes"})):
            self.section = lambda: Directory.section(self, uri=uri, **more)
            site = self.site_of()
            self.assert_answer(site, "alice", "secret", b"+OK")
            self.assert_answer(site, "alice", "wrong", AUTH)
            site.stop()
            other = self.site_of  # a certificate of somebody else's
            self.section = lambda: Directory.section(self, uri=uri, ca_file='""', **more)
            site = other()
            self.assert_answer(site, "alice", "secret", TEMPORARY)
            site.stop()

    def test_killed_and_restarted(self):
        self.check_down_and_up(self.server.kill, self.server.start)

    def test_frozen(self):
        site = self.check_down_and_up(self.server.freeze, self.server.thaw)
        self.assertRegex(site.log(), 'source_down.*timed out')

    def test_mail(self):
        self.check_mail()

    def test_the_example_of_the_page(self):
        self.server.add(self.server.person("carol", "secret", number="p1", mail="carol@example.org"))
        site = self.site_of_example(
            *examples("### LDAP"), ("ldaps://ldap.example.org", self.server.tls_uri),
            ("/etc/ssl/certs/ca-certificates.crt", self.ca_file),
            ("/etc/ringpost/ldap-password", self.server.password_file))
        self.assert_answer(site, "carol", "secret", b"+OK")
        self.assert_answer(site, "carol", "wrong", AUTH)

    def test_wrong_service_password(self):
        with open(os.path.join(self.server.directory, "wrong"), "w") as f:
            f.write("wrong\n")
        for path in (f.name, "/nonexistent"):
            self.section = lambda: Directory.section(self, bind_password_file='"%s"' % path)
            site = self.site_of(workers="1")
            self.assert_answer(site, "alice", "secret", TEMPORARY)
            self.assertRegex(site.log(), "source_down.*(Invalid credentials|no password can be read)")
            site.stop()


class Pam(FromDatabase):
    """Services in a directory of our own; pam_exec asks a script."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="ringpost-pam-")
        self.addCleanup(shutil.rmtree, self.directory)
        os.chmod(self.directory, 0o755)
        self.script = os.path.join(self.directory, "script")
        self.write("script", "#!/bin/sh\nread -r secret || :\n"
                   "test \"$PAM_USER:$secret\" = alice:secret\n")
        os.chmod(self.script, 0o755)
        self.write("exec", "auth [success=1 default=ignore] pam_exec.so expose_authtok quiet %s\n"
                   "auth requisite pam_deny.so\nauth required pam_permit.so\n"
                   "account required pam_permit.so\n" % self.script)
        self.write("permit", "auth required pam_permit.so\naccount required pam_permit.so\n")
        self.write("deny", "auth required pam_deny.so\naccount required pam_permit.so\n")
        self.write("expired", "auth required pam_permit.so\naccount required pam_deny.so\n")
        self.write("broken", "auth required pam_no_such_module.so\naccount required pam_permit.so\n")

    def write(self, name, text):
        with open(os.path.join(self.directory, name), "w") as f:
            f.write(text)

    def section(self):
        return {"kind": "pam", "service": '"%s"' % self.service, "service_directory":
                '"%s"' % self.directory, "names": self.names}

    def answers(self, service, *logins, names="any", **how):
        self.service, self.names = service, names
        site = self.site_of(**how)
        for name, secret, expected in logins:
            self.assert_answer(site, name, secret, expected)
        return site

    def test_stacks(self):
        self.answers("exec", ("alice", "secret", b"+OK"), ("alice", "wrong", AUTH), ("bob", "secret", AUTH),
                     ("$(id)", "secret", AUTH), ("alice", "secret", b"+OK"))
        self.answers("permit", ("anybody", "x", b"+OK"))
        self.answers("deny", ("alice", "secret", AUTH))
        self.answers("expired", ("alice", "secret", AUTH))

    knows_all = True

    def test_app_passwords_and_last_login(self):
        """PAM hears none of them: a module that counts failures would lock the account."""
        heard = os.path.join(self.directory, "heard")
        self.write("script", "#!/bin/sh\nread -r secret || :\necho \"$PAM_USER $secret\" >> %s\n"
                   "test \"$PAM_USER:$secret\" = alice:secret\n" % heard)
        self.service, self.names = "exec", "any"
        self.check_app_passwords("source")
        with open(heard) as f:
            asked = [line.split() for line in f]
        self.assertEqual(len([a for a in asked if a[0] == "alice"]), 2, asked)  # a digit is wrong; it was revoked
        self.assert_answer(self.site_of(), "alice", "secret", b"+OK")

    def test_the_example_of_the_page(self):
        settings, service = examples("### PAM")
        self.write("ringpost", service.replace("/usr/local/bin/check-password", self.script))
        site = self.site_of_example(settings, ("names = any", 'names = any\n\tservice_directory = "%s"'
                                               % self.directory))
        for name, secret, answer in (("alice", "secret", b"+OK"), ("alice", "wrong", AUTH),
                                     ("local", "secret", b"+OK")):
            self.assert_answer(site, name, secret, answer)

    def test_what_does_not_work_is_no_wrong_password(self):
        site = self.answers("broken", ("alice", "secret", TEMPORARY), workers="1")
        self.assertRegex(site.log(), 'source_down.*said="service broken')

    def test_mail(self):
        for names, code in (("users", 250), ("any", 550)):
            self.service, self.names = "permit", names
            site = self.site_of("lmdb", lmtp=True)
            with harness.Lmtp(site.lmtp_port) as lmtp:
                lmtp.say("MAIL FROM:<>", 250)
                lmtp.say("RCPT TO:<daemon@example.org>", code)
                lmtp.say("RCPT TO:<no-such-user@example.org>", 550)

    def test_users_of_the_system(self):
        self.answers("permit", ("daemon", "x", b"+OK"), ("no-such-user", "x", AUTH), names="users")

    def test_a_module_that_hangs_holds_only_its_worker(self):
        self.write("script", "#!/bin/sh\nread -r secret || :\n"
                   "test \"$PAM_USER\" = slow && sleep 4\ntest \"$secret\" = secret\n")
        self.service, self.names = "exec", "any"
        site = self.site_of(workers="1", auth_queue_deadline_s="1", cache="60")
        self.assert_answer(site, "alice", "secret", b"+OK")
        slow = threading.Thread(target=session, args=(site, "slow", "secret"))
        slow.start()
        time.sleep(0.5)
        started = time.monotonic()
        self.assert_answer(site, "alice", "secret", b"+OK")  # it is known
        self.assertLess(time.monotonic() - started, 1)
        self.assert_answer(site, "bob", "secret", TEMPORARY)  # it waited too long
        slow.join()
        time.sleep(0.2)
        self.assert_answer(site, "bob", "secret", b"+OK")


if __name__ == "__main__":
    unittest.main()
