"""The callers' process: each call a socket of its own, a connectivity check, then speech fifty times a second.

Lives here: what a caller sends, when, and what it learns from what comes back. A packet counts as lost when its echo
is not back after LATE_S. Must not live here: processes (child), the relay.
"""

from __future__ import annotations

import heapq
import math
import selectors
import socket
import struct
import time
from collections import Counter
from dataclasses import dataclass, field

from fastrelay.cli.demo.child import Report, is_stopping, send_report, take_plan
from fastrelay.errors import WireError
from fastrelay.wire.stun import build_check, read_response

PACKET_EVERY_S = 0.02
CHECK_EVERY_S = 2.5  # as Chromium checks a stable pair
RETRY_CHECK_S = 0.05
LATE_S = 1.0
REPORT_EVERY_S = 0.5
CLIENT_UFRAG = "demo"
# RFC 3550 §5.1, then what makes the echo tell its age; the rest stands for encrypted speech
_HEADER = struct.Struct("!BBHII")
_STAMP = struct.Struct("!IQ")
OPUS_PAYLOAD_TYPE = 111
PACKET_BYTES = 160
STEPS_PER_OCTAVE = 16


@dataclass(slots=True)
class Tally:
    """Of all calls together, since the start. Round trips are counted by sixteenths of an octave of microseconds."""

    sent: int = 0
    echoed: int = 0
    lost: int = 0
    strange: int = 0
    round_trips: Counter[int] = field(default_factory=Counter)

    def note_round_trip(self, seconds: float) -> None:
        self.round_trips[math.ceil(math.log2(max(seconds * 1e6, 1)) * STEPS_PER_OCTAVE)] += 1


def percentile_us(round_trips: Counter[int], percent: float) -> float | None:
    """The time that `percent` of the round trips do not exceed, rounded up to a sixteenth of an octave."""
    rank, passed = math.ceil(round_trips.total() * percent / 100), 0
    for bucket in sorted(round_trips):
        passed += round_trips[bucket]
        if passed >= rank:
            return float(2 ** (bucket / STEPS_PER_OCTAVE))
    return None


class Caller:
    """One call. It is connected once its check has been answered, and speaks from then on."""

    def __init__(self, relay: tuple[str, int], ufrag: str, password: str, ssrc: int, tally: Tally) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in relay[0] else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(relay)
        self.is_connected = False
        self._username, self._password = f"{ufrag}:{CLIENT_UFRAG}", password
        self._ssrc = ssrc
        self._tally = tally
        self._number = 0
        self._waiting: dict[int, float] = {}  # packet number: when it left
        self._check_due_s = 0.0

    def act(self, now_s: float) -> float:
        """Send what is due; returns when there will be more to do."""
        if now_s >= self._check_due_s:
            self._check_due_s = now_s + (CHECK_EVERY_S if self.is_connected else RETRY_CHECK_S)
            self._send(build_check(self._username, self._password, is_nominating=self.is_connected))
        if not self.is_connected:
            return self._check_due_s
        self._forget_late(now_s)
        if self._send(self._speech(now_s)):
            self._waiting[self._number] = now_s
            self._tally.sent += 1
        self._number += 1
        return now_s + PACKET_EVERY_S

    def receive(self) -> None:
        """Everything that has come back."""
        while True:
            try:
                packet = self.socket.recv(2048)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self._take(packet, time.monotonic())

    def _take(self, packet: bytes, now_s: float) -> None:
        if packet[:1] == b"\x01":
            try:
                read_response(packet, self._password)
            except WireError:
                self._tally.strange += 1
                return
            self.is_connected = True
        elif len(packet) == PACKET_BYTES and (number := _STAMP.unpack_from(packet, _HEADER.size)[0]) in self._waiting:
            self._tally.echoed += 1
            self._tally.note_round_trip(now_s - self._waiting.pop(number))
        else:
            self._tally.strange += 1

    def _speech(self, now_s: float) -> bytes:
        number = self._number
        head = _HEADER.pack(0x80, OPUS_PAYLOAD_TYPE, number & 0xFFFF, number * 960 & 0xFFFF_FFFF, self._ssrc)
        return (head + _STAMP.pack(number & 0xFFFF_FFFF, int(now_s * 1e9))).ljust(PACKET_BYTES, b"\x5a")

    def _send(self, packet: bytes) -> bool:
        try:
            self.socket.send(packet)
        except (BlockingIOError, ConnectionRefusedError):
            return False  # nothing left here; an ICMP error of an earlier packet is a relay that is not there
        return True

    def _forget_late(self, now_s: float) -> None:
        for number, left_s in list(self._waiting.items()):
            if now_s - left_s < LATE_S:
                return  # in the order they left
            del self._waiting[number]
            self._tally.lost += 1


class Callers:
    """All calls on one schedule, spread over a packet's interval so that they do not speak in chorus."""

    def __init__(self, relay: tuple[str, int], tickets: list[tuple[str, str]]) -> None:
        self.tally = Tally()
        self.callers = [Caller(relay, *ticket, ssrc, self.tally) for ssrc, ticket in enumerate(tickets)]
        now_s = time.monotonic()
        self._due = [(now_s + PACKET_EVERY_S * at / len(tickets), at) for at in range(len(tickets))]
        self._selector = selectors.DefaultSelector()
        for caller in self.callers:
            self._selector.register(caller.socket, selectors.EVENT_READ, caller)

    def close(self) -> None:
        self._selector.close()
        for caller in self.callers:
            caller.socket.close()

    def turn(self) -> None:
        """Receive until the next call is due, then let every call that is due act."""
        for key, _ in self._selector.select(max(self._due[0][0] - time.monotonic(), 0)):
            caller: Caller = key.data
            caller.receive()
        while self._due[0][0] <= time.monotonic():
            due_s, at = self._due[0]
            again_s = self.callers[at].act(time.monotonic())
            # on the schedule, not after it: a late packet does not make all later ones late
            heapq.heapreplace(self._due, (max(due_s + PACKET_EVERY_S, again_s - PACKET_EVERY_S), at))

    def report(self, before: Counter[int]) -> Report:
        """The tally, and percentiles of the round trips since `before` and in all."""
        tally = self.tally
        recent = tally.round_trips - before
        return {
            "connected": sum(caller.is_connected for caller in self.callers),
            "sent": tally.sent,
            "echoed": tally.echoed,
            "lost": tally.lost,
            "strange": tally.strange,
            "recent_us": [percentile_us(recent, 50), percentile_us(recent, 99)],
            "all_us": [percentile_us(tally.round_trips, 50), percentile_us(tally.round_trips, 99)],
        }


def main() -> None:
    """Call until the parent gives the order to stop."""
    plan = take_plan()
    callers = Callers((plan["relay"][0], plan["relay"][1]), [(ufrag, password) for ufrag, password in plan["tickets"]])
    before: Counter[int] = Counter()
    due_s = time.monotonic() + REPORT_EVERY_S
    try:
        while not is_stopping():
            callers.turn()
            if time.monotonic() >= due_s:
                send_report(callers.report(before))
                before = callers.tally.round_trips.copy()
                due_s += REPORT_EVERY_S
        send_report(callers.report(before))
    finally:
        callers.close()
