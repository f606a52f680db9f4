"""What scanners find in our TLS, through both doors: nothing above LOW that is ours.

Not one of the test_*.py: it takes a minute, so it runs once, with the release (tests/run).  What is accepted
is named here with its reason; a scanner that says anything else fails the test.
"""
import json
import os
import re
import subprocess
import time
import unittest
import xml.etree.ElementTree

import harness
import tls

HOST = "localhost"
DOORS = ("implicit", "stls")
# Protocols, cipher categories, forward secrecy, preferences, certificate, vulnerabilities, odd ClientHellos.
CHECKS = ("-p", "-s", "-f", "-P", "-S", "-U", "-g")
HARMLESS = ("OK", "INFO", "LOW", "DEBUG")
MINUTES_MAX = 4

# (finding's id, what it says): why that is well.
ACCEPTED = {
    ("engine_problem", r"No engine or GOST support"):
        "said of the scanner's own openssl",
    ("GREASE", r"Server fails if ClientHello contains an application_layer_protocol_negotiation extension\."):
        "it offers HTTP alone: RFC 7301, section 3.2, has us refuse (no_application_protocol), which is what keeps "
        "a browser from being talked into speaking to a mail server (ALPACA)",
    ("sessionresumption_ticket", r"check failed because of connect problem"):
        "its openssl s_client has no input and is at times gone before the ticket of TLS 1.3 has come; "
        "test_tls_interop.py resumes by tickets in both versions",
}


class Scan(harness.Case):
    def tls_site(self, door):
        """An ECDSA and an RSA key, as an operator would have them: 200 days, a list of revocations."""
        more = ("crlDistributionPoints=URI:http://localhost/revoked.crl", "keyUsage=digitalSignature",
                "extendedKeyUsage=serverAuth")
        issued = [tls.issued(HOST, kind, days=200, more=more) for kind in ("ecdsa", "rsa")]
        self.roots = [files[2] for files in issued]
        settings = tls.settings(*(files[:2] for files in issued))
        return self.site(listener={"tls": '"%s"' % door, "plaintext_auth": "no"}, tls_deadline_s="60", **settings)

    def start_testssl(self, site, door):
        scanner = subprocess.Popen(
            ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1",
             "--add-ca", ",".join(self.roots), "--jsonfile", os.path.join(site.directory, "findings.json"), *CHECKS,
             *(["--starttls", "pop3"] if door == "stls" else []), "%s:%d" % (HOST, site.port)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            cwd=site.directory)
        self.addCleanup(scanner.stdout.close)
        self.addCleanup(scanner.kill)
        return scanner

    def check_findings(self, site, said):
        with open(os.path.join(site.directory, "findings.json")) as f:
            findings = json.load(f)
        by_id = {f["id"]: f["finding"] for f in findings}
        # it got through, and saw what we are
        for name, seen in (("TLS1_2", "offered"), ("TLS1_3", "offered with final"), ("SSLv3", "not offered"),
                           ("TLS1_1", "not offered"), ("PFS", "offered"), ("heartbleed", "not vulnerable")):
            self.assertIn(seen, by_id.get(name, "nothing said of " + name), said)
        self.assertEqual(set(by_id["PFS_ECDHE_curves"].split()), {"prime256v1", "secp384r1", "X25519"})
        for finding in findings:
            if finding["severity"] not in HARMLESS:
                self.assertTrue(any(finding["id"] == name and re.match(text, finding["finding"])
                                    for name, text in ACCEPTED), finding)

    def test_testssl(self):
        """Both doors at the same time."""
        harness.needs("testssl", "openssl")
        sites = {door: self.tls_site(door) for door in DOORS}
        scanners = {door: self.start_testssl(sites[door], door) for door in DOORS}
        for door, scanner in scanners.items():
            said, _ = scanner.communicate(timeout=MINUTES_MAX * 60)
            self.check_findings(sites[door], said)

    def sslscan(self, site, door):
        path = os.path.join(site.directory, "scan.xml")
        done = subprocess.run(["sslscan", "--xml=" + path, "--no-colour",
                               *(["--starttls-pop3"] if door == "stls" else []), "%s:%d" % (HOST, site.port)],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return xml.etree.ElementTree.parse(path).find("ssltest")

    def test_sslscan(self):
        """Its hello for TLS 1.2 names 344 cipher suites, wolfSSL 5.5.4 reads 150 at most and refuses it
        (decode_error), so it takes TLS 1.2 for disabled: what there is of that is left to testssl.  Its key share
        is octets drawn anew each second; where the last bit is set, which is never so in a public key of X25519,
        wolfSSL refuses it.  So it is asked until it has had luck."""
        harness.needs("sslscan")
        for door in DOORS:
            site = self.tls_site(door)
            protocols, ciphers, groups = set(), set(), set()
            ends = time.monotonic() + 60
            while time.monotonic() < ends:
                test = self.sslscan(site, door)
                protocols |= {p.get("type") + p.get("version") for p in test.iter("protocol")
                              if p.get("enabled") == "1"}
                ciphers |= {c.get("cipher") for c in test.iter("cipher")}
                groups |= {g.get("name").split()[0] for g in test.iter("group")}
                self.assertLessEqual({h.get("vulnerable") for h in test.iter("heartbleed")}, {"0"})
                self.assertLessEqual({r.get("supported") for r in test.iter("renegotiation")}, {"0"})
                if ciphers and "x25519" in groups:
                    break
                time.sleep(0.3)
            self.assertEqual(protocols, {"tls1.3"})
            self.assertEqual(ciphers, {"TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256",
                                       "TLS_AES_256_GCM_SHA384"})
            self.assertEqual(groups, {"x25519", "secp256r1", "secp384r1"})
            site.stop()


if __name__ == "__main__":
    unittest.main()
