"""What the supervisor opens and its workers use: the HTTP port, and a unix socket for each worker's neighbours.

Lives here: opening them, and the slots that the latter are named by. Must not live here: serving on them (worker).
"""

from __future__ import annotations

import errno
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from fastrelay.config.addresses import Endpoint
from fastrelay.errors import ConfigError
from fastrelay.service.run_dir import listen_at
from fastrelay.transceiver.worker.plan import SLOTS, socket_name
from fastrelay.wire.address import format_endpoint

BACKLOG: Final = 1024
ORPHANS_PATIENCE_S: Final = 3.0
"""How long workers of a supervisor that has died may take to let go of the HTTP port."""
RETRY_S: Final = 0.05


def listen_on(endpoint: Endpoint, key: str, *, patience_s: float = 0.0) -> socket.socket:
    """ConfigError when the address is taken, for as long as the patience lasts."""
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            return _listen(endpoint)
        except OSError as error:
            if error.errno != errno.EADDRINUSE or time.monotonic() >= deadline_s:
                where = format_endpoint(*endpoint)
                raise ConfigError(key, f"cannot open {where}: {error.strerror}") from error
        time.sleep(RETRY_S)


def _listen(endpoint: Endpoint) -> socket.socket:
    ip, port = endpoint
    opened = socket.socket(socket.AF_INET6 if ":" in ip else socket.AF_INET, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((ip, port))
        opened.listen(BACKLOG)
    except OSError:
        opened.close()
        raise
    return opened


class Neighbourhood:
    """A folder of unix sockets, by slot. Slots of a former supervisor's workers that still drain stay theirs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._used: set[int] = set()
        self._next = 0
        self.orphans = self._find_orphans()

    def _find_orphans(self) -> set[int]:
        found = set()
        for slot in range(SLOTS):
            path = self.folder / socket_name(slot)
            if path.exists() and _answers(path):
                found.add(slot)
            else:
                path.unlink(missing_ok=True)
        return found

    def open(self) -> tuple[int, socket.socket]:
        """A free slot, and its listening socket, which is the caller's to close."""
        slot = self._free_slot()
        end = listen_at(self.folder / socket_name(slot), socket.SOCK_STREAM, BACKLOG)
        self._used.add(slot)
        return slot, end

    def release(self, slot: int) -> None:
        """Its worker has ended."""
        self._used.discard(slot)
        with suppress(OSError):  # the folder may have gone before us
            (self.folder / socket_name(slot)).unlink()

    def _free_slot(self) -> int:
        # in turn, so that a slot's next owner comes as late as it can
        for step in range(SLOTS):
            slot = (self._next + step) % SLOTS
            if slot not in self._used and slot not in self.orphans:
                self._next = slot + 1
                return slot
        raise ConfigError("--workers", f"all {SLOTS} slots are taken by workers that drain; end some of them")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as end:
        try:
            end.connect(str(path))
        except OSError:
            return False
        return True
