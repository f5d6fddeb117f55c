"""A DTLS end and bytes that are not what they should be: nothing raises, and what can live on does."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastrelay.transceiver.dtls import DtlsEndpoint, DtlsRole, DtlsState
from tests import golden
from tests.unit.dtls_ends import Fate, Sent, Wire, connected, endpoint

CONNECTED, FAILED, HANDSHAKING = DtlsState.CONNECTED, DtlsState.FAILED, DtlsState.HANDSHAKING
ALERT = 21


def is_client_hello(payload: bytes) -> bool:
    return payload[0] == 22 and payload[13] == 1


def captured(name: str) -> list[bytes]:
    """The client's DTLS datagrams, up to what it sends after our answer."""
    return [one.payload for one in golden.load(name) if one.direction == "client" and one.kind == "dtls"]


def split_hello(name: str) -> list[bytes]:
    hello = [payload for payload in captured(name) if is_client_hello(payload)][:2]
    assert len(hello) == 2, "its ClientHello spans two datagrams"
    return hello


def flipped(position: int, at: int, flip: int) -> Fate:
    def fate(sent: Sent) -> list[bytes]:
        datagram = sent.datagram
        if sent.index != position or at >= len(datagram):
            return [datagram]
        return [datagram[:at] + bytes([datagram[at] ^ flip]) + datagram[at + 1 :]]

    return fate


def listening() -> DtlsEndpoint:
    end = endpoint(DtlsRole.PASSIVE)
    end.start(0.0)
    return end


@pytest.mark.parametrize("name", ["chromium156_dtls_client", "firefox153_dtls_client"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 0, 1), (1, 1, 0, 0)], ids=str)
def test_a_browsers_client_hello_in_two_datagrams_is_answered(name: str, order: tuple[int, ...]) -> None:
    hello = split_hello(name)
    end = listening()
    for index in order:
        end.handle(hello[index], 0.0)
    answer = end.take_outgoing()
    assert answer[0][13] == 2, "a ServerHello"
    assert end.state is HANDSHAKING


@pytest.mark.parametrize("name", ["gstreamer122_dtls_client", "pion3_dtls_client"])
def test_a_librarys_client_hello_is_answered(name: str) -> None:
    end = listening()
    for payload in filter(is_client_hello, captured(name)):
        end.handle(payload, 0.0)
    assert end.take_outgoing()[0][13] == 2


def test_half_a_client_hello_is_waited_for() -> None:
    end = listening()
    end.handle(split_hello("chromium156_dtls_client")[0], 0.0)
    assert end.take_outgoing() == []
    assert end.state is HANDSHAKING


@pytest.mark.parametrize("name", ["chromium156_dtls_client", "pion3_dtls_client"])
def test_a_client_hello_cut_at_any_length_does_no_harm(name: str) -> None:
    whole = next(payload for payload in captured(name) if is_client_hello(payload))
    for length in range(0, len(whole), 7):
        end = listening()
        end.handle(whole[:length], 0.0)
        assert end.state is HANDSHAKING, length


def test_any_byte_of_a_flight_flipped_never_raises_and_honest_ends_do_not_disagree() -> None:
    honest = connected().carried
    chance = random.Random(4)
    for position, datagram in enumerate(honest):
        for at in range(0, len(datagram), 9):
            flip = 1 << chance.randrange(8)
            wire = Wire()

            wire.fate = flipped(position, at, flip)
            wire.start()
            wire.run(until_s=10.0)
            if wire.passive.keys is not None and wire.active.keys is not None:
                assert wire.passive.keys.local == wire.active.keys.remote


@given(st.lists(st.binary(min_size=1, max_size=200), max_size=4), st.integers(20, 63))
def test_garbage_never_raises(datagrams: list[bytes], first: int) -> None:
    for role in DtlsRole:
        end = endpoint(role)
        end.start(0.0)
        for datagram in datagrams:
            end.handle(bytes([first]) + datagram[1:], 0.0)


def test_garbage_between_flights_is_dropped() -> None:
    wire = Wire()
    wire.fate = lambda sent: [b"\x16" + bytes(40), sent.datagram[:12], sent.datagram]
    wire.start()
    wire.settle()
    assert wire.is_up


def test_a_connected_end_drops_every_forged_record_and_goes_on() -> None:
    wire = connected()
    wire.active.send(b"an honest message")
    datagram = wire.active.take_outgoing()[0]
    for at in range(len(datagram)):
        forged = datagram[:at] + bytes([datagram[at] ^ 0x40]) + datagram[at + 1 :]
        wire.passive.handle(forged, 1.0)
        assert wire.passive.state is CONNECTED, at
    for length in range(len(datagram)):
        wire.passive.handle(datagram[:length], 1.0)
    assert wire.passive.take_received() == []
    wire.passive.handle(datagram, 1.0)
    assert wire.passive.take_received() == [b"an honest message"]


def test_a_connected_end_drops_a_repeated_record() -> None:
    wire = connected()
    wire.active.send(b"once")
    (datagram,) = wire.active.take_outgoing()
    wire.passive.handle(datagram, 1.0)
    wire.passive.handle(datagram, 1.0)
    assert wire.passive.take_received() == [b"once"]


@pytest.mark.parametrize("description", [0, 40, 80], ids=["close_notify", "handshake_failure", "internal_error"])
def test_a_connected_end_ignores_alerts_that_are_not_encrypted(description: int) -> None:
    wire = connected()
    alert = bytes([ALERT]) + b"\xfe\xfd" + bytes(2) + (99).to_bytes(6, "big") + b"\x00\x02" + bytes([2, description])
    wire.passive.handle(alert, 1.0)
    wire.active.handle(alert, 1.0)
    assert wire.is_up


def test_another_endpoints_failure_does_not_touch_this_one() -> None:
    wire = connected()
    for _ in range(5):
        other = endpoint(DtlsRole.ACTIVE)
        other.start(0.0)
        other.handle(bytes([ALERT]) + b"\xfe\xfd" + bytes(8) + b"\x00\x02\x02\x28", 0.0)
        assert other.state is FAILED
        wire.passive.handle(b"\x17" + bytes(30), 1.0)
        assert wire.is_up
    wire.active.send(b"still here")
    wire.settle()
    assert wire.passive.take_received() == [b"still here"]


def test_a_real_client_whose_second_flight_does_not_fit_ours_fails_without_raising() -> None:
    end = listening()
    for payload in captured("chromium156_dtls_client"):
        end.handle(payload, 0.0)
    assert end.state in (HANDSHAKING, FAILED)
    assert end.keys is None
