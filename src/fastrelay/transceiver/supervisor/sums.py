"""What processes have counted, added up over their lives, so that a restart takes nothing back.

Lives here: which parts of a worker's status are counts, and adding them. Must not live here: their names towards
Prometheus (metrics).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

FAMILIES: Final = ("ended", "refused", "exchange", "agents", "answers")
"""Members of a status that are tables of counts; of those, what is no count is left out by its name."""
GAUGES: Final = frozenset({("agents", "running")})


@dataclass(slots=True)
class SetupTimes:
    """A histogram: the upper bounds of its buckets, how many fell into each, one more than bounds, and their sum."""

    bounds: tuple[float, ...] = ()
    counts: list[int] = field(default_factory=list)
    total_ms: float = 0.0

    def add(self, values: Mapping[str, Any]) -> None:
        bounds, counts = tuple(values.get("bounds", ())), list(values.get("counts", ()))
        if not counts:
            return
        if not self.counts:
            self.bounds, self.counts = bounds, [0] * len(counts)
        if bounds == self.bounds:  # a release with other buckets begins anew at its own start
            self.counts = [ours + theirs for ours, theirs in zip(self.counts, counts, strict=True)]
            self.total_ms += values.get("sum", 0.0)


@dataclass(slots=True)
class Sums:
    """Counts only ever rise here."""

    opened: int = 0
    cpu_s: float = 0.0
    turned_away: int = 0
    tables: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in FAMILIES})
    setup: SetupTimes = field(default_factory=SetupTimes)

    def add(self, status: Mapping[str, Any]) -> None:
        """A process's last status, or its latest."""
        self.opened += status.get("opened", 0)
        self.cpu_s += status.get("cpu_s", 0.0)
        self.turned_away += status.get("connections_turned_away", 0)
        for name, table in self.tables.items():
            for key, value in status.get(name, {}).items():
                if isinstance(value, int) and (name, key) not in GAUGES:
                    table[key] += value
        self.setup.add(status.get("setup_ms", {}))

    def plus(self, statuses: Iterable[Mapping[str, Any]]) -> Sums:
        """These and those, as another object."""
        setup = SetupTimes(self.setup.bounds, list(self.setup.counts), self.setup.total_ms)
        tables = {name: Counter(table) for name, table in self.tables.items()}
        total = Sums(self.opened, self.cpu_s, self.turned_away, tables, setup)
        for status in statuses:
            total.add(status)
        return total
