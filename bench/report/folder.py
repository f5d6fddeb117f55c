"""What stands in a run's folder beside its raw data: the page, the summary and its charts.

Lives here: writing them together, and which charts lie there. Must not live here: what is in any of them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from bench.report.charts import draw
from bench.report.files import PAGE, SUMMARY
from bench.report.gallery import Chart, Gallery, gallery_of
from bench.report.model import Run
from bench.report.page import build_page
from bench.report.summary import CHARTS, build_summary, file_of
from bench.report.svg import Drawing, alone, inside

PATTERN: Final = "*.svg"


def show_in(folder: Path, run: Run) -> None:
    """Writes all of it. Charts that an earlier run has left are no longer there."""
    gallery = gallery_of(run)
    drawings = draw(gallery)
    inner = {chart.key: inside(drawings[chart.key], chart.key, chart.title) for chart in gallery}
    (folder / PAGE).write_text(build_page(run, inner))
    _write_charts(folder, gallery, drawings)
    (folder / SUMMARY).write_text(build_summary(run))


def _write_charts(folder: Path, gallery: Gallery, drawings: dict[str, Drawing]) -> None:
    for old in (folder / CHARTS).glob(PATTERN):
        old.unlink()
    (folder / CHARTS).mkdir(exist_ok=True)
    for chart in gallery:
        (folder / file_of(chart)).write_text(alone(drawings[chart.key], chart.title))


def misplaced_charts(folder: Path, gallery: Gallery) -> list[str]:
    """Charts that the summary shows and nobody finds, or that lie there and nobody shows; empty when all is well."""
    shown, there = [_name(chart) for chart in gallery], {path.name for path in (folder / CHARTS).glob("*")}
    found = [f"{CHARTS}/{name} is missing" for name in shown if name not in there]
    found += [f"{CHARTS}/{name} is shown nowhere" for name in sorted(there.difference(shown))]
    return found + [f"{CHARTS}/{name} is two charts" for name in sorted(set(shown)) if shown.count(name) > 1]


def _name(chart: Chart) -> str:
    return Path(file_of(chart)).name
