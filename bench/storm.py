"""storm.py - thousands of handshakes at once, and sessions that were in before them.

The crowd is ringpost-bench: CROWD connections, each a full handshake and a whole login session.  Beside it
a process of its own holds WATCHED sessions that have logged in over TLS and says NOOP on one after the
other, PER_SECOND times a second, whatever the server does: a command's time runs from when it was due,
so one slow answer is charged to all that were due meanwhile.

The generator keeps its core busy, and a watcher that stood in line behind it would measure the scheduler.  So
the watcher runs on the same core with a real-time priority (SCHED_FIFO), which the generator's threads do
not have: it runs as soon as its answer is there.  Where that is not allowed it says so and gives up.
What the watcher itself costs (Python's TLS) is in the times; without a crowd they are shown as `calm`.
"""
import json
import os
import select
import socket
import ssl
import statistics
import subprocess
import sys
import time

import rig

CROWD = 5000
WATCHED = 20
EVERY_S = 0.1
CALM_SECONDS = 1.0
PRIORITY = 10


# ---- the watcher, a process of its own ----

def log_in(port, n, users):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    s = context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for line in (b"", b"USER user%d\r\n" % (n % users + 1), b"PASS %s\r\n" % rig.SECRET.encode()):
        s.sendall(line)
        if not s.recv(4096).startswith(b"+OK"):
            rig.die("a session to be watched could not log in")
    return s


class Session:
    """One that says NOOP every EVERY_S seconds, or as soon as it has the answer to the one before."""

    def __init__(self, port, n, users):
        self.socket, self.due, self.waits = log_in(port, n, users), 0.0, False
        self.offset = EVERY_S * n / WATCHED

    def speak(self):
        self.socket.sendall(b"NOOP\r\n")
        self.waits = True

    def hear(self, now):
        """The time since it was due, in ms."""
        if not self.socket.recv(4096).startswith(b"+OK"):
            rig.die("a watched session got no answer")
        took, self.waits = (now - self.due) * 1000, False
        self.due += EVERY_S
        return took


def watch(port, users):
    """Until a line comes on standard input; prints [ms since the start, ms it took] of each command."""
    os.sched_setaffinity(0, {rig.GENERATOR_CORE})
    sessions = [Session(port, n, users) for n in range(WATCHED)]
    by_socket = {s.socket: s for s in sessions}
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    print("ready", flush=True)
    began, took, ends = time.monotonic(), [], False
    for s in sessions:
        s.due = began + s.offset
    while not ends:
        now = time.monotonic()
        for s in sessions:
            if not s.waits and s.due <= now:
                s.speak()
        wait = max(0.0, min((s.due for s in sessions if not s.waits), default=now + 1) - time.monotonic())
        for ready in select.select([sys.stdin, *by_socket], [], [], wait)[0]:
            now = time.monotonic()
            if ready is sys.stdin:
                ends = True
            else:
                took.append([(now - began) * 1000, by_socket[ready].hear(now)])
    print(json.dumps(took))


# ---- the storm ----

def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


def measure(ground, server, users):
    watcher = subprocess.Popen([sys.executable, os.path.abspath(__file__), str(server.port), str(users)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        if watcher.stdout.readline() != "ready\n":
            rig.die("the watcher did not begin; it needs a real-time priority (root, or CAP_SYS_NICE)")
        began = time.monotonic()
        time.sleep(CALM_SECONDS)
        storm_from = (time.monotonic() - began) * 1000
        result = rig.load(ground.generator, server, "login", "--tls", "implicit", "--tls-version", "1.3",
                          "--connections", str(CROWD), "--sessions", str(CROWD), "--warmup", "0",
                          "--users", str(users), "--user-pattern", "user%")
        storm_to = (time.monotonic() - began) * 1000
        took = json.loads(watcher.communicate("\n", timeout=60)[0])
    finally:
        watcher.kill()
    if result is None:
        rig.die("not one session of the crowd went through")
    calm = [ms for at, ms in took if at < storm_from]
    stormy = [ms for at, ms in took if storm_from <= at <= storm_to]
    return {"seconds": result["seconds"], "errors": result["errors"]["count"], "commands": len(stormy),
            "handshakes": result["tls"]["handshakes"],
            "calm_ms": statistics.median(calm), "watched_p50_ms": statistics.median(stormy),
            "watched_p99_ms": percentile(stormy, 0.99), "watched_worst_ms": max(stormy)}


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]))
