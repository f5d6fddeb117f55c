"""Opening UDP sockets for clients and for the trunk, with every option the compiled loops count on.

Lives here: which options, why, and what to say when the host does not grant them.
Must not live here: who owns the sockets afterwards (supervisor), and what is sent through them (ext/relay_loop).
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass, field

from fastrelay._ext.host import host_addresses
from fastrelay.errors import ConfigError
from fastrelay.wire.address import format_endpoint

# Linux values that Python's socket module does not name in every version.
SO_RCVBUFFORCE, SO_SNDBUFFORCE = 33, 32
SO_TIMESTAMPNS, SO_RXQ_OVFL, SO_BUSY_POLL = 35, 40, 46
IP_MTU_DISCOVER, IPV6_MTU_DISCOVER, PMTUDISC_OMIT = 10, 23, 5
IP_RECVERR, IPV6_RECVERR, IP_PKTINFO = 11, 25, 8
UDP_GRO = 104

BUFFER_BYTES = 16 << 20
"""Kernel buffer of each socket: a quarter of a second of packets at the rate one worker forwards."""


@dataclass(frozen=True, slots=True)
class OpenSocket:
    """A bound socket and what the loop must know of it. `warnings` are for the operator, once, at start."""

    socket: socket.socket
    ip: str
    port: int
    warnings: list[str] = field(default_factory=list)

    @property
    def is_wildcard(self) -> bool:
        return ipaddress.ip_address(self.ip).is_unspecified

    def locals(self, listener: int) -> list[tuple[int, str, int, int]]:
        """The addresses clients reach it at, as RelayLoop wants them: (listener, ip, port, scope)."""
        if not self.is_wildcard:
            return [(listener, self.ip, self.port, 0)]
        version = 6 if self.socket.family == socket.AF_INET6 else 4
        hosts = sorted((ip, scope) for ip, scope in host_addresses() if ipaddress.ip_address(ip).version == version)
        return [(listener, ip, self.port, scope) for ip, scope in hosts]


def open_listener(
    ip: str, port: int, *, buffer_bytes: int = BUFFER_BYTES, busy_poll_us: int = 0, samples_latency: bool = True
) -> OpenSocket:
    """A socket for clients. Several workers may open the same address: the kernel spreads clients over them."""
    opened = _open(ip, port, "--listen", buffer_bytes, samples_latency=samples_latency, shares_port=True)
    if opened.is_wildcard:
        if opened.socket.family == socket.AF_INET6:
            opened.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            opened.socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    if busy_poll_us:
        _try_option(opened, SO_BUSY_POLL, busy_poll_us, "busy polling needs CAP_NET_ADMIN on this kernel")
    return opened


def open_trunk(
    ip: str, port: int, *, buffer_bytes: int = BUFFER_BYTES, is_offloading: bool = True, samples_latency: bool = True
) -> OpenSocket:
    """The socket for transceivers. A wildcard IPv6 one reaches IPv4 transceivers as well."""
    opened = _open(ip, port, "--trunk", buffer_bytes, samples_latency=samples_latency, shares_port=False)
    if is_offloading:
        opened.socket.setsockopt(socket.IPPROTO_UDP, UDP_GRO, 1)
    # ICMP errors say which transceiver is gone; without these options the kernel keeps them to itself
    opened.socket.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    if opened.socket.family == socket.AF_INET6:
        opened.socket.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    return opened


def _open(ip: str, port: int, key: str, buffer_bytes: int, *, samples_latency: bool, shares_port: bool) -> OpenSocket:
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if shares_port:
            udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            # clients: IPv4 has a listener of its own; trunk: one socket reaches both
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(shares_port))
            udp.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_OMIT)
        # DF stays clear and spoofed "fragmentation needed" messages change nothing
        udp.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_OMIT)
        udp.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        udp.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, int(samples_latency))
        udp.bind((ip, port))
        bound_ip, bound_port = udp.getsockname()[:2]
        opened = OpenSocket(udp, bound_ip, bound_port)
        _set_buffer(opened, SO_RCVBUFFORCE, socket.SO_RCVBUF, buffer_bytes, "net.core.rmem_max")
        _set_buffer(opened, SO_SNDBUFFORCE, socket.SO_SNDBUF, buffer_bytes, "net.core.wmem_max")
    except OSError as error:
        udp.close()
        raise ConfigError(key, f"cannot open {format_endpoint(ip, port)}: {error.strerror}") from error
    return opened


def _set_buffer(opened: OpenSocket, forced: int, asked: int, size: int, sysctl: str) -> None:
    """The size wanted, by privilege if we have it; less is a warning and not an error."""
    try:
        opened.socket.setsockopt(socket.SOL_SOCKET, forced, size)
    except PermissionError:
        opened.socket.setsockopt(socket.SOL_SOCKET, asked, size)
    # the kernel doubles what it is asked for, to cover its own bookkeeping
    granted = struct.unpack("i", opened.socket.getsockopt(socket.SOL_SOCKET, asked, 4))[0] // 2
    if granted < size:
        opened.warnings.append(
            f"{format_endpoint(opened.ip, opened.port)} got a buffer of {granted} bytes instead of {size}: "
            f"raise it with 'sysctl -w {sysctl}={size}'"
        )


def _try_option(opened: OpenSocket, option: int, value: int, hint: str) -> None:
    try:
        opened.socket.setsockopt(socket.SOL_SOCKET, option, value)
    except PermissionError:
        opened.warnings.append(f"{format_endpoint(opened.ip, opened.port)}: {hint}")
