#!/usr/bin/python3
"""tap.py FILE... - run unittest files and speak TAP, one line for each test.

What a test prints stays with it: it is shown as comments, and only where the test fails.
"""
import importlib.util
import os
import sys
import time
import traceback
import unittest


class TapResult(unittest.TestResult):
    def __init__(self):
        super().__init__(descriptions=False)
        self.count = 0

    def startTest(self, test):
        super().startTest(test)
        self.started = time.monotonic()

    def _say(self, verdict, test, more="", comment=""):
        self.count += 1
        for line in comment.splitlines():
            print("# " + line)
        print("%s %d - %s (%.1f s)%s" % (verdict, self.count, test.id(),
                                       time.monotonic() - self.started, more), flush=True)

    def addSuccess(self, test):
        self._say("ok", test)

    def addSkip(self, test, reason):
        self._say("ok", test, " # SKIP " + reason)

    def _failed(self, test, err):
        self._say("not ok", test, comment="".join(traceback.format_exception(*err))[-6000:])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._failed(test, err)

    def addError(self, test, err):
        super().addError(test, err)
        if not hasattr(self, "started"):
            self.started = time.monotonic()
        self._failed(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._failed(subtest, err)


def load(path):
    sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
    name = os.path.splitext(os.path.basename(path))[0]
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return unittest.defaultTestLoader.loadTestsFromModule(module)


def matching(suite, words):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from matching(test, words)
        elif not words or any(word in test.id() for word in words):
            yield test


def main():
    """tap.py FILE... [-k WORD]..."""
    files, words, arguments = [], [], iter(sys.argv[1:])
    for argument in arguments:
        if argument == "-k":
            words.append(next(arguments))
        else:
            files.append(argument)
    result = TapResult()
    for path in files:
        unittest.TestSuite(matching(load(path), words)).run(result)
    print("1..%d" % result.count)
    sys.exit(0 if result.wasSuccessful() else 1)


main()
