#!/usr/bin/python3
"""`ringpost user` and `ringpost settings`, as an operator or a script uses them.

Programs are taken from $RINGPOST_BUILD (default build/release); everything is made in a temporary
directory.  Exit codes are those of sysexits.h.
"""
import json
import os
import pty
import pwd
import subprocess
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("RINGPOST_BUILD", "build/release"))
RINGPOST = os.path.join(BUILD, "ringpost")

EX_OK, EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_NOUSER = 0, 64, 65, 66, 67
EX_CANTCREAT, EX_TEMPFAIL, EX_CONFIG = 73, 75, 78

SHA512 = ("$6$rounds=1000$saltsalt$m5Jqz8uFV7nO71WGpVCvcvDAWNW5sytuqB0nA/k3swCJs2szIYT9nbxE7n/"
          "Ohl1xhbyPC0IjxbcRPPAubZtp/.")


class Case(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="ringpost-user-")
        self.addCleanup(self.directory.cleanup)
        os.chmod(self.directory.name, 0o755)
        self.spool = os.path.join(self.directory.name, "spool")
        self.configure('user = ""')

    def configure(self, *lines):
        self.config = os.path.join(self.directory.name, "ringpost.conf")
        with open(self.config, "w") as f:
            f.write("\n".join(lines))
            f.write('\nspool = "%s"\n' % self.spool)
            f.write('listen pop3 { address = "127.0.0.1:1110" }\n')

    def ringpost(self, *args, stdin="", code=EX_OK):
        """Returns (stdout, stderr) after checking the exit code."""
        done = subprocess.run([RINGPOST, "-c", self.config, *args], input=stdin.encode(),
                              capture_output=True, timeout=60)
        self.assertEqual(done.returncode, code, done.stderr.decode())
        return done.stdout.decode(), done.stderr.decode()

    def show(self, address):
        return json.loads(self.ringpost("user", "show", address, "--json")[0])

    PLAIN_ACCOUNT = {"enabled": True, "read_only": False, "no_delete": False, "networks": "",
                     "maildrop": "", "backend": "", "quota_octets": None, "quota_messages": None,
                     "source": "lmdb", "last_login": None, "app_passwords": []}


class UserCommand(Case):
    def test_a_first_account_makes_the_spool(self):
        self.ringpost("user", "add", "Alice@Example.Org", stdin="secret\n")
        out, _ = self.ringpost("user", "list")
        self.assertEqual(out, "alice@example.org\tenabled\tread-write\n")
        self.assertEqual(os.stat(self.spool).st_mode & 0o777, 0o700)
        self.assertTrue(os.path.exists(os.path.join(self.spool, "ringpost-spool")))
        self.assertEqual(self.show("alice@example.org"),
                         dict(self.PLAIN_ACCOUNT, address="alice@example.org",
                              password_scheme="yescrypt"))

    def test_what_exists_is_not_overwritten(self):
        self.ringpost("user", "add", "a@x.org", stdin="secret\n")
        _, err = self.ringpost("user", "add", "A@x.org", stdin="other\n", code=EX_CANTCREAT)
        self.assertIn("exists", err)

    def test_options_are_kept_and_changed(self):
        self.ringpost("user", "add", "a@x.org", "--read-only", "--disabled", "--quota-octets",
                      "5000000000", "--quota-messages", "4294967294", "--password-hash", SHA512)
        self.assertEqual(self.show("a@x.org"),
                         dict(self.PLAIN_ACCOUNT, address="a@x.org", enabled=False, read_only=True,
                              quota_octets=5000000000, quota_messages=4294967294,
                              password_scheme="sha512-crypt"))
        self.ringpost("user", "set", "a@x.org", "--enabled", "--quota-messages", "0")
        account = self.show("a@x.org")
        self.assertTrue(account["enabled"])
        self.assertTrue(account["read_only"])
        self.assertEqual(account["quota_messages"], 0)
        self.assertEqual(account["quota_octets"], 5000000000)
        text, _ = self.ringpost("user", "show", "a@x.org")
        self.assertIn("read-only: yes\n", text)
        self.assertIn("quota-messages: none\n", text)
        self.ringpost("user", "set", "a@x.org", "--quota-octets", "20M", "--quota-messages",
                      "default")
        account = self.show("a@x.org")
        self.assertEqual(account["quota_octets"], 20 << 20)
        self.assertIsNone(account["quota_messages"])
        text, _ = self.ringpost("user", "show", "a@x.org")
        self.assertIn("quota-octets: 20971520\nquota-messages: default\n", text)

    def test_passwd_changes_the_password_only(self):
        self.ringpost("user", "add", "a@x.org", "--read-only", "--password-hash", SHA512)
        self.ringpost("user", "passwd", "a@x.org", stdin="new one")
        account = self.show("a@x.org")
        self.assertEqual(account["password_scheme"], "yescrypt")
        self.assertTrue(account["read_only"])
        self.ringpost("user", "passwd", "a@x.org", "--password-hash", "{SHA512-CRYPT}" + SHA512)
        self.assertEqual(self.show("a@x.org")["password_scheme"], "sha512-crypt")

    def test_an_account_that_is_gone(self):
        self.ringpost("user", "add", "a@x.org", stdin="secret\n")
        self.ringpost("user", "del", "a@x.org")
        for form in (["show"], ["del"], ["set", "--enabled"], ["passwd"]):
            _, err = self.ringpost("user", *form, "a@x.org", stdin="x\n", code=EX_NOUSER)
            self.assertEqual(err, "ringpost: there is no account a@x.org\n")
        self.assertEqual(self.ringpost("user", "list")[0], "")

    DOWN = ('source there { kind = pgsql; connection = "hostaddr=127.0.0.1 port=1 dbname=x user=x"; '
            'query = "SELECT password FROM users WHERE address = $1" }').replace("; ", "\n").replace(
                "{ ", "{\n").replace(" }", "\n}")

    def test_show_goes_through_the_sources_in_order(self):
        self.ringpost("user", "add", "a@x.org", stdin="secret\n")
        self.configure('user = ""', 'sources = {"lmdb", "there"}', self.DOWN)
        self.assertEqual(self.show("a@x.org")["source"], "lmdb")
        out, err = self.ringpost("user", "show", "b@x.org", code=EX_TEMPFAIL)
        self.assertEqual(out, "address: b@x.org\nsource: cannot be said now\nlast-login: never\n")
        self.assertRegex(err, r'\Aringpost: source "there" cannot say whether there is an account b@x\.org: .*\n\Z')
        self.assertEqual(err.count("\n"), 1)
        # A login would hear [SYS/TEMP] here; what the spool knows is shown all the same.
        self.configure('user = ""', 'sources = {"there", "lmdb"}', self.DOWN)
        out, err = self.ringpost("user", "show", "a@x.org", code=EX_TEMPFAIL)
        self.assertIn("source: lmdb\nenabled: yes\n", out)
        self.assertIn('source "there"', err)

    def test_an_account_of_no_source_is_told_why(self):
        self.ringpost("user", "add", "a@x.org", stdin="secret\n")
        self.configure('user = ""', 'sources = {"people"}',
                       'source people {\nkind = pam\nservice = "no-such-service"\nnames = users\n}')
        for form in (["show", "a@x.org"], ["app-password", "add", "a@x.org", "phone"],
                     ["app-password", "list", "a@x.org"]):
            _, err = self.ringpost("user", *form, code=EX_NOUSER)
            self.assertEqual(err, 'ringpost: there is no account a@x.org: the spool has one, but "lmdb" is not '
                                  "among the `sources`\n")
        self.assertEqual(self.show("daemon@x.org"), dict(
            self.PLAIN_ACCOUNT, address="daemon@x.org", source="people", password_scheme="source"))

    def test_forget(self):
        self.configure('user = ""', 'sources = {"lmdb", "any"}',
                       'source any {\nkind = pam\nservice = "no-such-service"\nnames = any\n}')
        self.ringpost("user", "add", "here@x.org", stdin="secret\n")
        for name in ("here@x.org", "a@x.org", "b@x.org", "c@x.org"):
            self.ringpost("user", "app-password", "add", name, "phone")
        self.ringpost("user", "forget", "a@x.org")
        _, err = self.ringpost("user", "forget", "a@x.org", code=EX_NOUSER)
        self.assertEqual(err, "ringpost: nothing is kept of a@x.org\n")
        self.configure('user = ""')  # the source is gone, and with it the accounts
        _, err = self.ringpost("user", "show", "b@x.org", code=EX_NOUSER)
        self.assertEqual(err, "ringpost: there is no account b@x.org; app passwords or a last login of it are kept "
                              "until `ringpost user forget`\n")
        self.assertEqual(self.ringpost("user", "forget", "--unused", "1d")[0], "forgot 0 addresses\n")
        time.sleep(2.1)
        out, _ = self.ringpost("user", "forget", "--unused", "1s", "--json")
        self.assertEqual(json.loads(out), {"forgotten": 2})
        self.assertEqual([p["name"] for p in self.show("here@x.org")["app_passwords"]], ["phone"])
        self.ringpost("user", "app-password", "list", "b@x.org", code=EX_NOUSER)
        for args in ([], ["a@x.org", "b@x.org"], ["a@x.org", "--unused", "1d"], ["--unused", "never"]):
            self.ringpost("user", "forget", *args, code=EX_USAGE)

    def test_del_with_mail_takes_the_maildrop_along(self):
        self.ringpost("user", "add", "a@x.org", stdin="secret\n")
        message = os.path.join(self.directory.name, "in", "new", "1.m")
        for sub in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(self.directory.name, "in", sub))
        with open(message, "w") as f:
            f.write("Subject: one\n\nbody\n")
        self.ringpost("import", "maildir", "a@x.org", os.path.join(self.directory.name, "in"))
        logs = [f for _, _, files in os.walk(self.spool) for f in files if f == "log"]
        self.assertEqual(logs, ["log"])
        self.ringpost("user", "del", "--mail", "a@x.org")
        logs = [f for _, _, files in os.walk(self.spool) for f in files if f == "log"]
        self.assertEqual(logs, [])

    def test_load_takes_the_good_lines_and_tells_the_bad(self):
        lines = ["# a comment", "", "b@x.org:" + SHA512, "no colon", "c d@x.org:" + SHA512,
                 "e@x.org:$9$what$is", "f@x.org:{PLAIN}with:colon\r", "b@x.org:{PLAIN}again",
                 "g+x@x.org:" + SHA512, "h@x.org:"]
        path = os.path.join(self.directory.name, "accounts")
        with open(path, "w", newline="") as f:
            f.write("\n".join(lines))
        out, err = self.ringpost("user", "load", path, code=EX_DATAERR)
        self.assertEqual(out, "loaded 3 accounts, 5 bad lines\n")
        for number in (4, 5, 6, 9, 10):
            self.assertIn("%s:%d: " % (path, number), err)
        self.assertNotIn(":3: ", err)
        out, _ = self.ringpost("user", "list")
        self.assertEqual([l.split("\t")[0] for l in out.splitlines()], ["b@x.org", "f@x.org"])
        self.assertEqual(self.show("b@x.org")["password_scheme"], "plain")
        out, err = self.ringpost("--json", "user", "load", "-", stdin="k@x.org:" + SHA512)
        self.assertEqual(json.loads(out), {"loaded": 1, "bad_lines": 0})
        self.assertEqual(json.loads(err.splitlines()[-1])["done"], 1)

    def test_thousands_are_loaded_and_listed_in_order(self):
        text = "".join("u%05d@x.org:%s\n" % (i * 7 % 20011, SHA512) for i in range(20000))
        self.ringpost("user", "load", "-", stdin=text)
        out, _ = self.ringpost("user", "list", "--json")
        names = [json.loads(line)["address"] for line in out.splitlines()]
        self.assertEqual(len(names), 20000)
        self.assertEqual(names, sorted(names))

    def test_a_load_that_is_killed_leaves_the_accounts_whole(self):
        self.ringpost("user", "add", "a@x.org", stdin="secret\n")
        load = subprocess.Popen([RINGPOST, "-c", self.config, "user", "load", "-"],
                                stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        lines = "".join("u%05d@x.org:%s\n" % (i, SHA512) for i in range(5000)).encode()
        load.stdin.write(lines)
        load.stdin.flush()
        load.kill()
        load.stdin.close()
        load.wait()
        self.assertEqual(self.ringpost("user", "list")[0], "a@x.org\tenabled\tread-write\n")
        self.ringpost("user", "load", "-", stdin=lines.decode())
        self.assertEqual(len(self.ringpost("user", "list")[0].splitlines()), 5001)

    def test_names_follow_the_settings(self):
        self.configure('user = ""', 'default_domain = "example.org"', 'detail_separator = "-"')
        self.ringpost("user", "add", "bob", stdin="secret\n")
        self.assertEqual(self.show("BOB")["address"], "bob@example.org")
        _, err = self.ringpost("user", "add", "bob-lists", stdin="secret\n", code=EX_DATAERR)
        self.assertIn("detail part", err)

    def test_bad_passwords_are_refused(self):
        for stdin in ("", "\n", "x" * 600 + "\n"):
            self.ringpost("user", "add", "a@x.org", stdin=stdin, code=EX_DATAERR)
        for given in ("x", "$9$a$b", "", "{PLAIN}", "{SSHA}x", "{WHAT}x"):
            self.ringpost("user", "add", "a@x.org", "--password-hash", given, code=EX_DATAERR)
        self.ringpost("user", "list", code=EX_NOINPUT)  # nothing was made on the way

    def test_wrong_use_is_told(self):
        for args in ([], ["nonsense"], ["add"], ["add", "a@x.org", "b@x.org"], ["list", "--mail"],
                     ["set", "a@x.org"], ["set", "a@x.org", "--enabled", "--disabled"],
                     ["add", "a@x.org", "--quota-octets", "-1"],
                     ["add", "a@x.org", "--quota-messages", "4294967295"],
                     ["add", "a@x.org", "--quota-octets", "8388608T"],
                     ["add", "a@x.org", "--quota-octets", "many"], ["list", "--nonsense"]):
            out, err = self.ringpost("user", *args, stdin="x\n", code=EX_USAGE)
            self.assertEqual(out, "")
            self.assertNotEqual(err, "")
        self.ringpost("nonsense", code=EX_USAGE)
        self.assertIn("user add ADDRESS", self.ringpost("user", "--help")[0])

    def test_wrong_settings_are_told_with_their_line(self):
        self.configure('user = ""', "shards = many", "idle_timeout_s = 1")
        _, err = self.ringpost("user", "list", code=EX_CONFIG)
        self.assertIn("%s:2: shards" % self.config, err)
        self.assertIn("%s:3: idle_timeout_s" % self.config, err)

    def test_a_directory_of_others_is_no_spool(self):
        os.mkdir(self.spool)
        with open(os.path.join(self.spool, "somebody's"), "w") as f:
            f.write("work")
        _, err = self.ringpost("user", "add", "a@x.org", stdin="x\n", code=EX_CONFIG)
        self.assertIn("is no ringpost spool", err)
        self.assertEqual(os.listdir(self.spool), ["somebody's"])

    def test_damaged_accounts_are_told(self):
        os.mkdir(self.spool)
        self.ringpost("user", "add", "a@x.org", stdin="x\n")
        with open(os.path.join(self.spool, "accounts.lmdb"), "r+b") as f:
            f.write(b"x" * 8192)
        _, err = self.ringpost("user", "list", code=EX_DATAERR)
        self.assertIn("damaged", err)

    def test_the_reference_needs_no_settings(self):
        out = subprocess.run([RINGPOST, "settings"], capture_output=True, check=True).stdout
        with open(os.path.join(ROOT, "docs", "SETTINGS.md"), "rb") as f:
            self.assertEqual(out, f.read())

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_as_root_all_belongs_to_the_servers_user(self):
        self.configure('user = "nobody"')
        nobody = pwd.getpwnam("nobody")
        os.umask(0o022)
        self.ringpost("user", "add", "a@x.org", stdin="secret\n")
        made = [self.spool] + [os.path.join(base, name) for base, dirs, files
                               in os.walk(self.spool) for name in dirs + files]
        self.assertGreaterEqual(len(made), 5)
        for path in made:
            st = os.lstat(path)
            self.assertEqual((st.st_uid, st.st_gid), (nobody.pw_uid, nobody.pw_gid), path)
        self.configure('user = "no-such-user-here"')
        self.spool += "2"
        self.configure('user = "no-such-user-here"')
        self.ringpost("user", "add", "a@x.org", stdin="secret\n", code=EX_NOUSER)
        self.assertFalse(os.path.exists(self.spool))


class Terminal(Case):
    """A password is asked for twice and never shown; a long job shows how far it is."""

    def converse(self, args, answers):
        """Type each answer at its prompt; returns the exit code and all that was on the screen."""
        child, terminal = pty.fork()
        if child == 0:
            os.execv(RINGPOST, [RINGPOST, "-c", self.config, *args])
        screen = b""
        try:
            for prompt, answer in answers:
                while prompt not in screen:
                    screen += os.read(terminal, 1000)
                time.sleep(0.1)  # echo goes off right after the question
                os.write(terminal, answer)
            while True:
                screen += os.read(terminal, 1000)
        except OSError:  # EIO: the child is gone
            pass
        os.close(terminal)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), screen

    def test_the_same_twice(self):
        code, screen = self.converse(["user", "add", "a@x.org"],
                                     [(b"New password for a@x.org: ", b"s3cret\n"),
                                      (b"Once more for a@x.org: ", b"s3cret\n")])
        self.assertEqual(code, EX_OK, screen)
        self.assertNotIn(b"s3cret", screen)
        self.assertEqual(self.show("a@x.org")["password_scheme"], "yescrypt")

    def test_two_that_differ(self):
        code, screen = self.converse(["user", "add", "a@x.org"],
                                     [(b"New password for a@x.org: ", b"s3cret\n"),
                                      (b"Once more for a@x.org: ", b"s3cred\n")])
        self.assertEqual(code, EX_DATAERR)
        self.assertIn(b"differ", screen)

    def test_control_c_cancels(self):
        code, screen = self.converse(["user", "add", "a@x.org"],
                                     [(b"New password for a@x.org: ", b"s3c\x03\n")])
        self.assertEqual(code, EX_TEMPFAIL)
        self.assertIn(b"cancelled", screen)

    def test_a_load_shows_a_bar(self):
        path = os.path.join(self.directory.name, "accounts")
        with open(path, "w") as f:
            f.write("a@x.org:%s\nbad\nb@x.org:%s\n" % (SHA512, SHA512))
        code, screen = self.converse(["user", "load", path], [])
        self.assertEqual(code, EX_DATAERR)
        self.assertIn(b"[" + b"#" * 24 + b"] 2 accounts, ", screen)
        self.assertIn(b", 100%, 0:00:00 left", screen)
        self.assertIn(path.encode() + b":2: ", screen)


if __name__ == "__main__":
    if not os.path.exists(RINGPOST):
        sys.exit("%s is not built: make, or set RINGPOST_BUILD" % RINGPOST)
    unittest.main()
