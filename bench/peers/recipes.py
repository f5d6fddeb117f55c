"""The relays written here after what is published: in Python, on both loops, and in Go, with and without batches.

Lives here: how ours are built and started. Must not live here: their sources (asyncio_relay.py, go/relay).
"""

import platform
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.peers import asyncio_relay
from bench.peers.child_peer import ChildPeer
from bench.peers.install import go_program, go_version, python_package
from bench.peers.peer import BUFFER_BYTES, Endpoint, Opening, Route
from fastrelay.wire.address import format_endpoint

UVLOOP = "uvloop==0.22.1"
GO_BATCH = 64
# collector and scheduler as Go ships them; it finds one processor, to which it is bound before it starts, and takes as
# many receivers (GOMAXPROCS) as that
GO_DEFAULTS = {"GOGC": "100", "GOMEMLIMIT": "off", "GODEBUG": "", "GOMAXPROCS": ""}
# by (is_batched, is_shared)
NOTES = {
    (False, False): "The recipe as published: whoever answers to a flow's socket reaches its client.",
    (True, False): "It receives in batches; every flow has a socket of its own, so up each packet is still a call.",
    (False, True): "The cheapest way up without batches, and a reader's own choice: it has no way back to a client.",
    (True, True): "The cheapest of the four: both calls are batched. It has no way back to a client.",
}


class PythonRelay(ChildPeer):
    """The pure Python relay on asyncio's own loop."""

    name = "asyncio"
    what = "a Python relay on asyncio: one packet a call, a socket per flow"
    opening = Opening.CHECK

    def prepare(self) -> str:
        """Needs nothing."""
        return f"Python {platform.python_version()}"

    def command(self, listen: Endpoint, route: Route) -> list[str]:
        """The script by its path: it is no part of the harness."""
        return [sys.executable, str(Path(asyncio_relay.__file__)), format_endpoint(*listen), str(BUFFER_BYTES)]


class UvloopRelay(PythonRelay):
    """The same script on uvloop."""

    name = "uvloop"
    what = "the same Python relay on uvloop: one packet a call, a socket per flow"

    def prepare(self) -> str:
        """Installs uvloop beside the environment."""
        python_package(UVLOOP)
        return f"Python {platform.python_version()}, {UVLOOP}"

    def command(self, listen: Endpoint, route: Route) -> list[str]:
        """The script with the other loop."""
        return [*super().command(listen, route), "uvloop"]

    def environment(self) -> Mapping[str, str]:
        """Where uvloop has been put."""
        return {"PYTHONPATH": str(python_package(UVLOOP))}


class GoRelay(ChildPeer):
    """The Go relay: one packet a call or batches; an upstream socket per flow or one for all."""

    opening = Opening.CHECK

    def __init__(self, *, is_batched: bool, is_shared: bool) -> None:
        super().__init__()
        self._is_batched, self._is_shared = is_batched, is_shared
        calls, sockets = "batch" if is_batched else "single", "shared" if is_shared else "flow"
        self.name = f"go-{calls}-{sockets}"
        self.what = (
            "a Go relay after the published recipe: "
            + (f"batched calls (x/net, {GO_BATCH} packets), " if is_batched else "one packet a call, ")
            + ("one shared upstream socket" if is_shared else "a socket per flow")
        )
        self.note = NOTES[is_batched, is_shared]
        # from a socket that all flows share, a plain packet says nothing of whom it is for
        self.is_both_ways = not is_shared

    def prepare(self) -> str:
        """Builds it."""
        go_program("relay")
        return go_version("golang.org/x/net" if self._is_batched else None)

    def environment(self) -> Mapping[str, str]:
        """Go's own settings, whatever those of the harness."""
        return GO_DEFAULTS

    def command(self, listen: Endpoint, route: Route) -> list[str]:
        """Its options."""
        return [
            *(str(go_program("relay")), "-listen", format_endpoint(*listen), "-buffer", str(BUFFER_BYTES)),
            *("-batch", str(GO_BATCH if self._is_batched else 1)),
            *("-upstream", "shared" if self._is_shared else "flow"),
        ]
