"""multipart/form-data, as clients send an offer with it (RFC 7578, RFC 2046 §5.1).

Lives here: taking a body apart that is whole and bounded already. Must not live here: what the fields mean.

aiohttp's reader works on a stream and asserts what a client may break; on a body in memory the format is a few lines.
"""

from __future__ import annotations

import re
from email.message import Message
from typing import Final

from fastrelay.errors import WireError

PARTS_MAX: Final = 16
HEAD_BYTES_MAX: Final = 2048
_BOUNDARY = re.compile(r"[A-Za-z0-9'()+_,\-./:=? ]{1,70}")
_NAME = re.compile(
    rb'content-disposition:[ \t]*form-data[ \t]*;(?:[^\r\n]*;)?[ \t]*name="?([^"\r\n;]{1,64})"?', re.IGNORECASE
)


def parse_form(body: bytes, content_type: str) -> dict[str, bytes]:
    """The fields by name. WireError for what is no form, with the place."""
    delimiter = b"\r\n--" + _boundary(content_type).encode()
    pieces = (b"\r\n" + body).split(delimiter, PARTS_MAX + 1)
    if len(pieces) < 2:
        raise WireError("form", 0, "the boundary that Content-Type names is not in the body")
    fields: dict[str, bytes] = {}
    offset = len(pieces[0]) + len(delimiter) - 2
    for piece in pieces[1:]:
        if piece.startswith(b"--"):
            return fields
        name, content = _parse_part(piece, offset)
        if name in fields:
            raise WireError("form", offset, f"the field {name} is there twice")
        fields[name] = content
        offset += len(piece) + len(delimiter)
    raise WireError("form", len(body), f"the form does not end, or has more than {PARTS_MAX} fields")


def _boundary(content_type: str) -> str:
    message = Message()
    message["Content-Type"] = content_type if content_type.isascii() else ""
    boundary = message.get_boundary()
    if boundary is None or not _BOUNDARY.fullmatch(boundary) or boundary.endswith(" "):
        raise WireError("Content-Type", 0, "names no boundary that a form can have")
    return boundary


def _parse_part(piece: bytes, offset: int) -> tuple[str, bytes]:
    head, blank, content = piece.partition(b"\r\n\r\n")
    if not blank or len(head) > HEAD_BYTES_MAX:
        raise WireError("form", offset, "a field has no head, or one that is too long")
    found = next((match for line in head.split(b"\r\n") if (match := _NAME.match(line))), None)
    if found is None:
        raise WireError("form", offset, "a field has no name")
    return found[1].decode("utf-8", "replace"), content
