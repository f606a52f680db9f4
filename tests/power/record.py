"""record.py - a server under load on a disk that remembers.

Layers, from below: logdisk (the disk, by FUSE), a loop device, a file system, the spool, ringpostd
and `ringpost`, and the clients of load.py.  What is left in the directory of a recording:

    base       the disk before the log: an empty file system, or what a crash left of one
    log        every write and flush, and the marks (tests/power/powerlog.h, model.h)
    messages   the replies to RETR that the marks point into
    marks      (a life after a crash) the marks of the lives before it

The load is random and its timing is the machine's, so no two recordings are alike; what is replayed
by a seed are the crash states of one recording.
"""
import os
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
import harness  # noqa: E402
import load  # noqa: E402
from load import Fault  # noqa: E402

LOGDISK = os.path.join(harness.BUILD, "tests/power/logdisk")
DISK_OCTETS = {"ext4": 48 << 20, "xfs": 64 << 20}  # "unsupported" so small, but as sound
MKFS = {
    "ext4": ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-g", "4096", "-J", "size=4",
             "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"],
    "xfs": ["mkfs.xfs", "--unsupported", "-q", "-f", "-K", "-l", "size=6m"],
}
MOUNT = {"ext4": "noatime,commit=1", "xfs": "noatime"}  # commit: seconds between journal commits
SETTINGS = {"add_return_path": "no", "add_delivered_to": "no", "add_received": "no",
            "draft_spill_octets": "65536"}  # small, so that drafts in files of the spool are usual
WAIT_S = 20


def run(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Fault("%s: exit %d, %s" % (" ".join(words), done.returncode, done.stderr.strip()))
    return done.stdout.strip()


class Disk:
    """The logging disk with its file system, mounted; as a context."""

    def __init__(self, directory, file_system):
        self.directory, self.file_system = directory, file_system
        self.fuse, self.mountpoint = self.path("fuse"), self.path("disk")

    def path(self, name):
        return os.path.join(self.directory, name)

    def make(self):
        with open(self.path("base"), "wb") as f:
            f.truncate(DISK_OCTETS[self.file_system])
        run(*MKFS[self.file_system], self.path("base"))
        open(self.path("messages"), "wb").close()

    def __enter__(self):
        os.makedirs(self.fuse, exist_ok=True)
        os.makedirs(self.mountpoint, exist_ok=True)
        self.process = subprocess.Popen([LOGDISK, self.path("base"), self.path("log"), self.fuse],
                                        stdin=subprocess.DEVNULL)
        try:
            self.wait_for(os.path.join(self.fuse, "disk"))
            self.marks = os.open(os.path.join(self.fuse, "marks"), os.O_WRONLY)
        except Fault:
            self.let_go()
            raise
        return self

    def wait_for(self, file):
        deadline = time.monotonic() + WAIT_S
        while not os.path.exists(file):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise Fault("the logging disk did not start: exit %s" % self.process.poll())
            time.sleep(0.01)

    def mount(self):
        device = run("losetup", "--find", "--show", os.path.join(self.fuse, "disk"))
        try:
            mount = ["mount", "-t", self.file_system, "-o", MOUNT[self.file_system], device,
                     self.mountpoint]
            if subprocess.run(mount, stderr=subprocess.DEVNULL).returncode != 0:
                # a torn superblock: see attach.c
                subprocess.run(["e2fsck", "-fy", "-b", "4096", "-B", "4096", device],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                run(*mount)
        finally:
            run("losetup", "--detach", device)  # it goes when it is unmounted

    def has_room(self):
        room = os.statvfs(self.mountpoint)
        return room.f_bavail * 3 > room.f_blocks

    def let_go(self):
        """However it is used: with the disk gone nothing waits for it any more."""
        subprocess.run(["umount", "--lazy", self.mountpoint], stderr=subprocess.DEVNULL)
        self.process.kill()
        self.process.wait(WAIT_S)
        subprocess.run(["umount", "--lazy", self.fuse], stderr=subprocess.DEVNULL)

    def __exit__(self, kind, *unused):
        os.close(self.marks)
        if kind is not None:
            self.let_go()
            return
        run("umount", self.mountpoint)
        run("umount", self.fuse)
        self.process.wait(WAIT_S)


def make_site(disk, sync):
    """The spool is on the disk; configuration and log are not."""
    site = harness.Site(lmtp=True, delivery_sync="always" if sync else "off", **SETTINGS)
    site.spool = os.path.join(disk.mountpoint, "spool")
    site.write_config()
    return site


def first_life(disk, work, site):
    disk.mount()
    os.mkdir(site.spool)
    for box in work.boxes:
        site.add_user(box.name)
    work.tape.mark("begin")


def life_after_crash(disk, work):
    """The journal is replayed and maildrops are recovered under the eyes of the log."""
    with open(disk.path("marks")) as f, open(disk.path("messages"), "rb") as texts:
        work.go_on_from(f.read().splitlines(), texts.read())
    work.tape.mark("begin")
    disk.mount()


def record(directory, file_system="ext4", seconds=15, seed=1, sync=True):
    """Returns a line of text that says what the load did.  Without sync: the server's part only."""
    disk = Disk(directory, file_system)
    if not os.path.exists(disk.path("marks")):
        disk.make()
    with disk:
        tape = load.Tape(disk.marks, disk.path("messages"))
        site = make_site(disk, sync)
        try:
            work = load.Load(site, tape, seconds, seed, disk.has_room)
            if os.path.exists(disk.path("marks")):
                life_after_crash(disk, work)
            else:
                first_life(disk, work, site)
            site.start(wrapper=("setpriv", "--pdeathsig", "KILL"))
            work.run(beside=sync)
            code = site.stop()
            if code != 0:
                raise Fault("the server ended: exit %s\n%s" % (code, site.log()))
        finally:
            site.cleanup()
    return "%d acknowledgements in %d s: %s; log of %d MB" % (
        tape.acknowledged, seconds,
        ", ".join("%d %s" % (n, what) for what, n in sorted(work.counts.items())),
        os.path.getsize(disk.path("log")) >> 20)
