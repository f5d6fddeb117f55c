"""All that a worker is told: what it is, and the settings that it needs.

Lives here: those values and their JSON form, in which they travel from the supervisor. After a rolling replacement the
two may be of different releases: unknown members are ignored, missing ones have defaults where that can be.
Must not live here: secrets (key ring and API keys travel beside the plan), reading a configuration (supervisor).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

from fastrelay.errors import PeerError

Endpoint: TypeAlias = tuple[str, int]
Network: TypeAlias = IPv4Network | IPv6Network
Role: TypeAlias = Literal["passive", "active"]

SLOTS: Final = 256
"""A slot is the first byte of its worker's session ids. A process that drains keeps its slot beside its successor's."""
TRUNK_PORTS: Final = 64
"""A worker takes the first free trunk port from the one that is set on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """One worker's settings. A reload brings another plan; what is fixed for a process's life is said below."""

    slot: int
    """Fixed."""
    cpu: int | None
    """To be pinned to; None leaves it to the kernel. Fixed."""
    trunk: Endpoint
    """Where to open the trunk port: the first free one of TRUNK_PORTS, or the kernel's choice for port 0. Fixed."""
    relays: tuple[Endpoint, ...]
    """Public addresses of the relays: the only ones that answers contain."""
    allowed: tuple[Network, ...]
    """Networks that relays speak from. Fixed."""
    neighbours: Path
    """Folder with a unix socket for each worker's HTTP. Fixed."""
    agent: str
    """`module:object`. A reload changes it for new calls."""
    cluster: int = 0
    dtls_role: Role = "passive"
    """Ours, where the offer leaves the choice."""
    calls_max: int = 2000
    offers_per_s: int = 200
    offers_burst: int = 500
    call_s_max: float = 7200.0
    """A call is ended after this long."""
    is_open: bool = False
    """Whether anyone may call, without a key."""
    allowed_origins: tuple[str, ...] = ()
    """Of pages that may call from a browser; `*` for all."""
    public_url: str = ""
    """What clients know the signalling as, where that is not how they reach this machine."""
    redirect_to: str = ""
    """Base URL to send clients to while this worker drains; without one they get 503."""
    secret_lifetime_s: int = 600
    serves_demo: bool = False
    certificate_file: Path | None = None
    """For HTTPS, with `key_file`. None: HTTP."""
    key_file: Path | None = None
    drain_timeout_s: float = 3600.0
    """For a worker whose supervisor has died, and that drains by itself."""
    log_form: str = "console"

    def build(self) -> dict[str, Any]:
        """As JSON values."""
        return {each.name: _json(getattr(self, each.name)) for each in fields(self)}

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """From JSON values. PeerError names what is missing or of the wrong kind."""
        found: dict[str, Any] = {}
        for name, read in _READERS.items():
            if name in values:
                try:
                    found[name] = read(values[name])
                except (TypeError, ValueError) as error:
                    raise PeerError(f"a worker's plan has {name} = {values[name]!r}: {error}") from None
        try:
            return cls(**found)
        except TypeError as error:
            raise PeerError(f"a worker's plan is incomplete: {error}") from None

    def socket_of(self, slot: int) -> Path:
        """The unix socket on which the worker of this slot answers its neighbours; absent when there is no such."""
        return self.neighbours / socket_name(slot)


SOCKETS: Final = "http-*.sock"


def socket_name(slot: int) -> str:
    return f"http-{slot}.sock"


def _json(value: object) -> object:
    if isinstance(value, (Path, IPv4Network, IPv6Network)):
        return str(value)
    return [_json(each) for each in value] if isinstance(value, tuple) else value


def _of(kind: type[Any]) -> Callable[[Any], Any]:
    """Exactly that kind: a bool is no number here."""

    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError(f"must be of type {kind.__name__}")
        return value

    return read


def _slot(value: Any) -> int:
    slot: int = _of(int)(value)
    if not 0 <= slot < SLOTS:
        raise ValueError(f"must be 0 to {SLOTS - 1}")
    return slot


def _role(value: Any) -> Role:
    if value == "passive":
        return "passive"
    if value == "active":
        return "active"
    raise ValueError("must be passive or active")


def _seconds(value: Any) -> float:
    return float(value) if type(value) is int else _of(float)(value)


def _endpoint(value: Any) -> Endpoint:
    ip, port = _of(list)(value)
    return _of(str)(ip), _of(int)(port)


def _endpoints(value: Any) -> tuple[Endpoint, ...]:
    return tuple([_endpoint(each) for each in _of(list)(value)])


def _networks(value: Any) -> tuple[Network, ...]:
    return tuple([ip_network(_of(str)(each)) for each in _of(list)(value)])


def _texts(value: Any) -> tuple[str, ...]:
    return tuple([_of(str)(each) for each in _of(list)(value)])


def _path(value: Any) -> Path:
    return Path(_of(str)(value))


def _or_none(read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else read(value)


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "slot": _slot,
    "cpu": _or_none(_of(int)),
    "trunk": _endpoint,
    "relays": _endpoints,
    "allowed": _networks,
    "neighbours": _path,
    "agent": _of(str),
    "cluster": _of(int),
    "dtls_role": _role,
    "calls_max": _of(int),
    "offers_per_s": _of(int),
    "offers_burst": _of(int),
    "call_s_max": _seconds,
    "is_open": _of(bool),
    "allowed_origins": _texts,
    "public_url": _of(str),
    "redirect_to": _of(str),
    "secret_lifetime_s": _of(int),
    "serves_demo": _of(bool),
    "certificate_file": _or_none(_path),
    "key_file": _or_none(_path),
    "drain_timeout_s": _seconds,
    "log_form": _of(str),
}
