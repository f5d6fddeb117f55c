"""`python -m bench.micro`: the micro benchmarks against their saved baseline. `make bench-micro` runs it.

Lives here: running pytest-benchmark, and again what seemed slower. Must not live here: what slower means (baseline).
"""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.load.build import OUT, ROOT
from bench.load.card import read_card
from bench.micro.baseline import (
    ROUND_S,
    Baseline,
    middle_of,
    python_version,
    ratios_of,
    read_baseline,
    slower,
    write_baseline,
)
from bench.report.table import make_console

FOLDER = Path(__file__).parent
REPORT = OUT / "micro.json"
# a benchmark is slower when it was in each of these: noise only adds, and seldom so often
ATTEMPTS = 6
# runs of which a baseline keeps the median ratio
SAVED_RUNS = 5
OPTIONS = (
    *(f"--benchmark-min-time={ROUND_S}", "--benchmark-max-time=0.05", "--benchmark-min-rounds=20"),
    # a first call is slow, and calls are counted out by it
    *("--benchmark-warmup=on", "--benchmark-warmup-iterations=100", "--benchmark-disable-gc", "--benchmark-quiet"),
)


def run(tests: Sequence[str]) -> dict[str, float]:
    """One pytest over these tests (file::name), or all."""
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    chosen = [str(FOLDER / test) for test in tests] or [str(FOLDER)]
    command = [sys.executable, "-m", "pytest", "-q", *OPTIONS, f"--benchmark-json={REPORT}", *chosen]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise click.ClickException(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return ratios_of(REPORT)


def save(console: Console, processor: str) -> None:
    """A baseline of several runs."""
    runs = []
    for number in range(SAVED_RUNS):
        console.print(f"run {number + 1} of {SAVED_RUNS}")
        runs.append(run([]))
    write_baseline(Baseline(processor, python_version(), middle_of(runs)))


def show(console: Console, ratios: dict[str, float], baseline: Baseline, above: dict[str, float]) -> None:
    """One line a benchmark."""
    table = Table("benchmark", "to the reference", "baseline", "change", "verdict")
    for name, ratio in ratios.items():
        usual = baseline.ratios[name]
        ending = "[red]SLOWER[/red]" if name in above else "[green]within[/green]"
        table.add_row(name.replace("[", "\\["), f"{ratio:.4f}", f"{usual:.4f}", f"{ratio / usual - 1:+.0%}", ending)
    console.print(table)


@click.command()
@click.option("--save", "is_saving", is_flag=True, help=f"Make the baseline anew, of {SAVED_RUNS} runs.")
def main(is_saving: bool) -> None:
    """Run the micro benchmarks and compare them with the saved baseline.

    \b
    Exit code 0: none is slower. 1: one is, in each of several attempts.
    """
    console = make_console()
    processor = read_card().processor
    if is_saving:
        save(console, processor)
        return
    baseline = read_baseline()
    margin = baseline.margin_on(processor)
    ratios = run([])
    above = slower(ratios, baseline, margin)
    for _ in range(ATTEMPTS - 1):
        if not above:
            break
        console.print(f"again: {', '.join(above)}", markup=False, highlight=False)
        ratios |= {name: min(ratio, ratios[name]) for name, ratio in run(list(above)).items()}
        above = slower(ratios, baseline, margin)
    show(console, ratios, baseline, above)
    console.print(f"margin {margin:.0%}; the baseline is of {baseline.processor}, Python {baseline.python}")
    for name, share in above.items():
        console.print(
            f"{name} is {share:.0%} above its baseline. If the commit is worth it, save a new baseline in it "
            "(python -m bench.micro --save) and say why.",
            markup=False,
            highlight=False,
        )
    sys.exit(1 if above else 0)


if __name__ == "__main__":
    main()
