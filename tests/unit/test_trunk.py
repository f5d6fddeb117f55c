"""The trunk's format: vectors, round trips, every truncation, every flipped byte."""

import json
import subprocess
import sys
from ipaddress import IPv6Address
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.ciphers.modes import ECB
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.errors import WireError
from fastrelay.routing.keys import Key
from fastrelay.wire import trunk
from fastrelay.wire.replay import ReplayWindow
from fastrelay.wire.trunk import Client, Frame, Header, Hello, Kind, Sender, TrunkError

DATA = Path(__file__).parents[1] / "data"
VECTORS = json.loads((DATA / "trunk_vectors.json").read_text(encoding="ascii"))
KEYS = {entry["id"]: bytes.fromhex(entry["trunk_key"]) for entry in VECTORS["keys"]}
SENDER = Sender(3, KEYS[3], epoch_us=1_700_000_000_000_000)

Vector = dict[str, Any]


def vectors(section: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", [pytest.param(entry, id=entry["name"]) for entry in VECTORS[section]])


def read(datagram: bytes, receiver: str) -> tuple[Header, list[Frame] | Hello]:
    """All of the specification's checks but the source's, in their order."""
    header = trunk.parse_header(datagram)
    if header.key_id not in KEYS:
        raise TrunkError("TRUNK_UNKNOWN_KEY", "key id", 1, "not in the ring")
    trunk.check_mac(datagram, header, KEYS[header.key_id])
    if header.kind.is_up is not (receiver == "transceiver"):
        raise TrunkError("TRUNK_DIRECTION", "kind", 0, "travels the wrong way")
    if not ReplayWindow().accept(header.epoch_us, header.sequence, now_ms=1):
        raise TrunkError("TRUNK_REPLAYED", "sequence", 16, "not new")
    if header.kind.is_hello:
        return header, trunk.parse_hello(datagram, header)
    return header, trunk.parse_bundle(datagram, header)


def frames_of(vector: Vector) -> list[Frame]:
    return [
        Frame(Client(frame["ip"], frame["port"], frame["scope"]), bytes.fromhex(frame["payload"]), frame["closes"])
        for frame in vector["frames"]
    ]


@vectors("accepted")
def test_accepted_vector_is_read(vector: Vector) -> None:
    header, contents = read(bytes.fromhex(vector["datagram"]), vector["receiver"])
    for field in ("key_id", "via", "epoch_us", "sequence", "covered_bytes"):
        assert getattr(header, field) == vector[field]
    assert header.kind.name == vector["kind"]
    assert contents == (Hello(**vector["hello"]) if "hello" in vector else frames_of(vector))


@vectors("accepted")
def test_accepted_vector_is_written(vector: Vector) -> None:
    datagram = bytes.fromhex(vector["datagram"])
    sender = Sender(vector["key_id"], KEYS[vector["key_id"]], vector["epoch_us"])
    kind = Kind[vector["kind"]]
    if "frames" in vector:
        frames = frames_of(vector)
        assert trunk.build_bundle(kind, sender, vector["sequence"], vector["via"], frames, len(datagram)) == datagram
    elif "unknown flags" not in vector["name"]:
        written = trunk.build_hello(kind, sender, vector["sequence"], Hello(**vector["hello"]))
        assert written == trunk.without_padding(datagram)


@vectors("refused")
def test_refused_vector_has_its_verdict(vector: Vector) -> None:
    with pytest.raises(WireError) as refusal:
        read(bytes.fromhex(vector["datagram"]), vector["receiver"])
    assert isinstance(refusal.value, TrunkError)
    assert refusal.value.verdict == vector["verdict"]
    assert refusal.value.offset >= 0


def test_vectors_have_the_derived_keys() -> None:
    for entry in VECTORS["keys"]:
        key = Key(entry["id"], bytes.fromhex(entry["secret"]), mint_from_s=0)
        assert key.trunk_key.hex() == entry["trunk_key"]


def test_mac_begins_the_cmac_of_what_is_covered_with_zeroes_in_its_field() -> None:
    """RFC 4493, by AES alone: the message is two blocks of header and a last one that needs padding."""
    datagram = bytes.fromhex(next(v["datagram"] for v in VECTORS["accepted"] if v["name"] == "one IPv4 client up"))
    aes = Cipher(AES128(KEYS[3]), ECB()).encryptor()  # noqa: S305 - one block at a time, as CMAC wants it
    doubled = int.from_bytes(aes.update(bytes(16)))
    for _ in range(2):
        doubled = doubled << 1 ^ (doubled >> 127) * (1 << 128 | 0x87)
    state = bytes(16)
    last = int.from_bytes(datagram[32:40] + b"\x80" + bytes(7)) ^ doubled
    for block in (datagram[:16], datagram[16:24] + bytes(8), last.to_bytes(16)):
        state = aes.update(bytes(a ^ b for a, b in zip(state, block, strict=True)))
    assert datagram[24:32] == state[:8]


def test_vectors_are_what_their_script_makes(tmp_path: Path) -> None:
    made = tmp_path / "vectors.json"
    subprocess.run([sys.executable, str(DATA / "make_trunk_vectors.py"), str(made)], check=True)
    assert made.read_text(encoding="ascii") == (DATA / "trunk_vectors.json").read_text(encoding="ascii")


# --- everything that can be cut or flipped -------------------------------------------------------

MIXED = bytes.fromhex(next(v["datagram"] for v in VECTORS["accepted"] if v["name"] == "mixed families down"))
HELLO = bytes.fromhex(next(v["datagram"] for v in VECTORS["accepted"] if v["name"] == "HELLO down with an echo"))


@pytest.mark.parametrize("datagram", [MIXED, HELLO], ids=["bundle", "HELLO"])
def test_every_truncation_is_told(datagram: bytes) -> None:
    for length in range(len(datagram)):
        with pytest.raises(TrunkError) as refusal:
            read(datagram[:length], "relay")
        assert refusal.value.verdict == "TRUNK_TRUNCATED", length


@pytest.mark.parametrize("datagram", [MIXED, HELLO], ids=["bundle", "HELLO"])
def test_every_flipped_byte_that_is_covered_is_noticed(datagram: bytes) -> None:
    covered_end = trunk.HEADER_BYTES + trunk.parse_header(datagram).covered_bytes
    for offset in range(covered_end):
        for flip in (0x01, 0x80, 0xFF):
            edited = bytearray(datagram)
            edited[offset] ^= flip
            with pytest.raises(TrunkError) as refusal:
                read(bytes(edited), "relay")
            assert refusal.value.verdict in expected_of_a_flip(offset), (offset, flip)


def expected_of_a_flip(offset: int) -> set[str]:
    if offset == 0:
        return {"TRUNK_MALFORMED", "TRUNK_BAD_MAC"}
    if offset == 1:
        return {"TRUNK_UNKNOWN_KEY", "TRUNK_BAD_MAC"}
    return {"TRUNK_TRUNCATED", "TRUNK_BAD_MAC"} if offset in (6, 7) else {"TRUNK_BAD_MAC"}


def test_payloads_and_padding_are_not_covered() -> None:
    edited = MIXED[:-1] + bytes([MIXED[-1] ^ 0xFF]) + b"padding"
    _, frames = read(edited, "relay")
    assert isinstance(frames, list)
    assert frames[-1].payload == bytes([MIXED[-1] ^ 0xFF])


@pytest.mark.parametrize("junk", [b"", b"\0", b"\xff" * 100], ids=["none", "one", "many"])
def test_padding_is_stripped(junk: bytes) -> None:
    assert trunk.without_padding(MIXED + junk) == MIXED
    assert trunk.without_padding(HELLO + junk) == HELLO


# --- round trips ---------------------------------------------------------------------------------


def is_mapped(ip: str) -> bool:
    return IPv6Address(ip).ipv4_mapped is not None


ports = st.integers(0, 0xFFFF)
clients_v4 = st.builds(Client, st.ip_addresses(v=4).map(str), ports, st.just(0))
clients_v6 = st.one_of(
    st.builds(Client, st.ip_addresses(v=6).map(str).filter(lambda ip: not is_mapped(ip)), ports, st.just(0)),
    st.builds(Client, st.ip_addresses(network="fe80::/10").map(str), ports, st.integers(0, 0xFFFF_FFFF)),
)
clients = clients_v4 | clients_v6
packets = st.builds(Frame, clients, st.binary(min_size=1, max_size=120), st.just(False))
closes = st.builds(Frame, clients, st.just(b""), st.booleans())
counts = st.integers(0, 2**64 - 1)


@given(
    st.sampled_from([Kind.BUNDLE_UP, Kind.BUNDLE_DOWN]),
    st.integers(1, 2**64 - 1),
    ports,
    st.lists(packets | closes, min_size=1, max_size=trunk.FRAMES_MAX),
    st.integers(0, 1500),
)
def test_bundle_round_trip(kind: Kind, sequence: int, via: int, frames: list[Frame], padded_to: int) -> None:
    datagram = trunk.build_bundle(kind, SENDER, sequence, via, frames, padded_to)
    header, parsed = read(datagram, "transceiver" if kind.is_up else "relay")
    assert parsed == frames
    assert (header.kind, header.sequence, header.via, header.frame_count) == (kind, sequence, via, len(frames))
    assert len(datagram) >= padded_to


@given(
    st.sampled_from([Kind.HELLO_UP, Kind.HELLO_DOWN]),
    st.builds(Hello, counts, counts, st.integers(0, 0xFFFF_FFFF), st.booleans(), counts, counts),
)
def test_hello_round_trip(kind: Kind, hello: Hello) -> None:
    datagram = trunk.build_hello(kind, SENDER, 1, hello)
    assert len(datagram) == trunk.HEADER_BYTES + trunk.HELLO_BYTES
    assert read(datagram, "transceiver" if kind.is_up else "relay")[1] == hello


@given(st.binary(max_size=200))
def test_junk_is_refused_and_nothing_else_happens(junk: bytes) -> None:
    with pytest.raises(TrunkError):
        read(junk, "relay")


@given(
    st.lists(st.builds(Frame, clients, st.binary(min_size=1, max_size=trunk.PAYLOAD_MAX), st.just(False)), max_size=200)
)
def test_bundles_are_full_and_in_order(frames: list[Frame]) -> None:
    bundles = trunk.fill_bundles(frames)
    assert [frame for bundle in bundles for frame in bundle] == frames
    sizes = [trunk.HEADER_BYTES + sum(size_of(frame) for frame in bundle) for bundle in bundles]
    for bundle, size in zip(bundles, sizes, strict=True):
        assert len(bundle) <= trunk.FRAMES_MAX
        assert size <= trunk.BUNDLE_BYTES or len(bundle) == 1
    for index, following in enumerate(bundles[1:]):
        is_full = len(bundles[index]) == trunk.FRAMES_MAX
        assert is_full or sizes[index] + size_of(following[0]) > trunk.BUNDLE_BYTES


def size_of(frame: Frame) -> int:
    return trunk.frame_header_bytes(frame.client) + len(frame.payload)


@pytest.mark.parametrize(
    ("second", "bundles"),
    [(640, 1), (641, 2)],
    ids=["exactly 1,400 bytes", "1,401 bytes"],
)
def test_bundle_closes_at_its_size(second: int, bundles: int) -> None:
    client = Client("192.0.2.1", 1)
    frames = [Frame(client, bytes(712)), Frame(client, bytes(second))]
    assert len(trunk.fill_bundles(frames)) == bundles


def test_v4_mapped_client_is_written_in_the_short_form() -> None:
    frames = [Frame(Client("::ffff:192.0.2.1", 9), b"\x80")]
    header, parsed = read(trunk.build_bundle(Kind.BUNDLE_DOWN, SENDER, 1, 0, frames), "relay")
    assert header.covered_bytes == trunk.FRAME_HEADER_BYTES_V4
    assert parsed == [Frame(Client("192.0.2.1", 9), b"\x80")]


@pytest.mark.parametrize(
    ("kind", "frames"),
    [
        pytest.param(Kind.BUNDLE_UP, [], id="no frames"),
        pytest.param(Kind.BUNDLE_UP, [Frame(Client("192.0.2.1", 1), b"x")] * 65, id="65 frames"),
        pytest.param(Kind.HELLO_UP, [Frame(Client("192.0.2.1", 1), b"x")], id="a HELLO"),
        pytest.param(Kind.BUNDLE_UP, [Frame(Client("192.0.2.1", 1), bytes(2049))], id="too large"),
        pytest.param(Kind.BUNDLE_DOWN, [Frame(Client("192.0.2.1", 1), b"x", closes=True)], id="CLOSE with payload"),
    ],
)
def test_unsound_bundle_is_not_built(kind: Kind, frames: list[Frame]) -> None:
    with pytest.raises(ValueError, match=r"frame|bundle"):
        trunk.build_bundle(kind, SENDER, 1, 0, frames)


def test_bundle_is_not_a_hello() -> None:
    with pytest.raises(ValueError, match="not a HELLO"):
        trunk.build_hello(Kind.BUNDLE_UP, SENDER, 1, Hello(1))
