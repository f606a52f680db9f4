"""OpenSMTPD in front of ringpost: tests/mta/box opensmtpd -- /usr/bin/python3 tests/tap.py THIS"""
import os
import re
import shutil
import subprocess

import mta
from mta import run


class OpenSmtpd(mta.Agent):
    name = "opensmtpd"
    bounce_begins = rb"\ADelivered-To: sender@example.org\r\n"
    refusal = 524  # "mailing list expansion problem": the table has no such name
    settings = ("## The listener", "## OpenSMTPD")
    deferred_line = re.compile(r"result=TempFail|result=\"TempFail")

    @classmethod
    def start(cls):
        cls.daemon = subprocess.Popen(["/usr/sbin/smtpd", "-F"], stdin=subprocess.DEVNULL)

    @classmethod
    def stop(cls):
        cls.daemon.terminate()
        cls.daemon.wait()
        shutil.rmtree("/var/spool/smtpd/queue", ignore_errors=True)

    def queue_length(self):
        return len(run("smtpctl", "show", "queue").splitlines())

    def flush(self):
        run("smtpctl", "schedule", "all")


class OverSocket(OpenSmtpd):
    example = "### OpenSMTPD over a local socket"


class OverPipe(OpenSmtpd):
    example = "### OpenSMTPD through a pipe"
    needs_server = False
    refuses_unknown = False


del OpenSmtpd
