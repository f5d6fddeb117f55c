"""DATA_CHANNEL_OPEN as RFC 8832 lays it out, and as it must not be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.errors import WireError
from fastrelay.wire.dcep import LABEL_BYTES_MAX, Opening, build_content, build_opening, parse_content, parse_opening

CHROMIUM_OAI_EVENTS = bytes.fromhex("0300000000000000000a0000") + b"oai-events"
LABELS = st.text(max_size=64)


def test_open_message_of_a_browser_is_read() -> None:
    assert parse_opening(CHROMIUM_OAI_EVENTS) == Opening("oai-events")


@pytest.mark.parametrize(
    ("opening", "head"),
    [
        pytest.param(Opening("a"), "03 00 0000 00000000 0001 0000", id="reliable"),
        pytest.param(Opening("a", is_ordered=False), "03 80 0000 00000000 0001 0000", id="unordered"),
        pytest.param(Opening("a", max_retransmits=2), "03 01 0000 00000002 0001 0000", id="retransmissions"),
        pytest.param(Opening("a", max_lifetime_ms=500), "03 02 0000 000001f4 0001 0000", id="time"),
        pytest.param(Opening("a", is_ordered=False, max_retransmits=0), "03 81 0000 00000000 0001 0000", id="both"),
        pytest.param(Opening("ä", "p"), "03 00 0000 00000000 0002 0001", id="bytes, not characters"),
    ],
)
def test_kinds_of_channel_are_numbered_as_in_rfc_8832(opening: Opening, head: str) -> None:
    message = build_opening(opening)
    assert message[:12] == bytes.fromhex(head)
    assert parse_opening(message) == opening


@given(LABELS, LABELS, st.booleans(), st.integers(0, 2**32 - 1), st.sampled_from(["none", "retransmits", "lifetime"]))
def test_what_is_built_is_read_back(label: str, protocol: str, is_ordered: bool, limit: int, kind: str) -> None:
    opening = Opening(
        label,
        protocol,
        is_ordered,
        limit if kind == "retransmits" else None,
        limit if kind == "lifetime" else None,
    )
    assert parse_opening(build_opening(opening)) == opening


@pytest.mark.parametrize(
    ("message", "field"),
    [
        pytest.param(CHROMIUM_OAI_EVENTS + b"x", "DATA_CHANNEL_OPEN", id="junk behind"),
        pytest.param(b"\x03\x03" + CHROMIUM_OAI_EVENTS[2:], "channel type", id="unknown kind"),
        pytest.param(b"\x03\x40" + CHROMIUM_OAI_EVENTS[2:], "channel type", id="unknown flag"),
        pytest.param(CHROMIUM_OAI_EVENTS[:-1] + b"\xff", "label or protocol", id="not UTF-8"),
        pytest.param(
            build_opening(Opening("l" * (LABEL_BYTES_MAX + 1))), "label or protocol", id="label one byte too long"
        ),
        pytest.param(build_opening(Opening("", "p" * (LABEL_BYTES_MAX + 1))), "label or protocol", id="long protocol"),
    ],
)
def test_wrong_open_message_names_the_field(message: bytes, field: str) -> None:
    with pytest.raises(WireError) as caught:
        parse_opening(message)
    assert caught.value.field == field


@pytest.mark.parametrize("length", range(len(CHROMIUM_OAI_EVENTS)))
def test_open_message_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(WireError):
        parse_opening(CHROMIUM_OAI_EVENTS[:length])


def test_label_at_the_bound_is_read() -> None:
    assert parse_opening(build_opening(Opening("l" * LABEL_BYTES_MAX))).label == "l" * LABEL_BYTES_MAX


@pytest.mark.parametrize("content", ["text", "", "grüße", b"binary", b""], ids=repr)
def test_content_is_read_back_and_never_travels_as_nothing(content: str | bytes) -> None:
    protocol, data = build_content(content)
    assert data
    assert parse_content(protocol, data) == content


@pytest.mark.parametrize(
    ("protocol", "data"),
    [
        pytest.param(51, b"\xff", id="not UTF-8"),
        pytest.param(52, b"part", id="withdrawn"),
        pytest.param(0, b"x", id="0"),
    ],
)
def test_content_that_says_nothing_to_us_is_none(protocol: int, data: bytes) -> None:
    assert parse_content(protocol, data) is None
