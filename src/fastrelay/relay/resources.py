"""What outlives a worker: its sockets and its pages.

Lives here: opening them, all before privileges are dropped and before a worker is forked, and closing them.
Must not live here: socket options (sockets), processes (worker, supervisor).
"""

from __future__ import annotations

import mmap
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from fastrelay._ext.relay_core import counter_page_bytes, flow_page_bytes
from fastrelay.errors import ConfigError
from fastrelay.io.sockets import OpenSocket, open_listener, open_trunk
from fastrelay.relay.settings import LOCALS_MAX, Endpoint, RelaySettings
from fastrelay.wire.address import format_endpoint


@dataclass(frozen=True, slots=True)
class WorkerResources:
    """One worker's own: listeners beside those of its siblings, a trunk socket, a flow table and counters."""

    listeners: tuple[OpenSocket, ...]
    trunk: OpenSocket
    flow_page: mmap.mmap
    counter_page: mmap.mmap

    @property
    def locals(self) -> list[tuple[int, str, int, int]]:
        """The addresses clients reach this worker at, as RelayLoop wants them."""
        return [local for at, opened in enumerate(self.listeners) for local in opened.locals(at)]

    def close(self) -> None:
        for opened in (*self.listeners, self.trunk):
            opened.socket.close()
        self.flow_page.close()
        self.counter_page.close()


def open_resources(settings: RelaySettings) -> list[WorkerResources]:
    """Open what every worker needs. ConfigError, with nothing left open, when the host does not allow it."""
    for ip, port in settings.listen:
        _refuse_taken(ip, port)
    opened: list[WorkerResources] = []
    listen: Sequence[Endpoint] = settings.listen
    try:
        for index in range(settings.workers):
            opened.append(_open_worker(settings, listen, index))
            # where the kernel chose a port, the other workers must share it
            listen = [(listener.ip, listener.port) for listener in opened[0].listeners]
    except (ConfigError, OSError):
        for resources in opened:
            resources.close()
        raise
    return opened


def _refuse_taken(ip: str, port: int) -> None:
    """Another relay of ours may share a port silently, and take half of the clients: look before binding."""
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        if family == socket.AF_INET6:
            probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        try:
            probe.bind((ip, port))
        except OSError as error:
            raise ConfigError("--listen", f"cannot open {format_endpoint(ip, port)}: {error.strerror}") from error


def _open_worker(settings: RelaySettings, listen: Sequence[Endpoint], index: int) -> WorkerResources:
    sockets: list[OpenSocket] = []
    trunk_ip, trunk_port = settings.trunk
    try:
        for ip, port in listen:
            sockets.append(
                open_listener(ip, port, busy_poll_us=settings.busy_poll_us, samples_latency=settings.samples_latency)
            )
        sockets.append(
            open_trunk(
                trunk_ip,
                trunk_port + index if trunk_port else 0,
                is_offloading=settings.is_offloading,
                samples_latency=settings.samples_latency,
            )
        )
        locals_count = sum(len(opened.locals(at)) for at, opened in enumerate(sockets[:-1]))
        if locals_count > LOCALS_MAX:
            raise ConfigError("--listen", f"reaches {locals_count} local addresses, at most {LOCALS_MAX}; name them")
        flow_page = _page(f"flows-{index}", flow_page_bytes(settings.limits.flows), "--flows")
        counter_page = _page(f"counters-{index}", counter_page_bytes(), "--workers")
    except (ConfigError, OSError):
        for opened in sockets:
            opened.socket.close()
        raise
    return WorkerResources(tuple(sockets[:-1]), sockets[-1], flow_page, counter_page)


def _page(name: str, size: int, key: str) -> mmap.mmap:
    """Zeroed memory that is shared with the worker and, later, with its successor."""
    descriptor = os.memfd_create(f"fastrelay-{name}", os.MFD_CLOEXEC)
    try:
        os.ftruncate(descriptor, size)
        return mmap.mmap(descriptor, size)
    except OSError as error:
        raise ConfigError(key, f"no memory for a page of {size} bytes: {error.strerror}") from error
    finally:
        os.close(descriptor)
