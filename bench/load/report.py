"""The result of a run: one row per bar, a table for people, JSON with the raw data for machines."""

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.load.card import Card
from bench.load.pairs import Spread


class Verdict(StrEnum):
    """How a row ended."""

    HOLDS = "holds"
    MISSED = "missed"
    REPORTED = "reported"  # a figure without a bar
    VOID = "void"  # the counts did not add up, or the machine could not do it: no figure to believe


COLOURS = {Verdict.HOLDS: "green", Verdict.MISSED: "red", Verdict.REPORTED: "blue", Verdict.VOID: "yellow"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    value: str
    floor: str
    ratio: str
    bar: str
    verdict: Verdict
    note: str = ""


@dataclass(frozen=True)
class Measured:
    """What one scenario found: its rows, and the figures behind them by name."""

    rows: list[Row]
    raw: dict[str, list[float]]


@dataclass
class Report:
    """Everything one run found."""

    card: Card
    rows: list[Row] = field(default_factory=list)
    raw: dict[str, object] = field(default_factory=dict)

    def is_void(self) -> bool:
        """Whether any row could not be measured."""
        return any(row.verdict is Verdict.VOID for row in self.rows)

    def holds(self) -> bool:
        """Whether every bar was met."""
        return all(row.verdict in {Verdict.HOLDS, Verdict.REPORTED} for row in self.rows)

    def write(self, path: Path) -> None:
        """Card, rows and raw samples as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"card": asdict(self.card), "rows": [asdict(row) for row in self.rows], "raw": self.raw}
        path.write_text(json.dumps(content, indent=1) + "\n")

    def show(self, console: Console) -> None:
        """The card, then the table."""
        for key, value in self.card.lines().items():
            console.print(f"{key:>14}  {value}", highlight=False, markup=False)
        table = Table(title="Must hold", title_justify="left", expand=False)
        for heading in ("what", "value", "floor", "ratio", "bar", "verdict"):
            table.add_column(heading, overflow="fold")
        for row in self.rows:
            colour = COLOURS[row.verdict]
            table.add_row(row.what, row.value, row.floor, row.ratio, row.bar, f"[{colour}]{row.verdict}[/{colour}]")
        console.print(table)
        for row in self.rows:
            if row.note:
                console.print(f"{row.what}: {row.note}", highlight=False, markup=False)


def ratio_row(what: str, cost: Spread, floor_name: str, floor: Spread, ratio: Spread, bar: float) -> Row:
    """A candidate against a floor, in CPU nanoseconds per packet; the bar is the largest ratio that holds."""
    return Row(
        what=f"{what}, against {floor_name}",
        value=f"{cost.median:.0f} ns",
        floor=f"{floor.median:.0f} ns",
        ratio=f"{ratio.median:.3f} ({ratio.low:.3f}–{ratio.high:.3f})",
        bar=f"≤ {bar:.2f}",
        verdict=Verdict.HOLDS if ratio.median <= bar else Verdict.MISSED,
    )


def make_console() -> Console:
    """As wide as the terminal; as wide as the table where there is none."""
    console = Console()
    return console if console.is_terminal else Console(width=140)
