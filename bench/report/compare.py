"""Two runs beside each other: what is faster, what is slower, what is the same, and what nobody can tell.

Lives here: which samples are compared, and what their distance means. Must not live here: the arithmetic (rank), files
(files), terminals (__main__).

Where a figure has a floor that took turns with it, ratios to the floor are compared, round by round: whatever the
machine did fell on both. Figures without one are compared only if both runs come from one machine. The error that is
allowed is that of the whole comparison, divided among its figures: thirty figures are not thirty chances of an alarm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import expm1, log, log1p
from typing import Final

from bench.report.model import Better, Figure, Run, Verdict
from bench.report.rank import Shift, shift_of
from bench.scenario import Length

ERROR: Final = 0.05
"""The probability that anything at all is called faster or slower by chance, were all samples independent. Rounds of
one sitting are not: they share their processes. The margin is against that, and does not always suffice."""
MARGIN: Final = 0.05
"""A difference below it is none: so much moves between two runs of one commit (layout, temperature, neighbours)."""
VALUE_MARGIN: Final = 0.25
"""The least margin of values without a floor beside them: on a shared machine they move as a whole from run to run."""
EXACT_MARGIN: Final = 0.01
"""Of counts that are the same from run to run."""


class Change(StrEnum):
    """What became of a figure from the first run to the second."""

    SAME = "same"
    FASTER = "faster"
    SLOWER = "slower"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure in both runs. The shift is relative: 0.1 is ten per cent more."""

    key: str
    what: str
    change: Change
    shift: Shift | None
    basis: str
    """What was compared, or why nothing could be."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """All figures that are in both runs, and the names of those that are in one."""

    figures: tuple[Compared, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    warnings: tuple[str, ...]

    def count(self, change: Change) -> int:
        """How many figures changed so."""
        return sum(each.change is change for each in self.figures)


def compare(first: Run, second: Run, margin: float = MARGIN) -> Comparison:
    """From the first run to the second."""
    ours = {figure.key: figure for figure in first.figures()}
    theirs = {figure.key: figure for figure in second.figures()}
    shared = [key for key in ours if key in theirs]
    is_one_machine = machine_of(first) == machine_of(second)
    tested = sum(not ours[key].is_exact for key in shared)
    error = ERROR / max(tested, 1)
    return Comparison(
        figures=tuple(_compared(ours[key], theirs[key], is_one_machine, error, margin) for key in shared),
        only_first=tuple(figure.what for key, figure in ours.items() if key not in theirs),
        only_second=tuple(figure.what for key, figure in theirs.items() if key not in ours),
        warnings=tuple(_warnings(first, second, is_one_machine)),
    )


def machine_of(run: Run) -> tuple[object, ...]:
    """What must be equal for nanoseconds to be comparable."""
    card = run.card
    return (card.processor, card.processors, card.hypervisor, card.mitigations, card.kernel)


def _warnings(first: Run, second: Run, is_one_machine: bool) -> list[str]:
    named = (("first", first), ("second", second))
    found = [
        f"the {name} run is a short one: its figures are no result" for name, run in named if run.length is Length.SHORT
    ]
    found += [f"the {name} run is of a tree with changes" for name, run in named if run.card.is_dirty]
    if not is_one_machine:
        found.append("the machines differ: only ratios to a floor of the same run, and exact counts, are compared")
    return found


def _compared(first: Figure, second: Figure, is_one_machine: bool, error: float, margin: float) -> Compared:
    def ended(change: Change, basis: str, shift: Shift | None = None) -> Compared:
        return Compared(first.key, second.what, change, shift, basis)

    if Verdict.FAILED in {first.verdict, second.verdict}:
        return ended(Change.UNKNOWN, "failed to measure in one of the runs")
    if (first.unit, first.better, first.is_exact) != (second.unit, second.better, second.is_exact):
        return ended(Change.UNKNOWN, "the two runs do not measure the same")
    basis, before, after = _samples(first, second)
    if first.is_exact:
        return _exactly(first, second)
    if basis == VALUES and not is_one_machine:
        return ended(Change.UNKNOWN, "there is no floor beside it, and the machines differ")
    if not before or not after or min(*before, *after) <= 0:
        return ended(Change.UNKNOWN, "some samples are zero: nothing to form a ratio of")
    shift = shift_of([log(each) for each in before], [log(each) for each in after], error)
    if shift is None:
        return ended(Change.UNKNOWN, f"{len(before)} and {len(after)} samples are too few to tell")
    if basis == VALUES:
        margin = max(margin, VALUE_MARGIN)
    relative = Shift(expm1(shift.middle), expm1(shift.low), expm1(shift.high))
    return ended(_judge(shift, margin, first.better), basis, relative)


RATIOS: Final = "ratios to the floor, round by round"
VALUES: Final = "values"


def _samples(first: Figure, second: Figure) -> tuple[str, Sequence[float], Sequence[float]]:
    if first.is_paired and second.is_paired and first.floor is not None and second.floor is not None:
        return RATIOS, first.ratios(), second.ratios()
    assert first.value is not None
    assert second.value is not None
    return VALUES, first.value.samples, second.value.samples


def _judge(shift: Shift, margin: float, better: Better) -> Change:
    """Both must be so: chance is excluded, and the difference is large enough to matter."""
    threshold = log1p(margin)
    if shift.low > 0 and shift.middle >= threshold:
        return Change.SLOWER if better is Better.LOWER else Change.FASTER
    if shift.high < 0 and shift.middle <= -threshold:
        return Change.FASTER if better is Better.LOWER else Change.SLOWER
    return Change.SAME if -threshold <= shift.low and shift.high <= threshold else Change.UNKNOWN


def _exactly(first: Figure, second: Figure) -> Compared:
    before, after = first.spread(), second.spread()
    assert before is not None
    assert after is not None
    base = abs(before.middle)
    difference = after.middle - before.middle
    relative = difference / base if base else float(difference != 0) * (1 if difference > 0 else -1)
    is_worse = (relative > 0) is (first.better is Better.LOWER)
    change = Change.SAME if abs(relative) <= EXACT_MARGIN else Change.SLOWER if is_worse else Change.FASTER
    return Compared(first.key, second.what, change, Shift(relative, relative, relative), "the same from run to run")
