"""A run on a terminal: the machine card and one line per figure.

Lives here: rich. Must not live here: how numbers are written (wording).
"""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from bench.report.model import Run, Verdict
from bench.report.wording import cells

SPEED_FROM_S = 300.0
"""The whole run's remaining time follows from its last minutes; a shorter memory would forget whole scenarios."""
COLOURS = {Verdict.HOLDS: "green", Verdict.MISSED: "red", Verdict.REPORTED: "blue", Verdict.FAILED: "yellow"}


def show(run: Run, console: Console) -> None:
    """The card, the table, and what needs a sentence."""
    for key, value in run.card.lines().items():
        console.print(f"{key:>14}  {value}", highlight=False, markup=False)
    for section in run.sections:
        table = Table(title=section.title, title_justify="left", expand=False)
        for heading in ("what", "value", "floor", "ratio", "bar", "verdict"):
            table.add_column(heading, overflow="fold")
        for figure in section.figures:
            verdict = figure.verdict
            coloured = f"[{COLOURS[verdict]}]{verdict}[/{COLOURS[verdict]}]"
            table.add_row(figure.what, *cells(figure), coloured)
        console.print(table)
        for name, reason in section.not_run.items():
            console.print(f"{name}: not run here, {reason}", highlight=False, markup=False)
    for figure in run.figures():
        for sentence in (*figure.failures(), figure.note):
            if sentence:
                console.print(f"{figure.what}: {sentence}", highlight=False, markup=False)


def make_console() -> Console:
    """As wide as the terminal; as wide as the table where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=140)


def show_progress(console: Console) -> Progress:
    """A line for the whole and one for each scenario, on standard error when that is a terminal. Whoever advances it
    refreshes it: a thread that did would be in the way of processes that are forked meanwhile."""
    columns = (
        *(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()),
        *(TimeElapsedColumn(), TimeRemainingColumn(compact=True)),
    )
    own = Console(stderr=True) if console.is_terminal else console
    return Progress(*columns, console=own, auto_refresh=False, speed_estimate_period=SPEED_FROM_S)
