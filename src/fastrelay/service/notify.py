"""Telling a service manager how a service is: readiness, reloading, stopping, the watchdog, and what it keeps for us.

Lives here: the protocol of sd_notify(3) and of the descriptor store. Without $NOTIFY_SOCKET nothing is sent.
Must not live here: when to tell what (supervisor).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping, MutableMapping, Sequence

from fastrelay.observe.logs import facts

LOG = logging.getLogger(__name__)

FIRST_DESCRIPTOR = 3


class ServiceManager:
    """Whoever started us, if it listens."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        watchdog_us = environ.get("WATCHDOG_USEC", "")
        self._watchdog_s = int(watchdog_us) / 2e6 if watchdog_us.isdigit() else None
        self._fed_s = 0.0
        # systemd before 254 does not say, and ignores what it has no room for
        self._keeps_descriptors = environ.get("FDSTORE") != "0"

    @property
    def keeps_descriptors(self) -> bool:
        """Whether it may hold descriptors for us."""
        return bool(self._address) and self._keeps_descriptors

    def ready(self, status: str) -> None:
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        self._tell("STOPPING=1", f"STATUS={status}")

    def status(self, status: str) -> None:
        self._tell(f"STATUS={status}")

    def feed_watchdog(self) -> None:
        """At half the interval in which it must be heard."""
        now_s = time.monotonic()
        if self._watchdog_s is not None and now_s - self._fed_s >= self._watchdog_s:
            self._fed_s = now_s
            self._tell("WATCHDOG=1")

    def keep(self, name: str, descriptor: int) -> None:
        """Have it held for whoever is started next."""
        if self.keeps_descriptors:
            self._tell("FDSTORE=1", f"FDNAME={name}", descriptors=[descriptor])

    def forget(self, name: str) -> None:
        if self.keeps_descriptors:
            self._tell("FDSTOREREMOVE=1", f"FDNAME={name}")

    def _tell(self, *lines: str, descriptors: Sequence[int] = ()) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
                end.connect(self._address)
                socket.send_fds(end, ["\n".join(lines).encode()], list(descriptors))
        except OSError as error:
            # a service outlives whoever started it
            LOG.warning("the service manager does not listen any more", extra=facts(problem=str(error)))
            self._address = ""


def kept_descriptors(environ: MutableMapping[str, str]) -> dict[str, int]:
    """What the service manager has kept for us, by name; the variables are used up."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "0")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not count.isdigit():
        return {}
    kept = dict(zip(names, range(FIRST_DESCRIPTOR, FIRST_DESCRIPTOR + int(count)), strict=False))
    for descriptor in kept.values():
        os.set_inheritable(descriptor, False)
    return kept
