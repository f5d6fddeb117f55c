"""One run: the wanted scenarios one after the other, some of them in several sittings, and what they leave behind.

Lives here: the order, what a failed scenario becomes, the folder of a run. Must not live here: options (__main__), what
there is to measure (catalogue), a scenario's process (attempt), how it is shown (report).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import Final

from rich.progress import Progress

import fastrelay
from bench.attempt import attempt
from bench.catalogue import CHAPTERS, Chapter
from bench.load.build import OUT, ROOT
from bench.load.card import Card, read_card
from bench.load.failure import BenchFailure
from bench.report.files import PAGE, RUN, SUMMARY, write_run
from bench.report.folder import show_in
from bench.report.measured import Measured
from bench.report.model import Run, Section
from bench.report.sittings import joined
from bench.scenario import SITTINGS, Length, Scenario

METHOD: Final = (
    "CPU time is that of the measured process alone, user and system; never packets per second of wall time.",
    "In a drain test the candidate is paused, up to 8,192 packets are queued in its socket, and it runs until none is.",
    "Candidate and floors run in turns. Each round gives one ratio: the figure is the median, with lowest and highest.",
    "A full run measures most of it four times, minutes apart and with new processes. A figure has the samples of all.",
    "A ratio that stands without lowest and highest is one of medians.",
    "Times are taken in an open loop: a packet is late by its own schedule, whether or not anyone kept up.",
    "Where packets or calls are counted, what became of them is kept. Where it does not add up, the figure has failed.",
    "A bar that is missed is written in the same words and at the same size as one that holds.",
)
RUNS_MAX: Final = 1000
"""Of one commit, side by side."""
ONLY_FULL: Final = "only in make bench-full"


def check_checkout() -> None:
    """BenchFailure when the fastrelay that would be measured is not this checkout's: the commit would be a lie."""
    measured = Path(fastrelay.__file__).resolve()
    if not measured.is_relative_to(ROOT / "src"):
        raise BenchFailure(f"this Python imports fastrelay from {measured.parent}, not from {ROOT / 'src'}: make setup")


def folder_of(card: Card, out: Path = OUT) -> Path:
    """Where a run of this commit leaves its files; a second run does not take the place of the first."""
    name = (card.commit or "unknown") + ("-dirty" if card.is_dirty else "")
    names = (name, *(f"{name}-{number}" for number in range(2, RUNS_MAX)))
    return next((out / each for each in names if not (out / each / RUN).exists()), out / name)


@dataclass
class Taking:
    """A run while it is measured."""

    card: Card
    done: dict[str, list[Measured]]
    started_s: float = field(default_factory=time.monotonic)
    elapsed_s: float = 0.0

    def take(self, name: str, measured: Measured) -> None:
        """One sitting of a scenario."""
        self.done[name].append(measured)
        self.elapsed_s = round(time.monotonic() - self.started_s, 1)

    def finished(self, chapters: Sequence[Chapter], length: Length) -> Run:
        """All sittings of each scenario as one."""
        measured = {name: joined(parts) for name, parts in self.done.items()}
        sections = tuple(_section(chapter, measured, length) for chapter in chapters)
        return Run(card=self.card, length=length, elapsed_s=self.elapsed_s, method=METHOD, sections=sections)


def measure(names: Collection[str], length: Length, progress: Progress, runs: int = 1) -> list[Run]:
    """Every wanted scenario. One that fails leaves its place in the report and stops nobody.

    Several runs take turns scenario by scenario, as a candidate and its floor do: the machine's hours fall on all.
    """
    chapters = [chapter for chapter in CHAPTERS if any(name in names for name in chapter.scenarios)]
    scenarios = {name: each for chapter in chapters for name, each in chapter.scenarios.items() if name in names}
    whole = progress.add_task("whole run", total=runs * sum(chapter.expected_s(length) for chapter in chapters))
    takings: list[Taking] = []
    for number, part in enumerate(order(scenarios, length), 1):
        for name in part:
            for at in turns(runs, number):
                if at == len(takings):
                    takings.append(Taking(read_card(), {each: [] for each in scenarios}))
                sitting = _sitting(scenarios[name], number, length)
                takings[at].take(name, attempt(name, sitting, length, progress))
                progress.advance(whole, _share_s(name, chapters, scenarios, length))
    return [taking.finished(chapters, length) for taking in takings]


def turns(runs: int, sitting: int) -> Sequence[int]:
    """Which run goes first: another one in every other sitting."""
    return range(runs) if sitting % 2 else range(runs)[::-1]


def order(scenarios: Mapping[str, Scenario], length: Length) -> list[list[str]]:
    """The names of each sitting. What is measured once is dealt among them, so that sittings lie apart."""
    sittings: list[list[str]] = [[] for _ in range(SITTINGS[length])]
    dealt = cycle(range(len(sittings)))
    for name, scenario in scenarios.items():
        for number in range(len(sittings)) if scenario.sits_again else [next(dealt)]:
            sittings[number].append(name)
    return sittings


def _sitting(scenario: Scenario, number: int, length: Length) -> Scenario:
    """With words that say which one it is, where there are several."""
    if not scenario.sits_again or SITTINGS[length] == 1:
        return scenario
    return replace(scenario, what=f"{scenario.what} ({number} of {SITTINGS[length]})")


def _share_s(name: str, chapters: Sequence[Chapter], scenarios: Mapping[str, Scenario], length: Length) -> float:
    """Of the whole run's expected time, what one sitting of this scenario takes."""
    chapter = next(chapter for chapter in chapters if name in chapter.scenarios)
    count = sum(name in scenarios for name in chapter.scenarios)
    return chapter.expected_s(length) / count / (SITTINGS[length] if scenarios[name].sits_again else 1)


def _section(chapter: Chapter, measured: dict[str, Measured], length: Length) -> Section:
    measured = {name: each for name, each in measured.items() if name in chapter.scenarios}
    left_out = {
        scenario.what: ONLY_FULL
        for name, scenario in chapter.scenarios.items()
        if scenario.is_only_full and name not in measured and length is not Length.FULL
    }
    return Section(
        key=chapter.key,
        title=chapter.title,
        lead=chapter.lead,
        may=chapter.may,
        may_not=chapter.may_not,
        figures=tuple(figure for each in measured.values() for figure in each.figures),
        curves=tuple(curve for each in measured.values() for curve in each.curves),
        data={
            f"{name}: {what}": tuple(float(sample) for sample in samples)
            for name, each in measured.items()
            for what, samples in each.data.items()
        },
        versions={name: text for each in measured.values() for name, text in each.versions.items()},
        not_run={name: reason for each in measured.values() for name, reason in each.not_run.items()} | left_out,
    )


@dataclass(frozen=True)
class Left:
    """The files of a run."""

    run: Path
    page: Path
    summary: Path


def leave(run: Run, folder: Path) -> Left:
    """Raw data first: they are there even if drawing should fail."""
    left = Left(folder / RUN, folder / PAGE, folder / SUMMARY)
    write_run(run, left.run)
    show_in(folder, run)
    return left
