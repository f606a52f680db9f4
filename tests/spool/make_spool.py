#!/usr/bin/python3
"""Sample mail: a Maildir or an mbox of many varied messages, the same ones for the same --seed.

    make_spool.py --maildir demo/alice --messages 300 --seed 1
    make_spool.py --mbox demo/bob.mbox --messages 200 --seed 2
    make_spool.py --maildir bench/64k --messages 2000 --fixed-size 65536

Sizes are log-normal as in real mailboxes (median 20 KB, mean 75 KB) up to --max-size; with
--fixed-size every message has exactly so many octets as POP3 counts them.  There is plain text,
text with HTML, attachments, 8-bit text in UTF-8 and Latin-1, quoted-printable, dots and "From " at line
starts, lines of many kilobytes, empty bodies, headers alone, CRLF and a missing last line end.

Text is cut out of pools that are made once, so small messages come by the thousands a second.
"""
import argparse
import base64
import math
import os
import random
import sys
import time

MEDIAN, MEAN = 20 * 1024, 75 * 1024
SIGMA = math.sqrt(2 * math.log(MEAN / MEDIAN))
FIRST_ARRIVAL = 1700000000
POOL_LINES = 8192

NAMES = ("Ada Byron", "Grace Murray", "Noether, Emmy", "Jürgen Groß", "Zoë Faß", "Sofja Kowalewskaja",
         "李 明", "Ólafur Þórsson", "Build Server", "The List")
DOMAINS = ("example.org", "example.com", "lists.example.net", "münchen.example")
SUBJECTS = ("Re: minutes of Tuesday", "Invoice 2231", "Fwd: photos", "build failed: main #881",
            "Lunch?", "Your order has been shipped", "[list] patch: fix the parser", "Grüße aus Köln",
            "weekly report", "test")
WORDS = ("the of and to in is that for it on with as was at by be this from or have an they which one "
         "you were all her she there would their we him been has when who will no more if out so up "
         "said what its about than into them can only other time new some could these two may first "
         "then do any like my now over such our man me even most made after also did many off before "
         "must well back through years much where your way down should because long each just state "
         "those people too mr how little good world make very year still see own work men day get here "
         "old life both between being under three never know same last another while us might great go "
         "come since against right came take used himself few house use place during high without again "
         "home around small however found mrs part school thought went say general once upon message").split()
HIGH_WORDS = ("Grüße", "für", "über", "naïve", "café", "señor", "Ærø", "straße", "été", "fünf")


class Pools:
    """Lines to cut bodies from: plain, with high characters, and base64."""

    def __init__(self, rng):
        self.plain = [self.line(rng, WORDS) for _ in range(POOL_LINES)]
        self.high = [self.line(rng, WORDS + list(HIGH_WORDS) * 4) for _ in range(POOL_LINES // 4)]
        octets = rng.getrandbits(8 * 57 * POOL_LINES).to_bytes(57 * POOL_LINES, "little")
        text = base64.b64encode(octets)
        self.base64 = b"".join(text[i:i + 76] + b"\n" for i in range(0, len(text), 76))
        self.plain_text = "".join(line + "\n" for line in self.plain)
        self.high_text = "".join(line + "\n" for line in self.high)

    @staticmethod
    def line(rng, words):
        length, chosen = rng.randrange(30, 76), []
        while length > 0:
            chosen.append(rng.choice(words))
            length -= len(chosen[-1]) + 1
        return " ".join(chosen)

    @staticmethod
    def cut(rng, text, octets):
        """About `octets` of whole lines of a pool."""
        parts = []
        while octets > 0:
            start = text.find("\n", rng.randrange(len(text) // 2)) + 1
            end = text.find("\n", min(start + octets, len(text) - 1)) + 1
            parts.append(text[start:end])
            octets -= end - start
        return "".join(parts)

    def cut_base64(self, rng, octets):
        lines = max(1, octets // 77)
        parts = []
        while lines > 0:
            start = rng.randrange(POOL_LINES // 2)
            take = min(lines, POOL_LINES - start)
            parts.append(self.base64[start * 77:(start + take) * 77])
            lines -= take
        return b"".join(parts)


class Generator:
    def __init__(self, seed, max_size, fixed_size):
        self.rng = random.Random(seed)
        self.pools = Pools(self.rng)
        self.max_size = max_size
        self.fixed_size = fixed_size
        self.arrival = FIRST_ARRIVAL
        self.number = 0

    def messages(self, count):
        """Yields (arrival, octets)."""
        for _ in range(count):
            self.number += 1
            self.arrival += 1 + int(self.rng.expovariate(1 / 900))
            yield self.arrival, self.fixed() if self.fixed_size else self.varied()

    def size(self):
        while True:
            size = int(self.rng.lognormvariate(math.log(MEDIAN), SIGMA))
            if size <= self.max_size:
                return size

    def header(self, extra):
        rng = self.rng
        name, domain = rng.choice(NAMES), rng.choice(DOMAINS)
        when = time.strftime("%a, %d %b %Y %H:%M:%S +0000", time.gmtime(self.arrival))
        lines = [
            "Return-Path: <sender%d@%s>" % (rng.randrange(100), "example.org"),
            "Received: from mx%d.example.org (mx.example.org [192.0.2.%d])\n"
            "\tby mail.example.org with ESMTPS id %08x; %s"
            % (rng.randrange(9), rng.randrange(1, 255), rng.getrandbits(32), when),
            "Date: " + when,
            "From: %s <sender@%s>" % (name, domain),
            "To: you@example.org",
            "Subject: %s" % rng.choice(SUBJECTS),
            "Message-ID: <%d.%08x@example.org>" % (self.number, rng.getrandbits(32)),
        ]
        return "\n".join(lines + extra) + "\n"

    def fixed(self):
        """Exactly fixed_size octets once every line end is CRLF."""
        head = self.header(["MIME-Version: 1.0", "Content-Type: text/plain"]).encode() + b"\n"
        left = self.fixed_size - len(head) - head.count(b"\n")
        if left < 4:
            sys.exit("make_spool.py: --fixed-size %d is too small for a header" % self.fixed_size)
        lines, rest = divmod(left, 78)
        if rest == 1 and lines > 0:  # no line is so short
            lines, rest = lines - 1, 79
        body = self.pools.cut_base64(self.rng, lines * 77) if lines > 0 else b""
        return head + body + (b"x" * (rest - 2) + b"\n" if rest >= 2 else b"")

    def varied(self):
        size, kind = self.size(), self.rng.random()
        if kind < 0.01:
            return self.header([])[:-1].encode()  # a header alone, its last line not ended
        if kind < 0.02:
            return self.header(["Content-Type: text/plain"]).encode() + b"\n"
        if size > 32 * 1024 and kind < 0.8:
            octets = self.with_attachment(size)
        elif size > 6 * 1024 and kind < 0.6:
            octets = self.alternative(size)
        else:
            octets = self.plain(size, kind)
        if kind > 0.97:
            octets = octets.replace(b"\n", b"\r\n")
        return octets

    def plain(self, size, kind):
        charset = "utf-8" if kind < 0.75 else "iso-8859-1" if kind < 0.85 else "us-ascii"
        extra = ["MIME-Version: 1.0", "Content-Type: text/plain; charset=%s" % charset,
                 "Content-Transfer-Encoding: %s" % ("7bit" if charset == "us-ascii" else "8bit")]
        text = self.pools.plain_text if charset == "us-ascii" else self.pools.high_text
        body = self.pools.cut(self.rng, text, size)
        odd = self.rng.random()
        if odd < 0.15:  # dots and From_ where they hurt
            body = body.replace("\nth", "\n.th").replace("\nof", "\n..of")
            body = ".\n" + body + "\nFrom here on\n>From there\n.\n"
        elif odd < 0.2:
            body = body.replace("\n", " ", 200)  # one line of many kilobytes
        elif odd < 0.23:
            body = body.rstrip("\n")
        elif odd < 0.26:
            body = "\n" * (size // 64) + body[:100] + "\n\n\n"
        head = self.header(extra).encode()
        return head + b"\n" + body.encode("utf-8" if charset == "utf-8" else "latin-1", "replace")

    def boundary(self):
        return "=_%032x" % self.rng.getrandbits(128)

    def text_and_html(self, size):
        boundary = self.boundary()
        text = self.pools.cut(self.rng, self.pools.plain_text, size // 3)
        html = self.pools.cut(self.rng, self.pools.high_text, size // 2)
        html = "<p>" + html.replace("\n", "=20<br>=\n").replace("ü", "=C3=BC") + "</p>"
        return ("Content-Type: multipart/alternative; boundary=\"%s\"" % boundary,
                "--%s\nContent-Type: text/plain; charset=us-ascii\n\n%s\n"
                "--%s\nContent-Type: text/html; charset=utf-8\n"
                "Content-Transfer-Encoding: quoted-printable\n\n%s\n--%s--\n"
                % (boundary, text, boundary, html, boundary))

    def alternative(self, size):
        content_type, body = self.text_and_html(size)
        return (self.header(["MIME-Version: 1.0", content_type]) + "\n" + body).encode()

    def with_attachment(self, size):
        boundary = self.boundary()
        content_type, body = self.text_and_html(min(8192, size // 3))
        head = self.header(["MIME-Version: 1.0",
                            "Content-Type: multipart/mixed; boundary=\"%s\"" % boundary])
        before = ("%s\nThis is a message with several parts.\n--%s\n%s\n\n%s\n--%s\n"
                  "Content-Type: application/pdf; name=\"scan %d.pdf\"\n"
                  "Content-Disposition: attachment\nContent-Transfer-Encoding: base64\n\n"
                  % (head, boundary, content_type, body, boundary, self.number)).encode()
        return (before + self.pools.cut_base64(self.rng, size - len(before)) +
                ("\n--%s--\n" % boundary).encode())


def write_maildir(path, generator, count, seed, uidlist):
    for name in ("cur", "new", "tmp"):
        os.makedirs(os.path.join(path, name), exist_ok=True)
    lines = []
    for number, (arrival, octets) in enumerate(generator.messages(count), 1):
        base = "%d.M%06dP%dQ%d.sample" % (arrival, number % 1000000, seed % 99991, number)
        name = "new/" + base if number % 10 == 0 else "cur/" + base + ":2,S"
        with open(os.path.join(path, name), "wb") as f:
            f.write(octets)
        lines.append("%d :%s\n" % (number, base))
    if uidlist:
        with open(os.path.join(path, "dovecot-uidlist"), "w") as f:
            f.write("3 V%d N%d G%032x\n" % (FIRST_ARRIVAL, count + 1, seed))
            f.writelines(lines)


def quote(octets):
    """mboxrd: one more ">" before every line of >*From_."""
    if b"From " not in octets:
        return octets
    lines = octets.split(b"\n")
    return b"\n".join(b">" + line if line.lstrip(b">").startswith(b"From ") else line
                      for line in lines)


def write_mbox(path, generator, count):
    with open(path, "wb") as f:
        for arrival, octets in generator.messages(count):
            octets = octets.replace(b"\r\n", b"\n")
            date = time.strftime("%a %b %e %H:%M:%S %Y", time.gmtime(arrival))
            f.write(b"From sender@example.org %s\n" % date.encode())
            f.write(quote(octets))
            f.write(b"\n" if octets.endswith(b"\n") else b"\n\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--maildir", metavar="DIRECTORY")
    target.add_argument("--mbox", metavar="FILE")
    parser.add_argument("--messages", type=int, default=300, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--max-size", type=int, default=8 << 20, metavar="OCTETS")
    parser.add_argument("--fixed-size", type=int, default=0, metavar="OCTETS")
    parser.add_argument("--uidlist", action="store_true",
                        help="write a dovecot-uidlist into the Maildir")
    args = parser.parse_args()
    generator = Generator(args.seed, args.max_size, args.fixed_size)
    if args.maildir:
        write_maildir(args.maildir, generator, args.messages, args.seed, args.uidlist)
    else:
        write_mbox(args.mbox, generator, args.messages)


if __name__ == "__main__":
    main()
