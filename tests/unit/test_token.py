"""Route tokens: published vectors, C and Python as twins, and each reason for refusal."""

import json
import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay import routing
from fastrelay._ext.codec import TokenCodec, token_key_id
from fastrelay.errors import ConfigError, TokenError, TokenRefusal
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.routing.keys import TOKEN_LIFETIME_S, Key, KeyRing
from fastrelay.routing.token import (
    CLOCK_SKEW_S,
    RouteToken,
    check_claims,
    ice_password,
    mint_token,
    open_sealed,
    open_token,
    parse_text,
)

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((ROOT / "tests/data/token_vectors.json").read_text())
RING = KeyRing.parse(json.dumps(VECTORS["ring"]))
CODEC = TokenCodec(RING.entries())
NOW, CLUSTER = VECTORS["now"], VECTORS["cluster"]
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

opens = pytest.mark.parametrize("vector", VECTORS["opens"], ids=lambda vector: vector["name"])
refused = pytest.mark.parametrize("vector", VECTORS["refused"], ids=lambda vector: vector["name"])
by_family = pytest.mark.parametrize("vector", VECTORS["opens"][:2], ids=["IPv4", "IPv6"])


def find(key_id: int) -> Key:
    key = RING.find(key_id)
    assert key is not None
    return key


def token_of(vector: dict[str, Any]) -> RouteToken:
    return RouteToken(
        (vector["address"], vector["port"]), bytes.fromhex(vector["session"]), vector["minted_at"], vector["cluster"]
    )


def seal_in_c(key_id: int, token: RouteToken) -> str:
    ip, port = token.transceiver
    return CODEC.seal(key_id, token.cluster, token.session_id, token.minted_at_s, ip_address(ip).packed, port)


def open_in_c(text: str) -> RouteToken:
    cluster, session_id, minted_at_s, address, port = CODEC.open(text.encode())
    return RouteToken((str(ip_address(address)), port), session_id, minted_at_s, cluster)


def open_as_relay(text: str) -> RouteToken:
    return open_token(text, RING, now_s=NOW, cluster=CLUSTER)


def reason_in_python(text: str) -> TokenRefusal | None:
    try:
        open_as_relay(text)
    except TokenError as error:
        return error.reason
    return None


def reason_in_c(text: str) -> TokenRefusal | None:
    """Walk the relay's order with C's parts; the checks between them are the caller's."""
    try:
        key = RING.find(token_key_id(text.encode()))
        if key is not None and not key.is_open(NOW):
            return TokenRefusal.RETIRED_KEY
        check_claims(open_in_c(text), now_s=NOW, cluster=CLUSTER, lifetime_s=86_400, clock_skew_s=60)
    except TokenError as error:
        return error.reason
    return None


# --- vectors -------------------------------------------------------------------


def test_the_vectors_are_what_their_script_writes() -> None:
    script = run_path(str(ROOT / "tests/data/make_token_vectors.py"))
    assert script["VECTORS"].read_text() == script["build_vectors"]()


@opens
def test_a_vector_is_sealed_to_the_same_text_in_python_and_in_c(vector: dict[str, Any]) -> None:
    token = token_of(vector)
    assert token.seal(find(vector["key"])) == vector["text"]
    assert seal_in_c(vector["key"], token) == vector["text"]


@opens
def test_a_vector_opens_in_python_and_in_c(vector: dict[str, Any]) -> None:
    assert open_as_relay(vector["text"]) == token_of(vector)
    assert open_in_c(vector["text"]) == token_of(vector)
    assert token_key_id(vector["text"].encode()) == vector["key"]


@opens
def test_a_vector_has_one_password_in_python_and_in_c(vector: dict[str, Any]) -> None:
    assert ice_password(vector["text"], find(vector["key"])) == vector["password"]
    assert CODEC.ice_password(vector["text"].encode()) == vector["password"]


@refused
def test_a_vector_is_refused_for_its_reason_in_python_and_in_c(vector: dict[str, Any]) -> None:
    assert reason_in_python(vector["text"]) == TokenRefusal[vector["reason"]]
    assert reason_in_c(vector["text"]) == TokenRefusal[vector["reason"]]


@pytest.mark.parametrize("vector", VECTORS["derived"], ids=lambda vector: f"key {vector['id']}")
def test_keys_are_derived_as_published_in_python_and_in_c(vector: dict[str, Any]) -> None:
    expected = tuple(bytes.fromhex(vector[use]) for use in ("siv", "ice", "trunk"))
    key = find(vector["id"])
    assert (key.siv_key, key.ice_key, key.trunk_key) == expected
    assert CODEC.derived_keys(vector["id"]) == expected


def test_the_published_minting_key_mints() -> None:
    assert RING.minting_key(NOW).id == CODEC.minting_id(NOW) == VECTORS["minting_key"]


def test_every_reason_has_a_vector() -> None:
    assert {vector["reason"] for vector in VECTORS["refused"]} == {reason.name for reason in TokenRefusal}


def test_every_reason_is_a_verdict_of_the_relay() -> None:
    verdicts = {name for name in Verdict.__members__ if name.startswith("TOKEN_")}
    # NOT_ALLOWED is the relay's alone: whoever opens a token elsewhere has no allow-list.
    assert {f"TOKEN_{reason.name}" for reason in TokenRefusal} == verdicts - {"TOKEN_NOT_ALLOWED"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("FR_TOKEN_LIFETIME_S", TOKEN_LIFETIME_S), ("FR_CLOCK_SKEW_S", CLOCK_SKEW_S)],
)
def test_defaults_are_those_of_the_relay(name: str, value: int) -> None:
    headers = "".join(path.read_text() for path in (ROOT / "ext").glob("*.h"))
    found = re.search(rf"#define {name} (\d+)", headers)
    assert found is not None
    assert int(found[1]) == value


# --- twins ---------------------------------------------------------------------

ADDRESSES = st.ip_addresses().map(str)
TOKENS = st.builds(
    RouteToken,
    st.tuples(ADDRESSES, st.integers(1, 65535)),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 0xFFFF_FFFF),
    st.integers(0, 0xFFFF),
)


@given(TOKENS, st.sampled_from(RING.keys))
def test_c_opens_what_python_seals_and_the_other_way_round(token: RouteToken, key: Key) -> None:
    text = token.seal(key)
    assert seal_in_c(key.id, token) == text
    assert open_in_c(text) == open_sealed(text, key) == token
    assert CODEC.ice_password(text.encode()) == ice_password(text, key)
    assert re.fullmatch(r"[A-Za-z0-9+/]{50}|[A-Za-z0-9+/]{66}", text)


@given(st.text(alphabet=ALPHABET + "=-_ \n\x00é", max_size=70) | st.text(alphabet=ALPHABET, min_size=50, max_size=66))
def test_c_and_python_refuse_any_text_alike(text: str) -> None:
    assert reason_in_c(text) == reason_in_python(text)


def changed(text: str) -> Iterator[str]:
    for index, digit in enumerate(text):
        for bit in range(6):
            yield text[:index] + ALPHABET[ALPHABET.index(digit) ^ 1 << bit] + text[index + 1 :]


@by_family
def test_any_flipped_bit_is_refused(vector: dict[str, Any]) -> None:
    for text in changed(vector["text"]):
        reason = reason_in_python(text)
        assert reason is not None
        assert reason_in_c(text) == reason


@by_family
def test_the_four_spare_bits_must_be_zero(vector: dict[str, Any]) -> None:
    text = vector["text"]
    for spare in range(1, 16):
        edited = text[:-1] + ALPHABET[ALPHABET.index(text[-1]) | spare]
        assert edited != text
        assert reason_in_python(edited) == reason_in_c(edited) == TokenRefusal.MALFORMED


@by_family
def test_any_other_character_is_malformed(vector: dict[str, Any]) -> None:
    text = vector["text"]
    for index in range(len(text)):
        for stranger in ("=", "-", "_", "\x00", "\n", ":", "é"):
            edited = text[:index] + stranger + text[index + 1 :]
            assert reason_in_python(edited) == reason_in_c(edited) == TokenRefusal.MALFORMED


@by_family
def test_no_other_length_opens(vector: dict[str, Any]) -> None:
    text = vector["text"]
    for length in range(100):
        cut = (text * 2)[:length]
        reason = reason_in_python(cut)
        assert reason == reason_in_c(cut)
        assert (reason is None) == (length == len(text))


# --- checks in order ------------------------------------------------------------


@pytest.mark.parametrize(
    ("later_s", "reason"),
    [
        pytest.param(-61, TokenRefusal.NOT_YET, id="a second before the skew"),
        pytest.param(-60, None, id="within the skew"),
        pytest.param(86_400, None, id="at the end of its life"),
        pytest.param(86_401, TokenRefusal.EXPIRED, id="a second past its life"),
    ],
)
def test_a_token_opens_in_its_time(later_s: int, reason: TokenRefusal | None) -> None:
    token = RouteToken(("10.0.0.7", 4000), bytes(8), NOW)
    ring = KeyRing((find(15),))
    text = token.seal(find(15))
    if reason is None:
        assert open_token(text, ring, now_s=NOW + later_s) == token
    else:
        with pytest.raises(TokenError) as caught:
            open_token(text, ring, now_s=NOW + later_s)
        assert caught.value.reason is reason


def test_a_key_opens_before_it_mints_and_not_after_it_ends() -> None:
    text = RouteToken(("10.0.0.7", 4000), bytes(8), 1_000).seal(Key(2, bytes(32), 1_000, 1_500))
    ring = KeyRing((Key(2, bytes(32), 1_000, 1_500),))
    assert open_token(text, ring, now_s=999)
    assert open_token(text, ring, now_s=1_499.9)
    with pytest.raises(TokenError, match="open_until"):
        open_token(text, ring, now_s=1_500)


def test_any_cluster_opens_where_none_is_asked_for() -> None:
    text = RouteToken(("10.0.0.7", 4000), bytes(8), NOW, 0xFFFF).seal(find(15))
    assert open_token(text, RING, now_s=NOW).cluster == 0xFFFF


# --- minting -------------------------------------------------------------------


def test_minting_takes_the_key_of_the_hour() -> None:
    minted = mint_token(RING, to=("10.0.0.7", 4000), now_s=NOW + 0.9, cluster=3)
    assert parse_text(minted.ufrag)[0] & 15 == 15
    assert open_token(minted.ufrag, RING, now_s=NOW) == minted.token
    assert (minted.token.minted_at_s, minted.token.cluster) == (NOW, 3)
    assert CODEC.ice_password(minted.ufrag.encode()) == minted.password
    assert len(minted.password) == 24
    later = mint_token(RING, to=("10.0.0.7", 4000), now_s=NOW + 3_600)
    assert parse_text(later.ufrag)[0] & 15 == 9


def test_sessions_without_an_id_get_different_ones() -> None:
    first, second = (mint_token(RING, to=("::1", 1), now_s=NOW) for _ in range(2))
    assert first.token.session_id != second.token.session_id
    assert first.ufrag != second.ufrag
    assert first.password != second.password


def test_a_given_session_id_is_kept() -> None:
    assert mint_token(RING, to=("::1", 1), now_s=NOW, session_id=b"sessions").token.session_id == b"sessions"


def test_nothing_mints_without_a_key_for_it() -> None:
    with pytest.raises(ConfigError, match="no key that mints"):
        mint_token(RING, to=("::1", 1), now_s=0)


def test_a_minted_token_does_not_show_its_password() -> None:
    minted = mint_token(RING, to=("::1", 1), now_s=NOW)
    assert minted.password not in repr(minted)


def test_a_mapped_address_is_sealed_as_ipv4() -> None:
    token = RouteToken(("::ffff:10.0.0.7", 4000), bytes(8), NOW)
    assert token.transceiver == ("10.0.0.7", 4000)
    mapped = ip_address("::ffff:10.0.0.7").packed
    assert CODEC.seal(15, 0, bytes(8), NOW, mapped, 4000) == token.seal(find(15))


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        pytest.param({"transceiver": ("10.0.0.7", 0)}, "port", id="port 0"),
        pytest.param({"transceiver": ("10.0.0.7", 65536)}, "port", id="port 65536"),
        pytest.param({"transceiver": ("fe80::1%eth0", 1)}, "zone", id="zone"),
        pytest.param({"transceiver": ("relay.example", 1)}, "address", id="name"),
        pytest.param({"session_id": bytes(7)}, "session", id="short session id"),
        pytest.param({"session_id": b""}, "session", id="empty session id"),
        pytest.param({"minted_at_s": 2**32}, "mint time", id="mint time of 33 bits"),
        pytest.param({"minted_at_s": -1}, "mint time", id="negative mint time"),
        pytest.param({"cluster": 65536}, "cluster", id="cluster 65536"),
        pytest.param({"cluster": -1}, "cluster", id="negative cluster"),
    ],
)
def test_an_impossible_token_is_a_programming_error(fields: dict[str, Any], problem: str) -> None:
    good: dict[str, Any] = {"transceiver": ("10.0.0.7", 4000), "session_id": bytes(8), "minted_at_s": NOW}
    with pytest.raises(ValueError, match=problem):
        RouteToken(**good | fields)


# --- the compiled face -----------------------------------------------------------


def test_c_refuses_what_a_token_cannot_name() -> None:
    with pytest.raises(ValueError, match="cannot name"):
        CODEC.seal(15, 0, bytes(8), NOW, bytes(4), 0)
    with pytest.raises(ValueError, match="4 or 16"):
        CODEC.seal(15, 0, bytes(8), NOW, bytes(5), 1)
    with pytest.raises(ValueError, match="session id"):
        CODEC.seal(15, 0, bytes(9), NOW, bytes(4), 1)
    with pytest.raises(KeyError):
        CODEC.seal(5, 0, bytes(8), NOW, bytes(4), 1)
    with pytest.raises(KeyError):
        CODEC.derived_keys(5)


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        pytest.param([(16, bytes(32), 0, None)], "0 to 15", id="id 16"),
        pytest.param([(1, bytes(31), 0, None)], "32 bytes", id="short secret"),
        pytest.param([(1, bytes(32), 0, None), (1, bytes(32), 0, None)], "twice", id="id twice"),
    ],
)
def test_c_refuses_an_impossible_ring(entries: list[tuple[int, bytes, int, None]], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        TokenCodec(entries)


def test_the_public_door_names_what_others_need() -> None:
    assert routing.mint_token is mint_token
    assert set(routing.__all__) <= set(vars(routing))
