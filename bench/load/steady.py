"""A load that goes on until it is told to end, whatever happens to the relay meanwhile.

Lives here: starting a generator at a rate and ending it with its count. Must not live here: what it sends (traffic),
what became of it (traffic.Sink).
"""

from types import TracebackType
from typing import Self

from bench.load import cpu
from bench.load.process import Program

# more than any run sends: the end is a signal
ENDLESS = 10**12
# generators share their processor: they sleep between trains, so that the receiver and the harness have their turn
NAP_US = 300


class SteadyLoad:
    """A generator's process. `command` is generator_up or generator_down with its options."""

    def __init__(self, command: list[str]) -> None:
        self._program = Program([*command, "--nap-us", str(NAP_US)], cpu.OTHERS_CPU, cpu.NICE_GENERATOR)
        self._latest_ns = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._program.stop()

    def begin(self, target: str, rate: int) -> None:
        """Starts to send to ADDR:PORT, without waiting for anything."""
        self._program.ask(f"to {target}")
        self._program.send(f"pace {rate} {ENDLESS}\n".encode())

    def finish(self) -> int:
        """Ends it and says how many packets it has sent; it cannot begin again."""
        self._program.interrupt()
        answer = self._program.answer("pace")
        self._latest_ns = int(str(answer["latest_ns"]))
        return int(str(answer["sent"]))

    @property
    def latest_s(self) -> float:
        """How far behind its schedule it has been at worst: what it was held up is not the relay's doing."""
        return self._latest_ns / 1e9
