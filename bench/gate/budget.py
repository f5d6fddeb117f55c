"""The budget file: what a packet may cost, by phase of the gate."""

import tomllib
from dataclasses import dataclass
from pathlib import Path

BUDGET = Path(__file__).with_name("budget.toml")


@dataclass(frozen=True)
class Budget:
    """Per packet."""

    instructions: dict[str, float]
    allocations: dict[str, float]


def load_budget(path: Path = BUDGET) -> Budget:
    """Reads the budget; a missing table is a KeyError, because a gate without a budget is none."""
    content = tomllib.loads(path.read_text())
    return Budget(dict(content["instructions"]), dict(content["allocations"]))
