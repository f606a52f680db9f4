"""machine.py - what a VM is made of: Debian's kernel, and an initial file system with its modules.

Both are made once in build/deps, fetched (and checked) by apt and unpacked, not installed.
  oldest  the newest 6.1 of Debian 12's cloud flavour: the oldest kernel that ringpost supports.  It has kTLS,
          which the kernel of a build machine may lack, but its kTLS takes no new keys.
  newest  the newest of Debian 13's backports: keys can be changed there (since 6.14).
"""
import fcntl
import glob
import lzma
import os
import re
import shutil
import stat
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
DEPS = os.path.join(ROOT, "build/deps")
BUSYBOX = "/bin/busybox"
META_PACKAGE = "linux-image-cloud-amd64"

# What the guest loads; those below need not exist in every kernel (they may be built in, or be
# faster twins of something that is there anyhow).
MODULES = ("virtio_pci", "virtio_blk", "virtiofs", "overlay", "tls", "gcm", "ccm", "ctr",
           "chacha20poly1305")
MODULES_WHERE_THERE = ("aesni-intel", "ghash-clmulni-intel", "ghash-generic", "chacha_generic",
                       "chacha-x86_64", "chacha", "poly1305_generic", "poly1305-x86_64", "cmac", "crc32c-intel",
                       "crc32c_generic", "virtio-rng")
# Each: where it is made, the suite apt takes it from, what its package's name looks like, and whether
# each emulated processor has a thread of its own (a newer kernel stands still on that now and then).
KERNELS = {"oldest": ("kernel", "bookworm", r"linux-image-6\.1\.\S+", "multi"),
           "newest": ("kernel-newest", "trixie-backports", r"linux-image-\d\S+", "single")}


class Machine:
    """Paths of a kernel and an initial file system, and the modules in order of loading."""

    def __init__(self, which="oldest"):
        name, suite, package, self.threads = KERNELS[which]
        deps = os.path.join(DEPS, name)
        os.makedirs(deps, exist_ok=True)
        with open(os.path.join(deps, "lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # two stages may ask at once
            if not find_kernel(deps):
                fetch_kernel(deps, suite, package)
            self.kernel, folder = find_kernel(deps)
            self.files = modules_in_order(folder)
            self.modules = [module_name(f) for f in self.files]
            self.initrd = os.path.join(deps, "initrd")
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


def find_kernel(deps):
    """(kernel, folder of its modules): in /boot, or beside its modules; None where there is none."""
    unpacked = os.path.join(deps, "unpacked")
    for kernel in glob.glob(unpacked + "/boot/vmlinuz-*"):
        version = os.path.basename(kernel).partition("-")[2]
        return kernel, os.path.join(unpacked, "lib/modules", version)
    for kernel in glob.glob(unpacked + "/usr/lib/modules/*/vmlinuz"):
        return kernel, os.path.dirname(kernel)
    return None


def packages_of(apt, suite, pattern):
    """The image's package, and those it comes in parts with."""
    def depends(name):
        return run(apt, "depends", name, env=dict(os.environ, APT_PROGRAM="apt-cache", APT_SUITE=suite))
    image = re.search(r"Depends: (%s)" % pattern, depends("%s/%s" % (META_PACKAGE, suite)))
    if image is None:
        raise OSError("apt knows no %s in %s of Debian's" % (pattern, suite))
    parts = re.findall(r"Depends: (linux-(?:binary|modules)-\d\S+)", depends(image.group(1)))
    return [image.group(1), *parts]


def fetch_kernel(deps, suite, pattern):
    apt = os.path.join(ROOT, "dist/apt-own")
    for old in glob.glob(deps + "/*.deb"):
        os.unlink(old)
    run(apt, "-q", "download", *packages_of(apt, suite, pattern), cwd=deps,
        env=dict(os.environ, APT_SUITE=suite))
    shutil.rmtree(deps + "/new", ignore_errors=True)
    for package in glob.glob(deps + "/*.deb"):
        run("dpkg", "-x", package, deps + "/new")
    for packed in glob.glob(deps + "/new/**/*.ko.xz", recursive=True):
        with lzma.open(packed) as source, open(packed[:-len(".xz")], "wb") as to:
            shutil.copyfileobj(source, to)
        os.unlink(packed)
    shutil.rmtree(deps + "/unpacked", ignore_errors=True)
    os.rename(deps + "/new", deps + "/unpacked")


def module_name(path):
    return os.path.basename(path).partition(".ko")[0]


def modules_in_order(folder):
    """Files of all modules that are needed, each behind those it depends on."""
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".ko"):
                found[name[:-len(".ko")].replace("-", "_")] = os.path.join(where, name)
    built_in = built_into_kernel(folder)
    ordered = []

    def add(name, is_needed):
        name = name.replace("-", "_")
        path = found.get(name)
        if path is None:
            if is_needed and built_in is not None and name not in built_in:
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


def built_into_kernel(folder):
    """Names; None where nobody says: then what is no file is taken to be built in."""
    path = os.path.join(folder, "modules.builtin")
    if not os.path.exists(path):
        return None
    with open(path) as f:
        return {module_name(line.strip()).replace("-", "_") for line in f}


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
