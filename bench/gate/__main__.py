"""`python -m bench.gate`: fails when a packet costs more than its budget. `make bench-gate` runs it."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from bench.gate import words
from bench.gate.budget import load_budget
from bench.gate.gate import Outcome, run_gate
from bench.gate.measure import PHASES
from bench.load.build import OUT
from bench.load.card import read_card
from bench.load.failure import BenchFailure
from bench.report.table import make_console


@click.command()
@click.option("--phase", "names", multiple=True, type=click.Choice([phase.name for phase in PHASES]))
@click.option("--no-ratios", is_flag=True, help="Count only; ratios are left out with --phase as well.")
@click.option("--functions", is_flag=True, help="Show the dearest functions, also when the budget holds.")
@click.option("--lines", is_flag=True, help="Show the dearest lines of source.")
def main(names: tuple[str, ...], no_ratios: bool, functions: bool, lines: bool) -> None:
    """Count instructions, allocations and system calls per packet under callgrind, and take the ratios of CPU time to
    the C floors; compare both with budget.toml.

    \b
    Example: python -m bench.gate --phase up_160 --functions
    Exit code 0: within budget. 1: above. 2: could not be measured.
    """
    console = make_console()
    budget = load_budget()
    margin = budget.ratios.margin_on(read_card())
    phases = [phase for phase in PHASES if not names or phase.name in names]
    try:
        outcome = run_gate(
            budget,
            margin,
            phases=phases,
            has_ratios=not names and not no_ratios,
            say=lambda text: words.say(console, text),
        )
    except BenchFailure as failure:
        words.say(console, f"the gate could not measure: {failure}")
        sys.exit(2)
    words.show(console, outcome, budget)
    if outcome.judged and margin != budget.ratios.margin:
        words.say(console, words.elsewhere(budget.ratios))
    for found in outcome.figures:
        if functions:
            words.show_functions(console, found)
        if lines:
            words.show_lines(console, found)
    write(OUT / "gate" / "result.json", outcome)
    sys.exit(1 if outcome.is_alarm else 0)


def write(path: Path, outcome: Outcome) -> None:
    """The figures for machines."""
    content = {
        "counts": {found.phase.name: found.counts for found in outcome.figures},
        "ratios": {each.pair.name: asdict(each.decision) for each in outcome.judged},
        "is_alarm": outcome.is_alarm,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
