"""The loop of one relay worker, in time slices without the GIL."""

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network
from mmap import mmap

from typing_extensions import Buffer, disjoint_base

from fastrelay._ext.relay_core import RelayCore
from fastrelay.relay.dataplane.limits import Limits

@disjoint_base
class RelayLoop(RelayCore):
    """A relay worker with its sockets, which stay the caller's.

    `listeners` are (fd, family, ip, port, is_wildcard, admits), `trunk` is (fd, family), `locals_` are (listener index,
    ip, port, scope). `is_offloading` lets the trunk use UDP_SEGMENT; `is_spinning` never sleeps between turns.
    """

    def __init__(
        self,
        keys: Iterable[tuple[int, bytes, int, int | None]],
        allowed: Sequence[IPv4Network | IPv6Network],
        cluster: int,
        locals_: Sequence[tuple[int, str, int, int]],
        limits: Limits,
        epoch_us: int,
        *,
        listeners: Sequence[tuple[int, int, str, int, bool, bool]],
        trunk: tuple[int, int],
        is_offloading: bool = True,
        is_spinning: bool = False,
        flow_page: mmap | bytearray | None = None,
        counter_page: mmap | bytearray | None = None,
        siblings: Sequence[Buffer] = (),
        hash_key: bytes | None = None,
    ) -> None: ...
    def run(self, slice_ms: int) -> None:
        """Works for one slice, without the GIL; returns early when a signal arrives."""

    def listener_flows(self) -> list[int]:
        """How many flows clients have on each listener, in the order of the listeners."""

    @property
    def is_offloading(self) -> bool:
        """Whether UDP_SEGMENT is still in use."""
