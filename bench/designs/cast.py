"""Who takes part, and a figure for each design that ours is held against.

Lives here: starting all designs with their callers, what could not be run, and from samples to figures. Must not live
here: what is measured (scenarios).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from bench.designs.party import Party
from bench.designs.servers import PER_SESSION, SINGLE_PORT, TIERS, Design, Tiers, per_session, single_port
from bench.peers.peer import NotRun
from bench.report.measured import series
from bench.report.model import Account, Figure

SHORT_NAMES: Final = {PER_SESSION: "aiortc", SINGLE_PORT: "pion"}
"""In keys."""
MAKERS: Final[Mapping[str, Callable[[], Design]]] = {
    PER_SESSION: per_session,
    SINGLE_PORT: single_port,
    TIERS: Tiers,
}

Samples = Mapping[str, Sequence[float]]
"""Of each design."""


@dataclass
class Cast:
    """The designs that run here, in turns. Enter it: they run, each with its callers."""

    wanted: Sequence[str] = tuple(MAKERS)
    parties: list[Party] = field(default_factory=list)
    not_run: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            for name in self.wanted:
                try:
                    design = MAKERS[name]()
                except NotRun as reason:
                    self.not_run[name] = str(reason)
                    continue
                if design.version:
                    self.versions[name] = design.version
                self.parties.append(undo.enter_context(Party(undo.enter_context(design))))
            self._undo = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._undo.close()

    @property
    def names(self) -> list[str]:
        """Of those that run."""
        return [party.design.name for party in self.parties]


def against_others(
    key: str,
    what: str,
    unit: str,
    samples: Samples,
    accounts: Mapping[str, Account] | None = None,
    *,
    note: str = "",
    headline: str = "",
    **more: Any,
) -> list[Figure]:
    """Ours beside each other design that took part: the same figure, with another floor.

    The note is shown once. The figure against `headline` goes to the top of the report. `more` is for Figure.
    """
    counted = accounts or {}
    others = [name for name in samples if name != TIERS]
    return [
        Figure(
            key=f"{key}/{SHORT_NAMES[other]}",
            what=f"{what}, against {SHORT_NAMES[other]}",
            unit=unit,
            value=series(TIERS, samples[TIERS]),
            floor=series(other, samples[other]),
            accounts=tuple(counted[name] for name in (TIERS, other) if name in counted),
            note=note if other == others[0] else "",
            is_headline=other == headline,
            **more,
        )
        for other in others
    ]


def percentiles_against_others(
    key: str, what: str, unit: str, samples: Samples, *, note: str = "", **more: Any
) -> list[Figure]:
    """The median and the 99th of all samples."""
    return [
        figure
        for percent in (50, 99)
        for figure in against_others(
            f"{key}-p{percent}",
            f"{what}, p{percent}",
            unit,
            samples,
            percent=float(percent),
            note=note if percent == 50 else "",
            **more,
        )
    ]
