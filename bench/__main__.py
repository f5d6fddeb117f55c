"""`python -m bench`: measures what packet path and transceiver promise, and leaves the report. `make bench` runs this.

Lives here: the command's options and exit codes. Must not live here: what there is to measure (catalogue), a run (run).
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.catalogue import ALL, CHAPTERS, PARTS, Circumstances
from bench.load.failure import BenchFailure
from bench.report.files import RunFileError, read_run
from bench.report.model import Verdict
from bench.report.table import make_console, show, show_progress
from bench.run import check_checkout, folder_of, leave, measure

HOLDS, MISSED, UNUSABLE = 0, 1, 2


@click.command()
@click.option("--short", is_flag=True, help="Few rounds, few packets: shows that the harness works, not a result.")
@click.option("--part", "parts", multiple=True, type=click.Choice(PARTS), help="Only this part; may be given again.")
@click.option("--only", multiple=True, type=click.Choice(ALL), help="Only this scenario; may be given again.")
@click.option("--out", type=click.Path(path_type=Path), help="The folder for run.json, report.html and summary.md.")
@click.option("--loss-packets", type=click.IntRange(min=1000), help="Packets of the loss run.")
@click.option("--from", "from_path", type=click.Path(path_type=Path), help="Measure nothing: show this run.json again.")
def main(
    short: bool,
    parts: tuple[str, ...],
    only: tuple[str, ...],
    out: Path | None,
    loss_packets: int | None,
    from_path: Path | None,
) -> None:
    """Measure the packet path beside its floors, and calls beside aiortc.

    \b
    Examples:
      python -m bench --only up-4096 --only hop
      python -m bench --from build/bench/0123456789ab/run.json --out docs/evidence
    Exit code 0: every bar holds. 1: a bar is missed. 2: a figure failed: its counts do not add up, or it could not be
    measured here.
    """
    console = make_console()
    try:
        if from_path is not None:
            run = read_run(from_path)
            folder = out or from_path.parent
        else:
            check_checkout()
            with show_progress(console) as progress:
                run = measure(_wanted(parts, only), Circumstances(short, loss_packets), progress)
            folder = out or folder_of(run.card)
    except (BenchFailure, RunFileError) as error:
        console.print(str(error), markup=False, highlight=False)
        sys.exit(UNUSABLE)
    left = leave(run, folder)
    show(run, console)
    for path in (left.run, left.page, left.summary):
        console.print(str(path), highlight=False)
    sys.exit({Verdict.FAILED: UNUSABLE, Verdict.MISSED: MISSED}.get(run.verdict, HOLDS))


def _wanted(parts: tuple[str, ...], only: tuple[str, ...]) -> list[str]:
    of_parts = {name for chapter in CHAPTERS if chapter.part in parts for name in chapter.scenarios}
    return [name for name in ALL if name in of_parts or name in only or not (parts or only)]


if __name__ == "__main__":
    main()
