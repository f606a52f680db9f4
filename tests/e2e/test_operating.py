"""docs/OPERATING.md, what needs no mail transport agent: backup, moving, repair, word by word.

The shell of an example finds a `ringpost` that knows the site's settings; the paths of the page are
those of the site.
"""
import os
import re
import subprocess
import threading
import unittest

import harness
from harness import RINGPOST, ROOT, Case, varied_messages

PAGE = os.path.join(ROOT, "docs/OPERATING.md")


def examples(heading):
    """The blocks of `sh` between this heading and the next."""
    with open(PAGE) as page:
        text = page.read()
    section = re.search(r"^%s\n(.*?)(?=^#+ |\Z)" % re.escape(heading), text, re.M | re.S)
    return re.findall(r"^```sh\n(.*?)^```", section[1], re.M | re.S)


class Operating(Case):
    def shell(self, site, script):
        programs = os.path.join(site.directory, "bin")
        os.makedirs(programs, exist_ok=True)
        with open(os.path.join(programs, "ringpost"), "w") as to:
            to.write('#!/bin/sh\ncase $1 in -c) ;; *) set -- -c %s "$@";; esac\nexec %s "$@"\n'
                     % (site.config, RINGPOST))
        os.chmod(os.path.join(programs, "ringpost"), 0o755)
        for there, here in (("/var/lib/ringpost", site.spool), ("/backup", site.directory + "/backup"),
                            ("/tmp/alice", site.directory + "/alice")):
            script = script.replace(there, here)
        done = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, timeout=60,
                              env=dict(os.environ, PATH=programs + ":" + os.environ["PATH"]))
        self.assertEqual(done.returncode, 0, script + done.stdout + done.stderr)

    def mail(self, site):
        """{unique-id: message}"""
        with site.session() as pop:
            return {uid: pop.command_multi("RETR %d" % n) for n, uid in pop.listing("UIDL")}

    def backup_site(self, site):
        """A site whose spool is the backup."""
        other = self.site(users=(), start=False)
        other.spool = site.directory + "/backup/spool"
        other.write_config()
        return other

    def test_a_backup_of_a_running_spool_is_whole(self):
        harness.needs("mdb_copy")
        site = self.site(users=("alice", "bob"), messages=varied_messages(20))
        before = self.mail(site)
        going = threading.Event()

        def deliver():
            while not going.is_set():
                site.deliver([b"Subject: more\n\n" + b"x" * 5000 + b"\n"], "bob")

        thread = threading.Thread(target=deliver)
        thread.start()
        self.shell(site, *examples("## Backup of a running spool"))
        going.set()
        thread.join()
        copy = self.backup_site(site)
        copy.ringpost("verify", "--all")
        copy.start()
        self.assertEqual(self.mail(copy), before)

    def test_a_maildrop_moves_with_its_unique_ids(self):
        site = self.site(messages=varied_messages(20))
        before = self.mail(site)
        leave, arrive = examples("## Moving a maildrop")
        self.shell(site, leave)
        done = site.ringpost("deliver", "alice@example.org", input=b"Subject: waits\n\n", check=False)
        self.assertEqual(done.returncode, 75)
        other = self.site()
        os.rename(site.directory + "/alice", other.directory + "/alice")
        self.shell(other, arrive)
        self.assertEqual(self.mail(other), before)

    def test_what_damage_took_comes_back_from_the_backup(self):
        harness.needs("mdb_copy")
        site = self.site(messages=varied_messages(20))
        before = self.mail(site)
        self.shell(site, *examples("## Backup of a running spool"))
        with open(self.backup_site(site).config) as config, \
                open(site.directory + "/backup/ringpost.conf", "w") as to:
            to.write(config.read())
        log = os.path.join(site.maildrop_directory(), "log")
        with open(log, "r+b") as f:
            octets = f.read()
            f.seek(octets.index(b"Subject: message 7\r\n"))
            f.write(b"Damage!")
        repair, restore = examples("## A damaged maildrop")
        self.shell(site, repair)
        left = self.mail(site)
        self.assertEqual(len(left), len(before) - 1)
        self.assertLessEqual(left.items(), before.items())
        self.shell(site, restore)
        self.assertEqual(self.mail(site), before)


if __name__ == "__main__":
    unittest.main()
