"""`python -m bench.gate`: fails when a packet costs more instructions than its budget. `make bench-gate` runs it."""

import json
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench.gate.budget import load_budget
from bench.gate.measure import PHASES, Figure, measure
from bench.load.build import OUT
from bench.load.failure import BenchFailure

# functions shown under a figure above its budget
CULPRITS = 12


@click.command()
@click.option("--phase", "names", multiple=True, type=click.Choice([phase.name for phase in PHASES]))
@click.option("--functions", is_flag=True, help="Show where the instructions go, also when the budget holds.")
def main(names: tuple[str, ...], functions: bool) -> None:
    """Count instructions and allocations per packet under callgrind and compare them with budget.toml.

    \b
    Example: python -m bench.gate --phase up_160 --functions
    Exit code 0: within budget. 1: above. 2: could not be measured.
    """
    console = Console()
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
    write(OUT / "gate" / "result.json", figures)
    sys.exit(1 if exceeded else 0)


def show_functions(console: Console, found: Figure) -> None:
    """Where the instructions of a phase go, largest first."""
    table = Table("instructions per packet", "function", title=found.phase.what, title_justify="left")
    ranked = sorted(found.by_function.items(), key=lambda item: -item[1])
    for name, count in ranked[:CULPRITS]:
        table.add_row(f"{count:.1f}", name)
    console.print(table)


def write(path: Path, figures: list[Figure]) -> None:
    """The figures for machines."""
    content = {
        found.phase.name: {"instructions": found.instructions, "allocations": found.allocations} for found in figures
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
