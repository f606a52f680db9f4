"""databases.py - a PostgreSQL server and an OpenLDAP server of our own, for the tests of sources.

Each lives in a temporary directory, listens on loopback only, and runs as nobody where we are root
(PostgreSQL refuses root).  stop(), kill() and freeze() do to it what operators and machines do.
"""
import base64
import glob
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

import harness


def as_nobody():
    """For preexec_fn: the user the servers run as."""
    if os.geteuid() != 0:
        return None
    nobody = pwd.getpwnam("nobody")

    def become():
        os.setgroups([])
        os.setgid(nobody.pw_gid)
        os.setuid(nobody.pw_uid)
    return become


def directory_of_nobody(prefix):
    path = tempfile.mkdtemp(prefix=prefix)
    if os.geteuid() == 0:
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    return path


class Server:
    """A process that can be stopped, killed, frozen and started again on the same port."""
    process = None

    def wait_until(self, is_there, what):
        deadline = time.monotonic() + 60
        while not is_there():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError("%s does not run:\n%s" % (what, self.log()))
            time.sleep(0.05)

    def launch(self, command):
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            preexec_fn=as_nobody(), cwd=self.directory,
                                            start_new_session=True)

    def log(self):
        with open(os.path.join(self.directory, "log"), errors="replace") as f:
            return f.read()[-4000:]

    def send(self, number):
        self.process.send_signal(number)

    def kill(self):
        """The whole family at once: a backend must not outlive its postmaster here."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGCONT)
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def freeze(self):
        """Connections are taken by the kernel, and nobody answers."""
        for pid in self.family():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in self.family():
            os.kill(pid, signal.SIGCONT)

    def family(self):
        """Of this server only: its process and what that has begotten."""
        found = [self.process.pid]
        for path in glob.glob("/proc/[0-9]*/stat"):
            try:
                with open(path) as f:
                    pid, rest = f.read().split(" ", 1)
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(rest.rsplit(")", 1)[1].split()[1]) == self.process.pid:
                found.append(int(pid))
        return found

    def remove(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


def postgres_program(name):
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/" + name))
    if not found:
        raise AssertionError("not installed: PostgreSQL; run `make deps`")
    return found[-1]


class Postgres(Server):
    def __init__(self):
        self.directory = directory_of_nobody("ringpost-pg-")
        self.port = harness.free_port()
        self.data = os.path.join(self.directory, "data")
        self.connection = "hostaddr=127.0.0.1 port=%d dbname=postgres user=mail" % self.port
        subprocess.run([postgres_program("initdb"), "-D", self.data, "-U", "mail", "-A", "trust",
                        "-E", "UTF8", "--locale=C", "--no-sync"], check=True, capture_output=True,
                       cwd=self.directory, preexec_fn=as_nobody())

    def start(self):
        pid_file = os.path.join(self.data, "postmaster.pid")
        if os.path.exists(pid_file):
            os.unlink(pid_file)
        self.launch([postgres_program("postgres"), "-D", self.data, "-k", self.directory, "-F",
                     "-h", "127.0.0.1", "-p", str(self.port), "-c", "max_connections=100"])
        ready = [postgres_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        self.wait_until(lambda: subprocess.run(ready).returncode == 0, "PostgreSQL")
        return self

    def run(self, sql):
        done = subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d",
                               self.connection.replace("hostaddr", "host")], input=sql.encode(),
                              capture_output=True)
        if done.returncode != 0:
            raise AssertionError(done.stderr.decode())
        return done.stdout.decode()


SLAPD = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {directory}/slapd.pid
{tls}
threads 4
database mdb
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw admin-secret
directory {directory}/db
maxsize 268435456
dbnosync
index objectClass,uid eq
access to attrs=userPassword by dn.exact="cn=ringpost,dc=example,dc=org" read by anonymous auth by * none
access to * by dn.exact="cn=ringpost,dc=example,dc=org" read by * none
"""


class Slapd(Server):
    BASE = "dc=example,dc=org"
    SERVICE = "cn=ringpost," + BASE

    def __init__(self, certificate=None, key=None, log_level="0"):
        """With `certificate` (PEM, which nobody can read): StartTLS, and ldaps on tls_port.  Level 256
        tells each operation in the log."""
        self.log_level = log_level
        harness.needs("slapd", "ldapadd")
        self.directory = directory_of_nobody("ringpost-ldap-")
        os.chmod(self.directory, 0o755)
        self.port, self.tls_port = harness.free_port(), harness.free_port()
        self.uri = "ldap://127.0.0.1:%d" % self.port
        self.tls_uri = "ldaps://127.0.0.1:%d" % self.tls_port if certificate else ""
        os.mkdir(os.path.join(self.directory, "db"))
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(os.path.join(self.directory, "db"), nobody.pw_uid, nobody.pw_gid)
        tls = ("TLSCertificateFile %s\nTLSCertificateKeyFile %s" % (certificate, key)
               if certificate else "")
        self.config = os.path.join(self.directory, "slapd.conf")
        with open(self.config, "w") as f:
            f.write(SLAPD.format(directory=self.directory, tls=tls))
        self.password_file = os.path.join(self.directory, "password")
        with open(self.password_file, "w") as f:
            f.write("service-secret\n")

    def start(self):
        uris = " ".join(u + "/" for u in (self.uri, self.tls_uri) if u)
        self.launch(["slapd", "-d", self.log_level, "-f", self.config, "-h", uris])
        self.wait_until(lambda: subprocess.run(
            ["ldapsearch", "-x", "-H", self.uri, "-b", "", "-s", "base"],
            capture_output=True).returncode == 0, "slapd")
        return self

    def fill(self):
        self.add("dn: %s\nobjectClass: dcObject\nobjectClass: organization\no: test\n" % self.BASE)
        self.add("dn: ou=people,%s\nobjectClass: organizationalUnit\n" % self.BASE)
        self.add("dn: %s\nobjectClass: person\nsn: service\nuserPassword: service-secret\n"
                 % self.SERVICE)
        return self

    def tool(self, program, text):
        done = subprocess.run([program, "-x", "-H", self.uri, "-D", "cn=admin," + self.BASE, "-w",
                               "admin-secret"], input=text.encode(), capture_output=True)
        if done.returncode != 0:
            raise AssertionError("%s: %s\n%s" % (program, done.stderr.decode(), text[:500]))

    def add(self, *entries):
        self.tool("ldapadd", "\n".join(entries))

    def person(self, name, *passwords, number=None, **more):
        """An entry in LDIF; everything as base64, so that any octet may be in it."""
        def line(attribute, value):
            return "%s:: %s\n" % (attribute, base64.b64encode(value.encode()).decode())
        uid = number if number is not None else "u%x" % (hash(name) & 0xffffffff)
        return ("dn: uid=%s,ou=people,%s\nobjectClass: inetOrgPerson\n" % (uid, self.BASE)
                + line("cn", name) + line("sn", "person") + line("uid", name)
                + "".join(line("userPassword", p) for p in passwords)
                + "".join(line(attribute, v) for attribute, values in more.items()
                          for v in ([values] if isinstance(values, str) else values)))
