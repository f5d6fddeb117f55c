"""What the kernel alone needs for a packet: to a receiver, and to the same receiver by way of an address translation.

Nothing but the sender runs, so its CPU time per packet is compared: the difference is what the translation, the routing
and the link cost. Softirq work that the kernel hands to a thread of its own is not in it: a lower bound.

Lives here: the two measurements. Must not live here: how the namespace is made (kernel.py), drains of processes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bench.load import build, cpu
from bench.load.failure import BenchFailure
from bench.load.process import Program
from bench.load.traffic import CLIENT_PORT, TRANSCEIVER_PORT, Sink
from bench.peers.candidate import arrivals
from bench.peers.kernel import OUTSIDE, KernelNat
from bench.peers.peer import Endpoint, Route

PACKETS = 8192
# as many as no backlog of the kernel drops
BURST = 512
SIZE_BYTES = 160


@dataclass(frozen=True)
class Reference:
    """Nanoseconds of the sender's CPU per packet, round by round; each round has both."""

    version: str
    direct_ns: list[float]
    translated_ns: list[float]
    sent: int
    arrived: int


def measure_reference(rounds: int, step: Callable[[], None], packets: int = PACKETS) -> Reference:
    """Both ways in turn, to a receiver whose filter drops; a packet that does not arrive voids the run."""
    nat = KernelNat()
    version = nat.prepare()
    transceiver = (OUTSIDE, TRANSCEIVER_PORT)
    direct: list[float] = []
    translated: list[float] = []
    sink = Sink(TRANSCEIVER_PORT)
    sender = None
    try:
        sink.drop()
        nat.start(Route(1, transceiver))
        listen = ["--clients", "1", "--first-client", f"{OUTSIDE}:{CLIENT_PORT}"]
        size = ["--size-from", str(SIZE_BYTES)]
        command = [str(build.program("generator_up")), *listen, *size]
        sender = Program(command, cpu.RELAY_CPU, cpu.NICE_CANDIDATE)
        send = partial(cost, sender, arrivals(sink), packets=packets)
        for endpoint in (transceiver, nat.client_endpoints()[0]):
            send(endpoint)  # neighbours, routes and the tracked connection
        before = arrivals(sink)()
        for _ in range(rounds):
            direct.append(send(transceiver))
            translated.append(send(nat.client_endpoints()[0]))
            step()
        arrived = arrivals(sink)() - before
    finally:
        if sender is not None:
            sender.stop()
        nat.stop()
        sink.stop()
    return Reference(version, direct, translated, 2 * rounds * (packets // BURST * BURST), arrived)


def cost(sender: Program, arrived: Callable[[], int], to: Endpoint, *, packets: int) -> float:
    """Nanoseconds per packet of a sender, all of whose packets arrive."""
    sender.ask(f"to {to[0]}:{to[1]}")
    before, used = arrived(), cpu.cpu_ns(sender.pid)
    for _ in range(packets // BURST):
        sender.ask(f"fill {BURST}")
    used = cpu.cpu_ns(sender.pid) - used
    sent, came = packets // BURST * BURST, arrived() - before
    if came != sent:
        raise BenchFailure(f"{to[0]}:{to[1]}: of {sent} packets {came} arrived")
    return used / sent
