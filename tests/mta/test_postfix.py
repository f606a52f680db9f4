"""Postfix in front of ringpost: tests/mta/box postfix -- /usr/bin/python3 tests/tap.py THIS"""
import re

import mta
from mta import run


class Postfix(mta.Agent):
    name = "postfix"
    deferred_line = re.compile(r"to=<alice@example.org>.* status=deferred")

    @classmethod
    def start(cls):
        run("postfix", "start")

    @classmethod
    def stop(cls):
        run("postfix", "stop")
        run("postsuper", "-d", "ALL")

    def queue_length(self):
        return len(run("postqueue", "-j").splitlines())

    def flush(self):
        run("postqueue", "-f")


class OverSocket(Postfix):
    example = "### Postfix over a local socket"


class OverTcp(Postfix):
    example = "### Postfix over TCP"


class OverPipe(Postfix):
    example = "### Postfix through a pipe"
    needs_server = False
    refuses_unknown = False


del Postfix
