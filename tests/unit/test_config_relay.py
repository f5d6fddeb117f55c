"""A relay's configuration: from values to settings, and back to the place of each for errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path

import pytest

from fastrelay._ext.relay_core import flow_page_bytes
from fastrelay.errors import ConfigError
from fastrelay.relay.configuration import errors_at_their_place, load_relay_settings, read_relay
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.schema import FLOWS_MAX, LIMITS, PEERS_MAX, RELAY_SCHEMA
from fastrelay.relay.settings import RelaySettings, Steering
from fastrelay.routing.keys import KeyRing

ROOT = Path(__file__).parents[2]
RELAY = (
    '[relay]\nlisten = ["192.0.2.1:3478"]\ntrunk = "10.0.0.5:4000"\nallow = ["10.0.0.0/8"]\nkeys_file = "keys.json"\n'
)

Load = Callable[..., RelaySettings]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    monkeypatch.chdir(tmp_path)

    def load(
        text: str | None = RELAY, flags: Mapping[str, object] | None = None, environ: Mapping[str, str] | None = None
    ) -> RelaySettings:
        if text is not None:
            Path("relay.toml").write_text(text)
        return load_relay_settings(None if text is None else Path("relay.toml"), flags or {}, environ or {})

    return load


def test_file_gives_every_setting(load: Load) -> None:
    settings = load(
        '[relay]\nlisten = ["192.0.2.1:3478", "[2001:db8::1]:0"]\ntrunk = "[::]"\nallow = ["10.0.0.0/8", "fd00::1"]\n'
        'cluster = 7\nkeys_file = "k"\nuser = "daemon"\nrun_dir = "/run/fastrelay"\n'
        '[workers]\ncount = "0-2,7"\nsteering = "hash"\nspin = true\nbusy_poll_us = 50\noffload = false\n'
        "latency_samples = false\n[limits]\nflows = 9\nidle_after_ms = 1\n"
        '[admin]\nlisten = "127.0.0.1:9478"\n[drain]\ntimeout_s = 5\n[log]\nform = "json"\n'
    )
    assert (settings.listen, settings.trunk) == ((("192.0.2.1", 3478), ("2001:db8::1", 0)), ("::", 0))
    assert list(map(str, settings.allowed)) == ["10.0.0.0/8", "fd00::1/128"]
    assert (settings.workers, settings.cpus, settings.steering) == (None, (0, 1, 2, 7), Steering.HASH)
    assert (settings.is_spinning, settings.busy_poll_us, settings.is_offloading, settings.samples_latency) == (
        True,
        50,
        False,
        False,
    )
    assert settings.limits == Limits(flows=9, idle_after_ms=1)
    assert (settings.cluster, settings.user, settings.run_dir) == (7, "daemon", Path("/run/fastrelay"))
    assert (settings.admin, settings.drain_timeout_s, settings.log_form) == (("127.0.0.1", 9478), 5, "json")


def test_what_is_not_given_has_the_settings_own_default(load: Load) -> None:
    settings = load()
    bare = RelaySettings(settings.listen, settings.trunk, settings.allowed, settings.load_keys, shown=settings.shown)
    assert settings == bare


def test_shown_is_every_setting_with_its_origin(load: Load) -> None:
    shown = load(RELAY, {"relay.cluster": "3"}, {"FASTRELAY_WORKERS__COUNT": "2"}).shown
    assert list(shown) == [setting.name for setting in RELAY_SCHEMA.settings]
    assert shown["relay.listen"] == {"value": ["192.0.2.1:3478"], "from": "relay.toml:2"}
    assert shown["relay.cluster"] == {"value": 3, "from": "--cluster"}
    assert shown["workers.count"] == {"value": 2, "from": "FASTRELAY_WORKERS__COUNT"}
    assert shown["drain.timeout_s"] == {"value": 3600, "from": "default"}


@pytest.mark.parametrize(
    ("text", "workers", "cpus"),
    [("auto", None, ()), ("4", 4, ()), ("0,2", None, (0, 2)), ("3-5", None, (3, 4, 5)), ("4-4", None, (4,))],
)
def test_workers_are_auto_a_number_or_cpus(load: Load, text: str, workers: int | None, cpus: tuple[int, ...]) -> None:
    by_flag = load(RELAY, {"workers.count": text})
    in_file = load(f"{RELAY}[workers]\ncount = {text if text == '4' else repr(text)}")
    assert (by_flag.workers, by_flag.cpus) == (in_file.workers, in_file.cpus) == (workers, cpus)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param("0", "is 0, must be 1 to 256", id="none"),
        pytest.param("257", "is 257, must be 1 to 256", id="too many"),
        pytest.param("'4'", "is '4', must be auto, a number from 1 to 256, or a list of CPUs", id="quoted number"),
        pytest.param("true", "is true, must be auto", id="bool"),
        pytest.param("'one'", "is 'one', must be auto", id="word"),
        pytest.param("'0,'", "is '0,', must be auto", id="empty part"),
        pytest.param("'3-1'", "is '3-1', in which 3-1 runs backwards", id="backwards"),
        pytest.param("'0-2,1'", "is '0-2,1', in which CPU 1 is there twice", id="twice"),
        pytest.param("'0-256'", "is 257 CPUs, must be 1 to 256", id="too many CPUs"),
        pytest.param("'0-99999'", "is '0-99999', must be auto", id="no such number"),
    ],
)
def test_unusable_workers_are_told(load: Load, value: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=f"^relay.toml:7: workers.count {re.escape(problem)}"):
        load(f"{RELAY}[workers]\ncount = {value}")


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        pytest.param('trunk = "10.0.0.5:65535"', "relay.trunk: 2 workers from port 65535 on would pass", id="ports"),
        pytest.param('allow = ["fd00::/8"]', "relay.allow: fd00::/8 cannot be reached from --trunk", id="family"),
        pytest.param('listen = ["192.0.2.1:9", "192.0.2.1:9"]', "relay.listen: 192.0.2.1:9 is given twice", id="twice"),
    ],
)
def test_settings_that_cannot_work_together_are_told_at_their_line(load: Load, changed: str, problem: str) -> None:
    lines = RELAY.splitlines()
    at = next(at for at, line in enumerate(lines) if line.partition(" ")[0] == changed.partition(" ")[0])
    lines[at] = changed
    with pytest.raises(ConfigError) as caught:
        load("\n".join([*lines, "[workers]", "count = 2"]))
    assert str(caught.value).startswith(f"relay.toml:{at + 1}: {problem}")


def test_settings_that_cannot_work_together_are_told_by_flag_and_variable(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"^--trunk: 2 workers from port"):
        load(RELAY, {"relay.trunk": "10.0.0.5:65535", "workers.count": "2"})
    with pytest.raises(ConfigError, match=r"^FASTRELAY_RELAY__ALLOW: fd00::/8 cannot be reached"):
        load(RELAY, {}, {"FASTRELAY_RELAY__ALLOW": "fd00::/8"})


def test_refused_setting_is_not_told_again_for_its_default(load: Load, tmp_path: Path) -> None:
    (tmp_path / "relay.toml").write_text(f"{RELAY}[workers]\ncount = 0\n[limits]\nflows = 0\n")
    problems = read_relay(tmp_path / "relay.toml", {}, {}).problems
    assert [problem.problem for problem in problems] == [
        "workers.count is 0, must be 1 to 256",
        f"limits.flows is 0, must be 1 to {FLOWS_MAX}",
    ]


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({}, "relay.toml:2: relay.listen: cannot open"),
        ({"FASTRELAY_RELAY__LISTEN": "192.0.2.1:1"}, "FASTRELAY_RELAY__LISTEN: cannot open"),
    ],
    ids=["file", "variable"],
)
def test_later_error_names_the_place_of_the_value(load: Load, environ: dict[str, str], told: str) -> None:
    settings = load(RELAY, {}, environ)
    with pytest.raises(ConfigError) as caught, errors_at_their_place(settings):
        raise ConfigError("--listen", "cannot open")
    assert str(caught.value) == told


@pytest.mark.parametrize(("key", "shown"), [("--listen", False), ("keys.json", True), ("--user", True)])
def test_later_error_without_a_place_stays_as_it_is(load: Load, key: str, shown: bool) -> None:
    settings = load()
    bare = RelaySettings(settings.listen, settings.trunk, settings.allowed, settings.load_keys)
    with pytest.raises(ConfigError) as caught, errors_at_their_place(settings if shown else bare):
        raise ConfigError(key, "bad")
    assert str(caught.value) == f"{key}: bad"


def test_missing_settings_are_told_together(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load(None)
    assert [line.split(": ")[0] for line in str(caught.value).splitlines()] == [
        "--listen",
        "--trunk",
        "--allow",
        "--keys",
    ]
    assert "--keys: missing; give it, FASTRELAY_KEYS_FILE or keys_file in [relay]" in str(caught.value)


def test_the_first_problems_are_told_and_the_rest_counted(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load(RELAY + "".join(f"wrong_{each} = 1\n" for each in range(6)))
    lines = str(caught.value).splitlines()
    assert [line.split(": ")[0] for line in lines[:-1]] == [f"relay.toml:{line}" for line in range(6, 10)]
    assert lines[-1] == "and 2 more (fastrelay check relay.toml)"


# --- keys


@pytest.fixture
def rings(load: Load) -> dict[str, KeyRing]:
    made = {name: KeyRing.new(now_s=number) for number, name in enumerate(("keys.json", "b.json", "c.json"))}
    for name, ring in made.items():
        ring.save(name)
    return made


@pytest.mark.parametrize(
    ("flags", "environ", "name"),
    [
        pytest.param({}, {}, "keys.json", id="file"),
        pytest.param({}, {"FASTRELAY_KEYS_FILE": "b.json"}, "b.json", id="variable"),
        pytest.param({}, {"FASTRELAY_RELAY__KEYS_FILE": "b.json"}, "b.json", id="variable of the section"),
        pytest.param({"relay.keys_file": "c.json"}, {"FASTRELAY_KEYS_FILE": "b.json"}, "c.json", id="flag"),
        pytest.param({"relay.keys_file": "c.json"}, {"FASTRELAY_KEYS": "not even JSON"}, "c.json", id="flag over ring"),
    ],
)
def test_ring_is_read_from_the_nearest_source(
    load: Load, rings: dict[str, KeyRing], flags: dict[str, object], environ: dict[str, str], name: str
) -> None:
    assert load(RELAY, flags, environ).load_keys() == rings[name]


def test_ring_in_the_environment_goes_before_the_file_and_is_never_shown(load: Load, rings: dict[str, KeyRing]) -> None:
    text = rings["b.json"].build()
    settings = load(RELAY, {}, {"FASTRELAY_KEYS": text})
    assert settings.load_keys() == rings["b.json"]
    assert settings.shown["relay.keys"] == {"value": "(secret)", "from": "FASTRELAY_KEYS"}
    assert text not in repr(settings)


def test_ring_is_read_again_at_each_reload(load: Load, rings: dict[str, KeyRing]) -> None:
    settings = load()
    rings["b.json"].save("keys.json")
    assert settings.load_keys() == rings["b.json"]


def test_two_rings_in_the_environment_are_refused(load: Load) -> None:
    with pytest.raises(ConfigError, match=r"^FASTRELAY_KEYS: set together with FASTRELAY_KEYS_FILE; leave one out$"):
        load(RELAY, {}, {"FASTRELAY_KEYS": "{}", "FASTRELAY_KEYS_FILE": "b.json"})


def test_keys_in_the_file_are_refused_with_advice(load: Load) -> None:
    with pytest.raises(ConfigError) as caught:
        load(RELAY.replace('keys_file = "keys.json"', 'keys = "hush"'))
    assert str(caught.value) == (
        "relay.toml:5: relay.keys is a secret, which must not stand here: put it in a file that only its owner may "
        "read, and name that file in relay.keys_file"
    )


# --- the declarations


def test_every_limit_can_be_set_and_has_its_own_default() -> None:
    assert list(LIMITS) == [field.name for field in fields(Limits)]
    assert {name: setting.default for name, setting in LIMITS.items()} == asdict(Limits())


@pytest.mark.parametrize("name", LIMITS)
def test_range_of_a_limit_is_what_can_work(name: str) -> None:
    greatest = LIMITS[name].kind.json_schema()["maximum"]
    if name == "flows":
        assert flow_page_bytes(greatest) > 0
        with pytest.raises(ValueError, match="out of range"):
            flow_page_bytes(greatest + 1)
    elif name == "peers":
        header = (ROOT / "ext" / "limits.h").read_text()
        assert re.findall(r"^#define FR_PEERS (\d+)$", header, re.MULTILINE) == [str(PEERS_MAX)] == [str(greatest)]
    else:
        Limits(**{name: greatest})
        with pytest.raises(ValueError, match=f"must be 1 to {greatest}$"):
            Limits(**{name: greatest + 1})


def test_flags_and_variables_are_each_of_one_setting() -> None:
    flags = [setting.flag for setting in RELAY_SCHEMA.settings if setting.flag]
    variables = [name for setting in RELAY_SCHEMA.settings for name in setting.variables]
    assert len(set(flags)) == len(flags)
    assert len(set(variables)) == len(variables)
