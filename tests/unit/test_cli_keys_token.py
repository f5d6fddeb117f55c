"""`fastrelay keys` and `fastrelay token`: what they print, where, and their exit codes."""

import json
import time
from pathlib import Path
from typing import NamedTuple

import click
import pytest

from fastrelay.cli.main import fastrelay, run
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.routing.token import RouteToken, open_token

SECRET = bytes(range(32))


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class Shell:
    """Runs the command line in this process, in an empty directory and environment."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Outcome:
        code = run(list(arguments))
        captured = self._capsys.readouterr()
        return Outcome(code, captured.out, captured.err)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FASTRELAY_KEYS", raising=False)
    monkeypatch.delenv("FASTRELAY_KEYS_FILE", raising=False)
    return Shell(capsys)


@pytest.fixture
def ring(shell: Shell) -> KeyRing:
    """Make keys.json: one key that mints, one that has ended, one that waits."""
    now_s = int(time.time())
    ring = KeyRing(
        (Key(3, SECRET, now_s - 200_000), Key(1, bytes(32), 0, now_s - 1), Key(4, b"\x04" * 32, now_s + 5_000))
    )
    ring.save("keys.json")
    return ring


def test_a_new_ring_mints(shell: Shell) -> None:
    made = shell("keys", "new", "keys.json")
    assert (made.code, made.err) == (0, "")
    assert Path("keys.json").stat().st_mode & 0o777 == 0o600
    assert KeyRing.load("keys.json").minting_key(time.time()).fingerprint in made.out


def test_a_new_ring_never_replaces_one(shell: Shell, ring: KeyRing) -> None:
    refused = shell("keys", "new", "keys.json")
    assert (refused.code, refused.out) == (2, "")
    assert "keys.json: File exists" in refused.err
    assert KeyRing.load("keys.json") == ring


def test_rotation_adds_a_key_and_tells_what_it_dropped(shell: Shell, ring: KeyRing) -> None:
    rotated = shell("keys", "rotate", "keys.json", "--delay", "9000")
    assert rotated.code == 0
    after = KeyRing.load("keys.json")
    added = after.find(5)
    assert added is not None
    assert f"key 5 ({added.fingerprint}) mints from 2" in rotated.out
    assert "key 1 had ended and is dropped" in rotated.out
    assert [key.id for key in after.keys] == [3, 4, 5]


def test_rotation_names_its_new_key_even_when_one_still_waits(shell: Shell, ring: KeyRing) -> None:
    rotated = shell("keys", "rotate", "keys.json", "--delay", "0")
    assert "key 5 (" in rotated.out
    assert KeyRing.load("keys.json").minting_key(time.time()).id == 5


def test_a_key_is_retired_once_another_mints(shell: Shell, ring: KeyRing) -> None:
    refused = shell("keys", "retire", "keys.json", "3")
    assert (refused.code, refused.out) == (2, "")
    assert "only key that mints" in refused.err
    assert shell("keys", "rotate", "keys.json", "--delay", "0").code == 0
    assert shell("keys", "retire", "keys.json", "3").code == 0
    key = KeyRing.load("keys.json").find(3)
    assert key is not None
    assert not key.is_open(time.time())


def test_show_tells_states_and_ages_and_no_secret(shell: Shell, ring: KeyRing) -> None:
    shown = shell("keys", "show", "keys.json")
    assert shown.code == 0
    rows = {line.split()[0]: line.split() for line in shown.out.splitlines()[1:]}
    assert {key_id: row[2] for key_id, row in rows.items()} == {"1": "ended", "3": "mints", "4": "waits"}
    assert rows["3"][3:5] == ["2", "days"]
    assert all(key.fingerprint in shown.out for key in ring.keys)
    as_json = shell("keys", "show", "keys.json", "--json")
    assert [(key["id"], key["state"]) for key in json.loads(as_json.out)["keys"]] == [
        (1, "ended"),
        (3, "mints"),
        (4, "waits"),
    ]
    document = json.loads(ring.build())
    for entry in document["keys"]:
        assert entry["secret"] not in shown.out + as_json.out


def test_show_reads_times_beyond_the_calendar(shell: Shell) -> None:
    KeyRing((Key(0, SECRET, 0, 2**53 - 1),)).save("keys.json")
    assert f"{2**53 - 1} s" in shell("keys", "show", "keys.json").out


@pytest.mark.parametrize("command", ["rotate", "show", "retire"])
def test_a_ring_that_others_can_read_is_refused(shell: Shell, ring: KeyRing, command: str) -> None:
    Path("keys.json").chmod(0o644)
    refused = shell("keys", command, "keys.json", *(["3"] if command == "retire" else []))
    assert (refused.code, refused.out) == (2, "")
    assert "chmod 600 keys.json" in refused.err


@pytest.mark.parametrize("endpoint", ["10.0.0.7:4000", "[::1]:4000"])
def test_a_minted_token_opens(shell: Shell, ring: KeyRing, endpoint: str) -> None:
    minted = shell("token", "mint", "--keys", "keys.json", "--to", endpoint, "--cluster", "7")
    assert (minted.code, minted.err) == (0, "")
    lines = dict(line.split() for line in minted.out.splitlines())
    assert open_token(lines["ufrag"], ring, now_s=time.time(), cluster=7)
    opened = shell("token", "open", "--keys", "keys.json", lines["ufrag"] + ":abcd", "--cluster", "7")
    assert opened.code == 0
    assert f"transceiver  {endpoint}" in opened.out


def test_scripts_get_json(shell: Shell, ring: KeyRing) -> None:
    arguments = ["--keys", "keys.json", "--to", "[2001:DB8:0::7]:4000", "--session", "00112233445566FF", "--json"]
    minted = json.loads(shell("token", "mint", *arguments).out)
    assert (minted["transceiver"], minted["session"]) == ("[2001:db8::7]:4000", "00112233445566ff")
    assert len(minted["password"]) == 24
    opened = json.loads(shell("token", "open", "--keys", "keys.json", "--json", minted["ufrag"]).out)
    assert opened == {
        "key": 3,
        "transceiver": "[2001:db8::7]:4000",
        "cluster": 0,
        "session": "00112233445566ff",
        "minted_at": minted["minted_at"],
        "age_s": opened["age_s"],
    }


def test_the_environment_stands_in_for_the_flag(shell: Shell, ring: KeyRing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTRELAY_KEYS", KeyRing.new(now_s=0).build())
    text = shell("token", "mint", "--to", "10.0.0.7:4000", "--json").out
    ufrag = json.loads(text)["ufrag"]
    assert shell("token", "open", ufrag).code == 0
    assert shell("token", "open", "--keys", "keys.json", ufrag).code == 1
    monkeypatch.delenv("FASTRELAY_KEYS")
    monkeypatch.setenv("FASTRELAY_KEYS_FILE", "keys.json")
    assert shell("token", "open", ufrag).code == 1


@pytest.mark.parametrize(
    ("key", "cluster", "age_s", "reason"),
    [
        pytest.param(Key(9, SECRET, 0), 7, 0, "UNKNOWN_KEY", id="unknown key"),
        pytest.param(Key(1, bytes(32), 0), 7, 0, "RETIRED_KEY", id="retired key"),
        pytest.param(Key(3, bytes(32), 0), 7, 0, "FORGED", id="forged"),
        pytest.param(Key(3, SECRET, 0), 8, 0, "FOREIGN_CLUSTER", id="foreign cluster"),
        pytest.param(Key(3, SECRET, 0), 7, 90_000, "EXPIRED", id="expired"),
        pytest.param(Key(3, SECRET, 0), 7, -90, "NOT_YET", id="not yet"),
    ],
)
def test_a_refused_token_says_why(shell: Shell, ring: KeyRing, key: Key, cluster: int, age_s: int, reason: str) -> None:
    text = RouteToken(("10.0.0.7", 4000), bytes(8), int(time.time()) - age_s, cluster).seal(key)
    refused = shell("token", "open", "--keys", "keys.json", "--cluster", "7", text)
    assert (refused.code, refused.out) == (1, "")
    assert refused.err.startswith(f"fastrelay: {reason}: token ")
    as_json = shell("token", "open", "--keys", "keys.json", "--cluster", "7", "--json", text)
    assert as_json.code == 1
    assert json.loads(as_json.out)["refused"] == reason


def test_a_malformed_token_says_so(shell: Shell, ring: KeyRing) -> None:
    refused = shell("token", "open", "--keys", "keys.json", "nonsense")
    assert refused.code == 1
    assert "MALFORMED" in refused.err


def test_a_longer_lifetime_opens_an_older_token(shell: Shell, ring: KeyRing) -> None:
    text = RouteToken(("10.0.0.7", 4000), bytes(8), int(time.time()) - 90_000).seal(Key(3, SECRET, 0))
    assert shell("token", "open", "--keys", "keys.json", "--lifetime", "100000", text).code == 0


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        pytest.param(["token", "mint", "--to", "10.0.0.7:4000"], "--keys", id="no ring"),
        pytest.param(["token", "mint", "--keys", "keys.json"], "--to", id="no address"),
        pytest.param(["token", "mint", "--keys", "keys.json", "--to", "10.0.0.7"], "--to", id="no port"),
        pytest.param(["token", "mint", "--keys", "keys.json", "--to", "10.0.0.7:0"], "--to", id="port 0"),
        pytest.param(["token", "mint", "--keys", "keys.json", "--to", "host:1"], "--to", id="name"),
        pytest.param(
            ["token", "mint", "--keys", "keys.json", "--to", "::1:1", "--session", "1"], "--to", id="no brackets"
        ),
        pytest.param(
            ["token", "mint", "--keys", "keys.json", "--to", "[::1]:1", "--session", "00 11 22 33 44 55"],
            "--session",
            id="session with spaces",
        ),
        pytest.param(
            ["token", "mint", "--keys", "keys.json", "--to", "[::1]:1", "--cluster", "65536"], "--cluster", id="cluster"
        ),
        pytest.param(["token", "open", "--keys", "keys.json"], "TOKEN", id="no token"),
        pytest.param(["token", "open", "--keys", "missing.json", "x"], "missing.json", id="missing ring"),
        pytest.param(["keys", "rotate", "keys.json", "--delay", "-1"], "--delay", id="negative delay"),
        pytest.param(["keys", "retire", "keys.json", "9"], "9 is not in the ring", id="unknown key id"),
        pytest.param(["keys", "spin"], "spin", id="unknown command"),
    ],
)
def test_what_cannot_be_used_is_named_and_exits_with_2(
    shell: Shell, ring: KeyRing, arguments: list[str], names: str
) -> None:
    refused = shell(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert names in refused.err


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    found = []
    for name, command in group.commands.items():
        found += leaves(command, (*path, name)) if isinstance(command, click.Group) else [(*path, name)]
    return found


@pytest.mark.parametrize("path", leaves(fastrelay), ids=" ".join)
def test_help_shows_an_example(shell: Shell, path: tuple[str, ...]) -> None:
    helped = shell(*path, "--help")
    assert helped.code == 0
    assert "Example" in helped.out
    assert f"fastrelay {' '.join(path)} " in helped.out
