"""A matplotlib figure as SVG that belongs to the page around it: the page's colours, its fonts, its light or dark.

Lives here: colours as names, and what is rewritten. Must not live here: what is drawn (charts).

matplotlib knows no CSS variables. So it draws in colours that occur nowhere else, and they are replaced afterwards.
"""

from __future__ import annotations

import html
import io
import re
from typing import Final

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

INK, SOFT, GRID, PAPER = "#010101", "#020202", "#030303", "#040404"
VALUE, FLOOR, MISSED = "#050505", "#060606", "#070707"
SERIES: Final = (VALUE, "#080808", "#090909", "#0a0a0a", FLOOR)
_VARIABLES: Final = {
    INK: "--ink", SOFT: "--soft", GRID: "--line", PAPER: "--surface", VALUE: "--value", FLOOR: "--floor",
    MISSED: "--missed", SERIES[1]: "--second", SERIES[2]: "--third", SERIES[3]: "--fourth",
}  # fmt: skip


def as_svg(canvas: Canvas, label: str) -> str:
    """Without header and metadata, to stand inside HTML; `label` is what a screen reader says."""
    buffer = io.StringIO()
    # text stays text: it can be searched, and is sharp; the salt makes the same picture the same bytes
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "fastrelay", "font.size": 9}):
        canvas.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r"font-family: [^;\"]*", "font-family: var(--sans)", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    width = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', text)
    assert width is not None
    opening = f'<svg viewBox="{width.group(0)[9:-1]}" role="img" aria-label="{html.escape(label)}" '
    opening += 'xmlns:xlink="http://www.w3.org/1999/xlink">'
    return opening + _own_names(text[text.index(">") + 1 :], label)


def _own_names(text: str, label: str) -> str:
    """Names that no other picture of the page has: references in one must not lead into another."""
    prefix = re.sub(r"\W+", "-", label.lower()) + "-"
    text = re.sub(r'\bid="', f'id="{prefix}', text)
    return text.replace('xlink:href="#', f'xlink:href="#{prefix}').replace("url(#", f"url(#{prefix}")
