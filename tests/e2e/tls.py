"""tls.py - certificates made by openssl, and a client that speaks TLS."""
import os
import shutil
import socket
import ssl
import subprocess
import tempfile

import harness

_made = {}


def _openssl(*words):
    done = subprocess.run(["openssl", *words], capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError("openssl %s: %s" % (" ".join(words), done.stderr))


def _new_key(kind):
    if kind == "rsa":
        return ["-newkey", "rsa:2048"]
    return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]


def directory():
    if "directory" not in _made:
        _made["directory"] = tempfile.mkdtemp(prefix="ringpost-tls-")
        import atexit
        atexit.register(shutil.rmtree, _made["directory"], True)
    return _made["directory"]


def certificate(name, kind="ecdsa", days=30, more=()):
    """(certificate, key): self-signed, for host `name`."""
    key = (name, kind, days, tuple(more))
    if key not in _made:
        base = os.path.join(directory(), "%d" % len(_made))
        _openssl("req", "-x509", *_new_key(kind), "-nodes", "-keyout", base + ".key", "-out",
                 base + ".pem", "-days", "30", "-subj", "/CN=" + name, "-addext",
                 "subjectAltName=" + ",".join("DNS:" + n for n in (name, *more)))
        if days != 30:  # `req` knows no days in the past
            _openssl("x509", "-in", base + ".pem", "-signkey", base + ".key", "-days", str(days),
                     "-out", base + ".pem")
        _made[key] = base + ".pem", base + ".key"
    return _made[key]


def issued(name, kind="ecdsa", days=30, more=(), alternatives=None):
    """(certificate with its chain, key, root, all authorities): issued by an intermediate authority of a root;
    `more` extensions stand in it."""
    key = ("issued", name, kind, days, more, alternatives)
    if key not in _made:
        base = os.path.join(directory(), "%d" % len(_made))
        _openssl("req", "-x509", *_new_key("ecdsa"), "-nodes", "-keyout", base + ".root.key", "-out",
                 base + ".root.pem", "-days", str(days), "-subj", "/CN=root")
        for part, subject, issuer, extra in (
                ("middle", "/CN=middle", "root", "basicConstraints=critical,CA:TRUE"),
                ("leaf", "/CN=" + name, "middle", "\n".join(("subjectAltName=" + (alternatives or "DNS:" + name), *more)))):
            with open(base + ".ext", "w") as f:
                f.write(extra + "\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
            _openssl("req", *_new_key(kind), "-nodes", "-keyout", "%s.%s.key" % (base, part), "-out",
                     base + ".csr", "-subj", subject)
            _openssl("x509", "-req", "-in", base + ".csr", "-CA", "%s.%s.pem" % (base, issuer),
                     "-CAkey", "%s.%s.key" % (base, issuer), "-CAcreateserial", "-days", str(days),
                     "-extfile", base + ".ext", "-out", "%s.%s.pem" % (base, part))
        with open(base + ".chain.pem", "wb") as chain:
            for part in ("leaf", "middle"):
                with open("%s.%s.pem" % (base, part), "rb") as f:
                    chain.write(f.read())
        with open(base + ".authorities.pem", "wb") as authorities:
            for part in ("root", "middle"):
                with open("%s.%s.pem" % (base, part), "rb") as f:
                    authorities.write(f.read())
        _made[key] = (base + ".chain.pem", base + ".leaf.key", base + ".root.pem",
                      base + ".authorities.pem")
    return _made[key]


def settings(*pairs):
    """Settings of a Site that has these certificates."""
    quoted = [["\"%s\"" % path for path in files] for files in zip(*pairs)]
    return {"tls_certificates": "{%s}" % ", ".join(quoted[0]),
            "tls_keys": "{%s}" % ", ".join(quoted[1])}


def context(version=None, ciphers=None, alpn=None, trusts=None):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF  # an end without close_notify is an error
    made.check_hostname = trusts is not None
    made.verify_mode = ssl.CERT_NONE if trusts is None else ssl.CERT_REQUIRED
    if trusts:
        made.load_verify_locations(trusts)
    if version:
        made.minimum_version = made.maximum_version = version
    if ciphers:
        made.set_ciphers(ciphers)
    if alpn:
        made.set_alpn_protocols(alpn)
    return made


class TlsPop(harness.Pop):
    """A Pop over TLS: from the first octet, or after STLS."""

    def __init__(self, port, stls=False, context=None, session=None, host_name="mail.example.org",
                 **how):
        super().__init__(port, **how)
        self.context = context or globals()["context"]()
        try:
            if stls:
                greeting = self.line()
                self.ok("STLS")
                assert self.buffer == b"", self.buffer
            self.socket = self.context.wrap_socket(self.socket, server_hostname=host_name,
                                                   session=session, suppress_ragged_eofs=False)
        except BaseException:
            self.close()
            raise
        if stls:
            self.buffer = greeting

    def clean_rest(self):
        """All until the server says goodbye; a torn end of TLS raises."""
        while self._fill():
            pass
        got, self.buffer = self.buffer, b""
        return got


class OpenSslPop(harness.Pop):
    """openssl s_client, which can be told its ciphers of TLS 1.3; Python's ssl cannot."""

    def __init__(self, site, *arguments):
        self.socket, theirs = socket.socketpair()
        with theirs:
            self.process = subprocess.Popen(
                ["openssl", "s_client", "-connect", "127.0.0.1:%d" % site.port, *arguments],
                stdin=theirs, stdout=theirs, stderr=subprocess.DEVNULL)
        self.socket.settimeout(harness.WAIT_S)
        self.buffer = b""

    def close(self):
        super().close()
        self.process.terminate()
        self.process.wait()
