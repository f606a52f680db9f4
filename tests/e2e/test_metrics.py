"""What the server counts: told in a form that can be read, and true."""
import http.client
import json
import os
import re
import socket
import ssl
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness
import tls

LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*"'
SAMPLE = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(%s(?:,%s)*)\})? ([0-9]+)" % (LABEL, LABEL))


class LocalConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=harness.WAIT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def read_exposition(text):
    """Prometheus' text format, version 0.0.4, strictly: {(name, labels): value}."""
    kinds, values, last = {}, {}, None
    if not text.endswith("\n"):
        raise AssertionError("no line end at the end")
    for line in text.splitlines():
        word = line.split(" ", 3)
        if word[:2] == ["#", "HELP"]:
            if word[2] in kinds or not word[3]:
                raise AssertionError("a second help, or an empty one: " + line)
            kinds[word[2]] = None
        elif word[:2] == ["#", "TYPE"]:
            if kinds.get(word[2], "") is not None or word[3] not in ("counter", "gauge"):
                raise AssertionError("a type without its help, or no type: " + line)
            kinds[word[2]] = word[3]
            last = word[2]
        else:
            sample = SAMPLE.fullmatch(line)
            if not sample or sample.group(1) != last:
                raise AssertionError("no sample, or one out of its place: " + line)
            name, labels, value = sample.groups()
            if (kinds[name] == "counter") != name.endswith("_total") or (name, labels) in values:
                raise AssertionError("a name that does not fit, or twice: " + line)
            values[name, labels or ""] = int(value)
    return values


class MetricsCase(harness.Case):
    def metrics_site(self, **more):
        self.port = harness.free_port()
        return self.site(metrics='"127.0.0.1:%d"' % self.port, shards="2", **more)

    def ask(self, path="/metrics", method="GET", body=None, connection=None):
        c = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=harness.WAIT_S)
        c.request(method, path, body)
        answer = c.getresponse()
        text = answer.read().decode()
        c.close()
        return answer, text

    def values(self):
        answer, text = self.ask()
        self.assertEqual(answer.status, 200)
        self.assertTrue(answer.getheader("Content-Type").startswith("text/plain; version=0.0.4"))
        return read_exposition(text)

    def assert_moved(self, before, wanted):
        """Exactly these have moved, all others are what they were.  Octets on the wire are not looked at."""
        def moved(now):
            return {key: now[key] - before[key] for key in now
                    if now[key] != before[key] and not re.match("ringpost_(sent|received)_octets", key[0])}
        deadline = time.monotonic() + harness.WAIT_S
        while moved(self.values()) != wanted and time.monotonic() < deadline:
            time.sleep(0.02)
        self.assertEqual(moved(self.values()), wanted)


class Truth(MetricsCase):
    MESSAGES = [b"Subject: %d\n\nline\n" % n for n in range(5)]

    def of_listener(self, name):
        keys = [key for key in self.values() if key[0] == name]
        self.assertEqual(len(keys), 1)
        return keys[0]

    def test_a_session_is_counted_once(self):
        site = self.metrics_site(messages=self.MESSAGES, listener={"plaintext_auth": "yes"})
        before = self.values()
        there, ever = self.of_listener("ringpost_sessions"), self.of_listener("ringpost_connections_total")
        self.assertIn('listener="test",protocol="pop3",tls="off"', there[1])
        with site.pop() as pop:
            self.assertTrue(pop.line().startswith(b"+OK"))
            self.assert_moved(before, {there: 1, ever: 1})
            pop.ok("USER alice")
            self.assertTrue(pop.command("PASS wrong").startswith(b"-ERR"))
            pop.ok("USER alice")
            pop.ok("PASS " + harness.SECRET)
            octets = 0
            for n in (1, 2, 3):
                octets += int(pop.ok("RETR %d" % n).split()[1])
                while pop.line() != b".\r\n":
                    pass
            pop.command_multi("TOP 4 0")
            pop.ok("DELE 1")
            pop.ok("DELE 2")
            pop.ok("QUIT")
        self.assert_moved(before, {
            ever: 1,
            ("ringpost_account_lookups_total", 'source="lmdb",outcome="found"'): 2,
            ("ringpost_logins_total", 'outcome="good"'): 1,
            ("ringpost_logins_total", 'outcome="bad"'): 1,
            ("ringpost_messages_retrieved_total", ""): 3,
            ("ringpost_retrieved_octets_total", ""): octets,
            ("ringpost_messages_topped_total", ""): 1,
            ("ringpost_messages_deleted_total", ""): 2,
        })

    def test_octets_of_sockets(self):
        raw = b"Subject: large\n\n" + b"0123456789\n" * 50000
        site = self.metrics_site(messages=[raw])
        wanted = harness.on_the_wire(raw)
        before = self.values()
        with site.session() as pop:
            pop.send("RETR 1\r\n")
            pop.exactly(len(wanted))
            pop.ok("QUIT")
        self.assertEqual(len(site.wait_for_events("session_end")), 1)
        now = self.values()
        sent, received = (now["ringpost_%s_octets_total" % way, ""] - before["ringpost_%s_octets_total" % way, ""]
                          for way in ("sent", "received"))
        self.assertEqual(received, len("USER alice\r\nPASS \r\nRETR 1\r\nQUIT\r\n" + harness.SECRET))
        self.assertTrue(len(wanted) < sent < len(wanted) + 300, (sent, len(wanted)))

    def test_who_is_turned_away(self):
        site = self.metrics_site(connections_per_address="1")
        before = self.values()
        with site.pop() as first:
            first.line()
            with site.pop() as second:
                second.rest()
            after = self.values()
            key = ("ringpost_turned_away_total", 'why="connections_per_address"')
            self.assertEqual(after[key] - before[key], 1)
            self.assertEqual(after[self.of_listener("ringpost_sessions")], 1)

    def test_handshakes(self):
        pair = tls.certificate("mail.example.org")
        site = self.metrics_site(listener={"tls": '"implicit"', "plaintext_auth": "no"}, ktls='"off"',
                                 **tls.settings(pair))
        before, context, kept = self.values(), tls.context(ssl.TLSVersion.TLSv1_3), None
        for _ in range(3):
            with tls.TlsPop(site.port, context=context, session=kept) as pop:
                pop.login()
                kept = pop.socket.session
                pop.ok("QUIT")
                pop.clean_rest()
        with site.pop() as pop:
            pop.send("this is no TLS\r\n")
            pop.rest()
        self.assert_moved(before, {
            self.of_listener("ringpost_connections_total"): 4,
            ("ringpost_account_lookups_total", 'source="lmdb",outcome="found"'): 3,
            ("ringpost_logins_total", 'outcome="good"'): 3,
            ("ringpost_tls_handshakes_total", 'kind="all"'): 3,
            ("ringpost_tls_handshakes_total", 'kind="resumed"'): 2,
            ("ringpost_tls_records_total", 'ktls="no",why="setting"'): 3,
            ("ringpost_tls_failures_total", 'why="not_tls"'): 1,
        })


class Listener(MetricsCase):
    def test_only_what_is_there_and_only_get(self):
        self.metrics_site()
        self.assertEqual(self.ask("/")[0].status, 404)
        self.assertEqual(self.ask("/metrics/x")[0].status, 404)
        self.assertEqual(self.ask(method="POST", body=b"x" * 100000)[0].status, 405)
        answer, text = self.ask(method="HEAD")
        self.assertEqual((answer.status, text), (200, ""))
        self.assertGreater(int(answer.getheader("Content-Length")), 1000)

    def test_garbage_and_idlers_harm_nobody(self):
        site = self.metrics_site()
        held = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(10)]
        for s in held:
            s.sendall(b"\x16\x03\x01" + os.urandom(200))
        self.values()
        with site.session() as pop:
            pop.ok("QUIT")
        for s in held:
            s.close()

    def test_a_local_socket_and_the_command(self):
        site = self.site(start=False)
        path = os.path.join(site.directory, "metrics.sock")
        site.settings["metrics"] = '"%s"' % path
        site.write_config()
        done = site.ringpost("metrics", check=False)
        self.assertIn(b"does the server run", done.stderr)
        site.start()
        _, text = self.ask(connection=LocalConnection(path))
        values = read_exposition(text)
        printed = read_exposition(site.ringpost("metrics").stdout.decode())
        self.assertEqual(printed.keys(), values.keys())
        samples = [json.loads(line) for line in site.ringpost("metrics", "--json").stdout.splitlines()]
        self.assertEqual({(s["metric"], s["labels"]) for s in samples}, set(values))
        self.assertEqual(oct(os.stat(path).st_mode & 0o777), "0o660")

    def test_off_by_default(self):
        site = self.site()
        done = site.ringpost("metrics", check=False)
        self.assertEqual(done.returncode, 78)  # EX_CONFIG
        self.assertIn(b"set `metrics`", done.stderr)

    def test_a_taken_port_is_one_clear_line(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            site = self.site(start=False, metrics='"127.0.0.1:%d"' % taken.getsockname()[1])
            done = site.ringpost(program=harness.RINGPOSTD, check=False)
        self.assertEqual(done.returncode, harness.EX_UNAVAILABLE)
        said = done.stderr.decode().strip()
        self.assertIn("setting `metrics`", said)
        self.assertEqual(len(said.splitlines()), 1, said)

    def test_nonsense_is_refused(self):
        site = self.site(users=(), start=False, metrics='"nowhere"')
        done = site.ringpost("metrics", check=False)
        self.assertIn(b"neither an address with a port nor the path of a socket", done.stderr)

    def test_the_document_is_what_the_server_has(self):
        site = self.site()
        made = site.ringpost("metrics", "--reference").stdout
        with open(os.path.join(harness.ROOT, "docs/METRICS.md"), "rb") as f:
            self.assertEqual(f.read(), made, "ringpost metrics --reference > docs/METRICS.md")


if __name__ == "__main__":
    unittest.main()
