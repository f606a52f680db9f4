"""packages.py - Debian's packages of a peer, fetched but not installed.

The four servers conflict with one another (all provide pop3-server), start services when they are
installed, and draw in a mail transport agent.  So their packages are fetched with apt-get download,
which needs no root, and are unpacked by box.py where only the peer sees them.

What a peer is made of stands in its file `version`: a line for each package, with the version that its
configuration was written for.  Debian's archive keeps the newest version of a release only, so that one
is taken, and it is said if it differs.  What those packages need and this machine lacks comes along.
"""
import os
import re
import shutil
import subprocess
import sys

# A mail transport agent and what only it needs: no part in POP3.
UNWANTED = r"exim4|bsd-mailx|.*-dev$"
QUIET = ["-q", "-o", "APT::Sandbox::User="]


def run(command, **more):
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True, **more)
    if done.returncode != 0:
        sys.exit(f"peer: {' '.join(command)}: exit {done.returncode}\n{done.stdout}")
    return done.stdout


def wanted(folder):
    """{package: version}"""
    with open(f"{folder}/version") as lines:
        return dict(line.split() for line in lines)


def missing(folder, unwanted):
    """What apt would install for them, each with its version."""
    plan = run(["apt-get", "-s", "-q", "install", "--no-install-recommends", "-y", *wanted(folder)],
               env=os.environ | {"LC_ALL": "C"})
    found = re.findall(r"^Inst (\S+) (?:\[\S+\] )?\((\S+)", plan, re.MULTILINE)
    return {name: version for name, version in found if not re.match(unwanted, name)}


def apt_knows(folder):
    names = list(wanted(folder))
    shown = subprocess.run(["apt-cache", "show", "-q=2", *names], stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, text=True).stdout
    return all(f"Package: {name}\n" in shown for name in names)


def update_lists():
    as_root = [] if os.geteuid() == 0 else ["sudo"]
    run([*as_root, "apt-get", "update", "-q"])


def versions(folder, cache):
    """{package: version} of what was fetched; empty where nothing was."""
    have = {}
    for name in os.listdir(cache) if os.path.isdir(cache) else []:
        if name.endswith(".deb"):
            package, version, _ = name.split("_")
            have[package] = version.replace("%3a", ":")
    return {name: have[name] for name in wanted(folder) if name in have}


def completed(cache):
    """What the folder was complete with."""
    with open(f"{cache}/complete") as names:
        return set(names.read().split())


def install(folder, cache, unwanted=UNWANTED):
    """Have all packages of a peer in `cache`; done once.  `unwanted`: names of those left out."""
    if os.path.exists(f"{cache}/complete") and set(wanted(folder)) <= completed(cache):
        return
    if not apt_knows(folder):
        update_lists()
    shutil.rmtree(cache, ignore_errors=True)
    os.makedirs(cache)
    needed = missing(folder, unwanted)
    if needed:
        run(["apt-get", *QUIET, "download", *(f"{n}={v}" for n, v in needed.items())], cwd=cache)
    for name, version in wanted(folder).items():
        if needed.get(name, version) != version:
            print(f"peer: {name} is {needed[name]}, its configuration was written for {version}",
                  file=sys.stderr)
    with open(f"{cache}/complete", "w") as to:
        to.write("\n".join(wanted(folder)))
