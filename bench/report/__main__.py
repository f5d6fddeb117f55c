"""`python -m bench.report A.json B.json`: what changed from one run to another. `fastrelay bench compare` runs this.

Lives here: the command. Must not live here: what counts as a change (compare).
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.report.compare import MARGIN, Change, Compared, Comparison, compare
from bench.report.files import RunFileError, read_run
from bench.report.table import make_console

NOTHING_SLOWER, SLOWER, UNUSABLE, UNKNOWN = 0, 1, 2, 3
COLOURS = {Change.SAME: "blue", Change.FASTER: "green", Change.SLOWER: "red", Change.UNKNOWN: "yellow"}
PERCENT = 100


@click.command()
@click.argument("first", metavar="A.json", type=click.Path(path_type=Path))
@click.argument("second", metavar="B.json", type=click.Path(path_type=Path))
@click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    default=MARGIN,
    show_default=True,
    help="A relative difference below this is none.",
)
def main(first: Path, second: Path, margin: float) -> None:
    """Tell what became faster or slower from run A to run B, and what the noise hides.

    Exit code 0: nothing is slower. 1: something is. 2: a file cannot be used. 3: no figure at all could be told.
    """
    console = make_console()
    try:
        found = compare(read_run(first), read_run(second), margin)
    except RunFileError as error:
        click.echo(f"fastrelay bench compare: {error}", err=True)
        sys.exit(UNUSABLE)
    show(found, console)
    sys.exit(exit_code(found))


def exit_code(found: Comparison) -> int:
    """What the shell is told."""
    if found.count(Change.SLOWER):
        return SLOWER
    return UNKNOWN if found.count(Change.UNKNOWN) == len(found.figures) else NOTHING_SLOWER


def show(found: Comparison, console: Console) -> None:
    """One line for each figure, then what is in one run alone."""
    table = Table("what", "change", "between", "verdict", "compared")
    for each in found.figures:
        coloured = f"[{COLOURS[each.change]}]{each.change}[/{COLOURS[each.change]}]"
        table.add_row(each.what, *change_texts(each), coloured, each.basis)
    console.print(table)
    for warning in found.warnings:
        console.print(f"note: {warning}", highlight=False, markup=False)
    for name, missing in (("A", found.only_first), ("B", found.only_second)):
        if missing:
            console.print(f"only in {name}: {', '.join(missing)}", highlight=False, markup=False)
    counts = ", ".join(f"{found.count(change)} {change}" for change in Change)
    console.print(counts, highlight=False)


def change_texts(each: Compared) -> tuple[str, str]:
    """The change, and its bounds."""
    if each.shift is None:
        return "", ""
    middle, low, high = (f"{PERCENT * value:+.1f} %" for value in (each.shift.middle, each.shift.low, each.shift.high))
    return middle, "" if low == high else f"{low} … {high}"


if __name__ == "__main__":
    main()
