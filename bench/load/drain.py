"""The drain test: CPU per packet with full batches and no race against a generator.

Pause the candidate, queue real packets in its socket, let it run until the queue is empty, divide the CPU time of its
threads by the packets. Anything that does not add up voids the run.
"""

import time
from dataclasses import dataclass

from bench.load.candidates import Candidate
from bench.load.failure import BenchFailure

# packets queued for one drain: fits a receive buffer of 8 MiB, which rmem_max = 4 MiB gives without any right
DRAIN_PACKETS = 8192
# seconds after which a queue that is not empty never will be
DRAIN_TIMEOUT_S = 20.0
# seconds between two looks at the candidate's counters, on the other processor
POLL_S = 0.0005


@dataclass(frozen=True)
class Drained:
    """One queue emptied."""

    packets: int
    cpu_ns: int

    def ns_per_packet(self) -> float:
        """Nanoseconds of CPU one packet took."""
        return self.cpu_ns / self.packets


def drain(candidate: Candidate, packets: int = DRAIN_PACKETS) -> Drained:
    """Fills and empties the candidate's queue once; the candidate is left paused."""
    candidate.pause()
    handled_before, lost_before = candidate.handled(), candidate.lost()
    filled = candidate.fill(packets)
    if candidate.lost() != lost_before:
        raise BenchFailure(
            f"{candidate.name}: {candidate.lost() - lost_before} of {filled} packets did not fit its receive buffer; "
            "raise net.core.rmem_max to 4194304 or run with CAP_NET_ADMIN"
        )
    cpu_before = candidate.cpu_ns()
    candidate.resume()
    wait_until_handled(candidate, handled_before + filled)
    candidate.pause()
    handled, lost = candidate.handled() - handled_before, candidate.lost() - lost_before
    if handled != filled or lost:
        raise BenchFailure(f"{candidate.name}: of {filled} packets {handled} were handled and {lost} lost")
    return Drained(filled, candidate.cpu_ns() - cpu_before)


def wait_until_handled(candidate: Candidate, target: int) -> None:
    """Returns when the candidate has handled that many packets in all and gone to sleep."""
    deadline = time.monotonic() + DRAIN_TIMEOUT_S
    while candidate.handled() < target or not candidate.is_idle():
        if time.monotonic() > deadline:
            missing = target - candidate.handled()
            raise BenchFailure(f"{candidate.name}: {missing} packets not handled after {DRAIN_TIMEOUT_S:.0f} s")
        time.sleep(POLL_S)


def sample(candidate: Candidate, drains: int, packets: int = DRAIN_PACKETS) -> float:
    """Nanoseconds per packet over several drains in a row."""
    done = [drain(candidate, packets) for _ in range(drains)]
    return sum(one.cpu_ns for one in done) / sum(one.packets for one in done)
