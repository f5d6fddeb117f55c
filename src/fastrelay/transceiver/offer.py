"""A client's offer: what of it this end can use, or the line that is in the way.

Lives here: reading. JSEP is RFC 8829, bundling RFC 9143, ICE in SDP RFC 8839, DTLS RFC 8842, data channels RFC 8841,
Opus RFC 7587. Must not live here: the text's shape (wire.sdp), what is answered (negotiation).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Literal, TypeAlias

from fastrelay.wire.sdp import Attribute, Description, Level, Line, Media, SdpError, is_token, parse_description

MID_LENGTH_MAX: Final = 64
FINGERPRINTS_MAX: Final = 8
DEFAULT_SCTP_PORT: Final = 5000
DEFAULT_MESSAGE_BYTES: Final = 65_536
"""What a peer takes that does not say (RFC 8841 §6)."""
UNLIMITED_MESSAGE_BYTES: Final = 2**32
SAMPLES_PER_S: Final = 48_000
UFRAG_LENGTH_MIN: Final = 4
PASSWORD_LENGTH_MIN: Final = 22
ICE_LENGTH_MAX: Final = 256
PAYLOAD_TYPE_MAX: Final = 127
PORT_MAX: Final = 65_535

_AUDIO_PROTOCOLS: Final = frozenset({"UDP/TLS/RTP/SAVPF", "UDP/TLS/RTP/SAVP", "TCP/TLS/RTP/SAVPF", "RTP/SAVPF"})
_DATA_PROTOCOLS: Final = frozenset({"UDP/DTLS/SCTP", "TCP/DTLS/SCTP"})
_DATA_FORMAT: Final = "webrtc-datachannel"
_HASH_BYTES: Final = {"sha-256": 32, "sha-384": 48, "sha-512": 64}
_ICE_TEXT = re.compile(r"[A-Za-z0-9+/]+")
_FINGERPRINT = re.compile(r"([A-Za-z0-9\-]{1,16}) +([0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){0,127})")
_RTPMAP = re.compile(r"([0-9]{1,3}) +([A-Za-z0-9_.\-]{1,32})/([0-9]{1,6})(?:/([0-9]{1,2}))?")
_NUMBER = re.compile(r"[0-9]{1,19}")
_OPUS_NUMBERS: Final = frozenset(
    {"stereo", "useinbandfec", "usedtx", "cbr", "minptime", "maxplaybackrate", "maxaveragebitrate"}
)

Setup: TypeAlias = Literal["actpass", "active", "passive"]
_SETUPS: Final[dict[str, Setup]] = {"actpass": "actpass", "active": "active", "passive": "passive"}


class Direction(StrEnum):
    """Where audio goes, seen from whoever writes it."""

    SENDRECV = "sendrecv"
    SENDONLY = "sendonly"
    RECVONLY = "recvonly"
    INACTIVE = "inactive"

    @property
    def mirrored(self) -> Direction:
        """The same, seen from the other end."""
        return {Direction.SENDONLY: Direction.RECVONLY, Direction.RECVONLY: Direction.SENDONLY}.get(self, self)

    @property
    def is_sending(self) -> bool:
        return self in (Direction.SENDRECV, Direction.SENDONLY)

    @property
    def is_receiving(self) -> bool:
        return self in (Direction.SENDRECV, Direction.RECVONLY)


@dataclass(frozen=True, slots=True)
class OpusWishes:
    """How the client would like to be sent Opus (RFC 7587 §6.1); the defaults are the RFC's."""

    is_stereo: bool = False
    uses_inband_fec: bool = False
    uses_dtx: bool = False
    is_constant_bitrate: bool = False
    min_ptime_ms: int = 3
    playback_rate_max: int = SAMPLES_PER_S
    average_bitrate_max: int | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """The section that is accepted for audio."""

    index: int
    mid: str
    protocol: str
    payload_type: int
    opus: OpusWishes
    direction: Direction
    """The client's."""
    has_nack: bool
    """The client can send again what it is told was lost."""


@dataclass(frozen=True, slots=True)
class Data:
    """The section that is accepted for data channels."""

    index: int
    mid: str
    protocol: str
    sctp_port: int
    max_message_size: int
    """Bytes of the largest message that the client takes."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A section that is answered with port 0."""

    index: int
    mid: str
    kind: str
    protocol: str
    format: str
    """The first that it offers: one has to be named (RFC 3264 §6)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a client offers, as far as it is used here."""

    audio: Audio
    data: Data | None
    rejected: tuple[Rejected, ...]
    bundle: tuple[str, ...]
    """Accepted mids in the order of the offer's group; empty where the offer has none."""
    ice_ufrag: str
    ice_pwd: str = field(repr=False)
    fingerprints: tuple[tuple[str, str], ...]
    """Hash and digest, (`sha-256`, `AA:BB:…`): any of them may be the certificate's."""
    setup: Setup

    @property
    def mids(self) -> tuple[str, ...]:
        """The mid of every section, in order; empty for a section without one."""
        sections: list[Audio | Data | Rejected] = [self.audio, *self.rejected]
        if self.data is not None:
            sections.append(self.data)
        return tuple(each.mid for each in sorted(sections, key=lambda each: each.index))


def read_offer(text: str) -> Offer:
    """Read an offer. SdpError, naming the line where there is one, for what cannot be answered."""
    description = parse_description(text)
    mids = _read_mids(description)
    audio = _find_audio(description, mids)
    group = _find_group(description, mids, audio)
    data = _find_data(description, mids, audio, group)
    accepted = [audio.index] if data is None else [audio.index, data.index]
    bundle = tuple(mid for mid in group if any(mids[index] == mid for index in accepted))
    # RFC 9143 §7.1.3: the first bundled section that is accepted holds what all of them share.
    tagged = mids.index(bundle[0]) if bundle else audio.index
    first, *others = (description.media[index] for index in sorted(accepted, key=lambda index: index != tagged))
    levels: list[Level] = [first, description.session, *others]
    _refuse_lite(description)
    return Offer(
        audio=audio,
        data=data,
        rejected=_reject_others(description, mids, accepted),
        bundle=bundle,
        ice_ufrag=read_ice_text(_required(levels, "ice-ufrag", first), UFRAG_LENGTH_MIN),
        ice_pwd=read_ice_text(_required(levels, "ice-pwd", first), PASSWORD_LENGTH_MIN),
        fingerprints=_read_fingerprints(levels, first),
        setup=_read_setup(_required(levels, "setup", first)),
    )


def read_ice_text(attribute: Attribute, length_min: int) -> str:
    """A ufrag or a password (RFC 8839 §5.4)."""
    if not length_min <= len(attribute.value) <= ICE_LENGTH_MAX or not _ICE_TEXT.fullmatch(attribute.value):
        raise SdpError(f"not {length_min} to {ICE_LENGTH_MAX} letters, digits, '+' and '/'", attribute.line)
    return attribute.value


def read_mid(section: Media) -> str:
    """The section's name (RFC 5888 §4); empty where it has none."""
    attribute = section.find("mid")
    if attribute is None:
        return ""
    if not is_token(attribute.value, MID_LENGTH_MAX):
        raise SdpError(f"a mid is a token of 1 to {MID_LENGTH_MAX} characters", attribute.line)
    return attribute.value


def _read_mids(description: Description) -> list[str]:
    mids: list[str] = []
    for section in description.media:
        mid = read_mid(section)
        if mid and mid in mids:
            raise SdpError(f"two sections have the mid {mid}", section.line)
        mids.append(mid)
    return mids


def _find_audio(description: Description, mids: list[str]) -> Audio:
    """The first section that offers Opus over DTLS-SRTP, as every client with a microphone does."""
    sections = [section for section in description.media if section.kind == "audio"]
    if not sections:
        raise SdpError("there is no audio section (m=audio) in the offer")
    for section in sections:
        payload_type = _find_opus(section)
        if section.protocol in _AUDIO_PROTOCOLS and not _is_gone(section) and payload_type is not None:
            break
    else:
        raise SdpError("no audio section offers Opus (opus/48000/2) over UDP/TLS/RTP/SAVPF", sections[0].line)
    if section.find("rtcp-mux") is None:
        raise SdpError("this section lacks a=rtcp-mux: RTP and RTCP share one port here", section.line)
    index = next(index for index, each in enumerate(description.media) if each is section)
    return Audio(
        index=index,
        mid=mids[index],
        protocol=section.protocol,
        payload_type=payload_type,
        opus=_read_wishes(section, payload_type),
        direction=_read_direction(section, description.session),
        has_nack=any(
            each.value.split() in ([str(payload_type), "nack"], ["*", "nack"]) for each in section.all("rtcp-fb")
        ),
    )


def _is_gone(section: Media) -> bool:
    """Port 0 means rejected, unless the section shares another's port (RFC 9143 §6)."""
    return section.port == 0 and section.find("bundle-only") is None


def _find_opus(section: Media) -> int | None:
    """The payload type that stands for Opus, the first that the section prefers."""
    found: dict[str, int] = {}
    for attribute in section.all("rtpmap"):
        match = _RTPMAP.fullmatch(attribute.value)
        if match is None:
            raise SdpError("not of the form a=rtpmap:NUMBER NAME/RATE", attribute.line)
        number, name, rate, channels = match.groups()
        if int(number) > PAYLOAD_TYPE_MAX:
            raise SdpError(f"a payload type is 0 to {PAYLOAD_TYPE_MAX}", attribute.line)
        if name.lower() == "opus" and int(rate) == SAMPLES_PER_S and channels == "2":  # RFC 7587 §7: always so
            found[number] = int(number)
    return next((found[each] for each in section.formats if each in found), None)


def _read_wishes(section: Media, payload_type: int) -> OpusWishes:
    parameters: dict[str, str] = {}
    numbers: dict[str, int] = {}
    for attribute in section.all("fmtp"):
        number, _, text = attribute.value.partition(" ")
        if number != str(payload_type):
            continue
        for each in text.split(";"):
            name, _, value = each.strip().partition("=")
            parameters[name.lower()] = value
        for name in _OPUS_NUMBERS & parameters.keys():
            if not _NUMBER.fullmatch(parameters[name]):
                raise SdpError(f"{name} is not a number", attribute.line)
            numbers[name] = int(parameters[name])
    return OpusWishes(
        is_stereo=numbers.get("stereo") == 1,
        uses_inband_fec=numbers.get("useinbandfec") == 1,
        uses_dtx=numbers.get("usedtx") == 1,
        is_constant_bitrate=numbers.get("cbr") == 1,
        min_ptime_ms=numbers.get("minptime", OpusWishes().min_ptime_ms),
        playback_rate_max=numbers.get("maxplaybackrate", SAMPLES_PER_S),
        average_bitrate_max=numbers.get("maxaveragebitrate"),
    )


def _read_direction(section: Media, session: Level) -> Direction:
    for level in (section, session):
        found = [each for each in Direction if level.find(each.value) is not None]
        if len(found) > 1:
            raise SdpError(f"says both a={found[0].value} and a={found[1].value}", _line_of(level, found[1].value))
        if found:
            return found[0]
    return Direction.SENDRECV  # RFC 8866 §6.7


def _find_group(description: Description, mids: list[str], audio: Audio) -> tuple[str, ...]:
    """The BUNDLE group that audio is in, empty without one (RFC 9143 §7.2)."""
    for attribute in description.session.all("group"):
        semantics, *members = attribute.value.split(" ")
        if semantics != "BUNDLE":
            continue
        if len(set(members)) != len(members):
            raise SdpError("the group names a section twice", attribute.line)
        for member in members:
            if not member or member not in mids:
                raise SdpError(f"the group names {member or 'nothing'}, and no section has that mid", attribute.line)
        if audio.mid in members:
            return tuple(members)
    return ()


def _find_data(description: Description, mids: list[str], audio: Audio, group: tuple[str, ...]) -> Data | None:
    """The first section for data channels that shares audio's transport: there is but one."""
    for index, section in enumerate(description.media):
        is_ours = section.kind == "application" and section.protocol in _DATA_PROTOCOLS
        if not is_ours or section.formats[0] != _DATA_FORMAT or _is_gone(section) or mids[index] not in group:
            continue
        size = _read_number(section, "max-message-size", 2**63, DEFAULT_MESSAGE_BYTES)
        return Data(
            index=index,
            mid=mids[index],
            protocol=section.protocol,
            sctp_port=_read_number(section, "sctp-port", PORT_MAX, DEFAULT_SCTP_PORT) or DEFAULT_SCTP_PORT,
            max_message_size=min(size, UNLIMITED_MESSAGE_BYTES) or UNLIMITED_MESSAGE_BYTES,  # RFC 8841 §6: 0 is any
        )
    return None


def _read_number(section: Media, name: str, maximum: int, default: int) -> int:
    attribute = section.find(name)
    if attribute is None:
        return default
    if not _NUMBER.fullmatch(attribute.value) or int(attribute.value) > maximum:
        raise SdpError(f"{name} is not a number up to {maximum}", attribute.line)
    return int(attribute.value)


def _reject_others(description: Description, mids: list[str], accepted: list[int]) -> tuple[Rejected, ...]:
    return tuple(
        Rejected(index, mids[index], section.kind, section.protocol, section.formats[0])
        for index, section in enumerate(description.media)
        if index not in accepted
    )


def _refuse_lite(description: Description) -> None:
    attribute = description.session.find("ice-lite")
    if attribute is not None:
        raise SdpError("two ice-lite ends never find each other: the client must be a full agent", attribute.line)


def _required(levels: Iterable[Level], name: str, section: Media) -> Attribute:
    """An attribute of the transport. A section's own comes before the session's (RFC 8839 §5.4, RFC 8842 §5)."""
    for level in levels:
        attribute = level.find(name)
        if attribute is not None:
            return attribute
    raise SdpError(f"neither this section nor the session has a={name}", section.line)


def _read_fingerprints(levels: Iterable[Level], section: Media) -> tuple[tuple[str, str], ...]:
    """RFC 8122 §5. Hashes that are unknown or broken are passed over, if another is there."""
    found = next((found for level in levels if (found := level.all("fingerprint"))), [])
    if not found:
        raise SdpError(
            "neither this section nor the session has a=fingerprint, which names the certificate", section.line
        )
    if len(found) > FINGERPRINTS_MAX:
        raise SdpError(f"more than {FINGERPRINTS_MAX} fingerprints", found[FINGERPRINTS_MAX].line)
    known = []
    for attribute in found:
        match = _FINGERPRINT.fullmatch(attribute.value)
        if match is None:
            raise SdpError("not of the form a=fingerprint:HASH AA:BB:…", attribute.line)
        algorithm, digest = match[1].lower(), match[2].upper()
        if algorithm in _HASH_BYTES:
            if digest.count(":") + 1 != _HASH_BYTES[algorithm]:
                raise SdpError(f"{algorithm} has {_HASH_BYTES[algorithm]} bytes", attribute.line)
            known.append((algorithm, digest))
    if not known:
        raise SdpError(f"none of the hashes accepted here: {', '.join(_HASH_BYTES)}", found[0].line)
    return tuple(known)


def _read_setup(attribute: Attribute) -> Setup:
    if attribute.value not in _SETUPS:
        raise SdpError(f"an offer's setup is {', '.join(_SETUPS)}", attribute.line)
    return _SETUPS[attribute.value]


def _line_of(level: Level, name: str) -> Line:
    return level.all(name)[0].line
