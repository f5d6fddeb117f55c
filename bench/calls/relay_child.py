"""The relay in front of the transceiver: the real loop, in a process of its own, over pages of its own.

python -m bench.calls.relay_child KEY-RING-JSON
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import time
from ipaddress import ip_network
from types import FrameType

from bench.load.relay_child import ADDRESS, SLICE_MS, end_with_parent, lifted_limits
from fastrelay._ext.relay_loop import RelayLoop
from fastrelay.io.sockets import open_listener, open_trunk
from fastrelay.routing.keys import KeyRing

FLOWS = 16_384


def main() -> None:
    """Forward until a signal or the end of the harness."""
    end_with_parent()
    is_stopping = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal is_stopping
        is_stopping = True

    signal.signal(signal.SIGTERM, stop)
    listener, trunk = open_listener(ADDRESS, 0), open_trunk(ADDRESS, 0)
    loop = RelayLoop(
        KeyRing.parse(sys.argv[1].encode()).entries(),
        [ip_network("127.0.0.0/8")],
        0,
        listener.locals(0),
        lifted_limits(FLOWS),
        time.time_ns() // 1000,
        listeners=[(listener.socket.fileno(), socket.AF_INET, ADDRESS, listener.port, False, True)],
        trunk=(trunk.socket.fileno(), socket.AF_INET),
    )
    sys.stdout.write(json.dumps({"ready": True, "port": listener.port, "trunk_port": trunk.port}) + "\n")
    sys.stdout.flush()
    while not is_stopping:
        loop.run(SLICE_MS)


if __name__ == "__main__":
    main()
