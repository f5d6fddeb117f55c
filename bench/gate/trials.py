"""`python -m bench.gate.trials`: does the gate notice a relay 10 % slower, and is it silent about one that is not?

Lives here: the trials of the whole gate, their record, and the verdict. Must not live here: the gate (gate), the
burden (slowing). Nothing of this reaches production code: a slowed relay is the same build with a library preloaded.

A record is continued: each call does as many trials as fit its time, so that a shared machine is not held for long.
"""

import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.table import Table

from bench.gate.budget import load_budget
from bench.gate.gate import Outcome, run_gate
from bench.gate.slowing import Slowing
from bench.load.build import OUT
from bench.load.card import read_card
from bench.report.table import make_console

SLOWER: Final = 0.1
RECORD: Final = OUT / "gate" / "trials.json"


class Kind(StrEnum):
    """What was done to the relay."""

    UNCHANGED = "unchanged"
    WORK = "10 % more CPU time"  # in user space, for each datagram
    BATCH = "batches half as large"


WANTED: Final = {Kind.UNCHANGED: 20, Kind.WORK: 10, Kind.BATCH: 3}


@dataclass(frozen=True)
class Trial:
    """One run of the gate."""

    kind: str
    is_alarm: bool
    counts_above: list[str]
    ratios_above: list[str]
    ratios: dict[str, float]
    counts: dict[str, dict[str, float]]
    """By phase and kind."""
    relay_ns: dict[str, float]
    sessions: int
    seconds: float
    load_average: float

    @property
    def is_right(self) -> bool:
        """An alarm if and only if something was done."""
        return self.is_alarm == (self.kind != Kind.UNCHANGED)


def trial_of(kind: Kind, outcome: Outcome, seconds: float) -> Trial:
    """What is kept of a run."""
    return Trial(
        kind=kind.value,
        is_alarm=outcome.is_alarm,
        counts_above=[f"{excess.kind}/{excess.figure.phase.name}" for excess in outcome.excesses],
        ratios_above=[each.pair.name for each in outcome.ratios_above],
        ratios={each.pair.name: each.decision.middle for each in outcome.judged},
        counts={figure.phase.name: figure.counts for figure in outcome.figures},
        relay_ns={each.pair.name: statistics.median(each.relay_ns) for each in outcome.judged},
        sessions=sum(each.decision.sessions for each in outcome.judged),
        seconds=round(seconds, 1),
        load_average=os.getloadavg()[0],
    )


def next_kind(done: Sequence[Trial], wanted: dict[Kind, int]) -> Kind | None:
    """The kind that is furthest behind, the unchanged relay first: what 10 % is follows from it. None when done."""
    counts = {kind: sum(1 for trial in done if trial.kind == kind) for kind in wanted}
    behind = [kind for kind in wanted if counts[kind] < wanted[kind]]
    return min(behind, key=lambda kind: counts[kind] / wanted[kind], default=None)


def slowing_of(kind: Kind, done: Sequence[Trial]) -> Slowing | None:
    """The burden of a kind; a tenth of what a packet has cost the unchanged relay, way by way."""
    if kind is Kind.UNCHANGED:
        return None
    if kind is Kind.BATCH:
        return Slowing(batch_divisor=2)
    usual = [trial.relay_ns for trial in done if trial.kind == Kind.UNCHANGED]
    up = statistics.median(each["up-4096/receive"] for each in usual)
    down = statistics.median(each["down-4096/send"] for each in usual)
    return Slowing(up_ns=SLOWER * up, down_ns=SLOWER * down)


def read_record(path: Path) -> list[Trial]:
    """The trials so far."""
    return [Trial(**each) for each in json.loads(path.read_text())] if path.exists() else []


def write_record(path: Path, done: Sequence[Trial]) -> None:
    """All trials, in their order."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(trial) for trial in done], indent=1) + "\n")


def show(console: Console, done: Sequence[Trial], wanted: dict[Kind, int]) -> None:
    """One line a kind: how many gave the alarm, which part of the gate did, how the ratios stood, how long it took."""
    headings = ("relay", "trials", "alarms", "by counts", "by ratios", "median ratios", "seconds each")
    table = Table(*headings, title="Trials of the gate", title_justify="left")
    for kind, count in wanted.items():
        trials = [trial for trial in done if trial.kind == kind]
        if not trials:
            continue
        names = trials[0].ratios
        ratios = ", ".join(f"{statistics.median(trial.ratios[name] for trial in trials):.3f}" for name in names)
        seconds = [trial.seconds for trial in trials]
        table.add_row(
            kind,
            f"{len(trials)} of {count}",
            str(sum(trial.is_alarm for trial in trials)),
            str(sum(bool(trial.counts_above) for trial in trials)),
            str(sum(bool(trial.ratios_above) for trial in trials)),
            ratios,
            f"{statistics.median(seconds):.0f} ({min(seconds):.0f}–{max(seconds):.0f})",
        )
    console.print(table)


@click.command()
@click.option("--for-s", "for_s", type=float, default=1200.0, show_default=True, help="Begin no trial after this time.")
@click.option("--record", type=click.Path(dir_okay=False, path_type=Path), default=RECORD, show_default=True)
def main(for_s: float, record: Path) -> None:
    """Run the whole gate 20 times over the relay as it is, 10 times over one made 10 % dearer and 3 times over one
    whose batches are half as large.

    \b
    Exit code 0: each trial was right. 1: one was not. 3: not all are done yet, go on with another call.
    """
    console = make_console()
    budget = load_budget()
    margin = budget.ratios.margin_on(read_card())
    done = read_record(record)
    until = time.monotonic() + for_s
    while (kind := next_kind(done, WANTED)) is not None and time.monotonic() < until:
        started = time.monotonic()
        outcome = run_gate(budget, margin, slowing_of(kind, done), say=lambda _: None)
        trial = trial_of(kind, outcome, time.monotonic() - started)
        done.append(trial)
        write_record(record, done)
        above = ", ".join([*trial.counts_above, *trial.ratios_above]) or "nothing"
        console.print(f"{kind}: {above} above, {trial.seconds:.0f} s", markup=False, highlight=False)
    show(console, done, WANTED)
    wrong = [trial for trial in done if not trial.is_right]
    for trial in wrong:
        console.print(f"wrong: {trial}", markup=False, highlight=False)
    sys.exit(1 if wrong else 3 if kind is not None else 0)


if __name__ == "__main__":
    main()
