"""One run: the wanted scenarios one after the other, and what they leave behind.

Lives here: the order, what a failed scenario becomes, the folder of a run. Must not live here: options (__main__), what
there is to measure (catalogue), a scenario's process (attempt), how it is shown (report).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.progress import Progress

import fastrelay
from bench.attempt import attempt
from bench.catalogue import CHAPTERS, Chapter
from bench.load.build import OUT, ROOT
from bench.load.card import Card, read_card
from bench.load.failure import BenchFailure
from bench.report.charts import draw
from bench.report.files import PAGE, RUN, SUMMARY, write_run
from bench.report.measured import Measured
from bench.report.model import Run, Section
from bench.report.page import build_page
from bench.report.summary import build_summary
from bench.scenario import Length

METHOD: Final = (
    "CPU time is that of the measured process alone, user and system; never packets per second of wall time.",
    "In a drain test the candidate is paused, up to 8,192 packets are queued in its socket, and it runs until none is.",
    "Candidate and floors run in turns. Each round gives one ratio: the figure is the median, with lowest and highest.",
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


def measure(names: Collection[str], length: Length, progress: Progress) -> Run:
    """Every wanted scenario. One that fails leaves its place in the report and stops nobody."""
    card, started_s = read_card(), time.monotonic()
    chapters = [chapter for chapter in CHAPTERS if any(name in names for name in chapter.scenarios)]
    whole = progress.add_task("whole run", total=sum(chapter.expected_s(length) for chapter in chapters))
    sections = []
    for chapter in chapters:
        chosen = [name for name in chapter.scenarios if name in names]
        share_s = chapter.expected_s(length) / len(chosen)
        done = {}
        for name in chosen:
            done[name] = attempt(name, chapter.scenarios[name], length, progress)
            progress.advance(whole, share_s)
        sections.append(_section(chapter, done, length))
    return Run(
        card=card,
        length=length,
        elapsed_s=round(time.monotonic() - started_s, 1),
        method=METHOD,
        sections=tuple(sections),
    )


def _section(chapter: Chapter, measured: dict[str, Measured], length: Length) -> Section:
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
    left.page.write_text(build_page(run, draw(run)))
    left.summary.write_text(build_summary(run))
    return left
