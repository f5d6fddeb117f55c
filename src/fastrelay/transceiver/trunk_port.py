"""The transceiver's trunk port with its socket: the public face of the compiled one.

Lives here: opening, closing, and what Python programs expect of a thing with a socket. Frames in and out are the
compiled port's (ext/trunk_port.pyx). Must not live here: sessions, waiting for the socket.

A transceiver waits for the socket in whatever way it likes, and calls three verbs:

    port.receive()          (path, payload) pairs that have arrived; call it while the socket is readable
    port.send(pairs)        the other way; as many at once as there are, because what goes to one relay shares datagrams
    port.tick()             a few times a second: relays must hear that the transceiver is alive

A path is a client as it was heard through a relay. It can be kept, compared and used as the key of a session.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from ipaddress import IPv4Network, IPv6Network
from types import TracebackType
from typing import Self

from fastrelay._ext.host import offload_works
from fastrelay._ext.trunk_port import Path, TrunkPort
from fastrelay.io.sockets import BUFFER_BYTES, OpenSocket, open_trunk
from fastrelay.routing.keys import KeyRing

__all__ = ["OpenTrunkPort", "Path", "TrunkPort", "open_trunk_port"]

PATHS = 65_536
"""Paths remembered: more than one process has clients. One forgotten is made again when it is heard."""


class OpenTrunkPort(TrunkPort):
    """A trunk port and the socket it owns. Leave its `with` block, or call close(), to close both."""

    def __init__(
        self,
        opened: OpenSocket,
        keys: KeyRing,
        allowed: Sequence[IPv4Network | IPv6Network],
        *,
        is_offloading: bool,
        path_capacity: int,
        hello_every_ms: int,
    ) -> None:
        super().__init__(
            opened.socket.fileno(),
            opened.socket.family,
            keys.entries(),
            allowed,
            time.time_ns() // 1000,
            is_offloading=is_offloading,
            path_capacity=path_capacity,
            hello_every_ms=hello_every_ms,
        )
        self._opened = opened

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the socket. Calls that would use it raise ValueError from now on; closing twice is nothing."""
        super().close()
        self._opened.socket.close()

    def fileno(self) -> int:
        """The socket's descriptor, for select, a selector or an event loop; -1 when closed."""
        return self._opened.socket.fileno()

    @property
    def address(self) -> tuple[str, int]:
        """Where it is bound: what a route token names, unless that is a wildcard."""
        return self._opened.ip, self._opened.port

    @property
    def warnings(self) -> list[str]:
        """What the host did not grant, for the operator, once."""
        return self._opened.warnings

    def set_ring(self, keys: KeyRing) -> None:
        """Take a rotated key ring. ConfigError, and the old one stays, when no key of it mints."""
        keys.minting_key(time.time())
        self.set_keys(keys.entries())


def open_trunk_port(
    address: tuple[str, int],
    keys: KeyRing,
    allowed: Sequence[IPv4Network | IPv6Network],
    *,
    is_offloading: bool = True,
    path_capacity: int = PATHS,
    hello_every_ms: int = 1000,
    buffer_bytes: int = BUFFER_BYTES,
) -> OpenTrunkPort:
    """Bind a trunk port. Port 0 lets the kernel choose; a wildcard IPv6 address reaches IPv4 relays as well.

    `allowed` are the networks relays live in: datagrams from elsewhere are refused and counted. `is_offloading` lets it
    use UDP_GRO and UDP_SEGMENT, where this kernel carries them soundly. ConfigError when the address cannot be bound or
    no key of the ring mints.
    """
    keys.minting_key(time.time())
    is_offloading = is_offloading and offload_works(":" in address[0])
    opened = open_trunk(*address, buffer_bytes=buffer_bytes, is_offloading=is_offloading, samples_latency=False)
    with ExitStack() as undo:
        undo.callback(opened.socket.close)
        port = OpenTrunkPort(
            opened,
            keys,
            allowed,
            is_offloading=is_offloading,
            path_capacity=path_capacity,
            hello_every_ms=hello_every_ms,
        )
        undo.pop_all()
    return port
