"""Open-loop runs: packets at a set rate whether or not anyone keeps up, for loss and for hop latency.

The generator, the receiver and this harness share the second processor. What one processor can offer is less than
what a relay can carry, so clients send short trains by UDP_SEGMENT here; a rate that could not be offered is said.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace

from bench.load import cpu
from bench.load.relay_candidate import Relay
from bench.load.relay_page import bucket_top_ns
from bench.load.traffic import TRANSCEIVER_PORT, Sink, Traffic, UpGenerator, percentile, wait_for_count
from bench.report.measured import Measured, series
from bench.report.model import Account, Bar, Figure

# packets of one client in a row: the shortest train with which one processor offers the rate
LATENCY_TRAIN = 4
LOSS_TRAIN = 16
# an offered rate this far below the wanted one is reported as a different run
RATE_TOLERANCE = 0.95


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


def hop_latency(rate: float, packets: int, step: Callable[[], None]) -> Measured:
    """The relay's own samples, kernel receive to handed to the kernel again, while the load is steady."""
    traffic = replace(Traffic(4096), train=LATENCY_TRAIN)
    with ExitStack() as stack:
        sink = Sink(TRANSCEIVER_PORT)
        stack.callback(sink.stop)
        sink.drop()
        generator = UpGenerator(traffic)
        stack.callback(generator.stop)
        relay = Relay("relay", traffic, generator, is_up=True)
        stack.callback(relay.stop)
        relay.start()
        offer(generator, relay.port, rate, packets // 10)
        before = relay.page.hop_up_ns()
        offered = offer(generator, relay.port, rate, packets)
        counts = [after - start for after, start in zip(relay.page.hop_up_ns(), before, strict=True)]
    step()
    p50, p99 = (bucket_top_ns(percentile(counts, share)) / 1000 for share in (0.50, 0.99))
    note = f"{offered.describe()}; {sum(counts):,} samples"
    problem = "" if offered.reached() else offered.describe()
    figures = [
        latency_figure("hop/p50", "hop latency at half load, p50", p50, 20.0, problem, note),
        latency_figure("hop/p99", "hop latency at half load, p99", p99, 100.0, problem, ""),
    ]
    return Measured(figures, {"hop_up_counts": counts, "offered_pps": [offered.rate]})


def latency_figure(key: str, what: str, value_us: float, bar_us: float, problem: str, note: str) -> Figure:
    """A latency against its bar."""
    return Figure(
        key=key, what=what, unit="µs", value=series("relay", [value_us]), bar=Bar(bar_us), problem=problem, note=note
    )


def loss(rate: float, packets: int, step: Callable[[], None]) -> Measured:
    """Every packet has a number; the receiver says which never came and which came twice."""
    traffic = replace(Traffic(4096), train=LOSS_TRAIN)
    with ExitStack() as stack:
        sink = Sink(TRANSCEIVER_PORT, numbers=packets)
        stack.callback(sink.stop)
        generator = UpGenerator(traffic)
        stack.callback(generator.stop)
        relay = Relay("relay", traffic, generator, is_up=True)
        stack.callback(relay.stop)
        relay.start()
        waited_before = cpu.kept_waiting_ns(relay.program().pid)
        offered = offer(generator, relay.port, rate, packets)
        wait_for_count(sink, packets)
        waited_ms = (cpu.kept_waiting_ns(relay.program().pid) - waited_before) / 1e6
        seen = sink.seen()
        relay_lost = relay.lost()
        sink_lost = sink.lost()
    step()
    missing = offered.packets - seen.unique
    note = f"{offered.describe()}; p50 {seen.percentile_us(0.5)} µs, p99 {seen.percentile_us(0.99)} µs end to end"
    note += f"; other work kept the relay waiting for {waited_ms:.0f} ms"
    if missing or seen.duplicates:
        note += f"; {relay_lost} lost at the relay, {sink_lost} at the receiver, {seen.duplicates} came twice"
    problem = ""
    if sink_lost or (missing == 0 and not offered.reached()):
        # the receiver could not keep up, or the generator could not: says nothing about the relay at that rate
        problem = f"the receiver lost {sink_lost}" if sink_lost else offered.describe()
    figure = Figure(
        key="loss/missing",
        what=f"loss at 70 % of saturation over {offered.packets:,} packets",
        unit="packets",
        value=series("relay", [missing + seen.duplicates]),
        bar=Bar(0),
        accounts=(
            Account(
                "packets sent",
                offered.packets,
                {"arrived": seen.unique, "lost at the relay": relay_lost, "lost at the receiver": sink_lost},
            ),
        ),
        problem=problem,
        note=note,
    )
    return Measured([figure], {"missing": [missing], "relay_lost": [relay_lost], "offered_pps": [offered.rate]})
