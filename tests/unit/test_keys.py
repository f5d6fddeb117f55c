"""The key ring: its file, which key mints, rotation and retirement."""

import base64
import json
import os
import stat
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay._ext.codec import TokenCodec
from fastrelay.errors import ConfigError
from fastrelay.routing.keys import KEYS_MAX, TIME_MAX, Key, KeyRing

NOW = 1_800_000_000
SECRET = bytes(range(32))
SECRET_TEXT = base64.urlsafe_b64encode(SECRET).decode().rstrip("=")


def key(key_id: int, mint_from_s: int = 0, open_until_s: int | None = None) -> Key:
    return Key(key_id, bytes([key_id]) * 32, mint_from_s, open_until_s)


def entry(**changes: Any) -> dict[str, Any]:
    return {"id": 0, "secret": SECRET_TEXT, "mint_from": 5, "open_until": None} | changes


def document(*entries: Any, **changes: Any) -> str:
    return json.dumps({"version": 1, "keys": list(entries)} | changes)


def test_a_ring_reads_back_as_written() -> None:
    ring = KeyRing((key(0, 5, 9), key(15, 7)))
    assert KeyRing.parse(ring.build()) == ring


def test_the_file_form_is_the_published_one() -> None:
    assert KeyRing.parse(document(entry(open_until=9))) == KeyRing((Key(0, SECRET, 5, 9),))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        pytest.param("", "ring", id="empty"),
        pytest.param("{", "ring", id="not JSON"),
        pytest.param("[" * 100_000, "ring", id="nested without end"),
        pytest.param("[]", "ring", id="not an object"),
        pytest.param('{"keys": []}', "ring: version", id="no version"),
        pytest.param(document(entry(), version=2), "ring: version", id="later version"),
        pytest.param(document(entry(), version=True), "ring: version", id="version true"),
        pytest.param(document(entry(), more=1), "ring: more", id="unknown member"),
        pytest.param(document(), "ring: keys", id="no keys"),
        pytest.param('{"version": 1, "keys": {}}', "ring: keys", id="keys not a list"),
        pytest.param(document(7), "ring: keys[0]", id="key not an object"),
        pytest.param(document(entry(), entry()), "ring: keys[1].id", id="id twice"),
        pytest.param(document(entry(extra=1)), "ring: keys[0]: extra", id="unknown member of a key"),
        pytest.param(document({"id": 0}), "ring: keys[0]: mint_from", id="missing member of a key"),
        pytest.param(document(entry(id=16)), "ring: keys[0].id", id="id 16"),
        pytest.param(document(entry(id=-1)), "ring: keys[0].id", id="id -1"),
        pytest.param(document(entry(id=True)), "ring: keys[0].id", id="id true"),
        pytest.param(document(entry(id="0")), "ring: keys[0].id", id="id in quotes"),
        pytest.param(document(entry(secret=5)), "ring: keys[0].secret", id="secret not text"),
        pytest.param(document(entry(secret=SECRET_TEXT + "=")), "ring: keys[0].secret", id="secret padded"),
        pytest.param(document(entry(secret=SECRET_TEXT[:-1])), "ring: keys[0].secret", id="secret short"),
        pytest.param(document(entry(secret=SECRET_TEXT + "A")), "ring: keys[0].secret", id="secret long"),
        pytest.param(document(entry(secret="é" * 43)), "ring: keys[0].secret", id="secret not ASCII"),
        pytest.param(document(entry(secret="/" * 43)), "ring: keys[0].secret", id="secret in the other alphabet"),
        pytest.param(document(entry(secret="A" * 42 + "B")), "ring: keys[0].secret", id="secret with spare bits"),
        pytest.param(document(entry(mint_from=None)), "ring: keys[0].mint_from", id="mint_from null"),
        pytest.param(document(entry(mint_from=1.5)), "ring: keys[0].mint_from", id="mint_from a fraction"),
        pytest.param(document(entry(mint_from=-1)), "ring: keys[0].mint_from", id="mint_from negative"),
        pytest.param(document(entry(open_until=TIME_MAX + 1)), "ring: keys[0].open_until", id="open_until too large"),
    ],
)
def test_a_ring_that_cannot_be_used_is_named_where_it_is_wrong(text: str, names: str) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyRing.parse(text, source="ring")
    assert caught.value.key == names


def test_no_error_and_no_repr_shows_a_secret() -> None:
    ring = KeyRing((Key(0, SECRET, 5),))
    with pytest.raises(ConfigError) as caught:
        KeyRing.parse(document(entry(secret=SECRET_TEXT + "!")))
    shown = str(caught.value) + repr(ring) + repr(ring.keys[0])
    assert SECRET_TEXT not in shown
    assert "siv_key" not in shown
    assert "\\x00\\x01" not in shown


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        pytest.param(lambda: Key(16, SECRET, 0), "id", id="id 16"),
        pytest.param(lambda: Key(-1, SECRET, 0), "id", id="id -1"),
        pytest.param(lambda: Key(0, SECRET[:31], 0), "secret", id="short secret"),
        pytest.param(lambda: Key(0, SECRET, -1), "time", id="negative time"),
        pytest.param(lambda: Key(0, SECRET, 0, TIME_MAX + 1), "time", id="time too large"),
        pytest.param(lambda: KeyRing((key(1), key(1))), "share", id="one id twice"),
    ],
)
def test_an_impossible_key_is_a_programming_error(make: Callable[[], object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make()


# --- files and environment --------------------------------------------------


def test_a_saved_ring_is_private_and_loads(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    ring = KeyRing.new(now_s=NOW)
    umask = os.umask(0)
    try:
        ring.save(path, is_new=True)
    finally:
        os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyRing.load(path) == ring
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_ring_never_replaces_one(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    first = KeyRing.new(now_s=NOW)
    first.save(path, is_new=True)
    with pytest.raises(ConfigError, match="exists"):
        KeyRing.new(now_s=NOW).save(path, is_new=True)
    assert KeyRing.load(path) == first
    assert list(tmp_path.iterdir()) == [path]


def test_saving_through_a_link_replaces_what_it_names(tmp_path: Path) -> None:
    path, link = tmp_path / "keys.json", tmp_path / "link.json"
    KeyRing.new(now_s=NOW).save(path)
    link.symlink_to(path)
    ring = KeyRing.new(now_s=NOW)
    ring.save(link)
    assert link.is_symlink()
    assert KeyRing.load(path) == ring


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o666])
def test_a_file_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    KeyRing.new(now_s=NOW).save(path)
    path.chmod(mode)
    with pytest.raises(ConfigError, match=f"mode {mode:04o}.*chmod 600") as caught:
        KeyRing.load(path)
    assert caught.value.key == str(path)


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o700])
def test_a_file_of_its_owner_alone_is_welcome(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.json"
    KeyRing.new(now_s=NOW).save(path)
    path.chmod(mode)
    assert len(KeyRing.load(path).keys) == 1


@pytest.mark.parametrize(
    ("mode", "owner", "group", "is_welcome"),
    [
        pytest.param(0o440, 0, 2000, True, id="a secret that root lends to one of our groups"),
        pytest.param(0o640, 0, 2000, True, id="the same, and root may write it"),
        pytest.param(0o444, 0, 2000, False, id="lent to everyone"),
        pytest.param(0o460, 0, 2000, False, id="our group may write it"),
        pytest.param(0o440, 0, 2001, False, id="lent to a group that is not ours"),
        pytest.param(0o440, 1000, 2000, False, id="our own, open to our group"),
        pytest.param(0o400, 1000, 2000, True, id="our own alone"),
    ],
)
def test_a_file_may_be_lent_by_root_to_a_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, owner: int, group: int, is_welcome: bool
) -> None:
    path = tmp_path / "keys.json"
    KeyRing.new(now_s=NOW).save(path)
    seen = list(path.stat())
    seen[stat.ST_MODE], seen[stat.ST_UID], seen[stat.ST_GID] = stat.S_IFREG | mode, owner, group
    monkeypatch.setattr(os, "fstat", lambda descriptor: os.stat_result(seen))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(os, "getegid", lambda: 1000)
    monkeypatch.setattr(os, "getgroups", lambda: [2000])
    with nullcontext() if is_welcome else pytest.raises(ConfigError, match="lets others at the keys"):
        KeyRing.load(path)


def test_what_is_not_a_ring_file_is_refused_and_named(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    large = tmp_path / "large"
    large.touch(0o600)
    large.write_bytes(b" " * 65_537)
    binary = tmp_path / "binary"
    binary.touch(0o600)
    binary.write_bytes(b"\xff\xfe\xfd")
    for path in (tmp_path / "missing", tmp_path, fifo, large, binary):
        with pytest.raises(ConfigError) as caught:
            KeyRing.load(path)
        assert caught.value.key == str(path)


def test_a_ring_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        KeyRing.new(now_s=NOW).save(tmp_path / "missing" / "keys.json")
    assert caught.value.key == str(tmp_path / "missing" / "keys.json")


def test_the_environment_holds_the_ring_or_names_its_file(tmp_path: Path) -> None:
    ring = KeyRing.new(now_s=NOW)
    ring.save(tmp_path / "keys.json")
    assert KeyRing.from_environment({}) is None
    assert KeyRing.from_environment({"FASTRELAY_KEYS": ring.build()}) == ring
    assert KeyRing.from_environment({"FASTRELAY_KEYS_FILE": str(tmp_path / "keys.json")}) == ring
    with pytest.raises(ConfigError) as caught:
        KeyRing.from_environment({"FASTRELAY_KEYS": ring.build(), "FASTRELAY_KEYS_FILE": "keys.json"})
    assert caught.value.key == "FASTRELAY_KEYS"
    with pytest.raises(ConfigError) as caught:
        KeyRing.from_environment({"FASTRELAY_KEYS": "{}"})
    assert caught.value.key == "FASTRELAY_KEYS: keys"


# --- which key mints ---------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "minting"),
    [
        pytest.param([key(4, NOW)], 4, id="begins now"),
        pytest.param([key(4, NOW + 1)], None, id="begins in a second"),
        pytest.param([key(4, 0, NOW)], None, id="ends now"),
        pytest.param([key(4, 0, NOW + 1)], 4, id="ends in a second"),
        pytest.param([key(2, NOW - 5), key(1, NOW - 4)], 1, id="the last to begin"),
        pytest.param([key(1, NOW - 5), key(2, NOW - 5)], 2, id="of equals the highest id"),
        pytest.param([key(1, NOW - 9), key(2, NOW - 5, NOW), key(3, NOW + 5)], 1, id="neither ended nor to come"),
        pytest.param([key(1, NOW, NOW)], None, id="never"),
    ],
)
def test_the_minting_key_in_python_and_in_c(keys: list[Key], minting: int | None) -> None:
    ring = KeyRing(tuple(keys))
    assert TokenCodec(ring.entries()).minting_id(NOW) == minting
    if minting is None:
        with pytest.raises(ConfigError, match="no key that mints"):
            ring.minting_key(NOW)
    else:
        assert ring.minting_key(NOW).id == minting


TIMES = st.integers(0, 6)
RINGS = st.lists(
    st.builds(key, st.integers(0, 15), TIMES, st.none() | TIMES), min_size=1, max_size=16, unique_by=lambda one: one.id
)


@given(RINGS, TIMES)
def test_c_and_python_agree_on_the_minting_key(keys: list[Key], now: int) -> None:
    ring = KeyRing(tuple(keys))
    try:
        expected: int | None = ring.minting_key(now).id
    except ConfigError:
        expected = None
    assert TokenCodec(ring.entries()).minting_id(now) == expected


# --- rotation and retirement ---------------------------------------------------


def test_rotation_gives_relays_the_key_before_anyone_mints_with_it() -> None:
    ring = KeyRing((key(0, NOW - 100),)).rotate(now_s=NOW, delay_s=60, token_lifetime_s=1_000)
    assert [(one.id, one.mint_from_s, one.open_until_s) for one in ring.keys] == [
        (0, NOW - 100, NOW + 1_060),
        (1, NOW + 60, None),
    ]
    assert ring.minting_key(NOW + 59).id == 0
    assert ring.minting_key(NOW + 60).id == 1


def test_a_key_ends_no_sooner_than_its_last_token() -> None:
    lifetime_s = 1_000
    ring = KeyRing((key(0, NOW - 100),)).rotate(now_s=NOW, delay_s=60, token_lifetime_s=lifetime_s)
    last_minted_s = NOW + 59
    assert ring.minting_key(last_minted_s).id == 0
    assert ring.keys[0].is_open(last_minted_s + lifetime_s)


def test_rotation_never_lengthens_a_key() -> None:
    ring = KeyRing((key(0, NOW - 100, NOW + 5), key(1, NOW - 50))).rotate(now_s=NOW)
    assert [one.open_until_s for one in ring.keys[:2]] == [NOW + 5, NOW + 3_600 + 86_400]


def test_rotation_drops_what_has_ended() -> None:
    ring = KeyRing((key(0, 0, NOW), key(1, 0, NOW + 1), key(2, 0))).rotate(now_s=NOW)
    assert [one.id for one in ring.keys] == [1, 2, 3]


def test_rotation_without_delay_overtakes_a_key_that_has_not_begun() -> None:
    ring = KeyRing((key(0, NOW - 100),)).rotate(now_s=NOW, delay_s=3_600).rotate(now_s=NOW + 1, delay_s=0)
    for later in (1, 3_600, 10_000, 200_000):
        assert ring.minting_key(NOW + later).id == 2


def test_rotation_in_the_second_a_key_began_lets_its_tokens_live() -> None:
    ring = KeyRing((key(15, NOW),)).rotate(now_s=NOW, delay_s=0)
    assert [(one.id, one.mint_from_s) for one in ring.keys] == [(0, NOW + 1), (15, NOW)]
    assert ring.keys[1].is_open(NOW + 86_400)
    assert ring.minting_key(NOW + 1).id == 0
    assert ring.rotate(now_s=NOW, delay_s=0).minting_key(NOW + 1).id == 1


def test_ids_go_round_and_skip_what_is_taken() -> None:
    ring = KeyRing((key(15, NOW - 1), key(0, NOW - 9), key(1, NOW - 8, NOW)))
    assert ring.rotate(now_s=NOW).keys[1].id == 1
    ids = []
    now, ring = NOW, KeyRing.new(now_s=NOW)
    for _ in range(40):
        now += 100_000
        ring = ring.rotate(now_s=now)
        ids.append(ring.minting_key(now + 3_600).id)
    assert ids == [(index + 1) % KEYS_MAX for index in range(40)]


def test_a_full_ring_says_so() -> None:
    ring = KeyRing(tuple(key(index) for index in range(KEYS_MAX)))
    with pytest.raises(ConfigError, match="16 keys"):
        ring.rotate(now_s=NOW)


@given(RINGS, TIMES, TIMES, st.integers(1, 4))
def test_a_rotated_ring_always_comes_to_mint_with_its_new_key(
    keys: list[Key], now: int, delay_s: int, lifetime_s: int
) -> None:
    old = KeyRing(tuple(keys))
    try:
        ring = old.rotate(now_s=now, delay_s=delay_s, token_lifetime_s=lifetime_s)
    except ConfigError:
        assert all(one.is_open(now) for one in keys)
        return
    new = next(one for one in ring.keys if one.secret not in {one.secret for one in keys})
    for later in range(delay_s + 1, delay_s + 20):
        assert ring.minting_key(now + later) == new


@pytest.mark.parametrize(("delay_s", "token_lifetime_s"), [(-1, 5), (0, 0)])
def test_an_impossible_rotation_is_a_programming_error(delay_s: int, token_lifetime_s: int) -> None:
    with pytest.raises(ValueError, match="delay"):
        KeyRing.new(now_s=NOW).rotate(now_s=NOW, delay_s=delay_s, token_lifetime_s=token_lifetime_s)


def test_a_retired_key_ends_now() -> None:
    ring = KeyRing((key(0, NOW - 100), key(1, NOW - 50))).retire(0, now_s=NOW)
    assert [one.is_open(NOW) for one in ring.keys] == [False, True]


@pytest.mark.parametrize(
    ("key_id", "problem"),
    [pytest.param(0, "only key that mints", id="the only one"), pytest.param(5, "not in the ring", id="unknown")],
)
def test_a_key_that_cannot_be_retired_says_why(key_id: int, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        KeyRing((key(0, NOW - 100), key(1, NOW + 50))).retire(key_id, now_s=NOW)


def test_fingerprints_tell_keys_apart_and_are_not_the_secret() -> None:
    fingerprints = {key(index).fingerprint for index in range(KEYS_MAX)}
    assert len(fingerprints) == KEYS_MAX
    assert all(len(fingerprint) == 16 for fingerprint in fingerprints)
