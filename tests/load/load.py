"""A steady load through a relay, every packet of which has a number.

Lives here: the C programs that send and receive it, and what became of it: lost, twice, late. Must not live here: how
calls are made (calls), what is too much (the tests).

The generator and the receiver share the second processor and go before the other work of the machine; a relay's own
processes are started with the same preference (operated).
"""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.load import build
from bench.load.steady import SteadyLoad
from bench.load.traffic import Sink
from fastrelay.routing import KeyRing
from tests.live.ends import Address, eventually
from tests.load.calls import Calls

SO_RCVBUFFORCE = 33


def may_have_large_buffers() -> bool:
    """Whether we, and so the relay, have CAP_NET_ADMIN: being root is not enough in a container."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        except PermissionError:
            return False
    return True


CALLS = 1000
PACKETS_PER_S = 100_000 if may_have_large_buffers() else 20_000
"""The relay's receive buffer holds 360 ms of the full rate then, else 90 ms of it by net.core.rmem_max = 4 MiB."""
DOWN_PER_S = 20_000
TRAIN = 4
"""Packets a client sends in a row: one processor then offers the rate and has time left for the receiver."""
NUMBERS = 1 << 27
"""Packets of one load that can be told apart: 22 minutes at the full rate, in 16 MiB of bits."""
QUIET_S = 0.5
"""What has not arrived when nothing has for this long is lost."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a load."""

    sent: int
    arrived: int
    duplicates: int
    refused: int
    """Bundles out of order, or of an older epoch than the one before: a transceiver would have dropped them."""
    receiver_drops: int
    """Datagrams that the receiver had no room for. Not the relay's doing: such a run proves nothing."""
    latest_s: float
    """The oldest packet at its arrival."""
    pause_s: float
    """The longest time in which nothing arrived."""
    generator_late_s: float
    """How far the generator was behind its schedule at worst."""

    @property
    def lost(self) -> int:
        return self.sent - self.arrived

    def __str__(self) -> str:
        return (
            f"{self.sent:,} packets, {self.lost} lost, {self.duplicates} twice, {self.refused} bundles refused, "
            f"longest pause {self.pause_s * 1e3:.1f} ms, latest {self.latest_s * 1e3:.1f} ms "
            f"(generator late by {self.generator_late_s * 1e3:.1f} ms)"
        )

    def is_whole(self) -> bool:
        """Whether every packet arrived, once, in a bundle that a transceiver takes."""
        assert self.receiver_drops == 0, "the receiver could not keep up: nothing is known of the relay"
        return (self.lost, self.duplicates, self.refused) == (0, 0, 0)


class Load:
    """One direction under load. `finish` ends it and counts."""

    def __init__(self, calls: Calls, sink: Sink, generator: SteadyLoad, rate: int) -> None:
        self._calls, self._sink, self._generator = calls, sink, generator
        self.rate = rate

    @property
    def arrived(self) -> int:
        return self._sink.counted()

    def goes_on(self, seconds: float) -> None:
        """Wait until as many packets have arrived as are sent in this time."""
        wanted = self.arrived + round(self.rate * seconds)
        eventually(lambda: self.arrived >= wanted, f"{wanted} packets arrive")

    def finish(self) -> Outcome:
        """End it, wait for what is still on its way, and count."""
        sent = self._generator.finish()
        last, changed_s = -1, time.monotonic()

        def is_over() -> bool:
            nonlocal last, changed_s
            if (now := self.arrived) != last:
                last, changed_s = now, time.monotonic()
            return now >= sent or time.monotonic() - changed_s > QUIET_S

        eventually(is_over, "the load ends")
        seen = self._sink.seen()
        return Outcome(
            sent=sent,
            arrived=seen.unique,
            duplicates=seen.duplicates,
            refused=self._sink.refused(),
            receiver_drops=self._sink.lost(),
            latest_s=seen.latest_ns / 1e9,
            pause_s=seen.pause_ns / 1e9,
            generator_late_s=self._generator.latest_s,
        )

    def hang_up(self) -> None:
        """Once the load has ended: end its calls as well."""
        self._sink.stop()  # the transceiver's port is wanted again
        self._calls.hang_up()


@contextmanager
def load_up(ring: KeyRing, relay: Address, *, calls: int = CALLS, rate: int = PACKETS_PER_S) -> Iterator[Load]:
    """Calls that stand, and their clients sending to the relay."""
    with Calls(ring, relay, calls) as made:
        pass
    with ExitStack() as stack:
        sink = Sink(made.transceiver[1], NUMBERS, is_one_transceiver=True)
        stack.callback(sink.stop)
        command = [str(build.program("generator_up")), *traffic(made), "--train", str(TRAIN)]
        generator = stack.enter_context(SteadyLoad(command))
        generator.begin(f"{relay[0]}:{relay[1]}", rate)
        yield Load(made, sink, generator, rate)


@contextmanager
def load_down(
    ring: KeyRing, relay: Address, trunk: Address, folder: Path, *, calls: int = CALLS, rate: int = DOWN_PER_S
) -> Iterator[Load]:
    """Other calls that stand, and their transceiver sending to the relay's trunk. Their clients say nothing."""
    with Calls(ring, relay, calls, first="127.17.0.0", transceiver=("127.2.0.2", 0)) as made:
        pass
    key = ring.minting_key(time.time())
    key_file = folder / "trunk.key"
    key_file.touch(0o600)
    key_file.write_bytes(key.trunk_key)
    with ExitStack() as stack:
        sink = Sink(made.client_port, NUMBERS)
        stack.callback(sink.stop)
        listen = f"{made.transceiver[0]}:{made.transceiver[1]}"
        options = ["--listen", listen, "--key", str(key_file), "--key-id", str(key.id), "--via", str(made.via)]
        command = [str(build.program("generator_down")), *options, *traffic(made)]
        generator = stack.enter_context(SteadyLoad(command))
        generator.begin(f"{trunk[0]}:{trunk[1]}", rate)
        yield Load(made, sink, generator, rate)


def traffic(calls: Calls) -> list[str]:
    """Who sends what, as options of the C programs: 160 bytes, as Opus has them with its headers."""
    return [
        *("--clients", str(calls.count), "--first-client", f"{calls.first}:{calls.client_port}"),
        *("--size-from", "160", "--size-to", "160", "--seed", "1"),
    ]
