"""Everything forged, edited, cut, replayed or foreign: each a counted drop with its own reason, no output, no flow."""

import mmap
from base64 import b64encode
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from fastrelay._ext.relay_core import RelayCore, flow_page_bytes
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.routing.keys import Key
from fastrelay.routing.token import ice_password, parse_text
from fastrelay.wire.trunk import Client, Frame, Kind
from tests.dataplane.cores import Core
from tests.dataplane.packets import (
    ALICE,
    ALLOWED,
    BOB,
    CLUSTER,
    COMING,
    CURRENT,
    EPOCH_US,
    LIMITS,
    LOCALS,
    NOW_MS,
    OUTSIDE,
    PEER_EPOCH_US,
    RESPONSE,
    RETIRED,
    RING,
    SRTP,
    STRANGE,
    T1,
    T2,
    UNIX_S,
    UNKNOWN,
    Ticket,
    check,
    cut_before,
    down,
    flipped,
    hello_down,
    integrity_offset,
    resigned,
    ticket,
)

GOOD = ticket()
ELSEWHERE = [ip_network("172.16.0.0/12")]
LIFETIME_S, SKEW_S = LIMITS.token_lifetime_s, LIMITS.clock_skew_s


def assert_refused(core: Core, packet: bytes, verdict: str, *, client: Client = ALICE, unix_s: int = UNIX_S) -> None:
    """Dropped for this one reason, alone and behind a flow of the same client."""
    before, flows = core.counters(), core.flows()
    upward = core.up([(packet, client, 0)], unix_s=unix_s)
    assert upward.verdicts == [verdict]
    assert upward.datagrams == []
    assert core.flows() == flows
    after = core.counters()
    assert after.packets.pop(verdict) == before.packets.pop(verdict, 0) + 1
    assert after.bytes.pop(verdict) == before.bytes.pop(verdict, 0) + len(packet)
    assert (after.packets, after.bytes, after.events) == (before.packets, before.bytes, before.events)


def with_text(text: str) -> bytes:
    return check(GOOD, username=f"{text}:abcd")


def last_bit_spare(text: str) -> str:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


def sealed_for_port_zero() -> Ticket:
    """An authentic token that no minter writes: sealed by hand, because the library refuses to."""
    fields = CLUSTER.to_bytes(2, "big") + bytes(8) + UNIX_S.to_bytes(4, "big") + bytes(2) + bytes([10, 0, 0, 1])
    header = bytes([0x10 | CURRENT.id])
    text = b64encode(header + AESSIV(CURRENT.siv_key).encrypt(fields, [header])).decode().rstrip("=")
    return Ticket(text, ice_password(text, CURRENT))


TOKENS = [
    pytest.param(with_text(GOOD.ufrag[:-1]), "TOKEN_MALFORMED", id="cut by a character"),
    pytest.param(with_text(GOOD.ufrag + "A"), "TOKEN_MALFORMED", id="longer by a character"),
    pytest.param(with_text("abcd"), "TOKEN_MALFORMED", id="an ordinary ufrag"),
    pytest.param(with_text("-" + GOOD.ufrag[1:]), "TOKEN_MALFORMED", id="outside the alphabet"),
    pytest.param(with_text("é" + GOOD.ufrag[2:]), "TOKEN_MALFORMED", id="not ASCII"),
    pytest.param(with_text("I" + GOOD.ufrag[1:]), "TOKEN_MALFORMED", id="version 2"),
    pytest.param(with_text(last_bit_spare(GOOD.ufrag)), "TOKEN_MALFORMED", id="spare bit set"),
    pytest.param(check(sealed_for_port_zero()), "TOKEN_MALFORMED", id="authentic, for port 0"),
    pytest.param(check(ticket(key=UNKNOWN)), "TOKEN_UNKNOWN_KEY", id="key id not in the ring"),
    pytest.param(check(ticket(key=RETIRED)), "TOKEN_RETIRED_KEY", id="retired key"),
    pytest.param(check(ticket(key=STRANGE)), "TOKEN_FORGED", id="another secret under a known key id"),
    pytest.param(with_text("ES" + GOOD.ufrag[2:]), "TOKEN_FORGED", id="key id edited"),
    pytest.param(check(ticket(cluster=CLUSTER + 1)), "TOKEN_FOREIGN_CLUSTER", id="another cluster"),
    pytest.param(check(ticket(minted_at_s=UNIX_S - LIFETIME_S - 1)), "TOKEN_EXPIRED", id="a second too old"),
    pytest.param(check(ticket(minted_at_s=UNIX_S + SKEW_S + 1)), "TOKEN_NOT_YET", id="a second too new"),
    pytest.param(check(ticket(to=OUTSIDE)), "TOKEN_NOT_ALLOWED", id="outside the allowed networks"),
    pytest.param(check(ticket(to=("fe00::1", 1))), "TOKEN_NOT_ALLOWED", id="IPv6 outside the allowed networks"),
    pytest.param(check(ticket(to=OUTSIDE, cluster=9)), "TOKEN_FOREIGN_CLUSTER", id="cluster before networks"),
    pytest.param(check(ticket(to=OUTSIDE), password="x"), "TOKEN_NOT_ALLOWED", id="networks before integrity"),
]


@pytest.mark.parametrize(("packet", "verdict"), TOKENS)
def test_unusable_token_makes_no_flow(core: Core, packet: bytes, verdict: str) -> None:
    assert_refused(core, packet, verdict)


@pytest.mark.parametrize(("packet", "verdict"), TOKENS)
def test_unusable_token_moves_no_flow(core: Core, packet: bytes, verdict: str) -> None:
    core.up([(check(GOOD), ALICE, 0)])
    assert_refused(core, packet, verdict)


@pytest.mark.parametrize("minted_at_s", [UNIX_S - LIFETIME_S, UNIX_S, UNIX_S + SKEW_S], ids=["oldest", "now", "newest"])
def test_token_is_taken_to_the_second(core: Core, minted_at_s: int) -> None:
    assert core.up([(check(ticket(minted_at_s=minted_at_s)), ALICE, 0)]).verdicts == ["UP_ADMITTED"]


def test_retired_key_opened_until_its_last_second(core: Core) -> None:
    before = ticket(key=RETIRED, minted_at_s=UNIX_S - 10)
    assert core.up([(check(before), ALICE, 0)], unix_s=UNIX_S - 1).verdicts == ["UP_ADMITTED"]
    assert_refused(core, check(before), "TOKEN_RETIRED_KEY", client=BOB)


def test_coming_key_opens_before_it_mints(core: Core) -> None:
    assert core.up([(check(ticket(key=COMING)), ALICE, 0)]).verdicts == ["UP_ADMITTED"]


@pytest.mark.parametrize("offset", range(1, len(parse_text(GOOD.ufrag))))
def test_token_with_any_byte_edited_is_forged(core: Core, offset: int) -> None:
    text = b64encode(flipped(parse_text(GOOD.ufrag), offset)).decode().rstrip("=")
    assert_refused(core, check(Ticket(text, ice_password(text, CURRENT))), "TOKEN_FORGED")


SOUND = check(GOOD)
INTEGRITY = integrity_offset(SOUND)


CHECKS = [
    pytest.param(check(GOOD, password="another password......."), "STUN_BAD_INTEGRITY", id="another password"),
    pytest.param(check(GOOD, password=ticket(2).password), "STUN_BAD_INTEGRITY", id="password of another token"),
    pytest.param(flipped(SOUND, INTEGRITY + 4), "STUN_BAD_INTEGRITY", id="first digest byte"),
    pytest.param(flipped(SOUND, INTEGRITY + 23), "STUN_BAD_INTEGRITY", id="last digest byte"),
    pytest.param(flipped(SOUND, 8), "STUN_BAD_INTEGRITY", id="transaction id edited"),
    pytest.param(flipped(SOUND, INTEGRITY - 1), "STUN_BAD_INTEGRITY", id="last covered byte"),
    pytest.param(cut_before(SOUND, INTEGRITY), "STUN_NO_INTEGRITY", id="without MESSAGE-INTEGRITY"),
    pytest.param(flipped(SOUND, 4), "STUN_MALFORMED", id="magic cookie"),
    pytest.param(flipped(SOUND, 3, 4), "STUN_MALFORMED", id="length beyond the datagram"),
    pytest.param(SOUND + b"\0\0\0\0", "STUN_MALFORMED", id="bytes after the message"),
    pytest.param(flipped(SOUND, 23, 0x80), "STUN_MALFORMED", id="attribute beyond the message"),
    pytest.param(flipped(SOUND, 1, 0x10), "STUN_NOT_A_CHECK", id="Binding indication"),
    pytest.param(RESPONSE, "STUN_NOT_A_CHECK", id="Binding response"),
    pytest.param(check(GOOD, username=GOOD.ufrag), "STUN_NO_USERNAME", id="one part"),
    pytest.param(check(GOOD, username=f"{GOOD.ufrag}:"), "STUN_NO_USERNAME", id="no client part"),
    pytest.param(check(GOOD, username=":abcd"), "STUN_NO_USERNAME", id="no token part"),
    pytest.param(cut_before(SOUND, 20), "STUN_NO_USERNAME", id="no attributes"),
    pytest.param(b"\0", "STUN_MALFORMED", id="one byte"),
]


@pytest.mark.parametrize(("packet", "verdict"), CHECKS)
def test_unusable_check_makes_no_flow(core: Core, packet: bytes, verdict: str) -> None:
    assert_refused(core, packet, verdict)


def test_check_cut_at_any_length_makes_no_flow(core: Core) -> None:
    for length in range(1, len(SOUND)):
        assert core.up([(SOUND[:length], ALICE, 0)]).verdicts == ["STUN_MALFORMED"]
    assert core.flows() == []


def test_check_with_any_byte_edited_makes_no_flow(core: Core) -> None:
    """Only FINGERPRINT would stand after the digest, and nothing there is looked at."""
    for offset in range(INTEGRITY + 24):
        verdicts = core.up([(flipped(SOUND, offset), ALICE, 0)], NOW_MS + 100 * offset).verdicts
        assert verdicts[0] not in {"UP_ADMITTED", "UP_STUN"}, offset
    assert core.flows() == []


# --- the trunk -----------------------------------------------------------------------------------

FRAME = Frame(ALICE, SRTP)
BUNDLE = down(FRAME)


def with_key(key: Key) -> bytes:
    return down(FRAME, key=key)


def set_byte(datagram: bytes, offset: int, value: int) -> bytes:
    return datagram[:offset] + bytes([value]) + datagram[offset + 1 :]


TRUNK = [
    pytest.param(T1, b"", "TRUNK_TRUNCATED", id="empty"),
    pytest.param(T1, BUNDLE[:31], "TRUNK_TRUNCATED", id="within the header"),
    pytest.param(T1, BUNDLE[:39], "TRUNK_TRUNCATED", id="within a frame header"),
    pytest.param(T1, BUNDLE[:-1], "TRUNK_TRUNCATED", id="within the payload"),
    pytest.param(T1, set_byte(BUNDLE, 0, 0x22), "TRUNK_MALFORMED", id="version 2"),
    pytest.param(T1, set_byte(BUNDLE, 0, 0x15), "TRUNK_MALFORMED", id="kind 5"),
    pytest.param(OUTSIDE, BUNDLE, "TRUNK_SOURCE", id="outside the allowed networks"),
    pytest.param(OUTSIDE, flipped(BUNDLE, 24), "TRUNK_SOURCE", id="source before MAC"),
    pytest.param(T1, with_key(UNKNOWN), "TRUNK_UNKNOWN_KEY", id="key id not in the ring"),
    pytest.param(T1, with_key(RETIRED), "TRUNK_UNKNOWN_KEY", id="retired key"),
    pytest.param(T1, set_byte(BUNDLE, 1, 16), "TRUNK_UNKNOWN_KEY", id="key id beyond any ring"),
    pytest.param(T1, with_key(STRANGE), "TRUNK_BAD_MAC", id="another secret under a known key id"),
    pytest.param(T1, flipped(BUNDLE, 24), "TRUNK_BAD_MAC", id="MAC edited"),
    pytest.param(T1, flipped(BUNDLE, 36), "TRUNK_BAD_MAC", id="client address edited"),
    pytest.param(T1, down(FRAME, kind=Kind.BUNDLE_UP), "TRUNK_DIRECTION", id="bundle up"),
    pytest.param(T1, hello_down(kind=Kind.HELLO_UP), "TRUNK_DIRECTION", id="HELLO up"),
    pytest.param(T1, down(FRAME, sequence=0), "TRUNK_REPLAYED", id="sequence 0"),
    pytest.param(T1, resigned(set_byte(BUNDLE, 3, 0)), "TRUNK_MALFORMED", id="no frames"),
    pytest.param(T1, resigned(set_byte(BUNDLE, 3, 2)), "TRUNK_MALFORMED", id="fewer frames than counted"),
    pytest.param(T1, resigned(set_byte(BUNDLE, 3, 65)), "TRUNK_MALFORMED", id="65 frames"),
    pytest.param(T1, resigned(flipped(BUNDLE, 32, 0x10)), "TRUNK_MALFORMED", id="reserved bit"),
    pytest.param(T1, resigned(set_byte(hello_down(), 3, 1)), "TRUNK_MALFORMED", id="HELLO with a frame"),
    pytest.param(T1, resigned(set_byte(hello_down(), 7, 39)), "TRUNK_MALFORMED", id="short HELLO"),
]


@pytest.mark.parametrize(("source", "datagram", "verdict"), TRUNK)
def test_refused_trunk_datagram_does_nothing(
    core: Core, source: tuple[str, int], datagram: bytes, verdict: str
) -> None:
    core.up([(check(GOOD), ALICE, 0)])
    flows, events = core.flows(), core.counters().events
    downward = core.down([(source, datagram)])
    assert (downward.verdicts, downward.frame_verdicts, downward.sent) == ([verdict], [], [])
    assert core.flows() == flows
    assert core.counters().events == events
    assert core.counters().packets == {"UP_ADMITTED": 1, verdict: 1}


def test_known_transceiver_outside_a_narrower_list_is_refused() -> None:
    """The list may change while a relay runs, and the page that knows the transceiver outlives a restart."""
    page = mmap.mmap(-1, flow_page_bytes(LIMITS.flows))

    def start(allowed: Sequence[IPv4Network | IPv6Network]) -> RelayCore:
        return RelayCore(RING.entries(), allowed, CLUSTER, LOCALS, LIMITS, EPOCH_US, flow_page=page)

    relay = start(ALLOWED)
    assert Core(relay).down([(T1, down(FRAME, sequence=1))]).verdicts == ["TRUNK_BUNDLE"]
    relay.set_allowed(ELSEWHERE)
    assert Core(relay).down([(T1, down(FRAME, sequence=2))]).verdicts == ["TRUNK_SOURCE"]
    assert Core(start(ELSEWHERE)).down([(T1, down(FRAME, sequence=2))]).verdicts == ["TRUNK_SOURCE"]
    relay.set_allowed(ALLOWED)
    assert Core(relay).down([(T1, down(FRAME, sequence=2))]).verdicts == ["TRUNK_BUNDLE"]


def test_replayed_bundle_is_refused(core: Core) -> None:
    assert core.down([(T1, BUNDLE), (T1, BUNDLE)]).verdicts == ["TRUNK_BUNDLE", "TRUNK_REPLAYED"]
    assert core.down([(T1, down(FRAME, sequence=1025))]).verdicts == ["TRUNK_BUNDLE"]
    assert core.down([(T1, BUNDLE)]).verdicts == ["TRUNK_REPLAYED"]
    assert core.counters().packets["DOWN_FORWARDED"] == 1


def test_kinds_share_one_count(core: Core) -> None:
    assert core.down([(T1, hello_down(1)), (T1, BUNDLE)]).verdicts == ["TRUNK_HELLO", "TRUNK_REPLAYED"]


def test_refused_datagram_does_not_use_up_its_number(core: Core) -> None:
    assert core.down([(T1, flipped(BUNDLE, 24)), (T1, BUNDLE)]).verdicts == ["TRUNK_BAD_MAC", "TRUNK_BUNDLE"]


def test_malformed_datagram_uses_up_its_number(core: Core) -> None:
    """The window moves at step 7, before the contents are looked at."""
    malformed = resigned(set_byte(BUNDLE, 3, 0))
    assert core.down([(T1, malformed), (T1, BUNDLE)]).verdicts == ["TRUNK_MALFORMED", "TRUNK_REPLAYED"]


def test_older_epoch_is_refused_until_a_minute_of_silence(core: Core) -> None:
    earlier = down(FRAME, epoch_us=PEER_EPOCH_US - 1)
    assert core.down([(T1, BUNDLE)]).verdicts == ["TRUNK_BUNDLE"]
    assert core.down([(T1, earlier)], NOW_MS + 59_999).verdicts == ["TRUNK_REPLAYED"]
    assert core.down([(T1, earlier)], NOW_MS + 60_000).verdicts == ["TRUNK_BUNDLE"]


def test_newer_epoch_starts_its_own_count(core: Core) -> None:
    restarted = down(FRAME, epoch_us=PEER_EPOCH_US + 1)
    assert core.down([(T1, BUNDLE), (T1, restarted)]).verdicts == ["TRUNK_BUNDLE"] * 2
    assert core.down([(T1, down(FRAME, sequence=2))]).verdicts == ["TRUNK_REPLAYED"]


def test_sequence_zero_of_a_newer_epoch_changes_nothing(core: Core) -> None:
    zero = down(FRAME, sequence=0, epoch_us=PEER_EPOCH_US + 1)
    later = down(FRAME, sequence=2)
    assert core.down([(T1, BUNDLE), (T1, zero), (T1, later)]).verdicts == [
        "TRUNK_BUNDLE",
        "TRUNK_REPLAYED",
        "TRUNK_BUNDLE",
    ]


def test_transceivers_count_apart(core: Core) -> None:
    assert core.down([(T1, BUNDLE), (T2, down(Frame(BOB, SRTP)))]).verdicts == ["TRUNK_BUNDLE"] * 2


def test_every_refusing_verdict_of_admission_is_tried_here_or_in_the_cases() -> None:
    here = {str(case.values[1]) for case in TOKENS + CHECKS} | {str(case.values[2]) for case in TRUNK}
    in_cases = {"SOURCE_BUDGET", "ADMISSION_BUDGET", "SESSION_BUDGET", "TABLE_FULL", "PEERS_FULL", "TRUNK_PEERS_FULL"}
    accepted = {"TRUNK_BUNDLE", "TRUNK_HELLO"}
    named = {verdict.name for verdict in Verdict if verdict.name.startswith(("STUN_", "TOKEN_", "TRUNK_"))}
    assert named - accepted <= here | in_cases
