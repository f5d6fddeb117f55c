"""What the kernel says about UDP sockets: bytes waiting and packets dropped, asked by netlink (SOCK_DIAG).

/proc/net/udp says the same, but prints every socket of the machine for it: 220 ms where relays with a socket for each
flow have 18,000. Here the kernel finds the one socket, or those of a port (0.02 and 0.9 ms there).

Lives here: the question, its answer, drops and waiting bytes. Must not live here: whose socket it is (bench/peers).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from bench.load.failure import BenchFailure

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
NETLINK_SOCK_DIAG: Final = 4
SOCK_DIAG_BY_FAMILY: Final = 20
NLM_F_REQUEST, NLM_F_DUMP, NLM_F_DUMP_INTR = 0x001, 0x300, 0x010
NLMSG_ERROR, NLMSG_DONE = 2, 3
INET_DIAG_SKMEMINFO: Final = 7
EVERY_STATE: Final = 0xFFFFFFFF
ANY_COOKIE: Final = b"\xff" * 8
HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
REQUEST: Final = struct.Struct("=BBBxI")  # inet_diag_req_v2 before its inet_diag_sockid
PORTS: Final = struct.Struct("!HH")  # the head of inet_diag_sockid: source, destination
SOCKET_ID_BYTES: Final = 48
ADDRESS_BYTES: Final = 16
ANSWER: Final = struct.Struct("=Bxxx48sIIIII")  # inet_diag_msg: family, id, expires, rqueue, wqueue, uid, inode
ATTRIBUTE: Final = struct.Struct("=HH")
MEMORY: Final = struct.Struct("=9I")  # SK_MEMINFO_*: the last is the drops
ERROR: Final = struct.Struct("=i")
# what a dump puts into one answer at most, with room
ANSWER_MAX: Final = 1 << 16
# before the first answer of a kernel that is busy
ANSWER_TIMEOUT_S: Final = 5.0
# a dump while sockets come and go may miss one: it is asked again so often
DUMPS_MAX: Final = 10


@dataclass(frozen=True, slots=True)
class SocketState:
    """How a socket, or all of a port, stand."""

    waiting_bytes: int
    drops: int


@dataclass(frozen=True, slots=True)
class UdpSocket:
    """One UDP socket of this network namespace."""

    address: str
    port: int
    inode: int
    state: SocketState


class _Changed(Exception):
    """Sockets came or went during the dump."""


def socket_state(port: int) -> SocketState:
    """All UDP sockets bound to this port, IPv4 and IPv6 (SO_REUSEPORT gives it to several), added up."""
    found = [each.state for each in udp_sockets(port)]
    if not found:
        raise BenchFailure(f"no UDP socket is bound to port {port}")
    return SocketState(sum(each.waiting_bytes for each in found), sum(each.drops for each in found))


def receiver_state(address: str, port: int) -> SocketState:
    """The socket that a packet to this address from an unknown sender ends in: found at once, however many there are.

    Where several share the port it is any of them: ask `socket_state`.
    """
    to = ipaddress.ip_address(address)
    # for a single socket the kernel takes our side from the fields of the destination
    identity = PORTS.pack(0, port) + bytes(ADDRESS_BYTES) + to.packed.ljust(ADDRESS_BYTES, b"\0") + bytes(4)
    family = socket.AF_INET if to.version == 4 else socket.AF_INET6
    try:
        return next(_ask(family, identity, NLM_F_REQUEST)).state
    except OSError as error:
        raise BenchFailure(f"no UDP socket receives what is sent to {address} port {port}: {error.strerror}") from error


def udp_sockets(port: int = 0) -> list[UdpSocket]:
    """The UDP sockets bound to a port, or all of this network namespace."""
    identity = PORTS.pack(port, 0) + bytes(SOCKET_ID_BYTES - PORTS.size - len(ANY_COOKIE))
    for _ in range(DUMPS_MAX):
        try:
            return [
                each
                for family in (socket.AF_INET, socket.AF_INET6)
                for each in _ask(family, identity, NLM_F_REQUEST | NLM_F_DUMP)
            ]
        except _Changed:
            continue
        except OSError as error:
            raise BenchFailure(f"this kernel lists no UDP sockets (udp_diag): {error.strerror}") from error
    raise BenchFailure(f"UDP sockets come and go too fast to be counted: {DUMPS_MAX} dumps were interrupted")


def _ask(family: int, identity: bytes, flags: int) -> Iterator[UdpSocket]:
    """What the kernel answers: one socket, or each until it says that it is done."""
    head = REQUEST.pack(family, socket.IPPROTO_UDP, 1 << (INET_DIAG_SKMEMINFO - 1), EVERY_STATE)
    request = head + identity + ANY_COOKIE
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG) as kernel:
        kernel.settimeout(ANSWER_TIMEOUT_S)
        kernel.send(HEADER.pack(HEADER.size + len(request), SOCK_DIAG_BY_FAMILY, flags, 0, 0) + request)
        while True:
            answer = memoryview(kernel.recv(ANSWER_MAX))
            while answer:
                length, kind, flags_back, _, _ = HEADER.unpack_from(answer)
                body, answer = answer[HEADER.size : length], answer[_aligned(length) :]
                if flags_back & NLM_F_DUMP_INTR:
                    raise _Changed
                if kind == NLMSG_DONE:
                    return
                if kind == NLMSG_ERROR:
                    code = -ERROR.unpack_from(body)[0]
                    raise OSError(code, os.strerror(code))
                yield _parse(body)
                if flags & NLM_F_DUMP != NLM_F_DUMP:
                    return


def _parse(body: memoryview) -> UdpSocket:
    family, identity, _, waiting, _, _, inode = ANSWER.unpack_from(body)
    packed = identity[PORTS.size : PORTS.size + (4 if family == socket.AF_INET else ADDRESS_BYTES)]
    address = str(ipaddress.ip_address(packed))
    return UdpSocket(address, PORTS.unpack_from(identity)[0], inode, SocketState(waiting, _drops(body[ANSWER.size :])))


def _drops(attributes: memoryview) -> int:
    while attributes:
        length, kind = ATTRIBUTE.unpack_from(attributes)
        if kind == INET_DIAG_SKMEMINFO:
            return int(MEMORY.unpack_from(attributes, ATTRIBUTE.size)[-1])
        attributes = attributes[_aligned(length) :]
    raise BenchFailure("this kernel does not say what its sockets drop (INET_DIAG_SKMEMINFO)")


def _aligned(length: int) -> int:
    """Netlink puts everything at multiples of four."""
    return (length + 3) & ~3
