"""A run as Markdown for docs/: the outcome, one line per figure, its charts, the machine.

Lives here: the Markdown. Must not live here: how numbers are written (wording), which charts there are
(gallery) and their files (folder), the page (page).
"""

from __future__ import annotations

from itertools import groupby
from typing import Final

from bench.report.gallery import Chart, gallery_of
from bench.report.model import Run, Section, Verdict
from bench.report.wording import OUTCOME, anchor, cell, cells, duration, outcome, plain
from bench.scenario import Length

MARKS = {Verdict.HOLDS: "holds", Verdict.MISSED: "**missed**", Verdict.REPORTED: "–", Verdict.FAILED: "**failed**"}

CHARTS: Final = "charts"
"""The folder beside the summary in which they lie."""


def file_of(chart: Chart) -> str:
    """Where the summary looks for it."""
    return f"{CHARTS}/{chart.key}.svg"


def build_summary(run: Run) -> str:
    """The whole file."""
    card, gallery = run.card, gallery_of(run)
    lines = [
        f"# {outcome(run)}",
        "",
        f'<a id="{OUTCOME}"></a>',
        f"Commit `{card.named_commit()}`, measured {card.measured_at} in {duration(run.elapsed_s)}.",
        f"{card.processor}, {card.processors} processors, Linux {card.kernel}, loopback.",
        "Medians, or the percentile that is named; lowest and highest sample in brackets.",
    ]
    if run.length is Length.SHORT:
        lines += ["", "**A short run: it shows that the harness works. Its figures are no result.**"]
    lines += _charts(gallery.glance)
    for section in run.sections:
        lines += ["", *_section(section), *_charts(gallery.sections[section.key])]
    lines += ["", "## Method", "", *(f"- {sentence}" for sentence in run.method)]
    lines += ["", "## Machine", "", "| | |", "|---|---|"]
    lines += [f"| {cell(name)} | {cell(value)} |" for name, value in (card.lines() | run.versions()).items()]
    return "\n".join(lines) + "\n"


def _section(section: Section) -> list[str]:
    lines = [f"## {section.title}", "", section.lead, ""]
    lines += [f"*May be concluded:* {section.may} *May not:* {section.may_not}", ""]
    lines += ["| what | measured | floor | ratio | bar | |", "|---|---|---|---|---|---|"]
    for figure in section.figures:
        row = (*cells(figure), MARKS[figure.verdict])
        name = f'<a id="{anchor(figure.key)}"></a>{cell(figure.what)}'
        lines.append(f"| {name} | {' | '.join(map(cell, row))} |")
    notes = [
        f"{figure.what}: {text}" for figure in section.figures for text in (*figure.failures(), figure.note) if text
    ]
    notes += [f"{name}: not run here, {reason}" for name, reason in section.not_run.items()]
    return lines + ([""] if notes else []) + [f"- {note}" for note in notes]


def _charts(charts: list[Chart]) -> list[str]:
    """Side by side where there is room for it; what they say alike is said once, below them."""
    lines = []
    for caption, group in groupby(charts, key=lambda chart: chart.caption):
        lines += ["", *(f"![{plain(chart.title)}]({file_of(chart)})" for chart in group), "", plain(caption)]
    return lines
