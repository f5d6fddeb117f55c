"""Counts instructions, allocations and system calls per packet: a relay under callgrind, real sockets, packets queued
beforehand; and a transceiver's SRTP.

Queues are filled before the loop runs, so every batch is full and the figures are the same from run to run.

Lives here: the phases. Must not live here: what they may cost (budget), anything that takes time (ratios).
"""

import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bench.gate.budget import COUNTS, load_budget
from bench.gate.profile import Line, Profile, read_profiles
from bench.gate.slowing import Slowing, prefix_of
from bench.load import build, cpu
from bench.load.candidates import Generator
from bench.load.checks import write_checks
from bench.load.failure import BenchFailure
from bench.load.process import Program
from bench.load.relay_candidate import Relay
from bench.load.traffic import CLIENT_PORT, TRANSCEIVER_PORT, CheckGenerator, DownGenerator, Sink, Traffic, UpGenerator
from bench.report.measured import Measured, series
from bench.report.model import Bar
from bench.report.model import Figure as ReportFigure

# packets before those that count: what is bound, faulted in or made lazily is so by then
WARM_UP = 1024
# the method that runs the loop (its body is inlined here): all a packet costs lies below it
LOOP_FUNCTION = "__pyx_pw_*10relay_loop_9RelayLoop_*run"


class Way(Enum):
    """What the packets of a phase do."""

    UP = "up"
    DOWN = "down"
    ADMISSION = "admission"  # up, and every packet is the first check of a new client
    OPEN = "open"  # SRTP of as many calls as there are clients, a packet of each in a batch; no relay
    SEAL = "seal"


# all that a packet of SRTP costs lies below these
SRTP_FUNCTIONS = {Way.OPEN: "__pyx_pw_*4_ext_4srtp_*open_rtp*", Way.SEAL: "__pyx_pw_*4_ext_4srtp_*seal_rtp*"}


@dataclass(frozen=True)
class Phase:
    """One fixed workload."""

    name: str
    what: str
    traffic: Traffic
    way: Way
    packets: int = 8192


PHASES = (
    Phase("up_160", "up, 160 bytes, one transceiver", Traffic(256), Way.UP),
    Phase("up_mixed", "up, 60–200 bytes, 8 transceivers", Traffic(4096, 8, 60, 200), Way.UP),
    Phase("down_160", "down, 160 bytes, 256 clients", Traffic(256), Way.DOWN),
    Phase("admission", "first check of a new client", Traffic(2048), Way.ADMISSION, packets=1024),
    Phase("srtp_open", "SRTP opened, 100 bytes, 16 calls in a batch", Traffic(16, size_to=100), Way.OPEN, 2048),
    Phase("srtp_seal", "SRTP sealed, 100 bytes, 16 calls in a batch", Traffic(16, size_to=100), Way.SEAL, 2048),
)


@dataclass(frozen=True)
class Figure:
    """What one phase cost per packet."""

    phase: Phase
    counts: dict[str, float]
    """By kind, as in the budget."""
    by_function: dict[str, float]
    """Instructions."""
    calls_by_function: dict[str, float]
    by_line: dict[Line, float]


class ProfiledRelay(Relay):
    """The relay candidate inside callgrind, driven phase by phase; as it is, or slowed down."""

    def __init__(self, phase: Phase, generator: Generator, slowing: Slowing | None) -> None:
        is_up, is_populated = phase.way is not Way.DOWN, phase.way is not Way.ADMISSION
        super().__init__(phase.name, phase.traffic, generator, is_up=is_up, is_populated=is_populated)
        self._prefix = prefix_of(slowing, is_up=is_up)

    def command(self) -> list[str]:
        """The gate's child under valgrind."""
        setup = super().command()[-1]
        child = (sys.executable, "-m", "bench.gate.child", setup)
        return [*self._prefix, *callgrind(LOOP_FUNCTION, self.stem()), *child]

    def stem(self) -> Path:
        """What the profiles of this run are called."""
        return stem_of(self.name)

    def profile(self, label: str, packets: int) -> None:
        """Fills the socket and has the loop empty it as one phase."""
        lost = self.lost()
        self.fill(packets)
        self.program().ask(f"{label} {packets}")
        if self.lost() != lost:
            raise BenchFailure(f"{self.name}: {self.lost() - lost} of {packets} packets were lost")


def stem_of(name: str) -> Path:
    """What the profiles of a phase are called."""
    return build.OUT / "gate" / f"callgrind.out.{name}"


def callgrind(function: str, stem: Path) -> list[str]:
    """The command that counts what happens inside one function of the program that follows it."""
    return [
        *("valgrind", "-q", "--tool=callgrind", f"--log-file={stem}.log"),
        *("--instr-atstart=no", "--collect-atstart=no", f"--toggle-collect={function}"),
        *("--collect-systime=yes", f"--callgrind-out-file={stem}"),
    ]


def measure_phases(phases: Sequence[Phase], slowing: Slowing | None = None) -> Iterator[Figure]:
    """All of these, in their order. SRTP runs beside the relay's phases: a count is the same on a busy machine."""

    def one(phase: Phase) -> Figure:
        return measure(phase, slowing)

    with ThreadPoolExecutor(1) as relay, ThreadPoolExecutor(1) as srtp:
        waiting = [(srtp if phase.way in SRTP_FUNCTIONS else relay).submit(one, phase) for phase in phases]
        for each in waiting:
            yield each.result()


def measure(phase: Phase, slowing: Slowing | None = None) -> Figure:
    """One run under callgrind."""
    if shutil.which("valgrind") is None:
        raise BenchFailure("valgrind is not installed: apt-get install valgrind")
    if phase.way in SRTP_FUNCTIONS:
        measure_srtp(phase)
    else:
        measure_relay(phase, slowing)
    profile = read_profiles(stem_of(phase.name)).get(phase.name)
    if profile is None or profile.instructions == 0:
        function = SRTP_FUNCTIONS.get(phase.way, LOOP_FUNCTION)
        raise BenchFailure(f"callgrind has not seen {function}: was it renamed, or its symbols stripped?")
    return figure(phase, profile)


def measure_srtp(phase: Phase) -> None:
    """SRTP alone, batch by batch, as the transceiver calls it."""
    stem, traffic = stem_of(phase.name), phase.traffic
    clear(stem)
    child = ("-m", "bench.gate.srtp_child", phase.way.value, str(traffic.clients), str(traffic.size_to))
    command = [*callgrind(SRTP_FUNCTIONS[phase.way], stem), sys.executable, *child]
    program = Program(command, cpu.OTHERS_CPU, cpu.NICE_CANDIDATE)
    try:
        if not program.ready["profiled"]:
            raise BenchFailure("the gate's child does not run under callgrind")
        program.ask(f"warm_up {WARM_UP}")
        program.ask(f"{phase.name} {phase.packets}")
    finally:
        program.stop()


def measure_relay(phase: Phase, slowing: Slowing | None) -> None:
    """A relay's loop, fed through its sockets."""
    with ExitStack() as stack:
        sink = Sink(CLIENT_PORT if phase.way is Way.DOWN else TRANSCEIVER_PORT)
        stack.callback(sink.stop)
        sink.drop()
        generator = open_generator(phase)
        stack.callback(generator.stop)
        relay = ProfiledRelay(phase, generator, slowing)
        clear(relay.stem())
        stack.callback(relay.stop)
        relay.start()
        if not relay.program().ready["profiled"]:
            raise BenchFailure("the gate's child does not run under callgrind")
        relay.profile("warm_up", WARM_UP)
        relay.profile(phase.name, phase.packets)


def open_generator(phase: Phase) -> Generator:
    """Who fills the queue of a phase."""
    if phase.way is Way.DOWN:
        return DownGenerator(phase.traffic, Relay.trunk_key_file(), Relay.KEY_ID)
    if phase.way is Way.ADMISSION:
        return CheckGenerator(phase.traffic, write_checks(phase.traffic))
    return UpGenerator(phase.traffic)


def figure(phase: Phase, profile: Profile) -> Figure:
    """A phase's profile, by packet."""
    packets = phase.packets
    return Figure(
        phase,
        {
            "instructions": profile.instructions / packets,
            "allocations": profile.allocations / packets,
            "system_calls": profile.system_calls / packets,
        },
        {name: count / packets for name, count in profile.by_function.most_common()},
        {name: count / packets for name, count in profile.calls_by_function.most_common()},
        {line: count / packets for line, count in profile.by_line.most_common()},
    )


def clear(stem: Path) -> None:
    """Removes the profiles of an earlier run."""
    stem.parent.mkdir(parents=True, exist_ok=True)
    for old in stem.parent.glob(f"{stem.name}*"):
        old.unlink()


def measure_all(step: Callable[[], None]) -> Measured:
    """Every phase, each count against its budget."""
    budget = load_budget()
    figures = []
    for found in measure_phases(PHASES):
        step()
        for kind in COUNTS:
            figures.append(report(found.phase, kind, found.counts[kind], budget.counts[kind][found.phase.name]))
    return Measured(figures)


def report(phase: Phase, kind: str, value: float, budget: float) -> ReportFigure:
    """One count beside its budget."""
    words = kind.replace("_", " ")
    return ReportFigure(
        key=f"{kind}/{phase.name}",
        what=f"{words} per packet, {phase.what}",
        unit=words,
        value=series("relay", [value]),
        is_exact=True,
        bar=Bar(budget),
    )
