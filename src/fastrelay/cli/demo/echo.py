"""The echo's process: a trunk echo on a port of its own, reporting its address and its counts.

Must not live here: what an echo answers (fastrelay.transceiver.echo).
"""

from __future__ import annotations

import time
from dataclasses import asdict
from ipaddress import ip_network

from fastrelay.cli.demo.child import is_stopping, send_report, take_plan
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.echo import TrunkEcho
from fastrelay.transceiver.trunk_port import open_trunk_port

REPORT_EVERY_S = 0.5


def main() -> None:
    """Run until the parent gives the order to stop."""
    plan = take_plan()
    ring = KeyRing.parse(plan["ring"])
    with open_trunk_port((plan["ip"], 0), ring, [ip_network(plan["allowed"])]) as port:
        echo = TrunkEcho(port, ring)
        due_s = 0.0

        def report() -> None:
            relays = [{"lost": lost, "rtt_us": rtt_us} for _, _, lost, rtt_us, _ in port.relays()]
            send_report({"address": port.address, **asdict(echo.counts), "relays": relays})

        def tick() -> None:
            nonlocal due_s
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + REPORT_EVERY_S
                report()

        echo.run(is_stopping, tick)
        report()
