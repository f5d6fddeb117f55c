"""The transceiver's end of the trunk: batches of frames in, batches of frames out, one socket."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from typing import final

from typing_extensions import disjoint_base

@final
class Path:
    """A client, and the relay and local address it was heard through: where a reply goes."""

    def __init__(self, client: tuple[str, int] | tuple[str, int, int], relay: tuple[str, int], via: int) -> None: ...
    @property
    def client(self) -> tuple[str, int, int]:
        """The client's (ip, port, scope)."""

    @property
    def relay(self) -> tuple[str, int]:
        """The relay's (ip, port)."""

    @property
    def via(self) -> int: ...
    def __hash__(self) -> int: ...

@disjoint_base
class TrunkPort:
    """A transceiver's trunk socket."""

    def __init__(
        self,
        fd: int,
        family: int,
        keys: Iterable[tuple[int, bytes, int, int | None]],
        allowed: Sequence[IPv4Network | IPv6Network],
        epoch_us: int,
        *,
        is_offloading: bool = True,
        path_capacity: int = 65536,
        hello_every_ms: int = 1000,
        peer_forget_ms: int = 60000,
    ) -> None: ...
    def close(self) -> None:
        """Let go of the socket, which stays the caller's. What would use it raises ValueError from now on."""

    def set_keys(self, keys: Iterable[tuple[int, bytes, int, int | None]]) -> None:
        """Replace the key ring."""

    def receive(self) -> list[tuple[Path, bytes]]:
        """What has arrived, in order; empty when nothing has. Never waits."""

    def send(self, frames: Iterable[tuple[Path, bytes]]) -> None:
        """Send (path, payload) pairs of 1 to 2048 bytes, at once, in few datagrams, in order for each client."""

    def send_close(self, paths: Iterable[Path]) -> None:
        """Tell the relays to forget these clients' flows."""

    def tick(self) -> None:
        """Send the HELLOs that are due and take in ICMP errors; call it a few times a second."""

    def relays(self) -> list[tuple[tuple[str, int], int, int, int, int]]:
        """Every relay heard: address, datagrams received, lost, round trip in us, last heard in ms."""

    def counters(self) -> bytes:
        """The port's counters, laid out as a worker's counter page."""

    @property
    def is_offloading(self) -> bool:
        """Whether UDP_SEGMENT is still in use."""
