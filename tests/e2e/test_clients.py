"""Debian's real clients fetch a varied maildrop; each message must be what the model says."""
import glob
import os
import poplib
import re
import shutil
import signal
import subprocess
import textwrap
import unittest

import harness

MESSAGES = harness.varied_messages(120, seed=11)
EXPECTED = [harness.normalised(m) for m in MESSAGES]


def lf(text):
    return text.replace(b"\r\n", b"\n")


class Clients(harness.Case):
    def setUp(self):
        self.mail = self.site(messages=MESSAGES)
        self.home = os.path.join(self.mail.directory, "home")
        os.makedirs(self.home, 0o700)

    def run_client(self, *command, codes=(0,), **more):
        environment = dict(os.environ, HOME=self.home, LC_ALL="C")
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120,
                              env=environment, cwd=self.home, **more)
        self.assertIn(done.returncode, codes,
                      (done.stdout + done.stderr).decode("utf-8", "replace")[-3000:])
        return done

    def write(self, name, text):
        path = os.path.join(self.home, name)
        with open(path, "w") as f:
            f.write(textwrap.dedent(text))
        os.chmod(path, 0o600)
        return path

    def test_curl(self):
        harness.needs("curl")
        url = "pop3://127.0.0.1:%d/" % self.mail.port
        listing = self.run_client("curl", "-sS", "-u", "alice:secret", url).stdout
        self.assertEqual(listing, b"".join(b"%d %d\r\n" % (n, len(e))
                                           for n, e in enumerate(EXPECTED, 1)))
        for n in (1, 2, 5, 13, 66, 120):
            got = self.run_client("curl", "-sS", "-u", "alice:secret", url + str(n)).stdout
            self.assert_octets(got, EXPECTED[n - 1], "message %d" % n)
        done = self.run_client("curl", "-sS", "-u", "alice:wrong", url, codes=(67,))
        self.assertIn(b"denied", done.stderr)

    def test_python_poplib(self):
        pop = poplib.POP3("127.0.0.1", self.mail.port, timeout=30)
        self.assertIn("TOP", pop.capa())
        pop.user("alice")
        pop.pass_("secret")
        self.assertEqual(pop.stat(), (120, sum(map(len, EXPECTED))))
        fetched = 0
        for n, expected in enumerate(EXPECTED, 1):
            lines = expected.split(b"\r\n")
            if max(map(len, lines)) + 2 > poplib._MAXLINE:
                continue  # poplib refuses such lines from any server
            _, got, _ = pop.retr(n)
            self.assert_octets(b"".join(l + b"\r\n" for l in got), expected, "message %d" % n)
            fetched += 1
        self.assertGreater(fetched, 100)
        self.assertEqual(len(pop.uidl()[1]), 120)
        pop.dele(120)
        pop.rset()
        pop.dele(1)
        pop.quit()
        self.assertEqual(self.mail.session().stat()[0], 119)

    def test_perl_net_pop3(self):
        harness.needs("perl")
        script = self.write("fetch.pl", r"""
            use strict; use Net::POP3;
            my ($port, $to) = @ARGV;
            my $pop = Net::POP3->new("127.0.0.1", Port => $port, Timeout => 30) or die "connect";
            defined $pop->login("alice", "secret") or die "login";
            my $list = $pop->list; my $uidl = $pop->uidl;
            die "list" unless keys %$list == keys %$uidl;
            for my $n (sort { $a <=> $b } keys %$list) {
                my $lines = $pop->get($n) or die "get $n";
                open my $f, ">", "$to/$n" or die; binmode $f; print $f @$lines; close $f;
                $pop->delete($n) or die "dele $n" if $n % 2;
            }
            $pop->quit or die "quit";
        """)
        self.run_client("/usr/bin/perl", script, str(self.mail.port), self.home)
        for n, expected in enumerate(EXPECTED, 1):
            with open(os.path.join(self.home, str(n)), "rb") as f:
                self.assert_octets(f.read(), lf(expected), "message %d" % n)
        self.assertEqual(self.mail.session().stat()[0], 60)

    def mpop(self, pipelining):
        harness.needs("mpop")
        os.makedirs(os.path.join(self.home, "M", "new"))
        for folder in ("cur", "tmp"):
            os.makedirs(os.path.join(self.home, "M", folder))
        rc = self.write(".mpoprc", """\
            defaults
            tls off
            auth user
            received_header off
            account a
            host 127.0.0.1
            port %d
            user alice
            password secret
            pipelining %s
            keep on
            uidls_file %s/uidls
            delivery maildir %s/M
            """ % (self.mail.port, pipelining, self.home, self.home))
        self.run_client("mpop", "-C", rc, "-q", "-a")
        got = []
        for path in glob.glob(os.path.join(self.home, "M", "new", "*")):
            with open(path, "rb") as f:
                got.append(f.read())
        return got

    def check_bag(self, got, expected=None):
        """Clients name their files as they like: compare as a bag."""
        wanted = sorted(lf(e) for e in (EXPECTED if expected is None else expected))
        self.assertEqual(len(got), len(wanted))
        for g, w in zip(sorted(got), wanted):
            self.assert_octets(g, w)

    def test_mpop_with_pipelining(self):
        self.check_bag(self.mpop("on"))
        self.assertEqual(self.run_client("mpop", "-C", os.path.join(self.home, ".mpoprc"), "-a")
                         .returncode, 0)
        self.assertEqual(len(os.listdir(os.path.join(self.home, "M", "new"))), 120)

    def test_mpop_without_pipelining(self):
        self.check_bag(self.mpop("off"))

    def test_fetchmail_twice(self):
        harness.needs("fetchmail")
        sink = self.write("sink.sh", """\
            #!/bin/sh
            exec cat > "$(mktemp %s/got/XXXXXXXXXX)"
            """ % self.home)
        os.chmod(sink, 0o700)
        os.makedirs(os.path.join(self.home, "got"))
        rc = self.write(".fetchmailrc", """\
            set invisible
            set no bouncemail
            poll 127.0.0.1 service %d protocol pop3 uidl
              user "alice" password "secret" is root here
              keep no rewrite no mimedecode pass8bits
              sslproto ''
              mda "%s"
            """ % (self.mail.port, sink))
        command = ("fetchmail", "-f", rc, "-i", os.path.join(self.home, "ids"), "--pidfile",
                   os.path.join(self.home, "pid"))
        self.run_client(*command)
        got = []
        for path in glob.glob(os.path.join(self.home, "got", "*")):
            with open(path, "rb") as f:
                got.append(f.read())
        self.assertEqual(len(got), 120)
        by_id = {}
        for text in got:
            by_id[re.search(rb"(?m)^Message-Id: <(\d+)\.", text).group(1)] = text
        self.assertEqual(len(by_id), 120)
        for n, expected in enumerate(EXPECTED, 1):
            # fetchmail hands over an empty line more or less at the end
            self.assert_octets(by_id[b"%d" % n].rstrip(b"\n"), lf(expected).rstrip(b"\n"),
                               "message %d" % n)
        first, = self.mail.wait_for_events("session_end")
        self.assertEqual(int(first["retrieved"]) + int(first["topped"]), 120)
        self.run_client(*command, codes=(1,))  # 1: no mail
        self.assertEqual(len(os.listdir(os.path.join(self.home, "got"))), 120)
        last = self.mail.wait_for_events("session_end", 2)[-1]
        self.assertEqual((last["retrieved"], last["topped"]), ("0", "0"))

    def run_getmail(self, command, as_user):
        """getmail 6.18 forks a delivery for each message out of a process with threads, and now and then, on a
        busy machine, such a child waits for a lock for ever.  Then begin again as if nothing had been."""
        before = sorted(os.listdir(os.path.join(self.home, "M", "new")))
        for attempt in range(4):
            client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.STDOUT, start_new_session=True, cwd=self.home,
                                      env=dict(os.environ, HOME=self.home, LC_ALL="C"), **as_user)
            try:
                said, _ = client.communicate(timeout=30)
                self.assertEqual(client.returncode, 0, said.decode("utf-8", "replace")[-3000:])
                return
            except subprocess.TimeoutExpired:
                os.killpg(client.pid, signal.SIGKILL)
                client.communicate()
                for name in set(os.listdir(os.path.join(self.home, "M", "new"))) - set(before):
                    os.unlink(os.path.join(self.home, "M", "new", name))
        self.fail("getmail hangs each time")

    def test_getmail6_twice(self):
        harness.needs("getmail")
        for folder in ("new", "cur", "tmp"):
            os.makedirs(os.path.join(self.home, "M", folder))
        os.makedirs(os.path.join(self.home, ".getmail"), 0o700)
        rc = self.write("getmailrc", """\
            [retriever]
            type = SimplePOP3Retriever
            server = 127.0.0.1
            port = %d
            username = alice
            password = secret
            [destination]
            type = Maildir
            path = %s/M/
            [options]
            read_all = false
            delivered_to = false
            received = false
            verbose = 0
            """ % (self.mail.port, self.home))
        command = ("/usr/bin/python3", "/usr/bin/getmail", "--getmaildir",
                   os.path.join(self.home, ".getmail"), "--rcfile", rc)
        as_user = {}
        if os.geteuid() == 0:  # getmail delivers nothing as root
            as_user = {"user": "nobody", "group": "nogroup"}
            for folder, _, files in os.walk(self.home):
                for name in [folder] + [os.path.join(folder, f) for f in files]:
                    shutil.chown(name, "nobody", "nogroup")
        self.run_getmail(command, as_user)
        self.assertEqual(len(os.listdir(os.path.join(self.home, "M", "new"))), 120)
        got = {}
        for path in glob.glob(os.path.join(self.home, "M", "new", "*")):
            with open(path, "rb") as f:
                text = f.read()
            got[re.search(rb"(?m)^Message-Id: <(\d+)\.", text).group(1)] = text
        self.assertEqual(len(got), 120)
        for n, expected in enumerate(EXPECTED, 1):
            # the one line that getmail puts in front of what it fetched
            self.assert_octets(got[b"%d" % n], b"Return-Path: <unknown>\n" + lf(expected),
                               "message %d" % n)
        self.run_getmail(command, as_user)
        self.assertEqual(len(os.listdir(os.path.join(self.home, "M", "new"))), 120)
        last = self.mail.wait_for_events("session_end", 2)[-1]
        self.assertEqual(last["retrieved"], "0")


if __name__ == "__main__":
    unittest.main()
