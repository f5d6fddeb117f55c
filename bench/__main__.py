"""`python -m bench`: measures what packet path and transceiver promise and prints the table. `make bench` runs this."""

import sys
from collections.abc import Callable
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench.calls import scenarios as calls
from bench.gate.measure import PHASES, gate_rows
from bench.load import open_loop
from bench.load.build import OUT
from bench.load.card import read_card
from bench.load.failure import BenchFailure
from bench.load.report import Measured, Report, Row, Verdict, make_console
from bench.load.scenarios import SCENARIOS, Effort, Step

FULL = Effort(rounds=9, drains=8)
SHORT = Effort(rounds=5, drains=2)
LOSS_PACKETS = 10_000_000
LOSS_PACKETS_SHORT = 500_000
HOP_PACKETS = 2_000_000
HOP_PACKETS_SHORT = 200_000
# the scenario whose cost per packet says what saturation is
SATURATION = "up-4096"
OPEN_LOOP = ("hop", "loss")
GATE = "instructions"
ALL = (*SCENARIOS, *OPEN_LOOP, GATE, *calls.SCENARIOS)


@click.command()
@click.option("--short", is_flag=True, help="Few rounds, few packets: shows that the harness works, not a result.")
@click.option("--only", multiple=True, type=click.Choice(ALL), help="Only this scenario; may be given again.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Where the raw data go.")
@click.option("--loss-packets", type=click.IntRange(min=1000), help="Packets of the loss run.")
def main(short: bool, only: tuple[str, ...], json_path: Path | None, loss_packets: int | None) -> None:
    """Measure the packet path beside its floors, and calls beside aiortc.

    \b
    Example: python -m bench --only up-4096 --only hop
    Exit code 0: every bar holds. 1: a bar is missed. 2: a run was void.
    """
    console = make_console()
    report = Report(read_card())
    wanted = [name for name in ALL if not only or name in only]
    effort = SHORT if short else FULL
    with show_progress(console) as progress:
        run = Run(report, effort, progress)
        for name in wanted:
            if name in SCENARIOS:
                run.drained(name)
        if "hop" in wanted:
            run.hop(HOP_PACKETS_SHORT if short else HOP_PACKETS)
        if "loss" in wanted:
            run.loss(loss_packets or (LOSS_PACKETS_SHORT if short else LOSS_PACKETS))
        if GATE in wanted:
            run.attempt(GATE, len(PHASES), lambda step: Measured(gate_rows(step), {}))
        for name in wanted:
            if name in calls.SCENARIOS:
                run.calls(name, calls.SHORT if short else calls.FULL)
    path = json_path or OUT / f"result-{report.card.measured_at.replace(':', '')}.json"
    report.write(path)
    report.show(console)
    console.print(f"raw data: {path}", highlight=False)
    sys.exit(2 if report.is_void() else 0 if report.holds() else 1)


class Run:
    """One run over the wanted scenarios, each of which may fail alone."""

    def __init__(self, report: Report, effort: Effort, progress: Progress) -> None:
        self._report = report
        self._effort = effort
        self._progress = progress
        self._saturation_pps: float | None = None

    def drained(self, name: str) -> None:
        """A scenario of the drain test."""
        scenario = SCENARIOS[name]
        steps = self._effort.rounds * scenario.candidates()
        measured = self.attempt(scenario.what, steps, lambda step: scenario.measure(self._effort, step))
        if measured is not None and name == SATURATION:
            self._saturation_pps = 1e9 / sorted(measured.raw["relay"])[len(measured.raw["relay"]) // 2]

    def hop(self, packets: int) -> None:
        """Hop latency at half of saturation."""
        self.attempt(
            "hop latency at half load",
            2,
            lambda step: open_loop.hop_latency(0.5 * self.saturation(step), packets, step),
        )

    def loss(self, packets: int) -> None:
        """Loss at 70 % of saturation."""

        def measure(step: Step) -> Measured:
            return open_loop.loss(0.7 * self.saturation(step), packets, step)

        self.attempt("loss at 70 % of saturation", 2, measure)

    def calls(self, name: str, effort: calls.Effort) -> None:
        """Calls through relay and transceiver."""
        scenario = calls.SCENARIOS[name]
        self.attempt(scenario.what, scenario.steps, lambda step: scenario.measure(effort, step))

    def saturation(self, step: Step) -> float:
        """Packets a second at which the relay's processor would be full, by the drain test."""
        if self._saturation_pps is None:
            measured = SCENARIOS[SATURATION].measure(SHORT, lambda: None)
            self._saturation_pps = 1e9 / sorted(measured.raw["relay"])[len(measured.raw["relay"]) // 2]
        step()
        return self._saturation_pps

    def attempt(self, what: str, steps: int, measure: Callable[[Step], Measured]) -> Measured | None:
        """Runs one scenario; a void one leaves a row that says so."""
        task = self._progress.add_task(what, total=steps)
        try:
            measured = measure(lambda: self._progress.advance(task))
        except BenchFailure as failure:
            self._report.rows.append(Row(what, "", "", "", "", Verdict.VOID, str(failure)))
            return None
        self._report.rows.extend(measured.rows)
        self._report.raw[what] = measured.raw
        return measured


def show_progress(console: Console) -> Progress:
    """A line for each scenario, on standard error when that is a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True) if console.is_terminal else console)


if __name__ == "__main__":
    main()
