"""Every packet of real calls passes a relay unread and byte for byte, both ways."""

import itertools

import pytest

from fastrelay.wire.trunk import Client, Frame
from tests import golden
from tests.dataplane.cores import Core, Sent
from tests.dataplane.packets import ALICE, CAROL, RESPONSE, T1, T6, check, down, ticket

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
        payloads = [
            golden.with_ticket(payload, admission.ufrag, admission.password) if golden.is_check(payload) else payload
            for payload in payloads
        ]
        upward = core.up([(payload, client, via) for payload in payloads])
        assert upward.verdicts == [VERDICTS[packet.kind] for packet in call]
        frames = [frame for bundle in core.bundles(upward) for frame in bundle.frames]
        assert frames == [Frame(client, payload) for payload in payloads]


@pytest.mark.parametrize("name", golden.NAMES)
def test_first_captured_check_admits(core: Core, name: str) -> None:
    """Each client's own check, attributes and all, but for the token in place of the captured ufrag."""
    packets = [packet.payload for packet in golden.load(name) if is_from_client(packet)]
    captured = next(packet for packet in packets if golden.is_check(packet))
    assert core.up([(captured, ALICE, 0)]).verdicts == ["TOKEN_MALFORMED"]
    admission = ticket()
    signed = golden.with_ticket(captured, admission.ufrag, admission.password)
    assert core.up([(signed, ALICE, 0)]).verdicts == ["UP_ADMITTED"]


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
