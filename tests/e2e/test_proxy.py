"""Behind a proxy: PROXY protocol and XCLIENT, by hand, whole, cut and damaged; and a real HAProxy."""
import os
import re
import socket
import ssl
import struct
import time
import unittest

import harness
import tls
from proxies import Program, example

PROXY, OTHER = "127.0.0.1", "127.0.0.2"
CLIENT = "192.0.2.7"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def line(source=CLIENT, port=12345, family="TCP4", target="192.0.2.1"):
    """Version 1."""
    return ("PROXY %s %s %s %d 110\r\n" % (family, source, target, port)).encode()


def value(kind, octets):
    return struct.pack(">BH", kind, len(octets)) + octets


def crc32c(octets):
    crc = 0xffffffff
    for octet in octets:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def binary(source=CLIENT, port=12345, values=b"", command=0x21, checksum=None):
    """Version 2; `checksum` True: a good one, False: a wrong one."""
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    ends = socket.inet_pton(family, source) * 2 + struct.pack(">HH", port, 110)
    if checksum is not None:
        values += value(3, bytes(4))
    body = ends + values
    header = SIGNATURE + struct.pack(">BBH", command, 0x21 if ":" in source else 0x11, len(body))
    made = header + body
    if checksum is not None:
        made = made[:-4] + struct.pack(">I", crc32c(made) ^ (not checksum))
    return made


def spoke_tls(name=b""):
    values = value(0x21, b"TLSv1.3") + value(0x23, b"TLS_AES_128_GCM_SHA256")
    if name:
        values += value(0x22, name)
    return value(0x20, struct.pack(">BI", 7 if name else 1, 0) + values)


class ProxyCase(harness.Case):
    def proxied(self, listener=None, **more):
        listener = {"proxy_protocol": "on", "proxy_networks": '{"%s"}' % PROXY, **(listener or {})}
        return self.site(listener=listener, shards="1", **more)  # so that the log is in order

    def named(self, site, count=1):
        return site.wait_for_events("client_named", count)

    def refused(self, pop):
        """Nothing is said, and the connection ends."""
        self.assertEqual(pop.rest(), b"")


class Header(ProxyCase):
    def test_the_client_is_who_the_header_says(self):
        site = self.proxied()
        for header, source, port in (
                (line(), CLIENT, 12345),
                (line("2001:db8::7", 1, "TCP6", "::1"), "2001:db8::7", 1),
                (line("::ffff:192.0.2.9", 2, "TCP6", "::1"), "192.0.2.9", 2),
                (binary(), CLIENT, 12345),
                (binary("2001:db8::8", 65535), "2001:db8::8", 65535),
                (binary(values=value(0xee, b"of the future") + value(4, b""), checksum=True), CLIENT, 12345)):
            with self.subTest(header=header):
                before = len(site.events("session_end"))
                with site.pop() as pop:
                    pop.send(header)
                    pop.login()
                    pop.ok("QUIT")
                ended = site.wait_for_events("session_end", before + 1)[-1]
                self.assertEqual((ended["peer"], ended["port"], ended["why"]), (source, str(port), "quit"))
                named = self.named(site)[-1]
                self.assertEqual((named["peer"], named["proxy"], named["by"]), (source, PROXY, "header"))

    def test_every_cut_and_what_comes_behind(self):
        """What follows the header, in the same packet or not, is the client's."""
        site = self.proxied()
        commands = b"USER alice\r\nPASS secret\r\nSTAT\r\nQUIT\r\n"
        answers = []
        for header in (line(), binary(values=spoke_tls(b"alice"), checksum=True)):
            for cut in [*range(0, len(header) + 1, 1 + len(header) // 40), len(header) + 3]:
                with site.pop() as pop:
                    whole = header + commands
                    pop.send(whole[:cut])
                    time.sleep(0.002)
                    pop.send(whole[cut:])
                    answers.append(pop.rest())
            with site.pop() as pop:  # octet by octet
                for octet in header:
                    pop.send(bytes([octet]))
                pop.send(commands)
                answers.append(pop.rest())
        self.assertEqual(len(set(answers)), 1, set(answers))
        self.assertTrue(answers[0].endswith(b"+OK 0 0\r\n+OK goodbye\r\n"), answers[0])

    def test_local_and_unknown_keep_the_peer(self):
        site = self.proxied()
        for header in (binary(command=0x20), SIGNATURE + b"\x20\0\0\0", SIGNATURE + b"\x21\0\0\0",
                       b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ff:: ff:: 1 2\r\n"):
            before = len(site.events("session_end"))
            with site.pop() as pop:
                pop.send(header)
                pop.login()
                pop.ok("QUIT")
            self.assertEqual(site.wait_for_events("session_end", before + 1)[-1]["peer"], PROXY)
        self.assertEqual(site.events("client_named"), [])

    def test_damaged_ones_end_the_connection(self):
        site = self.proxied()
        wrong = [b"CAPA\r\n", b"\x16\x03\x01\x00\x05", line()[:-2] + b"\n", line(port=65536),
                 line(family="TCP6"), b"PROXY TCP4 " + b"x" * 100, binary(checksum=False),
                 binary(values=b"\x01\xff\xff"), binary(command=0x31),
                 SIGNATURE + b"\x21\x12\0\x0c" + bytes(12), SIGNATURE + b"\x21\x11\x04\x01"]
        for header in wrong:
            with site.pop() as pop:
                pop.send(header)
                self.refused(pop)
        refused = site.wait_for_events("client_refused", len(wrong))
        self.assertEqual({(e["by"], e["why"], e["peer"]) for e in refused},
                         {("header", "malformed", PROXY)})
        self.assertEqual(len(refused), len(wrong))
        self.assertEqual({e["why"] for e in site.wait_for_events("session_end", len(wrong))},
                         {"proxy_header"})

    def test_who_says_nothing_is_not_waited_for(self):
        site = self.proxied()
        with site.pop() as silent, site.pop() as slow:
            slow.send(line()[:-1])
            started = time.monotonic()
            self.refused(silent)
            self.refused(slow)
            self.assertLess(time.monotonic() - started, 8)
        self.assertEqual([e["why"] for e in site.wait_for_events("client_refused", 2)], ["deadline"] * 2)

    def test_a_header_from_elsewhere_is_refused(self):
        site = self.proxied()
        for header in (line(), binary(), b"CAPA\r\n"):
            with site.pop(source=OTHER) as pop:
                self.assertEqual(pop.line(), b"-ERR [SYS/PERM] not from your network\r\n")
                self.refused(pop)
        turned_away = site.wait_for_events("guest_turned_away")[0]
        self.assertEqual((turned_away["why"], turned_away["peer"]), ("network", OTHER))
        self.assertEqual(site.events("client_named"), [])

    def test_without_the_setting_a_header_is_no_command(self):
        site = self.site()
        with site.pop() as pop:
            pop.line()
            self.assertEqual(pop.command(line()[:-2]), b"-ERR unknown command\r\n")

    def test_networks_are_asked_for_the_client(self):
        site = self.proxied({"networks": '{"192.0.2.0/24"}'})
        with site.pop() as pop:
            pop.send(line())
            pop.login()
        with site.pop() as pop:
            pop.send(line("198.51.100.7"))
            self.assertEqual(pop.rest(), b"-ERR [SYS/PERM] not from your network\r\n")
        self.assertEqual(site.wait_for_events("guest_turned_away")[0]["peer"], "198.51.100.7")
        self.assertEqual(site.wait_for_events("session_end", 2)[-1]["why"], "turned_away")

    def test_clients_are_counted_and_not_the_proxy(self):
        site = self.proxied(connections_per_address="2", connections="6")
        pops = []
        for source in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2"):
            pops.append(site.pop())
            pops[-1].send(line(source))
            self.assertTrue(pops[-1].line().startswith(b"+OK"))
        with site.pop() as third:
            third.send(line("192.0.2.1"))
            self.assertEqual(third.rest(), b"-ERR [SYS/TEMP] too many connections, try later\r\n")
        pops.pop(0).close()
        site.wait_for_events("session_end", 2)
        with site.pop() as again:
            again.send(line("192.0.2.1"))
            again.login()
        site.wait_for_events("session_end", 3)
        # who has not said its header counts too: there is room for three
        silent = [site.pop() for _ in range(8)]
        self.assertEqual(sorted(pop.rest() for pop in silent),
                         [b""] * 3 + [b"-ERR [SYS/TEMP] too many connections, try later\r\n"] * 5)
        for pop in pops + silent:
            pop.close()
        deadline = time.monotonic() + 10  # and nobody is counted for ever
        while True:
            try:
                with site.pop() as pop:
                    pop.send(line())
                    pop.login()
                break
            except (AssertionError, OSError):
                self.assertLess(time.monotonic(), deadline)

    def test_failed_logins_and_last_logins_name_the_client(self):
        site = self.proxied()
        with site.pop() as pop:
            pop.send(line())
            pop.line()
            pop.ok("USER alice")
            self.assertTrue(pop.command("PASS wrong").startswith(b"-ERR [AUTH]"))
        self.assertEqual(site.wait_for_events("login_failed")[0]["peer"], CLIENT)
        with site.pop() as pop:
            pop.send(line("192.0.2.8"))
            pop.login()
            pop.ok("QUIT")
        site.stop()
        self.assertIn(b"192.0.2.8", site.ringpost("user", "show", "alice@example.org").stdout)

    def test_a_drain_does_not_wait_for_headers(self):
        site = self.proxied()
        with site.pop() as pop:
            pop.send(line()[:5])
            time.sleep(0.1)
            started = time.monotonic()
            self.assertEqual(site.stop(), 0)
            self.assertLess(time.monotonic() - started, 3)

    def test_settings_that_do_not_fit_together(self):
        for listener, words in (({"proxy_protocol": "on"}, b"needed: proxy_networks"),
                                ({"proxy_networks": '{"::1"}'}, b"needed: proxy_protocol = on"),
                                ({"proxy_tls": "yes"}, b"needed: proxy_protocol = on"),
                                ({"xclient_networks": '{"nowhere"}'}, b"it is no network")):
            site = self.site(users=(), listener=listener, start=False)
            self.assertIn(words, site.ringpost("user", "list", check=False).stderr)

    def test_lmtp_and_a_local_socket(self):
        site = self.site(lmtp={"proxy_protocol": "on", "proxy_networks": '{"%s"}' % PROXY},
                         log_sessions="yes")
        with site.lmtp() as lmtp:
            lmtp.send(binary("2001:db8::7", 4321))
            lmtp.hello()
            self.assertTrue(lmtp.send_mail(b"Subject: x\n\nx\n", "alice")[0].startswith(b"250"))
            lmtp.say("QUIT", 221)
        with harness.Lmtp(site.lmtp_path, hello=None) as local:
            local.send(line())
            local.hello()
            self.assertTrue(local.send_mail(b"Subject: y\n\ny\n", "alice")[0].startswith(b"250"))
            local.say("QUIT", 221)
        self.assertEqual({e["peer"] for e in site.wait_for_events("session_end", 2)},
                         {"2001:db8::7", CLIENT})
        with site.session() as pop:
            self.assertIn(b"([IPv6:2001:db8::7])", pop.command_multi("RETR 1"))
            self.assertIn(b"([192.0.2.7])", pop.command_multi("RETR 2"))


class HeaderAndTls(ProxyCase):
    def tls_site(self, **listener):
        return self.proxied(listener, **tls.settings(tls.certificate("mail.example.org")))

    def secured(self, site, header):
        """Implicit TLS behind a header, in one packet with it."""
        pop = site.pop()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        stream = tls.context().wrap_bio(incoming, outgoing, server_hostname="mail.example.org")
        pending = header
        while True:
            try:
                stream.do_handshake()
                break
            except ssl.SSLWantReadError:
                pop.send(pending + outgoing.read())
                pending = b""
                incoming.write(pop.socket.recv(65536))
        pop.send(outgoing.read())
        return pop, stream, incoming, outgoing

    def test_implicit_tls_begins_behind_the_header(self):
        site = self.tls_site(tls="implicit", plaintext_auth="no")
        for header in (line(), binary(checksum=True)):
            pop, stream, incoming, outgoing = self.secured(site, header)
            said = b""
            stream.write(b"USER alice\r\nPASS secret\r\nQUIT\r\n")
            pop.send(outgoing.read())
            while b"goodbye" not in said:
                try:
                    said += stream.read(4096)
                except ssl.SSLWantReadError:
                    incoming.write(pop.socket.recv(65536))
            pop.close()
        for ended in site.wait_for_events("session_end", 2):
            self.assertEqual((ended["peer"], ended["tls"], ended["why"]), (CLIENT, "1.3", "quit"))

    def test_clear_octets_behind_the_header_are_no_commands(self):
        site = self.tls_site(tls="implicit")
        with site.pop() as pop:
            pop.send(line() + b"USER alice\r\nPASS secret\r\nQUIT\r\n")
            self.assertNotIn(b"+OK", pop.rest())
        self.assertEqual(site.wait_for_events("tls_failed")[0]["peer"], CLIENT)

    def test_stls_behind_the_header(self):
        site = self.tls_site(tls="stls", plaintext_auth="no")
        with site.pop() as pop:
            pop.send(line())
            pop.line()
            self.assertIn(b"STLS\r\n", pop.command_multi("CAPA"))
            pop.ok("STLS")
            pop.socket = tls.context().wrap_socket(pop.socket, server_hostname="mail.example.org")
            pop.ok("USER alice")
            pop.ok("PASS secret")

    def test_tls_to_the_proxy_counts_by_setting_only(self):
        for counts in ("no", "yes"):
            site = self.proxied({"plaintext_auth": "no", "proxy_tls": counts})
            for values, spoke in ((spoke_tls(b"alice"), True), (b"", False)):
                with self.subTest(counts=counts, spoke=spoke), site.pop() as pop:
                    pop.send(binary(values=values))
                    pop.line()
                    takes = pop.command("USER alice").startswith(b"+OK")
                    self.assertEqual(takes, counts == "yes" and spoke)
            named = self.named(site, 2)
            self.assertEqual([(e["tls"], e["version"], e["certificate"]) for e in named],
                             [("yes", "TLSv1.3", "alice"), ("no", "", "")])

    def test_version_1_says_nothing_of_tls(self):
        site = self.proxied({"plaintext_auth": "no", "proxy_tls": "yes"})
        with site.pop() as pop:
            pop.send(line())
            pop.line()
            self.assertTrue(pop.command("USER alice").startswith(b"-ERR"))


class Xclient(ProxyCase):
    def trusting(self, listener=None, **more):
        return self.site(listener={"xclient_networks": '{"%s"}' % PROXY, **(listener or {})},
                         shards="1", **more)

    def trusting_lmtp(self, **listener):
        return self.site(lmtp={"xclient_networks": '{"%s"}' % PROXY, **listener})

    def test_pop3_names_the_client(self):
        site = self.trusting()
        with site.pop() as pop:
            self.assertTrue(pop.line().startswith(b"+OK [XCLIENT] "))
            self.assertEqual(pop.command("XCLIENT ADDR=192.0.2.7 PORT=4711 SESSION=s1 TTL=1 LOGIN=al"),
                             b"+OK updated\r\n")
            pop.ok("USER alice")
            pop.command("PASS wrong")
            pop.ok("USER alice")
            pop.ok("PASS secret")
            pop.ok("QUIT")
        self.assertEqual(site.wait_for_events("login_failed")[0]["peer"], CLIENT)
        ended = site.wait_for_events("session_end")[0]
        self.assertEqual((ended["peer"], ended["port"]), (CLIENT, "4711"))
        named = self.named(site)[0]
        self.assertEqual((named["by"], named["proxy"], named["session"], named["login"]),
                         ("xclient", PROXY, "s1", "al"))

    def test_from_elsewhere_it_is_refused_once(self):
        site = self.trusting()
        with site.pop(source=OTHER) as pop:
            self.assertNotIn(b"XCLIENT", pop.line())
            self.assertNotIn(b"XCLIENT", pop.command_multi("CAPA"))
            pop.send("XCLIENT ADDR=192.0.2.7\r\nUSER alice\r\nPASS secret\r\n")
            self.assertEqual(pop.rest(), b"-ERR [SYS/PERM] XCLIENT is not taken from your network\r\n")
        refused = site.wait_for_events("client_refused")
        self.assertEqual([(e["by"], e["why"], e["peer"]) for e in refused],
                         [("xclient", "not_allowed", OTHER)])
        self.assertEqual(site.wait_for_events("session_end")[0]["why"], "xclient")

    def test_limits_and_networks_are_asked_for_the_client(self):
        site = self.trusting(connections_per_address="1", listener={"networks": '{"192.0.2.0/24"}'})
        with site.pop() as first, site.pop() as second, site.pop() as third:
            for pop in (first, second, third):
                pop.line()
            first.ok("XCLIENT ADDR=192.0.2.7")
            second.send("XCLIENT ADDR=192.0.2.7\r\n")
            self.assertEqual(second.rest(), b"-ERR [SYS/TEMP] too many connections, try later\r\n")
            third.send("XCLIENT ADDR=198.51.100.7\r\n")
            self.assertEqual(third.rest(), b"-ERR [SYS/PERM] not from your network\r\n")
            first.ok("XCLIENT ADDR=192.0.2.8")  # its old place is free again
            with site.pop() as pop:
                pop.line()
                pop.ok("XCLIENT ADDR=192.0.2.7")
        self.assertEqual([e["why"] for e in site.wait_for_events("session_end", 4)].count("turned_away"), 2)

    def test_behind_a_header_it_is_the_client_who_must_be_trusted(self):
        site = self.proxied({"xclient_networks": '{"192.0.2.7"}'})
        for source, allowed in (("192.0.2.7", True), ("192.0.2.8", False)):
            with site.pop() as pop:
                pop.send(line(source))
                pop.line()
                self.assertEqual(pop.command("XCLIENT ADDR=198.51.100.1").startswith(b"+OK"), allowed)

    def test_lmtp_has_it_in_received(self):
        site = self.trusting_lmtp(networks='{"192.0.2.0/24"}')
        with site.lmtp() as lmtp:
            lmtp.hello()
            lmtp.say("XCLIENT NAME=client.example.net ADDR=192.0.2.7 PORT=25 HELO=helo.example.net "
                     "PROTO=ESMTP", 220)
            lmtp.say("LHLO proxy.example.net", 250)
            self.assertTrue(lmtp.send_mail(b"Subject: x\n\nx\n", "alice")[0].startswith(b"250"))
            lmtp.say("QUIT", 221)
        with site.session() as pop:
            self.assertIn(b"Received: from helo.example.net ([192.0.2.7])\r\n", pop.command_multi("RETR 1"))
        ended = [e for e in site.wait_for_events("session_end") if e["protocol"] == "lmtp"][0]
        self.assertEqual((ended["peer"], ended["port"], ended["client"]),
                         (CLIENT, "25", "helo.example.net"))

    def test_lmtp_refuses_others(self):
        site = self.trusting_lmtp()
        with site.lmtp(source=OTHER) as lmtp:
            lmtp.expect(220)
            lmtp.say("XCLIENT ADDR=192.0.2.7", 550)
            self.assertEqual(lmtp.rest(), b"")
        self.assertEqual(site.wait_for_events("client_refused")[0]["protocol"], "lmtp")


class RealHaproxy(ProxyCase):
    """docs/OPERATING.md as it stands there, but for ports and paths."""

    def behind_haproxy(self, certificate=None):
        ours, theirs = example("HAProxy")
        listeners = dict(re.findall(r"listen (\w+) \{\n(.*?)\n\}", ours, re.S))
        settings = {name: dict(re.findall(r"\t(\w+) = (.*)", text)) for name, text in listeners.items()}
        plain, secured = settings["clear"], settings["secured"]
        ports = {"110": harness.free_port(), "995": harness.free_port()}
        site = self.proxied({k: v for k, v in plain.items() if k != "address"}, start=False,
                            **tls.settings(tls.certificate("mail.example.org")))
        other = harness.free_port()
        with open(site.config, "a") as f:
            f.write("listen secured {\n\taddress = \"127.0.0.1:%d\"\n%s}\n" % (other, "".join(
                "\t%s = %s\n" % item for item in secured.items() if item[0] != "address")))
        site.start()
        pem = os.path.join(site.directory, "both.pem")
        with open(pem, "wb") as both:
            for path in tls.certificate("mail.example.org"):
                with open(path, "rb") as f:
                    both.write(f.read())
        config = theirs.replace("/etc/haproxy/mail.pem", pem).replace(":110\n", ":%d\n" % ports["110"])
        config = config.replace(":995 ssl", ":%d ssl" % ports["995"])
        config = config.replace("127.0.0.1:1110", "127.0.0.1:%d" % site.port)
        config = config.replace("127.0.0.1:1111", "127.0.0.1:%d" % other)
        Program(self, site, "haproxy.cfg", config, "haproxy", "-db", "-f").wait_for_port(ports["110"])
        return site, ports["110"], ports["995"]

    def test_the_client_is_seen_through_it(self):
        site, clear, secured = self.behind_haproxy()
        for source in ("127.0.0.2", "127.0.0.3"):
            before = len(site.events("session_end"))
            with tls.TlsPop(clear, stls=True, source=source) as pop:  # TLS is between client and us
                pop.login()
                pop.ok("QUIT")
            ended = site.wait_for_events("session_end", before + 1)[-1]
            self.assertEqual((ended["peer"], ended["tls"]), (source, "1.3"))
        before = len(site.events("session_end"))
        with tls.TlsPop(secured, source="127.0.0.4") as pop:  # HAProxy does it
            pop.login()
            pop.ok("QUIT")
        ended = site.wait_for_events("session_end", before + 1)[-1]
        self.assertEqual((ended["peer"], ended["tls"], ended["listener"]), ("127.0.0.4", "no", "secured"))
        named = [e for e in site.events("client_named") if e["listener"] == "secured"][-1]
        self.assertEqual((named["tls"], named["version"]), ("yes", "TLSv1.3"))
        self.assertNotEqual(named["cipher"], "")

    def test_limits_and_failed_logins_are_the_clients(self):
        site, clear, secured = self.behind_haproxy()
        with tls.TlsPop(secured, source="127.0.0.5") as pop:
            pop.line()
            pop.ok("USER alice")
            self.assertTrue(pop.command("PASS wrong").startswith(b"-ERR [AUTH]"))
        self.assertEqual(site.wait_for_events("login_failed")[0]["peer"], "127.0.0.5")


if __name__ == "__main__":
    unittest.main()
