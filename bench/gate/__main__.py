"""`python -m bench.gate`: fails when a packet costs more instructions than its budget. `make bench-gate` runs it."""

import itertools
import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.gate.budget import load_budget
from bench.gate.measure import PHASES, Figure, measure
from bench.load.build import EXT, OUT
from bench.load.failure import BenchFailure
from bench.report.table import make_console

# functions, and lines, shown under a figure above its budget
FUNCTIONS = 12
LINES = 30


@click.command()
@click.option("--phase", "names", multiple=True, type=click.Choice([phase.name for phase in PHASES]))
@click.option("--functions", is_flag=True, help="Show the dearest functions, also when the budget holds.")
@click.option("--lines", is_flag=True, help="Show the dearest lines of source.")
def main(names: tuple[str, ...], functions: bool, lines: bool) -> None:
    """Count instructions and allocations per packet under callgrind and compare them with budget.toml.

    \b
    Example: python -m bench.gate --phase up_160 --functions
    Exit code 0: within budget. 1: above. 2: could not be measured.
    """
    console = make_console()
    budget = load_budget()
    figures: list[Figure] = []
    for phase in PHASES:
        if names and phase.name not in names:
            continue
        console.print(f"callgrind: {phase.what}", highlight=False)
        try:
            figures.append(measure(phase))
        except BenchFailure as failure:
            console.print(f"{phase.name}: {failure}", markup=False, highlight=False)
            sys.exit(2)
    table = Table("phase", "instructions per packet", "budget", "allocations per packet", "budget", "verdict")
    exceeded = []
    for found in figures:
        name = found.phase.name
        holds = found.instructions <= budget.instructions[name] and found.allocations <= budget.allocations[name]
        if not holds:
            exceeded.append(found)
        verdict = "[green]within[/green]" if holds else "[red]ABOVE[/red]"
        instructions, allocations = f"{found.instructions:.1f}", f"{found.allocations:.4f}"
        limits = f"{budget.instructions[name]:g}", f"{budget.allocations[name]:g}"
        table.add_row(name, instructions, limits[0], allocations, limits[1], verdict)
    console.print(table)
    for found in figures if functions else exceeded:
        show_functions(console, found)
    for found in figures if lines else []:
        show_lines(console, found)
    write(OUT / "gate" / "result.json", figures)
    sys.exit(1 if exceeded else 0)


def show_functions(console: Console, found: Figure) -> None:
    """Where the instructions of a phase go, largest first."""
    table = Table("instructions per packet", "function", title=found.phase.what, title_justify="left")
    for name, count in itertools.islice(found.by_function.items(), FUNCTIONS):
        table.add_row(f"{count:.1f}", name)
    console.print(table)


def show_lines(console: Console, found: Figure) -> None:
    """The lines that cost most, with their text where the source is at hand."""
    for line, count in itertools.islice(found.by_line.items(), LINES):
        path = source_of(line.file)
        text = path.read_text().splitlines()[line.number - 1].strip() if path else ""
        place = f"{path.name if path else line.file}:{line.number}"
        console.print(f"{count:7.1f}  {place:<24} {text[:90]}", markup=False, highlight=False, soft_wrap=True)


def source_of(file: str) -> Path | None:
    """The source behind a name of the profile; headers seem to lie where the generated C was compiled."""
    for path in (Path(file), EXT / file.rpartition("/ext/")[2]):
        if path.is_file():
            return path
    return None


def write(path: Path, figures: list[Figure]) -> None:
    """The figures for machines."""
    content = {
        found.phase.name: {"instructions": found.instructions, "allocations": found.allocations} for found in figures
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
