"""deliver.py - every message below SPOOL to its user, by LMTP on a Unix socket.

Cyrus takes no NUL and wants CRLF; smtplib sees to dots.
"""
import os
import re
import smtplib
import sys

spool, path = sys.argv[1:]
for user in sorted(os.listdir(spool)):
    maildir = f"{spool}/{user}"
    names = [(name, part) for part in ("cur", "new") for name in os.listdir(f"{maildir}/{part}")]
    lmtp = smtplib.LMTP(path)
    for name, part in sorted(names, key=lambda n: (int(n[0].split(".")[0]), n[0])):
        with open(f"{maildir}/{part}/{name}", "rb") as message:
            text = re.sub(rb"\r*\n", b"\r\n", message.read())
        lmtp.sendmail("sender@example.org", [user], text)
    lmtp.quit()
