"""An established session and bytes that are not what they should be: nothing raises, and the call goes on.

What comes from the client's own address and authenticates is the client's affair; what does not, changes nothing.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.transceiver.dtls import DtlsRole, DtlsState
from fastrelay.transceiver.libsrtp import open_outbound
from fastrelay.transceiver.session.events import Ended, Moved
from fastrelay.transceiver.session.states import State
from fastrelay.wire.demux import PacketClass, classify
from fastrelay.wire.stun import build_check
from tests import golden
from tests.emulator.network import Address, Datagram
from tests.emulator.session_end import REMOTE, UFRAG, Call, Shape, new_call

STRANGER = ("198.51.100.66", 6_666)
SSRC = 0x0BAD_F00D
ROLES = pytest.mark.parametrize("role", DtlsRole, ids=lambda role: f"we are {role.name.lower()}")
WHOLE_REPORT = struct.Struct("!BBHI")
FIRST_BYTES = {"STUN": range(4), "DTLS": range(20, 64), "RTP": range(128, 192), "nothing": (4, 19, 64, 127, 192, 255)}


def established(role: DtlsRole = DtlsRole.PASSIVE) -> Call:
    call = new_call(Shape(role))
    call.connect(1)
    call.echo(b"hello")
    return call


def throw(call: Call, payloads: Iterable[bytes], client: Address | None = None) -> None:
    """Hand these to the session as if this client had sent them: the call's own, when none is named."""
    for payload in payloads:
        call.server.receive(Datagram(client or call.browser.address, payload), call.network.now_s)


def assert_unharmed(call: Call, moved: int = 0) -> None:
    """The session stands where it stood, still talks to its client alone, and the browser noticed nothing."""
    session = call.server.session
    outgoing = call.server.take_outgoing()
    assert session.state is State.ESTABLISHED
    assert sum(isinstance(event, Moved) for event in call.server.events) == moved
    assert {datagram.client for datagram in outgoing} <= {call.browser.address}
    for datagram in outgoing:
        call.browser.receive(datagram, call.network.now_s)
    call.echo(b"still here")
    assert call.browser.dtls.state is DtlsState.CONNECTED


def damaged(payload: bytes, chance: random.Random) -> bytes:
    """Flip, cut, prolong or splice. May be what it was."""
    at = chance.randrange(len(payload))
    match chance.randrange(4):
        case 0:
            return payload[:at] + bytes([payload[at] ^ chance.randrange(1, 256)]) + payload[at + 1 :]
        case 1:
            return payload[: at + 1]
        case 2:
            return payload + chance.randbytes(chance.randrange(1, 64))
        case _:
            return payload[:at] + chance.randbytes(chance.randrange(1, 64)) + payload[at:]


def is_other_than(sent: list[bytes]) -> Callable[[bytes], bool]:
    known = set(sent)
    return lambda payload: payload not in known


# --- during set-up


@ROLES
@pytest.mark.parametrize("client", [None, STRANGER], ids=["from the client", "from a stranger"])
@pytest.mark.parametrize("seed", range(5))
def test_garbage_during_set_up_does_not_keep_a_call_from_it(role: DtlsRole, client: Address | None, seed: int) -> None:
    """Every 5 ms: random bytes of every protocol, and beginnings of what the browser has sent so far."""
    chance = random.Random(seed)
    call = new_call(Shape(role))
    while not call.is_connected:
        assert call.network.now_s < 1
        thrown = [bytes([first]) + chance.randbytes(chance.randrange(100)) for first in range(256)]
        thrown += [sent.payload[: chance.randrange(1, len(sent.payload))] for sent in call.network.up.sent]
        throw(call, thrown, client)
        call.network.run_for(0.005)
    assert_unharmed(call)


# --- from anywhere


@pytest.mark.parametrize("client", [None, STRANGER], ids=["from the client", "from a stranger"])
@pytest.mark.parametrize("first", FIRST_BYTES)
@given(rest=st.binary(max_size=300), at=st.integers(0, 63))
def test_any_bytes_change_nothing(first: str, client: Address | None, rest: bytes, at: int) -> None:
    call = established()
    first_bytes = FIRST_BYTES[first]
    throw(call, [bytes([first_bytes[at % len(first_bytes)]]) + rest], client)
    assert_unharmed(call)


@pytest.mark.parametrize("name", golden.NAMES)
def test_other_calls_datagrams_change_nothing(name: str) -> None:
    call = established()
    recorded = [packet.payload for packet in golden.load(name)]
    throw(call, recorded)
    throw(call, recorded, STRANGER)
    assert_unharmed(call)


@ROLES
@pytest.mark.parametrize("seed", range(20))
def test_damaged_copies_of_its_own_datagrams_change_nothing(role: DtlsRole, seed: int) -> None:
    call = established(role)
    chance = random.Random(seed)
    sent = [datagram.payload for datagram in call.network.up.sent]
    throw(call, filter(is_other_than(sent), (damaged(chance.choice(sent), chance) for _ in range(200))))
    assert_unharmed(call)


@ROLES
def test_its_own_datagrams_once_more_change_nothing(role: DtlsRole) -> None:
    call = established(role)
    sent = [datagram.payload for datagram in call.network.up.sent]
    heard = len(call.server.heard)
    throw(call, sent)
    throw(call, reversed(sent))
    assert len(call.server.heard) == heard, "replayed audio is not heard twice"
    assert_unharmed(call)


@ROLES
def test_what_was_sent_to_the_client_changes_nothing_when_it_comes_back(role: DtlsRole) -> None:
    call = established(role)
    throw(call, [datagram.payload for datagram in call.network.down.sent])
    assert_unharmed(call)


def test_strangers_with_the_clients_datagrams_are_nobody() -> None:
    call = established()
    sent = [datagram.payload for datagram in call.network.up.sent]
    throw(call, [payload for payload in sent if classify(payload) is not PacketClass.STUN], STRANGER)
    assert call.server.take_outgoing() == []
    assert_unharmed(call)


# --- DTLS that nobody has authenticated


def record(kind: int, body: bytes, *, epoch: int = 0, sequence: int = 1000, version: bytes = b"\xfe\xfd") -> bytes:
    header = bytes([kind]) + version + epoch.to_bytes(2, "big") + sequence.to_bytes(6, "big")
    return header + len(body).to_bytes(2, "big") + body


ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, APPLICATION = 21, 20, 22, 23
FORGED = {
    "a warning that says goodbye": record(ALERT, b"\x01\x00"),
    "a fatal alert": record(ALERT, b"\x02\x28"),
    "a fatal alert of the right epoch": record(ALERT, b"\x02\x28", epoch=1),
    "a goodbye of the right epoch": record(ALERT, b"\x01\x00" + bytes(24), epoch=1),
    "an alert of a byte": record(ALERT, b"\x02"),
    "another cipher": record(CHANGE_CIPHER_SPEC, b"\x01"),
    "another cipher, in the right epoch": record(CHANGE_CIPHER_SPEC, b"\x01", epoch=1),
    "a hello without content": record(HANDSHAKE, b"\x01" + bytes(11)),
    "a request for another handshake": record(HANDSHAKE, bytes(12)),
    "a message of 16 MB": record(HANDSHAKE, b"\x01\xff\xff\xff\x00\x00" + bytes(3) + b"\x00\x00\x04" + bytes(4)),
    "a fragment beyond its message": record(HANDSHAKE, b"\x14\x00\x00\x0c\x00\x03\xff\xff\xf0\x00\x00\x0c" + bytes(12)),
    "data that is not encrypted": record(APPLICATION, b"in the clear"),
    "data that does not open": record(APPLICATION, bytes(64), epoch=1),
    "data of an epoch to come": record(APPLICATION, bytes(64), epoch=2),
    "an empty record": record(APPLICATION, b"", epoch=1),
    "a record of another version": record(ALERT, b"\x02\x28", version=b"\x03\x03"),
    "a heartbeat": record(24, b"\x01\x40\x00"),
    "a hundred records": record(ALERT, b"\x02\x28") * 100,
    "a DTLS 1.3 record": b"\x2e\x00\x00\x10" + bytes(16),
}


@ROLES
@pytest.mark.parametrize("name", FORGED)
def test_forged_dtls_changes_nothing(role: DtlsRole, name: str) -> None:
    call = established(role)
    throw(call, [FORGED[name]] * 3)
    assert_unharmed(call)


@ROLES
@given(
    records=st.lists(
        st.builds(
            record,
            st.sampled_from([ALERT, CHANGE_CIPHER_SPEC, HANDSHAKE, APPLICATION, 24]),
            st.binary(max_size=80),
            epoch=st.integers(0, 2),
            sequence=st.integers(0, 2**48 - 1),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_records_change_nothing(role: DtlsRole, records: list[bytes]) -> None:
    call = established(role)
    throw(call, [*records, b"".join(records)])
    assert_unharmed(call)


# --- authentic, and malformed all the same


def sealed_rtp(call: Call, packet: bytes) -> bytes:
    assert call.browser.dtls.keys is not None
    return open_outbound(call.browser.dtls.keys, SSRC).protect(packet)


def rtp(first: int = 0x80, second: int = 111, rest: bytes = b"") -> bytes:
    return bytes([first, second]) + b"\x00\x07" + bytes(4) + SSRC.to_bytes(4, "big") + rest


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(rtp(), id="no payload"),
        pytest.param(rtp(second=0, rest=b"pcmu"), id="a payload type that was not agreed on"),
        pytest.param(rtp(0xA0, rest=b"abc\xff"), id="more padding than there is"),
        pytest.param(rtp(0xA0, rest=b"abc\x00"), id="padding of nothing"),
        pytest.param(rtp(0xA0, rest=b"\x01"), id="padding alone"),
        pytest.param(rtp(0x8F, rest=bytes(60)), id="fifteen sources and no payload"),
        pytest.param(rtp(0x90, rest=b"\xbe\xde\x00\x01\x10\xff\x00\x00"), id="an extension and no payload"),
    ],
)
def test_authentic_audio_of_a_strange_shape_is_refused_or_heard(packet: bytes) -> None:
    call = established()
    throw(call, [sealed_rtp(call, packet)])
    assert_unharmed(call)


@given(
    count=st.integers(0, 63),
    kind=st.integers(192, 223),
    length=st.one_of(st.integers(0, 20), st.integers(0, 0xFFFF)),
    body=st.binary(max_size=100).map(lambda body: body + bytes(-len(body) % 4)),
)
def test_authentic_reports_of_any_content_change_nothing(count: int, kind: int, length: int, body: bytes) -> None:
    call = established()
    header = bytes([0x80 | count, kind]) + length.to_bytes(2, "big") + call.browser.ssrc.to_bytes(4, "big")
    assert call.browser.report(header + body)
    assert call.browser.report(WHOLE_REPORT.pack(0x80, 201, 1, call.browser.ssrc) + header + body)
    call.network.run_for(0.1)
    assert_unharmed(call)


@given(data=st.binary(min_size=1, max_size=1_000))
def test_application_data_is_handed_on_unread(data: bytes) -> None:
    call = established()
    assert call.browser.send(data)
    call.network.run_for(0.05)
    assert call.server.received == [data]
    assert_unharmed(call)


def test_authentic_check_without_an_end_is_bounded_by_addresses() -> None:
    call = established()
    for port in range(1, 200):
        packet = build_check(f"{REMOTE.ufrag}:{UFRAG}", REMOTE.password)
        throw(call, [packet], (STRANGER[0], port))
    answered = call.server.take_outgoing()
    assert len(answered) == 199
    assert len(call.server.session.ice.paths) <= 8
    call.echo(b"still here")
    assert not any(isinstance(event, Ended | Moved) for event in call.server.events)
