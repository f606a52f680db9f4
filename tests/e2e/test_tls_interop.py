"""TLS with the clients of other libraries (GnuTLS, OpenSSL): handshakes off the beaten track, both doors.

What mail programs fetch over TLS is in test_tls.py; what scanners find is in scan_tls.py.
"""
import os
import poplib
import re
import subprocess
import unittest

import harness
import tls

MESSAGES = harness.varied_messages(12, seed=9)
HOST = "localhost"
DOORS = ("implicit", "stls")
SESSION = "USER alice\r\nPASS %s\r\nSTAT\r\nQUIT\r\n" % harness.SECRET


class Interop(harness.Case):
    def tls_site(self, door, **more):
        chain, key, self.root, _ = tls.issued(HOST)
        settings = tls.settings((chain, key))
        settings.update(more)
        return self.site(listener={"tls": '"%s"' % door, "plaintext_auth": "no"}, messages=MESSAGES,
                         **settings)

    def run_client(self, *command, said=SESSION, fails=False):
        harness.needs(command[0])
        done = subprocess.run(command, input=said, capture_output=True, text=True, errors="replace",
                              timeout=60)
        if not fails:
            self.assertIn("+OK %d " % len(MESSAGES), done.stdout, done.stdout + done.stderr)
        return done.stdout + done.stderr

    def gnutls(self, site, door, *more, **how):
        return self.run_client("gnutls-cli", "--x509cafile", self.root, "--port", str(site.port),
                               *(["--starttls-proto=pop3"] if door == "stls" else []), *more, HOST,
                               said=SESSION, **how)

    def openssl(self, site, door, *more, **how):
        return self.run_client("openssl", "s_client", "-quiet", "-verify_return_error", "-CAfile", self.root,
                               "-verify_hostname", HOST, "-connect", "127.0.0.1:%d" % site.port,
                               *(["-starttls", "pop3"] if door == "stls" else []), *more, **how)


class GnuTls(Interop):
    def test_versions_ciphers_and_groups(self):
        for door in DOORS:
            site = self.tls_site(door)
            for n, (version, cipher, group) in enumerate((
                    ("1.3", "AES-128-GCM", "X25519"), ("1.3", "AES-256-GCM", "SECP384R1"),
                    ("1.3", "CHACHA20-POLY1305", "SECP256R1"), ("1.2", "AES-128-GCM", "SECP256R1"),
                    ("1.2", "CHACHA20-POLY1305", "X25519:+GROUP-SECP256R1")), 1):
                self.gnutls(site, door, "--priority", "NORMAL:-VERS-ALL:+VERS-TLS%s:-CIPHER-ALL:+%s:"
                            "-GROUP-ALL:+GROUP-%s" % (version, cipher, group))
                event = site.wait_for_events("session_end", n)[-1]
                self.assertEqual((event["tls"], event["cipher"]), (version, cipher))
            site.stop()

    def test_resumption(self):
        for door in DOORS:
            site = self.tls_site(door)
            for version in ("1.2", "1.3"):
                before = len(site.events("session_end"))
                said = self.gnutls(site, door, "--resume", "--priority",
                                   "NORMAL:-VERS-ALL:+VERS-TLS" + version)
                self.assertIn("This is a resumed session", said)
                ends = site.wait_for_events("session_end", before + 2)[before:]
                self.assertCountEqual([e["resumed"] for e in ends], ["no", "yes"])
            site.stop()

    def test_alpn(self):
        for door in DOORS:
            site = self.tls_site(door)
            self.assertRegex(self.gnutls(site, door, "--alpn=imap", "--alpn=pop3"), r"protocol: pop3")
            said = self.gnutls(site, door, "--alpn=imap", fails=True)
            self.assertIn("No supported application protocol", said)
            self.assertEqual([e["why"] for e in site.wait_for_events("tls_failed")], ["alpn"])
            site.stop()


class OpenSsl(Interop):
    def test_hello_retry_request(self):
        """The client's first guess of a group is wrong, and the server asks for another."""
        for door in DOORS:
            site = self.tls_site(door)
            said = self.openssl(site, door, "-tls1_3", "-groups", "P-521:X25519", "-msg")
            self.assertEqual(len(re.findall(r">>> .*ClientHello", said)), 2, said)
            site.stop()

    def test_no_common_group_is_an_alert(self):
        site = self.tls_site("implicit")
        for version, groups in (("-tls1_3", "P-521"), ("-tls1_3", "X448:ffdhe2048"), ("-tls1_2", "secp256k1"),
                                ("-tls1_2", "P-521:X448")):
            said = self.openssl(site, "implicit", version, "-groups", groups, fails=True)
            self.assertIn("alert handshake failure", said)
        self.assertEqual({e["why"] for e in site.wait_for_events("tls_failed", 4)}, {"cipher"})

    def test_a_key_share_that_is_none_is_answered(self):
        """X25519 with a point of small order: wolfSSL refuses it, says nothing by itself, and with
        assembly not before its ServerHello has gone."""
        share = b"\x00\x1d\x00\x20" + bytes(32)
        extensions = b"".join(kind.to_bytes(2, "big") + len(body).to_bytes(2, "big") + body for kind, body in (
            (10, b"\x00\x02\x00\x1d"), (13, b"\x00\x02\x04\x03"), (43, b"\x02\x03\x04"),
            (51, len(share).to_bytes(2, "big") + share)))
        hello = b"\x03\x03" + b"r" * 32 + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
        hello += len(extensions).to_bytes(2, "big") + extensions
        hello = b"\x01" + len(hello).to_bytes(3, "big") + hello
        site = self.tls_site("implicit")
        with site.pop() as pop:
            pop.send(b"\x16\x03\x01" + len(hello).to_bytes(2, "big") + hello)
            said = pop.rest()
            if not said.startswith(b"\x16\x03\x03"):
                self.assertEqual(said, b"\x15\x03\x03\x00\x02\x02\x28")
        self.assertEqual([e["why"] for e in site.wait_for_events("tls_failed")], ["other"])

    def test_resumption_from_a_file(self):
        for door in DOORS:
            site = self.tls_site(door)
            for n, version in enumerate(("-tls1_2", "-tls1_3"), 1):
                path = os.path.join(site.directory, "session" + version)
                self.openssl(site, door, version, "-sess_out", path)
                self.openssl(site, door, version, "-sess_in", path)
                ends = site.wait_for_events("session_end", 2 * n)[-2:]
                self.assertCountEqual([e["resumed"] for e in ends], ["no", "yes"])
            site.stop()

    def test_small_records(self):
        """A handshake and a session in records of 512 octets."""
        for door in DOORS:
            site = self.tls_site(door)
            for version in ("-tls1_2", "-tls1_3"):
                self.openssl(site, door, version, "-max_send_frag", "512", "-split_send_frag", "512",
                             said=SESSION.replace("STAT", "NOOP\r\n" * 300 + "STAT"))
            site.stop()

    def test_chain_and_name_are_those_asked_for(self):
        site = self.tls_site("implicit")
        said = self.openssl(site, "implicit", "-verify_hostname", "elsewhere.example.org", fails=True)
        self.assertIn("hostname mismatch", said)


class Python(Interop):
    def test_poplib_by_both_doors(self):
        for door in DOORS:
            site = self.tls_site(door)
            context = tls.context(trusts=self.root)
            if door == "implicit":
                client = poplib.POP3_SSL(HOST, site.port, context=context, timeout=30)
            else:
                client = poplib.POP3(HOST, site.port, timeout=30)
                client.stls(context)
            client.user("alice")
            client.pass_(harness.SECRET)
            for n, raw in enumerate(MESSAGES, 1):
                lines = client.retr(n)[1]
                self.assert_octets(b"".join(line + b"\r\n" for line in lines), harness.normalised(raw),
                                   "message %d" % n)
            self.assertTrue(client.quit().startswith(b"+OK"))
            site.stop()


if __name__ == "__main__":
    unittest.main()
