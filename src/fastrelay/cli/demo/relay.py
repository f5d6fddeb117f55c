"""The relay of the demonstration: the real supervisor and workers, in a process that ends with its parent.

Lives here: its settings and its reports. Must not live here: what a relay does (fastrelay.relay).
"""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, closing
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastrelay.cli.demo.child import is_stopping, reporting_problems, send_report, take_plan
from fastrelay.config.addresses import parse_network
from fastrelay.observe.logs import configure
from fastrelay.relay.settings import RelaySettings
from fastrelay.relay.supervisor import Supervisor
from fastrelay.routing.keys import KeyRing

LOOKED_AT_EVERY_S = 0.1


def main() -> None:
    plan = take_plan()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    configure("console")
    supervisor = Supervisor(settings_of(plan), release=version("fastrelay"))
    with reporting_problems(), supervisor:
        started_s = time.monotonic()
        report: dict[str, Any] = {"clients": supervisor.listening, "trunks": supervisor.trunks}
        send_report(report)
        supervisor.serve(_stop_with_the_parent, tick_s=LOOKED_AT_EVERY_S)
        send_report(report | {"summary": _summary(supervisor, time.monotonic() - started_s)})


def settings_of(plan: dict[str, Any]) -> RelaySettings:
    ring = KeyRing.parse(plan["ring"].encode())
    return RelaySettings(
        listen=tuple([(ip, 0) for ip in plan["listen"]]),
        trunk=(plan["ip"], 0),
        allowed=(parse_network(plan["ip"]),),
        load_keys=lambda: ring,
        run_dir=Path(plan["run_dir"]),
    )


def _stop_with_the_parent() -> None:
    if is_stopping():
        os.kill(os.getpid(), signal.SIGINT)


def _summary(supervisor: Supervisor, seconds: float) -> list[str]:
    # after the last fork: numpy's library may start threads when it is loaded
    from fastrelay.observe.counters import CounterPage, total  # noqa: PLC0415
    from fastrelay.observe.summary import summary  # noqa: PLC0415

    with ExitStack() as stack:
        pages = [stack.enter_context(closing(CounterPage(each))) for each in supervisor.counter_pages]
        return summary(total([page.read() for page in pages]), seconds, len(pages))
