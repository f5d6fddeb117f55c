"""What an offer is answered with: one transport, audio in Opus, data channels; everything else is rejected.

Lives here: building answers and ICE restarts' fragments, reading clients' fragments (RFC 8840), who begins DTLS.
Must not live here: reading offers (offer), minting ufrags and passwords (routing).

An answer names relay addresses and nothing else. It needs no candidate of the client: an ICE-lite end waits for checks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, Literal, TypeAlias

from fastrelay.transceiver.offer import (
    PASSWORD_LENGTH_MIN,
    UFRAG_LENGTH_MIN,
    Audio,
    Data,
    Direction,
    Offer,
    OpusWishes,
    Rejected,
    Setup,
    read_ice_text,
    read_mid,
    read_offer,
)
from fastrelay.wire.sdp import SdpError, build_lines, parse_fragment

__all__ = [
    "Answering",
    "Audio",
    "Data",
    "Direction",
    "Fragment",
    "Offer",
    "OpusWishes",
    "Rejected",
    "Role",
    "SdpError",
    "build_answer",
    "build_fragment",
    "choose_role",
    "read_fragment",
    "read_offer",
]

MESSAGE_BYTES_MAX: Final = 262_144
"""The largest message that a client may send on a data channel."""
OUR_SCTP_PORT: Final = 5000
FRAGMENT_CANDIDATES_MAX: Final = 64
_HOST_PREFERENCE: Final = 126  # RFC 8445 §5.1.2.2
_STREAM: Final = "fastrelay"

Role: TypeAlias = Literal["active", "passive"]


@dataclass(frozen=True, slots=True)
class Answering:
    """What this end puts into an answer."""

    ufrag: str
    password: str = field(repr=False)
    addresses: Sequence[tuple[str, int]]
    """The relays', as clients reach them, the most liked first."""
    fingerprint: str
    """Of the certificate: SHA-256, `AA:BB:…`."""
    role: Role
    ssrc: int
    cname: str
    session_id: bytes


@dataclass(frozen=True, slots=True)
class Fragment:
    """What a client says later about its ICE session (RFC 8840)."""

    ufrag: str | None
    password: str | None = field(repr=False)
    mids: tuple[str, ...]
    candidates: tuple[str, ...]
    """As they came. An ICE-lite end has no use for them."""
    is_complete: bool
    """No more candidates will come."""


def choose_role(setup: Setup, preferred: Role) -> Role:
    """Who begins DTLS: `active` is this end. The client's word counts, where it has one (RFC 8842 §5.3)."""
    if setup == "actpass":
        return preferred
    return "passive" if setup == "active" else "active"


def build_answer(offer: Offer, answering: Answering) -> str:
    """Write the answer. ValueError when the role is not one that the offer allows, or there is no address."""
    if choose_role(offer.setup, answering.role) != answering.role:
        raise ValueError(f"the client's setup is {offer.setup}, which leaves no {answering.role} for this end")
    sections: list[Audio | Data | Rejected] = [offer.audio, *offer.rejected]
    if offer.data is not None:
        sections.append(offer.data)
    lines = list(_session_lines(offer, answering))
    for section in sorted(sections, key=lambda each: each.index):
        lines.extend(_section_lines(section, answering))
    return build_lines(lines)


def read_fragment(text: str) -> Fragment:
    """Read what a client trickles. SdpError for what is no fragment, and for a ufrag without its password."""
    description = parse_fragment(text)
    ufrags, passwords = (
        [each for level in description.levels if (each := level.find(name)) is not None]
        for name in ("ice-ufrag", "ice-pwd")
    )
    candidates = [each for level in description.levels for each in level.all("candidate")]
    if len(candidates) > FRAGMENT_CANDIDATES_MAX:
        raise SdpError(f"more than {FRAGMENT_CANDIDATES_MAX} candidates", candidates[FRAGMENT_CANDIDATES_MAX].line)
    for found in (ufrags, passwords):
        for other in found[1:]:
            if other.value != found[0].value:
                raise SdpError("sections differ in this: there is but one transport", other.line)
    if bool(ufrags) != bool(passwords):
        raise SdpError("a=ice-ufrag and a=ice-pwd come together", (ufrags or passwords)[0].line)
    return Fragment(
        ufrag=read_ice_text(ufrags[0], UFRAG_LENGTH_MIN) if ufrags else None,
        password=read_ice_text(passwords[0], PASSWORD_LENGTH_MIN) if passwords else None,
        mids=tuple(mid for section in description.media if (mid := read_mid(section))),
        candidates=tuple(each.value for each in candidates),
        is_complete=any(level.find("end-of-candidates") is not None for level in description.levels),
    )


def build_fragment(answering: Answering, mids: Sequence[str] = ("0",)) -> str:
    """Write this end's part of an ICE restart (RFC 9725 §4.3.3). `mids` are those that share the transport."""
    lines = ["a=ice-lite", "a=ice-options:trickle"]
    if mids:
        lines.append(f"a=group:BUNDLE {' '.join(mids)}")
    # RFC 8840 §9: a section here only carries the mid; its protocol and format say nothing.
    lines += ["m=audio 9 UDP/TLS/RTP/SAVPF 0", f"a=mid:{mids[0] if mids else '0'}"]
    lines += [*_credential_lines(answering), *_candidate_lines(answering)]
    return build_lines(lines)


def _session_lines(offer: Offer, answering: Answering) -> Iterator[str]:
    number = int.from_bytes(answering.session_id, "big") >> 1  # RFC 8829 §5.2.1: 63 bits
    yield "v=0"
    yield f"o=- {number} 2 IN IP4 127.0.0.1"
    yield "s=-"
    yield "t=0 0"
    yield "a=ice-lite"
    yield "a=ice-options:trickle"  # candidates may come later, and a restart may: RFC 9725 §4.3
    if offer.bundle:
        yield f"a=group:BUNDLE {' '.join(offer.bundle)}"
    yield "a=msid-semantic:WMS *"


def _section_lines(section: Audio | Data | Rejected, answering: Answering) -> Iterator[str]:
    ip, port = answering.addresses[0]
    if isinstance(section, Rejected):
        port = 0
        yield f"m={section.kind} 0 {section.protocol} {section.format}"
    elif isinstance(section, Data):
        yield f"m=application {port} {section.protocol} webrtc-datachannel"
    else:
        yield f"m=audio {port} {section.protocol} {section.payload_type}"
    yield f"c=IN IP{ip_address(ip).version} {ip}" if port else "c=IN IP4 0.0.0.0"
    if section.mid:
        yield f"a=mid:{section.mid}"
    # Rejected sections too: werift and GStreamer fail without.
    yield from _credential_lines(answering)
    yield f"a=fingerprint:sha-256 {answering.fingerprint}"
    yield f"a=setup:{answering.role}"
    if isinstance(section, Rejected):
        yield "a=inactive"
        return
    yield from _data_lines() if isinstance(section, Data) else _audio_lines(section, answering)
    yield from _candidate_lines(answering)


def _audio_lines(audio: Audio, answering: Answering) -> Iterator[str]:
    direction = audio.direction.mirrored
    yield f"a={direction.value}"
    yield "a=rtcp-mux"
    yield f"a=rtpmap:{audio.payload_type} opus/48000/2"
    yield f"a=fmtp:{audio.payload_type} minptime=10;useinbandfec=1"
    if audio.has_nack:
        yield f"a=rtcp-fb:{audio.payload_type} nack"
    yield "a=ptime:20"
    if direction.is_sending:
        yield f"a=msid:{_STREAM} audio"
        yield f"a=ssrc:{answering.ssrc} cname:{answering.cname}"


def _data_lines() -> Iterator[str]:
    yield f"a=sctp-port:{OUR_SCTP_PORT}"
    yield f"a=max-message-size:{MESSAGE_BYTES_MAX}"


def _credential_lines(answering: Answering) -> Iterator[str]:
    yield f"a=ice-ufrag:{answering.ufrag}"
    yield f"a=ice-pwd:{answering.password}"


def _candidate_lines(answering: Answering) -> Iterator[str]:
    """Every relay address as a host candidate (RFC 8839 §5.1), with the ufrag, for who mixes up ICE sessions."""
    for number, (ip, port) in enumerate(answering.addresses, 1):
        priority = (_HOST_PREFERENCE << 24) + ((65_536 - number) << 8) + 255
        yield f"a=candidate:{number} 1 udp {priority} {ip} {port} typ host generation 0 ufrag {answering.ufrag}"
    yield "a=end-of-candidates"
