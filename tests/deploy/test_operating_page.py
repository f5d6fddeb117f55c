"""docs/operating.md: what it names exists, and each alert is explained there."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest
import yaml

from fastrelay.cli.main import fastrelay
from fastrelay.observe.metrics import FAMILIES
from fastrelay.relay.schema import RELAY_SCHEMA

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "operating.md"
TEXT = PAGE.read_text()
RULES = ROOT / "deploy" / "prometheus" / "alerts.yaml"
CODE = re.compile(r"^```\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
ELLIPSIS = "…"


@dataclass(frozen=True)
class Line:
    """A command as an operator would type it, without `sudo` and without what stands beside it."""

    words: tuple[str, ...]


def commands() -> Iterator[Line]:
    """Return every `fastrelay …` of the page, from blocks and from running text."""
    seen = set()
    for text in [line for block in CODE.findall(TEXT) for line in block.splitlines()] + INLINE.findall(
        CODE.sub("", TEXT)
    ):
        for part in re.split(r"&&|\||(?<= )-- ", text):
            words = shlex.split(part)
            while words[:1] == ["sudo"] or words[:2] == ["-u", "fastrelay"]:
                words = words[1:] if words[0] == "sudo" else words[2:]
            if words[:1] == ["fastrelay"] and ELLIPSIS not in words and tuple(words) not in seen:
                seen.add(tuple(words))
                yield Line(tuple(words))


def alerts() -> dict[str, str]:
    return {
        rule["alert"]: rule["labels"]["severity"]
        for group in yaml.safe_load(RULES.read_text())["groups"]
        for rule in group["rules"]
    }


def test_every_alert_is_explained_in_the_order_of_the_rules() -> None:
    section = TEXT.partition("\n## Alerts\n")[2].partition("\n## ")[0]
    assert re.findall(r"^### (\w+)$", section, re.MULTILINE) == list(alerts())


def test_explanation_says_who_is_woken() -> None:
    explained = dict(re.findall(r"^### (\w+)\n(\w+)", TEXT, re.MULTILINE))
    assert {name for name in alerts() if explained[name] == "Page"} == {
        name for name, severity in alerts().items() if severity == "page"
    }


@pytest.mark.parametrize("line", list(commands()), ids=lambda line: " ".join(line.words))
def test_command_can_be_given_like_that(line: Line) -> None:
    command: click.Command = fastrelay
    context = click.Context(command, info_name="fastrelay")
    words = list(line.words[1:])
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        found = command.get_command(context, words.pop(0))
        assert found is not None, line
        command, context = found, click.Context(found, info_name=found.name, parent=context)
    if words in (["--version"], []):
        return
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert [word for word in words if word.startswith("--") and word.partition("=")[0] not in known] == []


def test_there_are_commands_to_look_at() -> None:
    assert len(list(commands())) > 25


def test_files_that_are_named_are_there() -> None:
    named = {name.rstrip(".") for name in re.findall(r"\bdeploy/[\w./-]+", TEXT)}
    assert len(named) > 8
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_metrics_that_are_named_are_exported() -> None:
    named = set(re.findall(r"\bfastrelay_\w+", TEXT))
    assert named - {family.name for family in FAMILIES} == set()


def test_settings_that_are_named_exist() -> None:
    settings = {setting.name for setting in RELAY_SCHEMA.settings}
    sections = {name.partition(".")[0] for name in settings}
    named = {name for name in INLINE.findall(TEXT) if re.fullmatch(r"[a-z]+\.[a-z_]+", name)}
    assert {name for name in named if name.partition(".")[0] in sections} - settings == set()
