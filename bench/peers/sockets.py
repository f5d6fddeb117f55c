"""What the kernel dropped at the UDP sockets of some processes, whichever they are."""

import contextlib
from collections.abc import Iterable
from pathlib import Path

PREFIX = "socket:["


def drops_of(pids: Iterable[int]) -> int:
    """Packets dropped at all UDP sockets of these processes, in their own network namespaces."""
    dropped = 0
    for pid in pids:
        inodes = sockets_of(pid)
        for line in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[9] in inodes:
                dropped += int(fields[-1])
    return dropped


def sockets_of(pid: int) -> set[str]:
    """The inodes of the sockets that a process has open."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            target = str(entry.readlink())
            if target.startswith(PREFIX):
                found.add(target[len(PREFIX) : -1])
    return found
