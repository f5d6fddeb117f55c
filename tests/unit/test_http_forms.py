"""A form is taken apart as browsers, curl and SDKs write it, and anything else is refused with the place."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.errors import WireError
from fastrelay.http.forms import HEAD_BYTES_MAX, PARTS_MAX, parse_form

TYPE = "multipart/form-data; boundary=xyz"
SDP = b"v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n--not the end\r\n"


def part(content: bytes, *head: bytes) -> bytes:
    return b"--xyz\r\n" + b"\r\n".join(head) + b"\r\n\r\n" + content + b"\r\n"


NAMED = b'Content-Disposition: form-data; name="sdp"'
WHOLE = (
    part(SDP, NAMED)
    + part(b"{}", b'content-disposition:form-data;name="session"', b"Content-Type: x/y")
    + b"--xyz--\r\n"
)


def test_fields_are_found_with_their_bytes_as_they_are() -> None:
    assert parse_form(WHOLE, TYPE) == {"sdp": SDP, "session": b"{}"}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(WHOLE, 'Multipart/Form-Data; charset=utf-8; Boundary="xyz"', id="boundary in quotes"),
        pytest.param(b"preamble\r\n" + WHOLE + b"epilogue --xyz", TYPE, id="text around it"),
        pytest.param(WHOLE.removesuffix(b"\r\n"), TYPE, id="no end of line at the end"),
        pytest.param(
            WHOLE.replace(NAMED, b'Content-Disposition: form-data; filename="a.sdp"; name=sdp'), TYPE, id="file"
        ),
    ],
)
def test_every_writers_form_is_read(body: bytes, content_type: str) -> None:
    assert parse_form(body, content_type) == {"sdp": SDP, "session": b"{}"}


@pytest.mark.parametrize(
    ("body", "content_type", "problem"),
    [
        (b"", TYPE, "boundary that Content-Type names is not in the body"),
        (WHOLE, "multipart/form-data; boundary=abc", "not in the body"),
        (WHOLE, "multipart/form-data", "names no boundary"),
        (WHOLE, "multipart/form-data; boundary=", "names no boundary"),
        (WHOLE, "multipart/form-data; boundary=" + "x" * 71, "names no boundary"),
        (WHOLE, 'multipart/form-data; boundary="a\\"b"', "names no boundary"),
        (WHOLE, "multipart/form-data; boundary=é", "names no boundary"),
        (part(SDP, NAMED), TYPE, "does not end"),
        (part(SDP, b"Content-Type: x/y") + b"--xyz--", TYPE, "no name"),
        (part(SDP, b"Content-Disposition: form-data") + b"--xyz--", TYPE, "no name"),
        (b"--xyz\r\nno head\r\n--xyz--", TYPE, "no head"),
        (part(SDP, NAMED, b"x" * HEAD_BYTES_MAX) + b"--xyz--", TYPE, "too long"),
        (part(SDP, NAMED) * 2 + b"--xyz--", TYPE, "sdp is there twice"),
        (
            b"".join(part(SDP, NAMED.replace(b"sdp", b"%d" % number)) for number in range(PARTS_MAX + 1)) + b"--xyz--",
            TYPE,
            "more than 16",
        ),
    ],
)
def test_what_is_no_form_is_refused(body: bytes, content_type: str, problem: str) -> None:
    with pytest.raises(WireError, match=problem):
        parse_form(body, content_type)


def test_form_cut_or_changed_anywhere_is_read_or_refused() -> None:
    def survives(body: bytes) -> None:
        try:
            parse_form(body, TYPE)
        except WireError as refused:
            # a place inside of what was sent
            if not 0 <= refused.offset <= len(body):
                raise

    for index in range(len(WHOLE)):
        survives(WHOLE[:index])
        for flip in (0x01, 0x20, 0x80):
            survives(WHOLE[:index] + bytes([WHOLE[index] ^ flip]) + WHOLE[index + 1 :])


@given(st.lists(st.sampled_from([b"--xyz", b"\r\n", b"--", NAMED, b"\r\n\r\n", b"x", b"\x00"]), max_size=30), st.text())
def test_any_form_is_read_or_refused(pieces: list[bytes], content_type: str) -> None:
    for named in (TYPE, content_type, f"multipart/form-data; boundary={content_type}"):
        try:
            found = parse_form(b"".join(pieces), named)
        except WireError:
            continue
        assert all(isinstance(content, bytes) for content in found.values())
