"""The two ends of a relay, on real sockets: a client and a transceiver.

Lives here: what they send, and waiting for what they receive. Nothing sleeps: a receive has a deadline.
Must not live here: the relay (process, in_process), expectations.
"""

from __future__ import annotations

import secrets
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from fastrelay.routing import KeyRing, MintedToken, mint_token
from fastrelay.wire.stun import build_check
from fastrelay.wire.trunk import (
    Client,
    Frame,
    Hello,
    Kind,
    Sender,
    build_bundle,
    build_hello,
    check_mac,
    parse_bundle,
    parse_header,
)

PATIENCE_S = 10.0
POLL_S = 0.005
DATAGRAM_BYTES = 65_536

Address = tuple[str, int]


def eventually(claim: Callable[[], bool], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Look until the claim is true; fail when it has not become so in time."""
    deadline_s = time.monotonic() + patience_s
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.settimeout(POLL_S)
        silent.bind(("127.0.0.1", 0))
        while not claim():
            assert time.monotonic() < deadline_s, f"not in {patience_s:.0f} s: {what}"
            try:
                silent.recv(1)
            except TimeoutError:
                continue


class End:
    """A UDP socket that waits for at most PATIENCE_S. `turn` lets a relay in this process work meanwhile."""

    def __init__(self, ip: str, port: int = 0, *, turn: Callable[[], None] | None = None) -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_DGRAM)
        self._turn = turn
        try:
            self.socket.bind((ip, port))
        except OSError:
            self.socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    @property
    def address(self) -> Address:
        ip, port = self.socket.getsockname()[:2]
        return ip, port

    def receive(self) -> tuple[bytes, Address]:
        """The next datagram and who sent it."""
        deadline_s = time.monotonic() + PATIENCE_S
        self.socket.settimeout(PATIENCE_S if self._turn is None else POLL_S)
        while True:
            if self._turn is not None:
                self._turn()
            try:
                payload, source = self.socket.recvfrom(DATAGRAM_BYTES)
            except TimeoutError:
                assert time.monotonic() < deadline_s, f"nothing arrived at {self.address} in {PATIENCE_S:.0f} s"
                continue
            return payload, (source[0], source[1])

    def has_nothing(self) -> bool:
        """Whether nothing waits here now."""
        self.socket.setblocking(False)
        try:
            self.socket.recv(DATAGRAM_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        return False


class CallingClient(End):
    """A client with a token, calling one address of a relay."""

    def __init__(
        self,
        ip: str,
        relay: Address,
        ticket: MintedToken,
        *,
        port: int = 0,
        turn: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(ip, port, turn=turn)
        self.relay = relay
        self.ticket = ticket

    @property
    def as_client(self) -> Client:
        return Client(*self.address)

    def send(self, payload: bytes) -> None:
        self.socket.sendto(payload, self.relay)

    def check(self) -> bytes:
        """Send a connectivity check and return its bytes."""
        packet = build_check(f"{self.ticket.ufrag}:abcd", self.ticket.password)
        self.send(packet)
        return packet


@dataclass(frozen=True, slots=True)
class Bundle:
    """An authenticated bundle as it arrived: from which trunk socket, with which via."""

    source: Address
    via: int
    frames: list[Frame]


class Transceiver(End):
    """The other end of the trunk: reads bundles, remembers where each client was heard, and answers there."""

    def __init__(self, ip: str, ring: KeyRing, *, port: int = 0, turn: Callable[[], None] | None = None) -> None:
        super().__init__(ip, port, turn=turn)
        self.ring = ring
        self._epoch_us = time.time_ns() // 1000
        self._sequences: dict[Address, int] = {}
        self._heard: dict[Client, Bundle] = {}

    def mint(self) -> MintedToken:
        return mint_token(self.ring, to=self.address, now_s=int(time.time()))

    def bundle(self) -> Bundle:
        """The next bundle; HELLOs in between are authenticated and left behind."""
        while True:
            datagram, source = self.receive()
            header = parse_header(datagram)
            key = self.ring.find(header.key_id)
            assert key is not None
            check_mac(datagram, header, key.trunk_key)
            if header.kind is Kind.HELLO_UP:
                continue
            assert header.kind is Kind.BUNDLE_UP
            bundle = Bundle(source, header.via, parse_bundle(datagram, header))
            self._heard.update((frame.client, bundle) for frame in bundle.frames)
            return bundle

    def frames(self, count: int) -> list[Frame]:
        """The next frames, in their order, over as many bundles as they come in."""
        frames: list[Frame] = []
        while len(frames) < count:
            frames += self.bundle().frames
        assert len(frames) == count
        return frames

    def answer(self, client: Client, *payloads: bytes, closes: bool = False) -> None:
        """Send payloads to a client that was heard, through the relay it was last heard by."""
        self.send(self.bundled(client, payloads or [b""], closes=closes), self._heard[client].source)

    def bundled(self, client: Client, payloads: Sequence[bytes], padded_to: int = 0, *, closes: bool = False) -> bytes:
        """One bundle for a client that was heard, with the via it was last heard by."""
        heard = self._heard[client]
        frames = [Frame(client, payload, closes) for payload in payloads]
        sequence = self._next(heard.source)
        return build_bundle(Kind.BUNDLE_DOWN, self._sender(), sequence, heard.via, frames, padded_to)

    def hello(self, relay: Address) -> None:
        hello = Hello(time.monotonic_ns() // 1000)
        self.send(build_hello(Kind.HELLO_DOWN, self._sender(), self._next(relay), hello), relay)

    def send(self, datagram: bytes, relay: Address) -> None:
        self.socket.sendto(datagram, relay)

    def _sender(self) -> Sender:
        key = self.ring.minting_key(time.time())
        return Sender(key.id, key.trunk_key, self._epoch_us)

    def _next(self, relay: Address) -> int:
        self._sequences[relay] = self._sequences.get(relay, 0) + 1
        return self._sequences[relay]


def speech(number: int, length: int = 160) -> bytes:
    """An SRTP-shaped packet, different from every other."""
    return b"\x80\x6f" + number.to_bytes(4, "big") + secrets.token_bytes(length - 6)


def admit(client: CallingClient, transceiver: Transceiver) -> None:
    """Begin a call: its check reaches the transceiver, and an answer confirms the flow."""
    client.check()
    transceiver.frames(1)
    transceiver.answer(client.as_client, speech(0, 20))
    client.receive()


def goes_on(client: CallingClient, transceiver: Transceiver) -> bool:
    """Whether a call that has begun is carried both ways, by media alone: no check is sent."""
    client.send(question := speech(1))
    arrived = transceiver.frames(1)[0].payload
    transceiver.answer(client.as_client, answer := speech(2))
    return (arrived, client.receive()[0]) == (question, answer)
