"""Every query of alerts and dashboard: Prometheus can parse it, and it asks for what a relay exports."""

import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from fastrelay._ext.relay_core import EVENT_NAMES, VERDICT_NAMES
from fastrelay.observe.metrics import FAMILIES

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
DASHBOARD = ROOT / "deploy" / "grafana" / "relay.json"
SUFFIXES = {"counter": ("",), "gauge": ("",), "summary": ("_sum", "_count"), "histogram": ("_bucket", "_sum", "_count")}
FROM_PROMETHEUS = {"up": {"job", "instance"}}
EVERYWHERE = {"job", "instance", "le"}
VARIABLES = {"$__rate_interval": "5m", "$job": ".+", "$instance": ".+"}
REASONS = {name.removeprefix("TOKEN_").lower() for name in VERDICT_NAMES if name.startswith("TOKEN_")}
VALUES = {
    "verdict": set(VERDICT_NAMES),
    "event": set(EVENT_NAMES),
    "reason": REASONS,
    "direction": {"up", "down"},
    "state": {"confirmed", "unconfirmed"},
    "result": {"done", "refused"},
}
SELECTOR = re.compile(r"\b(fastrelay_\w+|up)\b(?:\s*\{([^}]*)\})?")
MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
GROUPING = re.compile(r"\b(?:by|on|group_left|without|ignoring)\s*\(([^)]*)\)")


@dataclass(frozen=True)
class Query:
    """One query, and where it stands."""

    place: str
    text: str


def exported() -> dict[str, set[str]]:
    """Return the labels of each series that a relay exports, by the series' name."""
    return FROM_PROMETHEUS | {
        family.name + suffix: set(family.labels) | EVERYWHERE for family in FAMILIES for suffix in SUFFIXES[family.kind]
    }


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[Query]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield Query(rule["alert"], rule["expr"])
    for panel in panels():
        for target in panel["targets"]:
            yield Query(f"{panel['id']} {panel['title']} {target['refId']}", target["expr"])
    for annotation in dashboard()["annotations"]["list"]:
        yield Query(annotation["name"], annotation["expr"])


QUERIES = list(queries())


def test_there_are_queries_of_both_kinds() -> None:
    assert len(QUERIES) > 80


def test_prometheus_parses_every_query(tmp_path: Path) -> None:
    rules = []
    for number, query in enumerate(QUERIES):
        text = query.text
        for variable, value in VARIABLES.items():
            text = text.replace(variable, value)
        rules.append({"record": f"query:{number}", "expr": text, "labels": {"place": query.place}})
    path = tmp_path / "queries.yaml"
    path.write_text(json.dumps({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        ["promtool", "check", "rules", path], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.place)
def test_query_asks_for_what_a_relay_exports(query: Query) -> None:
    known = exported()
    labels: set[str] = set()
    for name, matchers in SELECTOR.findall(query.text):
        assert name in known
        labels |= known[name]
        for label, operator, value in MATCHER.findall(matchers):
            assert label in known[name], f"{name} has no label {label}"
            if label in VALUES and operator in {"=", "!="}:
                assert value in VALUES[label]
            elif label in VALUES:
                assert set(value.split("|")) - VALUES[label] == set()
    grouped = {label.strip() for names in GROUPING.findall(query.text) for label in names.split(",") if label.strip()}
    assert grouped - labels == set()


def test_every_panel_says_what_it_shows_in_a_unit() -> None:
    for panel in panels():
        assert panel["title"]
        assert panel["type"] == "heatmap" or panel["fieldConfig"]["defaults"]["unit"], panel["title"]


def test_panels_have_places_and_numbers_of_their_own() -> None:
    everything = dashboard()["panels"]
    assert len({panel["id"] for panel in everything}) == len(everything)
    taken: set[tuple[int, int]] = set()
    for panel in everything:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert cells & taken == set(), panel["title"]
        assert at["x"] + at["w"] <= 24, panel["title"]
        taken |= cells


def test_dashboard_belongs_to_no_one_installation() -> None:
    sources = {json.dumps(source) for source in _data_sources(dashboard())}
    assert sources == {'{"type": "prometheus", "uid": "${datasource}"}'}
    assert dashboard().get("id") is None


def _data_sources(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "datasource":
                yield inner
            else:
                yield from _data_sources(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _data_sources(inner)
