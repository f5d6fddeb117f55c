"""What a crowd is like, what it is told to do, and what it stands before.

Lives here: plain values. Must not live here: processes (crowd), any single relay (before).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench.load.traffic import CLIENT_PORT, FIRST_CLIENT, FIRST_TRANSCEIVER, TRANSCEIVER_PORT

Endpoint = tuple[str, int]
FRAME_US = 20_000
JITTER_US = 2_000
INTERVAL_MIN_US = 1_000
UP, DOWN = 1, 2
BOTH = UP | DOWN


@dataclass(frozen=True)
class Shape:
    """Who calls whom. `flows` beyond `calls` are addresses for calls that begin anew or move."""

    calls: int
    flows: int = 0
    transceivers: int = 1
    size_from: int = 0
    """0 and 0 are the sizes of voice, as callers/mix.h states them."""
    size_to: int = 0
    seed: int = 1
    client_port: int = CLIENT_PORT
    transceiver_port: int = TRANSCEIVER_PORT
    first_client: str = FIRST_CLIENT
    first_transceiver: str = FIRST_TRANSCEIVER
    heard: Path | None = None
    """Where each call's longest silence is written (callers/hearing.h); without it nobody looks."""

    def options(self) -> list[str]:
        """As options of the generator."""
        sizes = [] if not self.size_from else ["--size-from", str(self.size_from), "--size-to", str(self.size_to)]
        return [
            *("--clients", f"{self.first_client}:{self.client_port}"),
            *("--servers", f"{self.first_transceiver}:{self.transceiver_port}"),
            *("--transceivers", str(self.transceivers), "--seed", str(self.seed)),
            *("--calls", str(self.calls), "--flows", str(max(self.flows, self.calls)), *sizes),
            *([] if self.heard is None else ["--heard", str(self.heard)]),
        ]


@dataclass(frozen=True)
class Talk:
    """A stretch of media: each call sends a packet every interval, late by up to the jitter, each way it has."""

    calls: int
    duration_ms: int
    ways: int = BOTH
    interval_us: int = FRAME_US
    jitter_us: int = JITTER_US
    new_calls_per_s: int = 0
    moves_per_s: int = 0
    check_every_ms: int = 0
    """Each call sends its opening again so often, as browsers check; 0: never."""

    def command(self) -> str:
        """As the generator reads it."""
        return (
            f"talk {self.calls} {self.interval_us} {self.jitter_us} {self.duration_ms} {self.ways} "
            f"{self.new_calls_per_s} {self.moves_per_s} {self.check_every_ms}"
        )

    @classmethod
    def at(cls, rate: float, duration_ms: int, calls: int, ways: int = BOTH) -> Talk:
        """So many packets a second: by as many calls of 20 ms as that takes; where there are not so many, faster."""
        talking = min(calls, max(1, round(rate * FRAME_US / 1e6 / ways.bit_count())))
        return cls.by(talking, rate, duration_ms, ways) if talking == calls else cls(talking, duration_ms, ways)

    @classmethod
    def by(cls, calls: int, rate: float, duration_ms: int, ways: int = BOTH) -> Talk:
        """All these calls, however seldom or often each of them has to talk for the rate."""
        interval_us = max(INTERVAL_MIN_US, round(calls * ways.bit_count() * 1e6 / rate))
        return cls(calls, duration_ms, ways, interval_us, min(JITTER_US, interval_us // 10))

    @property
    def rate(self) -> float:
        """Packets a second, all ways together."""
        return self.calls * self.ways.bit_count() * 1e6 / self.interval_us


@dataclass(frozen=True)
class Target:
    """Where a crowd sends and how a flow is opened there."""

    name: str
    endpoints: tuple[Endpoint, ...]
    """Where clients send: the calls take turns."""
    trunk: Endpoint | None = None
    """Where transceivers send bundles; without it they answer to whoever sent."""
    trunk_key: Path | None = None
    key_id: int = 0
    openings: Path | None = None
    """Datagrams, each behind its length: `stages` for each record. Flow i uses record i mod their count."""
    stages: int = 0
    """Answers a flow needs before it carries media; 0: its first packet opens it."""
    channel: int = 0
    """Media travel as ChannelData of this number."""
    ways: int = BOTH
    """The directions it carries."""
    is_answered: bool = True
    """Whether answers to openings find their way back."""
    keeps_sockets: bool = True
    """Whether the sockets that it receives with are here, and the same, for as long as calls talk. Only then can the
    kernel say what they dropped: not where it forwards by itself, in another network, or where sockets are replaced."""

    @property
    def receivers(self) -> tuple[Endpoint, ...]:
        """Where its sockets are, as far as the kernel can be asked about them."""
        if not self.keeps_sockets:
            return ()
        return (*self.endpoints, *(() if self.trunk is None else (self.trunk,)))

    def options(self) -> list[str]:
        """As options of the generator."""
        options = []
        if self.openings is not None:
            options += ["--openings", str(self.openings), "--stages", str(self.stages)]
        if self.trunk_key is not None:
            options += ["--trunk-key", str(self.trunk_key), "--key-id", str(self.key_id)]
        return [*options, "--channel", str(self.channel)] if self.channel else options
