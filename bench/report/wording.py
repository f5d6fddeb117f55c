"""How numbers, spreads and bars are written, everywhere the same.

Lives here: numbers to text. Must not live here: markup of any kind.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from bench.report.model import Bar, Better, Figure, Of, Run, Spread, Verdict

OUTCOME: Final = "outcome"
"""What the run's one sentence is linked by."""
TIMES: Final = " ×"
# ratios above it are read as "times"; below, a third decimal says something
LARGE_RATIO: Final = 10


def anchor(key: str) -> str:
    """What a figure is linked by, in page and summary: as stable as its key."""
    return f"fig-{slug(key)}"


def slug(text: str) -> str:
    """Text as part of a link or a file's name, in plain letters."""
    letters = text.lower().replace("%", " percent ").replace("µ", "u")
    return re.sub(r"[^a-z0-9]+", "-", letters).strip("-")


def capital(text: str) -> str:
    """As a title or a sentence begins."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """A note, which ends in no full stop, where other sentences follow it."""
    return capital(text) + ("" if not text or text.endswith((".", "!", "?")) else ".")


def cell(text: str) -> str:
    """Text that stays within its cell of a Markdown table."""
    return text.replace("|", "\\|").replace("\n", " ")


def plain(text: str) -> str:
    """Text in which Markdown finds no markup: within the brackets of a link or a picture, or as a line of its own."""
    return re.sub(r"([\\`*_\[\]<>&#|!])", r"\\\1", text.replace("\n", " "))


def number(value: float) -> str:
    """Three or four digits that mean something, thousands apart."""
    if value != 0 and abs(value) < 1:
        return f"{value:.3g}"
    if abs(value) >= 1000 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def ratio_number(ratio: float) -> str:
    """A ratio to a floor."""
    return f"{ratio:.1f}" if ratio >= LARGE_RATIO else f"{ratio:.3f}"


def with_unit(text: str, unit: str) -> str:
    """A number and what it counts; % stands close."""
    return f"{text}{unit}" if unit == "%" else f"{text} {unit}".rstrip()


def unbroken(text: str) -> str:
    """A number and its unit stay on one line."""
    return text.replace(" ", "\u00a0")


def value_text(spread: Spread | None, unit: str) -> str:
    """The middle with its unit."""
    return "" if spread is None else with_unit(number(spread.middle), unit)


def spread_text(spread: Spread | None, unit: str) -> str:
    """The middle, its unit and the ends, where there are any."""
    if spread is None:
        return ""
    if spread.low == spread.high:
        return value_text(spread, unit)
    return f"{value_text(spread, unit)} ({number(spread.low)}–{number(spread.high)})"


def ratio_text(ratio: Spread | None) -> str:
    """A ratio to a floor with its ends; empty without a floor."""
    if ratio is None:
        return ""
    middle = f"{ratio_number(ratio.middle)}{TIMES}"
    return middle if ratio.low == ratio.high else f"{middle} ({ratio_number(ratio.low)}–{ratio_number(ratio.high)})"


class Cells(NamedTuple):
    """A figure in a table."""

    value: str
    floor: str
    ratio: str
    bar: str


def cells(figure: Figure) -> Cells:
    """One that has failed shows no number: there is none to believe."""
    if figure.verdict is Verdict.FAILED:
        return Cells("", "", "", bar_text(figure))
    value, floor = spread_text(figure.spread(), figure.unit), spread_text(figure.floor_spread(), figure.unit)
    return Cells(value, floor, ratio_text(figure.ratio()), bar_text(figure))


def judges_ratio(figure: Figure) -> bool:
    """Whether the bar is about the ratio to the floor, and there is one."""
    return figure.bar is not None and figure.bar.of is Of.RATIO and figure.ratio() is not None


def judged_text(figure: Figure) -> str:
    """What the bar is about, as a number alone."""
    ratio = figure.ratio()
    if judges_ratio(figure) and ratio is not None:
        return f"{ratio_number(ratio.middle)}{TIMES}"
    return value_text(figure.spread(), figure.unit)


def beside_text(figure: Figure) -> str:
    """What stands below a number shown alone: its spread, and the value beside its floor."""
    ratio, value, floor = figure.ratio(), figure.spread(), figure.floor_spread()
    if figure.verdict is Verdict.FAILED or value is None or figure.value is None:
        return "; ".join(figure.failures())
    spread, write = (ratio, ratio_number) if judges_ratio(figure) and ratio is not None else (value, number)
    count = len(figure.value.samples)
    parts = [f"{write(spread.low)}–{write(spread.high)} in {count:,} samples"] if spread.low != spread.high else []
    if floor is not None and figure.floor is not None:
        middle, beside = unbroken(value_text(value, figure.unit)), unbroken(value_text(floor, figure.unit))
        parts.append(f"{middle} beside {beside}" if spread is ratio else f"{figure.floor.name}: {beside}")
    return "; ".join(parts)


def bar_text(figure: Figure) -> str:
    """What was promised."""
    return "" if figure.bar is None else f"{sign(figure.better)} {_bar_number(figure.bar, figure.unit)}"


def sign(better: Better) -> str:
    """Of a bar."""
    return "≤" if better is Better.LOWER else "≥"


def _bar_number(bar: Bar, unit: str) -> str:
    return f"{bar.at:g}{TIMES}" if bar.of is Of.RATIO else with_unit(number(bar.at), unit)


def duration(elapsed_s: float) -> str:
    """How long a run took."""
    return f"{elapsed_s / 60:.0f} min" if elapsed_s >= 90 else f"{elapsed_s:.0f} s"


def outcome(run: Run) -> str:
    """The run in one sentence. A figure that has failed is a bar that does not hold."""
    bars = len(run.figures()) - run.count(Verdict.REPORTED)
    if not bars:
        return "Measured; no bar was set for any of this"
    parts = [f"{run.count(Verdict.HOLDS)} of {bars} bars hold"]
    parts += [f"{run.count(Verdict.MISSED)} missed"] if run.count(Verdict.MISSED) else []
    parts += [f"{run.count(Verdict.FAILED)} failed to measure"] if run.count(Verdict.FAILED) else []
    return ", ".join(parts)
