"""Messages between processes: JSON with descriptors, borders kept, and what is no message refused."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest

from fastrelay.errors import PeerError
from fastrelay.io.channel import DESCRIPTORS_MAX, MESSAGE_BYTES_MAX, Channel


@pytest.fixture
def ends() -> Iterator[tuple[Channel, Channel]]:
    ours, theirs = Channel.pair()
    with ours, theirs:
        yield ours, theirs


def test_messages_keep_their_borders(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    for number in range(3):
        assert ours.send({"number": number})
    received = [theirs.receive(timeout_s=1.0) for _ in range(3)]
    assert [message.body for message in received if message] == [{"number": number} for number in range(3)]


def test_descriptors_arrive_open_and_are_not_inherited(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    reading, writing = os.pipe()
    assert ours.send({"pipe": True}, [reading])
    os.close(reading)
    message = theirs.receive(timeout_s=1.0)
    assert message is not None
    (arrived,) = message.descriptors
    assert not os.get_inheritable(arrived)
    os.write(writing, b"through")
    os.close(writing)
    assert os.read(arrived, 16) == b"through"
    message.close()
    assert message.descriptors == []


def test_silence_is_a_timeout_and_an_end_is_none(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    with pytest.raises(TimeoutError):
        theirs.receive()
    with pytest.raises(TimeoutError):
        theirs.receive(timeout_s=0.01)
    ours.close()
    assert theirs.receive(timeout_s=1.0) is None
    assert not theirs.send({"to": "nobody"})


def test_one_who_does_not_read_makes_nobody_wait_for_ever(ends: tuple[Channel, Channel]) -> None:
    ours, _ = ends
    for _ in range(10_000):
        if not ours.send({"filler": "x" * 60_000}, timeout_s=0.01):
            return
    raise AssertionError("the channel has no bound")


@pytest.mark.parametrize(
    ("body", "count"),
    [({"long": "x" * MESSAGE_BYTES_MAX}, 0), ({}, DESCRIPTORS_MAX + 1)],
    ids=["too long", "too many descriptors"],
)
def test_what_is_too_large_is_not_sent(body: dict[str, str], count: int, ends: tuple[Channel, Channel]) -> None:
    with pytest.raises(ValueError, match="too large"):
        ends[0].send(body, [0] * count)


@pytest.mark.parametrize(
    "text", [b"{", b"[]", b"\xff", b'"x"', b"3"], ids=["cut", "list", "not text", "string", "number"]
)
def test_what_is_no_message_is_refused_and_its_descriptors_closed(text: bytes) -> None:
    raw, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with raw, Channel(end) as channel:
        socket.send_fds(raw, [text], [raw.fileno()])
        with pytest.raises(PeerError):
            channel.receive(timeout_s=1.0)


def test_longer_message_than_a_channel_sends_is_refused() -> None:
    raw, end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with raw, Channel(end) as channel:
        raw.send(b'{"x":"' + b"x" * MESSAGE_BYTES_MAX + b'"}')
        with pytest.raises(PeerError, match="cut short"):
            channel.receive(timeout_s=1.0)


def test_what_waits_is_taken_at_once_and_nonsense_is_told(ends: tuple[Channel, Channel]) -> None:
    ours, theirs = ends
    nonsense: list[PeerError] = []
    assert list(theirs.waiting(8, nonsense.append)) == []
    for number in range(3):
        ours.send({"number": number})
    assert [message.body for message in theirs.waiting(2, nonsense.append) if message] == [{"number": 0}, {"number": 1}]
    os.write(ours.fileno(), b"[]")
    ours.send({"number": 3})
    ours.close()
    found = list(theirs.waiting(8, nonsense.append))
    assert [None if message is None else message.body for message in found] == [{"number": 2}, {"number": 3}, None]
    assert len(nonsense) == 1
