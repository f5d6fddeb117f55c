"""The relay as a candidate: the real loop in a process of its own, over a table filled beforehand.

Its pages are files, so the harness reads the counters from outside and the flows come from bench/load/populate.c: the
relay takes the page over, as a worker takes over that of a dead one. What operators limit (admissions, idle flows) is
lifted, because a benchmark pauses its relay for seconds and floods it on purpose.
"""

import json
import subprocess
import sys
from pathlib import Path

from bench.load import build, cpu
from bench.load.candidates import Generator
from bench.load.failure import BenchFailure
from bench.load.process import Program
from bench.load.relay_page import DOWN_ALL, UP_ALL, RelayPage
from bench.load.sockets import socket_state
from bench.load.traffic import FIRST_TRANSCEIVER, TRANSCEIVER_PORT, Traffic
from fastrelay.relay.dataplane.limits import Limits
from fastrelay.routing.keys import Key


class Relay:
    """One relay process on processor 0, drained at its listener (up) or at its trunk (down)."""

    # the benchmark's key ring: this relay talks to nobody but the harness
    KEY_ID = 3
    SECRET = bytes(range(32))

    def __init__(
        self,
        name: str,
        traffic: Traffic,
        generator: Generator,
        *,
        is_up: bool,
        is_populated: bool = True,
        capacity: int = Limits().flows,
    ) -> None:
        self.name = name
        self.capacity = capacity
        self.page_bytes = 0
        self.port = self.trunk_port = 0
        self.page = RelayPage(build.OUT / f"{name}.counters")
        self._flows = build.OUT / f"{name}.flows"
        self._traffic = traffic
        self._generator = generator
        self._is_up = is_up
        self._is_populated = is_populated
        self._program: Program | None = None

    @classmethod
    def trunk_key_file(cls) -> Path:
        """A file with the trunk MAC key, as generator_down wants it."""
        path = build.OUT / "trunk.key"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Key(cls.KEY_ID, cls.SECRET, 0).trunk_key)
        return path

    def start(self) -> None:
        """Fills the table, then starts the relay on it."""
        self._populate()
        self._program = Program(self.command(), cpu.RELAY_CPU, cpu.NICE_CANDIDATE)
        ready = self._program.ready
        self.port, self.trunk_port = int(str(ready["port"])), int(str(ready["trunk_port"]))

    def command(self) -> list[str]:
        """How the relay's process is started."""
        setup = {
            "flows": self.capacity,
            "flow_page": str(self._flows),
            "counter_page": str(self.page.path),
            "key_id": self.KEY_ID,
            "secret": self.SECRET.hex(),
        }
        return [sys.executable, "-m", "bench.load.relay_child", json.dumps(setup)]

    def pause(self) -> None:
        """Stops the relay."""
        cpu.pause(self.program().pid)

    def resume(self) -> None:
        """Lets it go on."""
        cpu.resume(self.program().pid)

    def fill(self, packets: int) -> int:
        """Fills the socket that this candidate is drained at."""
        return self._generator.fill(self.port if self._is_up else self.trunk_port, packets)

    def handled(self) -> int:
        """Packets that ended in a verdict, forwarded or not."""
        return self.page.packets(UP_ALL if self._is_up else DOWN_ALL)

    def is_idle(self) -> bool:
        """Whether the relay waits for packets."""
        return cpu.is_idle(self.program().pid)

    def lost(self) -> int:
        """Everything refused or dropped in this process or at its sockets."""
        sockets = socket_state(self.port).drops + socket_state(self.trunk_port).drops
        return self.page.lost() + sockets

    def cpu_ns(self) -> int:
        """CPU time of all its threads."""
        return cpu.cpu_ns(self.program().pid)

    def stop(self) -> None:
        """Ends the relay and removes its pages."""
        if self._program is not None:
            self._program.stop()
            self._program = None
        self.page.close()
        self._flows.unlink(missing_ok=True)

    def program(self) -> Program:
        """The running relay."""
        if self._program is None:
            raise BenchFailure(f"{self.name} has not been started")
        return self._program

    def _populate(self) -> None:
        self._flows.unlink(missing_ok=True)
        command = [
            *(str(build.program("populate")), "--page", str(self._flows), "--capacity", str(self.capacity)),
            *("--to", f"{FIRST_TRANSCEIVER}:{TRANSCEIVER_PORT}", "--peers", str(self._traffic.transceivers)),
            *("--flows", str(self._traffic.clients if self._is_populated else 0), *self._traffic.options()),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BenchFailure(f"populate: {done.stderr}")
        self.page_bytes = int(json.loads(done.stdout)["bytes"])
