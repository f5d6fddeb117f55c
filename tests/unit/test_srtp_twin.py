"""The compiled batches and the readable packet-by-packet twin make the same of everything, statistics included."""

import random
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay._ext.srtp import RtpPacket
from fastrelay.transceiver import srtp_batch, srtp_session
from fastrelay.transceiver.keying import SrtpKeys, SrtpProfile
from fastrelay.wire.rtp import SrtpRefusal
from tests.unit.srtp_ends import OPUS, PROFILES, PTIME_TICKS, SSRC, Peer, keys_of, rtp, run

OTHER_SSRC = 0x1234

steps = st.lists(
    st.tuples(
        st.sampled_from([1, 1, 1, 1, 2, 3, 40, 62, 63, 64, 65, 2999, 3000, 3001, 20_000, 0x7FFF]),  # sequence ahead
        st.sampled_from(["sent", "sent", "sent", "twice", "late", "lost", "flipped", "cut"]),
        st.sampled_from([SSRC, SSRC, SSRC, OTHER_SSRC]),
        st.sampled_from([OPUS, OPUS, OPUS, 13]),
        st.sampled_from([0, 0, 960, 0x8000_0000, 0xFFFF_0000]),  # timestamp off
    ),
    max_size=40,
)


def packets_of(profile: SrtpProfile, plan: list[tuple[int, str, int, int, int]]) -> list[bytes]:
    """Seal what the plan says, in its order, and do to the packets what the plan says."""
    peer, sequences, packets, late = Peer.of(profile), {SSRC: 0xFF00, OTHER_SSRC: 5}, [], []
    for ahead, fate, ssrc, payload_type, off in plan:
        sequences[ssrc] += ahead
        packet = bytearray(rtp(sequences[ssrc], ssrc=ssrc, payload_type=payload_type))
        packet[4:8] = ((sequences[ssrc] * PTIME_TICKS + off) & 0xFFFF_FFFF).to_bytes(4, "big")
        sealed = peer.sending.protect(bytes(packet))
        match fate:
            case "late":
                late.append(sealed)
            case "flipped":
                at = ahead % len(sealed)
                packets.append(sealed[:at] + bytes([sealed[at] ^ 0x55]) + sealed[at + 1 :])
            case "cut":
                packets.append(sealed[: ahead % len(sealed)])
            case "sent" | "twice":
                packets += [sealed] * (2 if fate == "twice" else 1)
                packets += late
                late.clear()
    return packets


@PROFILES
@given(plan=steps)
def test_paths_make_the_same_of_any_stream(profile: SrtpProfile, plan: list[tuple[int, str, int, int, int]]) -> None:
    packets = packets_of(profile, plan)
    assert run(srtp_batch, profile, packets) == run(srtp_session, profile, packets)


@PROFILES
def test_paths_agree_over_a_long_call_with_loss_and_disorder(profile: SrtpProfile) -> None:
    chance = random.Random(20261121)
    sealed = Peer.of(profile).seal(*range(60_000, 60_000 + 12_000))
    order = [
        (at + chance.choice([0, 0, 0, 3, 70]), packet) for at, packet in enumerate(sealed) if chance.random() > 0.05
    ]
    packets = [packet for _, packet in sorted(order)]
    assert run(srtp_batch, profile, packets) == run(srtp_session, profile, packets)


@PROFILES
@given(junk=st.lists(st.binary(max_size=60).map(lambda tail: b"\x80" + tail) | st.binary(max_size=60), max_size=20))
def test_paths_refuse_the_same_junk(profile: SrtpProfile, junk: list[bytes]) -> None:
    assert run(srtp_batch, profile, junk) == run(srtp_session, profile, junk)


@PROFILES
@given(data=st.binary(max_size=120).map(lambda tail: b"\x80\xc9" + tail) | st.binary(max_size=60))
def test_paths_refuse_the_same_junk_as_rtcp(profile: SrtpProfile, data: bytes) -> None:
    results = [
        path.SrtpInbound(keys_of(profile), payload_types=frozenset({OPUS})).open_rtcp(data)
        for path in (srtp_batch, srtp_session)
    ]
    assert results[0] == results[1]


def sealed_by(path: ModuleType, profile: SrtpProfile, frames: list[tuple[bytes, int, bool]]) -> object:
    outbound = path.SrtpOutbound(keys_of(profile), ssrc=SSRC, payload_type=OPUS, first_sequence=0xFFF0)
    sealed = path.seal_rtp([(outbound, *frame) for frame in frames])
    counts = (outbound.packets, outbound.octets, outbound.last_timestamp, outbound.next_sequence, outbound.ssrc)
    return sealed, counts, outbound.payload_type


@PROFILES
@given(
    frames=st.lists(
        st.tuples(st.binary(min_size=1, max_size=300), st.integers(0, 1 << 40), st.booleans()), min_size=1, max_size=80
    )
)
def test_paths_seal_the_same(profile: SrtpProfile, frames: list[tuple[bytes, int, bool]]) -> None:
    assert sealed_by(srtp_batch, profile, frames) == sealed_by(srtp_session, profile, frames)


def test_compiled_refusals_are_named_in_the_order_of_the_readable_ones() -> None:
    assert [refusal.name for refusal in SrtpRefusal] == [
        "MALFORMED",
        "FORGED",
        "REPLAYED",
        "TOO_OLD",
        "UNKNOWN_STREAM",
        "UNKNOWN_PAYLOAD",
        "EMPTY",
        "FAILED",
    ]


@pytest.mark.parametrize(
    "item",
    [None, (), (None, b"speech"), [srtp_batch.SrtpInbound, b""], (object(), b""), ("x", b"", 1)],
    ids=["nothing", "empty", "no stream", "a list", "no stream of ours", "too many"],
)
def test_compiled_batches_check_their_items(item: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        srtp_batch.open_rtp([item], 0)
    with pytest.raises((TypeError, ValueError)):
        srtp_batch.seal_rtp([item])


def test_a_compiled_stream_without_a_context_is_not_used() -> None:
    inbound = srtp_batch.SrtpInbound.__new__(srtp_batch.SrtpInbound)
    outbound = srtp_batch.SrtpOutbound.__new__(srtp_batch.SrtpOutbound)
    with pytest.raises(ValueError, match="no context"):
        srtp_batch.open_rtp([(inbound, b"")], 0)
    with pytest.raises(ValueError, match="no context"):
        inbound.open_rtcp(b"")
    with pytest.raises(ValueError, match="no context"):
        srtp_batch.seal_rtp([(outbound, b"speech", 0, False)])
    with pytest.raises(ValueError, match="no context"):
        outbound.seal_rtcp(b"")


def test_large_batches_of_two_threads_do_not_meet() -> None:
    """Batches this large are worked on without the GIL."""
    calls, rounds = 300, 20

    def echo(seed: int) -> list[bytes]:
        keys = keys_of(SrtpProfile.AEAD_AES_128_GCM)
        back = SrtpKeys(keys.profile, local=keys.remote, remote=keys.local)
        streams = [
            (
                srtp_batch.SrtpOutbound(keys, ssrc=at, payload_type=OPUS, first_sequence=0),
                srtp_batch.SrtpInbound(back, payload_types=frozenset({OPUS})),
            )
            for at in range(calls)
        ]
        heard = []
        for turn in range(rounds):
            frames = [(outbound, b"%d %d %d" % (seed, turn, at), 0, False) for at, (outbound, _) in enumerate(streams)]
            sealed = srtp_batch.seal_rtp(frames)
            opened = srtp_batch.open_rtp([(streams[at][1], packet) for at, packet in enumerate(sealed)], 0)
            heard += [packet.payload for packet in opened if isinstance(packet, RtpPacket)]
        return heard

    with ThreadPoolExecutor(2) as threads:
        for seed, heard in enumerate(threads.map(echo, range(2))):
            assert heard == [b"%d %d %d" % (seed, turn, at) for turn in range(rounds) for at in range(calls)]


def test_packets_are_values() -> None:
    packet = RtpPacket(OPUS, 0x1_0002, 960, SSRC, True, b"speech")
    same, other = (RtpPacket(OPUS, number, 960, SSRC, True, b"speech") for number in (0x1_0002, 2))
    assert (packet.sequence, packet.is_marked, len({packet, same, other})) == (2, True, 2)
    others: list[object] = [b"speech", None, other]
    assert packet not in others
    assert "extended_sequence=65538" in repr(packet)
    assert "speech" not in repr(packet)
    with pytest.raises(AttributeError):
        packet.__setattr__("payload", b"")
