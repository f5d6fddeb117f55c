"""API keys come from a private file; client secrets open where they were made, until they expire, and not changed."""

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.errors import ConfigError
from fastrelay.http.client_secrets import LENGTH_MAX, SESSION_BYTES_MAX, SecretError, SecretKeeper
from fastrelay.http.keys import KEYS_MAX, ApiKeys, read_keys
from fastrelay.routing.keys import KeyRing

NOW_S = 1_800_000_000
RING = KeyRing.new(now_s=NOW_S)
KEY, OTHER = "sk_0123456789abcdef", "sk_fedcba9876543210"


def test_key_is_found_by_name_and_no_other() -> None:
    keys = ApiKeys.parse(f"# who calls\n\nbackend  {KEY}\n  tests\t{OTHER}  \n")
    assert keys.find(KEY) == "backend"
    assert keys.find(OTHER) == "tests"
    for stranger in ("", KEY[:-1], KEY + "0", KEY.upper(), "\udcff", "é" * 100):
        assert keys.find(stranger) is None
    assert ApiKeys().find(KEY) is None


def test_keys_are_nowhere_to_be_seen() -> None:
    keys = ApiKeys.parse(f"backend {KEY}")
    assert KEY not in repr(keys)
    assert KEY.encode() not in keys.digests[0][1]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "holds no key"),
        ("# nothing\n", "holds no key"),
        ("backend", "line 1: must be a name and a key"),
        (f"my backend {KEY}", "line 1: must be a name and a key"),
        (f"\nback/end {KEY}", "line 2: a name has"),
        (f"{'x' * 65} {KEY}", "line 1: a name has"),
        (f"a {KEY}\na {OTHER}", "line 2: a is there twice"),
        ("a 123456789012345", "line 1: a key has 16 to 256"),
        (f"a {'1' * 257}", "line 1: a key has 16 to 256"),
        ('a 1234567890123456"', "line 1: a key has"),
        ("\n".join(f"a{number} {KEY}" for number in range(KEYS_MAX + 1)), f"more than {KEYS_MAX} keys"),
    ],
)
def test_bad_line_is_named_without_its_key(text: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        ApiKeys.parse(text, source="keys")
    assert "1234567890" not in str(caught.value)
    assert KEY not in str(caught.value)


def test_file_must_be_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "api_keys"
    with pytest.raises(ConfigError, match="No such file"):
        read_keys(path)
    path.write_text(f"backend {KEY}\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        read_keys(path)
    path.chmod(0o600)
    assert ApiKeys.parse(read_keys(path)).find(KEY) == "backend"
    path.write_text(f"# {'ü' * 30_000}\n\n  backend \t {KEY}  \n")
    assert read_keys(path) == f"backend {KEY}\n", "workers get it in one message, whose size is bounded"
    path.write_bytes(b"\xff")
    with pytest.raises(ConfigError, match="not UTF-8"):
        read_keys(path)
    with pytest.raises(ConfigError, match="directory"):
        read_keys(tmp_path)


def minted(lifetime_s: int = 60, ring: KeyRing = RING) -> str:
    return SecretKeeper(ring).mint({"voice": "ash"}, lifetime_s=lifetime_s, now_s=NOW_S)[0]


def test_secret_opens_in_every_process_with_the_ring_until_it_expires() -> None:
    value, made = SecretKeeper(RING).mint({"voice": "ä"}, lifetime_s=60, now_s=NOW_S + 0.7)
    found = SecretKeeper(RING).open(value, NOW_S + 59.9)
    assert found == made
    assert (found.session, found.expires_at_s) == ({"voice": "ä"}, NOW_S + 60)
    with pytest.raises(SecretError, match="expired"):
        SecretKeeper(RING).open(value, NOW_S + 60)


def test_two_secrets_alike_are_two_secrets() -> None:
    assert minted() != minted()


def test_session_cannot_be_read_from_the_secret() -> None:
    value = minted()
    assert b"voice" not in base64.urlsafe_b64decode(value[3:] + "===")


def test_secret_of_another_ring_is_refused() -> None:
    with pytest.raises(SecretError, match="not made here"):
        SecretKeeper(RING).open(minted(ring=KeyRing.new(now_s=NOW_S)), NOW_S)


def test_secret_lives_through_a_rotation_as_long_as_its_key() -> None:
    value, keeper = minted(7200), SecretKeeper(RING)
    rotated = RING.rotate(now_s=NOW_S, delay_s=0, token_lifetime_s=100)
    keeper.set_ring(rotated)
    assert keeper.open(value, NOW_S + 100).session == {"voice": "ash"}
    with pytest.raises(SecretError, match="key that is not in use"):
        keeper.open(value, NOW_S + 101)
    keeper.set_ring(rotated.rotate(now_s=NOW_S + 102, delay_s=0))
    with pytest.raises(SecretError, match="key that is not in use"):
        keeper.open(value, NOW_S + 99)


def test_every_character_of_a_secret_counts() -> None:
    value, keeper = minted(), SecretKeeper(RING)
    for index in range(len(value)):
        for changed in (value[:index], value[:index] + ("A" if value[index] != "A" else "B") + value[index + 1 :]):
            with pytest.raises(SecretError):
                keeper.open(changed, NOW_S)
    for changed in (value + "A", value + "=", value + " ", "ek_" + value):
        with pytest.raises(SecretError):
            keeper.open(changed, NOW_S)


@given(st.one_of(st.text(), st.binary().map(lambda content: base64.urlsafe_b64encode(content).decode().rstrip("="))))
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(SecretError):
        SecretKeeper(RING).open("ek_" + text, NOW_S)


def test_session_has_a_size_at_which_the_secret_still_fits_its_header() -> None:
    keeper = SecretKeeper(RING)
    session = {"x": "y" * (SESSION_BYTES_MAX - len('{"x":""}'))}
    value, _ = keeper.mint(session, lifetime_s=60, now_s=NOW_S)
    assert len(value) <= LENGTH_MAX
    assert keeper.open(value, NOW_S).session == session
    with pytest.raises(ValueError, match="more than 4096 bytes"):
        keeper.mint({"x": session["x"] + "y"}, lifetime_s=60, now_s=NOW_S)


def test_ring_that_mints_nothing_now_makes_no_secret() -> None:
    with pytest.raises(ConfigError, match="no key that mints"):
        SecretKeeper(RING).mint({}, lifetime_s=60, now_s=NOW_S - 1)
