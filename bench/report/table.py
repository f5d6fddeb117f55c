"""A run on a terminal: the machine card and one line per figure.

Lives here: rich. Must not live here: how numbers are written (wording).
"""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.report.model import Run, Verdict
from bench.report.wording import cells

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
    """A line for each scenario, on standard error when that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True) if console.is_terminal else console)
