"""The budget file: what a packet may cost, by phase of the gate, and how far ratios to the floors may rise."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.load.card import Card

BUDGET = Path(__file__).with_name("budget.toml")
COUNTS: Final = ("instructions", "allocations", "system_calls")


@dataclass(frozen=True)
class Ratios:
    """Usual ratios of CPU time to a floor, the machine that they are of, and what may be added to them."""

    processor: str
    kernel: str
    margin: float
    margin_elsewhere: float
    usual: Mapping[str, float]

    def margin_on(self, card: Card) -> float:
        """What may be added to the usual ratios: little on the kind of machine that they were measured on."""
        is_home = card.processor == self.processor and card.kernel.startswith(f"{self.kernel}.")
        return self.margin if is_home else self.margin_elsewhere

    def limits(self, margin: float) -> dict[str, float]:
        """The largest ratio that holds, of each pair."""
        return {name: usual * (1 + margin) for name, usual in self.usual.items()}


@dataclass(frozen=True)
class Budget:
    """Counts per packet, by kind and phase; and the ratios."""

    counts: Mapping[str, Mapping[str, float]]
    ratios: Ratios


def load_budget(path: Path = BUDGET) -> Budget:
    """Reads the budget; a missing table is a KeyError, because a gate without a budget is none."""
    content = tomllib.loads(path.read_text())
    return Budget({kind: dict(content[kind]) for kind in COUNTS}, Ratios(**content["ratios"]))
