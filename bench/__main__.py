"""`python -m bench`: measures what packet path and transceiver promise, and leaves the report. `make bench` runs this.

Lives here: the command's options and exit codes. Must not live here: what there is to measure (catalogue), a run (run).
"""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from bench.catalogue import ALL, CHAPTERS, PARTS, wanted
from bench.load.failure import BenchFailure
from bench.report.files import RunFileError, read_run
from bench.report.model import Verdict
from bench.report.table import make_console, show, show_progress
from bench.run import check_checkout, folder_of, leave, measure
from bench.scenario import Length

HOLDS, UNUSABLE, MISSED = 0, 2, 3
"""1 is Python's own, for what has crashed or was interrupted: whoever forgives a missed bar must not forgive that."""


@click.command()
@click.option(
    "--short", "length", flag_value=Length.SHORT, type=Length, help="A few minutes: shows that it works; no result."
)
@click.option(
    "--full",
    "length",
    flag_value=Length.FULL,
    type=Length,
    help="Every peer, every curve, more rounds: what is published.",
)
@click.option("--twice", is_flag=True, help="Two runs that take turns, scenario by scenario: do they say the same?")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this part; may be given again.")
@click.option(
    "--only", multiple=True, type=click.Choice(ALL), metavar="SCENARIO", help="Only this; may be given again."
)
@click.option("--list", "is_list", is_flag=True, help="Measure nothing: list the scenarios.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder for run.json, report.html and summary.md.")
@click.option("--from", "from_path", type=click.Path(path_type=Path), help="Measure nothing: show this run.json again.")
def main(
    length: Length | None,
    twice: bool,
    parts: tuple[str, ...],
    only: tuple[str, ...],
    is_list: bool,
    out: Path | None,
    from_path: Path | None,
) -> None:
    """Measure the relay beside its floors, calls beside aiortc, and other relays with the same load.

    Without an option everything but what only a full run has: about ten minutes.

    \b
    Examples:
      python -m bench --only up-4096 --only loss
      python -m bench --part peers --full
      python -m bench --full --twice
      python -m bench --from build/bench/0123456789ab/run.json --out somewhere
    Exit code 0: every bar holds. 2: a figure failed: its counts do not add up, or it could not be measured here. 3: a
    bar is missed.
    """
    console = make_console()
    if is_list:
        show_scenarios(console)
        return
    if twice and (out or from_path):
        raise click.UsageError("--twice leaves two folders, beside each other: neither --out nor --from goes with it")
    try:
        if from_path is not None:
            runs = [read_run(from_path)]
            out = out or from_path.parent
        else:
            check_checkout()
            length = length or Length.STANDARD
            with show_progress(console) as progress:
                runs = measure(wanted(length, parts, only), length, progress, runs=2 if twice else 1)
    except (BenchFailure, RunFileError) as error:
        console.print(str(error), markup=False, highlight=False)
        sys.exit(UNUSABLE)
    for run in runs:
        left = leave(run, out or folder_of(run.card))
        show(run, console)
        for path in (left.run, left.page, left.summary):
            console.print(str(path), highlight=False)
    verdicts = {run.verdict for run in runs}
    sys.exit(UNUSABLE if Verdict.FAILED in verdicts else MISSED if Verdict.MISSED in verdicts else HOLDS)


def show_scenarios(console: Console) -> None:
    """What `--only` knows, by chapter."""
    for chapter in CHAPTERS:
        console.print(f"{chapter.title} ({chapter.part})", highlight=False, markup=False)
        for name, scenario in chapter.scenarios.items():
            rare = ", only in a full run" if scenario.is_only_full else ""
            console.print(f"  {name:<18} {scenario.what}{rare}", highlight=False, markup=False)


if __name__ == "__main__":
    main()
