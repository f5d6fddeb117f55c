"""SDP as text with a shape: lines, attributes, media sections (RFC 8866).

Lives here: taking a description or a fragment of one apart, strictly and within bounds; the error that names the line;
putting lines together. Must not live here: what an attribute means, what is accepted of an offer (negotiation).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from fastrelay.errors import WireError

TEXT_BYTES_MAX: Final = 65_536
"""A browser's offer with audio, video and data has 2,000 to 9,000."""
LINES_MAX: Final = 2_048
LINE_LENGTH_MAX: Final = 2_048
SECTIONS_MAX: Final = 32
FORMATS_MAX: Final = 128
SHOWN_LENGTH_MAX: Final = 80
"""Characters of a line that an error repeats."""

_LINE = re.compile(r"[a-z]=[^\x00-\x1f\x7f]+")
_ATTRIBUTE = re.compile(r"a=([!#-'*+\-.0-9A-Z^-~]+)(?::(.*))?", re.DOTALL)
_MEDIA = re.compile(r"m=([a-z0-9\-]{1,32}) ([0-9]{1,5})(?:/[0-9]{1,5})? ([A-Za-z0-9/]{1,64}) (.+)")
_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")
_PORT_MAX: Final = 65_535
_SECRET: Final = "a=ice-pwd:"


@dataclass(frozen=True, slots=True)
class Line:
    """One line as it came, without its end."""

    number: int
    """From 1."""
    offset: int
    """Of its first character."""
    text: str

    @property
    def shown(self) -> str:
        """What may be repeated to people: cut, without anything a terminal would act on, and without the password."""
        if self.text.startswith(_SECRET):
            return f"{_SECRET}…"
        text = self.text if len(self.text) <= SHOWN_LENGTH_MAX else f"{self.text[:SHOWN_LENGTH_MAX]}…"
        return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


class SdpError(WireError):
    """A description that cannot be used. `line` is None when the fault is not in any one line."""

    def __init__(self, problem: str, line: Line | None = None) -> None:
        super().__init__("sdp", 0 if line is None else line.offset, problem)
        self.line = line

    def __str__(self) -> str:
        return self.problem if self.line is None else f"line {self.line.number} ({self.line.shown}): {self.problem}"


@dataclass(frozen=True, slots=True)
class Attribute:
    """An `a=` line. `value` is empty where the attribute has none."""

    name: str
    value: str
    line: Line


@dataclass(slots=True)
class Level:
    """The attributes of the session, or of one media section, by name and in order."""

    attributes: dict[str, list[Attribute]] = field(default_factory=dict)

    def add(self, attribute: Attribute) -> None:
        """Keep an attribute; the order of those with one name is the order they came in."""
        self.attributes.setdefault(attribute.name, []).append(attribute)

    def all(self, name: str) -> list[Attribute]:
        """Every attribute of this name."""
        return self.attributes.get(name, [])

    def find(self, name: str) -> Attribute | None:
        """The attribute of this name, None without one. SdpError when it is there twice and says two things."""
        found = self.all(name)
        for other in found[1:]:
            if other.value != found[0].value:
                raise SdpError(f"a={name} is there twice, first in line {found[0].line.number}", other.line)
        return found[0] if found else None


@dataclass(slots=True)
class Media(Level):
    """A section: its `m=` line, and the attributes below it."""

    line: Line = field(kw_only=True)
    kind: str = field(kw_only=True)
    port: int = field(kw_only=True)
    protocol: str = field(kw_only=True)
    formats: tuple[str, ...] = field(kw_only=True)


@dataclass(slots=True)
class Description:
    """A whole description: session level, then sections in order."""

    session: Level = field(default_factory=Level)
    media: list[Media] = field(default_factory=list)

    @property
    def levels(self) -> list[Level]:
        """The session's level and every section's."""
        return [self.session, *self.media]


def parse_description(text: str) -> Description:
    """Take an offer or an answer apart. SdpError for what is no SDP, or larger than any client's."""
    lines = list(_lines(text))
    if not lines:
        raise SdpError("the description is empty")
    if len(lines) == 1:
        raise SdpError("this is one line; were the line ends lost on the way? (curl keeps them with --data-binary)")
    if lines[0].text != "v=0":
        raise SdpError("a description begins with v=0", lines[0])
    for name, line in zip("os", lines[1:3], strict=False):  # RFC 8866 §5: in this order
        if not line.text.startswith(f"{name}="):
            raise SdpError(f"here a description has its {name}= line", line)
    return _gather(lines)


def parse_fragment(text: str) -> Description:
    """Take an SDP fragment (RFC 8840 §9) apart: attributes and sections, and no other lines before them."""
    lines = list(_lines(text))
    if not lines:
        raise SdpError("the fragment is empty")
    for line in lines:
        if line.text[0] not in "am":
            raise SdpError("a fragment has a= and m= lines alone", line)
    return _gather(lines)


def build_lines(lines: Iterable[str]) -> str:
    """Join lines as SDP wants them. ValueError for one that would be taken for two, or for none."""
    joined = []
    for line in lines:
        if not _LINE.fullmatch(line):
            raise ValueError(f"{line!r} is not a line of SDP")
        joined.append(f"{line}\r\n")
    return "".join(joined)


def is_token(text: str, length_max: int) -> bool:
    """Whether this is a token of RFC 8866 §9 with at most so many characters."""
    return len(text) <= length_max and _TOKEN.fullmatch(text) is not None


def _lines(text: str) -> Iterator[Line]:
    # Characters first: encoding is not free, and each is at least one byte.
    if len(text) > TEXT_BYTES_MAX or len(text.encode("utf-8", "replace")) > TEXT_BYTES_MAX:
        raise SdpError(f"longer than {TEXT_BYTES_MAX} bytes")
    if text.count("\n") > LINES_MAX:
        raise SdpError(f"more than {LINES_MAX} lines")
    offset = 0
    pieces = text.split("\n")
    while pieces and not pieces[-1].strip("\r"):  # what stands after the last line's end
        pieces.pop()
    for number, piece in enumerate(pieces, 1):
        line = Line(number, offset, piece.removesuffix("\r"))
        offset += len(piece) + 1
        if len(line.text) > LINE_LENGTH_MAX:
            raise SdpError(f"longer than {LINE_LENGTH_MAX} characters", line)
        if not _LINE.fullmatch(line.text):
            raise SdpError("not a line of SDP, which is a letter, '=', and text without control characters", line)
        yield line


def _gather(lines: list[Line]) -> Description:
    description = Description()
    level = description.session
    for line in lines:
        if line.text[0] == "m":
            if len(description.media) >= SECTIONS_MAX:
                raise SdpError(f"more than {SECTIONS_MAX} sections", line)
            level = _parse_media(line)
            description.media.append(level)
        elif line.text[0] == "a":
            level.add(_parse_attribute(line))
    return description


def _parse_media(line: Line) -> Media:
    """RFC 8866 §5.14."""
    match = _MEDIA.fullmatch(line.text)
    if match is None:
        raise SdpError("not of the form m=MEDIA PORT PROTOCOL FORMAT…", line)
    kind, port, protocol, formats = match.groups()
    if int(port) > _PORT_MAX:
        raise SdpError(f"there is no port {port}", line)
    names = tuple(formats.split())
    if not 0 < len(names) <= FORMATS_MAX:
        raise SdpError(f"a section has 1 to {FORMATS_MAX} formats", line)
    for name in names:
        if not is_token(name, 64):
            raise SdpError("the name of a format has characters that it cannot have", line)
    return Media(line=line, kind=kind, port=int(port), protocol=protocol, formats=names)


def _parse_attribute(line: Line) -> Attribute:
    """RFC 8866 §5.13. Space at the end is dropped: Pion writes some."""
    match = _ATTRIBUTE.fullmatch(line.text)
    if match is None:
        raise SdpError("not of the form a=NAME or a=NAME:VALUE", line)
    return Attribute(match[1], (match[2] or "").strip(" "), line)
