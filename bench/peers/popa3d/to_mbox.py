"""to_mbox.py - every Maildir below SPOOL to an mbox of its name below TO (mboxrd, as deliveries quote)."""
import os
import re
import sys


def messages(maildir):
    names = [(name, part) for part in ("cur", "new") for name in os.listdir(f"{maildir}/{part}")]
    for name, part in sorted(names, key=lambda n: (int(n[0].split(".")[0]), n[0])):
        with open(f"{maildir}/{part}/{name}", "rb") as message:
            yield message.read().replace(b"\r\n", b"\n")


spool, to = sys.argv[1:]
for user in os.listdir(spool):
    with open(f"{to}/{user}", "wb") as mbox:
        for text in messages(f"{spool}/{user}"):
            quoted = re.sub(rb"(?m)^(>*From )", rb">\1", text)
            mbox.write(b"From sender@example.org Sat Jan  1 00:00:00 2022\n" + quoted)
            mbox.write(b"\n" if quoted.endswith(b"\n") else b"\n\n")
