"""Calls that have begun: clients on one socket, each admitted by a check of its own and answered by a transceiver.

Lives here: making a thousand of them through a real relay, and trying whether each can still be reached. Must not live
here: their traffic, which is C programs' (load).
"""

from __future__ import annotations

import select
import socket
import struct
import time
from ipaddress import IPv4Address, ip_network
from types import TracebackType
from typing import Self

from fastrelay.io.sockets import IP_PKTINFO
from fastrelay.routing import KeyRing, mint_token
from fastrelay.transceiver import OpenTrunkPort, Path, open_trunk_port
from fastrelay.wire.stun import build_check
from tests.live.ends import PATIENCE_S, Address

LOOPBACK = ip_network("127.0.0.0/8")
ANSWER = bytes.fromhex("0101 0000 2112a442") + bytes(12)
AT_ONCE = 64
"""Checks between two looks at what came back: below the burst that one worker admits."""
AGAIN_AFTER_S = 0.25


class Calls:
    """Clients `first`, `first` + 1, … on one port, and their transceiver. Enter it: every call stands.

    Leave the block and both sockets are closed, so that others can take their ports and go on with the calls.
    """

    def __init__(
        self,
        ring: KeyRing,
        relay: Address,
        count: int,
        *,
        first: str = "127.16.0.0",
        transceiver: Address = ("127.2.0.1", 0),
    ) -> None:
        self.count = count
        self.first = first
        self.transceiver = transceiver
        self._ring, self._relay = ring, relay
        self._paths: dict[int, Path] = {}

    def __enter__(self) -> Self:
        self._port: OpenTrunkPort = open_trunk_port(self.transceiver, self._ring, [LOOPBACK])
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            self._socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            self._socket.bind(("0.0.0.0", 0))
            self.client_port: int = self._socket.getsockname()[1]
            self.transceiver = self._port.address
            self._establish()
        except (OSError, AssertionError):
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def hang_up(self) -> None:
        """Every call ends: the transceiver closes it, from the port it had."""
        with open_trunk_port(self.transceiver, self._ring, [LOOPBACK]) as port:
            port.send_close([Path(path.client, path.relay, path.via) for path in self._paths.values()])

    def _close(self) -> None:
        self._socket.close()
        self._port.close()

    def _establish(self) -> None:
        """Send every check until its answer has come back to the client that sent it."""
        minted = [mint_token(self._ring, to=self.transceiver, now_s=time.time()) for _ in range(self.count)]
        checks = [build_check(f"{each.ufrag}:load", each.password) for each in minted]
        numbers = {check: number for number, check in enumerate(checks)}
        answered: set[int] = set()
        deadline_s = time.monotonic() + PATIENCE_S
        while len(answered) < self.count:
            assert time.monotonic() < deadline_s, f"{len(answered)} of {self.count} calls were answered"
            missing = [number for number in range(self.count) if number not in answered]
            for at in range(0, len(missing), AT_ONCE):
                for number in missing[at : at + AT_ONCE]:
                    self._send(number, checks[number])
                self._turn(numbers, answered, 0.0)
            self._turn(numbers, answered, AGAIN_AFTER_S, until=self.count)

    @property
    def via(self) -> int:
        """The relay's name for the address that the clients reach."""
        (via,) = {path.via for path in self._paths.values()}
        return via

    def _turn(self, numbers: dict[bytes, int], answered: set[int], wait_s: float, until: int = 0) -> None:
        """Answer what has arrived, and hear what was answered, for this long or until so many have been."""
        end_s = time.monotonic() + wait_s
        while True:
            left_s = max(end_s - time.monotonic(), 0.0)
            readable = select.select([self._port.fileno(), self._socket.fileno()], [], [], left_s)[0]
            self._answer(numbers)
            answered.update(self._heard())
            if len(answered) >= until > 0 or (not readable and time.monotonic() >= end_s):
                return

    def _answer(self, numbers: dict[bytes, int]) -> None:
        answers = []
        for path, payload in self._port.receive():
            self._paths[numbers[payload]] = path
            answers.append((path, ANSWER))
        self._port.send(answers)

    def _heard(self) -> list[int]:
        """Which clients something has come for, by the address it was sent to."""
        heard: list[int] = []
        base = int(IPv4Address(self.first))
        while True:
            try:
                _, control, _, _ = self._socket.recvmsg(2048, 64)
            except BlockingIOError:
                return heard
            to = control[0][2][8:12]
            heard.append(int.from_bytes(to, "big") - base)

    def _send(self, number: int, packet: bytes) -> None:
        source = (IPv4Address(self.first) + number).packed
        control = [(socket.IPPROTO_IP, IP_PKTINFO, struct.pack("=i4s4s", 0, source, bytes(4)))]
        self._socket.sendmsg([packet], control, 0, self._relay)
