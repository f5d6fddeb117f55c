"""What the kernel says about a UDP socket: bytes waiting and packets dropped."""

from dataclasses import dataclass
from pathlib import Path

from bench.load.failure import BenchFailure


@dataclass(frozen=True)
class SocketState:
    """One line of /proc/net/udp."""

    waiting_bytes: int
    drops: int


def socket_state(port: int) -> SocketState:
    """The IPv4 socket bound to this port; several of them (SO_REUSEPORT) are added up."""
    waiting = drops = found = 0
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[1].partition(":")[2], 16) != port:
            continue
        found += 1
        waiting += int(fields[4].partition(":")[2], 16)
        drops += int(fields[-1])
    if not found:
        raise BenchFailure(f"no UDP socket is bound to port {port}")
    return SocketState(waiting, drops)
