"""rig.py - what all measuring scripts share: programs on their cores, the generator, ringpost's spool.

Server and generator are pinned to a core each, so that the CPU one uses is its own.  Every server that a
script has started is stopped when it ends, however it ends (stop_all).
"""
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SECRET = "secret"
DOMAIN = "bench.example"
SERVER_CORE, GENERATOR_CORE = 0, 1


def die(text):
    sys.exit(f"{os.path.basename(sys.argv[0])}: {text}")


def progress(text):
    print(f"  {text}", file=sys.stderr, flush=True)


def run(command, **more):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        die(f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def free_port(next_too=False):
    """A port that nobody has; if asked, nobody has the one behind it either."""
    while True:
        with socket.socket() as s, socket.socket() as next_one:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
            if not next_too:
                return port
            try:
                next_one.bind(("127.0.0.1", port + 1))
                return port
            except (OSError, OverflowError):
                continue


def need_two_cores():
    if not {SERVER_CORE, GENERATOR_CORE} <= os.sched_getaffinity(0):
        die("two cores are needed: one for the server, one for the generator")


def build(folder):
    run(["make", "-C", ROOT, "-j2", f"BUILD={folder}", "all"])
    return os.path.join(ROOT, folder)


# ---- servers ----

class Server:
    """A process on the server's core, reached at a port of 127.0.0.1."""

    running = []

    def __init__(self, name, command, port, log):
        self.name, self.port = name, port
        with open(log, "w") as to:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=to, stderr=to,
                preexec_fn=lambda: os.sched_setaffinity(0, {SERVER_CORE}))
        Server.running.append(self)
        self.wait(log)

    def wait(self, log):
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.05)
        with open(log) as said:
            die(f"{self.name} did not start: {said.read()}")

    def target(self):
        """How the generator is told what to measure."""
        return ["--server-pid", str(self.process.pid)]

    def stop(self):
        Server.running.remove(self)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Peer(Server):
    """Another POP3 server, by way of bench/peers/peer."""

    def __init__(self, peer, variant, spool, work):
        self.peer, self.variant, self.work = peer, variant, work
        self.name, self.port = f"{peer} {variant}", free_port(next_too=True)
        Server.running.append(self)
        said = run([sys.executable, f"{ROOT}/bench/peers/peer", "start", peer, variant, "--spool", spool,
                    "--port", str(self.port), "--dir", work, "--cpus", str(SERVER_CORE)])
        self.state = json.loads(said.splitlines()[-1])

    def target(self):
        if self.state["cgroup"]:
            return ["--server-cgroup", self.state["cgroup"]]
        return ["--server-pid", str(self.state["init_pid"])]

    def stop(self):
        Server.running.remove(self)
        if os.path.exists(f"{self.work}/{self.peer}-{self.variant}.json"):
            run([sys.executable, f"{ROOT}/bench/peers/peer", "stop", self.peer, self.variant,
                 "--dir", self.work])


def end_on_signal():
    """SIGTERM ends a script as Ctrl-C does: servers are stopped, folders removed."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(1))


def stop_all():
    for server in list(Server.running):
        server.stop()


# ---- ringpost's own spool ----

def make_settings(work, scheme="plain", extra=()):
    """A settings file for one shard; returns its path and the port."""
    port, path = free_port(), f"{work}/ringpost.conf"
    os.mkdir(f"{work}/spool")
    with open(path, "w") as to:
        to.write(f'user = ""\nspool = "{work}/spool"\nshards = 1\ndefault_domain = "{DOMAIN}"\n'
                 f'connections_per_address = 0\npassword_scheme = "{scheme}"\n')
        to.write("".join(line + "\n" for line in extra))
        to.write(f'listen pop3 {{\n    address = "127.0.0.1:{port}"\n    plaintext_auth = yes\n}}\n')
    return path, port


def add_user(programs, settings, address, maildir):
    ctl = [f"{programs}/ringpost", "-c", settings]
    run(ctl + ["user", "add", address], input=SECRET + "\n")
    run(ctl + ["import", "maildir", address, maildir])


# ---- the generator ----

def load(programs, server, mix, *more):
    """One run of the generator: what it prints as JSON, also where replies were wrong; None if not one
    session went through."""
    command = [f"{programs}/ringpost-bench", f"{ROOT}/bench/mixes/{mix}.mix", "--json", "--quiet",
               "--port", str(server.port), "--label", server.name, "--password", SECRET,
               "--cpu", str(GENERATOR_CORE), *server.target(), *more]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    if done.returncode == 1 and "no session went through" in done.stderr:
        progress(f"{server.name}: {done.stderr.strip()}")
        return None
    if done.returncode not in (0, 1) or not done.stdout:
        die(f"{' '.join(command)}: exit {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout)


def must_be_right(result):
    if result is None:
        die("not one session went through")
    if result["errors"]["count"] > 0:
        die(f"{result['run']['command']}: {result['errors']['count']} errors, {result['errors']['first']}")
    return result


# ---- mail of one size ----

def message(rng, octets):
    """A message of exactly so many octets as POP3 counts them (CRLF), written with LF."""
    head = ("From: Ann <ann@bench.example>\nTo: Ben <ben@bench.example>\n"
            f"Subject: message {rng.randrange(10**9):09}\n"
            f"Message-ID: <{rng.getrandbits(64):016x}@bench.example>\n"
            "Date: Sat, 01 Feb 2025 12:00:00 +0000\n\n")
    left = octets - len(head) - head.count("\n")
    lines = []
    while left > 0:
        length = left - 2 if left < 80 else 76
        lines.append("".join(rng.choices("abcdefghijklmnopqrstuvwxyz ", k=length)) if len(lines) < 40
                     else lines[len(lines) % 40][:length].ljust(length, "x"))
        left -= length + 2
    return head + "".join(line + "\n" for line in lines)


def make_maildir(path, messages, octets, rng=None):
    rng = rng or random.Random(1939)
    for name in ("cur", "new", "tmp"):
        os.makedirs(f"{path}/{name}")
    for n in range(messages):
        with open(f"{path}/cur/{1738411200 + n}.M{n}P1.bench:2,S", "w") as to:
            to.write(message(rng, octets))


# ---- where and with what ----

def git(*words):
    return subprocess.run(["git", "-C", ROOT, *words], stdout=subprocess.PIPE, text=True).stdout.strip()


def commit_name():
    name = git("rev-parse", "--short=12", "HEAD")
    dirty = git("status", "--porcelain", "--untracked-files=no", "--", "core", "io", "storage", "bench")
    return name + (" with changes" if dirty else "")


def processor():
    with open("/proc/cpuinfo") as info:
        names = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    return names[0] if names else os.uname().machine
