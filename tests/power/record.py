"""record.py - a server under load on a disk that remembers; the load says what it asked and was told.

Layers, from below: logdisk (the disk, by FUSE), a loop device, a file system, the spool, ringpostd
and `ringpost`, and the clients in here.  What is left in the directory of a recording:

    base       the disk before the log: an empty file system
    log        every write and flush, and the marks (tests/power/powerlog.h, model.h)
    messages   the replies to RETR that the marks point into

The load is random and its timing is the machine's, so no two recordings are alike; what is replayed
by a seed are the crash states of one recording.
"""
import os
import random
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests/e2e"))
import harness  # noqa: E402

LOGDISK = os.path.join(harness.BUILD, "tests/power/logdisk")
DISK_OCTETS = {"ext4": 48 << 20, "xfs": 64 << 20}  # "unsupported" so small, but as sound
MKFS = {
    "ext4": ["mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-J", "size=4",
             "-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"],
    "xfs": ["mkfs.xfs", "--unsupported", "-q", "-f", "-K", "-l", "size=6m"],
}
BOXES = 12
BOXES_IN_USE = 5
DELIVERERS = 3
MESSAGES_IN_BOX = 25
WAIT_S = 20


class Fault(Exception):
    """The machine cannot do it, or the server broke its word while it was alive."""


def run(*words):
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise Fault("%s: exit %d, %s" % (" ".join(words), done.returncode, done.stderr.strip()))


class Disk:
    """The logging disk, mounted; as a context."""

    def __init__(self, directory, file_system, sector):
        self.directory, self.file_system, self.sector = directory, file_system, sector
        self.fuse = os.path.join(directory, "fuse")
        self.mountpoint = os.path.join(directory, "disk")

    def path(self, name):
        return os.path.join(self.directory, name)

    def make(self):
        with open(self.path("base"), "wb") as f:
            f.truncate(DISK_OCTETS[self.file_system])
        more = ["-s", "size=%d" % self.sector] if self.file_system == "xfs" else []
        run(*MKFS[self.file_system], *more, self.path("base"))

    def __enter__(self):
        os.makedirs(self.fuse, exist_ok=True)
        os.makedirs(self.mountpoint, exist_ok=True)
        self.process = subprocess.Popen([LOGDISK, self.path("base"), self.path("log"), self.fuse],
                                        stdin=subprocess.DEVNULL)
        file = os.path.join(self.fuse, "disk")
        self.wait_for(file)
        device = subprocess.run(["losetup", "--find", "--show", "--sector-size", str(self.sector),
                                 file], capture_output=True, text=True)
        if device.returncode != 0:
            self.process.kill()
            raise Fault("losetup: " + device.stderr.strip())
        self.device = device.stdout.strip()
        run("mount", "-t", self.file_system, "-o", "noatime", self.device, self.mountpoint)
        run("losetup", "--detach", self.device)  # it goes when it is unmounted
        self.marks = os.open(os.path.join(self.fuse, "marks"), os.O_WRONLY)
        return self

    def has_room(self):
        room = os.statvfs(self.mountpoint)
        return room.f_bavail * 3 > room.f_blocks

    def wait_for(self, file):
        deadline = time.monotonic() + WAIT_S
        while not os.path.exists(file):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                raise Fault("the logging disk did not start: exit %s" % self.process.poll())
            time.sleep(0.01)

    def __exit__(self, kind, *unused):
        os.close(self.marks)
        if kind is not None:
            # let go of it however it is used: with the disk gone nothing waits for it any more
            subprocess.run(["umount", "--lazy", self.mountpoint])
            self.process.kill()
            self.process.wait(WAIT_S)
            subprocess.run(["umount", "--lazy", self.fuse])
            return
        run("umount", self.mountpoint)
        run("umount", self.fuse)
        self.process.wait(WAIT_S)


class Tape:
    """Marks, and the file of messages they point into.  Numbers are given once."""

    def __init__(self, disk):
        self.disk = disk
        self.lock = threading.Lock()
        self.texts = open(disk.path("messages"), "wb")
        self.text_octets = 0
        self.operations = self.serials = 0
        self.acknowledged = 0

    def mark(self, *words):
        os.write(self.disk.marks, " ".join(map(str, words)).encode())

    def done(self, what, operation):
        self.mark(what, operation)
        self.acknowledged += 1

    def next_operation(self):
        with self.lock:
            self.operations += 1
            return self.operations

    def compose(self, r):
        """A new message; returns its serial, its text and where its reply to RETR is."""
        with self.lock:
            self.serials += 1
            serial = self.serials
        text = compose(serial, r)
        wire = harness.on_the_wire(text)
        with self.lock:
            offset = self.text_octets
            self.text_octets += len(wire)
            self.texts.write(wire)
        return serial, text, wire, offset


def compose(serial, r):
    size = r.choice((40, 300, 2000, 6000, 9000))
    if r.random() < 0.06:
        size = r.randrange(20000, 90000)
    elif r.random() < 0.01:
        size = r.randrange(300000, 700000)
    line = r.choice((b"A line of text, as it is in mail.", b".", b"..dots", bytes(range(1, 10)),
                     b"%d " % serial * 12))
    body = b"".join(b"%s %x\r\n" % (line, r.getrandbits(40)) for _ in range(size // (len(line) + 9)))
    return b"From: power@example.net\r\nSerial: %d\r\nSubject: %x\r\n\r\n%s" \
        % (serial, r.getrandbits(60), body)


class FillDelivery:
    """Deliveries from beside the server, as an import or a second process makes them."""

    def __init__(self, site, sync):
        self.site, self.more = site, [] if sync else ["no-sync"]

    def deliver(self, name, texts):
        done = subprocess.run([harness.FILL, self.site.spool, "%s@%s" % (name, harness.DOMAIN),
                               *self.more], input=b"".join(b"%d\n" % len(t) + t for t in texts),
                              capture_output=True)
        if done.returncode != 0:
            raise Fault("a delivery to %s: %s" % (name, done.stderr.decode().strip()))

    def close(self):
        pass


class Box:
    def __init__(self, number):
        self.number, self.name = number, "box%d" % number
        self.address = "%s@%s" % (self.name, harness.DOMAIN)
        self.seen = {}  # unique-id: serial
        self.wires = {}  # serial: reply to RETR, until it was seen


class Load:
    def __init__(self, site, tape, seconds, seed, make_delivery, only_deliveries):
        self.site, self.tape, self.seconds, self.seed = site, tape, seconds, seed
        self.make_delivery, self.only_deliveries = make_delivery, only_deliveries
        self.boxes = [Box(n) for n in range(1, BOXES + 1)]
        self.in_use = []
        self.faults = []
        self.counts = {}

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def run(self):
        self.tape.mark("begin")
        self.open_boxes(BOXES_IN_USE)
        self.end = time.monotonic() + self.seconds
        jobs = [self.deliver_for_ever] * DELIVERERS
        if not self.only_deliveries:
            jobs += [self.care_for_ever]
            jobs += [lambda r, n=n: self.fetch_for_ever(n, r) for n in range(BOXES_IN_USE)]
        threads = [threading.Thread(target=self.guarded, args=(job, random.Random(self.seed + n)))
                   for n, job in enumerate(jobs)]
        for thread in threads:
            thread.start()
        while time.monotonic() < self.end:
            time.sleep(self.seconds / (BOXES - BOXES_IN_USE + 1))
            self.open_boxes(1)
        for thread in threads:
            thread.join()
        self.tape.texts.close()
        if self.faults:
            raise Fault("; ".join(map(str, self.faults[:5])))

    def open_boxes(self, count):
        """More boxes come into use, so first deliveries are under the power cuts too."""
        for _ in range(count):
            if len(self.in_use) < len(self.boxes):
                box = self.boxes[len(self.in_use)]
                self.tape.mark("box", box.number, box.address)
                self.in_use = self.boxes[:box.number]

    def guarded(self, job, r):
        try:
            job(r)
        except Exception as fault:  # told by run(), whatever it is
            self.faults.append(repr(fault))

    def goes_on(self):
        return time.monotonic() < self.end and not self.faults and self.tape.disk.has_room()

    # deliveries

    def deliver_for_ever(self, r):
        delivery = self.make_delivery()
        while self.goes_on():
            box = r.choice(self.in_use)
            made = [self.tape.compose(r) for _ in range(1 if r.random() < 0.8 else r.randrange(2, 6))]
            operation = self.tape.next_operation()
            for serial, _, wire, _ in made:
                box.wires[serial] = wire
            self.tape.mark("will-deliver", operation, box.number,
                           *("%d %d %d" % (s, offset, len(wire)) for s, _, wire, offset in made))
            delivery.deliver(box.name, [text for _, text, _, _ in made])
            self.tape.done("delivered", operation)
            self.count("deliveries")
        delivery.close()

    # sessions: one client for each box at a time

    def fetch_for_ever(self, n, r):
        while self.goes_on():
            time.sleep(r.uniform(0, 0.03))
            mine = self.in_use[n::BOXES_IN_USE]
            self.one_session(r.choice(mine), r)

    def one_session(self, box, r):
        with self.site.session(box.name) as pop:
            ids = [unique_id for _, unique_id in pop.listing("UIDL")]
            self.check_listing(box, ids)
            for number, unique_id in enumerate(ids, 1):
                if unique_id not in box.seen:
                    self.fetch(box, pop, number, unique_id)
            gone = self.choose_gone(ids, r)
            for number in gone:
                pop.ok("DELE %d" % (number + 1))
            if r.random() < 0.1:
                self.count("sessions without QUIT")
                return  # all of them stay
            operation = self.tape.next_operation()
            if gone:
                self.tape.mark("will-delete", operation, box.number, *(ids[g] for g in gone))
            pop.ok("QUIT")
            if gone:
                self.tape.done("deleted", operation)
                self.count("deletions")
            for g in gone:
                del box.seen[ids[g]]
            self.count("sessions")

    @staticmethod
    def choose_gone(ids, r):
        if not ids or r.random() < 0.2:
            return []
        if r.random() < 0.07:
            return list(range(len(ids)))
        most = len(ids) if len(ids) > MESSAGES_IN_BOX else max(1, len(ids) // 3)
        return sorted(r.sample(range(len(ids)), r.randint(1, most)))

    def check_listing(self, box, ids):
        lost = [unique_id for unique_id in box.seen if unique_id not in ids]
        if lost:
            raise Fault("%s: %s is lost while the server runs" % (box.name, lost))

    def fetch(self, box, pop, number, unique_id):
        reply = pop.command_multi("RETR %d" % number)
        serial = int(reply.partition(b"\nSerial: ")[2].partition(b"\r")[0] or 0)
        if box.wires.pop(serial, None) != reply:
            raise Fault("%s: RETR of %s is not what was delivered" % (box.name, unique_id))
        box.seen[unique_id] = serial
        self.tape.mark("seen", box.number, serial, unique_id)
        self.count("fetches")

    # what an operator does

    def care_for_ever(self, r):
        while self.goes_on():
            box = r.choice(self.in_use)
            time.sleep(r.uniform(0, 0.1))
            if r.random() < 0.5:
                self.site.ringpost("compact", box.address)
                self.count("compactions")
            else:
                self.lose_index(box)

    def lose_index(self, box):
        try:
            os.unlink(os.path.join(self.site.maildrop_directory(box.name), "index"))
            self.count("indexes lost")
        except (AssertionError, FileNotFoundError):
            pass  # nothing was delivered yet, or there is none just now


def load_server(disk, site, tape, seconds, seed, sync):
    site.spool = os.path.join(disk.mountpoint, "spool")
    site.write_config()
    os.mkdir(site.spool)
    load = Load(site, tape, seconds, seed, lambda: FillDelivery(site, sync), not sync)
    for box in load.boxes:
        site.add_user(box.name)
    site.start(wrapper=("setpriv", "--pdeathsig", "KILL"))
    load.run()
    code = site.stop()
    if code != 0:
        raise Fault("the server ended: exit %s\n%s" % (code, site.log()))
    return load


def record(directory, file_system="ext4", sector=512, seconds=15, seed=1, sync=True):
    """Returns a line of text that says what the load did.  Without sync: deliveries only."""
    disk = Disk(directory, file_system, sector)
    disk.make()
    with disk:
        tape = Tape(disk)
        site = harness.Site()
        try:
            load = load_server(disk, site, tape, seconds, seed, sync)
        finally:
            site.cleanup()
    return "%d acknowledgements in %d s: %s; log of %d MB" % (
        tape.acknowledged, seconds,
        ", ".join("%d %s" % (n, what) for what, n in sorted(load.counts.items())),
        os.path.getsize(disk.path("log")) >> 20)
