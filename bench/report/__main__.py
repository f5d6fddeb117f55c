"""`python -m bench.report`: what is done with runs that have been made. `fastrelay bench compare` is the first of it.

Lives here: the commands. Must not live here: what counts as a change (compare), as agreeing (agreement), what may be
published (evidence), what a document may claim (claims).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NoReturn

import click
from rich.console import Console
from rich.table import Table

from bench.catalogue import CHAPTERS
from bench.load.build import ROOT
from bench.report.agreement import outcome_of, pairs_of
from bench.report.claims import ClaimError, claims_of, refreshed
from bench.report.compare import MARGIN, Change, Compared, Comparison, compare
from bench.report.evidence import NotPublishable, draw_again, publish
from bench.report.files import RUN, RunFileError, read_run
from bench.report.model import Run
from bench.report.table import make_console

NOTHING_SLOWER, SLOWER, UNUSABLE, UNKNOWN = 0, 1, 2, 3
COLOURS = {Change.SAME: "blue", Change.FASTER: "green", Change.SLOWER: "red", Change.UNKNOWN: "yellow"}
PERCENT = 100
EVIDENCE = ROOT / "docs" / "evidence"
DOCUMENTS = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

first_run = click.argument("first", metavar="A.json", type=click.Path(path_type=Path))
second_run = click.argument("second", metavar="B.json", type=click.Path(path_type=Path))
folder_option = click.option(
    "--out", "folder", type=click.Path(path_type=Path), default=EVIDENCE, help="The folder. Default: docs/evidence."
)


@click.group()
def main() -> None:
    """Compare runs, publish them, and keep the documents' numbers true."""


@main.command("compare")
@first_run
@second_run
@click.option(
    "--margin",
    type=click.FloatRange(0, 1),
    default=MARGIN,
    show_default=True,
    help="A relative difference below this is none.",
)
def compare_command(first: Path, second: Path, margin: float) -> None:
    """Tell what became faster or slower from run A to run B, and what the noise hides.

    "agree" asks less: whether the middle of one run lies within the spread that the other states.

    Exit code 0: nothing is slower. 1: something is. 2: a file cannot be used. 3: no figure at all could be told.
    """
    before, after = _read(first), _read(second)
    found = compare(before, after, margin)
    show(found, before, after, make_console())
    sys.exit(exit_code(found))


@main.command("publish")
@first_run
@second_run
@folder_option
def publish_command(first: Path, second: Path, folder: Path) -> None:
    """Make the evidence of a commit from two full runs of it: nothing in that folder is written by hand.

    \b
    Example: python -m bench.report publish build/bench/first/run.json build/bench/second/run.json
    """
    before, after = _read(first), _read(second)
    try:
        publish(before, after, folder, [chapter.key for chapter in CHAPTERS])
    except NotPublishable as error:
        _refuse(f"not published: {error}")
    click.echo(f"{folder}: {outcome_of(pairs_of(before, after))}")


@main.command("redraw")
@folder_option
def redraw_command(folder: Path) -> None:
    """Make page, summary, charts and agreement of the published runs again: how they are written has changed."""
    try:
        draw_again(folder)
    except RunFileError as error:
        _refuse(str(error))


@main.command("claims")
@click.option("--write", is_flag=True, help="Write the published numbers into the documents.")
@click.option("--run", "path", type=click.Path(path_type=Path), default=EVIDENCE / RUN, help="Default: the evidence.")
@click.argument("documents", nargs=-1, type=click.Path(path_type=Path))
def claims_command(write: bool, path: Path, documents: tuple[Path, ...]) -> None:
    """List every number that the documents claim, beside what was measured. Exit code 1: one is not what was measured.

    Without DOCUMENTS: README.md and docs/*.md.
    """
    run, is_true = _read(path), True
    for document in documents or DOCUMENTS:
        text = document.read_text()
        try:
            found = claims_of(text, run)
            if write and (fresh := refreshed(text, run)) != text:
                document.write_text(fresh)
        except ClaimError as error:
            _refuse(f"{document}: {error}")
        for claim in found:
            mark = "" if claim.is_true else f"  ->  {claim.should_be}"
            click.echo(f"{document.name}:{claim.line}: {claim.text}{mark}  #{claim.anchor}")
            is_true = is_true and (claim.is_true or write)
    sys.exit(0 if is_true else 1)


def _read(path: Path) -> Run:
    try:
        return read_run(path)
    except RunFileError as error:
        _refuse(str(error))


def _refuse(why: str) -> NoReturn:
    click.echo(f"bench report: {why}", err=True)
    sys.exit(UNUSABLE)


def exit_code(found: Comparison) -> int:
    """What the shell is told."""
    if found.count(Change.SLOWER):
        return SLOWER
    return UNKNOWN if found.count(Change.UNKNOWN) == len(found.figures) else NOTHING_SLOWER


def show(found: Comparison, before: Run, after: Run, console: Console) -> None:
    """One line for each figure, then what is in one run alone."""
    pairs = {pair.key: pair for pair in pairs_of(before, after)}
    table = Table("what", "change", "between", "verdict", "agree", "compared")
    for each in found.figures:
        coloured = f"[{COLOURS[each.change]}]{each.change}[/{COLOURS[each.change]}]"
        agrees = "agree" if pairs[each.key].agrees else "differ"
        table.add_row(each.what, *change_texts(each), coloured, agrees, each.basis)
    console.print(table)
    for warning in found.warnings:
        console.print(f"note: {warning}", highlight=False, markup=False)
    for name, missing in (("A", found.only_first), ("B", found.only_second)):
        if missing:
            console.print(f"only in {name}: {', '.join(missing)}", highlight=False, markup=False)
    counts = ", ".join(f"{found.count(change)} {change}" for change in Change)
    console.print(counts, highlight=False)
    console.print(outcome_of(list(pairs.values())), highlight=False)


def change_texts(each: Compared) -> tuple[str, str]:
    """The change, and its bounds."""
    if each.shift is None:
        return "", ""
    middle, low, high = (f"{PERCENT * value:+.1f} %" for value in (each.shift.middle, each.shift.low, each.shift.high))
    return middle, "" if low == high else f"{low} … {high}"


if __name__ == "__main__":
    main()
