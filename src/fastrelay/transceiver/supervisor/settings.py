"""What an operator decides about a transceiver, checked before anything is opened.

Lives here: the settings, and every refusal that needs no system call. Must not live here: options and their help
(fastrelay.cli), what of it a worker is told (worker.plan).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from fastrelay.config.addresses import Endpoint, Network
from fastrelay.errors import ConfigError
from fastrelay.http.settings import SECRET_LIFETIME_S
from fastrelay.routing.keys import KeyRing
from fastrelay.transceiver.worker.plan import TRUNK_PORTS, Role
from fastrelay.wire.address import PORT_MAX, format_endpoint

WORKERS_MAX = 64
"""Each may have a predecessor that drains, and slots are one byte."""
RELAYS_MAX = 8
"""Each is a candidate in every answer."""
ALLOWED_MAX = 64


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Bounds of one worker."""

    calls: int = 2000
    offers_per_s: int = 200
    offers_burst: int = 500
    call_s: int = 7200
    memory_mib: int = 0
    """Above which a worker is replaced while its calls go on; 0: not watched."""


@dataclass(frozen=True, slots=True)
class Signalling:
    """The HTTP side. `api_keys_file` is None when anyone may call, and then `is_open` says that this is meant."""

    listen: Endpoint = ("127.0.0.1", 8080)
    api_keys_file: Path | None = None
    is_open: bool = False
    allowed_origins: tuple[str, ...] | None = None
    """None: all where calls take a key; where they are open, only pages of our own."""
    public_url: str | None = None
    redirect_to: str | None = None
    secret_lifetime_s: int = SECRET_LIFETIME_S
    serves_demo: bool = False
    certificate_file: Path | None = None
    key_file: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TransceiverSettings:
    """One transceiver. Raises ConfigError, naming the option, for what cannot work."""

    trunk: Endpoint
    """This machine as relays reach it. Port 0 lets the kernel choose; else the first free of TRUNK_PORTS."""
    relays: tuple[Endpoint, ...]
    """Public addresses of relays."""
    allowed: tuple[Network, ...]
    """Networks that relays speak from."""
    load_keys: Callable[[], KeyRing]
    """Reads the key ring, at start and at each reload."""
    signalling: Signalling = field(default_factory=Signalling)
    cluster: int = 0
    agent: str = "fastrelay.agent.echo:echo"
    dtls_role: Role = "passive"
    workers: int | None = None
    """None: one for each CPU of this process, or for each of `cpus`."""
    cpus: tuple[int, ...] = ()
    limits: CallLimits = field(default_factory=CallLimits)
    user: str | None = None
    admin: Endpoint | None = None
    run_dir: Path | None = None
    drain_timeout_s: float = 3600.0
    log_form: str = "console"
    shown: Mapping[str, object] = field(default_factory=dict)
    """The configuration as an operator may see it: key -> value and where it was set."""

    def __post_init__(self) -> None:
        self._check_trunk()
        self._check_relays()
        self._check_signalling()
        if (self.worker_count or 0) > WORKERS_MAX:
            raise ConfigError("--workers", f"{self.worker_count} workers, at most {WORKERS_MAX}")
        if self.limits.offers_burst < 1:
            raise ConfigError("limits.offers_burst", "must let at least one offer in")

    @property
    def worker_count(self) -> int | None:
        """How many workers are asked for; None leaves it to the machine."""
        return len(self.cpus) or None if self.workers is None else self.workers

    def _check_trunk(self) -> None:
        ip, port = self.trunk
        own = ip_address(ip)
        if own.is_unspecified:
            # it goes into route tokens, and they tell relays where to send
            raise ConfigError("--trunk", f"{ip} names no machine; give the address at which relays reach this one")
        if port and port + TRUNK_PORTS - 1 > PORT_MAX:
            raise ConfigError("--trunk", f"workers look for {TRUNK_PORTS} ports from {port} on, past {PORT_MAX}")
        for network in self.allowed:
            if network.version != own.version:
                raise ConfigError("--allow", f"relays in {network} cannot reach --trunk {ip}")

    def _check_relays(self) -> None:
        for at, (ip, port) in enumerate(self.relays):
            text = format_endpoint(ip, port)
            if ip_address(ip).is_unspecified or not port:
                raise ConfigError("--relay", f"{text} is no address that a client could send to")
            if (ip, port) in self.relays[:at]:
                raise ConfigError("--relay", f"{text} is given twice")

    def _check_signalling(self) -> None:
        http = self.signalling
        if http.api_keys_file is not None and http.is_open:
            raise ConfigError("--open", "set together with API keys; leave one out")
        if http.api_keys_file is None and not http.is_open and not ip_address(http.listen[0]).is_loopback:
            where = format_endpoint(*http.listen)
            raise ConfigError("--api-keys", f"missing: at {where} anyone could call; give it, or --open if they may")
        if (http.certificate_file is None) != (http.key_file is None):
            lacking = "http.key_file" if http.key_file is None else "http.certificate_file"
            raise ConfigError(lacking, "missing: HTTPS needs a certificate and its key")
