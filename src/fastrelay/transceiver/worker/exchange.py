"""The exchange: every datagram of the trunk goes to its call and back, in batches, and audio leaves on time.

Lives here: the hot path of a worker. One turn takes what waits on the socket, gives each datagram to its call, opens
all audio at once, lets agents hear it, and sends everything that came of it in as few datagrams as the relays allow.
Must not live here: what a session does with a datagram (transceiver.session), how calls are made (desk).

The way of an audio packet:  port.receive → _sort → open_rtp → Call.hear → the agent → Pacer → seal_rtp → port.send
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Final, Protocol

from fastrelay.media.pace import Pacer
from fastrelay.transceiver.srtp import RtpPacket, SrtpInbound, SrtpOutbound, open_rtp, seal_rtp
from fastrelay.transceiver.trunk_port import Path
from fastrelay.transceiver.worker.call import Call
from fastrelay.wire.demux import PacketClass, classify
from fastrelay.wire.stun import CheckRefusal, parse_check

TICK_S: Final = 0.1
"""How often the trunk port looks for HELLOs that are due."""
ROUNDS_MAX: Final = 4
"""Batches taken from the socket in one turn: timers and HTTP must have theirs, however many packets come."""
PATHS_PER_CALL_MAX: Final = 16
AUDIO: Final = PacketClass.SRTP


@dataclass(slots=True)
class ExchangeCounts:
    """What has become of datagrams. Each that comes in is in exactly one of the first eight."""

    audio: int = 0
    """Opened, and heard by its call."""
    rtcp: int = 0
    dtls: int = 0
    checks: int = 0
    unknown_session: int = 0
    """Checks with a token of ours for a call that has ended, or that never was."""
    unknown_client: int = 0
    """Of addresses that have shown no valid check."""
    malformed: int = 0
    audio_refused: int = 0
    sent: int = 0
    audio_sent: int = 0
    turns: int = 0


class FramePort(Protocol):
    """What an exchange needs of a trunk port (transceiver.trunk_port)."""

    def receive(self) -> list[tuple[Path, bytes]]: ...

    def send(self, frames: Iterable[tuple[Path, bytes]]) -> None: ...

    def send_close(self, paths: Iterable[Path]) -> None: ...

    def tick(self) -> None: ...

    def fileno(self) -> int: ...


class Exchange:
    """All calls of a worker by what their datagrams carry: the token in a check, the address on anything else."""

    def __init__(self, port: FramePort, loop: asyncio.AbstractEventLoop) -> None:
        self.counts = ExchangeCounts()
        self.pacer = Pacer()
        self.port = port
        self._loop = loop
        self._by_ufrag: dict[bytes, Call] = {}
        self._by_path: dict[Path, Call] = {}
        self._by_client: dict[tuple[str, int, int], Call] = {}
        self._outbox: list[tuple[Path, bytes]] = []
        self._is_in_turn = False
        self._flush: asyncio.Handle | None = None
        self._pace_timer: asyncio.TimerHandle | None = None
        self._pace_s = 0.0
        self._tick_timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._loop.add_reader(self.port.fileno(), self.turn)
        self._tick()

    def stop(self) -> None:
        """Send what still waits, and let go of the socket, which stays the caller's."""
        self._loop.remove_reader(self.port.fileno())
        for handle in (self._flush, self._pace_timer, self._tick_timer):
            if handle is not None:
                handle.cancel()
        self._send_outbox()

    # --- calls

    def admit(self, call: Call, ufrag: str) -> None:
        """Take checks with this token of the session's for the call, from now on."""
        self._by_ufrag[ufrag.encode()] = call
        call.ufrags.add(ufrag)
        self._retire(call)  # a restart that was never used, which this one replaces

    def release(self, call: Call) -> None:
        """Forget a call. The relays are told, so that nothing more is forwarded for it."""
        for ufrag in call.ufrags:
            self._by_ufrag.pop(ufrag.encode(), None)
        # a reloaded page may have taken an address to another call, whose flow must stay
        closing = [path for path in call.session.ice.paths if self._by_client.get(path.client) is call]
        for path in call.paths:
            if self._by_path.get(path) is call:
                del self._by_path[path]
        for client in {path.client for path in call.paths}:
            if self._by_client.get(client) is call:
                del self._by_client[client]
        self.pacer.forget(call)
        self._send_outbox()  # its last words come before the relay forgets whose they are
        self.port.send_close(closing)

    def post(self, datagrams: list[tuple[Path, bytes]]) -> None:
        """Send these with the rest of this turn."""
        self._outbox += datagrams
        if not self._is_in_turn and self._flush is None:
            self._flush = self._loop.call_soon(self._send_outbox)

    def wake(self, call: Call) -> None:
        """A call has audio to send, after a time in which it had none."""
        now_s = self._loop.time()
        self.pacer.wake(call, now_s)
        if not self._is_in_turn:
            self._arm_pace(now_s)

    @property
    def paths_known(self) -> int:
        """Of all calls together."""
        return len(self._by_path)

    @property
    def tokens_known(self) -> int:
        """Of all calls together."""
        return len(self._by_ufrag)

    # --- the turn

    def turn(self) -> None:
        """Take what waits on the socket, and send what is due."""
        self._is_in_turn = True
        self.counts.turns += 1
        try:
            for _ in range(ROUNDS_MAX):
                frames = self.port.receive()
                if not frames:
                    break
                self._take(frames, self._loop.time())
            self._send_due(self._loop.time())
        finally:  # a fault in one call's part must not cost the others theirs
            self._is_in_turn = False
            self._finish_turn()

    def _take(self, frames: list[tuple[Path, bytes]], now_s: float) -> None:
        calls, sealed = self._sort(frames, now_s)
        if not calls:
            return
        refused = 0
        for call, packet in zip(calls, open_rtp(sealed, time.monotonic_ns() // 1000), strict=True):
            # a call may have ended in the same batch, by its client's goodbye
            if type(packet) is RtpPacket and call.inbound is not None:
                call.hear(packet, now_s)
            else:
                refused += 1
        self.counts.audio += len(calls) - refused
        self.counts.audio_refused += refused

    def _sort(
        self, frames: list[tuple[Path, bytes]], now_s: float
    ) -> tuple[list[Call], list[tuple[SrtpInbound, bytes]]]:
        """Hand over everything but audio, which is gathered: all calls' together is opened at once."""
        calls: list[Call] = []
        sealed: list[tuple[SrtpInbound, bytes]] = []
        find = self._by_path.get
        for path, payload in frames:
            call = find(path)
            if call is not None and path is call.path and call.inbound is not None and classify(payload) is AUDIO:
                calls.append(call)
                sealed.append((call.inbound, payload))
            else:
                self._take_rare(path, payload, call, now_s)
        return calls, sealed

    def _take_rare(self, path: Path, payload: bytes, call: Call | None, now_s: float) -> None:
        """Whatever is not audio from where a call's audio came before."""
        kind = classify(payload)
        if kind is PacketClass.STUN:
            self._take_check(path, payload, now_s)
            return
        if kind is PacketClass.OTHER:
            self.counts.malformed += 1
            return
        call = self._by_client.get(path.client) if call is None else call
        if call is None or not call.session.ice.knows(path):
            self.counts.unknown_client += 1
        elif kind is AUDIO:
            self._take_lone_audio(path, payload, call, now_s)
        elif kind is PacketClass.DTLS:
            self.counts.dtls += 1
            call.session.handle_dtls(payload, now_s)
            call.after_datagram(now_s)
        else:
            self.counts.rtcp += 1
            if call.session.handle_rtcp(payload, now_s):
                self._follow(path, call)
            call.after_datagram(now_s)

    def _take_check(self, path: Path, payload: bytes, now_s: float) -> None:
        check = parse_check(payload)
        if isinstance(check, CheckRefusal):
            self.counts.malformed += 1
            return
        call = self._by_ufrag.get(check.token)
        if call is None:
            self.counts.unknown_session += 1
            return
        self.counts.checks += 1
        call.session.handle_check(path, payload, now_s)
        if len(call.ufrags) > len(call.session.ice.ufrags):
            self._retire(call)
        if call.session.ice.knows(path):
            self._learn(path, call)
        call.after_datagram(now_s)

    def _retire(self, call: Call) -> None:
        """Take no more checks with tokens that an ICE restart has replaced."""
        for ufrag in call.ufrags.difference(call.session.ice.ufrags):
            self._by_ufrag.pop(ufrag.encode(), None)
            call.ufrags.discard(ufrag)

    def _take_lone_audio(self, path: Path, payload: bytes, call: Call, now_s: float) -> None:
        """The first of a call, or the first after its client or its relay has moved."""
        inbound = call.inbound
        packet = None if inbound is None else open_rtp([(inbound, payload)], time.monotonic_ns() // 1000)[0]
        if type(packet) is RtpPacket:
            self.counts.audio += 1
            self._follow(path, call)
            call.hear(packet, now_s)
        else:
            self.counts.audio_refused += 1

    def _follow(self, path: Path, call: Call) -> None:
        """What came here was authentic: if it is the client's chosen address, answer through the relay it came by."""
        call.session.follow(path)
        self._learn(path, call)

    def _learn(self, path: Path, call: Call) -> None:
        """Know the call by this path from now on; a reloaded page takes its address with it to the new call."""
        former = self._by_client.get(path.client)
        if former is not None and former is not call:
            for lost in [known for known in former.paths if known.client == path.client]:
                del former.paths[lost]
                self._by_path.pop(lost, None)
        if self._by_path.get(path) is not call:
            self._by_path[path] = call
            call.paths[path] = None
            self._by_client[path.client] = call
        call.path = call.session.ice.selected
        while len(call.paths) > PATHS_PER_CALL_MAX:
            self._forget_oldest(call)

    def _forget_oldest(self, call: Call) -> None:
        oldest = next(path for path in call.paths if path != call.path)
        del call.paths[oldest]
        self._by_path.pop(oldest, None)
        if all(path.client != oldest.client for path in call.paths):
            self._by_client.pop(oldest.client, None)

    # --- sending

    def _send_due(self, now_s: float) -> None:
        """The audio whose time has come, of all calls at once."""
        due = self.pacer.take_due(now_s)
        if not due:
            return
        paths: list[Path] = []
        batch: list[tuple[SrtpOutbound, bytes, int, bool]] = []
        keeping: list[tuple[int, Call]] = []
        for call, payload, timestamp, is_marked in due:
            assert isinstance(call, Call), "only calls are paced here"
            if call.outbound is not None and call.path is not None:
                if call.has_nack:
                    keeping.append((len(batch), call))
                paths.append(call.path)
                batch.append((call.outbound, payload, timestamp, is_marked))
        sealed = seal_rtp(batch)
        for at, call in keeping:
            call.session.keep(sealed[at])
        self._outbox += zip(paths, sealed, strict=True)
        self.counts.audio_sent += len(batch)

    def _send_outbox(self) -> None:
        self._flush = None
        if self._outbox:
            outbox, self._outbox = self._outbox, []
            self.counts.sent += len(outbox)
            self.port.send(outbox)

    def _finish_turn(self) -> None:
        try:
            self._send_outbox()
        finally:
            self._arm_pace(self._loop.time())

    def _arm_pace(self, now_s: float) -> None:
        due_s = self.pacer.next_due_s
        if due_s is None or (self._pace_timer is not None and self._pace_s <= due_s):
            return
        if self._pace_timer is not None:
            self._pace_timer.cancel()
        self._pace_s = due_s
        self._pace_timer = self._loop.call_at(max(due_s, now_s), self._pace)

    def _pace(self) -> None:
        self._pace_timer = None
        try:
            self._send_due(self._loop.time())
        finally:
            self._finish_turn()

    def _tick(self) -> None:
        self.port.tick()
        self._tick_timer = self._loop.call_later(TICK_S, self._tick)

    def snapshot(self) -> dict[str, int]:
        return asdict(self.counts)
