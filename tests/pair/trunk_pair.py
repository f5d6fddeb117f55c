"""A relay worker and a transceiver's trunk port in one process, both compiled, joined by real sockets.

Lives here: making both ends, and turning them by hand until something is true. Must not live here: expectations.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from ipaddress import ip_network
from types import TracebackType
from typing import Self

from fastrelay._ext.relay_core import flow_page_bytes
from fastrelay._ext.relay_loop import RelayLoop
from fastrelay.observe.counters import CounterPage
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.relay.resources import HASH_KEY_BYTES, Page, open_worker
from fastrelay.relay.settings import RelaySettings
from fastrelay.relay.worker import WorkerPlan, build_loop
from fastrelay.routing import KeyRing, mint_token
from fastrelay.transceiver import OpenTrunkPort, Path, open_trunk_port
from tests.live.ends import PATIENCE_S, Address, CallingClient

BOTH_FAMILIES = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
HELLO_EVERY_MS = 20
Heard = list[tuple[Path, bytes]]


class TrunkPair:
    """Enter it; whatever is opened through it is closed with it."""

    def __init__(
        self,
        *listen: str,
        trunk: str = "127.0.0.1",
        port: str = "127.0.0.1",
        is_offloading: bool = True,
        path_capacity: int = 1024,
    ) -> None:
        self.ring = KeyRing.new(now_s=int(time.time()))
        self.settings = RelaySettings(
            listen=tuple((ip, 0) for ip in listen or ("127.0.0.1",)),
            trunk=(trunk, 0),
            allowed=BOTH_FAMILIES if trunk == "::" else (ip_network(trunk),),
            load_keys=lambda: self.ring,
            limits=Limits(flows=4096, hello_every_ms=HELLO_EVERY_MS),
            is_offloading=is_offloading,
        )
        self._port_ip, self._path_capacity = port, path_capacity
        self._heard: Heard = []

    def __enter__(self) -> Self:
        with ExitStack() as undo:
            self.resources = open_worker(self.settings, 0, [])
            undo.callback(self.resources.close)
            self.loop = self._start_relay(self.resources.flow_page)
            undo.callback(self._let_go)
            self.port = self.open_port((self._port_ip, 0))
            undo.callback(self._close_port)  # whichever it is by then
            self.opened = undo.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.opened.close()

    def _let_go(self) -> None:
        """A loop holds the pages that are about to be closed."""
        self.__dict__.pop("loop", None)

    def _close_port(self) -> None:
        self.port.close()

    # --- the ends

    def _start_relay(self, flow_page: Page) -> RelayLoop:
        resources = replace(self.resources, flow_page=flow_page)
        return build_loop(WorkerPlan(0, 0, resources, self.settings, self.ring, bytes(HASH_KEY_BYTES)), {})

    def restart_relay(self, *, loses_flows: bool) -> None:
        """A successor that finds the sockets, and the flow table or an empty one."""
        page = self.resources.flow_page
        if loses_flows:
            page = Page.new("flows", flow_page_bytes(self.settings.limits.flows), "--flows")
            self.opened.callback(page.close)
            self.opened.callback(self._let_go)
        self.loop = self._start_relay(page)

    def open_port(self, address: Address) -> OpenTrunkPort:
        return open_trunk_port(
            address,
            self.ring,
            BOTH_FAMILIES,
            is_offloading=self.settings.is_offloading,
            path_capacity=self._path_capacity,
            hello_every_ms=HELLO_EVERY_MS,
        )

    def restart_port(self) -> None:
        """The transceiver's process again, at the same address."""
        address = self.port.address
        self.port.close()
        self.port = self.open_port(address)

    def client(self, ip: str = "127.0.0.1", listener: int = 0, port: int = 0) -> CallingClient:
        """A client with a token for the port, calling this listener."""
        called = self.resources.listeners[listener].opened
        minted = mint_token(self.ring, to=self.port.address, now_s=time.time())
        client = CallingClient(ip, (called.ip, called.port), minted, port=port, turn=self.turn)
        self.opened.callback(client.socket.close)
        # the test reads one client after the other, and the default holds less than a hundred large packets
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        return client

    # --- turning

    def turn(self) -> None:
        """The relay works for a slice, then the port receives."""
        self.loop.run(1)
        self._heard += self.port.receive()

    def until(self, claim: Callable[[], bool], what: str) -> None:
        """Turn until the claim is true; fail when it does not become so."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not claim():
            assert time.monotonic() < deadline_s, f"not in {PATIENCE_S:.0f} s: {what}"
            self.turn()

    def hear(self, count: int) -> Heard:
        """The next frames at the port, that many and no more."""
        self.until(lambda: len(self._heard) >= count, f"{count} frames, only {len(self._heard)} have come")
        heard, self._heard = self._heard, []
        assert len(heard) == count
        return heard

    def admit(self, client: CallingClient) -> Path:
        """The client's check goes up and is answered, which confirms its flow."""
        check = client.check()
        ((path, payload),) = self.hear(1)
        assert payload == check
        self.port.send([(path, b"\x01\x01answer")])
        assert client.receive() == (b"\x01\x01answer", client.relay)
        return path

    # --- counters

    def at_port(self, verdict: str) -> int:
        return CounterPage(self.port.counters()).packets(verdict)

    def at_relay(self, verdict: str) -> int:
        return self.loop.counters()[0][verdict]
