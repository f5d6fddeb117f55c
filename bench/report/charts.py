"""Charts of a run: every sample a dot, the middle a stroke, floor and bar beside them.

Lives here: the drawing, with matplotlib. Must not live here: which charts there are (gallery), how SVG gets into a page
or a file of its own (svg).

All are narrow, so that they can be read on a phone without zooming.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from textwrap import fill
from typing import Final, assert_never

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator

from bench.report.gallery import MANY_SAMPLES, Chart, Costs, Distribution, Glance, Growth
from bench.report.model import Better, Curve, Figure, Of, Verdict, spread_of
from bench.report.svg import FLOOR, GRID, INK, MISSED, PAPER, SERIES, SOFT, VALUE, Drawing, drawing_of
from bench.report.wording import number

WIDTH_IN: Final = 3.9
TEXT_PT: Final = 9.5
LABEL_CHARACTERS: Final = 56
"""Of a line above a bar; what is longer goes on below."""
LINE_ROWS: Final = 0.42
"""What another line of a label takes, in rows."""
TICKS: Final = 5
"""Steps at most: more of them run into each other."""
TICK_STEPS: Final = (1, 2, 2.5, 5, 10)
"""And their tenfolds: numbers that are read at a glance."""
LONG_TICK: Final = len("100,000")
LONG_TICKS: Final = 4
"""Where numbers are longer than that."""
ROW_IN: Final = 0.44
LEGEND_COLUMNS: Final = 2
LEGEND_CHARACTERS: Final = 40
"""Of the longest names of both columns: where they are longer, names stand one below the other."""
LEGEND_ROW_IN: Final = 0.2
STYLES: Final = ("-", "--", ":")
"""When there are more lines than colours."""
TOP_ROW: Final = -1.0
ARROWS: Final = {Better.LOWER: "←", Better.HIGHER: "→"}
GLANCE_MAX: Final = 2.0
"""Farther from its bar than this, a sample is drawn at the edge."""


def draw(charts: Iterable[Chart]) -> dict[str, Drawing]:
    """Each by its key."""
    return {chart.key: drawing_of(_canvas_of(chart)) for chart in charts}


def _canvas_of(chart: Chart) -> Canvas:
    match chart:
        case Glance():
            return _glance(chart.figures)
        case Costs():
            return _costs(chart)
        case Distribution():
            return _distribution(chart.figure)
        case Growth():
            return _growth(chart.curve)
        case _:
            assert_never(chart)


def _canvas(height_in: float) -> tuple[Canvas, Axes]:
    canvas = Canvas(figsize=(WIDTH_IN, height_in), layout="constrained")
    axes = canvas.subplots()
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(GRID)
    axes.tick_params(colors=SOFT, length=0, labelsize=TEXT_PT)
    axes.grid(axis="x", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(lambda x, _: number(x))
    axes.yaxis.set_major_formatter(lambda y, _: number(y))
    return canvas, axes


def _set_ticks(axes: Axes, largest: float, *, is_whole: bool = False) -> None:
    """Below, as many as have room."""
    steps = TICKS if len(number(largest)) <= LONG_TICK else LONG_TICKS
    axes.xaxis.set_major_locator(MaxNLocator(steps, integer=is_whole, steps=TICK_STEPS))


def _legend_columns(names: Sequence[str]) -> int:
    first = ceil(len(names) / LEGEND_COLUMNS)
    columns = (names[:first], names[first:])
    width = sum(max(map(len, column), default=0) for column in columns)
    return LEGEND_COLUMNS if width <= LEGEND_CHARACTERS else 1


def _legend_in(names: Sequence[str]) -> float:
    """How high it is."""
    return LEGEND_ROW_IN * ceil(len(names) / _legend_columns(names))


def _set_legend(canvas: Canvas, names: Sequence[str]) -> None:
    """Below: beside the lines names would meet them."""
    canvas.legend(
        loc="outside lower left",
        ncols=_legend_columns(names),
        frameon=False,
        labelcolor=INK,
        fontsize=TEXT_PT,
    )


def _places(labels: Sequence[str]) -> tuple[list[str], list[float], float]:
    """The labels in lines, where each row's bar lies, and how many rows that is in all."""
    wrapped = [fill(label, LABEL_CHARACTERS) for label in labels]
    places, place = [], 0.0
    for at, label in enumerate(wrapped):
        place += (1.0 if at else 0.0) + LINE_ROWS * label.count("\n")
        places.append(place)
    return wrapped, places, place + 1


def _label(axes: Axes, row: float, text: str) -> None:
    """Above its bar and not beside it: on a phone there is no room for both."""
    behind = {"facecolor": PAPER, "edgecolor": "none", "pad": 0.8, "alpha": 0.8}
    label = axes.text(
        0, row - 0.22, text, color=INK, fontsize=TEXT_PT, va="bottom", linespacing=1.1, bbox=behind, zorder=4
    )
    label.set_in_layout(False)


def _glance(figures: Sequence[Figure]) -> Canvas:
    """Each bar at 100 %, what was measured as a share of it."""
    labels, places, rows = _places([f"{figure.what}\u00a0{ARROWS[figure.better]}" for figure in figures])
    canvas, axes = _canvas(0.7 + ROW_IN * rows)
    for label, row, figure in zip(labels, places, figures, strict=True):
        _glance_row(axes, row, label, figure)
    axes.axvline(1.0, color=SOFT, linewidth=1.2, zorder=1)
    axes.set_ylim(rows - 0.4, TOP_ROW)
    axes.set_yticks([])
    axes.set_xlim(0, GLANCE_MAX * 1.02)
    axes.set_xticks([0, 0.5, 1, 1.5, 2], ["0", "50 %", "bar", "150 %", "200 %"])
    return canvas


def _glance_row(axes: Axes, row: float, label: str, figure: Figure) -> None:
    judged = figure.judged()
    assert judged is not None
    assert figure.bar is not None
    assert figure.value is not None
    samples = figure.ratios() if figure.bar.of is Of.RATIO else figure.value.samples
    colour = MISSED if figure.verdict is Verdict.MISSED else VALUE
    shares = [min(sample / figure.bar.at, GLANCE_MAX) for sample in samples]
    _label(axes, row, label)
    middle = min(judged.middle / figure.bar.at, GLANCE_MAX)
    axes.plot([0, middle], [row, row], color=colour, linewidth=5, alpha=0.25, solid_capstyle="butt")
    if len(shares) < MANY_SAMPLES:
        axes.scatter(shares, [row] * len(shares), s=11, color=colour, alpha=0.55, linewidths=0)
    axes.plot([middle, middle], [row - 0.17, row + 0.17], color=colour, linewidth=2.4)


def _costs(chart: Costs) -> Canvas:
    rows = chart.rows()
    labels, places, height = _places([row.label for row in rows])
    canvas, axes = _canvas(0.7 + ROW_IN * height)
    largest = max(max(row.series.samples) for row in rows)
    for label, row, (_, series, percent, is_floor) in zip(labels, places, rows, strict=True):
        middle = spread_of(series.samples, percent)
        assert middle is not None
        axes.barh(row, middle.middle, height=0.3, color=FLOOR if is_floor else VALUE, alpha=0.9)
        _label(axes, row, label)
        beside = max(*series.samples, middle.middle) + largest * 0.015
        axes.text(beside, row, number(middle.middle), color=INK, fontsize=TEXT_PT, va="center", weight="bold")
        if 1 < len(series.samples) < MANY_SAMPLES:
            axes.scatter(
                series.samples, [row] * len(series.samples), s=9, color=PAPER, edgecolors=INK, linewidths=0.5, zorder=3
            )
    axes.set_ylim(height - 0.5, TOP_ROW)
    axes.set_xlim(0, largest * 1.2)
    _set_ticks(axes, largest)
    axes.set_yticks([])
    way = "less is better" if chart.figures[0].better is Better.LOWER else "more is better"
    axes.set_xlabel(f"{chart.figures[0].unit} ({way})", color=SOFT, fontsize=TEXT_PT)
    return canvas


def _distribution(figure: Figure) -> Canvas:
    drawn = [(each, colour) for each, colour in ((figure.floor, FLOOR), (figure.value, VALUE)) if each is not None]
    names = [series.name for series, _ in drawn] if figure.floor is not None else []
    canvas, axes = _canvas(2.5 + _legend_in(names))
    for series, colour in drawn:
        ordered = sorted(series.samples)
        shares = [100 * (place + 1) / len(ordered) for place in range(len(ordered))]
        axes.step(ordered, shares, where="post", color=colour, linewidth=1.8, label=series.name)
    largest = max(max(series.samples) for series, _ in drawn)
    _set_ticks(axes, largest)
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_ylim(0, 101)
    axes.set_yticks([0, 50, 90, 99], ["0", "50 %", "90 %", "99 %"])
    axes.set_xlabel(figure.unit, color=SOFT, fontsize=TEXT_PT)
    if figure.bar is not None and figure.bar.of is Of.VALUE and figure.bar.at <= 3 * largest:
        axes.axvline(figure.bar.at, color=INK, linewidth=1.4)
    if names:
        _set_legend(canvas, names)
    return canvas


def _growth(curve: Curve) -> Canvas:
    names, places = [line.name for line in curve.lines], [x for line in curve.lines for x in line.x]
    canvas, axes = _canvas(2.6 + _legend_in(names))
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    for at, line in enumerate(curve.lines):
        colour, style = SERIES[at % len(SERIES)], STYLES[at // len(SERIES) % len(STYLES)]
        spreads = [spread for samples in line.y if (spread := spread_of(samples)) is not None]
        middles = [each.middle for each in spreads]
        axes.plot(
            line.x, middles, color=colour, linestyle=style, linewidth=1.9, marker="o", markersize=3.5, label=line.name
        )
        axes.fill_between(
            line.x, [each.low for each in spreads], [each.high for each in spreads], color=colour, alpha=0.16, lw=0
        )
    if curve.is_log_x:
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda x, _: number(x))
        axes.minorticks_off()
    else:
        _set_ticks(axes, max(places), is_whole=all(x == int(x) for x in places))
    axes.set_ylim(bottom=0)
    axes.set_xlabel(curve.x_label, color=SOFT, fontsize=TEXT_PT)
    axes.set_title(curve.y_label, color=SOFT, fontsize=TEXT_PT, loc="left")
    _set_legend(canvas, names)
    return canvas
