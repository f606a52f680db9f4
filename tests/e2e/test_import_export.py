#!/usr/bin/python3
"""Import and export: every octet, every date, every unique-id, each message once, whatever happens.

The corpus holds what has broken other servers: CRLF, NUL, bare CR, 8-bit, dots, no last line end, no
body, no octet at all, a line of a megabyte.  What must come out is said by harness.normalised(), which
knows nothing of the program.
"""
import fcntl
import gzip
import json
import mailbox
import os
import random
import shutil
import signal
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness
from harness import RINGPOST, ROOT, Case, normalised, on_the_wire

EX_OK, EX_USAGE, EX_DATAERR, EX_NOINPUT, EX_NOUSER = 0, 64, 65, 66, 67
EX_CANTCREAT, EX_TEMPFAIL = 73, 75
ALICE, BOB = "alice@example.org", "bob@example.org"
KILLS = int(os.environ.get("RINGPOST_KILLS", "40"))

HEADER = b"From: a@example.org\nSubject: %s\n\n"
CORPUS = [
    HEADER % b"plain" + b"one\ntwo\n",
    (HEADER % b"crlf" + b"one\ntwo\n").replace(b"\n", b"\r\n"),
    HEADER % b"mixed" + b"lf\ncrlf\r\nbare\rcr\r\r\nend\n",
    HEADER % b"last is CR" + b"text\r",
    HEADER % b"nul" + b"a\0b\0\n\0\n",
    HEADER % b"8-bit" + bytes(range(1, 256)) * 3 + b"\n",
    HEADER % b"dots" + b".\n..\n.x\n\n.\n" + b"." * 5000 + b"\n.",
    HEADER % b"no last line end" + b"text",
    HEADER % b"no body",
    b"Subject: no blank line\n",
    b"Subject: neither blank line nor line end",
    b"",
    b"\n",
    b"\r\n\r\n",
    b"\n\n\n.\n",
    b".\n",
    HEADER % b"From lines" + b"\nFrom here\n\n>From there Sat Nov 21 22:24:08 2026\n"
    b"From x Sat Nov 21 22:24:08 2026\n\nFrom x Sat Nov 21 22:24:08 2026\n",
    HEADER % b"blank lines at the end" + b"text\n\n\n\n",
    b"X-UIDL: looks-like-ours\nSubject: first line\n\nbody\n",
    HEADER % b"1 MB line" + b"x" * (1 << 20) + b"\n",
    HEADER % b"lines of 1023 to 1026" + b"".join(b"y" * n + b"\n" for n in range(1023, 1027)),
    HEADER % b"5 MB" + b"".join(b"%070d\n" % n for n in range(5 << 20 >> 6)),
]


def run(site, *args, code=EX_OK):
    done = site.ringpost(*args, check=False)
    if harness.SANITIZER.search(done.stderr.decode("utf-8", "replace")) or done.returncode != code:
        raise AssertionError("ringpost %s: exit %d, not %d\n%s" % (
            " ".join(args), done.returncode, code, done.stderr.decode("utf-8", "replace")[-4000:]))
    return done


def result(site, *args, code=EX_OK):
    """The JSON objects on stdout."""
    return [json.loads(line) for line in run(site, *args, "--json", code=code).stdout.splitlines()]


def listing(site, address=ALICE):
    return result(site, "list", address)


def fates(listed):
    """What export and import must keep."""
    return [(m["octets"], m["arrived_at"], m["unique_id"]) for m in listed]


def wire(site, number, address=ALICE):
    return run(site, "show", address, str(number), "--wire").stdout


class Import(Case):
    def offline(self, users=("alice", "bob"), **more):
        return self.site(users=users, start=False, **more)

    def imports(self, site, kind, path, address=ALICE, code=EX_OK, **expected):
        got = result(site, "import", kind, address, path, code=code)[0]
        for name, value in expected.items():
            self.assertEqual(got[name], value, got)
        return got

    def assert_mail(self, site, messages, address=ALICE):
        listed = listing(site, address)
        self.assertEqual([m["octets"] for m in listed], [len(normalised(m)) for m in messages])
        for number, message in enumerate(messages, 1):
            self.assert_octets(wire(site, number, address), on_the_wire(message), number)

    def test_every_octet_of_a_maildir(self):
        site = self.offline()
        self.imports(site, "maildir", site.write_maildir(CORPUS), found=len(CORPUS),
                     added=len(CORPUS), known=0, damaged=0)
        self.assert_mail(site, CORPUS)
        listed = listing(site)
        self.assertEqual([m["arrived_at"] for m in listed],
                         [1000000000 + n for n in range(len(CORPUS))])
        self.assertEqual(listed[0]["date"], "2001-09-09T01:46:40Z")
        self.assertEqual(len({m["unique_id"] for m in listed}), len(CORPUS))
        for number, message in enumerate(CORPUS, 1):
            self.assert_octets(run(site, "show", ALICE, str(number)).stdout,
                               normalised(message).replace(b"\r\n", b"\n"), number)
        run(site, "verify", ALICE)

    def write_mbox(self, site, messages, crlf=False, name="mbox", unique_ids=()):
        """As any mail program writes it: mboxrd, a blank line behind each message."""
        path = os.path.join(site.directory, name)
        with open(path, "wb") as f:
            for n, message in enumerate(messages):
                date = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(1000000000 + n))
                text = b"From sender %s\n" % date.encode()
                if n < len(unique_ids):
                    text += b"X-UIDL: %s\n" % unique_ids[n].encode()
                lines = message.split(b"\n")
                text += b"\n".join(b">" + line if line.lstrip(b">").startswith(b"From ") else line
                                   for line in lines)
                text += b"\n" if text.endswith(b"\n") else b"\n\n"
                f.write(text.replace(b"\n", b"\r\n") if crlf else text)
        return path

    def test_every_octet_of_an_mbox(self):
        # in an mbox an end without line end, and lines that are nothing but CR, cannot be told
        messages = [m for m in CORPUS if b"\r" not in m and (not m or m.endswith(b"\n")) and
                    not m.startswith(b"X-UIDL")]
        for crlf in (False, True):
            site = self.offline()
            path = self.write_mbox(site, messages, crlf)
            self.imports(site, "mbox", path, added=len(messages), damaged=0)
            self.assert_mail(site, messages)
            self.assertEqual([m["arrived_at"] for m in listing(site)],
                             [1000000000 + n for n in range(len(messages))])
            self.imports(site, "mbox", path, added=0, known=len(messages))

    def test_mbox_ids_and_status(self):
        site = self.offline()
        messages = [HEADER % b"%d" % n + b"body\n" for n in range(4)]
        path = self.write_mbox(site, messages + messages[:2],
                               unique_ids=["<a>", "b", "not valid", "b"])
        self.imports(site, "mbox", path, added=6)
        ids = [m["unique_id"] for m in listing(site)]
        self.assertEqual(ids[:2], ["<a>", "b"])
        self.assertEqual(len(set(ids)), 6)
        with open(path, "rb") as f:
            text = f.read()
        # a mail program notes that they were read, deletes the first, and one more comes
        text = text[text.index(b"\n\nFrom sender") + 2:].replace(b"\n\n", b"\nStatus: RO\n\n", 1)
        text += b"From new Sat Nov 21 22:24:08 2026\n" + messages[3]
        with open(path, "wb") as f:
            f.write(text)
        self.imports(site, "mbox", path, added=1, known=5)
        self.assertEqual([m["unique_id"] for m in listing(site)][:6], ids)

    def test_the_second_run_adds_what_is_new(self):
        site = self.offline()
        path = site.write_maildir(CORPUS[:10])
        self.imports(site, "maildir", path, added=10)
        before = listing(site)
        self.imports(site, "maildir", path, added=0, known=10)
        os.rename(os.path.join(path, "cur/1000000003.M000003P1.host:2,S"),
                  os.path.join(path, "cur/1000000003.M000003P1.host:2,FRS"))
        os.unlink(os.path.join(path, "cur/1000000004.M000004P1.host:2,S"))
        with open(os.path.join(path, "new/1700000000.M1P1.host"), "wb") as f:
            f.write(CORPUS[0])
        self.imports(site, "maildir", path, added=1, known=9)
        after = listing(site)
        self.assertEqual(after[:10], before)
        self.assertEqual(after[10]["arrived_at"], 1700000000)

    def test_what_its_user_deleted_does_not_come_back(self):
        site = self.site(users=("alice",))
        path = site.write_maildir(CORPUS[:6])
        mbox = self.write_mbox(site, [HEADER % b"m" + b"%d\n" % n for n in range(3)])
        self.imports(site, "maildir", path, added=6)
        self.imports(site, "mbox", mbox, added=3)
        with site.session() as pop:
            for number in (1, 3, 8):
                pop.ok("DELE %d" % number)
            pop.ok("QUIT")
        left = listing(site)
        self.assertEqual(len(left), 6)
        self.imports(site, "maildir", path, added=0, known=6)
        self.imports(site, "mbox", mbox, added=0, known=3)
        self.assertEqual(fates(listing(site)), fates(left))
        with site.session() as pop:
            self.assertEqual(pop.stat()[0], 6)
            pop.ok("DELE 1")
            pop.ok("QUIT")
        run(site, "compact", ALICE)
        self.imports(site, "maildir", path, added=0, known=6)
        self.assertEqual(fates(listing(site)), fates(left)[1:])

    def test_a_new_account_of_the_same_name_begins_anew(self):
        site = self.offline()
        path = site.write_maildir(CORPUS[:5])
        self.imports(site, "maildir", path, added=5)
        run(site, "user", "del", ALICE, "--mail")
        site.add_user("alice")
        self.imports(site, "maildir", path, added=5, known=0)

    @unittest.skipUnless(os.geteuid() == 0, "needs root")
    def test_what_root_imports_belongs_to_the_owner_of_the_spool(self):
        site = self.offline()
        for folder, names, files in os.walk(site.spool):
            for name in [folder] + [os.path.join(folder, f) for f in files]:
                os.chown(name, 65534, 65534)
        path = site.write_maildir(CORPUS[:3])
        os.chmod(path, 0o700)
        self.imports(site, "maildir", path, added=3)
        for folder, names, files in os.walk(site.spool):
            for name in [folder] + [os.path.join(folder, f) for f in files]:
                self.assertEqual(os.stat(name).st_uid, 65534, name)

    def test_a_path_that_is_no_text(self):
        site = self.offline()
        path = site.write_maildir(CORPUS[:1])
        odd = os.fsencode(path) + b" \xff\n"
        os.rename(path, odd)
        got = self.imports(site, "maildir", os.fsdecode(odd), added=1)
        self.assertNotIn("path", got)

    def uidlist(self, path, text):
        with open(os.path.join(path, "dovecot-uidlist"), "w") as f:
            f.write(text)

    def test_dovecot_ids_are_kept_octet_by_octet(self):
        site = self.site(users=("alice", "bob"))
        path = site.write_maildir(CORPUS[:5])
        self.uidlist(path, "3 V1275660208 N40 Gabc\n"
                     "3 :1000000000.M000000P1.host:2,S\n"
                     "17 W99 Pblob.17 :1000000001.M000001P1.host\n"
                     "25 :1000000003.M000003P1.host:2,FS\n"
                     "26 :1000000002.M000002P1.host:2,S\n")
        self.imports(site, "maildir", path, added=5)
        listed = listing(site)
        self.assertEqual([(m["uid"], m["unique_id"], m["arrived_at"]) for m in listed],
                         [(3, "000000034c0907b0", 1000000000), (17, "blob.17", 1000000001),
                          (25, "000000194c0907b0", 1000000003), (26, "0000001a4c0907b0", 1000000002),
                          (40, "000000284c0907b0", 1000000004)])
        # into a maildrop that has a uid-validity of its own: the same ids, stored
        self.imports(site, "mbox", self.write_mbox(site, [CORPUS[0]]), address=BOB, added=1)
        self.imports(site, "maildir", path, address=BOB, added=5)
        self.assertEqual([m["unique_id"] for m in listing(site, BOB)][1:5],
                         [m["unique_id"] for m in listed][:4])
        with site.session() as pop:
            self.assertEqual([value for _, value in pop.listing("UIDL")],
                             [m["unique_id"] for m in listed])

    def test_uids_that_dovecot_used_up_do_not_come_again(self):
        site = self.offline()
        path = site.write_maildir(CORPUS[:2])
        self.uidlist(path, "3 V99 N40 Gabc\n3 :1000000000.M000000P1.host\n"
                     "4 :1000000001.M000001P1.host\n")
        self.imports(site, "maildir", path, added=2)
        self.imports(site, "mbox", self.write_mbox(site, [CORPUS[0]]), added=1)
        self.assertEqual([m["uid"] for m in listing(site)], [3, 4, 40])
        run(site, "verify", ALICE)

    def test_dovecot_order_and_courier_ids(self):
        site = self.offline()
        path = site.write_maildir(CORPUS[:3])
        self.uidlist(path, "3 V99 N40 Gabc\n3 :1000000000.M000000P1.host\n"
                     "4 O2 :1000000001.M000001P1.host\n5 O1 :1000000002.M000002P1.host\n")
        self.imports(site, "maildir", path, added=3)
        self.assertEqual([m["unique_id"] for m in listing(site)],
                         ["0000000500000063", "0000000400000063", "0000000300000063"])
        os.unlink(os.path.join(path, "dovecot-uidlist"))
        with open(os.path.join(path, "courierpop3dsizelist"), "w") as f:
            f.write("/2 3 1153\n1000000001.M000001P1.host:2,S 30 2:1153\n"
                    "1000000000.M000000P1.host:2,S 30 1:1153\n")
        self.imports(site, "maildir", path, address=BOB, added=3)
        self.assertEqual([m["unique_id"] for m in listing(site, BOB)][:2],
                         ["UID1-1153", "UID2-1153"])

    def test_damaged_files_are_reported_and_left_out(self):
        site = self.offline()
        path = site.write_maildir(CORPUS[:3])
        os.symlink("/nonexistent", os.path.join(path, "cur/1000000001.x"))
        os.mkdir(os.path.join(path, "new/1000000001.y"))
        os.mkfifo(os.path.join(path, "new/1000000001.z"))
        with open(os.path.join(path, "cur/1000000001.huge"), "wb") as f:
            f.truncate((1 << 32) + 1)
        with gzip.open(os.path.join(path, "cur/1000000001.packed:2,S"), "wb") as f:
            f.write(CORPUS[0])
        got = self.imports(site, "maildir", path, code=EX_DATAERR, added=3, damaged=5)
        self.assertTrue(got["complete"])
        self.assert_mail(site, CORPUS[:3])
        done = run(site, "import", "maildir", ALICE, path, code=EX_DATAERR)
        self.assertIn(b"cur/1000000001.huge: larger than 4 GiB", done.stderr)
        self.assertIn(b"cur/1000000001.packed:2,S: it is compressed", done.stderr)
        self.assertIn(b"new/1000000001.z: not a regular file", done.stderr)
        self.uidlist(path, "garbage\n")
        done = run(site, "import", "maildir", BOB, path, code=EX_DATAERR)
        self.assertIn(b"--new-ids", done.stderr)
        self.assertEqual(listing(site, BOB), [])
        run(site, "import", "maildir", BOB, path, "--new-ids", code=EX_DATAERR)
        self.assertEqual(len(listing(site, BOB)), 3)

    def test_what_is_wrong_is_said_with_its_exit_code(self):
        site = self.offline(lock_timeout_ms="200")
        maildir, mbox = site.write_maildir(CORPUS[:1]), self.write_mbox(site, CORPUS[:1])
        for args, code, words in (
                (("import", "maildir", ALICE), EX_USAGE, b"usage:"),
                (("import", "imap", ALICE, maildir), EX_USAGE, b"usage:"),
                (("import", "batch", mbox, "--jobs", "0"), EX_USAGE, b"--jobs"),
                (("import", "maildir", "nobody@example.org", maildir), EX_NOUSER, b"user add"),
                (("import", "maildir", ALICE, maildir + "x"), EX_NOINPUT, b"No such file"),
                (("import", "maildir", ALICE, mbox), EX_DATAERR, b"import mbox"),
                (("import", "maildir", ALICE, os.path.join(maildir, "cur")), EX_DATAERR, b"no maildir"),
                (("import", "mbox", ALICE, maildir), EX_DATAERR, b"import maildir"),
                (("import", "mbox", ALICE, os.path.abspath(__file__)), EX_DATAERR, b"From "),
                (("export", "mbox", "nobody@example.org", mbox), EX_NOUSER, b"no account"),
                (("export", "mbox", ALICE, mbox), EX_CANTCREAT, b"exists"),
                (("export", "maildir", ALICE, maildir), EX_CANTCREAT, b"not empty"),
                (("export", "eml", ALICE, "/nonexistent/x"), EX_CANTCREAT, b"cannot be made"),
                (("export", "tar", ALICE, "x"), EX_USAGE, b"usage:"),
                (("list", "nobody@example.org"), EX_NOUSER, b"no account"),
                (("show", ALICE, "1"), EX_NOINPUT, b"no message 1"),
                (("show", ALICE, "one"), EX_USAGE, b"count from 1"),
                (("verify",), EX_USAGE, b"usage:"),
                (("verify", "nobody@example.org"), EX_NOUSER, b"no account"),
                (("repair", "--all"), EX_USAGE, b"usage:"),
                (("compact", ALICE, "--all"), EX_USAGE, b"usage:")):
            with self.subTest(args=args):
                self.assertIn(words, run(site, *args, code=code).stderr)
        run(site, "import", "maildir", "nobody@example.org", maildir, "--no-account-check")
        self.assertEqual(len(listing(site, "nobody@example.org")), 1)

    def test_locks_of_others(self):
        site = self.offline(lock_timeout_ms="200")
        mbox = self.write_mbox(site, CORPUS[:1])
        self.imports(site, "mbox", mbox, added=1)
        with open(mbox, "r+b") as f:
            fcntl.lockf(f, fcntl.LOCK_EX)
            done = run(site, "import", "mbox", ALICE, mbox, code=EX_TEMPFAIL)
            self.assertIn(b"locked", done.stderr)
        F_OFD_SETLK = 37
        with open(os.path.join(site.maildrop_directory(), "imported"), "r+b") as f:
            fcntl.fcntl(f, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 1, 0))
            done = run(site, "import", "mbox", ALICE, mbox, code=EX_TEMPFAIL)
            self.assertIn(b"another import", done.stderr)
        self.imports(site, "mbox", mbox, added=0, known=1)

    def test_batch(self):
        names = ["user%d" % n for n in range(12)]
        site = self.offline(users=names)
        lines = ["# a comment", "", "maildir", "maildir nobody@example.org /tmp",
                 "mbox user0@example.org /nonexistent/mbox"]
        for n, name in enumerate(names):
            path = site.write_maildir(CORPUS[:n], name="maildir of " + name)
            lines.append("maildir %s@example.org %s" % (name, path))
        extra = self.write_mbox(site, CORPUS[:1])
        lines += ["mbox user5@example.org " + extra] * 4
        batch = os.path.join(site.directory, "batch")
        with open(batch, "w") as f:
            f.write("\n".join(lines))
        done = run(site, "import", "batch", batch, "--jobs", "4", "--json", code=EX_NOINPUT)
        total = json.loads(done.stdout.splitlines()[-1])
        self.assertEqual((total["mailboxes"], total["failed"], total["bad_lines"]), (17, 1, 2))
        self.assertEqual((total["added"], total["known"]), (sum(range(12)) + 1, 3))
        self.assertIn(b":3: ", done.stderr)
        self.assertIn(b":4: there is no account", done.stderr)
        self.assert_mail(site, CORPUS[:11], "user11@example.org")
        self.assertEqual(len(listing(site, "user5@example.org")), 6)
        last = json.loads(done.stderr.splitlines()[-1])
        self.assertEqual(last["progress"], "messages")


class Export(Case):
    def filled(self):
        site = self.site(users=("alice", "bob"), start=False)
        path = site.write_maildir(CORPUS)
        with open(os.path.join(path, "dovecot-uidlist"), "w") as f:
            f.write("3 V1275660208 N400 Gabc\n")
            for n in range(len(CORPUS)):
                f.write("%d %s:%d.M%06dP1.host\n"
                        % (10 + 2 * n, "Pid-%d " % n if n % 3 == 0 else "", 1000000000 + n, n))
        run(site, "import", "maildir", ALICE, path)
        return site

    def come_back(self, site, kind, exported):
        run(site, "import", kind, BOB, exported)
        self.assertEqual(fates(listing(site, BOB)), fates(listing(site)))
        for number, message in enumerate(CORPUS, 1):
            self.assert_octets(wire(site, number, BOB), on_the_wire(message), number)
        got = result(site, "import", kind, ALICE, exported)[0]
        self.assertEqual((got["added"], got["known"]), (0, len(CORPUS)), "nothing comes twice")

    def test_maildir_and_back(self):
        for option, ends in ((), b"\n"), (("--crlf",), b"\r\n"):
            site = self.filled()
            path = os.path.join(site.directory, "exported")
            run(site, "export", "maildir", ALICE, path, *option)
            listed = listing(site)
            files = sorted(os.listdir(os.path.join(path, "cur")))
            self.assertEqual(len(files), len(CORPUS))
            self.assertEqual(os.listdir(os.path.join(path, "tmp")), [])
            for n, name in enumerate(files):
                with open(os.path.join(path, "cur", name), "rb") as f:
                    content = f.read()
                self.assert_octets(content, normalised(CORPUS[n]).replace(b"\r\n", ends), n)
                self.assertTrue(name.startswith("%d." % listed[n]["arrived_at"]), name)
                self.assertIn(",S=%d,W=%d:2," % (len(content), listed[n]["octets"]), name)
                self.assertEqual(os.stat(os.path.join(path, "cur", name)).st_mtime,
                                 listed[n]["arrived_at"])
            with open(os.path.join(path, "dovecot-uidlist")) as f:
                lines = f.read().splitlines()
            self.assertTrue(lines[0].startswith("3 V1275660208 N400 G"), lines[0])
            self.assertEqual(lines[1], "10 Pid-0 :" + files[0].partition(":")[0])
            self.assertEqual(lines[2], "12 :" + files[1].partition(":")[0])
            self.come_back(site, "maildir", path)
            self.assertEqual([m["uid"] for m in listing(site, BOB)], [m["uid"] for m in listed])

    def test_mbox_and_back(self):
        for option in (), ("--crlf",):
            site = self.filled()
            path = os.path.join(site.directory, "exported")
            run(site, "export", "mbox", ALICE, path, *option)
            self.assertFalse(os.path.exists(path + ".part"))
            if not option:
                # another reader sees as many messages
                box = mailbox.mbox(path, create=False)
                self.assertEqual(len(box), len(CORPUS))
                self.assertEqual(box[0]["X-UIDL"], "id-0")
                box.close()
            self.come_back(site, "mbox", path)

    def test_eml(self):
        site = self.filled()
        path = os.path.join(site.directory, "exported")
        run(site, "export", "eml", ALICE, path)
        files = sorted(os.listdir(path))
        self.assertEqual(files[0], "000001-id-0.eml")
        self.assertEqual(files[1], "000002-0000000c4c0907b0.eml")
        for n, name in enumerate(files):
            with open(os.path.join(path, name), "rb") as f:
                self.assert_octets(f.read(), normalised(CORPUS[n]), n)
            self.assertEqual(os.stat(os.path.join(path, name)).st_mtime, 1000000000 + n)

    def test_a_damaged_message_is_left_out(self):
        site = self.filled()
        log = os.path.join(site.maildrop_directory(), "log")
        with open(log, "r+b") as f:
            at = f.read().index(b"Subject: dots")
            f.seek(at)
            f.write(b"sUBJECT")
        good = CORPUS[:6] + CORPUS[7:]
        for kind in "maildir", "mbox", "eml":
            path = os.path.join(site.directory, "exported-" + kind)
            done = run(site, "export", kind, ALICE, path, code=EX_DATAERR)
            self.assertIn(b"message 7 (uid 22, unique-id id-6): its checksum is wrong", done.stderr)
        run(site, "show", ALICE, "7", code=EX_DATAERR)
        self.assertEqual(len(os.listdir(os.path.join(site.directory, "exported-eml"))), len(good))
        for kind in "maildir", "mbox":
            run(site, "user", "del", BOB, "--mail")
            site.add_user("bob")
            run(site, "import", kind, BOB, os.path.join(site.directory, "exported-" + kind))
            for number, message in enumerate(good, 1):
                self.assert_octets(wire(site, number, BOB), on_the_wire(message), number)
        found = result(site, "verify", ALICE, code=EX_DATAERR)
        self.assertGreater(found[-1]["findings"], 0)
        run(site, "repair", ALICE)
        run(site, "verify", "--all")
        self.assertEqual(len(listing(site)), len(good))
        run(site, "compact", "--all")


class Killed(Case):
    """kill -9 in the middle of an import, again and again."""

    def test_nothing_is_lost_or_doubled(self):
        site = self.site(users=("alice",), start=False)
        rng = random.Random(4711)
        messages = [b"Subject: %d\n\n" % n + b"x" * rng.randrange(30000) + b"\n"
                    for n in range(1500)]
        path = site.write_maildir(messages)
        started = time.monotonic()
        run(site, "import", "maildir", ALICE, path)
        whole = time.monotonic() - started
        expected = [(len(normalised(m)), 1000000000 + n) for n, m in enumerate(messages)]
        self.assertEqual([(m["octets"], m["arrived_at"]) for m in listing(site)], expected)
        kept = []
        run(site, "user", "del", ALICE, "--mail")
        site.add_user("alice")
        for _ in range(KILLS):
            process = subprocess.Popen([RINGPOST, "-c", site.config, "import", "maildir", ALICE,
                                        path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                process.communicate(timeout=rng.random() * whole * 0.5)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
            listed = listing(site)
            self.assertEqual([(m["octets"], m["arrived_at"]) for m in listed],
                             expected[:len(listed)])
            ids = [(m["uid"], m["unique_id"]) for m in listed]
            self.assertEqual(ids[:len(kept)], kept)
            kept = ids
            if len(listed) == len(messages):
                run(site, "import", "maildir", ALICE, path)
                run(site, "verify", ALICE)
                run(site, "user", "del", ALICE, "--mail")
                site.add_user("alice")
                kept = []
        run(site, "import", "maildir", ALICE, path)
        self.assertEqual([(m["octets"], m["arrived_at"]) for m in listing(site)], expected)
        run(site, "verify", ALICE)

    def test_a_batch_in_doubt_is_settled_by_the_maildrop(self):
        """The two sides of a crash between the file `imported` and the commit, made by hand."""
        site = self.site(users=("alice",), start=False)
        path = site.write_maildir(CORPUS[:5])
        run(site, "import", "maildir", ALICE, path)
        directory = site.maildrop_directory()
        imported = os.path.join(directory, "imported")
        with open(imported, "rb") as f:
            content = f.read()
        self.assertEqual(len(content), 32 + 6 * 32)  # a header, five messages, a mark
        before = listing(site)
        # the crash came behind the commit: the mark is missing
        os.truncate(imported, 32 + 5 * 32)
        got = result(site, "import", "maildir", ALICE, path)[0]
        self.assertEqual((got["added"], got["known"]), (0, 5))
        with open(imported, "rb") as f:
            self.assertEqual(f.read(), content)
        # the crash came before the commit: the messages are missing, and a delivery has their uids
        run(site, "user", "del", ALICE, "--mail")
        site.add_user("alice")
        other = os.path.join(site.directory, "other")
        shutil.copytree(path, other)
        for n, name in enumerate(sorted(os.listdir(os.path.join(other, "cur")))):
            os.rename(os.path.join(other, "cur", name),
                      os.path.join(other, "cur", "17000000%02d.other" % n))
        run(site, "import", "maildir", ALICE, other)  # stands for a delivery
        validity = int(listing(site)[0]["unique_id"][8:], 16)
        with open(imported, "wb") as f:
            f.write(self.with_uid_validity(content, validity)[:32 + 5 * 32 + 7])
        got = result(site, "import", "maildir", ALICE, path)[0]
        self.assertEqual((got["added"], got["known"]), (5, 0))
        self.assertEqual([m["octets"] for m in listing(site)][5:], [m["octets"] for m in before])
        got = result(site, "import", "maildir", ALICE, path)[0]
        self.assertEqual((got["added"], got["known"]), (0, 5))

    def test_a_damaged_file_of_imports_is_not_forgotten(self):
        site = self.site(users=("alice",), start=False)
        path = site.write_maildir(CORPUS[:5])
        run(site, "import", "maildir", ALICE, path)
        imported = os.path.join(site.maildrop_directory(), "imported")
        with open(imported, "rb") as f:
            content = f.read()
        with open(imported, "wb") as f:
            f.write(b"R" + content[1:])
        done = run(site, "import", "maildir", ALICE, path, code=EX_DATAERR)
        self.assertIn(b"`imported`, is damaged", done.stderr)
        with open(imported, "wb") as f:  # an entry: it costs one message, twice
            f.write(content[:70] + b"\xff\xff" + content[72:])
        got = result(site, "import", "maildir", ALICE, path)[0]
        self.assertEqual((got["added"], got["known"]), (1, 4))
        for torn in b"", content[:20], bytes(32):
            run(site, "user", "del", ALICE, "--mail")
            site.add_user("alice")
            run(site, "import", "maildir", ALICE, path)
            with open(imported, "wb") as f:
                f.write(torn)
            with open(os.path.join(path, "new/1700000000.new"), "wb") as f:
                f.write(CORPUS[0])
            got = result(site, "import", "maildir", ALICE, path)[0]
            self.assertEqual((got["added"], got["known"]), (6, 0))

    @staticmethod
    def with_uid_validity(content, validity):
        header = content[:16] + struct.pack("<I", validity) + bytes(8)
        crc = 0xffffffff
        for octet in header:
            crc ^= octet
            for _ in range(8):
                crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
        return header + struct.pack("<I", crc ^ 0xffffffff) + content[32:]


class Samples(Case):
    """make_spool.py's mail, as the demo and the benchmarks use it."""

    def make(self, site, *args):
        subprocess.run([sys.executable, os.path.join(ROOT, "tests/spool/make_spool.py"), *args],
                       check=True, timeout=120)

    def test_maildir_and_mbox_of_one_seed_are_the_same_mail(self):
        site = self.site(users=("alice", "bob"), start=False)
        maildir, mbox = (os.path.join(site.directory, n) for n in ("m", "b"))
        self.make(site, "--maildir", maildir, "--messages", "200", "--seed", "9")
        self.make(site, "--mbox", mbox, "--messages", "200", "--seed", "9")
        run(site, "import", "maildir", ALICE, maildir)
        run(site, "import", "mbox", BOB, mbox)
        self.assertEqual([(m["octets"], m["arrived_at"]) for m in listing(site)],
                         [(m["octets"], m["arrived_at"]) for m in listing(site, BOB)])

    def test_fixed_sizes_are_exact(self):
        site = self.site(users=("alice",), start=False)
        for size in 1000, 4096, 4097, 76800:
            path = os.path.join(site.directory, str(size))
            self.make(site, "--maildir", path, "--messages", "20", "--fixed-size", str(size))
            run(site, "import", "maildir", ALICE, path)
        self.assertEqual([m["octets"] for m in listing(site)],
                         [1000] * 20 + [4096] * 20 + [4097] * 20 + [76800] * 20)


if __name__ == "__main__":
    unittest.main(verbosity=2)
