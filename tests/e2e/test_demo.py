"""`make run`, as a newcomer types it, on a terminal of its own."""
import os
import pty
import select
import signal
import socket
import subprocess
import tempfile
import time
import unittest

import harness
import tls


@unittest.skipIf(harness.IS_SANITIZED, "make run builds and serves the release flavour")
class Demo(unittest.TestCase):
    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="ringpost-demo-")
        self.addCleanup(self.directory.cleanup)
        self.port = harness.free_port()
        self.environment = dict(os.environ, RINGPOST_DEMO=os.path.join(self.directory.name, "demo"),
                                RINGPOST_DEMO_PORT=str(self.port),
                                RINGPOST_DEMO_TLS_PORT=str(harness.free_port()))

    def run_on_a_terminal(self, until, then):
        """`make run`; when `until` is on the screen, `then` is typed.  (screen, exit code)"""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(harness.ROOT)
            os.execvpe("make", ["make", "run"], self.environment)
        screen = b""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.2)[0]:
                try:
                    more = os.read(terminal, 4096)
                except OSError:
                    more = b""
                if not more:
                    break
                screen += more
            if then is not None and until in screen:
                self.fetch()
                os.write(terminal, then)
                then = None
        else:
            os.kill(pid, signal.SIGKILL)
        os.close(terminal)
        return screen.decode("utf-8", "replace"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def fetch(self):
        with harness.Pop(self.port) as pop:
            pop.login("alice", "wonderland")
            self.listing = pop.listing("UIDL")
            pop.ok("QUIT")
        with tls.TlsPop(int(self.environment["RINGPOST_DEMO_TLS_PORT"])) as pop:
            pop.login("alice", "wonderland")
            self.assertEqual(pop.listing("UIDL"), self.listing)

    def test_ctrl_c_ends_it_cleanly_and_a_second_run_keeps_the_mail(self):
        screen, code = self.run_on_a_terminal(b"Ctrl-C ends it", b"\x03")
        self.assertEqual(code, 0, screen)
        self.assertEqual(len(self.listing), 300)
        for word in ("curl -u alice:wonderland", "ringpost-bench"):
            self.assertIn(word, screen)
        first = self.listing
        screen, code = self.run_on_a_terminal(b"Ctrl-C ends it", b"\x03")
        self.assertEqual(code, 0, screen)
        self.assertEqual(self.listing, first)
        self.assertNotIn("making the demo", screen)

    def test_a_port_that_is_taken_is_one_clear_line(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", self.port))
            taken.listen()
            done = subprocess.run(["make", "run"], cwd=harness.ROOT, env=self.environment,
                                  stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=120)
        self.assertNotEqual(done.returncode, 0)
        said = [line for line in done.stderr.splitlines() if str(self.port) in line]
        self.assertEqual(len(said), 1, done.stderr)
        self.assertIn("in use", said[0])


if __name__ == "__main__":
    unittest.main()
