"""The emulated network does to datagrams what it is told, and the same again for the same seed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.emulator.network import OVERTAKEN_AT_MOST_S, Conditions, Datagram, Fate, Link, Network

CLIENT = ("203.0.113.7", 50_000)
AT_ONCE = Conditions(delay_s=0.01)


class Recorder:
    """An end that sends what it is given and notes what arrives; it answers if asked to."""

    def __init__(self, *timers_s: float, answers: bool = False) -> None:
        self.arrived: list[tuple[float, bytes]] = []
        self.fired_s: list[float] = []
        self.outgoing: list[Datagram] = []
        self.timers_s = list(timers_s)
        self.answers = answers

    def receive(self, datagram: Datagram, now_s: float) -> None:
        self.arrived.append((round(now_s, 6), datagram.payload))
        if self.answers:
            self.outgoing.append(datagram)

    def take_outgoing(self) -> list[Datagram]:
        outgoing, self.outgoing = self.outgoing, []
        return outgoing

    def next_timer_s(self) -> float | None:
        return self.timers_s[0] if self.timers_s else None

    def handle_timer(self, now_s: float) -> None:
        self.fired_s.append(now_s)
        self.timers_s.pop(0)


def carry(count: int, fates: Mapping[int, Fate] | None = None, conditions: Conditions = AT_ONCE, seed: int = 0) -> str:
    """Send datagrams 0, 1, 2…, 5 ms apart, and tell in which order they arrive."""
    link = Link(conditions, seed, fates)
    for number in range(count):
        link.send(Datagram(CLIENT, str(number).encode()), number * 0.005)
    return "".join(datagram.payload.decode() for datagram in link.take_arrived(60.0))


@pytest.mark.parametrize(
    ("fates", "arrived"),
    [
        pytest.param({}, "01234", id="nothing happens"),
        pytest.param({0: Fate.LOST}, "1234", id="first lost"),
        pytest.param({4: Fate.LOST}, "0123", id="last lost"),
        pytest.param({2: Fate.DUPLICATED}, "012234", id="one doubled"),
        pytest.param({1: Fate.OVERTAKEN}, "02134", id="one overtaken"),
        pytest.param({4: Fate.OVERTAKEN}, "01234", id="nothing to be overtaken by"),
        pytest.param({1: Fate.OVERTAKEN, 2: Fate.OVERTAKEN}, "02134", id="overtaken by one that waits for nobody"),
        pytest.param({1: Fate.OVERTAKEN, 2: Fate.LOST}, "0314", id="not overtaken by what is lost"),
    ],
)
def test_fate_befalls_the_datagram_it_is_for(fates: dict[int, Fate], arrived: str) -> None:
    assert carry(5, fates) == arrived


def test_datagram_with_nobody_behind_it_comes_late_and_not_never() -> None:
    link = Link(AT_ONCE, 0, {0: Fate.OVERTAKEN})
    link.send(Datagram(CLIENT, b"alone"), 0.0)
    assert link.next_arrival_s() == pytest.approx(0.01 + OVERTAKEN_AT_MOST_S)


@pytest.mark.parametrize("conditions", [Conditions(loss=1.0), Conditions(loss=0.4), Conditions(duplication=0.4)])
def test_shares_are_kept_and_seeded(conditions: Conditions) -> None:
    arrived = carry(1000, conditions=conditions, seed=3)
    assert arrived == carry(1000, conditions=conditions, seed=3)
    assert conditions.loss == 1.0 or arrived != carry(1000, conditions=conditions, seed=4)
    whole = sum(len(str(number)) for number in range(1000))
    assert len(arrived) == pytest.approx(whole * (1 - conditions.loss + conditions.duplication), rel=0.1, abs=1)


def test_jitter_changes_the_order_and_loses_nothing() -> None:
    arrived = carry(10, conditions=Conditions(delay_s=0.01, jitter_s=0.1), seed=1)
    assert arrived != "0123456789"
    assert sorted(arrived) == list("0123456789")


def test_clock_jumps_to_arrivals_and_timers() -> None:
    client, server = Recorder(0.5, 2.0), Recorder(answers=True)
    network = Network(client, server, up=Conditions(delay_s=0.1), down=Conditions(delay_s=0.2))
    client.outgoing = [Datagram(CLIENT, b"ping")]
    assert network.run_until(lambda: bool(client.arrived), 10) == pytest.approx(0.3)
    assert server.arrived == [(0.1, b"ping")]
    assert client.arrived == [(0.3, b"ping")]
    network.run_for(1.0)
    assert client.fired_s == [0.5]
    assert network.now_s == pytest.approx(1.3)


def test_claim_that_does_not_come_true_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="ever"):
        Network(Recorder(), Recorder()).run_until(lambda: False, 10)
    with pytest.raises(AssertionError, match="not within"):
        Network(Recorder(5.0, 20.0), Recorder()).run_until(lambda: False, 10)


def test_timer_that_stays_due_is_noticed() -> None:
    with pytest.raises(AssertionError, match="stays due"):
        Network(Recorder(*[1.0] * 2000), Recorder()).run_until(lambda: False, 10)
