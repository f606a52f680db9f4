"""spool.py - the mail that every server under comparison serves: a Maildir for each user.

Each user's mail has a seed of its own, so two users never share a message, and a second run makes the
same mail.  Several kinds can lie in one spool under different prefixes.
"""
import concurrent.futures
import os
import subprocess
import sys

MAKER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/spool/make_spool.py")

MAIL = {
    "real": ["--max-size", str(10 << 20)],  # median 20 KB, mean 75 KB, a tail to 10 MB
    "4k": ["--fixed-size", "4096"],
    "75k": ["--fixed-size", "76800"],
    "4m": ["--fixed-size", "4194304"],
}


def make(directory, mail, users, messages, prefix):
    def make_one(n):
        maildir = f"{directory}/{prefix}{n}"
        if os.path.exists(f"{maildir}/cur"):
            sys.exit(f"peer: there is {maildir} already")
        subprocess.run([sys.executable, MAKER, "--maildir", maildir, "--messages", str(messages),
                        "--seed", str(n), *MAIL[mail]], check=True)

    os.makedirs(directory, exist_ok=True)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(make_one, range(1, users + 1)))
