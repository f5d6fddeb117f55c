"""A matplotlib figure as SVG, twice: inside a page, whose colours it takes, and as a file that needs no page at all.

Lives here: colours as names, and what is rewritten. Must not live here: what is drawn (charts), the colours (colours).

matplotlib knows neither CSS variables nor light and dark. So it draws in colours that occur nowhere else, and they are
replaced afterwards.
"""

from __future__ import annotations

import html
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from textwrap import wrap
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

from bench.report.colours import DARK, LETTERS, LIGHT

INK, SOFT, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
VALUE, FLOOR, MISSED = "#050505", "#060606", "#070707"
SERIES: Final = (VALUE, "#080808", "#090909", "#0a0a0a", FLOOR)
VARIABLES: Final = {
    INK: "--ink", SOFT: "--soft", GRID: "--line", PAPER: "--surface", VALUE: "--value", FLOOR: "--floor",
    MISSED: "--missed", SERIES[1]: "--second", SERIES[2]: "--third", SERIES[3]: "--fourth",
}  # fmt: skip
MARGIN: Final = 14.0
"""Around a picture that stands alone, in points like everything in it."""
TITLE_PT: Final = 11.0
TITLE_CHARACTERS: Final = 44
"""Of a line of its title."""
TITLE_LINE: Final = 15.0
PX_PER_PT: Final = 4 / 3
"""So that a point is one on a screen: two pictures stand side by side where text is wide, one on a phone."""


@dataclass(frozen=True, slots=True)
class Drawing:
    """What matplotlib has drawn, without its header, in colours that are yet to be replaced."""

    width: float
    height: float
    content: str


def drawing_of(canvas: Canvas) -> Drawing:
    """The same picture is the same bytes."""
    buffer = io.StringIO()
    # text stays text: it can be searched, and is sharp; the salt makes the same picture the same bytes
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fastrelay", "font.size": 9}):
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    size = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert size is not None
    text = text[text.index(">") + 1 :].removesuffix("\n").removesuffix("</svg>")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    # whatever stands around the picture says it once
    text = re.sub(r"font-family: [^;\"]*(; )?", "", text)
    return Drawing(float(size[1]), float(size[2]), text)


def inside(drawing: Drawing, key: str, label: str) -> str:
    """To stand inside HTML; `label` is what a screen reader says, `key` is no other picture's of the page."""
    content = _coloured(drawing.content, {stand_in: f"var({name})" for stand_in, name in VARIABLES.items()})
    return (
        f'<svg viewBox="0 0 {drawing.width:g} {drawing.height:g}" role="img" aria-label="{html.escape(label)}" '
        f'xmlns:xlink="http://www.w3.org/1999/xlink">{_own_names(content, key)}</svg>'
    )


def alone(drawing: Drawing, title: str) -> str:
    """A whole file: with its title, a ground to stand on, and colours for light and dark."""
    lines = wrap(title, TITLE_CHARACTERS)
    down = MARGIN + TITLE_LINE * len(lines)
    width, height = drawing.width + 2 * MARGIN, drawing.height + down + MARGIN
    heading = "".join(
        f'<text x="{MARGIN:g}" y="{MARGIN + TITLE_LINE * at + TITLE_PT - 1:g}" '
        f'style="font-size: {TITLE_PT:g}px; font-weight: 600; fill: {INK}">{html.escape(line)}</text>\n'
        for at, line in enumerate(lines)
    )
    ground = f'<rect x="0.5" y="0.5" width="{width - 1:g}" height="{height - 1:g}" rx="10" '
    ground += f'style="fill: {PAPER}; stroke: {GRID}"/>\n'
    picture = f'<g transform="translate({MARGIN:g} {down:g})">{drawing.content}</g>\n'
    body = ground + heading + picture
    colours = {stand_in: LIGHT[name] for stand_in, name in VARIABLES.items()}
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'width="{width * PX_PER_PT:.0f}" height="{height * PX_PER_PT:.0f}" viewBox="0 0 {width:g} {height:g}" '
        f'role="img" aria-label="{html.escape(title)}">\n<style>\n{_style(body)}</style>\n'
        f"{_coloured(body, colours)}</svg>\n"
    )


def _style(body: str) -> str:
    """Letters and dark colours. Light ones stand in the picture itself, for viewers that know few styles."""
    rules = "".join(
        f'  [style*="{use}: {LIGHT[name]}"] {{ {use}: {DARK[name]} !important }}\n'
        for stand_in, name in VARIABLES.items()
        for use in ("fill", "stroke")
        if f"{use}: {stand_in}" in body
    )
    family = LETTERS.replace('"', "'")
    ground = "svg { color-scheme: light dark }"
    return f"{ground}\ntext {{ font-family: {family} }}\n@media (prefers-color-scheme: dark) {{\n{rules}}}\n"


def _coloured(text: str, colours: Mapping[str, str]) -> str:
    for stand_in, colour in colours.items():
        text = text.replace(stand_in, colour)
    return text


def _own_names(text: str, key: str) -> str:
    """Names that no other picture of the page has: references in one must not lead into another."""
    text = re.sub(r'\bid="', f'id="{key}-', text)
    return text.replace('xlink:href="#', f'xlink:href="#{key}-').replace("url(#", f"url(#{key}-")
