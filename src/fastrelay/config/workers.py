"""How an operator says how many workers there are to be, and on which CPUs.

Lives here: that kind of value. Must not live here: choosing CPUs on this machine (service.privileges).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from fastrelay.config.kinds import Fault, Kind, Unfit, shown

WORKERS_MAX = 256
"""More than any machine has cores to give; one worker fills one."""
CPU_RANGE = re.compile(r"([0-9]{1,4})(?:-([0-9]{1,4}))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers, or on which CPUs; neither: as many as this process has CPUs."""

    count: int | None = None
    cpus: tuple[int, ...] = ()


@dataclass(frozen=True)
class WorkersKind(Kind[Workers]):
    """`auto`, a number of workers, or the CPU of each as `0-3,6`."""

    @property
    def allowed(self) -> str:
        return f"auto, a number from 1 to {WORKERS_MAX}, or a list of CPUs as 0-3,6 (one CPU alone: 4-4)"

    def read(self, text: str) -> object:
        return int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else text

    def parse(self, value: object) -> Workers:
        if value == "auto":
            return Workers()
        if isinstance(value, int) and not isinstance(value, bool):
            if not 1 <= value <= WORKERS_MAX:
                raise Unfit(Fault(f"{value}, must be 1 to {WORKERS_MAX}"))
            return Workers(count=value)
        # a number in quotation marks could be meant as a CPU
        if not isinstance(value, str) or value.isdigit():
            raise self._unfit(value)
        return Workers(cpus=self._cpus(value))

    def _cpus(self, text: str) -> tuple[int, ...]:
        cpus: list[int] = []
        for part in text.split(","):
            match = CPU_RANGE.fullmatch(part.strip())
            if match is None:
                raise self._unfit(text)
            first, last = int(match[1]), int(match[2] or match[1])
            if last < first:
                raise Unfit(Fault(f"{shown(text)}, in which {part.strip()} runs backwards"))
            cpus += range(first, last + 1)
        if twice := sorted({cpu for cpu in cpus if cpus.count(cpu) > 1}):
            raise Unfit(Fault(f"{shown(text)}, in which CPU {twice[0]} is there twice"))
        if len(cpus) > WORKERS_MAX:
            raise Unfit(Fault(f"{len(cpus)} CPUs, must be 1 to {WORKERS_MAX}"))
        return tuple(cpus)

    def build(self, value: Workers) -> object:
        return ",".join(map(str, value.cpus)) if value.cpus else value.count or "auto"

    def json_schema(self) -> dict[str, Any]:
        cpus = {"type": "string", "pattern": "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$"}
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": WORKERS_MAX}, {"const": "auto"}, cpus]}
