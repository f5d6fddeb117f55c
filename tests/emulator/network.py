"""A network between two ends that never touch a socket or a clock: seeded, so that what went wrong goes wrong again.

Lives here: what becomes of each datagram (lost, doubled, overtaken, delayed), and a clock that jumps to the next event.
Must not live here: what the ends are (browser, session_end), expectations.

    network = Network(browser, session_end, up=Conditions(loss=0.2), seed=7)
    network.run_until(lambda: browser.is_connected, within_s=10)

`up` is from the client to the server. The n-th datagram of a direction can be given a fate of its own: up_fates={3:
Fate.LOST}. Datagrams are numbered from 0 in the order they are sent.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple, Protocol, TypeAlias

Address: TypeAlias = tuple[str, int]

OVERTAKEN_AT_MOST_S = 0.5
"""A datagram that is to be overtaken by the next one of its direction waits so long for it, and no longer."""
STEPS_AT_ONCE_MAX = 1000
"""Events at one moment, above which an end is taken to have a timer that stays due: a busy loop."""


class Datagram(NamedTuple):
    """What travels. The client's address, whichever way: the server has one, the client may move."""

    client: Address
    payload: bytes


class End(Protocol):
    """A sans-IO end: it is handed datagrams and the time, and asked for what it has to send."""

    def receive(self, datagram: Datagram, now_s: float) -> None: ...
    def take_outgoing(self) -> list[Datagram]: ...
    def next_timer_s(self) -> float | None: ...
    def handle_timer(self, now_s: float) -> None: ...


class Fate(Enum):
    """What may happen to one datagram, apart from arriving."""

    LOST = auto()
    DUPLICATED = auto()
    OVERTAKEN = auto()
    """It arrives just after the next one of its direction."""


@dataclass(frozen=True, slots=True)
class Conditions:
    """Of one direction. Shares are of 1; jitter is added to the delay, evenly spread, and may change the order."""

    delay_s: float = 0.010
    jitter_s: float = 0.0
    loss: float = 0.0
    duplication: float = 0.0
    overtaking: float = 0.0


PERFECT = Conditions()


class Link:
    """One direction of a network."""

    def __init__(self, conditions: Conditions, seed: int, fates: Mapping[int, Fate] | None = None) -> None:
        self.conditions = conditions
        self.sent: list[Datagram] = []
        """Everything that was put in, in order: the index is what a fate is given by."""
        self._random = random.Random(seed)
        self._fates = dict(fates or {})
        self._overtaken: Datagram | None = None
        # (arrival, order of sending, datagram)
        self._travelling: list[tuple[float, int, Datagram]] = []
        self._order = 0

    def doom(self, number: int, fate: Fate) -> None:
        """Give a datagram that is yet to be sent its fate."""
        self._fates[number] = fate

    def send(self, datagram: Datagram, now_s: float) -> None:
        number = len(self.sent)
        self.sent.append(datagram)
        fate = self._fates.get(number) or self._draw_fate()
        arrival_s = now_s + self.conditions.delay_s + self._random.uniform(0, self.conditions.jitter_s)
        if fate is Fate.LOST:
            return
        if fate is Fate.OVERTAKEN and self._overtaken is None:
            self._overtaken = datagram
            self._travel(datagram, arrival_s + OVERTAKEN_AT_MOST_S)
            return
        self._travel(datagram, arrival_s)
        if fate is Fate.DUPLICATED:
            self._travel(datagram, arrival_s + self.conditions.delay_s / 2)
        self._let_overtaken_follow(arrival_s)

    def next_arrival_s(self) -> float | None:
        return self._travelling[0][0] if self._travelling else None

    def take_arrived(self, now_s: float) -> list[Datagram]:
        arrived = []
        while self._travelling and self._travelling[0][0] <= now_s:
            datagram = heapq.heappop(self._travelling)[2]
            if datagram is self._overtaken:
                self._overtaken = None
            arrived.append(datagram)
        return arrived

    def _draw_fate(self) -> Fate | None:
        conditions, draw = self.conditions, self._random.random()
        for share, fate in (
            (conditions.loss, Fate.LOST),
            (conditions.duplication, Fate.DUPLICATED),
            (conditions.overtaking, Fate.OVERTAKEN),
        ):
            if draw < share:
                return fate
            draw -= share
        return None

    def _travel(self, datagram: Datagram, arrival_s: float) -> None:
        heapq.heappush(self._travelling, (arrival_s, self._order, datagram))
        self._order += 1

    def _let_overtaken_follow(self, arrival_s: float) -> None:
        if self._overtaken is None:
            return
        waiting, self._overtaken = self._overtaken, None
        self._travelling = [item for item in self._travelling if item[2] is not waiting]
        heapq.heapify(self._travelling)
        self._travel(waiting, arrival_s)


class Network:
    """Two ends, two links and a clock."""

    def __init__(
        self,
        client: End,
        server: End,
        *,
        up: Conditions = PERFECT,
        down: Conditions = PERFECT,
        up_fates: Mapping[int, Fate] | None = None,
        down_fates: Mapping[int, Fate] | None = None,
        seed: int = 0,
        now_s: float = 0.0,
    ) -> None:
        self.now_s = now_s
        self.client, self.server = client, server
        self._steps_at_once = 0
        self.up = Link(up, 2 * seed, up_fates)
        self.down = Link(down, 2 * seed + 1, down_fates)

    def run_until(self, claim: Callable[[], bool], within_s: float) -> float:
        """Let time pass until the claim is true, and say how long that took; AssertionError when it does not."""
        started_s = self.now_s
        while True:
            self._flush()
            if claim():
                return self.now_s - started_s
            next_s = self._next_event_s()
            assert next_s is not None, "nothing will ever happen again"
            assert next_s <= started_s + within_s, f"not within {within_s:g} s"
            self._step(next_s)

    def run_for(self, seconds: float) -> None:
        """Let so much time pass."""
        until_s = self.now_s + seconds
        self._flush()
        while (next_s := self._next_event_s()) is not None and next_s <= until_s:
            self._step(next_s)
            self._flush()
        self.now_s = until_s

    def _step(self, next_s: float) -> None:
        self._steps_at_once = 0 if next_s > self.now_s else self._steps_at_once + 1
        assert self._steps_at_once <= STEPS_AT_ONCE_MAX, "time stands still: a timer stays due"
        self.now_s = max(self.now_s, next_s)
        for link, end in ((self.up, self.server), (self.down, self.client)):
            for datagram in link.take_arrived(self.now_s):
                end.receive(datagram, self.now_s)
        for end in (self.client, self.server):
            due_s = end.next_timer_s()
            if due_s is not None and due_s <= self.now_s:
                end.handle_timer(self.now_s)

    def _flush(self) -> None:
        for end, link in ((self.client, self.up), (self.server, self.down)):
            for datagram in end.take_outgoing():
                link.send(datagram, self.now_s)

    def _next_event_s(self) -> float | None:
        times = (
            self.up.next_arrival_s(),
            self.down.next_arrival_s(),
            self.client.next_timer_s(),
            self.server.next_timer_s(),
        )
        return min((at_s for at_s in times if at_s is not None), default=None)
