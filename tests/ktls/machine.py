"""machine.py - what a VM is made of: Debian's kernel, and an initial file system with its modules.

Both are made once in build/deps/kernel.  The kernel is the newest 6.1 of Debian 12's cloud flavour,
fetched (and checked) by apt and unpacked, not installed.  6.1 is the oldest kernel that ringpost
supports, and it has kTLS, which the kernel of a build machine may lack.
"""
import fcntl
import glob
import os
import re
import shutil
import stat
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DEPS = os.path.join(ROOT, "build/deps/kernel")
BUSYBOX = "/bin/busybox"
META_PACKAGE = "linux-image-cloud-amd64"

# What the guest loads; those below need not exist in every kernel (they may be built in, or be
# faster twins of something that is there anyhow).
MODULES = ("virtio_pci", "virtio_blk", "virtiofs", "overlay", "tls", "gcm", "ccm", "ctr",
           "chacha20poly1305")
MODULES_WHERE_THERE = ("aesni-intel", "ghash-clmulni-intel", "ghash-generic", "chacha_generic",
                       "chacha-x86_64", "poly1305_generic", "poly1305-x86_64", "cmac", "crc32c-intel",
                       "crc32c_generic", "virtio-rng")


class Machine:
    """Paths of a kernel and an initial file system, and the modules in order of loading."""

    def __init__(self):
        os.makedirs(DEPS, exist_ok=True)
        with open(os.path.join(DEPS, "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two stages may ask at once
            kernels = glob.glob(DEPS + "/unpacked/boot/vmlinuz-*") or fetch_kernel()
            self.kernel = kernels[0]
            self.version = os.path.basename(self.kernel).partition("-")[2]
            self.files = modules_in_order(os.path.join(DEPS, "unpacked/lib/modules", self.version))
            self.modules = [module_name(f) for f in self.files]
            self.initrd = os.path.join(DEPS, "initrd")
            if is_older(self.initrd, os.path.join(HERE, "init"), __file__, self.kernel, BUSYBOX):
                write_initrd(self.initrd, self.files)


def is_older(path, *sources):
    return not os.path.exists(path) or any(os.path.getmtime(s) > os.path.getmtime(path)
                                           for s in sources)


def run(*command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **more)
    if done.returncode != 0:
        raise OSError("%s: exit %d\n%s" % (" ".join(command), done.returncode,
                                           done.stdout + done.stderr))
    return done.stdout


def fetch_kernel():
    apt = os.path.join(ROOT, "dist/apt-own")
    said = run(apt, "depends", META_PACKAGE, env=dict(os.environ, APT_PROGRAM="apt-cache"))
    package = re.search(r"Depends: (linux-image-6\.1\.\S+)", said)
    if package is None:
        raise OSError("apt knows no kernel 6.1 of Debian's: " + said)
    for old in glob.glob(DEPS + "/*.deb"):
        os.unlink(old)
    run(apt, "-q", "download", package.group(1), cwd=DEPS)
    shutil.rmtree(DEPS + "/new", ignore_errors=True)
    run("dpkg", "-x", glob.glob(DEPS + "/*.deb")[0], DEPS + "/new")
    shutil.rmtree(DEPS + "/unpacked", ignore_errors=True)
    os.rename(DEPS + "/new", DEPS + "/unpacked")
    return glob.glob(DEPS + "/unpacked/boot/vmlinuz-*")


def module_name(path):
    return os.path.basename(path)[:-len(".ko")]


def modules_in_order(folder):
    """Files of all modules that are needed, each behind those it depends on."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".ko"):
                found[name[:-len(".ko")].replace("-", "_")] = os.path.join(where, name)
    with open(os.path.join(folder, "modules.builtin")) as f:
        built_in = {module_name(line.strip()).replace("-", "_") for line in f}
    ordered = []

    def add(name, is_needed):
        name = name.replace("-", "_")
        path = found.get(name)
        if path is None:
            if is_needed and name not in built_in:
                raise OSError("the kernel has no module " + name)
            return
        if path in ordered:
            return
        for needed in dependencies(path):
            add(needed, True)
        ordered.append(path)

    for name in MODULES_WHERE_THERE:
        add(name, False)
    for name in MODULES:
        add(name, True)
    return ordered


def dependencies(path):
    """depmod's index is made at installation; the modules themselves say it too."""
    with open(path, "rb") as f:
        said = re.search(rb"\0depends=([^\0]*)\0", f.read())
    return [n for n in said.group(1).decode().split(",") if n] if said else []


def write_initrd(path, modules):
    """A cpio archive (newc) of busybox, init and the modules."""
    files = [("bin/busybox", BUSYBOX, 0o755), ("init", os.path.join(HERE, "init"), 0o755)]
    files += [("modules/" + os.path.basename(m), m, 0o644) for m in modules]
    with open(path + ".new", "wb") as archive:
        for folder in ("bin", "modules", "dev"):
            put(archive, folder, stat.S_IFDIR | 0o755)
        put(archive, "dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
        for name, source, mode in files:
            with open(source, "rb") as f:
                put(archive, name, stat.S_IFREG | mode, f.read())
        put(archive, "TRAILER!!!", 0)
    os.rename(path + ".new", path)


def put(archive, name, mode, content=b"", device=(0, 0), count=[0]):
    count[0] += 1
    name = name.encode() + b"\0"
    fields = (count[0], mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
    for piece in (b"070701" + b"".join(b"%08x" % n for n in fields) + name, content):
        archive.write(piece + b"\0" * (-len(piece) % 4))
