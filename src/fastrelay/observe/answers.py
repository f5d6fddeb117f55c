"""What a relay's admin HTTP says, as values: the /status document, and what /flows and /events list.

Lives here: names, types, and what stands in for a number that a relay of another release does not send: unknown members
are ignored, missing ones have defaults. Must not live here: asking (client), showing (top, timeline).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from typing import Any, ClassVar, Final, Self, TypeVar

from fastrelay.errors import PeerError
from fastrelay.observe.status import ServiceStatus

TIERS: Final = ("relay", "transceiver")
_KINDS: dict[str, tuple[type, ...]] = {"int": (int, float), "float": (int, float), "str": (str,), "bool": (bool,)}


class _Row:
    """An object of an answer, member by member."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """PeerError for a member of the wrong kind."""
        return cls(
            **{
                name: _checked(f"{cls.__name__}.{name}", str(each.type), values[name])
                for name, each in cls.__dataclass_fields__.items()
                if values.get(name) is not None
            }
        )


@dataclass(frozen=True, slots=True)
class Worker(_Row):
    """A worker at work. What it is told to do is in ServiceStatus."""

    index: int = 0
    pid: int = 0
    state: str = ""
    cpu: int = 0
    flows: int = 0
    unconfirmed: int = 0
    capacity: int = 0
    busy_ratio: float | None = None
    up_pps: float = 0.0
    down_pps: float = 0.0
    drops_pps: float = 0.0
    kernel_drops: int = 0
    offload: str = ""
    batch_fill: float | None = None
    bundle_fill: float | None = None
    hop_up_p50_us: float | None = None
    hop_up_p99_us: float | None = None
    hop_down_p50_us: float | None = None
    hop_down_p99_us: float | None = None
    alive_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Transceiver(_Row):
    """A transceiver as the relay's workers see it together."""

    address: str = ""
    flows: int = 0
    rtt_ms: float | None = None
    lost: int = 0
    received: int = 0
    unreachable: int = 0
    silent_s: float | None = None

    @property
    def lost_ratio(self) -> float | None:
        """Of the trunk datagrams that should have arrived."""
        sent = self.lost + self.received
        return self.lost / sent if sent else None


@dataclass(frozen=True, slots=True)
class Flow(_Row):
    """A client at a relay, its address reduced to its network."""

    worker: int = 0
    client: str = ""
    session: str = ""
    transceiver: str = ""
    state: str = ""
    age_of_last_packet_s: float | None = None
    packets_up: int = 0
    packets_down: int = 0
    bytes_up: int = 0
    loss_percent: float | None = None
    jitter_ms: float | None = None
    reordered: int = 0
    setup_ms: float | None = None
    is_one_way: bool = False


@dataclass(frozen=True, slots=True)
class Totals(_Row):
    """The relay or transceiver as a whole."""

    flows: int = 0
    calls: int = 0
    leaving: int = 0
    """Of a transceiver's calls, those of workers that have been replaced."""
    opened: int = 0
    audio_in: int = 0
    audio_out: int = 0
    up_pps: float = 0.0
    down_pps: float = 0.0
    drops_pps: float = 0.0
    one_way: int = 0
    last_packet_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Drop(_Row):
    """One reason to drop, and how often."""

    verdict: str = ""
    per_s: float = 0.0
    total: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A relay or a transceiver at one moment: the whole /status document."""

    tier: str = "relay"
    """Which of the two, and the name under which it speaks of itself."""
    service: ServiceStatus = field(default_factory=ServiceStatus)
    now_s: float = 0.0
    workers: tuple[Worker, ...] = ()
    transceivers: tuple[Transceiver, ...] = ()
    totals: Totals = field(default_factory=Totals)
    drops: tuple[Drop, ...] = ()
    worst_calls: tuple[Flow, ...] = ()

    @classmethod
    def parse(cls, document: Mapping[str, Any]) -> Self:
        """PeerError for what no relay or transceiver of this release or a neighbouring one would say."""
        tier = tier_of(document) or "relay"
        try:
            service = ServiceStatus.parse(document.get(tier, {}))
        except (TypeError, ValueError) as error:
            raise PeerError(f"the {tier} speaks of itself in words of another release: {error}") from None
        return cls(
            tier=tier,
            service=service,
            now_s=_checked("now_s", "float", document.get("now_s", 0.0)),
            workers=rows(Worker, document, "workers"),
            transceivers=rows(Transceiver, document, "transceivers"),
            totals=Totals.parse(document.get("totals") or {}),
            drops=rows(Drop, document, "drops"),
            worst_calls=rows(Flow, document, "worst_calls"),
        )


def tier_of(document: Mapping[str, Any]) -> str | None:
    """Whose /status it is: `relay`, `transceiver`; None when neither speaks of itself."""
    return next((tier for tier in TIERS if isinstance(document.get(tier), dict)), None)


RowT = TypeVar("RowT", bound=_Row)


def rows(kind: type[RowT], document: Mapping[str, Any], name: str) -> tuple[RowT, ...]:
    """The list `name` of an answer. PeerError when it is something else."""
    found = document.get(name) or []
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise PeerError(f"the relay's {name} are not a list of objects")
    return tuple(kind.parse(each) for each in found)


def _checked(name: str, kind: str, value: object) -> Any:
    expected = kind.partition(" | ")[0]
    is_misplaced_bool = isinstance(value, bool) and expected != "bool"
    if not isinstance(value, _KINDS[expected]) or is_misplaced_bool:
        raise PeerError(f"the relay says {name} = {value!r}, which is no {expected}")
    return int(value) if expected == "int" and isinstance(value, (int, float)) else value
