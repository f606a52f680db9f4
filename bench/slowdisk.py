"""slowdisk.py - a disk on which a flush takes its time, for measurements where the disk is the limit.

From below: tests/power/logdisk (FUSE; the octets are in a file in memory), a loop device, ext4.  A flush of
the block layer becomes fsync(2) on the loop device's file, for which logdisk takes as long as it is told, and
does nothing else meanwhile; a write takes what a copy takes.  So it is a disk of a fixed number of flushes a
second, whatever this machine's own disk is doing.

It takes root, /dev/fuse and a loop device.  All of it lives in a mount namespace of the script's own: when the
script is gone, so are the mounts, the loop device and the octets.
"""
import ctypes
import os
import subprocess
import tempfile
import time

import rig

CLONE_NEWNS = 0x20000
OCTETS = 8 << 30  # sparse: it takes the memory that is written
WAIT_S = 20


def take_a_namespace():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNS) != 0:
        rig.die(f"a mount namespace of our own: {os.strerror(ctypes.get_errno())} (it takes root)")
    rig.run(["mount", "--make-rprivate", "/"])


class SlowDisk:
    """Mounted at .mountpoint until close()."""

    def __init__(self, logdisk, flush_ms):
        os.environ["PATH"] += ":/usr/sbin:/sbin"
        take_a_namespace()
        self.under = tempfile.mkdtemp(prefix="ringpost-slowdisk-")
        self.fuse, self.mountpoint = f"{self.under}/fuse", f"{self.under}/disk"
        rig.run(["mount", "-t", "tmpfs", "-o", "size=90%", "ringpost-slowdisk", self.under])
        for folder in (self.fuse, self.mountpoint):
            os.mkdir(folder)
        base = f"{self.under}/base"
        with open(base, "wb") as f:
            f.truncate(OCTETS)
        rig.run(["mke2fs", "-q", "-F", "-t", "ext4", "-E", "lazy_itable_init=0,nodiscard", base])
        self.process = subprocess.Popen(["taskset", "-c", str(rig.GENERATOR_CORE), logdisk, "--slow-us",
                                         str(round(flush_ms * 1000)), base, "/dev/null", self.fuse],
                                        stdin=subprocess.DEVNULL)
        try:
            self.mount()
        except BaseException:
            self.close()
            raise

    def mount(self):
        deadline = time.monotonic() + WAIT_S
        while not os.path.exists(f"{self.fuse}/disk"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                rig.die(f"the slow disk did not start: exit {self.process.poll()}")
            time.sleep(0.01)
        device = rig.run(["losetup", "--find", "--show", f"{self.fuse}/disk"]).strip()
        try:
            rig.run(["mount", "-t", "ext4", "-o", "noatime", device, self.mountpoint])
        finally:
            rig.run(["losetup", "--detach", device])  # it goes when it is unmounted

    def close(self):
        """However it was used: with the disk gone nothing waits for it any more."""
        if subprocess.run(["umount", self.mountpoint], stderr=subprocess.DEVNULL).returncode != 0:
            subprocess.run(["umount", "--lazy", self.mountpoint], stderr=subprocess.DEVNULL)
        subprocess.run(["umount", "--lazy", self.fuse], stderr=subprocess.DEVNULL)
        self.process.kill()
        self.process.wait(WAIT_S)
        subprocess.run(["umount", "--lazy", self.under], stderr=subprocess.DEVNULL)
        os.rmdir(self.under)
