"""The published evidence: a full run of a commit, what shows it, another full run of it, and whether they agree.

Lives here: which runs may be published, and which files that makes. Must not live here: what is in any of them.

Nothing in that folder is written by hand, and a test holds that everything in it belongs together.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, Final

from bench.report.agreement import build_agreement
from bench.report.compare import machine_of
from bench.report.files import PAGE, RUN, SUMMARY, RunFileError, build, read_run, write_run
from bench.report.folder import misplaced_charts, show_in
from bench.report.gallery import gallery_of
from bench.report.model import Run
from bench.report.page import build_page
from bench.report.summary import build_summary
from bench.scenario import Length

RUN_AGAIN: Final = "run-again.json"
AGREEMENT: Final = "agreement.md"
FILES: Final = (RUN, RUN_AGAIN, PAGE, SUMMARY, AGREEMENT)
_PICTURES: Final = re.compile(r"<svg\b.*?</svg>", re.DOTALL)
"""Of a page. Another version of the library that draws them makes other bytes: they are not compared."""
_EMBEDDED: Final = re.compile(r'href="data:application/json;base64,([A-Za-z0-9+/=]+)"')


class NotPublishable(Exception):
    """Runs that say nothing about a commit; the text says why."""


def publish(first: Run, second: Run, folder: Path, chapters: Collection[str] = ()) -> None:
    """Writes all files. Raises NotPublishable before it writes any. These chapters may not be missing."""
    if reasons := [*why_not(first, second), *left_out(first, chapters), *left_out(second, chapters)]:
        raise NotPublishable("; ".join(reasons))
    folder.mkdir(parents=True, exist_ok=True)
    write_run(first, folder / RUN)
    write_run(second, folder / RUN_AGAIN)
    draw_again(folder)


def draw_again(folder: Path) -> None:
    """Page, summary, charts and agreement of the two runs in the folder."""
    first, second = read_run(folder / RUN), read_run(folder / RUN_AGAIN)
    show_in(folder, first)
    (folder / AGREEMENT).write_text(build_agreement(first, second))


def why_not(first: Run, second: Run) -> list[str]:
    """Every reason at once."""
    found = []
    for name, run in (("first", first), ("second", second)):
        if run.length is not Length.FULL:
            found.append(f"the {name} run is a {run.length} one, it has to be a {Length.FULL} one")
        if run.card.is_dirty or not run.card.commit:
            found.append(f"the {name} run is of no commit")
    if first.card.commit != second.card.commit:
        found.append(f"they are of two commits, {first.card.commit} and {second.card.commit}")
    if machine_of(first) != machine_of(second):
        found.append("they are of two machines")
    if first.card.measured_at == second.card.measured_at:
        found.append("they are one and the same run")
    return found


def left_out(run: Run, chapters: Collection[str]) -> list[str]:
    """What was not asked for: a run of a few scenarios is a full one by its length alone."""
    missing = set(chapters) - {section.key for section in run.sections}
    return [f"the run of {run.card.measured_at} has not {', '.join(sorted(missing))}"] if missing else []


def contradictions(folder: Path) -> list[str]:
    """What in the folder does not belong to the rest; empty when all does."""
    if missing := [name for name in FILES if not (folder / name).is_file()]:
        return [f"{name} is missing" for name in missing]
    try:
        first, second = read_run(folder / RUN), read_run(folder / RUN_AGAIN)
        embedded = _embedded(folder / PAGE)
    except RunFileError as error:
        return [str(error)]
    found, gallery = why_not(first, second), gallery_of(first)
    blank = {chart.key: "" for chart in gallery}
    if embedded != json.loads(json.dumps(build(first))):
        found.append(f"{PAGE} shows another run than {RUN}")
    elif _PICTURES.sub("", (folder / PAGE).read_text()) != build_page(first, blank):
        found.append(f"{PAGE} is not that of {RUN}")
    if (folder / SUMMARY).read_text() != build_summary(first):
        found.append(f"{SUMMARY} is not that of {RUN}")
    found += misplaced_charts(folder, gallery)
    if (folder / AGREEMENT).read_text() != build_agreement(first, second):
        found.append(f"{AGREEMENT} is not that of {RUN} and {RUN_AGAIN}")
    return found


def _embedded(page: Path) -> Any:
    data = _EMBEDDED.search(page.read_text())
    if data is None:
        raise RunFileError(f"{page} has no raw data in it")
    try:
        return json.loads(base64.b64decode(data.group(1)))
    except ValueError as error:
        raise RunFileError(f"{page} has raw data that cannot be read: {error}") from error
