"""The packets of a measurement: a few thousand clients' voice up, and the same down from several transceivers.

Lives here: sockets that play clients and transceivers, and sending as much as a paused relay's socket can keep. All of
it stays on loopback. Must not live here: the relay (subject), time and CPU (drain).
"""

from __future__ import annotations

import ctypes
import random
import socket
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from itertools import cycle
from typing import Final, NamedTuple, Self

from fastrelay._ext.trunk_port import Path, TrunkPort
from fastrelay.doctor.parties import FLOWS, KEY_ID, NETWORK, TRANSCEIVERS, client_ip, transceiver_ip, transceiver_of
from fastrelay.io.sockets import IP_PKTINFO, open_trunk

Address = tuple[str, int]

BYTES_MIN, BYTES_MAX = 60, 200
"""Voice with SRTP's tag: from silence to a full frame."""
PACKETS: Final = 4096
"""In one drain, where the receive buffer holds them."""
CHUNK: Final = 64
"""Packets between two looks at the room left; also the frames a transceiver sends at once."""
SO_MEMINFO, SO_ATTACH_FILTER = 55, 26

_RTP = struct.Struct("!BBHII")
_PKTINFO = struct.Struct("=i4s4s")
_MEMINFO = struct.Struct("=9I")
_REFUSE_ALL = struct.pack("=HBBI", 0x06, 0, 0, 0)  # BPF: return 0 bytes, that is, drop


class Room(NamedTuple):
    """A socket's receive buffer as the kernel counts it."""

    used_bytes: int
    size_bytes: int
    drops: int

    @property
    def is_short(self) -> bool:
        """The next chunk might not fit."""
        return self.used_bytes > self.size_bytes * 2 // 3


def room(udp: socket.socket) -> Room:
    """Asked of our own descriptor; the socket is the paused process's as well."""
    values = _MEMINFO.unpack(udp.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, _MEMINFO.size))
    return Room(values[0], values[1], values[8])


class Traffic:
    """Clients and transceivers. What is sent to them is dropped by the kernel, at next to no cost."""

    def __init__(self, secret: bytes, *, is_offloading: bool) -> None:
        chance = random.Random(1)
        with ExitStack() as stack:
            self._clients = stack.enter_context(_client_socket())
            self.client_port: int = self._clients.getsockname()[1]
            self._ports = [stack.enter_context(_trunk_socket(at)) for at in range(TRANSCEIVERS)]
            self._undo = stack.pop_all()
        self.transceivers: list[Address] = [udp.getsockname() for udp in self._ports]
        self._senders = [
            TrunkPort(
                udp.fileno(),
                socket.AF_INET,
                [(KEY_ID, secret, 0, None)],
                [NETWORK],
                time.time_ns() // 1000,
                is_offloading=is_offloading,
            )
            for udp in self._ports
        ]
        self._packets = [bytearray(chance.randbytes(chance.randint(BYTES_MIN, BYTES_MAX))) for _ in range(FLOWS)]
        self._sources = [_source(client_ip(flow)) for flow in range(FLOWS)]
        order = list(range(FLOWS))
        chance.shuffle(order)
        self._up_order = cycle(order)
        self._down_order = cycle(turns(order))
        self._sequence = 0
        self._paths: list[Path] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sender in self._senders:
            sender.close()
        self._undo.close()

    def fill_up(self, listener: socket.socket) -> int:
        """Sends clients' packets until the listener's buffer is full enough; returns how many."""
        address = listener.getsockname()

        def send_chunk() -> int:
            for _ in range(CHUNK):
                flow = next(self._up_order)
                self._clients.sendmsg([self._next_packet(flow)], self._sources[flow], 0, address)
            return CHUNK

        return _fill(listener, send_chunk)

    def fill_down(self, trunk: socket.socket) -> int:
        """The same from the transceivers, as frames. It is always the same trunk."""
        relay: Address = trunk.getsockname()
        if not self._paths:
            self._paths = [Path((client_ip(flow), self.client_port), relay, 0) for flow in range(FLOWS)]

        def send_chunk() -> int:
            sender, flows = next(self._down_order)
            self._senders[sender].send([(self._paths[flow], bytes(self._next_packet(flow))) for flow in flows])
            return len(flows)

        return _fill(trunk, send_chunk)

    def _next_packet(self, flow: int) -> bytearray:
        """RTP's header is in the clear, and a relay may look at it; the rest is as random as ciphertext."""
        packet = self._packets[flow]
        self._sequence += 1
        turn = self._sequence // FLOWS
        _RTP.pack_into(packet, 0, 0x80, 111, turn & 0xFFFF, turn * 960 & 0xFFFFFFFF, flow)
        return packet


def turns(order: Sequence[int]) -> list[tuple[int, list[int]]]:
    """Transceivers in turn, each with the flows of its own that it sends to at once."""
    own = [[flow for flow in order if transceiver_of(flow) == at] for at in range(TRANSCEIVERS)]
    return [
        (at, own[at][first : first + CHUNK]) for first in range(0, len(own[0]), CHUNK) for at in range(TRANSCEIVERS)
    ]


def _fill(udp: socket.socket, send_chunk: Callable[[], int]) -> int:
    sent = 0
    while sent < PACKETS and not room(udp).is_short:
        sent += send_chunk()
    return sent


def _client_socket() -> socket.socket:
    """One socket for all clients: it hears every address of loopback, and names one as the source of each send."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    with ExitStack() as undo:
        undo.callback(udp.close)
        _refuse_all(udp)
        with suppress(PermissionError):  # before Linux 5.7 a privilege; what comes from elsewhere is refused anyway
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
        udp.bind(("", 0))
        undo.pop_all()
    return udp


def _trunk_socket(at: int) -> socket.socket:
    udp = open_trunk(transceiver_ip(at), 0, samples_latency=False).socket
    _refuse_all(udp)
    return udp


def _refuse_all(udp: socket.socket) -> None:
    code = ctypes.create_string_buffer(_REFUSE_ALL, len(_REFUSE_ALL))
    udp.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", 1, ctypes.addressof(code)))


def _source(ip: str) -> list[tuple[int, int, bytes]]:
    return [(socket.IPPROTO_IP, IP_PKTINFO, _PKTINFO.pack(0, socket.inet_aton(ip), bytes(4)))]
