"""What a relay would do with one packet, and why: its own decision on an empty table, and the facts it rests on.

Lives here: asking the compiled core, and opening what the packet shows. Must not live here: reading the packet's fields
(wire.dissect), the decision itself (relay.dataplane), how the answer looks (cli.packet).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Final

from fastrelay._ext.relay_core import VERDICT_NAMES, RelayCore
from fastrelay.errors import TokenError
from fastrelay.observe.advice import advice_on
from fastrelay.observe.timeline import moment_text
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.dataplane.verdict import Verdict
from fastrelay.routing.keys import KeyRing
from fastrelay.routing.token import RouteToken, ice_password, open_sealed, parse_text
from fastrelay.wire.address import format_endpoint
from fastrelay.wire.demux import classify
from fastrelay.wire.dissect import Fields, dissect
from fastrelay.wire.stun import Check, integrity_matches, parse_check

Endpoint = tuple[str, int]
Network = IPv4Network | IPv6Network

NOW_MS: Final = 1_000_000
"""The data plane's own clock. Any moment does, on a table without a past."""
LOCALS: Final[tuple[Endpoint, ...]] = (("203.0.113.254", 3478), ("2001:db8:ffff::fe", 3478))
"""Addresses the asked relay listens on where none are given: of those set aside for documentation."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The relay that is asked, and when."""

    ring: KeyRing
    allowed: Sequence[Network]
    unix_s: int
    cluster: int = 0
    limits: Limits = field(default_factory=Limits)
    locals_: Sequence[Endpoint] = LOCALS


@dataclass(frozen=True, slots=True)
class Explanation:
    """The answer."""

    packet_class: str
    length: int
    fields: Fields
    token: Fields
    """What the route token says, and each test that it passes or fails. Empty when the packet shows none."""
    verdict: Verdict
    to: Endpoint | None
    """The transceiver it would be forwarded to."""
    datagram_bytes: int
    """Of the trunk datagram that would carry it; 0 when none would."""
    flows_after: int

    @property
    def is_forwarded(self) -> bool:
        """Whether it would reach a transceiver."""
        return self.to is not None

    @property
    def advice(self) -> str:
        """What an operator does about it."""
        return advice_on(self.verdict.name)


def explain(packet: bytes, source: Endpoint, circumstances: Circumstances, flow_to: Endpoint | None) -> Explanation:
    """Ask a relay whose table is empty, or holds one flow: from this source to the transceiver `flow_to`."""
    core = _core(circumstances)
    if flow_to is not None:
        _make_flow(core, packet, source, circumstances, flow_to)
    verdict, to, datagram = _ask(core, packet, source, circumstances.unix_s)
    check = parse_check(packet) if packet else None
    return Explanation(
        packet_class=classify(packet).name if packet else "nothing",
        length=len(packet),
        fields=dissect(packet),
        token=_token(packet, check, circumstances) if isinstance(check, Check) else [],
        verdict=verdict,
        to=to,
        datagram_bytes=len(datagram),
        flows_after=len(core.flows()),
    )


def _core(circumstances: Circumstances) -> RelayCore:
    limits = circumstances.limits
    small = Limits(flows=64, peers=8, token_lifetime_s=limits.token_lifetime_s, clock_skew_s=limits.clock_skew_s)
    entries = circumstances.ring.entries()
    return RelayCore(entries, circumstances.allowed, circumstances.cluster, circumstances.locals_, small, epoch_us=1)


def _make_flow(
    core: RelayCore, packet: bytes, source: Endpoint, circumstances: Circumstances, flow_to: Endpoint
) -> None:
    """A check that leads to that transceiver makes its flow itself, so that it is known by its own token after that."""
    _, to, _ = _ask(_core(circumstances), packet, source, circumstances.unix_s)
    if to == flow_to:
        _ask(core, packet, source, circumstances.unix_s)
    else:
        core.insert_flow(source, flow_to, now_ms=NOW_MS)


def _ask(core: RelayCore, packet: bytes, source: Endpoint, unix_s: int) -> tuple[Verdict, Endpoint | None, bytes]:
    (number,), datagrams = core.handle_up([(packet, (*source, 0), 0)], NOW_MS, unix_s)
    if not datagrams:
        return _verdict(number), None, b""
    ((ip, port), datagram) = datagrams[0]
    address = ip_address(ip)
    mapped = address.ipv4_mapped if address.version == 6 else None
    return _verdict(number), (str(mapped or address), port), datagram


def _verdict(number: int) -> Verdict:
    return Verdict[VERDICT_NAMES[number]]


def _token(packet: bytes, check: Check, circumstances: Circumstances) -> Fields:
    """Each fact until the first that cannot be known. The relay stops at the first that is wrong; people see all."""
    text = check.token.decode("latin-1")
    try:
        key_id = parse_text(text)[0] & 15
    except TokenError as error:
        return [("token", f"{text[:80]!r}: {error.reason.value}")]
    key = circumstances.ring.find(key_id)
    if key is None:
        return [("key", f"{key_id}, which is not in the key ring")]
    has_ended = not key.is_open(circumstances.unix_s)
    facts: Fields = [("key", f"{key_id} ({key.fingerprint})" + (", which has ended" if has_ended else ""))]
    try:
        token = open_sealed(text, key)
    except TokenError as error:
        return [*facts, ("seal", error.reason.value)]
    matches = integrity_matches(packet, check, ice_password(text, key))
    integrity = "matches the token's password" if matches else "does not match the token's password"
    return [*facts, *_claims(token, circumstances), ("integrity", integrity)]


def _claims(token: RouteToken, circumstances: Circumstances) -> Fields:
    limits = circumstances.limits
    age_s = circumstances.unix_s - token.minted_at_s
    minted = f"{moment_text(token.minted_at_s)}, {age_s} s ago"
    if age_s > limits.token_lifetime_s:
        minted += f", which is older than the token lifetime of {limits.token_lifetime_s} s"
    elif -age_s > limits.clock_skew_s:
        minted = f"{moment_text(token.minted_at_s)}, {-age_s} s ahead: beyond the clock skew of {limits.clock_skew_s} s"
    is_ours = token.cluster == circumstances.cluster
    cluster = f"{token.cluster}" if is_ours else f"{token.cluster}, and this relay is of {circumstances.cluster}"
    address = ip_address(token.transceiver[0])
    within = next((network for network in circumstances.allowed if address in network), None)
    allowed = f"within {within}" if within is not None else "outside the allowed networks"
    return [
        ("cluster", cluster),
        ("session", token.session_id.hex()),
        ("minted", minted),
        ("transceiver", f"{format_endpoint(*token.transceiver)}, {allowed}"),
    ]
