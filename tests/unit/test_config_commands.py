"""`fastrelay check` and `fastrelay config`: what they print, where, and their exit codes; the page and the example."""

from __future__ import annotations

import json
import logging
import os
import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from fastrelay.cli.main import fastrelay, run
from fastrelay.config.description import json_schema, markdown
from fastrelay.relay.configuration import load_relay_settings
from fastrelay.relay.reload import FIXED
from fastrelay.relay.schema import RELAY_SCHEMA
from fastrelay.routing.keys import KeyRing

ROOT = Path(__file__).parents[2]
RELAY = '[relay]\nlisten = ["192.0.2.1:3478"]\ntrunk = "10.0.0.5:4000"\nallow = ["10.0.0.0/8"]\n'
GOOD = f'{RELAY}keys_file = "keys.json"\n'


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


Shell = Callable[..., Outcome]


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """Runs the command line in this process, in a folder with a key ring and an environment without our variables."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("FASTRELAY_")]:
        monkeypatch.delenv(name)
    KeyRing.new(now_s=0).save("keys.json")

    def call(*words: str) -> Outcome:
        code = run(list(words))
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call


def test_good_file_is_told_with_what_it_sets(shell: Shell) -> None:
    Path("relay.toml").write_text(GOOD)
    checked = shell("check", "relay.toml")
    assert (checked.code, checked.err) == (0, "")
    assert checked.out.splitlines() == [
        "relay.toml: ok",
        "  relay.listen     192.0.2.1:3478  relay.toml:2",
        "  relay.trunk      10.0.0.5:4000   relay.toml:3",
        "  relay.allow      10.0.0.0/8      relay.toml:4",
        "  relay.keys_file  keys.json       relay.toml:5",
        f"  {len(RELAY_SCHEMA.settings) - 4} other settings have their defaults (fastrelay config show)",
    ]


def test_environment_counts_in_a_check(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("relay.toml").write_text(GOOD)
    monkeypatch.setenv("FASTRELAY_WORKERS__COUNT", "0")
    checked = shell("check", "relay.toml")
    assert (checked.code, checked.err.splitlines()) == (
        2,
        ["FASTRELAY_WORKERS__COUNT: 0, must be 1 to 256", "relay.toml: 1 error"],
    )


def test_every_error_is_told(shell: Shell) -> None:
    Path("relay.toml").write_text(GOOD + "".join(f"wrong_{each} = 1\n" for each in range(12)))
    checked = shell("check", "relay.toml")
    assert (checked.code, checked.out) == (2, "")
    assert checked.err.splitlines()[-1] == "relay.toml: 12 errors"
    assert len(checked.err.splitlines()) == 13


@pytest.mark.parametrize(
    ("text", "warning"),
    [
        pytest.param(RELAY, "relay.toml:1: relay.keys_file is missing; give it there, FASTRELAY_KEYS_FILE or", id="no"),
        pytest.param(f'{RELAY}keys_file = "absent"', "absent: No such file", id="absent ring"),
        pytest.param(f'{RELAY}keys_file = "open.json"', "open.json: mode 0644 lets others at the keys", id="open ring"),
        pytest.param(f'{RELAY}keys_file = "late.json"', "key ring: holds no key that mints now", id="late ring"),
        pytest.param(f'{GOOD}user = "no-such"', "relay.toml:6: relay.user: there is no user 'no-such' here", id="user"),
        pytest.param(f'{GOOD}[workers]\ncount = "9999-9999"', "relay.toml:7: workers.count: CPU 9999 is not", id="CPU"),
        pytest.param(f"{GOOD}[workers]\ncount = 256", "relay.toml:7: workers.count: 256 workers would share", id="256"),
    ],
)
def test_what_depends_on_the_machine_is_only_warned_of(shell: Shell, text: str, warning: str) -> None:
    ring = KeyRing.new(now_s=2**40)
    ring.save("late.json")
    ring.save("open.json")
    Path("open.json").chmod(0o644)
    Path("relay.toml").write_text(text)
    checked = shell("check", "relay.toml")
    assert checked.code == 0
    (line,) = checked.err.splitlines()
    assert line.startswith(f"warning: {warning}")
    report = json.loads(shell("check", "relay.toml", "--json").out)
    (entry,) = report["warnings"]
    assert line == f"warning: {entry['place']}: {entry['problem']}"


def test_check_tells_scripts_the_same(shell: Shell) -> None:
    Path("relay.toml").write_text(f"{GOOD}cluster = 70000\n")
    checked = shell("check", "relay.toml", "--json")
    report = json.loads(checked.out)
    assert (checked.code, checked.err, report["is_ok"]) == (2, "", False)
    assert report["errors"] == [{"place": "relay.toml:6", "problem": "relay.cluster is 70000, must be 0 to 65535"}]
    assert report["configuration"]["relay.trunk"] == {"value": "10.0.0.5:4000", "from": "relay.toml:3"}


def test_every_value_is_shown_with_its_origin_and_no_secret(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("relay.toml").write_text(RELAY)
    monkeypatch.setenv("FASTRELAY_KEYS", KeyRing.load("keys.json").build())
    shown = shell("config", "show", "--config", "relay.toml")
    assert (shown.code, shown.err) == (0, "")
    columns = {line.split()[0]: line.split()[1:] for line in shown.out.splitlines()}
    assert list(columns) == [setting.name for setting in RELAY_SCHEMA.settings]
    assert columns["relay.trunk"] == ["10.0.0.5:4000", "relay.toml:3"]
    assert columns["relay.keys"] == ["(secret)", "FASTRELAY_KEYS"]
    assert columns["workers.spin"] == ["false", "default"]
    assert columns["relay.user"] == ["-", "default"]
    values = json.loads(shell("config", "show", "--config", "relay.toml", "--json").out)
    assert values["relay.keys"] == {"value": "(secret)", "from": "FASTRELAY_KEYS"}


def test_what_is_wrong_is_told_beside_what_is_shown(shell: Shell) -> None:
    shown = shell("config", "show")
    assert shown.code == 2
    assert shown.err.startswith("fastrelay: --listen: missing; ")
    assert "relay.listen  " in shown.out


def test_schema_tells_everything_about_a_setting(shell: Shell) -> None:
    told = shell("config", "schema").out
    assert "\n  idle_after_ms: a whole number from 1 to 2147483647, in ms; 60000\n" in told
    assert "      --token-lifetime, FASTRELAY_LIMITS__TOKEN_LIFETIME_S\n" in told
    assert all(
        f"\n  {setting.key}: " in told and setting.reason.split()[0] in told for setting in RELAY_SCHEMA.settings
    )


def test_schema_is_a_json_schema_of_the_file(shell: Shell) -> None:
    schema = json.loads(shell("config", "schema", "--json").out)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert list(properties) == list(RELAY_SCHEMA.sections)
    assert "keys" not in properties["relay"]["properties"]
    idle = properties["limits"]["properties"]["idle_after_ms"]
    assert (idle["type"], idle["minimum"], idle["maximum"], idle["default"]) == ("integer", 1, 2**31 - 1, 60_000)
    assert idle["x-fastrelay"] == {"variables": ["FASTRELAY_LIMITS__IDLE_AFTER_MS"], "isRequired": False, "unit": "ms"}
    assert properties["workers"]["properties"]["steering"]["enum"] == ["auto", "cpu", "hash", "kernel"]


def accepts(schema: dict[str, Any], value: object) -> bool:
    """The few words of JSON Schema that ours is made of."""
    if "anyOf" in schema:
        return any(accepts(each, value) for each in schema["anyOf"])
    if "const" in schema:
        return bool(value == schema["const"])
    if schema["type"] == "object":
        properties = schema["properties"]
        return isinstance(value, dict) and all(k in properties and accepts(properties[k], v) for k, v in value.items())
    if schema["type"] == "array":
        return isinstance(value, list) and all(accepts(schema["items"], item) for item in value)
    if schema["type"] == "integer":
        return isinstance(value, int) and schema["minimum"] <= value <= schema["maximum"]
    if schema["type"] == "string":
        return isinstance(value, str) and value in schema.get("enum", [value])
    return isinstance(value, bool)


def test_example_fits_the_schema_and_makes_settings() -> None:
    example = ROOT / "examples" / "relay.toml"
    settings = load_relay_settings(example, {}, {})
    assert settings.listen == (("0.0.0.0", 3478), ("::", 3478))
    assert accepts(json_schema(RELAY_SCHEMA, "relay"), tomllib.loads(example.read_text()))


def test_example_shows_defaults_where_it_comments_out() -> None:
    text = (ROOT / "examples" / "relay.toml").read_text()
    commented = [line[2:].split("  ")[0] for line in text.splitlines() if line.startswith("# ") and " = " in line]
    found = dict(line.split(" = ") for line in commented)
    by_key = {setting.key: setting for setting in RELAY_SCHEMA.settings}
    assert {"cluster", "steering", "flows"} <= set(found)
    for key, value in found.items():
        setting = by_key[key]
        if setting.default is not None:
            assert json.loads(value) == setting.kind.build(setting.default), key


def test_page_holds_the_tables_of_the_schema() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    told = "docs/configuration.md is older than the schema: paste the output of `fastrelay config schema --markdown`"
    assert markdown(RELAY_SCHEMA) in page, told


def test_page_names_what_a_reload_cannot_change() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text()
    reload = page.partition("## Reload")[2].partition("## ")[0]
    by_flag = {setting.flag: setting for setting in RELAY_SCHEMA.settings}
    keys = {by_flag[flag].key if flag != "--admin" else by_flag[flag].name for flag in FIXED.values()}
    sentence = reload.partition("A reload that changes")[2].partition("is refused")[0]
    assert set(re.findall(r"`([\w.]+)`", sentence)) == keys | {"limits.flows", "limits.peers"}


def test_error_that_only_the_kernel_can_tell_names_the_line(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("relay.toml").write_text(GOOD.replace("10.0.0.5:4000", "127.0.0.1"))
    logger = logging.getLogger("fastrelay")
    monkeypatch.setattr(logger, "handlers", logger.handlers[:])  # the command configures it for its process
    monkeypatch.setattr(logger, "propagate", logger.propagate)
    monkeypatch.setattr(logger, "level", logger.level)
    refused = shell("relay", "--config", "relay.toml", "--no-offload")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.splitlines()[-1] == (
        "fastrelay: relay.toml:2: relay.listen: cannot open 192.0.2.1:3478: Cannot assign requested address"
    )


def test_every_flag_of_the_relay_gives_its_setting() -> None:
    options = {name for each in fastrelay.commands["relay"].params for name in each.opts}
    assert {setting.flag for setting in RELAY_SCHEMA.settings if setting.flag} <= options


@pytest.mark.parametrize("command", [["check"], ["config", "show"], ["config", "schema"], ["config"]])
def test_help_is_there(shell: Shell, command: list[str]) -> None:
    helped = shell(*command, "--help")
    assert helped.code == 0
    assert "Usage:" in helped.out
