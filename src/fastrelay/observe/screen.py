"""Lines that fit: tables whose least important columns give way to a narrow terminal, and whose rows to a low one.

Lives here: the fitting, and how numbers are written in a cell. Must not live here: what is in a table (top, report).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

_GAP = "  "


@dataclass(frozen=True, slots=True)
class Column:
    """`rank` says when it gives way: the highest first; 0 stays whatever happens."""

    title: str
    rank: int = 0
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A cell for each column; `style` marks what an operator should see first."""

    cells: tuple[str, ...]
    style: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """`more` names what is left out when there is no room for all rows."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    more: str = "more"

    def lines(self, width: int, rows_max: int | None = None) -> list[Text]:
        """A title line and at most that many more, none wider than `width`."""
        kept = self._columns_within(width)
        widths = {at: self._width_of(at) for at in kept}
        titles = tuple(column.title for column in self.columns)
        shown, hidden = self._shown(rows_max)
        lines = [self._line(titles, widths, "dim"), *(self._line(row.cells, widths, row.style) for row in shown)]
        if hidden:
            lines.append(Text(f"… {hidden:,} {self.more}", style="dim"))
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return lines

    def _shown(self, rows_max: int | None) -> tuple[Sequence[Row], int]:
        if rows_max is None or len(self.rows) <= rows_max:
            return self.rows, 0
        kept = max(rows_max - 1, 0)  # the last line tells of the others
        return self.rows[:kept], len(self.rows) - kept

    def _columns_within(self, width: int) -> list[int]:
        kept = list(range(len(self.columns)))
        while sum(map(self._width_of, kept)) + len(_GAP) * (len(kept) - 1) > width:
            last = max(kept, key=lambda at: (self.columns[at].rank, at))
            if self.columns[last].rank == 0:
                break
            kept.remove(last)
        return kept

    def _width_of(self, at: int) -> int:
        return max(len(self.columns[at].title), *(len(row.cells[at]) for row in self.rows), 0)

    def _line(self, cells: tuple[str, ...], widths: dict[int, int], style: str) -> Text:
        aligned = [
            cells[at].ljust(width) if self.columns[at].is_text else cells[at].rjust(width)
            for at, width in widths.items()
        ]
        return Text(_GAP.join(aligned).rstrip(), style=style, no_wrap=True)


def stacked(tables: Sequence[Table], width: int, height: int | None) -> list[Text]:
    """Tables under each other with a blank line before each, in `height` lines; earlier ones are kept before later."""
    tables = [table for table in tables if table.rows]
    allotted = _allot([len(table.rows) for table in tables], height)
    lines: list[Text] = []
    for table, rows_max in zip(tables, allotted, strict=True):
        if rows_max:
            lines += [Text(""), *table.lines(width, rows_max)]
    return lines


def _allot(wanted: Sequence[int], height: int | None) -> list[int]:
    """How many rows each table gets: one in turn while lines are left. A table costs two lines beside its rows."""
    if height is None:
        return list(wanted)
    allotted = [0] * len(wanted)
    left = height
    for at, _ in enumerate(wanted):
        if left >= 3:
            allotted[at] = 1
            left -= 3
    while left > 0 and (hungry := [at for at, rows in enumerate(allotted) if 0 < rows < wanted[at]]):
        for at in hungry[:left]:
            allotted[at] += 1
        left -= min(left, len(hungry))
    return allotted


def rate(value: float) -> str:
    """Per second, without a fraction where it would say nothing."""
    return f"{value:.1f}" if 0 < value < 9.95 else f"{value:,.0f}"


def counted(number: int, noun: str) -> str:
    """With the noun's plural where it is due."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def number(value: float | None, unit: str = "", digits: int = 1) -> str:
    """A dash where nothing was measured."""
    return "-" if value is None else f"{value:,.{digits}f}{unit}"


def percent(ratio: float | None) -> str:
    """Of a ratio from 0 to 1."""
    return "-" if ratio is None else f"{ratio:.1%}" if 0 < ratio < 0.0995 else f"{ratio:.0%}"


def age(seconds: float | None) -> str:
    """In the largest unit of which there are two; a dash for what has not happened."""
    if seconds is None:
        return "-"
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(seconds, 0):.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"


def running(seconds: float) -> str:
    """Hours, minutes and seconds, with days before them."""
    whole = max(int(seconds), 0)
    days, hours = divmod(whole // 3600, 24)
    clock = f"{hours}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{days} d {clock}" if days else clock
