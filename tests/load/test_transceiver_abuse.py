"""Strangers, and clients of ours, do what they can to a transceiver beside live calls, and to its relay."""

from __future__ import annotations

import random
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial
from urllib.parse import urlsplit

import pytest

from bench.calls.caller import Caller
from tests.load.call_hall import Hall
from tests.load.lengths import IS_SOAK
from tests.load.talkers import PATIENCE_S, Heard

CALLS = 20
IDLE = 1000
SLOW = 200
ABUSE_S = 3.0 if IS_SOAK else 0.4
PAUSE_MS = 500
"""What a busy machine may make of it: on one that is not, no frame was 20 ms late."""
STRANGE_FIRST_BYTES = [
    pytest.param((0, 1), id="STUN"),
    pytest.param((20, 22, 23), id="DTLS"),
    pytest.param((128, 144, 200), id="RTP and RTCP"),
    pytest.param(tuple(range(256)), id="anything"),
]


@pytest.fixture
def callers(hall: Hall) -> Iterator[list[Caller]]:
    """Calls that are up, and listened to."""
    made = hall.talkers.call(CALLS)
    hall.talkers.listen(made)
    yield made
    hall.talkers.hang_up(made)


def undisturbed(what: str, heard: Heard) -> None:
    print(f"{what}: {heard}")
    assert (heard.lost, heard.silent) == (0, 0)
    assert heard.longest_gap_ms < PAUSE_MS


# --- HTTP


def connections(hall: Hall, count: int, undo: ExitStack) -> list[socket.socket]:
    parts = urlsplit(hall.transceiver.url)
    assert parts.hostname is not None
    assert parts.port is not None
    found = []
    for _ in range(count):
        found.append(undo.enter_context(socket.create_connection((parts.hostname, parts.port), PATIENCE_S)))
    return found


def trickle(slow: list[socket.socket]) -> None:
    """A header a moment, of a request that never ends."""
    for each in slow:
        each.sendall(b"POST /v1/realtime/calls HTTP/1.1\r\nHost: here\r\n")
    end_s = time.monotonic() + ABUSE_S
    while time.monotonic() < end_s:
        for each in slow:
            with suppress(BrokenPipeError, ConnectionResetError):  # given up: what else
                each.sendall(b"X: y\r\n")
        time.sleep(0.02)


def shout(loud: list[socket.socket]) -> set[bytes]:
    """A header that is far too long; what comes back."""
    answers = set()
    for each in loud:
        try:
            each.sendall(b"GET / HTTP/1.1\r\nX: " + b"x" * 200_000 + b"\r\n\r\n")
            answers.add(each.recv(64).partition(b" ")[2][:3])
        except (BrokenPipeError, ConnectionResetError):
            answers.add(b"")
    return answers


def test_connections_that_idle_trickle_and_shout_hold_up_no_frame(hall: Hall, callers: list[Caller]) -> None:
    talkers = hall.talkers
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with ExitStack() as undo:
        idle = talkers.meanwhile(partial(connections, hall, IDLE, undo))
        talkers.meanwhile(partial(trickle, idle[:SLOW]))
        assert talkers.meanwhile(partial(shout, idle[SLOW : SLOW + 50])) <= {b"400", b"431", b""}
        talkers.hang_up(talkers.call(3))
        undisturbed(f"{IDLE} connections, {SLOW} that trickle, 50 that shout", talkers.heard(callers))


# --- UDP


def flood(to: tuple[str, int], first_bytes: tuple[int, ...]) -> int:
    """Datagrams of noise from twenty addresses; how many."""
    dice = random.Random(4)
    sent = 0
    with ExitStack() as undo:
        strangers = [undo.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(20)]
        end_s = time.monotonic() + ABUSE_S
        while time.monotonic() < end_s:
            for stranger in strangers:
                stranger.sendto(bytes([dice.choice(first_bytes)]) + dice.randbytes(dice.randrange(1200)), to)
                sent += 1
            time.sleep(0.001)
    return sent


@pytest.mark.parametrize("first_bytes", STRANGE_FIRST_BYTES)
def test_flood_at_the_relay_is_not_felt(hall: Hall, callers: list[Caller], first_bytes: tuple[int, ...]) -> None:
    sent = hall.talkers.meanwhile(partial(flood, hall.relay.clients[0], first_bytes))
    undisturbed(f"{sent} strange datagrams at the relay", hall.talkers.heard(callers))


def test_forged_trunk_datagrams_are_not_felt(hall: Hall, callers: list[Caller]) -> None:
    for trunk in hall.transceiver.trunks:
        sent = hall.talkers.meanwhile(partial(flood, trunk, tuple(range(256))))
        undisturbed(f"{sent} forged datagrams at a worker's trunk", hall.talkers.heard(callers))


def test_noise_from_a_callers_own_address_harms_not_even_that_call(hall: Hall, callers: list[Caller]) -> None:
    """Its flow is known to the relay, so that all of it comes through to the engines."""
    dice = random.Random(5)
    end_s = time.monotonic() + ABUSE_S
    while time.monotonic() < end_s:
        for first in (0, 1, 22, 128, 200):
            callers[0].send(bytes([first]) + dice.randbytes(dice.randrange(1200)))
        hall.talkers.go_on(0.01)
    hall.talkers.go_on(0.3)
    undisturbed("noise from a caller's own address", hall.talkers.heard(callers))
