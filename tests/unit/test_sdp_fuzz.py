"""Whatever is done to an offer, it is answered or refused with the line: nothing else comes out, and soon."""

import time
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastrelay.transceiver.negotiation import build_answer, choose_role, read_fragment, read_offer
from fastrelay.wire import sdp
from fastrelay.wire.sdp import SdpError, parse_description
from tests import offers
from tests.unit.negotiated import answering

FLIPS = (0x01, 0x20)
"""The first makes another character of the same kind, the second another case, or a control character of a digit."""
HEAD = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
ALL_LINES = sorted({line for name in offers.NAMES for line in offers.load(name).splitlines()})


def is_refusal(error: SdpError) -> Literal[False]:
    """Never an offer; but it must say what is wrong, and where."""
    assert error.problem
    assert error.line is None or f"line {error.line.number} (" in str(error)
    return False


def survives(text: str) -> bool:
    """Whether the offer is answered. The answer must be SDP in which no line of the client's has become two of ours."""
    try:
        offer = read_offer(text)
    except SdpError as refused:
        return is_refusal(refused)
    answer = build_answer(offer, answering(role=choose_role(offer.setup, "passive")))
    described = parse_description(answer)
    assert len(described.media) == len(offer.mids)
    assert all(section.find("ice-ufrag") is not None for section in described.media)
    return True


@pytest.mark.parametrize("name", offers.NAMES)
def test_offer_without_any_one_line(name: str) -> None:
    lines = offers.load(name).splitlines(keepends=True)
    answered = [survives("".join(lines[:index] + lines[index + 1 :])) for index in range(len(lines))]
    assert any(answered)
    assert not all(answered)


@pytest.mark.parametrize("name", offers.NAMES)
def test_offer_with_any_line_twice(name: str) -> None:
    lines = offers.load(name).splitlines(keepends=True)
    answered = [survives("".join([*lines[:index], lines[index], *lines[index:]])) for index in range(len(lines))]
    assert any(answered)


@pytest.mark.parametrize("name", offers.NAMES)
def test_offer_cut_anywhere(name: str) -> None:
    text = offers.load(name)
    assert not survives(text[:100])
    for length in range(len(text)):
        survives(text[:length])
    assert survives(text)


@pytest.mark.parametrize("name", offers.NAMES)
def test_offer_with_any_line_cut(name: str) -> None:
    lines = offers.load(name).splitlines(keepends=True)
    for index, line in enumerate(lines):
        for kept in (1, 2, len(line) // 2, len(line) - 3):
            survives("".join([*lines[:index], line[:kept] + "\r\n", *lines[index + 1 :]]))


@pytest.mark.parametrize("name", offers.NAMES)
@pytest.mark.parametrize("flip", FLIPS, ids=["bit 0", "bit 5"])
def test_offer_with_any_byte_flipped(name: str, flip: int) -> None:
    content = offers.load(name).encode()
    for index, byte in enumerate(content):
        survives((content[:index] + bytes([byte ^ flip]) + content[index + 1 :]).decode("latin-1"))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(ALL_LINES), max_size=60), st.sampled_from(offers.NAMES))
def test_lines_of_all_offers_shuffled(lines: list[str], name: str) -> None:
    survives("\r\n".join([HEAD.rstrip(), *lines]))
    survives(offers.load(name) + "\r\n".join(lines))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=400))
def test_any_text(text: str) -> None:
    survives(text)
    survives(HEAD + text)
    survives(offers.load("chrome156") + "a=" + text)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*ALL_LINES, "a=ice-pwd:" + "x" * 22, "a=end-of-candidates"]), max_size=20))
def test_any_fragment(lines: list[str]) -> None:
    try:
        read_fragment("\r\n".join(lines))
    except SdpError as refused:
        is_refusal(refused)


AUDIO = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(HEAD + AUDIO + "a=rtpmap:111 opus/48000/2\r\n" * 2000, id="rtpmap without end"),
        pytest.param(HEAD + AUDIO + ("a=fmtp:111 " + ";" * 2000 + "\r\n") * 32, id="parameters without end"),
        pytest.param(HEAD + AUDIO + ("a=fmtp:111 " + "stereo=1;" * 220 + "\r\n") * 32, id="the same parameter"),
        pytest.param(HEAD + ("a=group:BUNDLE" + " 0" * 1000 + "\r\n") * 32 + AUDIO, id="groups without end"),
        pytest.param(HEAD + AUDIO + ("a=fingerprint:sha-256 " + "AA:" * 600 + "\r\n") * 32, id="endless digest"),
        pytest.param(HEAD + AUDIO + ("a=rtcp-fb:" + " " * 2000 + "\r\n") * 32, id="nothing but space"),
        pytest.param(HEAD + ("m=audio 9 UDP/TLS/RTP/SAVPF" + " 1" * 128 + "\r\n") * 32, id="sections of formats"),
        pytest.param("\n" * sdp.TEXT_BYTES_MAX, id="line ends alone"),
        pytest.param("x" * 10_000_000, id="ten megabytes"),
    ],
)
def test_worst_text_is_read_soon(text: str) -> None:
    before_s = time.process_time()
    survives(text)
    assert time.process_time() - before_s < 0.25
