"""A relay in Python as its users write one: a datagram endpoint, a dictionary, an upstream endpoint for each client.

`python asyncio_relay.py ADDR:PORT BUFFER_BYTES [uvloop]`. The first packet of a client is a STUN check whose ufrag
begins with the transceiver's address and port (12 hexadecimal digits).

Lives here: the whole relay; it is started by path and imports nothing of this repository. Must not live here: anything
of the harness.
"""

import asyncio
import ipaddress
import signal
import socket
import struct
import sys
from typing import cast

Address = tuple[str, int]
STUN_HEADER = 20
STUN_COOKIE = b"\x21\x12\xa4\x42"
USERNAME = 6
ROUTE_DIGITS = 12
# packets that wait while the upstream endpoint of their client is being opened
WAITING_MAX = 16


def route_of(packet: bytes) -> Address | None:
    """The transceiver that the ufrag of a STUN check names; None for anything else."""
    if len(packet) < STUN_HEADER or packet[0] > 3 or packet[4:8] != STUN_COOKIE:
        return None
    at = STUN_HEADER
    while at + 4 <= len(packet):
        kind, length = struct.unpack_from(">HH", packet, at)
        at += 4
        if kind == USERNAME:
            try:
                route = bytes.fromhex(packet[at : at + min(length, ROUTE_DIGITS)].decode())
            except ValueError:
                return None
            if len(route) * 2 != ROUTE_DIGITS:
                return None
            return str(ipaddress.IPv4Address(route[:4])), int.from_bytes(route[4:], "big")
        at += (length + 3) & ~3
    return None


class Upstream(asyncio.DatagramProtocol):
    """The socket of one client towards its transceiver."""

    def __init__(self, listener: asyncio.DatagramTransport, client: Address) -> None:
        self._listener = listener
        self._client = client

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Sends what the transceiver answers to the client."""
        self._listener.sendto(data, self._client)

    def error_received(self, exc: Exception) -> None:
        """A transceiver that is away for the moment is no reason to forget the client."""


class Relay(asyncio.DatagramProtocol):
    """The socket that all clients send to."""

    def __init__(self) -> None:
        self._transport: asyncio.DatagramTransport | None = None
        self._upstreams: dict[Address, asyncio.DatagramTransport] = {}
        self._waiting: dict[Address, list[bytes]] = {}
        self._opening: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the socket."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Forwards at once when the client is known."""
        upstream = self._upstreams.get(addr)
        if upstream is not None:
            upstream.sendto(data)
            return
        waiting = self._waiting.get(addr)
        if waiting is not None:
            if len(waiting) < WAITING_MAX:
                waiting.append(data)
            return
        to = route_of(data)
        if to is None:
            return
        self._waiting[addr] = [data]
        task = asyncio.get_running_loop().create_task(self._open(addr, to))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    def error_received(self, exc: Exception) -> None:
        """A client that is away is no reason to stop."""

    async def _open(self, client: Address, to: Address) -> None:
        listener = self._transport
        if listener is None:
            return
        loop = asyncio.get_running_loop()
        upstream, _ = await loop.create_datagram_endpoint(lambda: Upstream(listener, client), remote_addr=to)
        self._upstreams[client] = upstream
        for packet in self._waiting.pop(client):
            upstream.sendto(packet)


async def serve(listen: Address, buffer_bytes: int) -> None:
    """Runs until SIGTERM."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
    sock.bind(listen)
    await loop.create_datagram_endpoint(Relay, sock=sock)
    await stopping.wait()


def main() -> None:
    """Chooses the loop."""
    host, _, port = sys.argv[1].rpartition(":")
    serving = serve((host, int(port)), int(sys.argv[2]))
    if sys.argv[3:] == ["uvloop"]:
        import uvloop  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - only where it is asked for

        uvloop.run(serving)
    else:
        asyncio.run(serving)


if __name__ == "__main__":
    main()
