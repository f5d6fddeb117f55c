"""Two runs of one commit: whether the second says what the first said, figure by figure.

Lives here: what agreeing is, and the page that says so. Must not live here: whether something became faster or slower
(compare), how numbers are written (wording).

Agreeing is about what a reader is told: a middle and a spread. Two runs agree on a figure when the middle of one lies
within the spread that the other states, or when the middles lie no farther apart than what is called no difference
anywhere in these benchmarks. A figure that failed in either run agrees with nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from bench.report.compare import EXACT_MARGIN, MARGIN, VALUE_MARGIN
from bench.report.model import Figure, Run, Spread, Verdict
from bench.report.wording import anchor, cell, ratio_text, spread_text

PERCENT: Final = 100


class Basis(StrEnum):
    """What of a figure is put beside the same of the other run."""

    RATIO = "ratio"
    VALUE = "value"
    COUNT = "count"


RULE: Final = (
    "They agree on a figure when the middle of one run lies within the spread that the other states, or when the "
    f"middles are at most {MARGIN:.0%} apart ({VALUE_MARGIN:.0%} for values that have no floor beside them, "
    f"{EXACT_MARGIN:.0%} for counts). Where the samples are single calls and not rounds, their spread is wide, and "
    "agreeing says little. A figure that failed in either run agrees with nothing."
)
IN_TURNS: Final = (
    "They took turns, scenario by scenario, each with processes of its own, so the machine's hours fell on both. Runs "
    "of different hours lie farther apart."
)
MARGINS: Final = {Basis.RATIO: MARGIN, Basis.VALUE: VALUE_MARGIN, Basis.COUNT: EXACT_MARGIN}


@dataclass(frozen=True, slots=True)
class Pair:
    """One figure in both runs; a spread is None where it failed."""

    key: str
    what: str
    unit: str
    basis: Basis
    first: Spread | None
    second: Spread | None

    @property
    def agrees(self) -> bool:
        """Whether a reader of either run is told the same."""
        if self.first is None or self.second is None:
            return False
        is_within = _holds(self.first, self.second.middle) or _holds(self.second, self.first.middle)
        apart = abs(self.second.middle - self.first.middle)
        return is_within or apart <= MARGINS[self.basis] * abs(self.first.middle)

    def word(self) -> str:
        """As it is printed."""
        return "agree" if self.agrees else "**differ**"


def pairs_of(first: Run, second: Run) -> list[Pair]:
    """Every figure of the first run. One that the second lacks differs, unless that run was of a shorter kind."""
    theirs = {figure.key: figure for figure in second.figures()}
    is_whole = first.length is second.length
    return [_pair(each, theirs.get(each.key)) for each in first.figures() if is_whole or each.key in theirs]


def _pair(first: Figure, second: Figure | None) -> Pair:
    # a floor of zero (nothing lost where nothing happened) stands beside a value and gives no ratio
    basis = Basis.COUNT if first.is_exact else Basis.RATIO if first.ratio() is not None else Basis.VALUE
    return Pair(first.key, first.what, first.unit, basis, _told(first, basis), _told(second, basis))


def _told(figure: Figure | None, basis: Basis) -> Spread | None:
    if figure is None or figure.verdict is Verdict.FAILED:
        return None
    return _ratio(figure) if basis is Basis.RATIO else figure.spread()


def _ratio(figure: Figure) -> Spread | None:
    """Where value and floor are no pairs, each states its own spread, and the ratio lies within what both allow."""
    ratio, value, floor = figure.ratio(), figure.spread(), figure.floor_spread()
    if figure.is_paired or ratio is None or value is None or floor is None or floor.low <= 0:
        return ratio
    return Spread(ratio.middle, value.low / floor.high, value.high / floor.low)


def _holds(spread: Spread, value: float) -> bool:
    return spread.low <= value <= spread.high


def build_agreement(first: Run, second: Run) -> str:
    """The page, in Markdown."""
    pairs = pairs_of(first, second)
    which = (
        f"Two {first.length} runs of commit `{first.card.commit}` on one machine: one measured "
        f"{first.card.measured_at}, which is [summary.md](summary.md), and one measured {second.card.measured_at}."
    )
    if took_turns(first, second):
        which += f" {IN_TURNS}"
    lines = [f"# {outcome_of(pairs)}", "", which, "", RULE]
    for basis, heading in ((Basis.RATIO, "Ratios"), (Basis.VALUE, "Values without a floor"), (Basis.COUNT, "Counts")):
        of_basis = [pair for pair in pairs if pair.basis is basis]
        if of_basis:
            lines += ["", f"## {heading}", "", "| what | first run | second run | apart | |", "|---|---|---|---|---|"]
            lines += [_row(pair) for pair in of_basis]
    return "\n".join(lines) + "\n"


def took_turns(first: Run, second: Run) -> bool:
    """Whether the second began before the first had ended."""
    first_s, second_s = (datetime.fromisoformat(run.card.measured_at).timestamp() for run in (first, second))
    return second_s < first_s + first.elapsed_s


def outcome_of(pairs: Sequence[Pair]) -> str:
    """Both runs in one sentence."""
    counts = [
        f"{sum(pair.agrees for pair in of_basis)} of {len(of_basis)} {basis}s"
        for basis in Basis
        if (of_basis := [pair for pair in pairs if pair.basis is basis])
    ]
    return f"Two runs agree on {', '.join(counts)}"


def _row(pair: Pair) -> str:
    link = f"[{cell(pair.what)}](summary.md#{anchor(pair.key)})"
    return f"| {link} | {_text(pair, pair.first)} | {_text(pair, pair.second)} | {_apart(pair)} | {pair.word()} |"


def _text(pair: Pair, spread: Spread | None) -> str:
    if spread is None:
        return "failed"
    return ratio_text(spread) if pair.basis is Basis.RATIO else spread_text(spread, pair.unit)


def _apart(pair: Pair) -> str:
    if pair.first is None or pair.second is None or not pair.first.middle:
        return ""
    return f"{PERCENT * (pair.second.middle / pair.first.middle - 1):+.1f} %"
