"""Exim in front of ringpost: tests/mta/box exim -- /usr/bin/python3 tests/tap.py THIS"""
import os
import re
import shutil
import subprocess

import mta
from mta import run

EXIM = "/usr/sbin/exim4"
SPOOL = "/var/spool/exim4"


class Exim(mta.Agent):
    name = "exim"
    mail_log = "/var/log/exim4/mainlog"
    deferred_line = re.compile(r" == alice@example.org ")

    @classmethod
    def start(cls):
        cls.daemon = subprocess.Popen([EXIM, "-bdf", "-oP", "/run/exim4/exim.pid"], stdin=subprocess.DEVNULL)

    @classmethod
    def stop(cls):
        cls.daemon.terminate()
        cls.daemon.wait()
        for part in ("input", "msglog", "db"):
            shutil.rmtree(os.path.join(SPOOL, part), ignore_errors=True)

    def queue_length(self):
        return int(run(EXIM, "-bpc"))

    def flush(self):
        run(EXIM, "-qff")


class OverSocket(Exim):
    example = "### Exim over a local socket"
    refuses_unknown = False


class OverTcp(Exim):
    example = "### Exim over TCP"


class OverPipe(Exim):
    example = "### Exim through a pipe"
    needs_server = False
    refuses_unknown = False


del Exim
