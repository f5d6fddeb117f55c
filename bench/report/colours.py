"""The look that page and pictures share: colours by name for light and dark, and the letters. Its home is page.css.

Lives here: reading it from there. Must not live here: what has which colour (svg, page.css).

A picture that stands alone has no page around it whose variables it could use, so it needs the colours themselves.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

STYLE: Final = Path(__file__).with_name("page.css").read_text()
_ROOT: Final = re.compile(r":root \{(.*?)\}", re.DOTALL)
_COLOUR: Final = re.compile(r"(--[\w-]+): (#[0-9a-f]{6});")
_LETTERS: Final = re.compile(r"--sans: ([^;]+);")


def palettes(style: str) -> tuple[dict[str, str], dict[str, str]]:
    """The variables for light and for dark. ValueError where a style sheet does not have both."""
    light, dark = (dict(_COLOUR.findall(block)) for block in _ROOT.findall(style))
    return light, light | dark


def letters(style: str) -> str:
    """The family of the page; whoever lacks its first has the next, down to the system's own."""
    (found,) = _LETTERS.findall(style)
    return str(found)


LIGHT, DARK = palettes(STYLE)
LETTERS: Final = letters(STYLE)
