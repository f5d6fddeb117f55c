"""A relay as an operator runs it: with a run directory, asked over its admin socket.

Lives here: starting it so that a loaded machine does not decide what is measured, asking it, and adding its workers'
counters up. Must not live here: load (load), what must hold (the tests).
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.load import cpu
from fastrelay.observe.client import AdminClient, Answer, parse_place
from fastrelay.observe.status import ServiceStatus
from fastrelay.relay.settings import Steering
from tests.live.ends import eventually
from tests.live.process import COMMAND, RelayProcess, is_running

PREFERRED = ("nice", "-n", str(cpu.NICE_CANDIDATE)) if os.geteuid() == 0 else ()
"""Before the command, so that every process it forks has it from its first instruction."""


def on_cpus(count: int) -> int | str:
    """One worker on each of this machine's first processors; on all of them in turn when there are too few."""
    available = sorted(os.sched_getaffinity(0))
    return count if count > len(available) else ",".join(f"{each}-{each}" for each in available[:count])


class PreferredRelay(RelayProcess):
    """Goes before the other work of the machine, where we may: that must not decide what is measured."""

    def __init__(self, *arguments: str, command: Sequence[str] = tuple(COMMAND)) -> None:
        super().__init__(*arguments, command=[*PREFERRED, *command])

    def __enter__(self) -> Self:
        super().__enter__()
        # where sessions share the processor between them, the session's own value is what counts
        cpu.prefer(self.process.pid, cpu.NICE_CANDIDATE)
        return self


@dataclass(frozen=True, slots=True)
class Memory:
    """What a relay knows of its calls, over all workers."""

    flows: int
    admitted: int
    forgotten: int
    """Flows that went, for whatever reason."""
    strangers: int
    """Packets of clients that no worker knew."""


class OperatedRelay(PreferredRelay):
    """On loopback, with configuration and run directory in `folder`."""

    def __init__(
        self,
        folder: Path,
        ring_file: Path,
        *,
        workers: int = 1,
        steering: Steering = Steering.AUTO,
        limits: Mapping[str, int] | None = None,
        command: Sequence[str] = tuple(COMMAND),
    ) -> None:
        self.run_dir = folder / "run"
        self._config = folder / "relay.toml"
        self._ring_file = ring_file
        self.configure(workers=workers, steering=steering, limits=limits)
        super().__init__("--config", str(self._config), command=command)

    def configure(
        self,
        *,
        workers: int = 1,
        steering: Steering = Steering.AUTO,
        listen: Sequence[str] = ("127.0.0.1:0",),
        allow: Sequence[str] = ("127.0.0.0/8",),
        limits: Mapping[str, int] | None = None,
    ) -> None:
        """Write its file. A relay that runs takes it at the next HUP."""
        self._worker_count = workers
        sections: dict[str, Mapping[str, object]] = {
            "relay": {
                "listen": list(listen),
                "trunk": "127.0.0.1",
                "allow": list(allow),
                "keys_file": str(self._ring_file),
                "run_dir": str(self.run_dir),
            },
            "workers": {"count": on_cpus(workers), "steering": steering.value},
            "limits": limits or {},
        }
        # a JSON string, number or list of strings is one of TOML as well
        lines = [
            line
            for name, values in sections.items()
            for line in (f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()))
        ]
        self._config.write_text("\n".join(lines) + "\n")

    # --- what it says

    def ask(self, path: str) -> Answer:
        return AdminClient(parse_place(str(self.run_dir))).ask(path)

    def status(self) -> ServiceStatus:
        return ServiceStatus.parse(json.loads(self.ask("/status").body)["relay"])

    def says(self, claim: Callable[[ServiceStatus], bool]) -> None:
        """Wait until it says so of itself: what others see of it is up to a second old."""
        eventually(lambda: claim(self.status()), f"its status is as claimed, not {self.status()}")

    def memory(self, workers: int = 1) -> Memory:
        with ExitStack() as stack:
            pages = [stack.enter_context(self.counters(index)) for index in range(workers)]
            gone = ("flows_expired_idle", "flows_expired_unconfirmed", "flows_evicted", "flows_closed")
            return Memory(
                flows=sum(page.flows for page in pages),
                admitted=sum(page.packets("UP_ADMITTED") for page in pages),
                forgotten=sum(page.event(name) for page in pages for name in gone),
                strangers=sum(page.packets("UNKNOWN_CLIENT") for page in pages),
            )

    # --- what is done to it

    def kill_worker(self) -> int:
        """kill -9, and wait for its successor."""
        victim = self.workers[0]
        os.kill(victim, signal.SIGKILL)
        self.wait_for_successors([victim])
        return victim

    def wait_for_successors(self, former: Sequence[int]) -> None:
        """Until none of these workers is left and all places are filled again."""
        eventually(
            lambda: not any(map(is_running, former)) and len(self.workers) == self._worker_count,
            f"successors of the workers {former}",
        )
