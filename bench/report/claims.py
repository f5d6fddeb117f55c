"""Numbers in the documents: each is a link to the figure that it comes from, and says what that figure says.

Lives here: finding such links, what their text must be, writing it. Must not live here: figures (model), their words
(wording).

A claim is a Markdown link into the published summary whose title says which number of the figure is meant:
`[0.301 ×](docs/evidence/summary.md#fig-up-4096-forwarder "ratio")`. The command `claims` writes the numbers anew after
a run, and a test refuses a document whose numbers are another run's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bench.report.model import Better, Figure, Run, Verdict
from bench.report.wording import OUTCOME, TIMES, anchor, outcome, ratio_number, value_text

CLAIM: Final = re.compile(
    r"\[(?P<text>[^\]\n]*)\]\((?P<path>[^)\s#]*evidence/summary\.md)#(?P<anchor>[\w-]+)(?:\s+\"(?P<form>[^\"]*)\")?\)"
)


NOT_MEASURED: Final = "failed to measure"
"""What a claim says whose figure has failed."""


class ClaimError(Exception):
    """A claim that refers to no figure, or to no number of it; the text says which."""


@dataclass(frozen=True, slots=True)
class Claim:
    """One link as it stands in a document, and what it should say."""

    line: int
    text: str
    anchor: str
    should_be: str

    @property
    def is_true(self) -> bool:
        """Whether the document says what was measured."""
        return self.text == self.should_be


def _value(figure: Figure) -> str:
    return value_text(figure.spread(), figure.unit)


def _floor(figure: Figure) -> str:
    spread = figure.floor_spread()
    if spread is None:
        raise ClaimError(f"{figure.key} has no floor")
    return value_text(spread, figure.unit)


def _ratio(figure: Figure) -> str:
    ratio = figure.ratio()
    if ratio is None:
        raise ClaimError(f"{figure.key} has no ratio")
    return f"{ratio_number(ratio.middle)}{TIMES}"


def _times(figure: Figure) -> str:
    ratio = figure.ratio()
    if ratio is None or not ratio.middle:
        raise ClaimError(f"{figure.key} has no ratio")
    # by the good way alone: whoever is worse than the floor must not be told as so many times better
    times = ratio.middle if figure.better is Better.HIGHER else 1 / ratio.middle
    return f"{times:.1f} times"


FORMS: Final[Mapping[str, Callable[[Figure], str]]] = {
    "value": _value,  # the middle, with its unit
    "floor": _floor,  # the same of the floor beside it
    "ratio": _ratio,  # value to floor
    "times": _times,  # how many times better than the floor; less than 1 when it is worse
}


def claims_of(text: str, run: Run) -> list[Claim]:
    """Every claim of a document. Raises ClaimError for one that refers to nothing."""
    return [_claim(match, text, run) for match in CLAIM.finditer(text)]


def refreshed(text: str, run: Run) -> str:
    """The document with the numbers of this run."""

    def write(match: re.Match[str]) -> str:
        claim = _claim(match, text, run)
        return match.group(0).replace(f"[{claim.text}]", f"[{claim.should_be}]", 1)

    return CLAIM.sub(write, text)


def _claim(match: re.Match[str], text: str, run: Run) -> Claim:
    line, name = text.count("\n", 0, match.start()) + 1, match["anchor"]
    try:
        return Claim(line, match["text"], name, _should_be(name, match["form"], run))
    except ClaimError as error:
        raise ClaimError(f"line {line}: {error}") from error


def _should_be(name: str, form: str | None, run: Run) -> str:
    if name == OUTCOME:
        return outcome(run)
    figure = next((figure for figure in run.figures() if anchor(figure.key) == name), None)
    if figure is None:
        raise ClaimError(f"the run has no figure #{name}")
    if form is None or form not in FORMS:
        raise ClaimError(f"the title of #{name} says {form!r}, which is none of {', '.join(FORMS)}")
    return NOT_MEASURED if figure.verdict is Verdict.FAILED else FORMS[form](figure)
