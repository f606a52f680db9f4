"""Slow readers and cold files: one guest's wait is nobody else's (DESIGN 5)."""
import os
import random
import select
import time
import unittest

import harness

LINE = b"0123456789" * 7 + b"\n"
FIVE_MEGABYTES = b"Subject: five megabytes\n\n" + LINE * (5 * 1024 * 1024 // len(LINE))


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(len(values) * share))]


class Slow(harness.Case):
    def setUp(self):
        harness.raise_file_limit()

    def test_many_trickling_readers_and_a_quick_session(self):
        site = self.site(messages=[FIVE_MEGABYTES, b"Subject: small\n\nsmall\n"], shards="1")
        wanted = harness.on_the_wire(FIVE_MEGABYTES)
        readers = []
        for _ in range(60):
            pop = site.session(receive_buffer=4096)
            pop.send("RETR 1\r\n")
            readers.append(pop)
        quick, small = site.session(), harness.on_the_wire(b"Subject: small\n\nsmall\n")
        taken = [0] * len(readers)
        waits = []
        ends = time.monotonic() + 3
        while time.monotonic() < ends:
            for i, pop in enumerate(readers):  # a trickle: a few hundred octets each
                got = pop.socket.recv(300)
                self.assertEqual(got, wanted[taken[i]:taken[i] + len(got)])
                taken[i] += len(got)
            started = time.monotonic()
            self.assert_octets(quick.command_multi("RETR 2"), small)
            waits.append(time.monotonic() - started)
        self.assertGreater(len(waits), 50)
        self.assertLess(percentile(waits, 0.99), 0.25 if harness.IS_SANITIZED else 0.05)
        # and in the end each of them gets all of it
        for i, pop in enumerate(readers[:10]):
            pop.socket.settimeout(harness.WAIT_S)
            self.assert_octets(pop.exactly(len(wanted) - taken[i]), wanted[taken[i]:])
            pop.ok("NOOP")
        for pop in readers:
            pop.close()

    def test_a_reader_that_stands_still_holds_nobody_and_little(self):
        site = self.site(messages=[FIVE_MEGABYTES], shards="1")
        before = self.resident_kib(site)
        stuck = [site.session(receive_buffer=4096) for _ in range(100)]
        for pop in stuck:
            pop.send("RETR 1\r\n" * 100)  # 500 MB asked for
        time.sleep(0.5)
        grown = self.resident_kib(site) - before
        if not harness.IS_SANITIZED:
            self.assertLess(grown, 20000, "KiB for 100 readers that stand still")
        self.assertEqual(site.session().stat()[0], 1)
        for pop in stuck:
            pop.reset()
        self.assertEqual(site.session().stat()[0], 1)

    def resident_kib(self, site):
        with open("/proc/%d/status" % site.process.pid) as f:
            return int(next(l.split()[1] for l in f if l.startswith("VmRSS")))

    def test_input_stops_while_output_is_over_its_mark(self):
        """PROTOCOL 6: who does not read is not heard; what was not heard stays in TCP."""
        site = self.site(messages=[FIVE_MEGABYTES], shards="1")
        pop = site.session(receive_buffer=4096)
        pop.socket.setblocking(False)
        sent = 0
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            _, writable, _ = select.select([], [pop.socket], [], 1.0)
            if not writable:
                break  # the way is full
            sent += pop.socket.send(b"RETR 1\r\n" * 1000)
        self.assertLess(sent, 64 << 20)
        self.assertFalse(writable, "the server takes commands without end")
        pop.reset()


class Cold(harness.Case):
    def drop_caches(self, site):
        """True where the kernel did as it was asked."""
        os.sync()
        try:
            with open("/proc/sys/vm/drop_caches", "w") as f:
                f.write("1\n")
            return
        except OSError:
            pass
        for folder, _, files in os.walk(os.path.join(site.spool, "mail")):
            for name in files:
                fd = os.open(os.path.join(folder, name), os.O_RDONLY)
                os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                os.close(fd)

    def test_cold_maildrops_are_served_right_and_stall_nobody(self):
        names = ["cold%d" % i for i in range(12)]
        site = self.site(users=["alice"] + names, shards="1",
                         messages=[b"Subject: warm\n\nwarm\n"])
        r = random.Random(8)
        mail = {}
        for name in names:
            mail[name] = [b"Subject: %d\n\n" % i + bytes(r.randrange(97, 123) for _ in range(60))
                          + b"\n" + LINE * r.randrange(1, 30000) for i in range(8)]
            site.deliver(mail[name], name)
        site.stop()
        site.start()
        warm = site.session()
        wanted = harness.on_the_wire(b"Subject: warm\n\nwarm\n")
        self.drop_caches(site)
        self.assert_octets(warm.command_multi("RETR 1"), wanted)
        waits, got = [], {}
        for name in names:
            pop = site.session(name)
            pop.send("".join("RETR %d\r\n" % n for n in range(1, 9)) + "QUIT\r\n")
            pop.socket.setblocking(False)
            got[name] = (pop, [])
        left = dict(got)
        deadline = time.monotonic() + 60
        while left and time.monotonic() < deadline:
            ready, _, _ = select.select([pop.socket for pop, _ in left.values()], [], [], 0)
            for name, (pop, pieces) in list(left.items()):
                if pop.socket in ready:
                    piece = pop.socket.recv(1 << 20)
                    pieces.append(piece)
                    if piece == b"":
                        del left[name]
            started = time.monotonic()
            self.assert_octets(warm.command_multi("RETR 1"), wanted)
            waits.append(time.monotonic() - started)
        self.assertEqual(left, {})
        for name in names:
            all_of_it = b"".join(got[name][1])
            expected = b"".join(harness.on_the_wire(m) for m in mail[name])
            self.assert_octets(all_of_it[:len(expected)], expected, name)
            self.assertTrue(all_of_it[len(expected):].startswith(b"+OK"))
        self.assertLess(percentile(waits, 0.99), 0.25 if harness.IS_SANITIZED else 0.1)


if __name__ == "__main__":
    unittest.main()
