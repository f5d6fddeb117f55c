"""Generated traffic: every kind of datagram, sound and not, from few clients and few transceivers under small limits.

Lives here: hypothesis strategies of steps, as data that any core can be fed with.
Must not live here: what a core must make of them (test_twin_equals_core, test_invariants).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from hypothesis import strategies as st

from fastrelay.relay.dataplane.limits import Limits
from fastrelay.wire.trunk import Client, Frame, Kind
from tests.dataplane.packets import (
    ALICE,
    ALICE_MOVED,
    BOB,
    CAROL,
    CLUSTER,
    COMING,
    CURRENT,
    DAVE,
    DTLS,
    JUNK,
    LOCALS,
    OUTSIDE,
    PEER_EPOCH_US,
    RESPONSE,
    RETIRED,
    SRTCP,
    SRTP,
    STRANGE,
    T1,
    T2,
    T6,
    UNIX_S,
    UNKNOWN,
    check,
    cut_before,
    down,
    flipped,
    hello_down,
    integrity_offset,
    resigned,
    ticket,
)

Endpoint = tuple[str, int]

CLIENTS = [ALICE, ALICE_MOVED, BOB, CAROL, DAVE, Client("2001:db8::33", 50_000)]
UNUSABLE_CLIENTS = [Client("192.0.2.9", 0), Client(*LOCALS[0]), Client("255.255.255.255", 9), Client("ff02::1", 9)]
TRANSCEIVERS = [T1, T2, T6]
MEDIA = [SRTP, SRTCP, DTLS, RESPONSE, b"\x16", b"\x80\xff", SRTP + bytes(900), SRTP + bytes(1500)]
JUNK_PACKETS = [b"", JUNK, b"\x80", b"\0", b"\x80" * 2048, b"\x80" * 2049, b"\x80" * 9000]
FAR_SEQUENCES = [0, 1, 1000, 1024, 1025, 2100, 5000, 2**64 - 1]
KEYS = {key.secret: key for key in (CURRENT, COMING, RETIRED, STRANGE, UNKNOWN)}


@dataclass(frozen=True, slots=True)
class Up:
    packets: list[tuple[bytes, Client, int]]


@dataclass(frozen=True, slots=True)
class Down:
    datagrams: list[tuple[Endpoint, bytes]]


@dataclass(frozen=True, slots=True)
class Sweep:
    pass


@dataclass(frozen=True, slots=True)
class Greet:
    pass


@dataclass(frozen=True, slots=True)
class Step:
    """What happens, and how long after the step before."""

    after_ms: int
    what: Up | Down | Sweep | Greet


# Small enough that every one of them is met within a few dozen steps.
LIMITS = Limits(
    flows=3,
    peers=2,
    unconfirmed_after_ms=500,
    idle_after_ms=3000,
    session_flows=2,
    source_admissions_per_s=4,
    source_admissions_burst=3,
    admissions_per_s=20,
    admissions_burst=6,
    recreations_per_s=5,
    recreations_burst=4,
    sibling_lookups_per_s=5,
    sibling_lookups_burst=6,
    token_lifetime_s=100,
    clock_skew_s=10,
    hello_every_ms=1000,
    peer_forget_ms=2500,
)


@cache
def sound_check(session: int, to: Endpoint, secret: bytes, minted_at_s: int, cluster: int, fault: str) -> bytes:
    admission = ticket(session, to, key=KEYS[secret], minted_at_s=minted_at_s, cluster=cluster)
    if fault == "edited token":
        return check(admission, username=f"{admission.ufrag[:-4]}AAAA:abcd")
    if fault == "malformed token":
        return check(admission, username=f"{admission.ufrag[:-1]}:abcd")
    if fault == "wrong password":
        return check(admission, password="guessed")
    if fault == "no integrity":
        sound = check(admission)
        return cut_before(sound, integrity_offset(sound))
    return check(admission)


good_checks = st.builds(
    sound_check,
    st.integers(0, 3),
    st.sampled_from(TRANSCEIVERS),
    st.just(CURRENT.secret),
    st.just(UNIX_S),
    st.just(CLUSTER),
    st.just(""),
)
any_checks = st.builds(
    sound_check,
    st.integers(0, 3),
    st.sampled_from([*TRANSCEIVERS, OUTSIDE, ("10.0.0.1", 9), ("fd00::1", 9)]),
    st.sampled_from(list(KEYS)),
    st.sampled_from([UNIX_S - 101, UNIX_S - 100, UNIX_S, UNIX_S + 10, UNIX_S + 40]),
    st.sampled_from([CLUSTER, CLUSTER, CLUSTER + 1]),
    st.sampled_from(["", "", "edited token", "malformed token", "wrong password", "no integrity"]),
)
edited_checks = st.builds(flipped, good_checks, st.integers(0, 99), st.integers(1, 255))
cut_checks = st.builds(lambda packet, length: packet[:length], good_checks, st.integers(0, 120))
media = st.integers(0, len(MEDIA) - 1).map(MEDIA.__getitem__)
junk = st.integers(0, len(JUNK_PACKETS) - 1).map(JUNK_PACKETS.__getitem__) | st.binary(max_size=60)
packets = st.one_of(good_checks, good_checks, media, media, any_checks, edited_checks, cut_checks, junk)
clients = st.sampled_from(CLIENTS * 4 + UNUSABLE_CLIENTS)
arrivals = st.tuples(packets, clients, st.integers(0, len(LOCALS) - 1))
ups = st.builds(Up, st.lists(arrivals, max_size=12) | st.lists(arrivals, min_size=60, max_size=90))

epochs = st.sampled_from([PEER_EPOCH_US] * 6 + [PEER_EPOCH_US - 1, PEER_EPOCH_US + 1, 0])


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    """Mostly a payload for a client that may have a flow."""
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return Frame(draw(clients), b"", draw(st.booleans()))
    return Frame(draw(clients if kind == 1 else st.sampled_from(CLIENTS)), draw(media))


@st.composite
def sequences(draw: st.DrawFn) -> int:
    """Mostly near each other, so that most are new and some are late or replayed."""
    return draw(st.integers(1, 400)) if draw(st.integers(0, 9)) else draw(st.sampled_from(FAR_SEQUENCES))


@st.composite
def good_bundles(draw: st.DrawFn) -> bytes:
    listed = draw(st.lists(frames(), min_size=1, max_size=6) | st.lists(frames(), min_size=64, max_size=64))
    return down(*listed, sequence=draw(sequences()), via=draw(st.integers(0, len(LOCALS))), epoch_us=draw(epochs))


@st.composite
def any_bundles(draw: st.DrawFn) -> bytes:
    return down(
        *draw(st.lists(frames(), min_size=1, max_size=2)),
        sequence=draw(sequences()),
        via=draw(st.integers(0, 0xFFFF)),
        key=draw(st.sampled_from(list(KEYS.values()))),
        epoch_us=draw(epochs),
        kind=draw(st.sampled_from([Kind.BUNDLE_DOWN, Kind.BUNDLE_UP])),
    )


hellos = st.builds(hello_down, sequences(), st.integers(0, 3))
padded = st.builds(lambda datagram, length: datagram + bytes(length), good_bundles(), st.integers(1, 40))
edited = st.builds(
    lambda datagram, offset, flip: flipped(datagram, offset % len(datagram), flip),
    good_bundles() | hellos,
    st.integers(0, 119),
    st.integers(1, 255),
)
malformed = st.builds(
    lambda datagram, offset, value: resigned(datagram[:offset] + bytes([value]) + datagram[offset + 1 :]),
    good_bundles() | hellos,
    st.sampled_from([2, 3, 6, 7, *range(16, 24), *range(32, 48)]),
    st.integers(0, 255),
)
cut = st.builds(lambda datagram, length: datagram[:length], good_bundles() | hellos, st.integers(0, 120))
sound = st.one_of(good_bundles(), good_bundles(), good_bundles(), hellos, padded)
datagrams = st.one_of(sound, sound, any_bundles(), edited, malformed, cut)
senders = st.sampled_from(TRANSCEIVERS * 4 + [("10.9.9.9", 1), OUTSIDE])
downs = st.builds(Down, st.lists(st.tuples(senders, datagrams), min_size=1, max_size=5))

whats: st.SearchStrategy[Up | Down | Sweep | Greet] = st.one_of(
    ups, ups, downs, downs, st.just(Sweep()), st.just(Greet())
)
pauses = st.sampled_from([0, 0, 0, 1, 20, 100, 250, 501, 1000, 2499, 2500, 3001, 20_000])
steps = st.builds(Step, pauses, whats)


@st.composite
def answered_checks(draw: st.DrawFn) -> list[Step]:
    """A check and an answer to it, which chance alone would seldom bring together."""
    client, transceiver = draw(st.sampled_from(CLIENTS)), draw(st.sampled_from(TRANSCEIVERS))
    packet = sound_check(draw(st.integers(0, 3)), transceiver, CURRENT.secret, UNIX_S, CLUSTER, "")
    answer = down(Frame(client, draw(media)), sequence=draw(sequences()))
    return [Step(draw(pauses), Up([(packet, client, 0)])), Step(draw(pauses), Down([(transceiver, answer)]))]


calls = st.lists(st.one_of(steps.map(lambda step: [step]), answered_checks()), max_size=20).map(
    lambda parts: [step for part in parts for step in part]
)
