"""What the kernel dropped at the UDP sockets of some processes, whichever they are.

Lives here: whose socket it is, and when it is worth looking. Must not live here: the question to the kernel
(bench/load/sockets.py).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from bench.load.failure import BenchFailure
from bench.load.sockets import udp_sockets

PREFIX: Final = "socket:["
SNMP: Final = Path("/proc/net/snmp")
# what the kernel counts, for all IPv4 UDP sockets together, whenever it drops a packet at a full one
WANTING_ROOM: Final = ("RcvbufErrors", "MemErrors")


class Drops:
    """Packets dropped at the sockets of processes, as seen at each look.

    A relay with a socket for each flow has thousands, and a drain looks three times: so all are asked only after the
    kernel has dropped anything, at whichever socket.
    """

    def __init__(self) -> None:
        self._dropped = 0
        self._everywhere: int | None = None

    def of(self, pids: Iterable[int]) -> int:
        """All that these processes' sockets have dropped."""
        everywhere = dropped_everywhere()
        if everywhere != self._everywhere:
            self._dropped, self._everywhere = drops_of(pids), everywhere
        return self._dropped


def dropped_everywhere() -> int:
    """Packets that found no room at any UDP socket of this network namespace."""
    names, values = (line.split()[1:] for line in SNMP.read_text().splitlines() if line.startswith("Udp:"))
    counters = dict(zip(names, values, strict=True))
    missing = [name for name in WANTING_ROOM if name not in counters]
    if missing:
        raise BenchFailure(f"{SNMP} has no {' and no '.join(missing)}")
    return sum(int(counters[name]) for name in WANTING_ROOM)


def drops_of(pids: Iterable[int]) -> int:
    """Packets dropped at all UDP sockets of these processes."""
    inodes = {inode for pid in pids for inode in sockets_of(pid)}
    return sum(each.state.drops for each in udp_sockets() if each.inode in inodes)


def sockets_of(pid: int) -> set[int]:
    """The inodes of the sockets that a process has open."""
    found = set()
    for entry in os.scandir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed since it was listed
            target = os.readlink(entry.path)  # noqa: PTH115 - thousands of times
            if target.startswith(PREFIX):
                found.add(int(target[len(PREFIX) : -1]))
    return found
