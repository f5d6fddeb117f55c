"""What outlives a worker: its sockets and its pages.

Lives here: opening them, describing them so that another process can take them over, and closing them.
Must not live here: socket options (io.sockets), processes (worker, crew).
"""

from __future__ import annotations

import mmap
import os
import socket
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

from fastrelay._ext.relay_core import counter_page_bytes, flow_page_bytes
from fastrelay.config.addresses import Endpoint
from fastrelay.errors import ConfigError
from fastrelay.io.sockets import OpenSocket, open_listener, open_trunk
from fastrelay.relay.settings import LOCALS_MAX, RelaySettings
from fastrelay.wire.address import format_endpoint

# Of ext/counters.h: what a supervisor looks at ten times a second. Everything else is read by fastrelay.observe.
ALIVE_MS: Final = struct.Struct("=16xQ")
FLOWS: Final = struct.Struct("=24xQ")
HASH_KEY_BYTES: Final = 32
HASH_KEY: Final = slice(32, 32 + HASH_KEY_BYTES)
"""Of struct fr_flow_page in ext/flow/table.h."""


class Page:
    """Shared memory with a name. Whoever maps the descriptor sees the same bytes, for as long as anyone has it open."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.memory = mmap.mmap(descriptor, 0)

    @classmethod
    def new(cls, name: str, size: int, key: str) -> Self:
        """Zeroed."""
        try:
            descriptor = os.memfd_create(f"fastrelay-{name}", os.MFD_CLOEXEC)
        except OSError as error:
            raise ConfigError(key, f"no memory for a page of {size} bytes: {error.strerror}") from error
        try:
            # reserved at once: memory that is missing must be missed now and not in a worker, which would die of it
            os.posix_fallocate(descriptor, 0, size)
            return cls(descriptor)
        except OSError as error:
            os.close(descriptor)
            raise ConfigError(key, f"no memory for a page of {size} bytes: {error.strerror}") from error

    def close(self) -> None:
        self.memory.close()
        os.close(self.descriptor)


@dataclass(slots=True)
class Listener:
    """A worker's own socket on an address for clients. One that is leaving takes no new flows."""

    opened: OpenSocket
    endpoint: Endpoint
    """As configured, where it may be port 0."""
    is_leaving: bool = False


@dataclass(slots=True)
class WorkerResources:
    """One worker's own: listeners beside those of its siblings, a trunk socket, a flow table and counters."""

    listeners: list[Listener]
    trunk: OpenSocket
    flow_page: Page
    counter_page: Page
    capacity: int
    """Flows that the page was made for."""
    warnings: list[str] = field(default_factory=list)

    @property
    def locals(self) -> list[tuple[int, str, int, int]]:
        """The addresses clients reach this worker at, as RelayLoop wants them."""
        return [local for at, listener in enumerate(self.listeners) for local in listener.opened.locals(at)]

    @property
    def descriptors(self) -> list[int]:
        """Everything a worker needs open."""
        sockets = [listener.opened.socket.fileno() for listener in self.listeners]
        return [*sockets, self.trunk.socket.fileno(), self.flow_page.descriptor, self.counter_page.descriptor]

    @property
    def alive_ms(self) -> int:
        """When the worker last turned its loop, on the monotonic clock."""
        (alive_ms,) = ALIVE_MS.unpack_from(self.counter_page.memory)
        return int(alive_ms)

    @property
    def flows(self) -> int:
        """Flows in the table at the end of the last slice."""
        (flows,) = FLOWS.unpack_from(self.counter_page.memory)
        return int(flows)

    @property
    def hash_key(self) -> bytes | None:
        """The key that its table hashes with; None before a worker has made the table."""
        key = self.flow_page.memory[HASH_KEY]
        return key if any(key) else None

    def replace_misfits(self, index: int) -> bool:
        """New pages where another release has made these in another size. Whether the flows are lost by that."""
        if len(self.counter_page.memory) != counter_page_bytes():
            self.counter_page.close()
            self.counter_page = Page.new(f"counters-{index}", counter_page_bytes(), "--workers")
        if len(self.flow_page.memory) == flow_page_bytes(self.capacity):
            return False
        self.flow_page.close()
        self.flow_page = Page.new(f"flows-{index}", flow_page_bytes(self.capacity), "--flows")
        return True

    def forget_flows(self) -> None:
        """Let the next worker build its table anew: for a page that kills whoever attaches to it."""
        self.flow_page.memory[:8] = bytes(8)

    def close(self) -> None:
        for listener in self.listeners:
            listener.opened.socket.close()
        self.trunk.socket.close()
        self.flow_page.close()
        self.counter_page.close()

    # --- handing over

    def describe(self, place: Callable[[int], int]) -> dict[str, Any]:
        """As JSON values; `place` says under which number the receiver will find a descriptor."""
        return {
            "listeners": [
                {
                    "fd": place(listener.opened.socket.fileno()),
                    "endpoint": list(listener.endpoint),
                    "is_leaving": listener.is_leaving,
                }
                for listener in self.listeners
            ],
            "trunk": place(self.trunk.socket.fileno()),
            "flow_page": place(self.flow_page.descriptor),
            "flow_page_bytes": len(self.flow_page.memory),
            "counter_page": place(self.counter_page.descriptor),
            "capacity": self.capacity,
        }

    @classmethod
    def restore(cls, description: Mapping[str, Any], take: Callable[[int], int]) -> Self:
        """What describe() has described; `take` turns a place into a descriptor, which is ours from then on."""
        return cls(
            [
                Listener(_restored(take(each["fd"])), (each["endpoint"][0], each["endpoint"][1]), each["is_leaving"])
                for each in description["listeners"]
            ],
            _restored(take(description["trunk"])),
            Page(take(description["flow_page"])),
            Page(take(description["counter_page"])),
            description["capacity"],
        )


def _restored(descriptor: int) -> OpenSocket:
    udp = socket.socket(fileno=descriptor)
    ip, port = udp.getsockname()[:2]
    return OpenSocket(udp, ip, port)


# --- opening ---------------------------------------------------------------------


def refuse_taken(ip: str, port: int) -> None:
    """Another relay of ours may share a port silently, and take half of the clients: look before binding."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((ip, port))
        except OSError as error:
            raise ConfigError("--listen", f"cannot open {format_endpoint(ip, port)}: {error.strerror}") from error


def open_worker(settings: RelaySettings, index: int, siblings: Sequence[WorkerResources]) -> WorkerResources:
    """Everything worker `index` needs, beside what its siblings have. ConfigError, with nothing left open."""
    listeners: list[Listener] = []
    opened: list[OpenSocket] = []
    trunk_ip, trunk_port = settings.trunk
    try:
        for endpoint in settings.listen:
            listeners.append(open_beside(settings, endpoint, siblings))
            opened.append(listeners[-1].opened)
        trunk = open_trunk(
            trunk_ip,
            trunk_port + index if trunk_port else 0,
            is_offloading=settings.is_offloading,
            samples_latency=settings.samples_latency,
        )
        opened.append(trunk)
        refuse_too_many_locals(listeners)
        flow_page = Page.new(f"flows-{index}", flow_page_bytes(settings.limits.flows), "--flows")
        try:
            counter_page = Page.new(f"counters-{index}", counter_page_bytes(), "--workers")
        except ConfigError:
            flow_page.close()
            raise
    except (ConfigError, OSError):
        for each in opened:
            each.socket.close()
        raise
    warnings = [warning for each in opened for warning in each.warnings]
    return WorkerResources(listeners, trunk, flow_page, counter_page, settings.limits.flows, warnings)


def open_beside(settings: RelaySettings, endpoint: Endpoint, siblings: Sequence[WorkerResources]) -> Listener:
    """A listener on this endpoint; where the kernel chose the port of the first, the others share it."""
    shared = [each for sibling in siblings for each in sibling.listeners if each.endpoint == endpoint]
    if shared:
        ip, port = shared[0].opened.ip, shared[0].opened.port
    else:
        ip, port = endpoint
        refuse_taken(ip, port)
    opened = open_listener(ip, port, busy_poll_us=settings.busy_poll_us, samples_latency=settings.samples_latency)
    return Listener(opened, endpoint)


def refuse_too_many_locals(listeners: Sequence[Listener]) -> None:
    count = sum(len(listener.opened.locals(at)) for at, listener in enumerate(listeners))
    if count > LOCALS_MAX:
        raise ConfigError("--listen", f"reaches {count} local addresses, at most {LOCALS_MAX}; name them")
