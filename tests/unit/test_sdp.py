"""SDP is taken apart strictly, within bounds, and the error names the line."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.errors import WireError
from fastrelay.wire import sdp
from fastrelay.wire.sdp import SdpError, build_lines, is_token, parse_description, parse_fragment
from tests import offers

HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\n"


def described(line: str) -> str:
    return HEAD + AUDIO + line + "\r\n"


@pytest.mark.parametrize("name", offers.NAMES)
def test_real_offer_keeps_every_attribute_in_its_section(name: str) -> None:
    text = offers.load(name)
    description = parse_description(text)
    attributes = [each for level in description.levels for found in level.attributes.values() for each in found]
    in_order = sorted(attributes, key=lambda each: each.line.number)
    assert [each.line.text for each in in_order] == [line for line in text.splitlines() if line.startswith("a=")]
    assert [section.line.text for section in description.media] == [
        line for line in text.splitlines() if line.startswith("m=")
    ]


@pytest.mark.parametrize("end", ["\r\n", "\n"], ids=["CRLF", "LF"])
def test_both_line_ends_are_read(end: str) -> None:
    text = (HEAD + AUDIO + "a=mid:0").replace("\r\n", end)
    assert parse_description(text).media[0].find("mid") is not None
    assert parse_description(text + end + end).media[0].find("mid") is not None


def test_lines_count_from_one_and_offsets_from_zero() -> None:
    with pytest.raises(SdpError) as caught:
        parse_description(HEAD + AUDIO + "a=\r\n")
    assert caught.value.line is not None
    assert caught.value.line.number == 6
    assert caught.value.offset == len(HEAD + AUDIO)
    assert str(caught.value).startswith("line 6 (a=): ")


def test_error_is_the_peers_bytes() -> None:
    with pytest.raises(WireError) as caught:
        parse_description("")
    assert caught.value.field == "sdp"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        pytest.param("", "empty", id="nothing"),
        pytest.param("\r\n\r\n", "empty", id="blank lines"),
        pytest.param("v=0 o=- 1 2 IN IP4 127.0.0.1 s=-", "line ends lost", id="line ends lost"),
        pytest.param("o=-\r\nv=0\r\n", "begins with v=0", id="no version first"),
        pytest.param("v=1\r\no=-\r\ns=-\r\n", "begins with v=0", id="another version"),
        pytest.param("v=0\r\ns=-\r\nt=0 0\r\n", "o= line", id="no origin"),
        pytest.param("v=0\r\no=- 1\r\nt=0 0\r\n", "s= line", id="no name"),
        pytest.param(described("mid:0"), "not a line of SDP", id="no letter"),
        pytest.param(described("A=mid:0"), "not a line of SDP", id="capital letter"),
        pytest.param(described("a="), "not a line of SDP", id="empty value"),
        pytest.param(HEAD + AUDIO + "\r\na=mid:0\r\n", "not a line of SDP", id="blank line inside"),
        pytest.param(described("a=mid:0\rx"), "control characters", id="lone CR"),
        pytest.param(described("a=mid:\x000"), "control characters", id="NUL"),
        pytest.param(described("a=:0"), "not of the form a=NAME", id="attribute without a name"),
        pytest.param(described("a=m id"), "not of the form a=NAME", id="space in a name"),
        pytest.param(described("m=audio"), "not of the form m=", id="section without anything"),
        pytest.param(described("m=audio 9 UDP/TLS/RTP/SAVPF"), "not of the form m=", id="section without format"),
        pytest.param(described("m=audio 70000 RTP/AVP 0"), "no port 70000", id="port beyond"),
        pytest.param(described("m=audio ٩ RTP/AVP 0"), "not of the form m=", id="digits of another script"),
        pytest.param(described("m=audio 9 RTP/AVP é"), "cannot have", id="format that is no token"),
        pytest.param(described("m=audio 9 RTP/AVP \u2003"), "1 to 128 formats", id="nothing but space"),
    ],
)
def test_what_is_no_sdp_is_refused(text: str, problem: str) -> None:
    with pytest.raises(SdpError, match=problem):
        parse_description(text)


@pytest.mark.parametrize(
    ("inside", "beyond", "problem"),
    [
        pytest.param(
            HEAD + "a=x\r\n" * (sdp.LINES_MAX - 4), HEAD + "a=x\r\n" * (sdp.LINES_MAX - 3), "lines", id="lines"
        ),
        pytest.param(
            HEAD + "a=" + "x" * (sdp.LINE_LENGTH_MAX - 2),
            HEAD + "a=" + "x" * (sdp.LINE_LENGTH_MAX - 1),
            "characters",
            id="line",
        ),
        pytest.param(HEAD + AUDIO * sdp.SECTIONS_MAX, HEAD + AUDIO * (sdp.SECTIONS_MAX + 1), "sections", id="sections"),
        pytest.param(
            HEAD + "m=audio 9 RTP/AVP" + " 0" * sdp.FORMATS_MAX,
            HEAD + "m=audio 9 RTP/AVP" + " 0" * (sdp.FORMATS_MAX + 1),
            "formats",
            id="formats",
        ),
        pytest.param(
            (HEAD + ("a=" + "x" * 1000 + "\r\n") * 66)[: sdp.TEXT_BYTES_MAX],
            (HEAD + ("a=" + "x" * 1000 + "\r\n") * 66)[: sdp.TEXT_BYTES_MAX + 1],
            "bytes",
            id="bytes",
        ),
        pytest.param(
            HEAD + ("a=x:" + "é" * 2000 + "\r\n") * 16,
            HEAD + ("a=x:" + "é" * 2000 + "\r\n") * 17,
            "bytes",
            id="bytes of wide characters",
        ),
    ],
)
def test_every_bound_holds_at_its_edge(inside: str, beyond: str, problem: str) -> None:
    parse_description(inside)
    with pytest.raises(SdpError, match=problem):
        parse_description(beyond)


def test_repeated_attribute_must_say_the_same() -> None:
    level = parse_description(described("a=mid:0\r\na=mid:0")).media[0]
    assert level.find("mid") is not None
    level = parse_description(described("a=mid:0\r\na=mid:1")).media[0]
    with pytest.raises(SdpError, match="twice, first in line 6") as caught:
        level.find("mid")
    assert caught.value.line is not None
    assert caught.value.line.number == 7


def test_error_shows_neither_password_nor_control_characters_nor_the_whole_line() -> None:
    long = SdpError("x", sdp.Line(1, 0, "a=" + "x" * 500))
    assert len(str(long)) < 120
    assert "hunter2" not in str(SdpError("x", sdp.Line(1, 0, "a=ice-pwd:hunter2")))
    assert "\x1b" not in str(SdpError("x", sdp.Line(1, 0, "a=\x1b[2J")))


def test_fragment_holds_attributes_and_sections_alone() -> None:
    fragment = parse_fragment("a=ice-ufrag:abcd\r\nm=audio 9 RTP/AVP 0\r\na=mid:0\r\n")
    assert fragment.session.find("ice-ufrag") is not None
    assert len(fragment.media) == 1
    for text, problem in [("", "empty"), (HEAD, "a= and m= lines alone"), ("a=mid:0\r\nc=IN IP4 1.2.3.4", "alone")]:
        with pytest.raises(SdpError, match=problem):
            parse_fragment(text)


@pytest.mark.parametrize("line", ["", "a", "a=", "a=x\r\nb=y", "a=x\n", "A=x", "a=\x00"])
def test_builder_refuses_what_would_not_be_one_line(line: str) -> None:
    with pytest.raises(ValueError, match="not a line of SDP"):
        build_lines([line])


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1))
    )
)
def test_what_is_built_is_read_again(pairs: list[tuple[str, str]]) -> None:
    lines = [f"a={name}:{value}" for name, value in pairs]
    description = parse_description(HEAD + AUDIO + build_lines(lines))
    found = [each for name in "abc" for each in description.media[0].all(name)]
    assert sorted(each.line.text for each in found) == sorted(lines)


@pytest.mark.parametrize(("text", "is_one"), [("0", True), ("a-b.c", True), ("", False), ("a b", False), ("é", False)])
def test_token_has_the_characters_of_a_token(text: str, is_one: bool) -> None:
    assert is_token(text, 8) is is_one


def test_token_has_a_length() -> None:
    assert is_token("x" * 8, 8)
    assert not is_token("x" * 9, 8)
