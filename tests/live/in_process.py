"""A relay worker inside the test: the same sockets, pages and loop, turned by hand.

For limits that the command does not offer, and for a worker that loses its flow page.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from types import TracebackType
from typing import Self

from fastrelay._ext.relay_core import flow_page_bytes
from fastrelay._ext.relay_loop import RelayLoop
from fastrelay.relay.resources import HASH_KEY_BYTES, Page, WorkerResources, open_worker
from fastrelay.relay.settings import RelaySettings
from fastrelay.relay.worker import WorkerPlan, build_loop
from tests.live.ends import Address


class RelayInProcess:
    """Enter it, and call turn() whenever it should work."""

    def __init__(self, settings: RelaySettings) -> None:
        self._settings = settings

    def __enter__(self) -> Self:
        self._opened = open_worker(self._settings, 0, [])
        self._flow_pages = [self._opened.flow_page]
        self.loop = self._build(self._opened)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        del self.loop
        self._opened.close()
        for page in self._flow_pages[1:]:
            page.close()

    def _build(self, resources: WorkerResources) -> RelayLoop:
        settings = self._settings
        return build_loop(WorkerPlan(0, 0, resources, settings, settings.load_keys(), bytes(HASH_KEY_BYTES)), {})

    @property
    def clients(self) -> list[Address]:
        return [(listener.opened.ip, listener.opened.port) for listener in self._opened.listeners]

    @property
    def listeners(self) -> list[socket.socket]:
        return [listener.opened.socket for listener in self._opened.listeners]

    @property
    def trunk(self) -> socket.socket:
        return self._opened.trunk.socket

    def turn(self) -> None:
        self.loop.run(1)

    def lose_flows(self) -> None:
        """A successor of this worker that finds the sockets and not the flow table."""
        page = Page.new("flows", flow_page_bytes(self._settings.limits.flows), "--flows")
        self._flow_pages.append(page)
        self.loop = self._build(replace(self._opened, flow_page=page))
