"""A run as one HTML page that needs nothing else: style, font, charts and raw data are inside.

Lives here: the page's order and markup. Must not live here: its look (page.css), charts (charts), numbers (wording).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape
from itertools import starmap

from bench.load.build import ROOT
from bench.report.colours import STYLE
from bench.report.files import RUN, build
from bench.report.gallery import Chart, gallery_of
from bench.report.model import Figure, Run, Section, Series, Verdict
from bench.report.wording import (
    anchor,
    bar_text,
    beside_text,
    cells,
    duration,
    judged_text,
    number,
    outcome,
    unbroken,
)
from bench.scenario import Length

FONT = ROOT / "src" / "fastrelay" / "http" / "demo" / "page" / "fonts" / "geist.woff2"
TILES = 8
ABOUT = (
    "What a relayed packet costs, what a call costs, and how long a restart is heard: beside floors that take turns "
    "with it, beside other relays, with every sample kept."
)
LENGTHS = {Length.SHORT: "short run", Length.STANDARD: "standard run", Length.FULL: "full run"}
MAY = (
    "A ratio to a floor of the same run carries over to other machines better than any figure in nanoseconds.",
    "Nanoseconds say what this machine did. Compare them only within one run.",
    "Instructions per packet compare commits, not relays.",
    "Loss 0 says that nothing was lost at that rate on that machine in that run.",
)
MAY_NOT = (
    "No network card, no driver, no interrupts: everything is loopback, where the sender pays for the receiver.",
    "Queues are full in a drain. At low load batches are small and a packet costs more, in time that is idle anyway.",
    "Latency on a machine that does other work measures that work: look at the load average on the card.",
)


def build_page(run: Run, pictures: Mapping[str, str]) -> str:
    """The whole document; pictures by the keys of the run's charts."""
    gallery = gallery_of(run)
    font = base64.b64encode(FONT.read_bytes()).decode()
    style = STYLE.replace("FONT-DATA", font)
    body = "\n".join(
        [
            _header(run),
            '<main id="report">',
            _tiles(run),
            _bars(run, _charts(gallery.glance, pictures)),
            *(_section(section, _charts(gallery.sections[section.key], pictures)) for section in run.sections),
            _reading(run),
            _machine(run),
            "</main>",
            _footer(run),
        ]
    )
    title = f"fastrelay benchmarks, commit {run.card.named_commit()}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )


def _header(run: Run) -> str:
    card = run.card
    facts = {
        "Commit": f"<code>{escape(card.commit or 'unknown')}</code>",
        "Measured": escape(card.measured_at.replace("T", " ").replace("Z", " UTC")),
        "Took": f"{duration(run.elapsed_s)}, {LENGTHS[run.length]}",
        "Machine": f"{escape(card.processor)}, {card.processors} processors",
    }
    notices = []
    if run.length is Length.SHORT:
        notices.append("A short run. It shows that the harness works; its figures are no result.")
    if card.is_dirty:
        notices.append("The tree differed from the commit when this was measured.")
    pairs = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts.items())
    links = "".join(f'<a href="#{escape(each.key)}">{escape(each.title)}</a>' for each in run.sections)
    return (
        '<a class="skip" href="#report">Skip to the figures</a><header class="top"><div class="wide">'
        '<p class="brand">fastrelay <span>Benchmark report</span></p>'
        f"<h1>{', '.join(unbroken(escape(part)) for part in outcome(run).split(', '))}</h1>"
        f'<p class="about">{ABOUT}</p>'
        f'<dl class="facts">{pairs}</dl>'
        + "".join(f'<p class="notice">{notice}</p>' for notice in notices)
        + f'</div></header>\n<nav aria-label="Sections"><div class="wide"><a href="#bars">Bars</a>{links}'
        '<a href="#reading">How to read</a><a href="#machine">Machine</a></div></nav>'
    )


def _tiles(run: Run) -> str:
    """The first headline of every section, then the second of each: held, missed and failed alike."""
    ranked = [
        (rank, at, figure)
        for at, section in enumerate(run.sections)
        for rank, figure in enumerate(each for each in section.figures if each.is_headline)
    ]
    shown = [figure for _, _, figure in sorted(ranked, key=lambda each: each[:2])][:TILES]
    title = '<h2 class="unseen">In short</h2>'
    return f'<section id="short" class="tiles wide">{title}{"".join(map(_tile, shown))}</section>' if shown else ""


def _tile(figure: Figure) -> str:
    value, _, unit = judged_text(figure).partition(" ")
    if figure.verdict is Verdict.FAILED:
        value, unit = "–", "failed to measure"
    bar = f"<span>bar {escape(bar_text(figure))}</span>" if figure.bar is not None else ""
    return (
        f'<a class="tile {figure.verdict}" href="#{anchor(figure.key)}">'
        f'<p class="big">{escape(value)} <small>{escape(unit)}</small></p>'
        f'<p class="what">{escape(figure.what)}</p>'
        f'<p class="beside">{escape(beside_text(figure))}</p>'
        f'<p class="bar">{_chip(figure.verdict)} {bar}</p></a>'
    )


def _chip(verdict: Verdict) -> str:
    return f'<span class="chip {verdict}">{verdict}</span>'


def _bars(run: Run, charts: str) -> str:
    missed = [each for each in run.figures() if each.verdict in {Verdict.MISSED, Verdict.FAILED}]
    lead = "What was promised, whether it holds or not. Bars of zero and budgets of counts are in the tables below."
    sentences = "".join(
        f"<li>{_chip(each.verdict)} <strong>{escape(each.what)}</strong> {escape(_why(each))}</li>" for each in missed
    )
    missed_list = f'<ul class="missed-list">{sentences}</ul>' if missed else ""
    return f'<section id="bars" class="wide"><h2>Bars</h2><p class="lead">{lead}</p>{missed_list}{charts}</section>'


def _why(figure: Figure) -> str:
    if figure.verdict is Verdict.FAILED:
        return "; ".join(figure.failures())
    return f"{judged_text(figure)}; the bar is {bar_text(figure)}"


def _section(section: Section, charts: str) -> str:
    headings = ("What", "Measured", "Floor", "Ratio", "Bar", "Verdict")
    head = "".join(f'<th scope="col" role="columnheader">{heading}</th>' for heading in headings)
    rows = "".join(_row(figure, headings) for figure in section.figures)
    conclusions = f"<dt>May be concluded</dt><dd>{escape(section.may)}</dd>"
    conclusions += f"<dt>May not</dt><dd>{escape(section.may_not)}</dd>"
    samples = "".join(_samples(figure) for figure in section.figures if figure.value is not None)
    data = "".join(_numbers(Series(name, values)) for name, values in section.data.items())
    return (
        f'<section id="{escape(section.key)}" class="wide"><h2>{escape(section.title)}</h2>'
        f'<p class="lead">{escape(section.lead)}</p><dl class="conclusions">{conclusions}</dl>'
        f'<table role="table"><caption class="unseen">{escape(section.title)}</caption>'
        f'<thead role="rowgroup"><tr role="row">{head}</tr></thead><tbody role="rowgroup">{rows}</tbody></table>'
        f"{_absent(section)}{charts}"
        f"<details><summary>Every sample, and what became of every packet</summary>{samples}"
        + (f"<h3>Measured along the way</h3>{data}" if data else "")
        + "</details></section>"
    )


def _absent(section: Section) -> str:
    """What is not there, said beside what is."""
    missing = "".join(
        f'<li><span class="chip">not run</span> <strong>{escape(name)}</strong> {escape(reason)}</li>'
        for name, reason in section.not_run.items()
    )
    return f'<ul class="missed-list">{missing}</ul>' if missing else ""


def _row(figure: Figure, headings: tuple[str, ...]) -> str:
    notes = "".join(f"<small>{escape(text)}</small>" for text in (*figure.failures(), figure.note) if text)
    row = (*map(escape, cells(figure)), _chip(figure.verdict))
    rest = "".join(
        f'<td role="cell" data-label="{heading}"{"" if cell else " class=empty"}>{_two_lines(cell)}</td>'
        for heading, cell in zip(headings[1:], row, strict=True)
    )
    name = anchor(figure.key)
    link = f'<a class="cite" href="#{name}" aria-label="Link to {escape(figure.what)}">#</a>'
    opening = f'<tr role="row" id="{name}" class="{figure.verdict}"><th role="rowheader" scope="row">'
    return f"{opening}{escape(figure.what)} {link}{notes}</th>{rest}</tr>"


def _two_lines(cell: str) -> str:
    """The middle first, its ends below and smaller."""
    middle, bracket, ends = cell.partition(" (")
    return f"<b>{middle}</b> <small>{ends.removesuffix(')')}</small>" if bracket else cell


def _charts(charts: list[Chart], pictures: Mapping[str, str]) -> str:
    figures = "".join(
        f"<figure><h3>{escape(chart.title)}</h3>{pictures[chart.key]}"
        f"<figcaption>{escape(chart.caption)}</figcaption></figure>"
        for chart in charts
    )
    return f'<div class="charts">{figures}</div>' if charts else ""


def _samples(figure: Figure) -> str:
    accounts = "".join(f"<li>{escape(account.describe())}</li>" for account in figure.accounts)
    kept = [each for each in (figure.value, figure.floor) if each is not None]
    lists = "".join(map(_numbers, kept))
    if figure.is_paired:
        lists += _numbers(Series("ratio", figure.ratios()))
    return f"<h3>{escape(figure.what)}</h3>{lists}" + (f'<ul class="accounts">{accounts}</ul>' if accounts else "")


def _numbers(series: Series) -> str:
    values = " ".join(f"<span>{number(sample)}</span>" for sample in series.samples)
    return f'<p class="samples"><b>{escape(series.name)}</b> {values}</p>'


def _reading(run: Run) -> str:
    def points(sentences: tuple[str, ...]) -> str:
        return "<ul>" + "".join(f"<li>{escape(each)}</li>" for each in sentences) + "</ul>"

    return (
        '<section id="reading" class="wide"><h2>How to read this</h2><div class="columns">'
        f"<div><h3>Method</h3>{points(run.method)}</div><div><h3>What may be concluded</h3>{points(MAY)}"
        f"<h3>What may not</h3>{points(MAY_NOT)}</div></div></section>"
    )


def _machine(run: Run) -> str:
    cards = [("Machine", run.card.lines()), ("Versions of what is not ours", run.versions())]
    return '<section id="machine" class="wide">' + "".join(starmap(_card, cards)) + "</section>"


def _card(title: str, lines: Mapping[str, str]) -> str:
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in lines.items())
    return f'<h2>{title}</h2><dl class="card">{rows}</dl>' if lines else ""


def _footer(run: Run) -> str:
    content = json.dumps(build(run), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    data = base64.b64encode(content.encode()).decode()
    link = f'<a download="{RUN}" href="data:application/json;base64,{data}">Raw data of this run ({RUN})</a>'
    origin = "<p>Made by <code>python -m bench</code> from its own samples.</p>"
    return f'<footer><div class="wide"><p>{link}</p>{origin}</div></footer>'
