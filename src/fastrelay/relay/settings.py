"""What an operator decides about a relay, checked before anything is opened.

Lives here: the settings, and every refusal that needs no system call. Must not live here: options and their help
(fastrelay.cli.relay), the data plane's own limits (dataplane.limits).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

from fastrelay._ext.relay_core import flow_page_bytes
from fastrelay.config.addresses import Endpoint, Network
from fastrelay.config.workers import WORKERS_MAX
from fastrelay.errors import ConfigError
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.routing.keys import KeyRing
from fastrelay.service.schema import DRAIN_TIMEOUT_MAX_S
from fastrelay.wire.address import PORT_MAX, format_endpoint

# Shapes of ext/limits.h; a test holds them equal.
LISTENERS_MAX = 16
LOCALS_MAX = 64
ALLOWED_MAX = 64


class Steering(StrEnum):
    """Who chooses the worker of a client's packet."""

    AUTO = "auto"
    """`cpu` where each worker has a receive queue's CPU for itself, else `hash`."""
    CPU = "cpu"
    """The worker on the CPU that received it: no packet crosses to another core."""
    HASH = "hash"
    """A hash of the client's address: even, and the same worker for the same client."""
    KERNEL = "kernel"
    """The kernel's own hash, with no program of ours. Retiring a worker then may lose what waits for it."""


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """One relay. Raises ConfigError, naming the option, for what cannot work."""

    listen: tuple[Endpoint, ...]
    """Addresses for clients. Port 0 lets the kernel choose."""
    trunk: Endpoint
    """Address towards transceivers. Worker i takes this port plus i; 0 lets the kernel choose each."""
    allowed: tuple[Network, ...]
    """Where transceivers may live."""
    load_keys: Callable[[], KeyRing]
    """Reads the key ring, at start and at each reload."""
    cluster: int = 0
    workers: int | None = None
    """None: one for each CPU of this process, or for each of `cpus`."""
    cpus: tuple[int, ...] = ()
    """CPU of each worker in order; empty lets the workers take the process's CPUs in turn."""
    steering: Steering = Steering.AUTO
    limits: Limits = field(default_factory=Limits)
    busy_poll_us: int = 0
    is_spinning: bool = False
    is_offloading: bool = True
    samples_latency: bool = True
    user: str | None = None
    """Whom to become once sockets are open."""
    admin: Endpoint | None = None
    """Where health and metrics are served over TCP; None: only inside the run directory."""
    run_dir: Path | None = None
    """Where a later supervisor and the operator's commands find this relay. Without one, workers end with it."""
    drain_timeout_s: float = 3600.0
    """How long a draining relay waits for its calls to end."""
    log_form: str = "console"
    shown: Mapping[str, object] = field(default_factory=dict)
    """The configuration as an operator may see it: key -> value and where it was set."""

    def __post_init__(self) -> None:
        self._check_listen()
        self._check_trunk()
        self._check_workers()
        try:
            flow_page_bytes(self.limits.flows)
        except (ValueError, OverflowError) as error:
            raise ConfigError("--flows", str(error)) from None
        if not 0 <= self.drain_timeout_s <= DRAIN_TIMEOUT_MAX_S:
            raise ConfigError("--drain-timeout", f"{self.drain_timeout_s:g} is not within 0-{DRAIN_TIMEOUT_MAX_S:g} s")

    @property
    def worker_count(self) -> int | None:
        """How many workers are asked for; None leaves it to the machine."""
        return len(self.cpus) or None if self.workers is None else self.workers

    def _check_workers(self) -> None:
        if self.workers is not None and not 1 <= self.workers <= WORKERS_MAX:
            raise ConfigError("--workers", f"{self.workers} is not within 1-{WORKERS_MAX}")
        if len(self.cpus) > WORKERS_MAX:
            raise ConfigError("--workers", f"{len(self.cpus)} CPUs are named, at most {WORKERS_MAX}")
        if self.cpus and self.workers is not None and len(self.cpus) != self.workers:
            raise ConfigError("--workers", f"{len(self.cpus)} CPUs are named for {self.workers} workers")

    def _check_listen(self) -> None:
        if not 1 <= len(self.listen) <= LISTENERS_MAX:
            raise ConfigError("--listen", f"{len(self.listen)} addresses, must be 1 to {LISTENERS_MAX}")
        for at, endpoint in enumerate(self.listen):
            if endpoint[1] and endpoint in self.listen[:at]:
                raise ConfigError("--listen", f"{format_endpoint(*endpoint)} is given twice")

    def _check_trunk(self) -> None:
        ip, port = self.trunk
        last_port = port + (self.worker_count or 1) - 1
        if port and last_port > PORT_MAX:
            raise ConfigError("--trunk", f"{self.worker_count} workers from port {port} on would pass port {PORT_MAX}")
        if not 1 <= len(self.allowed) <= ALLOWED_MAX:
            raise ConfigError("--allow", f"{len(self.allowed)} networks, must be 1 to {ALLOWED_MAX}")
        own = ip_address(ip)
        for network in self.allowed:
            reaches_both = own.version == 6 and own.is_unspecified
            if network.version != own.version and not reaches_both:
                raise ConfigError("--allow", f"{network} cannot be reached from --trunk {ip}; use --trunk '[::]'")
