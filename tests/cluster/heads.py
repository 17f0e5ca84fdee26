"""Heads of Ray that the tests start: which of their processes are left, and where they listen."""

import os
from pathlib import Path

MARK = "TASKPROMPT_TEST_HEAD"  # in the environment of a head, and so in that of all that it starts


def left_of(mark: str) -> list[str]:
    """The command lines of living processes that carry a mark; nobody outlives `stop` unseen by leaving its group."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and process.name != str(os.getpid()):
            try:
                if f"{MARK}={mark}".encode() in (process / "environ").read_bytes().split(b"\0"):
                    found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:  # gone, or somebody else's
                continue
    return found


def listens_on(port: int) -> set[str]:
    """The addresses on which this machine listens at a port, as /proc writes them: 0100007F is 127.0.0.1."""
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, number = local.partition(":")
            if state == "0A" and int(number, 16) == port:
                found.add(address)
    return found
