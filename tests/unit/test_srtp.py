"""A call's SRTP, on both paths, with pylibsrtp's Session as the peer: what is taken, what is refused and why."""

import struct
from types import ModuleType

import pytest

from fastrelay._ext.srtp import RtpPacket
from fastrelay.transceiver import srtp
from fastrelay.transceiver.keying import SrtpKeys, SrtpProfile
from fastrelay.transceiver.libsrtp import REPLAY_WINDOW as WINDOW
from fastrelay.transceiver.srtp import PAYLOAD_MAX_BYTES, SrtpInbound, SrtpRefusal
from fastrelay.wire.rtp import PACKET_MAX_BYTES, build_header
from tests.unit.srtp_ends import OPUS, PATHS, PROFILES, SSRC, Peer, keys_of, rtp

GCM = SrtpProfile.AEAD_AES_128_GCM
STREAMS_MAX = 16


def inbound_of(
    path: ModuleType, profile: SrtpProfile = GCM, payload_types: frozenset[int] = frozenset({OPUS})
) -> SrtpInbound:
    inbound: SrtpInbound = path.SrtpInbound(keys_of(profile), payload_types=payload_types)
    return inbound


def test_the_batch_path_is_in_use_with_the_pylibsrtp_that_is_installed() -> None:
    assert srtp.ACTIVE == "batch"


@PATHS
@PROFILES
def test_packets_arrive_as_they_were_sent(path: ModuleType, profile: SrtpProfile) -> None:
    inbound, peer = inbound_of(path, profile), Peer.of(profile)
    sealed = peer.sending.protect(build_header(OPUS, 7, 0xFFFF_FFFF, SSRC, is_marked=True) + b"speech")
    assert path.open_rtp([(inbound, sealed)], 0) == [RtpPacket(OPUS, 7, 0xFFFF_FFFF, SSRC, True, b"speech")]


@PATHS
@PROFILES
def test_the_peer_opens_what_we_seal(path: ModuleType, profile: SrtpProfile) -> None:
    outbound = path.SrtpOutbound(keys_of(profile), ssrc=SSRC, payload_type=OPUS, first_sequence=3)
    peer = Peer.of(profile)
    sealed = path.seal_rtp([(outbound, b"one", 960, True), (outbound, b"four", 1920, False)])
    assert [peer.receiving.unprotect(packet) for packet in sealed] == [
        build_header(OPUS, 3, 960, SSRC, is_marked=True) + b"one",
        build_header(OPUS, 4, 1920, SSRC, is_marked=False) + b"four",
    ]
    assert (outbound.packets, outbound.octets, outbound.last_timestamp, outbound.next_sequence) == (2, 7, 1920, 5)


@PATHS
@pytest.mark.parametrize("size", [0, 1, 2, 127, 128, 129, 255, 256, 257, 600])
def test_a_batch_of_many_calls_keeps_its_order(path: ModuleType, size: int) -> None:
    streams = [
        (inbound_of(path), path.SrtpOutbound(keys_of(GCM), ssrc=at, payload_type=OPUS, first_sequence=at))
        for at in range(size)
    ]
    sealed = path.seal_rtp([(outbound, b"%d" % at, at, False) for at, (_, outbound) in enumerate(streams)])
    peers = [Peer.of(GCM) for _ in streams]
    echoes = [
        peer.sending.protect(peer.receiving.unprotect(packet)) for peer, packet in zip(peers, sealed, strict=True)
    ]
    opened = path.open_rtp([(inbound, echo) for (inbound, _), echo in zip(streams, echoes, strict=True)], 0)
    assert [packet.payload for packet in opened] == [b"%d" % at for at in range(size)]


@PATHS
def test_one_call_many_times_in_a_batch_goes_in_order(path: ModuleType) -> None:
    inbound, peer = inbound_of(path), Peer.of(GCM)
    first, second = peer.seal(1, 2)
    batch = [(inbound, packet) for packet in (second, first, second, b"", first[:-1] + b"x")]
    opened, late, again, empty, forged = path.open_rtp(batch, 0)
    assert (opened.sequence, late.sequence) == (2, 1)
    assert (again, empty, forged) == (SrtpRefusal.REPLAYED, SrtpRefusal.MALFORMED, SrtpRefusal.REPLAYED)


@PATHS
@PROFILES
def test_a_packet_cut_short_at_any_length_is_refused(path: ModuleType, profile: SrtpProfile) -> None:
    inbound = inbound_of(path, profile)
    (sealed,) = Peer.of(profile).seal(1)
    refused = path.open_rtp([(inbound, sealed[:length]) for length in range(len(sealed))], 0)
    assert set(refused) == {SrtpRefusal.MALFORMED, SrtpRefusal.FORGED}
    assert path.open_rtp([(inbound, sealed)], 0)[0].payload == b"speech"


@PATHS
@PROFILES
def test_a_packet_with_any_byte_changed_is_refused(path: ModuleType, profile: SrtpProfile) -> None:
    inbound = inbound_of(path, profile)
    (sealed,) = Peer.of(profile).seal(1)
    changed = [
        sealed[:at] + bytes([sealed[at] ^ flip]) + sealed[at + 1 :]
        for at in range(len(sealed))
        for flip in (1, 128, 255)
    ]
    refused = path.open_rtp([(inbound, packet) for packet in changed], 0)
    assert set(refused) <= {SrtpRefusal.MALFORMED, SrtpRefusal.FORGED}
    assert inbound.reception.packets == 0
    assert path.open_rtp([(inbound, sealed)], 0)[0].payload == b"speech"


@PATHS
def test_sizes_end_at_an_ethernet_frame(path: ModuleType) -> None:
    keys = keys_of(GCM)
    inbound = path.SrtpInbound(SrtpKeys(GCM, keys.remote, keys.local), payload_types=frozenset({OPUS}))
    outbound = path.SrtpOutbound(keys, ssrc=SSRC, payload_type=OPUS, first_sequence=0)
    (sealed,) = path.seal_rtp([(outbound, bytes(PAYLOAD_MAX_BYTES), 0, False)])
    assert len(path.open_rtp([(inbound, sealed)], 0)[0].payload) == PAYLOAD_MAX_BYTES
    at_most, too_long = b"\x80" * PACKET_MAX_BYTES, b"\x80" * (PACKET_MAX_BYTES + 1)
    assert path.open_rtp([(inbound, at_most)], 0) == [SrtpRefusal.FORGED]
    assert path.open_rtp([(inbound, too_long)], 0) == [SrtpRefusal.MALFORMED]
    assert inbound.open_rtcp(too_long) == SrtpRefusal.MALFORMED


@PATHS
@pytest.mark.parametrize("payload", [b"", bytes(PAYLOAD_MAX_BYTES + 1)], ids=["empty", "too big"])
def test_a_payload_of_a_wrong_size_seals_nothing(path: ModuleType, payload: bytes) -> None:
    outbound = path.SrtpOutbound(keys_of(GCM), ssrc=SSRC, payload_type=OPUS, first_sequence=9)
    with pytest.raises(ValueError, match="item 1 has a payload"):
        path.seal_rtp([(outbound, b"speech", 0, False), (outbound, payload, 0, False)])
    assert (outbound.packets, outbound.next_sequence) == (0, 9)


@PATHS
def test_timestamps_beyond_32_bits_roll_over(path: ModuleType) -> None:
    outbound = path.SrtpOutbound(keys_of(GCM), ssrc=SSRC, payload_type=OPUS, first_sequence=0)
    (sealed,) = path.seal_rtp([(outbound, b"speech", (5 << 32) + 7, False)])
    assert (sealed[4:8], outbound.last_timestamp) == (b"\0\0\0\x07", 7)


@PATHS
@PROFILES
def test_packets_older_than_the_window_are_refused(path: ModuleType, profile: SrtpProfile) -> None:
    inbound, peer = inbound_of(path, profile), Peer.of(profile)
    too_old, old, *_, latest = peer.seal(*range(1, WINDOW + 2))
    opened = path.open_rtp([(inbound, packet) for packet in (latest, old, too_old)], 0)
    assert [result if isinstance(result, SrtpRefusal) else result.sequence for result in opened] == [
        WINDOW + 1,
        2,
        SrtpRefusal.TOO_OLD,
    ]


@PATHS
@PROFILES
def test_sequence_numbers_roll_over_more_than_once(path: ModuleType, profile: SrtpProfile) -> None:
    inbound, peer = inbound_of(path, profile), Peer.of(profile)
    # each step is a loss that both ends follow, as RFC 3711 §3.3.1 has it: less than half the numbers
    sequences = list(range(0, 5 << 15, 30_000))
    opened = path.open_rtp([(inbound, packet) for packet in peer.seal(*sequences)], 0)
    assert [packet.extended_sequence for packet in opened] == sequences
    assert inbound.reception.cycles == sequences[-1] >> 16
    assert inbound.reception.lost == 0  # each jump is a new beginning


@PATHS
def test_a_late_packet_from_before_a_roll_over_has_its_place(path: ModuleType) -> None:
    inbound, peer = inbound_of(path), Peer.of(GCM)
    before, late, after = peer.seal(0xFFFE, 0xFFFF, 0x10000)
    opened = path.open_rtp([(inbound, packet) for packet in (before, after, late)], 0)
    assert [packet.extended_sequence for packet in opened] == [0xFFFE, 0x10000, 0xFFFF]
    assert (inbound.reception.expected, inbound.reception.lost) == (3, 0)


@PATHS
def test_a_payload_type_that_was_not_negotiated_is_refused_and_counted_in_its_stream(path: ModuleType) -> None:
    inbound, peer = inbound_of(path), Peer.of(GCM)
    sealed = [peer.sending.protect(rtp(at, payload_type=kind)) for at, kind in ((1, 13), (2, OPUS), (3, 13), (4, OPUS))]
    before, opened, between, _ = path.open_rtp([(inbound, packet) for packet in sealed], 0)
    assert (before, between) == (SrtpRefusal.UNKNOWN_PAYLOAD, SrtpRefusal.UNKNOWN_PAYLOAD)
    assert opened.payload_type == OPUS
    assert (inbound.reception.packets, inbound.reception.lost) == (3, 0)


@PATHS
@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        pytest.param(b"speech\0\0\0\x04", b"speech", id="four bytes"),
        pytest.param(b"speech\x01", b"speech", id="one byte"),
        pytest.param(b"\0\0\0\x04", SrtpRefusal.EMPTY, id="padding alone"),
        pytest.param(b"", SrtpRefusal.MALFORMED, id="nothing"),
        pytest.param(b"speech\0", SrtpRefusal.MALFORMED, id="zero"),
        pytest.param(b"speech\x08", SrtpRefusal.MALFORMED, id="longer than the payload"),
    ],
)
def test_padding_is_taken_off(path: ModuleType, padding: bytes, expected: bytes | SrtpRefusal) -> None:
    inbound, peer = inbound_of(path), Peer.of(GCM)
    packet = bytes([0xA0]) + rtp(1, padding)[1:]
    (result,) = path.open_rtp([(inbound, peer.sending.protect(packet))], 0)
    assert (result.payload if isinstance(result, RtpPacket) else result) == expected


@PATHS
def test_sources_and_extension_are_skipped(path: ModuleType) -> None:
    inbound, peer = inbound_of(path), Peer.of(GCM)
    header = bytes([0x92]) + rtp(1, b"")[1:] + bytes(8) + struct.pack("!HH", 0xBEDE, 1) + b"\x10\xff\0\0"
    (opened,) = path.open_rtp([(inbound, peer.sending.protect(header + b"speech"))], 0)
    assert opened.payload == b"speech"


@PATHS
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"\x9f" + rtp(1)[1:] + bytes(40), id="sources"),
        pytest.param(b"\x90" + rtp(1, b"\xbe\xde\xff\xff")[1:] + bytes(40), id="extension"),
        pytest.param(b"\x90" + rtp(1, b"\xbe\xde\x00\x0a")[1:] + bytes(40), id="extension up to the tag"),
        pytest.param(b"\x40" + rtp(1)[1:] + bytes(40), id="version"),
    ],
)
def test_a_header_that_announces_more_than_there_is_is_malformed(path: ModuleType, head: bytes) -> None:
    assert path.open_rtp([(inbound_of(path), head)], 0) == [SrtpRefusal.MALFORMED]


@PATHS
def test_a_new_ssrc_begins_the_statistics_again(path: ModuleType) -> None:
    inbound, peer = inbound_of(path), Peer.of(GCM)
    path.open_rtp([(inbound, packet) for packet in peer.seal(1, 2, 5)], 0)
    assert (inbound.reception.lost, inbound.reception.missing()) == (2, [3, 4])
    path.open_rtp([(inbound, packet) for packet in peer.seal(70, ssrc=8)], 0)
    reception = inbound.reception
    assert (reception.ssrc, reception.packets, reception.lost, reception.highest) == (8, 1, 0, 70)


@PATHS
def test_a_call_may_use_so_many_ssrcs_and_no_more(path: ModuleType) -> None:
    inbound, peer = inbound_of(path), Peer.of(GCM)
    sealed = [packet for ssrc in range(STREAMS_MAX + 1) for packet in peer.seal(1, ssrc=ssrc)]
    *opened, refused = path.open_rtp([(inbound, packet) for packet in sealed], 0)
    assert [packet.ssrc for packet in opened] == list(range(STREAMS_MAX))
    assert refused == SrtpRefusal.UNKNOWN_STREAM
    report = peer.sending.protect_rtcp(struct.pack("!BBHI", 0x80, 201, 1, 99))
    assert inbound.open_rtcp(report) == SrtpRefusal.UNKNOWN_STREAM
    assert path.open_rtp([(inbound, packet) for packet in peer.seal(2, ssrc=0)], 0)[0].ssrc == 0


@PATHS
def test_forged_ssrcs_take_no_room(path: ModuleType) -> None:
    inbound, peer = inbound_of(path), Peer.of(GCM)
    forged = [rtp(1, bytes(30), ssrc=ssrc) for ssrc in range(1000)]
    assert set(path.open_rtp([(inbound, packet) for packet in forged], 0)) == {SrtpRefusal.FORGED}
    assert path.open_rtp([(inbound, packet) for packet in peer.seal(1)], 0)[0].ssrc == SSRC


@PATHS
@PROFILES
def test_rtcp_goes_both_ways_and_no_byte_of_it_can_change(path: ModuleType, profile: SrtpProfile) -> None:
    peer, inbound = Peer.of(profile), inbound_of(path, profile)
    outbound = path.SrtpOutbound(keys_of(profile), ssrc=SSRC, payload_type=OPUS, first_sequence=0)
    report = struct.pack("!BBHI", 0x80, 201, 1, SSRC)
    assert peer.receiving.unprotect_rtcp(outbound.seal_rtcp(report)) == report
    sealed = peer.sending.protect_rtcp(report)
    wrong = [sealed[:length] for length in range(len(sealed))]
    wrong += [sealed[:at] + bytes([sealed[at] ^ 0x81]) + sealed[at + 1 :] for at in range(len(sealed))]
    assert {inbound.open_rtcp(data) for data in wrong} == {SrtpRefusal.MALFORMED, SrtpRefusal.FORGED}
    assert inbound.open_rtcp(sealed) == report
    assert inbound.open_rtcp(sealed) == SrtpRefusal.REPLAYED


@PATHS
@pytest.mark.parametrize(
    "data",
    [b"", struct.pack("!BBHI", 0x80, 201, 1, 1), bytes(4) + SSRC.to_bytes(4, "big") + bytes(1345)],
    ids=["empty", "of another stream", "too long"],
)
def test_rtcp_that_is_not_ours_is_not_sealed(path: ModuleType, data: bytes) -> None:
    outbound = path.SrtpOutbound(keys_of(GCM), ssrc=SSRC, payload_type=OPUS, first_sequence=0)
    with pytest.raises(ValueError, match="are not RTCP of stream"):
        outbound.seal_rtcp(data)


@PATHS
@pytest.mark.parametrize(
    ("ssrc", "payload_type", "first_sequence"),
    [(1 << 32, 0, 0), (-1, 0, 0), (0, 128, 0), (0, 0, 1 << 16)],
    ids=["SSRC", "negative SSRC", "payload type", "sequence number"],
)
def test_a_stream_that_cannot_be_is_not_made(
    path: ModuleType, ssrc: int, payload_type: int, first_sequence: int
) -> None:
    with pytest.raises((ValueError, OverflowError)):
        path.SrtpOutbound(keys_of(GCM), ssrc=ssrc, payload_type=payload_type, first_sequence=first_sequence)


@PATHS
def test_keys_of_a_wrong_length_are_not_taken(path: ModuleType) -> None:
    with pytest.raises(ValueError, match="AEAD_AES_128_GCM: 27 bytes"):
        path.SrtpInbound(SrtpKeys(GCM, bytes(28), bytes(27)), payload_types=frozenset())
