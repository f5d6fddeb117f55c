"""Many callers in one process: one loop, one schedule, audio sealed and opened for all that speak at once.

Lives here: the loop, who speaks when, and watching a window. Must not live here: one caller's protocol (caller), orders
(crowd_child).
"""

from __future__ import annotations

import select
import socket
import time
from typing import Any

from bench.calls.caller import RTP_FIRST, SAMPLES_PER_FRAME, STAMP, Caller, Stage
from bench.calls.punctuality import Punctuality, judge
from bench.calls.signalling import Signalling
from fastrelay.transceiver.certificate import Certificate
from fastrelay.transceiver.dtls import DtlsContexts
from fastrelay.transceiver.srtp import RtpPacket, SrtpInbound, SrtpOutbound, open_rtp, seal_rtp

SLOT_S = 0.002
SLOTS = 10
"""Of one frame's 20 ms: callers are spread over them, as they would be in life."""
LATE_SLOT_S = 0.01
"""A slot worked on later than this is the client's own fault, and counted."""
LOOKS = 50
"""Turns in which every caller is looked at once for something due."""
RTP = bytes([RTP_FIRST])
DATAGRAM_MAX_BYTES = 2048
ANCILLARY_BYTES = socket.CMSG_SPACE(STAMP.size)
EDGE_NS = 100_000_000
"""Watched before and behind a window, so that its edges cut nothing off."""


def ns_of(stamp: bytes) -> int:
    """The kernel's time stamp."""
    seconds: int
    nanoseconds: int
    seconds, nanoseconds = STAMP.unpack(stamp)
    return seconds * 1_000_000_000 + nanoseconds


class Crowd:
    """Callers of one server."""

    def __init__(self, url: str, payloads: list[bytes]) -> None:
        self.callers: dict[int, Caller] = {}
        self.late_slots = self.slots = 0
        self._signalling = Signalling(url)
        self._epoll = select.epoll()
        self._epoll.register(self._signalling.fileno(), select.EPOLLIN)
        self._contexts = DtlsContexts(Certificate.generate(time.time()))
        self._payloads = payloads
        self._by_descriptor: dict[int, Caller] = {}
        self._speaking: list[list[Caller]] = [[] for _ in range(SLOTS)]
        self._slot = int(time.monotonic() / SLOT_S)
        self._numbers = 0
        self._starting: set[Caller] = set()
        self._look_s = 0.0
        self._waiting: list[list[Caller]] = [[] for _ in range(LOOKS)]

    def close(self) -> None:
        self.hang_up(list(self.callers.values()))
        self._epoll.close()
        self._signalling.close()

    # --- orders

    def invite(self, group: str, session: dict[str, Any], port: int = 0) -> Caller:
        """Begin one more call."""
        caller = Caller(self._numbers, self._contexts, group, time.monotonic(), port)
        self._numbers += 1
        self.callers[caller.number] = caller
        self._by_descriptor[caller.fileno()] = caller
        self._epoll.register(caller.fileno(), select.EPOLLIN)
        self._starting.add(caller)
        self._waiting[caller.number % LOOKS].append(caller)
        self._signalling.ask(caller.number, caller.ours.offer(), session)
        return caller

    def speak(self, caller: Caller) -> None:
        """From now on it sends a frame every 20 ms."""
        min(self._speaking, key=len).append(caller)

    def hush(self, callers: list[Caller]) -> None:
        """From now on they send none."""
        quiet = set(callers)
        for slot in self._speaking:
            slot[:] = [caller for caller in slot if caller not in quiet]

    def hang_up(self, callers: list[Caller]) -> None:
        now_s = time.monotonic()
        leaving = set(callers)
        self.hush(callers)
        for slot in self._waiting:
            slot[:] = [caller for caller in slot if caller not in leaving]
        for caller in callers:
            del self.callers[caller.number]
            del self._by_descriptor[caller.fileno()]
            self._starting.discard(caller)
            caller.hang_up(now_s)

    def say(self, payloads: list[bytes]) -> None:
        """What those who speak say from now on."""
        self._payloads = payloads

    def watch(self, callers: list[Caller], is_on: bool) -> None:
        for caller in callers:
            caller.arrivals = [] if is_on else None

    def judge(self, callers: list[Caller], from_ns: int, until_ns: int) -> Punctuality:
        """What has been watched, over a window of the wall clock."""
        return judge([caller.arrivals or [] for caller in callers], from_ns, until_ns)

    def pass_time(self, seconds: float) -> None:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            self.turn()

    # --- the loop

    def turn(self) -> None:
        """Receive until the next slot, then let those speak whose slot it is, and others do what is due."""
        events = self._epoll.poll(max((self._slot + 1) * SLOT_S - time.monotonic(), 0))
        now_s = time.monotonic()
        self._receive(events, now_s)
        while (self._slot + 1) * SLOT_S <= now_s:
            self._slot += 1
            self._speak_slot(now_s)
        if now_s >= self._look_s:
            self._look_s = now_s + SLOT_S
            self._look(now_s)

    def _take_answers(self) -> None:
        for answer in self._signalling.answers():
            caller = self.callers.get(answer.number)
            if caller is None:
                continue
            if answer.problem:
                caller.fail(answer.problem)
            else:
                caller.take_answer(answer.text, answer.at_s)

    def _receive(self, events: list[tuple[int, int]], now_s: float) -> None:
        """One datagram of each socket that has some; all audio is opened at once."""
        owners: list[tuple[Caller, bytes]] = []
        sealed: list[tuple[SrtpInbound, bytes]] = []
        for descriptor, _ in events:
            caller = self._by_descriptor.get(descriptor)
            if caller is None:
                self._take_answers()
                continue
            try:
                data, ancillary, _, _ = caller.receive(DATAGRAM_MAX_BYTES, ANCILLARY_BYTES)
            except (BlockingIOError, ConnectionRefusedError):
                continue
            inbound = caller.inbound
            if inbound is not None and data[:1] >= RTP and not 192 <= data[1] <= 223:
                owners.append((caller, ancillary[0][2]))
                sealed.append((inbound, data))
            else:
                caller.take(data, now_s)
        if not owners:
            return
        for (caller, stamp), packet in zip(owners, open_rtp(sealed, int(now_s * 1e6)), strict=True):
            if not isinstance(packet, RtpPacket):
                continue  # it is missed: a frame that nobody can open has not arrived
            caller.heard_s = caller.heard_s or now_s
            if caller.arrivals is not None:
                at_ns = ns_of(stamp)
                caller.arrivals.append((packet.extended_sequence, at_ns))
                if caller.pings is not None:
                    caller.pings.hear(len(packet.payload), at_ns)

    def _speak_slot(self, now_s: float) -> None:
        self.slots += 1
        self.late_slots += now_s - self._slot * SLOT_S > LATE_SLOT_S
        payload = self._payloads[self._slot // SLOTS % len(self._payloads)]
        senders = []
        batch: list[tuple[SrtpOutbound, bytes, int, bool]] = []
        for caller in self._speaking[self._slot % SLOTS]:
            if caller.outbound is not None and caller.stage is Stage.UP:
                senders.append(caller)
                batch.append((caller.outbound, payload, caller.next_timestamp, caller.next_timestamp == 0))
                caller.next_timestamp = (caller.next_timestamp + SAMPLES_PER_FRAME) & 0xFFFF_FFFF
        for caller, packet in zip(senders, seal_rtp(batch), strict=True):
            if caller.pings is not None:
                caller.pings.say(len(payload), time.time_ns())
            caller.spoke_s = caller.spoke_s or now_s
            try:
                caller.send(packet)
            except (BlockingIOError, ConnectionRefusedError):
                caller.strange += 1

    def _look(self, now_s: float) -> None:
        """Callers with something due."""
        for caller in [*self._starting]:
            if caller.stage in (Stage.UP, Stage.FAILED):
                self._starting.discard(caller)
            elif now_s >= caller.due_s:
                caller.act(now_s)
        # the rest have nothing but a check every few seconds: those of one slot are looked at each time
        for caller in self._waiting[self._slot % len(self._waiting)]:
            if now_s >= caller.due_s:
                caller.act(now_s)
