"""box.py - a peer runs in a box: its own mounts and its own process ids, the machine's network.

In the box the machine's root is overlaid by a tmpfs that holds the peer's unpacked packages, its users
and its run-time files.  The box's process 1 is inside() below; when it ends, the kernel ends every process
of the peer and takes the mounts away.  Only the mail lies on a real file system, in the peer's work
folder, as ringpost's does.

    /peer/spool     the source Maildirs, to be read only
    /peer/work      the work folder: converted mail, logs
    /peer/scripts   the peer's folder in bench/peers: `start` and `stop` run here, with $VARIANT, $PORT
    /run, /tmp      empty; so no /dev/log either: what a peer says to syslog costs it next to nothing

CPU of a server that forks must hold the children that came and went.  Two ways:
  cgroup   all that `start` begins lies in a cgroup of version 2; usage_usec of its cpu.stat needs no
           controller, so it is there beside the controllers of version 1 too.  Exact to the microsecond.
  tree     where no cgroup can be made: the processes below the box's init, with what each has heard
           from children it waited for, in ticks of 10 ms.  As orphans fall to the init, only children of
           a parent that ignores SIGCHLD are lost.
"""
import dataclasses
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
START_SECONDS = 600  # mail is converted in it
STOP_SECONDS = 20


@dataclasses.dataclass
class Plan:
    name: str
    variant: str
    port: int
    cpus: list
    spool: str
    scripts: str  # the peer's folder
    debs: str     # its packages
    work: str
    cgroup: str | None = None


# ---- cgroups ----

def cgroup_parent():
    """Our own group in the hierarchy of version 2, or None."""
    with open("/proc/self/mountinfo") as mounts:
        roots = [line.split()[4] for line in mounts if " - cgroup2 " in line]
    with open("/proc/self/cgroup") as groups:
        own = [line.split("::", 1)[1].strip() for line in groups if line.startswith("0::")]
    return roots[0] + own[0].rstrip("/") if roots and own else None


def cgroup_make(name):
    """A new group that can count CPU; None where that is not allowed."""
    parent = cgroup_parent()
    if parent is None:
        return None
    path = f"{parent}/ringpost-{name}-{os.getpid()}"
    try:
        os.mkdir(path)
    except OSError:
        return None
    if os.path.exists(f"{path}/cpu.stat") and os.access(f"{path}/cgroup.procs", os.W_OK):
        return path
    os.rmdir(path)
    return None


def cgroup_cpu_us(path):
    with open(f"{path}/cpu.stat") as lines:
        return int(dict(line.split() for line in lines)["usage_usec"])


def cgroup_pids(path):
    with open(f"{path}/cgroup.procs") as lines:
        return [int(line) for line in lines]


# ---- the tree of processes ----

def processes():
    """{pid: (parent, ticks of CPU with those of waited-for children)}"""
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            continue  # it ended in between
        found[int(name)] = int(fields[1]), sum(map(int, fields[11:15]))
    return found


def tree_of(root, found):
    pids = {root}
    for _ in range(len(found)):
        more = {pid for pid, (parent, _) in found.items() if parent in pids} - pids
        if not more:
            break
        pids |= more
    return pids


def pss_octets(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as lines:
            return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    except OSError:
        return 0


def stats(state):
    found = processes()
    tree = tree_of(state["init_pid"], found)
    pids = cgroup_pids(state["cgroup"]) if state["cgroup"] else sorted(tree - {state["init_pid"]})
    tick_us = 1000000 // os.sysconf("SC_CLK_TCK")
    return {
        "cpu_us": cgroup_cpu_us(state["cgroup"]) if state["cgroup"] else None,
        "tree_cpu_us": sum(found[pid][1] for pid in tree if pid in found) * tick_us,
        "pids": pids,
        "pss_octets": sum(map(pss_octets, pids)),
    }


# ---- outside ----

def somebody_listens(port):
    with socket.socket() as guest:
        return guest.connect_ex(("127.0.0.1", port)) == 0


def start(plan):
    """Start the peer of `plan`; returns what is to be known of it once it greets."""
    if somebody_listens(plan.port):
        sys.exit(f"peer: somebody listens at port {plan.port} already")
    os.makedirs(plan.work)
    plan.cgroup = cgroup_make(f"{plan.name}-{plan.variant}")
    hear, say = os.pipe()
    with open(f"{plan.work}/box.log", "w") as log:
        unshare = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "--propagation", "private",
             sys.executable, f"{HERE}/peer", "--inside", json.dumps(dataclasses.asdict(plan)), str(say)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[say], start_new_session=True)
    os.close(say)
    with os.fdopen(hear) as answer:
        said = answer.readline()  # its end is held open by unshare, too
    if said != "ready\n":
        unshare.wait()
        with open(f"{plan.work}/box.log") as log:
            text = log.read()
        remove(plan.cgroup, plan.work)
        sys.exit(f"peer: {plan.name} {plan.variant} did not start:\n{text}")
    with open(f"/proc/{unshare.pid}/task/{unshare.pid}/children") as children:
        init_pid = int(children.read().split()[0])
    return {
        "name": plan.name, "variant": plan.variant, "host": "127.0.0.1", "port": plan.port,
        "cgroup": plan.cgroup, "init_pid": init_pid, "work": plan.work, "spool": plan.spool,
        "users": users_of(plan.spool),
    }


def users_of(spool):
    return sorted(n for n in os.listdir(spool) if os.path.isdir(f"{spool}/{n}/cur"))


def stop(state):
    pid = state["init_pid"]
    # The number may belong to somebody else by now: ours reads the box's mounts.
    try:
        with open(f"/proc/{pid}/mounts") as mounts:
            ours = "/peer/work " in mounts.read()
    except OSError:
        ours = False
    if ours:
        os.kill(pid, signal.SIGTERM)
        for _ in range(STOP_SECONDS * 20):
            if not os.path.exists(f"/proc/{pid}"):
                break
            time.sleep(0.05)
        else:
            os.kill(pid, signal.SIGKILL)
            time.sleep(0.5)
    remove(state["cgroup"], state["work"])


def remove(cgroup, work):
    for _ in range(100):
        try:
            if cgroup and os.path.exists(cgroup):
                os.rmdir(cgroup)
            break
        except OSError:  # the last processes are on their way out
            time.sleep(0.05)
    shutil.rmtree(work)


# ---- inside: process 1 of the box ----

def call(*command):
    subprocess.run(command, check=True)


def unpack(plan, to):
    """All packages into `to`, as a machine has them whose /lib is a link to /usr/lib."""
    os.makedirs(f"{to}/usr")
    for name in sorted(os.listdir(plan.debs)):
        if name.endswith(".deb"):
            call("dpkg-deb", "-x", f"{plan.debs}/{name}", to)
    for name in ("bin", "sbin", "lib", "lib64"):
        if os.path.isdir(f"{to}/{name}"):
            call("cp", "-a", f"{to}/{name}", f"{to}/usr/")
            shutil.rmtree(f"{to}/{name}")


def build_root(plan):
    """Put the box together and make it the root."""
    box = f"{plan.work}/box"
    root = f"{box}/root"
    os.mkdir(box)
    call("mount", "-t", "tmpfs", "-o", "mode=755", "box", box)
    unpack(plan, f"{box}/upper")
    os.mkdir(f"{box}/overlay")
    os.mkdir(root)
    call("mount", "-t", "overlay", "-o",
         f"lowerdir=/,upperdir={box}/upper,workdir={box}/overlay", "box", root)
    for name in ("spool", "work", "scripts"):
        os.makedirs(f"{root}/peer/{name}")
        call("mount", "--bind", getattr(plan, name), f"{root}/peer/{name}")
    call("mount", "-o", "remount,bind,ro", f"{root}/peer/spool")
    for name in ("run", "tmp"):
        call("mount", "-t", "tmpfs", "-o", "mode=1777" if name == "tmp" else "mode=755", name, f"{root}/{name}")
    call("mount", "--rbind", "/dev", f"{root}/dev")
    call("mount", "--bind", "/proc", f"{root}/proc")
    os.chroot(root)
    os.chdir("/peer/scripts")


def run_script(plan, name, cgroup_fd, seconds):
    def enter():
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        if cgroup_fd is not None:
            os.write(cgroup_fd, b"0")
        if plan.cpus:
            os.sched_setaffinity(0, plan.cpus)

    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/",
                   "VARIANT": plan.variant, "PORT": str(plan.port)}
    subprocess.run([f"/peer/scripts/{name}"], env=environment, preexec_fn=enter, check=True,
                   timeout=seconds)


def connect(plan):
    guest = socket.create_connection(("127.0.0.1", plan.port), 5)
    if not plan.variant.endswith("-tls"):
        return guest
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(guest)


def wait_for_greeting(plan):
    for _ in range(200):
        try:
            with connect(plan) as guest:
                if guest.recv(512).startswith(b"+OK"):
                    guest.sendall(b"QUIT\r\n")
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"nobody greets at port {plan.port}")


def reap():
    """Wait for all children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        pass


def inside(plan, say):
    cgroup_fd = os.open(f"{plan.cgroup}/cgroup.procs", os.O_WRONLY) if plan.cgroup else None
    signals = {signal.SIGTERM, signal.SIGCHLD}

    os.set_inheritable(say, False)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    build_root(plan)
    run_script(plan, "start", cgroup_fd, START_SECONDS)
    wait_for_greeting(plan)
    os.write(say, b"ready\n")
    os.close(say)
    while signal.sigwait(signals) == signal.SIGCHLD:
        reap()
    run_script(plan, "stop", None, STOP_SECONDS // 2)
