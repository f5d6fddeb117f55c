"""The way up in an open loop: packets at a set rate, whether or not anyone keeps up.

Lives here: loss, and the relay's own samples of its hop, at shares of saturation. Must not live here: latency from end
to end (callers), drains (scenarios).

The generator, the receiver and this harness share the second processor. What one processor can offer is less than
what a relay can carry, so clients send short trains by UDP_SEGMENT here; a rate that could not be offered is said.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from statistics import median
from typing import Final

from bench.load import cpu
from bench.load.relay_candidate import Relay
from bench.load.relay_page import bucket_top_ns
from bench.load.scenarios import Effort, Up
from bench.load.traffic import TRANSCEIVER_PORT, Sink, Traffic, UpGenerator, percentile, wait_for_count
from bench.report.measured import NS_PER_S, Measured, series
from bench.report.model import Account, Bar, Figure
from bench.scenario import Length, Scenario, Step

PACKETS: Final = {Length.SHORT: 500_000, Length.STANDARD: 4_000_000, Length.FULL: 10_000_000}
LOSS_SHARE: Final = 0.7
"""Of saturation."""
HOP_SHARE: Final = 0.5
HOP_WINDOWS: Final = 5
"""In each sitting."""
HOP_PACKETS: Final = {Length.SHORT: 40_000, Length.STANDARD: 400_000, Length.FULL: 400_000}
"""In each window."""
HOP_BARS_US: Final = {50: 20.0, 99: 100.0}
# packets of one client in a row: the shortest trains with which one processor offers the rates
LOSS_TRAIN = 16
HOP_TRAIN = 8
# an offered rate this far below the wanted one is reported as a different run
RATE_TOLERANCE = 0.95
TRAFFIC: Final = Traffic(4096)
SATURATION: Final = Up("saturation", "cost of a packet, for the rate", TRAFFIC, 1.0, None)
SATURATION_EFFORT: Final = Effort(5, 2)


@dataclass(frozen=True)
class Offered:
    """What the generator really did."""

    packets: int
    rate: float
    wanted: float

    def describe(self) -> str:
        """The rate, and whether it is the one that was wanted."""
        text = f"{self.rate / 1000:.0f} of {self.wanted / 1000:.0f} kpps offered"
        return text if self.reached() else f"{text}: the generator is the limit of this machine"

    def reached(self) -> bool:
        """Whether the generator kept its schedule."""
        return self.rate >= RATE_TOLERANCE * self.wanted


def offer(generator: UpGenerator, port: int, rate: float, packets: int) -> Offered:
    """Sends at a rate; returns when everything has been sent."""
    answer = generator.pace(port, round(rate), packets)
    sent, elapsed_ns = int(str(answer["sent"])), int(str(answer["elapsed_ns"]))
    return Offered(sent, sent * 1e9 / elapsed_ns, rate)


def saturation_pps() -> float:
    """Packets a second at which the relay's processor would have no idle time left, by draining."""
    return NS_PER_S / median(SATURATION.measure(SATURATION_EFFORT, lambda: None).data["relay"])


def measure_loss(length: Length, step: Step) -> Measured:
    """At a share of what the relay can carry here and now."""
    saturation = saturation_pps()
    step()
    return loss(saturation, PACKETS[length], step)


def loss(saturation: float, packets: int, step: Step) -> Measured:
    """Every packet has a number; the receiver says which never came and which came twice.

    Where the generator cannot offer the share that the bar asks for, its own share is in the figure's words, and
    there is no bar.
    """
    traffic = replace(TRAFFIC, train=LOSS_TRAIN)
    with ExitStack() as stack:
        sink = Sink(TRANSCEIVER_PORT, numbers=packets)
        stack.callback(sink.stop)
        generator = UpGenerator(traffic)
        stack.callback(generator.stop)
        relay = Relay("relay", traffic, generator, is_up=True)
        stack.callback(relay.stop)
        relay.start()
        waited_before, stolen_before = cpu.kept_waiting_ns(relay.program().pid), cpu.stolen_ns(cpu.RELAY_CPU)
        offered = offer(generator, relay.port, LOSS_SHARE * saturation, packets)
        wait_for_count(sink, packets)
        waited_ms = (cpu.kept_waiting_ns(relay.program().pid) - waited_before) / 1e6
        stolen_ms = (cpu.stolen_ns(cpu.RELAY_CPU) - stolen_before) / 1e6
        seen = sink.seen()
        relay_lost = relay.lost()
        sink_lost = sink.lost()
    step()
    missing = offered.packets - seen.unique
    note = (
        f"{offered.describe()}; other work kept the relay waiting for {waited_ms:.0f} ms, and the hypervisor its "
        f"processor for {stolen_ms:.0f} ms"
    )
    if missing or seen.duplicates:
        note += f"; {relay_lost} lost at the relay, {sink_lost} at the receiver, {seen.duplicates} came twice"
    share = LOSS_SHARE if offered.reached() else offered.rate / saturation
    figure = Figure(
        key="loss/missing",
        what=f"packets lost of {offered.packets:,} at {share:.0%} of saturation",
        unit="packets",
        value=series("relay", [missing + seen.duplicates]),
        bar=Bar(0) if offered.reached() else None,
        accounts=(
            Account(
                "packets sent",
                offered.packets,
                {"arrived": seen.unique, "lost at the relay": relay_lost, "lost at the receiver": sink_lost},
            ),
        ),
        # the receiver could not keep up: says nothing about the relay at that rate
        problem=f"the receiver lost {sink_lost}" if sink_lost else "",
        note=note,
    )
    return Measured([figure], {"missing": [missing], "relay_lost": [relay_lost], "offered_pps": [offered.rate]})


def measure_hop(length: Length, step: Step) -> Measured:
    """The relay's own samples, kernel receive to handed to the kernel again, while the load is steady."""
    rate = HOP_SHARE * saturation_pps()
    step()
    traffic = replace(TRAFFIC, train=HOP_TRAIN)
    windows: list[list[int]] = []
    offers: list[Offered] = []
    with ExitStack() as stack:
        sink = Sink(TRANSCEIVER_PORT)
        stack.callback(sink.stop)
        sink.drop()
        generator = UpGenerator(traffic)
        stack.callback(generator.stop)
        relay = Relay("relay", traffic, generator, is_up=True)
        stack.callback(relay.stop)
        relay.start()
        offer(generator, relay.port, rate, HOP_PACKETS[length] // 2)
        for _ in range(HOP_WINDOWS):
            before = relay.page.hop_up_ns()
            offers.append(offer(generator, relay.port, rate, HOP_PACKETS[length]))
            windows.append([after - start for after, start in zip(relay.page.hop_up_ns(), before, strict=True)])
            step()
    slowest = min(offers, key=lambda each: each.rate)
    share = HOP_SHARE if slowest.reached() else slowest.rate / (rate / HOP_SHARE)
    samples = sum(map(sum, windows))
    figures = [
        Figure(
            key=f"hop-inside/p{percent}",
            what=f"inside the relay at {share:.0%} of saturation, p{percent}",
            unit="µs",
            value=series("relay", (bucket_top_ns(percentile(counts, percent / 100)) / 1000 for counts in windows)),
            bar=Bar(bar) if slowest.reached() else None,
            note=f"from the kernel's receive stamp to handed to the kernel again; {samples:,} samples; the slowest "
            f"window had {slowest.describe()}",
        )
        for percent, bar in HOP_BARS_US.items()
    ]
    return Measured(figures, {"offered_pps": [each.rate for each in offers]})


SCENARIOS: Final[Mapping[str, Scenario]] = {
    "loss": Scenario("loss at a steady load", lambda _: 2, measure_loss),
    "hop-inside": Scenario("time inside the relay", lambda _: 1 + HOP_WINDOWS, measure_hop, sits_again=True),
}
