"""`python -m bench.calls`: measures what the transceiver promises and prints its part of the table.

Lives here: the command. `make bench` runs the same after the packet path.
"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from bench.calls.scenarios import FULL, SCENARIOS, SHORT
from bench.load.build import OUT
from bench.load.card import read_card
from bench.load.failure import BenchFailure
from bench.load.report import Report, Row, Verdict, make_console


@click.command()
@click.option("--short", is_flag=True, help="Short windows: shows that the harness works, not a result.")
@click.option("--only", multiple=True, type=click.Choice(tuple(SCENARIOS)), help="Only this; may be given again.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Where the raw data go.")
def main(short: bool, only: tuple[str, ...], json_path: Path | None) -> None:
    """Measure calls through relay and transceiver.

    \b
    Example: python -m bench.calls --only calls-memory
    Exit code 0: every bar holds. 1: a bar is missed. 2: a run was void.
    """
    report = Report(read_card())
    console = make_console()
    for name in only or SCENARIOS:
        scenario = SCENARIOS[name]
        console.print(f"{scenario.what} …", highlight=False)
        try:
            measured = scenario.measure(SHORT if short else FULL, lambda: None)
        except BenchFailure as failure:
            report.rows.append(Row(scenario.what, "", "", "", "", Verdict.VOID, str(failure)))
        else:
            report.rows.extend(measured.rows)
            report.raw[name] = measured.raw
    path = json_path or OUT / f"calls-{report.card.measured_at.replace(':', '')}.json"
    report.write(path)
    report.show(console)
    console.print(f"raw data: {path}", highlight=False)
    sys.exit(2 if report.is_void() else 0 if report.holds() else 1)


if __name__ == "__main__":
    main()
