"""The whole gate: counts and ratios of this relay, or of one slowed down on purpose, against the budget.

Lives here: one run, and what of it is above. Must not live here: how anything is measured, how it is shown (words).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.gate.budget import COUNTS, Budget
from bench.gate.measure import PHASES, Figure, Phase, measure_phases
from bench.gate.ratios import Judged, judge
from bench.gate.slowing import Slowing


@dataclass(frozen=True)
class Excess:
    """One count above its budget."""

    figure: Figure
    kind: str
    value: float
    budget: float


@dataclass(frozen=True)
class Outcome:
    """One run of the gate."""

    figures: list[Figure]
    judged: list[Judged]
    excesses: list[Excess]

    @property
    def ratios_above(self) -> list[Judged]:
        """Those pairs whose ratio is above its limit."""
        return [each for each in self.judged if each.decision.is_above]

    @property
    def is_alarm(self) -> bool:
        """Whether anything is above its budget."""
        return bool(self.excesses or self.ratios_above)


def run_gate(
    budget: Budget,
    margin: float,
    slowing: Slowing | None = None,
    *,
    phases: Sequence[Phase] = PHASES,
    has_ratios: bool = True,
    say: Callable[[str], None],
) -> Outcome:
    """Counts first, since they are certain; then ratios, which take as long as it takes to be sure."""
    figures = []
    for figure in measure_phases(phases, slowing):
        say(f"counted: {figure.phase.what}")
        figures.append(figure)

    def session_done(each: Judged) -> None:
        decision = each.decision
        say(
            f"session {decision.sessions} of {each.pair.name}: ratio {decision.middle:.3f} "
            f"({decision.low:.3f} to {decision.high:.3f}), limit {decision.limit:.3f}"
        )

    judged = judge(budget.ratios.limits(margin), slowing, session_done) if has_ratios else []
    return Outcome(figures, judged, excesses_of(figures, budget))


def excesses_of(figures: Sequence[Figure], budget: Budget) -> list[Excess]:
    """Each count that is above."""
    return [
        Excess(figure, kind, figure.counts[kind], allowed)
        for figure in figures
        for kind in COUNTS
        if figure.counts[kind] > (allowed := budget.counts[kind][figure.phase.name])
    ]
