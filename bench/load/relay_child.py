"""The relay's process in a benchmark: the real loop over pages the harness can read, until it is told to stop."""

import ctypes
import json
import mmap
import signal
import socket
import sys
import time
from ipaddress import ip_network
from pathlib import Path
from types import FrameType
from typing import Final

from fastrelay._ext.relay_loop import RelayLoop
from fastrelay.io.sockets import open_listener, open_trunk
from fastrelay.relay.dataplane.limits import BURST_MAX, SESSION_FLOWS_MAX, Limits

ADDRESS = "127.0.0.1"
HOUR_MS = 3_600_000
PLENTY = 1_000_000_000
SLICE_MS = 100
PR_SET_PDEATHSIG = 1
LIFTED: Final = {
    "unconfirmed_after_ms": HOUR_MS,
    "idle_after_ms": HOUR_MS,
    "session_flows": SESSION_FLOWS_MAX,
    "source_admissions_per_s": PLENTY,
    "source_admissions_burst": BURST_MAX,
    "admissions_per_s": PLENTY,
    "admissions_burst": BURST_MAX,
    "recreations_per_s": PLENTY,
    "recreations_burst": BURST_MAX,
}
"""What operators limit: nothing expires, nothing is refused for its number. Nothing but packets gives the loop work."""


class RelayChild:
    """A loop with its sockets and pages, as the setup says (relay_candidate.py writes it)."""

    def __init__(self, setup: dict[str, str | int]) -> None:
        end_with_parent()
        self._listener = open_listener(ADDRESS, 0)
        self._trunk = open_trunk(ADDRESS, 0)
        self._flow_page = mapped(Path(str(setup["flow_page"])))
        self._counter_page = mapped(Path(str(setup["counter_page"])))
        self.loop = RelayLoop(
            [(int(setup["key_id"]), bytes.fromhex(str(setup["secret"])), 0, None)],
            [ip_network("127.0.0.0/8")],
            0,
            self._listener.locals(0),
            lifted_limits(int(setup["flows"])),
            time.time_ns() // 1000,
            listeners=[(self._listener.socket.fileno(), socket.AF_INET, ADDRESS, self._listener.port, False, True)],
            trunk=(self._trunk.socket.fileno(), socket.AF_INET),
            flow_page=self._flow_page,
            counter_page=self._counter_page,
        )

    def ports(self) -> dict[str, object]:
        """For the ready line."""
        return {"port": self._listener.port, "trunk_port": self._trunk.port}

    def handled(self) -> int:
        """Packets and frames that have ended in a verdict, both ways; trunk datagrams are not packets."""
        packets, _, _ = self.loop.counters()
        return sum(count for name, count in packets.items() if not name.startswith("TRUNK_"))


def lifted_limits(flows: int) -> Limits:
    """Those of a relay whose table has room for so many flows."""
    return Limits(flows=flows, **LIFTED)


def end_with_parent() -> None:
    """Even a paused relay must not outlive a harness that was killed."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def mapped(path: Path) -> mmap.mmap:
    """A page file, shared with the harness."""
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 0)


def main() -> None:
    """Runs until a signal or the end of the harness."""
    child = RelayChild(json.loads(sys.argv[1]))
    stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal stopping
        stopping = True

    signal.signal(signal.SIGTERM, stop)
    sys.stdout.write(json.dumps({"ready": True, **child.ports()}) + "\n")
    sys.stdout.flush()
    while not stopping:
        child.loop.run(SLICE_MS)


if __name__ == "__main__":
    main()
