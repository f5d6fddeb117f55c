"""One client of the benchmark: its socket, its checks, its DTLS, its audio both ways.

Lives here: a client's protocol, by the same engines as the server's but from the other side. Must not live here: the
loop and the schedule (crowd), signalling (signalling), what is made of the figures (punctuality).
"""

from __future__ import annotations

import socket
import struct
from dataclasses import replace
from enum import Enum, auto

from bench.calls.description import PAYLOAD_TYPE, Ours, Theirs
from bench.calls.ping import Pings
from fastrelay.errors import FastrelayError, WireError
from fastrelay.transceiver.dtls import DtlsContexts, DtlsEndpoint, DtlsRole, DtlsState
from fastrelay.transceiver.srtp import SrtpInbound, SrtpOutbound
from fastrelay.wire.stun import BINDING_REQUEST, build_check, build_response, read_request, read_response

ADDRESS = "127.0.0.1"
RETRY_CHECK_S = 0.05
CHECK_EVERY_S = 2.5
"""As Chromium checks a stable pair."""
SAMPLES_PER_FRAME = 960
SO_TIMESTAMPNS = 35
STAMP = struct.Struct("=qq")
"""Seconds and nanoseconds: when the kernel has got a datagram."""
DTLS_FIRST, RTP_FIRST = 20, 128
"""First bytes, RFC 7983."""


class Stage(Enum):
    """Where a caller stands."""

    ASKING = auto()
    CHECKING = auto()
    HANDSHAKING = auto()
    UP = auto()
    FAILED = auto()
    CLOSED = auto()


class Caller:
    """One call. Its owner reads the socket with `receive`, hands on what is no audio, and calls `act` at `due_s`."""

    def __init__(self, number: int, contexts: DtlsContexts, group: str, now_s: float, port: int = 0) -> None:
        """`port` is one that a former caller has left; otherwise any that is free."""
        self.number = number
        self.group = group
        self.stage = Stage.ASKING
        self.problem = ""
        self.answer = ""
        self.asked_s = now_s
        self.answered_s = 0.0
        self.checked_s = 0.0
        """The first check was answered."""
        self.up_s = 0.0
        self.spoke_s = 0.0
        self.heard_s = 0.0
        """The first frame sent, and the first heard."""
        self.due_s = float("inf")
        self.inbound: SrtpInbound | None = None
        self.outbound: SrtpOutbound | None = None
        self.next_timestamp = 0
        self.arrivals: list[tuple[int, int]] | None = None
        """While it is watched: sequence number and the kernel's arrival time in nanoseconds, of each frame."""
        self.pings: Pings | None = None
        """While it says what can be recognised when it comes back."""
        self.strange = 0
        self._contexts = contexts
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind((ADDRESS, port))
        self.send = self._socket.send
        self.receive = self._socket.recvmsg
        self.ours = Ours.fresh(self._socket.getsockname(), contexts.certificate.fingerprint, 1 + number)
        self._theirs: Theirs | None = None
        self._dtls: DtlsEndpoint | None = None
        self._check_due_s = float("inf")

    def fileno(self) -> int:
        return self._socket.fileno()

    # --- set-up

    def take_answer(self, text: str, now_s: float) -> None:
        """The server has answered: check the way to it."""
        self.answer = text
        self._theirs = theirs = Theirs.of_answer(text)
        role = DtlsRole.PASSIVE if theirs.setup == "active" else DtlsRole.ACTIVE
        try:
            self._dtls = DtlsEndpoint(self._contexts, role, [theirs.fingerprint])
        except FastrelayError as error:
            self.fail(str(error))
            return
        self.answered_s = now_s
        self._socket.connect(theirs.address)
        self.stage = Stage.CHECKING
        self._check_due_s = now_s
        self.act(now_s)

    def take_restart(self, ufrag: str, password: str, now_s: float) -> None:
        """The server has other ICE credentials from now on; ours stay."""
        assert self._theirs is not None, "a call that has been answered"
        self._theirs = replace(self._theirs, ufrag=ufrag, password=password)
        self._check_due_s = now_s
        self.act(now_s)

    def fail(self, problem: str) -> None:
        """It will not be a call."""
        self.stage = Stage.FAILED
        self.problem = problem
        self.due_s = float("inf")

    def act(self, now_s: float) -> None:
        """Whatever is due: checks, and DTLS's timers."""
        if now_s >= self._check_due_s and self._theirs is not None:
            is_nominating = self.stage is not Stage.CHECKING
            username = f"{self._theirs.ufrag}:{self.ours.ufrag}"
            self._post(build_check(username, self._theirs.password, is_nominating=is_nominating))
            self._check_due_s = now_s + (CHECK_EVERY_S if self.stage is Stage.UP else RETRY_CHECK_S)
        dtls_s = self._dtls.next_timer_s() if self._dtls is not None else None
        if self._dtls is not None and dtls_s is not None and now_s >= dtls_s:
            self._dtls.handle_timer(now_s)
            self._follow_dtls(now_s)
        self._set_due()

    def take(self, data: bytes, now_s: float) -> None:
        """Take a datagram that is no audio."""
        if not data or data[0] >= RTP_FIRST:
            return  # RTCP: it is not measured here
        if data[0] < DTLS_FIRST:
            self._take_stun(data, now_s)
        elif self._dtls is not None:
            self._dtls.handle(data, now_s)
            self._follow_dtls(now_s)
        self._set_due()

    def hang_up(self, now_s: float) -> None:
        """Say goodbye and close."""
        if self._dtls is not None and self.stage is Stage.UP:
            self._dtls.close(now_s)
            self._flush()
        self.stage = Stage.CLOSED
        self._socket.close()

    # --- inside

    def _take_stun(self, packet: bytes, now_s: float) -> None:
        if self._theirs is None:
            return
        try:
            if int.from_bytes(packet[:2], "big") == BINDING_REQUEST:
                request = read_request(packet, self.ours.password)
                self._post(build_response(request.transaction_id, self._theirs.address, self.ours.password))
                return
            read_response(packet, self._theirs.password)
        except WireError:
            self.strange += 1
            return
        if self.stage is Stage.CHECKING and self._dtls is not None:
            self.stage = Stage.HANDSHAKING
            self.checked_s = now_s
            # at once: the second check nominates
            self._check_due_s = now_s
            self._dtls.start(now_s)
            self._follow_dtls(now_s)
            self.act(now_s)

    def _follow_dtls(self, now_s: float) -> None:
        assert self._dtls is not None
        self._flush()
        if self._dtls.state is DtlsState.CONNECTED and self.stage is Stage.HANDSHAKING:
            assert self._dtls.keys is not None
            self.inbound = SrtpInbound(self._dtls.keys, payload_types=frozenset({PAYLOAD_TYPE}))
            self.outbound = SrtpOutbound(
                self._dtls.keys, ssrc=self.ours.ssrc, payload_type=PAYLOAD_TYPE, first_sequence=self.number % 30_000
            )
            self.stage = Stage.UP
            self.up_s = now_s
        elif self._dtls.state in (DtlsState.FAILED, DtlsState.CLOSED) and self.stage is not Stage.CLOSED:
            self.fail(f"DTLS {self._dtls.state.name.lower()}: {self._dtls.failure or 'closed by the server'}")

    def _flush(self) -> None:
        assert self._dtls is not None
        for datagram in self._dtls.take_outgoing():
            self._post(datagram)

    def _post(self, datagram: bytes) -> None:
        try:
            self.send(datagram)
        except (BlockingIOError, ConnectionRefusedError):
            self.strange += 1  # as on a lossy way: everything here is sent again when it matters

    def _set_due(self) -> None:
        if self.stage in (Stage.FAILED, Stage.CLOSED):
            return
        dtls_s = self._dtls.next_timer_s() if self._dtls is not None else None
        self.due_s = self._check_due_s if dtls_s is None else min(self._check_due_s, dtls_s)
