"""The trunk echo answers a caller as a transceiver does, and nobody who has not shown a valid check."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fastrelay.routing import Key, KeyRing, mint_token
from fastrelay.transceiver.echo import TrunkEcho
from fastrelay.wire.stun import build_check, read_response
from tests.live.ends import CallingClient, speech
from tests.pair.trunk_pair import TrunkPair


class EchoPair(TrunkPair):
    """The relay and an echo on the port."""

    def __enter__(self) -> Any:
        super().__enter__()
        self.echo = TrunkEcho(self.port, self.ring)
        return self

    def turn(self) -> None:
        self.loop.run(1)
        self.echo.turn()

    def connect(self, client: CallingClient) -> None:
        check = client.check()
        response = read_response(client.receive()[0], client.ticket.password)
        assert response.transaction_id == check[8:20]
        assert response.mapped_address == client.address


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1"])
def test_check_is_answered_with_the_callers_address_and_speech_comes_back(ip: str) -> None:
    with EchoPair(ip) as pair:
        client = pair.client(ip)
        pair.connect(client)
        for number in range(10):
            client.send(spoken := speech(number))
            assert client.receive() == (spoken, client.relay)
        assert pair.echo.counts.checks_answered == 1
        assert pair.echo.counts.frames_echoed == 10
        assert [path.client[:2] for path in pair.echo.clients] == [client.address]


def test_edited_check_of_a_known_client_is_refused() -> None:
    with EchoPair() as pair:
        client = pair.client()
        pair.connect(client)
        other = mint_token(KeyRing((Key(0, b"stranger" * 4, 0),)), to=pair.port.address, now_s=time.time())
        unknown = mint_token(KeyRing((Key(9, b"stranger" * 4, 0),)), to=pair.port.address, now_s=time.time())
        bad = [
            build_check(f"{client.ticket.ufrag}:abcd", "guess" * 5),
            build_check("short:abcd", client.ticket.password),
            b"\x00\x01" + bytes(30),
        ]
        pair.echo.turn()
        path = pair.echo.clients[0]
        for payload in [*bad, *(build_check(f"{each.ufrag}:abcd", each.password) for each in (other, unknown))]:
            assert pair.echo._answer(path, payload) is None
        assert pair.echo.counts.checks_refused == 5
        assert pair.echo.counts.checks_answered == 1


def test_client_without_a_check_is_not_echoed() -> None:
    with EchoPair() as pair:
        client = pair.client()
        pair.connect(client)
        # a restarted echo knows nobody, while the relay still has the flow
        pair.echo = TrunkEcho(pair.port, pair.ring)
        client.send(speech(1))
        pair.until(lambda: pair.echo.counts.frames_unvouched == 1, "the frame is counted")
        assert client.has_nothing()
        pair.connect(client)


def test_echo_hangs_up() -> None:
    with EchoPair() as pair:
        clients = [pair.client() for _ in range(3)]
        for client in clients:
            pair.connect(client)
        pair.echo.hang_up(pair.echo.clients[:1])
        pair.until(lambda: len(pair.loop.flows()) == 2, "one flow is closed")
        stops = iter([False, True])
        pair.echo.run(lambda: next(stops))
        pair.until(lambda: pair.loop.flows() == [], "the end of the echo closes the others")
        assert pair.echo.counts.closes_sent == 3


def test_rotated_ring_opens_new_tokens() -> None:
    with EchoPair() as pair:
        pair.ring = pair.ring.rotate(now_s=int(time.time()) - 10, delay_s=0)
        pair.loop.set_keys(pair.ring.entries())
        client = pair.client()
        client.check()
        pair.until(lambda: pair.at_port("TRUNK_UNKNOWN_KEY") > 0, "the echo has the old ring")
        pair.echo.set_ring(pair.ring)
        pair.connect(client)
