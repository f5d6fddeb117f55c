"""What the gate says: tables, and for everything above its budget by how much, where it goes, and what to do.

Lives here: words. Must not live here: what is above (gate).
"""

import itertools
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.gate.budget import COUNTS, Budget, Ratios
from bench.gate.gate import Excess, Outcome
from bench.gate.measure import Figure
from bench.gate.ratios import Judged
from bench.load.build import EXT

# functions, and lines, shown of a phase
FUNCTIONS = 12
LINES = 30
DECIMALS = {"instructions": 1, "allocations": 4, "system_calls": 4}
IF_MEANT = "If the commit is worth it, raise the limit in bench/gate/budget.toml in the same commit and say there why."


def show(console: Console, outcome: Outcome, budget: Budget) -> None:
    """Both tables, then a paragraph for each excess."""
    if outcome.figures:
        console.print(count_table(outcome.figures, budget))
    if outcome.judged:
        console.print(ratio_table(outcome.judged))
    for excess in outcome.excesses:
        say(console, excess_words(excess))
        show_functions(console, excess.figure, excess.kind)
    for judged in outcome.ratios_above:
        say(console, ratio_words(judged, has_excesses=bool(outcome.excesses)))
    if outcome.is_alarm:
        say(console, IF_MEANT)


def say(console: Console, text: str) -> None:
    """A line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


def verdict(is_above: bool) -> str:
    """In its colour."""
    return "[red]ABOVE[/red]" if is_above else "[green]within[/green]"


def count_table(figures: Sequence[Figure], budget: Budget) -> Table:
    """One line a phase: each count, and its budget in brackets."""
    table = Table("per packet", *(f"{kind.replace('_', ' ')} (budget)" for kind in COUNTS), "verdict")
    for figure in figures:
        name = figure.phase.name
        cells = [f"{figure.counts[kind]:.{DECIMALS[kind]}f} ({budget.counts[kind][name]:g})" for kind in COUNTS]
        is_above = any(figure.counts[kind] > budget.counts[kind][name] for kind in COUNTS)
        table.add_row(name, *cells, verdict(is_above))
    return table


def ratio_table(judged: Sequence[Judged]) -> Table:
    """One line a pair."""
    table = Table("CPU time to floor", "ratio", "interval (99 %)", "limit", "sessions", "verdict")
    for each in judged:
        found = each.decision
        interval = f"{found.low:.3f} to {found.high:.3f}"
        by_median = "" if found.is_clear else ", by its median"
        ending = verdict(found.is_above) + by_median
        table.add_row(
            each.pair.name, f"{found.middle:.3f}", interval, f"{found.limit:.3f}", str(found.sessions), ending
        )
    return table


def excess_words(excess: Excess) -> str:
    """Which budget, and by how much."""
    decimals, kind = DECIMALS[excess.kind], excess.kind.replace("_", " ")
    share = f", {excess.value / excess.budget - 1:.1%} above" if excess.budget else ""
    phase = excess.figure.phase
    return (
        f"{phase.name} ({phase.what}): {excess.value:.{decimals}f} {kind} per packet, budget {excess.budget:g}{share}. "
        f"The same on every run: `python -m bench.gate --phase {phase.name} --lines` shows the lines that cost most, "
        "here and on the commit before."
    )


def ratio_words(judged: Judged, *, has_excesses: bool) -> str:
    """Which limit, by how much, and where to look."""
    found = judged.decision
    sureness = (
        f"sure after {found.sessions} sessions" if found.is_clear else f"undecided after {found.sessions} sessions"
    )
    where = (
        "What is above among the counts explains it first."
        if has_excesses
        else "No count has risen above its budget: look for dearer system calls (options, sizes, no UDP_SEGMENT), for "
        "memory that misses the cache, for slow instructions (`perf stat`, `perf record` on the relay's process)."
    )
    return (
        f"{judged.pair.name} ({judged.pair.what}): {found.middle:.3f} times the CPU time of the floor, limit "
        f"{found.limit:.3f}, {found.middle / found.limit - 1:.1%} above, {sureness}. {where}"
    )


def elsewhere(ratios: Ratios) -> str:
    """Why the limits are wide here."""
    return (
        f"The usual ratios are of another kind of machine ({ratios.processor}, Linux {ratios.kernel}): here their "
        f"limits stand {ratios.margin_elsewhere:.0%} above them instead of {ratios.margin:.0%}."
    )


def show_functions(console: Console, found: Figure, kind: str = "instructions") -> None:
    """Where the instructions of a phase go, or its system calls, largest first."""
    counts, by_function = "instructions", found.by_function
    if kind == "system_calls":
        counts, by_function = kind, found.calls_by_function
    table = Table(f"{counts.replace('_', ' ')} per packet", "function", title=found.phase.what, title_justify="left")
    for name, count in itertools.islice(by_function.items(), FUNCTIONS):
        if count:
            table.add_row(f"{count:.{DECIMALS[counts]}f}", name)
    console.print(table)


def show_lines(console: Console, found: Figure) -> None:
    """The lines that cost most, with their text where the source is at hand."""
    for line, count in itertools.islice(found.by_line.items(), LINES):
        path = source_of(line.file)
        text = path.read_text().splitlines()[line.number - 1].strip() if path else ""
        place = f"{path.name if path else line.file}:{line.number}"
        say(console, f"{count:7.1f}  {place:<24} {text[:90]}")


def source_of(file: str) -> Path | None:
    """The source behind a name of the profile; headers seem to lie where the generated C was compiled."""
    for path in (Path(file), EXT / file.rpartition("/ext/")[2]):
        if path.is_file():
            return path
    return None
