"""The transceiver of the demonstration: the real supervisor and workers, in a process that ends with its parent.

Lives here: its settings and its reports. Must not live here: what a transceiver does (fastrelay.transceiver).
"""

from __future__ import annotations

import asyncio
import os
import signal
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastrelay.cli.demo.child import reporting_problems, send_report, take_plan
from fastrelay.config.addresses import parse_network
from fastrelay.observe.logs import configure
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.supervisor.settings import Signalling, TransceiverSettings
from fastrelay.transceiver.supervisor.supervisor import Supervisor
from fastrelay.wire.address import parse_endpoint


def main() -> None:
    plan = take_plan()
    configure("console")
    with reporting_problems():
        asyncio.run(_run(Supervisor(settings_of(plan), release=version("fastrelay"))))


async def _run(supervisor: Supervisor) -> None:
    def say_ready() -> None:
        send_report({"url": supervisor.premises.url})
        asyncio.get_running_loop().add_reader(0, os.kill, os.getpid(), signal.SIGINT)

    await supervisor.run(say_ready)
    asyncio.get_running_loop().remove_reader(0)
    send_report({"totals": supervisor.crew.totals})


def settings_of(plan: dict[str, Any]) -> TransceiverSettings:
    ring = KeyRing.parse(plan["ring"].encode())
    return TransceiverSettings(
        trunk=(plan["ip"], 0),
        relays=tuple([parse_endpoint(text) for text in plan["relays"]]),
        allowed=(parse_network(plan["ip"]),),
        load_keys=lambda: ring,
        signalling=Signalling(listen=(plan["http"][0], plan["http"][1]), is_open=True, serves_demo=True),
        agent=plan["agent"],
        run_dir=Path(plan["run_dir"]),
    )
