"""One worker's state and decisions, without sockets."""

from collections.abc import Container, Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from mmap import mmap
from typing import Any

from typing_extensions import Buffer, disjoint_base

from fastrelay.relay.dataplane.limits import Limits

VERDICT_NAMES: tuple[str, ...]
EVENT_NAMES: tuple[str, ...]
LIMIT_NAMES: tuple[str, ...]
__pyx_capi__: dict[str, Any]

def flow_page_bytes(capacity: int) -> int:
    """Bytes of shared memory a flow table of this capacity takes. ValueError when it is out of range."""

def flow_page_layout(capacity: int) -> dict[str, int]:
    """Where readers of a flow page find its parts, in bytes from the start; `end` is the length of the page."""

def counter_page_bytes() -> int:
    """Bytes of shared memory the counters of one worker take."""

@disjoint_base
class RelayCore:
    """A relay worker's decisions over its flow table: no sockets, and time is an argument."""

    def __init__(
        self,
        keys: Iterable[tuple[int, bytes, int, int | None]],
        allowed: Sequence[IPv4Network | IPv6Network],
        cluster: int,
        locals_: Sequence[tuple[str, int]],
        limits: Limits,
        epoch_us: int,
        *,
        flow_page: mmap | bytearray | None = None,
        counter_page: mmap | bytearray | None = None,
        siblings: Sequence[Buffer] = (),
        hash_key: bytes | None = None,
        leaving: Container[int] = (),
    ) -> None: ...
    def set_keys(self, keys: Iterable[tuple[int, bytes, int, int | None]]) -> None:
        """Replaces the key ring. ValueError leaves the old one."""

    def set_allowed(self, networks: Sequence[IPv4Network | IPv6Network]) -> None:
        """Replaces the networks that transceivers may live in."""

    def set_limits(self, limits: Limits) -> None:
        """Replaces the limits; the capacity of the tables stays what it was."""

    def set_draining(self, is_draining: bool) -> None:
        """Draining, sessions without a flow are refused, and the HELLOs say so; the others go on as ever."""

    def set_siblings(self, pages: Sequence[Buffer]) -> None:
        """Replaces the flow pages of the relay's other workers, read only. ValueError when one is none."""

    @property
    def hash_key(self) -> bytes:
        """The flow page's: of the page that was taken over, or as it was given for a new one."""

    def handle_up(
        self, packets: Sequence[tuple[bytes, tuple[str, int, int], int]], now_ms: int, unix_s: int
    ) -> tuple[list[int], list[tuple[tuple[str, int], bytes]]]:
        """One receive batch of (payload, (ip, port, scope), via): verdicts, and (transceiver, trunk datagram) pairs."""

    def handle_down(
        self, datagrams: Sequence[tuple[tuple[str, int], bytes]], now_ms: int, unix_s: int
    ) -> tuple[list[int], list[int], list[tuple[tuple[str, int, int], int, bytes]]]:
        """(source, datagram) pairs: a verdict of each, of each frame, and (client, via, payload) for what is sent."""

    def sweep(self, now_ms: int) -> None:
        """Looks at every flow once."""

    def hello(self, now_us: int, unix_s: int) -> list[tuple[tuple[str, int], bytes]]:
        """The HELLOs that are due, as (transceiver, datagram) pairs."""

    def insert_flow(
        self,
        client: tuple[str, int] | tuple[str, int, int],
        transceiver: tuple[str, int],
        via: int = 0,
        now_ms: int = 0,
    ) -> None:
        """Makes a confirmed flow as a trunk frame would, budgets aside: for benchmarks and tools that fill tables."""

    def flows(
        self,
    ) -> list[tuple[tuple[str, int, int], int, tuple[str, int], bytes, bool, int, int, int, int]]:
        """Every flow: client, via, transceiver, session id, confirmed, last seen, packets up and down, bytes up."""

    def peers(self) -> list[tuple[tuple[str, int], int, int, int, int, int, int]]:
        """Every transceiver: address, flows, datagrams received and lost, round trip in us, last heard, ICMP errors."""

    def counters(self) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
        """(packets by verdict, bytes by verdict, events), by name."""
