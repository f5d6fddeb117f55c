"""A relay of others as a child process: pinned before its first instruction, gone when the harness is.

Lives here: starting, waiting for its socket, ending it. Must not live here: what is started, what it is asked.
"""

import contextlib
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from typing import IO

from bench.load import build, cpu
from bench.load.failure import BenchFailure
from bench.load.sockets import udp_sockets
from bench.peers.peer import Endpoint

OUT = build.OUT / "peers"
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 3.0
POLL_S = 0.01
# of what a relay said before it ended, this much goes into the failure
SAID_MAX = 1500


class Running:
    """One child on the candidate's processor; what it says is kept for the message when it fails."""

    def __init__(self, name: str, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        OUT.mkdir(parents=True, exist_ok=True)
        self._said: IO[bytes] = tempfile.TemporaryFile(dir=OUT)  # noqa: SIM115 - lives as long as the child
        self._process = subprocess.Popen(
            [*tied(), *command],
            stdin=subprocess.DEVNULL,
            stdout=self._said,
            stderr=self._said,
            cwd=OUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self.pid = self._process.pid
        cpu.prefer(self.pid, cpu.NICE_CANDIDATE)

    def wait_until_bound(self, endpoint: Endpoint) -> None:
        """Returns when the address is bound; what the child said is the failure when it ends before that."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not is_bound(endpoint):
            if self._process.poll() is not None:
                raise BenchFailure(f"{self.name} ended with exit code {self._process.returncode}: {self.said()}")
            if time.monotonic() > deadline:
                raise BenchFailure(f"{self.name} has not bound {endpoint[0]}:{endpoint[1]}: {self.said()}")
            time.sleep(POLL_S)

    def said(self) -> str:
        """The end of what it wrote."""
        size = os.fstat(self._said.fileno()).st_size
        return os.pread(self._said.fileno(), SAID_MAX, max(0, size - SAID_MAX)).decode(errors="replace").strip()

    def stop(self) -> None:
        """Ends the child, paused or not; one that does not listen is killed, and its children with it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGCONT)
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._said.close()


def tied() -> list[str]:
    """Programs that prepare a process and become it: it ends with the harness, and never runs on another processor."""
    before = ["setpriv", "--pdeathsig", "KILL"]
    return before if (os.cpu_count() or 1) < 2 else [*before, "taskset", "--cpu-list", str(cpu.RELAY_CPU)]


def is_bound(endpoint: Endpoint) -> bool:
    """Whether a UDP socket of this machine has the address or the wildcard at its port."""
    return any(each.address in (endpoint[0], "0.0.0.0") for each in udp_sockets(endpoint[1]))


def free_port(first: int, last: int) -> int:
    """A UDP port nobody has, below the ephemeral range, for relays that cannot say which one they took."""
    taken = {each.port for each in udp_sockets()}
    for port in range(first, last):
        if port not in taken:
            return port
    raise BenchFailure(f"no free UDP port in {first}–{last}")
