"""The trunk in C is the trunk in Python: on the vectors, on whatever can be built, and in every refusal."""

import json
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.algorithms import AES128
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from fastrelay._ext import codec_trunk
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.wire import trunk
from fastrelay.wire.trunk import Client, Frame, Header, Hello, Kind, Sender, TrunkError

VECTORS = json.loads((Path(__file__).parents[1] / "data" / "trunk_vectors.json").read_text(encoding="ascii"))
KEYS = {entry["id"]: bytes.fromhex(entry["trunk_key"]) for entry in VECTORS["keys"]}
KEY = KEYS[3]
SENDER = Sender(3, KEY, epoch_us=1_700_000_000_000_000)
SEGMENTED_BYTES = 65_000
SEGMENTS = 64
BATCH = 256
RECEIVERS = {"TRUNK_UNKNOWN_KEY", "TRUNK_DIRECTION", "TRUNK_REPLAYED"}
"""The receiver's checks, made between the codec's."""

Vector = dict[str, Any]
Read = tuple[str, tuple[int, ...] | None, list[Frame] | Hello | None]


def vectors(section: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("vector", [pytest.param(entry, id=entry["name"]) for entry in VECTORS[section]])


def fields(header: Header) -> tuple[int, ...]:
    counts = (header.frame_count, header.via, header.covered_bytes)
    return (int(header.kind), header.key_id, *counts, header.epoch_us, header.sequence)


def read_in_python(datagram: bytes, key: bytes, is_hello: bool) -> Read:
    try:
        header = trunk.parse_header(datagram)
        trunk.check_mac(datagram, header, key)
        contents = trunk.parse_hello(datagram, header) if is_hello else trunk.parse_bundle(datagram, header)
    except TrunkError as refusal:
        return refusal.verdict, None, None
    return "", fields(header), contents


def read_in_c(datagram: bytes, key: bytes, is_hello: bool) -> Read:
    if is_hello:
        verdict, header, body = codec_trunk.parse_hello(datagram, key)
        if body is not None:
            sent_at_us, echo_us, delay_us, flags, received, lost = body
            return "", header, Hello(sent_at_us, echo_us, delay_us, bool(flags & 1), received, lost)
    else:
        verdict, header, frames = codec_trunk.parse_bundle(datagram, key)
        if verdict == 0:
            return "", header, [unpacked(*frame) for frame in frames]
    return list(Verdict)[verdict].name, None, None


def unpacked(address: bytes, port: int, scope: int, payload: bytes, closes: bool) -> Frame:
    return Frame(Client(str(ip_address(address)), port, scope), payload, closes)


def packed(frame: Frame) -> tuple[bytes, int, int, bytes, bool]:
    client = frame.client
    return ip_address(client.ip).packed, client.port, client.scope, frame.payload, frame.closes


def read_alike(datagram: bytes, key: bytes = KEY) -> None:
    for is_hello in (False, True):
        assert read_in_c(datagram, key, is_hello) == read_in_python(datagram, key, is_hello)


def build_in_c(kind: Kind, sequence: int, via: int, frames: list[Frame]) -> list[tuple[int, list[bytes]]]:
    rows = [packed(frame) for frame in frames]
    return codec_trunk.build_bundles(kind, SENDER.key_id, KEY, SENDER.epoch_us, sequence, via, rows)


# --- vectors -------------------------------------------------------------------------------------


@vectors("accepted")
def test_accepted_vector_is_read(vector: Vector) -> None:
    datagram = bytes.fromhex(vector["datagram"])
    verdict, header, contents = read_in_c(datagram, KEYS[vector["key_id"]], "hello" in vector)
    assert verdict == ""
    assert header is not None
    assert header[:2] + header[3:] == (
        Kind[vector["kind"]],
        *(vector[field] for field in ("key_id", "via", "covered_bytes", "epoch_us", "sequence")),
    )
    assert (verdict, header, contents) == read_in_python(datagram, KEYS[vector["key_id"]], "hello" in vector)


@vectors("accepted")
def test_accepted_vector_is_written(vector: Vector) -> None:
    whole = trunk.without_padding(bytes.fromhex(vector["datagram"]))
    head = (Kind[vector["kind"]], vector["key_id"], KEYS[vector["key_id"]], vector["epoch_us"], vector["sequence"])
    if "frames" in vector:
        described = [
            Frame(Client(frame["ip"], frame["port"], frame["scope"]), bytes.fromhex(frame["payload"]), frame["closes"])
            for frame in vector["frames"]
        ]
        rows = [packed(frame) for frame in described]
        written = [
            datagram for _, datagrams in codec_trunk.build_bundles(*head, vector["via"], rows) for datagram in datagrams
        ]
        # a reader takes 64 IPv6 frames in one datagram; a writer would have closed it at 1,400 bytes
        is_filled_so = len(trunk.fill_bundles(described)) == 1
        assert written == [whole] if is_filled_so else len(written) > 1
    elif "unknown flags" not in vector["name"]:
        hello = Hello(**vector["hello"])
        flags = int(hello.draining)
        delay_us = min(hello.echo_delay_us, trunk.ECHO_DELAY_MAX_US)
        body = (hello.sent_at_us, hello.echo_us, delay_us, flags, hello.received, hello.lost)
        assert codec_trunk.build_hello(*head, body) == whole


@vectors("refused")
def test_refused_vector_has_its_verdict(vector: Vector) -> None:
    datagram = bytes.fromhex(vector["datagram"])
    key = KEYS.get(datagram[1], KEY) if len(datagram) > 1 else KEY
    is_hello = len(datagram) > 0 and datagram[0] & 0x0F >= Kind.HELLO_UP
    verdict, _, _ = read_in_c(datagram, key, is_hello)
    assert verdict == read_in_python(datagram, key, is_hello)[0]
    if vector["verdict"] not in RECEIVERS:
        assert verdict == vector["verdict"]


# --- both directions, on whatever can be built ---------------------------------------------------

ports = st.integers(0, 0xFFFF)
counts = st.integers(0, 2**64 - 1)
clients_v4 = st.builds(Client, st.ip_addresses(v=4).map(str), ports, st.just(0))
clients_v6 = st.builds(Client, st.ip_addresses(v=6, network="2001:db8::/32").map(str), ports, st.just(0))
clients_local = st.builds(Client, st.ip_addresses(v=6, network="fe80::/64").map(str), ports, st.integers(0, 2**32 - 1))
clients = clients_v4 | clients_v6 | clients_local
sizes = st.integers(0, 200) | st.sampled_from([640, 641, 1343, 1344, 1360, 1361, trunk.PAYLOAD_MAX])
payloads = st.builds(lambda size, fill: bytes([fill]) * size, sizes, st.integers(0, 255))
frames_of_any_kind = st.builds(Frame, clients, payloads, st.just(False)) | st.builds(
    Frame, clients, st.just(b""), st.booleans()
)
bundles = st.sampled_from([Kind.BUNDLE_UP, Kind.BUNDLE_DOWN])


@given(bundles, st.integers(1, 2**63), ports, st.lists(frames_of_any_kind, max_size=BATCH))
def test_what_c_writes_is_what_python_writes(kind: Kind, sequence: int, via: int, frames: list[Frame]) -> None:
    bursts = build_in_c(kind, sequence, via, frames)
    written = [trunk.without_padding(datagram) for _, datagrams in bursts for datagram in datagrams]
    filled = trunk.fill_bundles(frames)
    assert written == [trunk.build_bundle(kind, SENDER, sequence + at, via, bundle) for at, bundle in enumerate(filled)]


@given(bundles, st.lists(frames_of_any_kind, max_size=BATCH))
def test_a_burst_fits_one_send(kind: Kind, frames: list[Frame]) -> None:
    for segment_bytes, datagrams in build_in_c(kind, 1, 0, frames):
        assert 1 <= len(datagrams) <= SEGMENTS
        assert sum(map(len, datagrams)) <= SEGMENTED_BYTES
        assert {len(datagram) for datagram in datagrams[:-1]} <= {segment_bytes}
        assert len(datagrams[-1]) <= segment_bytes
        assert segment_bytes <= trunk.BUNDLE_BYTES or len(datagrams) == 1


@given(bundles, counts, ports, st.lists(frames_of_any_kind, min_size=1, max_size=trunk.FRAMES_MAX), st.integers(0, 9))
def test_what_python_writes_is_read_alike(
    kind: Kind, sequence: int, via: int, frames: list[Frame], padding: int
) -> None:
    datagram = trunk.build_bundle(kind, SENDER, sequence, via, frames) + bytes(padding)
    assert read_in_c(datagram, KEY, is_hello=False)[2] == frames
    read_alike(datagram)


@given(
    st.sampled_from([Kind.HELLO_UP, Kind.HELLO_DOWN]),
    counts,
    st.builds(Hello, counts, counts, st.integers(0, 2**32 - 1), st.booleans(), counts, counts),
)
def test_hello_is_written_and_read_alike(kind: Kind, sequence: int, hello: Hello) -> None:
    body = (hello.sent_at_us, hello.echo_us, hello.echo_delay_us, int(hello.draining), hello.received, hello.lost)
    written = codec_trunk.build_hello(kind, SENDER.key_id, KEY, SENDER.epoch_us, sequence, body)
    assert written == trunk.build_hello(kind, SENDER, sequence, hello)
    assert read_in_c(written, KEY, is_hello=True)[2] == hello
    read_alike(written)


# --- refusals ------------------------------------------------------------------------------------


@given(st.binary(max_size=120))
def test_junk_is_refused_alike(junk: bytes) -> None:
    read_alike(junk)
    read_alike(b"\x12\x03" + junk)


words = st.binary(max_size=6).map(lambda rest: rest.ljust(6, b"\x01"))
lengths = st.sampled_from([0, 1, 2, 20, 0x0800, 0x0801, 0x1000, 0x2000, 0x4000, 0x4001])
headers_v4 = st.builds(lambda word, rest: word.to_bytes(2) + rest, lengths, words)
headers_v6 = st.builds(
    lambda word, rest, address: (word | 0x8000).to_bytes(2) + rest + address,
    lengths,
    st.sampled_from([bytes(6), bytes(5) + b"\x03"]),
    st.sampled_from(["::ffff:192.0.2.1", "2001:db8::1", "fe80::1", "::"]).map(lambda ip: ip_address(ip).packed),
)


@given(
    st.sampled_from(Kind),
    st.lists(headers_v4 | headers_v6, max_size=66),
    st.integers(-1, 1),
    st.integers(0, 3),
    st.integers(0, 3000),
)
def test_what_a_key_holder_got_wrong_is_refused_alike(
    kind: Kind, headers: list[bytes], count_off: int, cut: int, payload_bytes: int
) -> None:
    covered = b"".join(headers)
    covered = covered[: max(len(covered) - cut, 0)]
    datagram = trunk.signed(kind, SENDER, 1, 0, max(len(headers) + count_off, 0), covered) + bytes(payload_bytes)
    read_alike(datagram)
    read_alike(datagram[: 32 + len(covered) - 1])


@given(st.data())
def test_an_edited_datagram_is_refused_alike(data: st.DataObject) -> None:
    datagram = bytearray.fromhex(data.draw(st.sampled_from(VECTORS["accepted"]))["datagram"])
    at = data.draw(st.integers(0, min(len(datagram), 120) - 1))
    datagram[at] ^= data.draw(st.integers(1, 255))
    read_alike(bytes(datagram))
    read_alike(bytes(datagram[:at]))


# --- CMAC, and what the door itself refuses ------------------------------------------------------


@pytest.mark.parametrize("is_portable", [False, True], ids=["fastest", "portable"])
@given(key=st.binary(min_size=16, max_size=16), message=st.binary(max_size=300))
def test_cmac_is_the_librarys(is_portable: bool, key: bytes, message: bytes) -> None:
    cmac = CMAC(AES128(key))
    cmac.update(message)
    assert codec_trunk.cmac(key, message, is_portable) == cmac.finalize()


@pytest.mark.parametrize("key", [b"", bytes(15), bytes(17)], ids=["none", "15 bytes", "17 bytes"])
def test_key_of_another_length_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        codec_trunk.cmac(key, b"")


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        pytest.param((bytes(5), 1, 0, b"x", False), "4 or 16", id="address"),
        pytest.param((bytes(4), 1, 0, bytes(trunk.PAYLOAD_MAX + 1), False), "at most", id="too large"),
        pytest.param((bytes(4), 1, 0, b"x", True), "at most", id="CLOSE with payload"),
    ],
)
def test_unsound_frame_is_not_written(row: tuple[bytes, int, int, bytes, bool], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        codec_trunk.build_bundles(Kind.BUNDLE_UP, 3, KEY, 1, 1, 0, [row])


def test_more_frames_than_a_writer_holds_are_refused() -> None:
    row = (bytes(4), 1, 0, b"x", False)
    assert codec_trunk.build_bundles(Kind.BUNDLE_UP, 3, KEY, 1, 1, 0, [row] * BATCH)
    with pytest.raises(ValueError, match="256"):
        codec_trunk.build_bundles(Kind.BUNDLE_UP, 3, KEY, 1, 1, 0, [row] * (BATCH + 1))
