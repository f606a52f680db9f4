"""load.py - mixed load on one server, by clients that write down what they ask and what they are told.

Each asks for a mark on the tape before it asks the server, and another when it has read the answer
(tests/power/model.h).  One client at a time fetches and deletes in a box; any number deliver.  The
clients also look themselves: what RETR sends must be what was delivered, and nothing that was seen
may be gone.
"""
import ctypes
import os
import random
import subprocess
import threading
import time

import harness

BOXES = 12
BOXES_IN_USE = 5
LMTP_CLIENTS = 8
RECIPIENTS_MAX = 4
MESSAGES_IN_BOX = 15
SYNC_FILE_RANGE_WRITE = 2
LIBC = ctypes.CDLL(None, use_errno=True)
KILL_BEFORE_SYNC = ("strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
                    "-e", "inject=fdatasync:signal=KILL:when=1")


class Fault(Exception):
    """The machine cannot do it, or the server broke its word while it was alive."""


class Tape:
    """Marks, and the file of messages that they point into.  Numbers are given once."""

    def __init__(self, marks_fd, messages_path):
        self.marks_fd = marks_fd
        self.lock = threading.Lock()
        self.texts = open(messages_path, "ab")
        self.text_octets = os.path.getsize(messages_path)
        self.operations = self.serials = self.acknowledged = 0

    def mark(self, *words):
        os.write(self.marks_fd, " ".join(map(str, words)).encode())

    def done(self, what, operation):
        self.mark(what, operation)
        self.acknowledged += 1

    def next_operation(self):
        with self.lock:
            self.operations += 1
            return self.operations

    def compose(self, r, copies=1):
        """A new message with a serial for each copy; its text, its reply to RETR, and where that is."""
        with self.lock:
            serial = self.serials + 1
            self.serials += copies
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


def carried_serial(wire):
    return int(wire.partition(b"\nSerial: ")[2].partition(b"\r")[0] or 0)


class Box:
    def __init__(self, number):
        self.number, self.name = number, "box%d" % number
        self.address = "%s@%s" % (self.name, harness.DOMAIN)
        self.seen = {}     # unique-id: serial
        self.wires = {}    # carried serial: (serial, reply to RETR), until it was seen
        self.deleting = {} # operation: unique-ids, whose QUIT the last life did not see answered

    def settle(self, tape, ids):
        """After a crash: all of a QUIT, or none."""
        for operation, gone in self.deleting.items():
            left = [unique_id for unique_id in gone if unique_id in ids]
            if left and left != gone:
                raise Fault("%s: of one QUIT %s are left and the others gone" % (self.name, left))
            tape.mark("kept" if left else "deleted", operation)
            for unique_id in set(gone) - set(left):
                del self.seen[unique_id]
        self.deleting = {}


class LmtpClient(harness.Lmtp):
    """One connection; messages to one or more boxes, by DATA or by BDAT."""

    def put(self, boxes, text, r, acknowledged):
        """acknowledged(box) as soon as each 250 is read."""
        self.send("MAIL FROM:<power@example.net>\r\n"
                  + "".join("RCPT TO:<%s>\r\n" % box.address for box in boxes))
        for _ in range(1 + len(boxes)):
            self.expect(250)
        if r.random() < 0.3:
            self.send(b"BDAT %d LAST\r\n" % len(text) + text)
        else:
            self.send("DATA\r\n")
            self.expect(354)
            self.send(harness.stuffed(text) + b".\r\n")
        for box in boxes:
            self.expect(250)
            acknowledged(box)


class Load:
    def __init__(self, site, tape, seconds, seed, has_room):
        self.site, self.tape, self.seconds, self.seed = site, tape, seconds, seed
        self.has_room = has_room
        self.boxes = [Box(n) for n in range(1, BOXES + 1)]
        self.in_use = []
        self.faults = []
        self.counts = {}

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def run(self, beside):
        """`beside`: other programs work on the maildrops while the server does."""
        self.open_boxes(BOXES_IN_USE - len(self.in_use))
        self.end = time.monotonic() + self.seconds
        jobs = [self.deliver_by_lmtp] * LMTP_CLIENTS
        jobs += [lambda r, n=n: self.fetch_and_delete(n, r) for n in range(BOXES_IN_USE)]
        if beside:
            jobs += [self.deliver_from_beside, self.care]
        threads = [threading.Thread(target=self.guarded, args=(job, random.Random(self.seed + n)))
                   for n, job in enumerate(jobs)]
        for thread in threads:
            thread.start()
        while self.goes_on():
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
        return time.monotonic() < self.end and not self.faults and self.has_room()

    # deliveries

    def announce(self, operation, box, messages):
        """`messages`: serial in this box, serial carried, reply to RETR, where it is."""
        for serial, carried, wire, _ in messages:
            box.wires[carried] = (serial, wire)
        self.tape.mark("will-deliver", operation, box.number,
                       *("%d %d %d" % (serial, offset, len(wire))
                         for serial, _, wire, offset in messages))

    def deliver_by_lmtp(self, r):
        client = LmtpClient(self.site.lmtp_port)
        while self.goes_on():
            boxes = r.sample(self.in_use, 1 if r.random() < 0.7 else r.randrange(2, RECIPIENTS_MAX + 1))
            first, text, wire, offset = self.tape.compose(r, len(boxes))
            operations = {}
            for copy, box in enumerate(boxes):
                operations[box] = self.tape.next_operation()
                self.announce(operations[box], box, [(first + copy, first, wire, offset)])
            client.put(boxes, text, r,
                       lambda box: self.tape.done("delivered", operations[box]))
            self.count("LMTP messages")
        client.send("QUIT\r\n")
        client.expect(221)
        client.close()

    def deliver_from_beside(self, r):
        """Several messages in one commit, as an import makes them; now and then it is killed."""
        while self.goes_on():
            time.sleep(r.uniform(0, 0.03))
            box = r.choice(self.in_use)
            made = [self.tape.compose(r) for _ in range(r.randrange(1, 6))]
            operation = self.tape.next_operation()
            self.announce(operation, box, [(serial, serial, wire, offset)
                                           for serial, _, wire, offset in made])
            how = r.choice((self.fill, self.fill, self.fill_and_kill_before_sync,
                            lambda *what: self.fill(*what, kill_after_s=r.uniform(0, 0.01))))
            if how(box, [text for _, text, _, _ in made]):
                self.tape.done("delivered", operation)
                self.count("commits from beside")
            else:
                self.count("killed ones")

    def fill_and_kill_before_sync(self, box, texts):
        """A commit that lies in the page cache and nowhere else: recovery must not just believe it."""
        return self.fill(box, texts, *KILL_BEFORE_SYNC)

    def fill(self, box, texts, *wrapper, kill_after_s=None):
        """False: it was killed, so nobody knows whether it came to its end."""
        filling = subprocess.Popen([*wrapper, harness.FILL, self.site.spool, box.address],
                                   stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        try:
            filling.communicate(b"".join(b"%d\n" % len(t) + t for t in texts), kill_after_s)
        except subprocess.TimeoutExpired:
            filling.kill()
            filling.communicate()
        except BrokenPipeError:
            pass
        if filling.returncode not in (0, -9):
            raise Fault("fill: exit %d" % filling.returncode)
        return filling.returncode == 0

    # sessions: one client for each box at a time

    def fetch_and_delete(self, n, r):
        while self.goes_on():
            self.one_session(r.choice(self.in_use[n::BOXES_IN_USE]), r)
            time.sleep(r.uniform(0, 0.03))

    def one_session(self, box, r):
        with self.site.session(box.name) as pop:
            ids = [unique_id for _, unique_id in pop.listing("UIDL")]
            box.settle(self.tape, ids)
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
            self.quit(box, pop, [ids[number] for number in gone])

    def quit(self, box, pop, gone):
        operation = self.tape.next_operation()
        if gone:
            self.tape.mark("will-delete", operation, box.number, *gone)
        pop.ok("QUIT")
        if gone:
            self.tape.done("deleted", operation)
            self.count("QUITs that delete")
        for unique_id in gone:
            del box.seen[unique_id]
        self.count("sessions")

    @staticmethod
    def choose_gone(ids, r):
        if not ids or r.random() < 0.2:
            return []
        if r.random() < 0.07:
            return list(range(len(ids)))
        most = len(ids) if len(ids) > MESSAGES_IN_BOX else max(1, len(ids) // 3)
        return sorted(r.sample(range(len(ids)), r.randint(1, most)))

    @staticmethod
    def check_listing(box, ids):
        lost = [unique_id for unique_id in box.seen if unique_id not in ids]
        if lost:
            raise Fault("%s: %s is lost, though the server runs" % (box.name, lost))

    def fetch(self, box, pop, number, unique_id):
        reply = pop.command_multi("RETR %d" % number)
        serial, wire = box.wires.pop(carried_serial(reply), (0, b""))
        if wire != reply:
            raise Fault("%s: RETR of %s is not what was delivered" % (box.name, unique_id))
        box.seen[unique_id] = serial
        self.tape.mark("seen", box.number, serial, unique_id)
        self.count("fetches")

    # what an operator does

    def care(self, r):
        while self.goes_on():
            box = r.choice(self.in_use)
            for _ in range(20):
                time.sleep(r.uniform(0, 0.005))
                self.write_back(r.choice(self.in_use), r.choice(("log", "index", "index")))
            if r.random() < 0.5:
                self.site.ringpost("compact", box.address)
                self.count("compactions")
            else:
                self.lose_index(box)

    def write_back(self, box, name):
        """Begin to write what the page cache holds of a file, as the kernel does some day."""
        try:
            fd = os.open(os.path.join(self.site.maildrop_directory(box.name), name), os.O_RDONLY)
        except (AssertionError, FileNotFoundError):
            return
        if LIBC.sync_file_range(fd, ctypes.c_int64(0), ctypes.c_int64(0), SYNC_FILE_RANGE_WRITE) == 0:
            self.count("write-backs")
        os.close(fd)

    def lose_index(self, box):
        try:
            os.unlink(os.path.join(self.site.maildrop_directory(box.name), "index"))
            self.count("indexes deleted")
        except (AssertionError, FileNotFoundError):
            pass  # nothing was delivered yet, or there is none just now

    # a life after a crash

    def go_on_from(self, marks, texts):
        """`marks`: those of the lives before; `texts`: the file of messages.  They are marked again."""
        for line in marks:
            self.tape.mark(line)
            word, *rest = line.split(" ")
            PAST[word](self, texts, *rest)
        for box in self.in_use:
            box.wires = {carried: (serial, wire) for carried, (serial, wire) in box.wires.items()
                         if serial not in box.seen.values()}
        self.tape.text_octets = len(texts)

    def past_box(self, _, number, address):
        self.in_use = self.boxes[:int(number)]
        if self.in_use[-1].address != address:
            raise Fault("box %s is %s" % (number, address))

    def past_will_deliver(self, texts, operation, number, *places):
        box = self.boxes[int(number) - 1]
        for serial, offset, octets in zip(*(iter(map(int, places)),) * 3):
            wire = texts[offset:offset + octets]
            box.wires[carried_serial(wire)] = (serial, wire)
            self.tape.serials = max(self.tape.serials, serial)
        self.tape.operations = max(self.tape.operations, int(operation))

    def past_will_delete(self, _, operation, number, *gone):
        self.boxes[int(number) - 1].deleting[int(operation)] = list(gone)
        self.tape.operations = max(self.tape.operations, int(operation))

    def past_deleted(self, _, operation):
        for box in self.boxes:
            for unique_id in box.deleting.pop(int(operation), ()):
                del box.seen[unique_id]

    def past_kept(self, _, operation):
        for box in self.boxes:
            box.deleting.pop(int(operation), None)

    def past_seen(self, _, number, serial, unique_id):
        self.boxes[int(number) - 1].seen[unique_id] = int(serial)


PAST = {
    "box": Load.past_box,
    "will-deliver": Load.past_will_deliver,
    "delivered": lambda *unused: None,
    "will-delete": Load.past_will_delete,
    "deleted": Load.past_deleted,
    "kept": Load.past_kept,
    "seen": Load.past_seen,
}
