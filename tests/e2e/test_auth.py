"""AUTH over the wire: SCRAM by hand and by real clients, tokens of all sizes, APOP, masters."""
import base64
import hashlib
import hmac
import json
import os
import subprocess
import time
import unittest
import warnings

import harness
import tls

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import crypt

ALICE = "alice@" + harness.DOMAIN


def b64(octets):
    return base64.b64encode(octets).decode()


class Scram:
    """RFC 5802 from the document alone, the client's side; with `binding` for -PLUS (RFC 9266)."""

    def __init__(self, name, password, hash_name, binding=None):
        self.header = "n,," if binding is None else "p=tls-exporter,,"
        self.binding = b64(self.header.encode() + (binding or b""))
        self.password, self.hash_name = password.encode(), hash_name
        self.nonce = b64(os.urandom(18))
        self.bare = "n=%s,r=%s" % (name.replace("=", "=3D").replace(",", "=2C"), self.nonce)

    def first(self):
        return b64((self.header + self.bare).encode())

    def final(self, challenge):
        server_first = base64.b64decode(challenge).decode()
        fields = dict(part.split("=", 1) for part in server_first.split(","))
        assert fields["r"].startswith(self.nonce)
        salted = hashlib.pbkdf2_hmac(self.hash_name, self.password, base64.b64decode(fields["s"]),
                                     int(fields["i"]))
        without_proof = "c=%s,r=%s" % (self.binding, fields["r"])
        message = ",".join((self.bare, server_first, without_proof)).encode()
        client_key = self.mac(salted, b"Client Key")
        signature = self.mac(hashlib.new(self.hash_name, client_key).digest(), message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.expected = b"v=" + base64.b64encode(self.mac(self.mac(salted, b"Server Key"), message))
        return b64(("%s,p=%s" % (without_proof, b64(proof))).encode())

    def mac(self, key, message):
        return hmac.new(key, message, self.hash_name).digest()


class Auth(harness.Case):
    def scram(self, pop, mechanism, name, password):
        """The server's last line."""
        hash_name = "sha1" if mechanism.endswith("-1") else "sha256"
        client = Scram(name, password, hash_name)
        said = pop.command("AUTH %s %s" % (mechanism, client.first()))
        if not said.startswith(b"+ "):
            return said
        said = pop.command(client.final(said[2:]))
        if not said.startswith(b"+ "):
            return said
        self.assertEqual(base64.b64decode(said[2:]), client.expected)
        return pop.command("")

    def site_with(self, *accounts, **settings):
        """Accounts (name, scheme), made as an operator would."""
        settings.setdefault("sasl_mechanisms", '"SCRAM-SHA-256 SCRAM-SHA-1 PLAIN LOGIN"')
        site = self.site(users=(), start=False, **settings)
        for name, scheme in accounts:
            site.settings["password_scheme"] = '"%s"' % scheme
            site.write_config()
            site.ringpost("user", "add", name, input=b"secret\n")
        return site.start()

    def login(self, site, mechanism, name, password="secret"):
        with site.pop() as pop:
            pop.line()
            return self.scram(pop, mechanism, name, password)

    def test_scram(self):
        site = self.site_with((ALICE, "scram-sha-256"), ("bob@example.org", "plain"),
                              ("carol@example.org", "yescrypt"), ("a=b,c@example.org", "plain"))
        bad = b"-ERR [AUTH] wrong name or password\r\n"
        for mechanism, name, good in (
                ("SCRAM-SHA-256", ALICE, True), ("SCRAM-SHA-256", "bob@example.org", True),
                ("SCRAM-SHA-1", "bob@example.org", True),
                ("SCRAM-SHA-256", "a=b,c@example.org", True),
                ("SCRAM-SHA-1", ALICE, False),                 # its keys are of the other hash
                ("SCRAM-SHA-256", "carol@example.org", False),  # yescrypt has no keys
                ("SCRAM-SHA-256", "nobody@example.org", False)):
            said = self.login(site, mechanism, name)
            self.assertEqual(said.startswith(b"+OK"), good, (mechanism, name, said))
            self.assertEqual(self.login(site, mechanism, name, "wrong"), bad)
        # The same account takes the password itself too.
        with site.pop() as pop:
            pop.line()
            pop.ok("USER " + ALICE)
            pop.ok("PASS secret")

    def test_an_unknown_name_has_the_same_salt_each_time(self):
        site = self.site_with((ALICE, "scram-sha-256"), shards="1")
        salts = set()
        for _ in range(3):
            with site.pop() as pop:
                pop.line()
                said = pop.command("AUTH SCRAM-SHA-256 " + Scram("nobody", "x", "sha256").first())
                salts.add(base64.b64decode(said[2:]).split(b",s=")[1])
        self.assertEqual(len(salts), 1)

    def test_responses_of_all_lengths_and_an_end_anywhere(self):
        site = self.site_with((ALICE, "plain"))
        for length in (1, 1000, 1024, 4096, 20000, 65000):
            with site.pop() as pop:
                pop.line()
                self.assertTrue(pop.command("AUTH PLAIN " + "A" * length).startswith(b"-ERR"))
                self.assertEqual(pop.command("AUTH PLAIN"), b"+ \r\n")
                self.assertTrue(pop.command("A" * length).startswith(b"-ERR"))
                pop.ok("NOOP")
                pop.ok("AUTH PLAIN " + b64(b"\0%s\0secret" % ALICE.encode()))
                pop.ok("STAT")
        dialogue = b"AUTH LOGIN\r\n%s\r\n%s\r\n" % (
            b64(ALICE.encode()).encode(), b64(b"secret").encode())
        for end in range(len(dialogue)):
            with site.pop() as pop:
                pop.line()
                pop.send(dialogue[:end])
        with site.pop() as pop:
            pop.line()
            pop.send(dialogue)
            self.assertEqual([pop.line()[:4] for _ in range(3)], [b"+ VX", b"+ UG", b"+OK "])

    def test_what_begins_with_auth_may_be_long_but_not_for_ever(self):
        site = self.site_with((ALICE, "plain"))
        with site.pop() as pop:
            pop.line()
            pop.send(b"AUTH PLAIN " + b"A" * 1000000 + b"\r\nNOOP\r\n")
            self.assertEqual(pop.line(), b"-ERR line too long\r\n")
            self.assertTrue(pop.line().startswith(b"+OK"))

    def test_apop(self):
        site = self.site_with((ALICE, "plain"), ("bob@example.org", "yescrypt"), apop="yes")

        def attempt(name, password):
            with site.pop() as pop:
                greeting = pop.line().decode()
                stamp = greeting[greeting.index("<"):greeting.index(">") + 1]
                stamps.append(stamp)
                digest = hashlib.md5((stamp + password).encode()).hexdigest()
                return pop.command("APOP %s %s" % (name, digest))

        stamps = []
        self.assertTrue(attempt(ALICE, "secret").startswith(b"+OK"))
        bad = b"-ERR [AUTH] wrong name or password\r\n"
        self.assertEqual(attempt(ALICE, "wrong"), bad)
        self.assertEqual(attempt("bob@example.org", "secret"), bad)
        self.assertEqual(attempt("nobody", "secret"), bad)
        self.assertEqual(len(set(stamps)), len(stamps))
        with site.pop() as pop:
            pop.line()
            for arguments in ("", "x", ALICE, ALICE + " " + "g" * 32, " " + "0" * 32):
                self.assertTrue(pop.command("APOP " + arguments).startswith(b"-ERR"), arguments)

    def test_no_stamp_unless_apop_is_on(self):
        site = self.site_with((ALICE, "plain"))
        with site.pop() as pop:
            self.assertNotIn(b"<", pop.line())
            self.assertTrue(pop.command("APOP alice " + "0" * 32).startswith(b"-ERR"))

    def test_a_failed_login_is_one_event_whatever_the_way_in(self):
        site = self.site_with((ALICE, "scram-sha-256"), failed_logins="9")
        with site.pop() as pop:
            pop.line()
            pop.ok("USER " + ALICE)
            pop.command("PASS wrong")
            pop.command("AUTH PLAIN " + b64(b"\0%s\0wrong" % ALICE.encode()))
            self.scram(pop, "SCRAM-SHA-256", "nobody", "wrong")
            self.scram(pop, "SCRAM-SHA-256", ALICE, "wrong")
        told = site.wait_for_events("login_failed", 4)
        self.assertEqual([(e["mechanism"], e["why"]) for e in told],
                         [("USER", "wrong_password"), ("PLAIN", "wrong_password"),
                          ("SCRAM-SHA-256", "unknown_account"), ("SCRAM-SHA-256", "wrong_proof")])

    def test_mpop_by_scram(self):
        site = self.site_with((ALICE, "scram-sha-256"))
        harness.needs("mpop")
        for mechanism in ("scram-sha-256", "plain", "login"):
            done = subprocess.run(
                ["mpop", "-C", "/dev/null", "--host=127.0.0.1", "--port=%d" % site.port, "--user=" + ALICE,
                 "--auth=" + mechanism, "--tls=off", "--passwordeval=echo secret",
                 "--auth-only", "--delivery=mbox,%s/out" % site.directory],
                capture_output=True, text=True, timeout=30,
                env=dict(os.environ, HOME=site.directory))
            self.assertEqual(done.returncode, 0, (mechanism, done.stderr))

    def attempt(self, site, name, secret):
        pop = site.pop()
        pop.line()
        pop.ok("USER " + name)
        return pop.command("PASS " + secret), pop

    def test_app_passwords(self):
        site = self.site_with((ALICE, "yescrypt"))
        site.deliver([b"Subject: one\n\nx\n"])

        def add(*flags):
            return site.ringpost("user", "app-password", "add", ALICE, *flags).stdout.decode().strip()

        phone, desk = add("phone"), add("desk", "--no-delete")
        gone = add("gone", "--expires", "1s")
        site.ringpost("user", "app-password", "revoke", ALICE, "nothing", check=False)
        for secret, may_delete in ((phone, True), (desk, False), ("secret", True),
                                   (phone.replace("-", "").upper(), True)):
            said, pop = self.attempt(site, ALICE, secret)
            self.assertTrue(said.startswith(b"+OK"), secret)
            self.assertEqual(pop.command("DELE 1").startswith(b"+OK"), may_delete, secret)
            pop.ok("RSET")
            pop.ok("QUIT")
            pop.close()
        time.sleep(1.2)
        bad = b"-ERR [AUTH] wrong name or password\r\n"
        for secret in (gone, phone[:-1], "x"):
            said, pop = self.attempt(site, ALICE, secret)
            self.assertEqual(said, bad)
            pop.close()
        site.ringpost("user", "app-password", "revoke", ALICE, "phone")
        for _ in range(4):
            said, pop = self.attempt(site, ALICE, phone)
            self.assertEqual(said, bad)
            pop.close()
        site.stop()
        listed = [json.loads(line) for line in
                  site.ringpost("user", "app-password", "list", ALICE, "--json").stdout.splitlines()]
        self.assertEqual([(p["name"], p["scope"], p["last_used_from"]) for p in listed],
                         [("desk", "no-delete", "127.0.0.1"), ("gone", "all", "")])
        self.assertEqual(site.ringpost("user", "app-password", "revoke", ALICE, "phone",
                                       check=False).returncode, 67)
        self.assertEqual(site.ringpost("user", "app-password", "add", ALICE, "desk",
                                       check=False).returncode, 73)

    def test_last_login(self):
        site = self.site_with((ALICE, "plain"), ("bob@example.org", "plain"))
        before = int(time.time())
        self.attempt(site, ALICE, "secret")[1].close()
        self.attempt(site, "bob@example.org", "wrong")[1].close()
        site.stop()
        shown = json.loads(site.ringpost("user", "show", ALICE, "--json").stdout)["last_login"]
        self.assertEqual((shown["from"], shown["protocol"]), ("127.0.0.1", "pop3"))
        self.assertTrue(before <= shown["at"] <= time.time())
        self.assertIsNone(json.loads(
            site.ringpost("user", "show", "bob@example.org", "--json").stdout)["last_login"])
        self.assertIn(b"last-login: never", site.ringpost("user", "show", "bob@example.org").stdout)

    def test_networks_flags_and_another_maildrop(self):
        site = self.site_with((ALICE, "plain"), ("bob@example.org", "plain"))
        site.deliver([b"Subject: one\n\nx\n"], name="bob")
        bad = b"-ERR [AUTH] wrong name or password\r\n"
        for networks, good in (("10.0.0.0/8", False), ("10.0.0.0/8 127.0.0.0/8", True),
                               ("::1/128", False), ("", True)):
            site.ringpost("user", "set", ALICE, "--networks", networks)
            said, pop = self.attempt(site, ALICE, "secret")
            self.assertEqual(said != bad, good, networks)
            pop.close()
        site.ringpost("user", "set", ALICE, "--maildrop", "bob@example.org", "--no-delete")
        said, pop = self.attempt(site, ALICE, "secret")
        self.assertEqual(said, b"+OK 1 messages\r\n")
        self.assertTrue(pop.command("DELE 1").startswith(b"-ERR [SYS/PERM]"))
        pop.close()
        said, pop = self.attempt(site, "bob@example.org", "secret")
        pop.ok("DELE 1")
        pop.close()
        self.assertIn("not_from_here", [e["why"] for e in site.events("login_failed")])
        for wrong in (("--networks", "10.0.0.0/33"), ("--networks", "x"), ("--maildrop", "a@b@c"),
                      ("--no-delete", "--may-delete")):
            self.assertNotEqual(site.ringpost("user", "set", ALICE, *wrong, check=False).returncode, 0)

    def hashes(self):
        """Of "secret", as other servers make them, from their documents."""
        salt = b"0123456789"
        made = {}
        for name, hash_name in (("SSHA", "sha1"), ("SSHA256", "sha256"), ("SSHA512", "sha512")):
            made[name] = "{%s}%s" % (name, b64(hashlib.new(hash_name, b"secret" + salt).digest()
                                                + salt))
        made["SHA256"] = "{SHA256}" + b64(hashlib.sha256(b"secret").digest())
        made["SSHA.HEX"] = "{SSHA.HEX}" + (hashlib.sha1(b"secret" + salt).digest() + salt).hex()
        made["ssha512.b64"] = made["SSHA512"].replace("SSHA512", "ssha512.b64")
        made["PBKDF2"] = "{PBKDF2}$1$%s$5000$%s" % (
            "saltsalt", hashlib.pbkdf2_hmac("sha1", b"secret", b"saltsalt", 5000).hex())
        key = hashlib.pbkdf2_hmac("sha256", b"secret", salt, 4096)
        stored = hashlib.sha256(hmac.digest(key, b"Client Key", "sha256")).digest()
        made["SCRAM-SHA-256"] = "{SCRAM-SHA-256}4096,%s,%s,%s" % (
            b64(salt), b64(stored), b64(hmac.digest(key, b"Server Key", "sha256")))
        for name, prefix, setting in (("SHA512-CRYPT", "{SHA512-CRYPT}", "$6$rounds=1000$saltsalt"),
                                      ("CRYPT", "{CRYPT}", "$5$rounds=1000$saltsalt"),
                                      ("BLF-CRYPT", "{BLF-CRYPT}", "$2y$04$abcdefghijklmnopqrstuu"),
                                      ("MD5-CRYPT", "{MD5-CRYPT}", "$1$saltsalt"),
                                      ("DES-CRYPT", "{DES-CRYPT}", "sa"), ("bare", "", "$1$saltsalt")):
            made[name] = prefix + crypt.crypt("secret", setting)
        made["PLAIN"], made["CLEARTEXT"] = "{PLAIN}secret", "{cleartext}secret"
        made["ARGON2ID"] = "{ARGON2ID}" + subprocess.run(
            ["argon2", "saltsalt", "-id", "-e", "-t", "2", "-m", "12"], input=b"secret",
            capture_output=True, check=True).stdout.decode().strip()
        return made

    def test_a_passwd_file_of_dovecot(self):
        harness.needs("argon2")
        made = self.hashes()
        site = self.site(users=(), start=False)
        users = {"user%d@example.org" % n: h for n, h in enumerate(made.values())}
        lines = ["%s:%s:1000:1000::/home/x::" % pair for pair in users.items()]
        lines[0] += "allow_nets=127.0.0.0/8,::1 userdb_quota_rule=*:storage=5M"
        lines[1] += "nologin allow_nets=10.0.0.0/8"
        lines += ["# a comment", "", "bad", "x:", "y:*", "z:{WHAT}x", "w:{SSHA}!", "v:{PBKDF2}$1$a$b$c"]
        path = site.directory + "/passwd"
        with open(path, "w") as f:
            f.write("\n".join(lines) + "\n")
        done = site.ringpost("user", "import", "passwd-file", path, "--json", check=False)
        self.assertEqual(done.returncode, 65)
        self.assertEqual(json.loads(done.stdout), {"loaded": len(users), "bad_lines": 6})
        shown = json.loads(site.ringpost("user", "show", "user0@example.org", "--json").stdout)
        self.assertEqual((shown["networks"], shown["quota_octets"]), ("127.0.0.0/8 ::1", 5 << 20))
        site.start()
        for n, (name, hashed) in enumerate(users.items()):
            for secret, good in (("secret", n != 1), ("Secret", False)):
                said, pop = self.attempt(site, name, secret)
                self.assertEqual(said.startswith(b"+OK"), good, (hashed, said))
                pop.close()
        self.assertEqual(self.login(site, "SCRAM-SHA-256", "nobody")[:4], b"-ERR")

    def test_hashes_become_better_at_a_good_login(self):
        harness.needs("argon2")
        site = self.site(users=(), start=False, password_upgrade="yes",
                         password_scheme='"scram-sha-256"')
        for name, hashed in (("alice", self.hashes()["SSHA"]), ("bob", self.hashes()["SSHA"])):
            site.ringpost("user", "add", name + "@example.org", "--password-hash", hashed)
        site.start()
        for name, secret in (("alice", "secret"), ("bob", "wrong"), ("alice", "secret")):
            self.attempt(site, name, secret)[1].close()
        schemes = {name: json.loads(site.ringpost("user", "show", name + "@example.org",
                                                  "--json").stdout)["password_scheme"]
                   for name in ("alice", "bob")}
        self.assertEqual(schemes, {"alice": "scram-sha-256", "bob": "ssha"})

    def test_scram_plus_is_bound_to_the_connection(self):
        """s_client tells what it and the server agreed upon (RFC 9266), and carries the exchange."""
        certificate = tls.certificate("scram-plus")
        site = self.site(users=(), start=False, listener={"tls": "implicit", "plaintext_auth": "no"},
                         password_scheme='"scram-sha-256"',
                         sasl_mechanisms='"SCRAM-SHA-256-PLUS SCRAM-SHA-256"',
                         **tls.settings(certificate))
        site.ringpost("user", "add", ALICE, input=b"secret\n")
        site.start()
        for spoil, good in ((False, True), (True, False)):
            client = subprocess.Popen(
                ["openssl", "s_client", "-connect", "127.0.0.1:%d" % site.port, "-tls1_3",
                 "-keymatexport", "EXPORTER-Channel-Binding", "-keymatexportlen", "32"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            try:
                material = None
                for line in client.stdout:
                    if b"Keying material: " in line:
                        material = bytes.fromhex(line.split(b": ")[1].strip().decode())
                    if line.startswith(b"+OK ringpost"):
                        break

                def command(text):
                    client.stdin.write(text.encode() + b"\r\n")
                    client.stdin.flush()
                    while True:
                        said = client.stdout.readline()
                        if said[:1] in (b"+", b"-") and not said.startswith(b"---"):
                            return said

                self.assertEqual(len(material), 32)
                binding = bytes(32) if spoil else material
                scram = Scram(ALICE, "secret", "sha256", binding)
                said = command("AUTH SCRAM-SHA-256-PLUS " + scram.first())
                said = command(scram.final(said[2:]))
                if good:
                    self.assertEqual(base64.b64decode(said[2:]), scram.expected)
                    said = command("")
                self.assertEqual(said.startswith(b"+OK"), good, said)
            finally:
                client.stdin.close()
                client.stdout.close()
                client.kill()
                client.wait()

    def test_plus_is_offered_where_it_can_work(self):
        certificate = tls.certificate("scram-plus")
        site = self.site(listener={"tls": "stls"}, sasl_mechanisms='"SCRAM-SHA-256-PLUS"',
                         **tls.settings(certificate))
        with site.pop() as pop:
            pop.line()
            self.assertNotIn(b"SASL SCRAM-SHA-256-PLUS\r\n", pop.command_multi("CAPA"))
            self.assertTrue(pop.command("AUTH SCRAM-SHA-256-PLUS").startswith(b"-ERR"))


if __name__ == "__main__":
    unittest.main()
