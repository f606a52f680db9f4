"""Real proxies in front of us, set up as docs/OPERATING.md says."""
import os
import re
import subprocess
import time

import harness


class Program:
    """A proxy in the foreground with files of its own, ended by its pid."""

    def __init__(self, case, site, name, config, *command):
        harness.needs(command[0])
        path = os.path.join(site.directory, name)
        with open(path, "w") as f:
            f.write(config)
        self.log_path = path + ".log"
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen([*command, path], cwd=site.directory,
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        case.addCleanup(self.end)

    def end(self):
        self.process.terminate()
        self.process.wait(harness.WAIT_S)

    def wait_for_port(self, port):
        deadline = time.monotonic() + harness.WAIT_S
        while True:
            try:
                harness.Pop(port).close()
                return self
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    with open(self.log_path) as log:
                        raise AssertionError("the proxy does not listen:\n" + log.read())
                time.sleep(0.02)


def example(title):
    """The blocks of docs/OPERATING.md below that headline."""
    with open(os.path.join(harness.ROOT, "docs/OPERATING.md")) as f:
        section = f.read().split("\n### %s\n" % title)[1].split("\n## ")[0].split("\n### ")[0]
    return re.findall(r"```\n(.*?)```", section, re.S)
