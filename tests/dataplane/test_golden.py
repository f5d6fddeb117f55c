"""Every packet of real calls passes a relay unread and byte for byte, both ways."""

import hmac
import itertools
import zlib

import pytest

from fastrelay.wire.stun import BINDING_REQUEST, HEADER_LENGTH, MESSAGE_INTEGRITY, USERNAME
from fastrelay.wire.trunk import Client, Frame
from tests import golden
from tests.dataplane.cores import Core, Sent
from tests.dataplane.packets import ALICE, CAROL, RESPONSE, T1, T6, Ticket, check, down, ticket

FINGERPRINT = 0x8028
VERDICTS = {"stun": "UP_STUN", "dtls": "UP_DTLS", "srtp": "UP_SRTP", "srtcp": "UP_SRTCP"}
PLACES = [pytest.param(ALICE, T1, 0, id="IPv4"), pytest.param(CAROL, T6, 1, id="IPv6")]


@pytest.mark.parametrize(("client", "transceiver", "via"), PLACES)
@pytest.mark.parametrize("name", golden.NAMES)
def test_call_is_forwarded_byte_for_byte(
    core: Core, name: str, client: Client, transceiver: tuple[str, int], via: int
) -> None:
    admission = ticket(1, transceiver)
    assert core.up([(check(admission), client, via)]).verdicts == ["UP_ADMITTED"]
    assert core.down([(transceiver, down(Frame(client, RESPONSE)))]).frame_verdicts == ["DOWN_CONFIRMED"]
    sequences = itertools.count(2)
    for direction, run in itertools.groupby(golden.load(name), key=lambda packet: packet.direction):
        call = list(run)
        payloads = [packet.payload for packet in call]
        if direction == "server":
            bundles = [(transceiver, down(Frame(client, payload), sequence=next(sequences))) for payload in payloads]
            downward = core.down(bundles)
            assert downward.frame_verdicts == ["DOWN_FORWARDED"] * len(payloads)
            assert downward.sent == [Sent(client, via, payload) for payload in payloads]
            continue
        payloads = [with_ticket(payload, admission) if is_check(payload) else payload for payload in payloads]
        upward = core.up([(payload, client, via) for payload in payloads])
        assert upward.verdicts == [VERDICTS[packet.kind] for packet in call]
        frames = [frame for bundle in core.bundles(upward) for frame in bundle.frames]
        assert frames == [Frame(client, payload) for payload in payloads]


@pytest.mark.parametrize("name", golden.NAMES)
def test_first_captured_check_admits(core: Core, name: str) -> None:
    """Each client's own check, attributes and all, but for the token in place of the captured ufrag."""
    packets = [packet.payload for packet in golden.load(name) if is_from_client(packet)]
    captured = next(packet for packet in packets if is_check(packet))
    assert core.up([(captured, ALICE, 0)]).verdicts == ["TOKEN_MALFORMED"]
    assert core.up([(with_ticket(captured, ticket()), ALICE, 0)]).verdicts == ["UP_ADMITTED"]


@pytest.mark.parametrize("name", golden.NAMES)
def test_without_a_flow_nothing_passes(core: Core, name: str) -> None:
    """Captured checks carry ufrags that are no tokens, so a whole call makes no flow and no output."""
    verdicts = set()
    for packet in golden.load(name):
        if is_from_client(packet):
            upward = core.up([(packet.payload, ALICE, 0)])
            assert upward.datagrams == []
            verdicts.update(upward.verdicts)
    assert verdicts == {"TOKEN_MALFORMED", "STUN_NOT_A_CHECK", "UNKNOWN_CLIENT"}
    assert core.flows() == []


def is_from_client(packet: golden.GoldenPacket) -> bool:
    return packet.direction == "client"


def is_check(payload: bytes) -> bool:
    return payload[:2] == BINDING_REQUEST.to_bytes(2, "big") and payload[4:8] == bytes.fromhex("2112a442")


def with_ticket(captured: bytes, admission: Ticket) -> bytes:
    """A captured check with our token before the colon, signed again. All else stays as the client wrote it."""
    attributes = b""
    for kind, value in walk(captured):
        if kind == USERNAME:
            attributes += attribute(kind, admission.ufrag.encode() + value[value.index(b":") :])
        elif kind == MESSAGE_INTEGRITY:
            covered = message(captured, attributes, following=24)
            attributes += attribute(kind, hmac.digest(admission.password.encode(), covered, "sha1"))
        elif kind == FINGERPRINT:
            checksum = zlib.crc32(message(captured, attributes, following=8)) ^ 0x5354554E
            attributes += attribute(kind, checksum.to_bytes(4, "big"))
        else:
            attributes += attribute(kind, value)
    return message(captured, attributes)


def walk(packet: bytes) -> list[tuple[int, bytes]]:
    attributes, offset = [], HEADER_LENGTH
    while offset < len(packet):
        kind, length = (int.from_bytes(packet[at : at + 2], "big") for at in (offset, offset + 2))
        attributes.append((kind, packet[offset + 4 : offset + 4 + length]))
        offset += 4 + length + -length % 4
    return attributes


def attribute(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value + bytes(-len(value) % 4)


def message(captured: bytes, attributes: bytes, following: int = 0) -> bytes:
    """The captured header over these attributes, its length counting `following` bytes more."""
    return captured[:2] + (len(attributes) + following).to_bytes(2, "big") + captured[4:HEADER_LENGTH] + attributes
