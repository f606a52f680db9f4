"""Every octet of every message, against the model in harness.py."""
import random
import unittest

import harness

MESSAGES = harness.varied_messages(250)


def model_top(raw, lines):
    """TOP's message text: the header, its blank line, so many lines of the body."""
    text = harness.normalised(raw)
    header, blank, body = text.partition(b"\r\n\r\n")
    if text.startswith(b"\r\n"):
        header, blank, body = b"", b"\r\n", text[2:]
    if not blank:  # no blank line ends the header: TOP owes it
        return harness.stuffed(text) + b"\r\n.\r\n"
    kept = b"".join(l + b"\r\n" for l in body.split(b"\r\n")[:-1][:lines])
    return harness.stuffed(header + blank + kept) + b".\r\n"


class Wire(harness.Case):
    def test_every_message_by_retr(self):
        pop = self.site(messages=MESSAGES).session()
        sizes = dict(pop.listing("LIST"))
        self.assertEqual(pop.stat(), (len(MESSAGES),
                                      sum(len(harness.normalised(m)) for m in MESSAGES)))
        for n, raw in enumerate(MESSAGES, 1):
            self.assert_octets(pop.command_multi("RETR %d" % n), harness.on_the_wire(raw),
                               "message %d" % n)
            self.assertEqual(int(sizes[n]), len(harness.normalised(raw)))

    def test_every_message_by_top(self):
        pop = self.site(messages=MESSAGES).session()
        for n, raw in enumerate(MESSAGES, 1):
            for lines in (0, 1, 2, 7, 99999999):
                got = pop.command_multi("TOP %d %d" % (n, lines))
                status, _, text = got.partition(b"\r\n")
                self.assertTrue(status.startswith(b"+OK "))
                self.assert_octets(text, model_top(raw, lines), "TOP %d %d" % (n, lines))

    def test_all_pipelined_at_once(self):
        pop = self.site(messages=MESSAGES).session()
        pop.send("".join("RETR %d\r\n" % n for n in range(1, len(MESSAGES) + 1)))
        for n, raw in enumerate(MESSAGES, 1):
            wanted = harness.on_the_wire(raw)
            self.assert_octets(pop.exactly(len(wanted)), wanted, "message %d" % n)

    def test_pipelined_in_random_order_and_pieces(self):
        site = self.site(messages=MESSAGES)
        for seed in range(5):
            r = random.Random(seed)
            order = [r.randint(1, len(MESSAGES)) for _ in range(200)]
            commands = "".join("RETR %d\r\nNOOP\r\n" % n for n in order).encode()
            with site.session() as pop:
                while commands:
                    cut = r.randint(1, 60)
                    pop.send(commands[:cut])
                    commands = commands[cut:]
                for n in order:
                    wanted = harness.on_the_wire(MESSAGES[n - 1])
                    self.assert_octets(pop.exactly(len(wanted)), wanted,
                                       "seed %d, message %d" % (seed, n))
                    self.assertTrue(pop.line().startswith(b"+OK "))

    def test_one_octet_at_a_time(self):
        pop = self.site(messages=MESSAGES[:40]).session()
        for octet in "".join("RETR %d\r\n" % n for n in range(1, 41)):
            pop.send(octet)
        for n, raw in enumerate(MESSAGES[:40], 1):
            wanted = harness.on_the_wire(raw)
            self.assert_octets(pop.exactly(len(wanted)), wanted, "message %d" % n)

    def test_large_messages(self):
        r = random.Random(3)
        line = bytes(r.randrange(33, 127) for _ in range(76)) + b"\n"
        messages = [b"Subject: large\n\n" + line * (size // 77)
                    for size in (100000, 1 << 20, 5 << 20, 20 << 20)]
        pop = self.site(messages=messages).session()
        for n in (4, 1, 3, 2, 4):
            wanted = harness.on_the_wire(messages[n - 1])
            pop.send("RETR %d\r\n" % n)
            self.assert_octets(pop.exactly(len(wanted)), wanted, "message %d" % n)
        pop.ok("NOOP")

    def test_quit_behind_pipelined_retrs_loses_nothing(self):
        """Another server dropped the end of pipelined sessions at the close."""
        site = self.site(messages=MESSAGES)
        wanted = b"".join(harness.on_the_wire(m) for m in MESSAGES)
        for _ in range(20):
            with site.pop(receive_buffer=8192) as pop:
                pop.login()
                pop.send("".join("RETR %d\r\n" % n for n in range(1, len(MESSAGES) + 1))
                         + "QUIT\r\n")
                got = pop.rest()
                self.assert_octets(got[:len(wanted)], wanted)
                self.assertRegex(got[len(wanted):], rb"\A\+OK [^\r]+\r\n\Z")

    def test_a_client_that_has_shut_its_side_still_gets_its_answers(self):
        import socket
        site = self.site(messages=MESSAGES)
        wanted = b"".join(harness.on_the_wire(m) for m in MESSAGES)
        with site.session() as pop:
            pop.send("".join("RETR %d\r\n" % n for n in range(1, len(MESSAGES) + 1)))
            pop.socket.shutdown(socket.SHUT_WR)
            self.assert_octets(pop.rest(), wanted)


if __name__ == "__main__":
    unittest.main()
