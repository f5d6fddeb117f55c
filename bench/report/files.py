"""A run as a file: written whole, read strictly.

Lives here: the envelope (kind, schema version), and what makes a file unusable. Must not live here: what is in a run
(model), the reading of single values (decode).

Each figure carries its verdict and its summary for whoever reads the file without us. On reading they are computed
again from the samples: a file that contradicts itself is refused.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.report.decode import Malformed, decode
from bench.report.model import KIND, SCHEMA, Figure, Run
from bench.report.wording import anchor

RUN = "run.json"
PAGE = "report.html"
SUMMARY = "summary.md"
DERIVED = "derived"
"""What a figure's samples say, in the file for readers of other languages."""


class RunFileError(Exception):
    """A file that cannot be used as a run; the text says which and why."""


def build(run: Run) -> dict[str, Any]:
    """The run as JSON values."""
    content = {"kind": KIND, "schema": SCHEMA, "verdict": str(run.verdict), **dataclasses.asdict(run)}
    for section, stored in zip(run.sections, content["sections"], strict=True):
        for figure, each in zip(section.figures, stored["figures"], strict=True):
            each[DERIVED] = _derived(figure)
    return content


def write_run(run: Run, path: Path) -> None:
    """The whole file or none: readers never see half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(build(run), indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    fresh.replace(path)


def read_run(path: Path) -> Run:
    """Raises RunFileError."""
    try:
        content = json.loads(path.read_text(), parse_constant=_refuse_constant)
    except OSError as error:
        raise RunFileError(f"{path}: {error.strerror}") from error
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise RunFileError(f"{path} is no JSON: {error}") from error
    try:
        return parse(content)
    except Malformed as error:
        raise RunFileError(f"{path}: {error}") from error


def parse(content: object) -> Run:
    """Raises Malformed."""
    if not isinstance(content, dict) or content.get("kind") != KIND:
        raise Malformed(f'not a run of these benchmarks: "kind" is not "{KIND}"')
    if content.get("schema") != SCHEMA:
        raise Malformed(f"schema {content.get('schema')}, and this harness reads {SCHEMA}: use that of its commit")
    stored: dict[str, Any] = {}
    body = {name: value for name, value in content.items() if name not in {"kind", "schema", "verdict"}}
    run = decode(Run, _without_derived(body, stored))
    _check_pairs(run)
    keys = [figure.key for figure in run.figures()]
    anchors = [anchor(key) for key in keys]
    if repeated := sorted(key for key in keys if anchors.count(anchor(key)) > 1):
        raise Malformed(f"two figures are called {repeated[0]}")
    for figure in run.figures():
        if stored.get(figure.key) != _derived(figure):
            raise Malformed(f"{figure.key}: its samples do not say what is written in {DERIVED!r}")
    if content.get("verdict") != run.verdict:
        raise Malformed(f"verdict {content.get('verdict')!r} is written, and the figures say {str(run.verdict)!r}")
    return run


def _check_pairs(run: Run) -> None:
    for figure in run.figures():
        if figure.is_paired and figure.value is not None and figure.floor is not None:
            ours, theirs = len(figure.value.samples), len(figure.floor.samples)
            if ours != theirs:
                raise Malformed(f"{figure.key}: {ours} samples beside {theirs} of the floor are no pairs")


def _derived(figure: Figure) -> dict[str, Any]:
    spreads = {"value": figure.spread(), "floor": figure.floor_spread(), "ratio": figure.ratio()}
    return {
        "verdict": str(figure.verdict),
        "failures": figure.failures(),
        **{name: dataclasses.asdict(each) if each is not None else None for name, each in spreads.items()},
    }


def _without_derived(body: Mapping[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """The body as the model knows it; what was derived goes to `stored`, by key."""
    sections = body.get("sections")
    if not isinstance(sections, list):
        return dict(body)
    return {**body, "sections": [_figures_cleaned(section, stored) for section in sections]}


def _figures_cleaned(section: object, stored: dict[str, Any]) -> object:
    if not isinstance(section, dict) or not isinstance(section.get("figures"), list):
        return section
    figures = []
    for figure in section["figures"]:
        if isinstance(figure, dict):
            stored[str(figure.get("key"))] = figure.get(DERIVED)
            figures.append({name: value for name, value in figure.items() if name != DERIVED})
        else:
            figures.append(figure)
    return {**section, "figures": figures}


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number of JSON")
