"""One C program of the harness as a child process: started, pinned, asked, stopped by its own pid."""

import json
import subprocess
from pathlib import Path
from typing import IO

from bench.load import cpu
from bench.load.build import ROOT
from bench.load.failure import BenchFailure


class Program:
    """A running child that said it is ready; commands go to its standard input, one JSON line comes back for each."""

    def __init__(self, command: list[str], on_cpu: int, nice: int) -> None:
        self.name = Path(command[0]).name
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT, bufsize=0, start_new_session=True
        )
        self.pid = self._process.pid
        cpu.pin(self.pid, on_cpu)
        cpu.prefer(self.pid, nice)
        self.ready = self._answer()

    def port(self) -> int:
        """The port its socket got."""
        return int(str(self.ready["port"]))

    def ask(self, line: str) -> dict[str, object]:
        """Sends one command and waits for its answer."""
        self.send(line.encode() + b"\n")
        return self.answer(line)

    def answer(self, line: str) -> dict[str, object]:
        """Waits for the answer to a command that was sent."""
        answer = self._answer()
        if "error" in answer:
            raise BenchFailure(f"{self.name}: {line}: {answer['error']}")
        return answer

    def send(self, data: bytes) -> None:
        """Writes to the child's standard input without waiting."""
        pipe(self._process.stdin).write(data)

    def interrupt(self) -> None:
        """Tells the child to end what it does; it answers the command it was at."""
        self._process.terminate()

    def is_alive(self) -> bool:
        """Whether the child still runs (or is paused)."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ends the child and closes its pipes; a child that does not listen is killed."""
        pipe(self._process.stdin).close()
        if self.is_alive():
            cpu.resume(self.pid)
            self._process.terminate()
        try:
            self._process.wait(3)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        pipe(self._process.stdout).close()

    def _answer(self) -> dict[str, object]:
        line = pipe(self._process.stdout).readline()
        if not line:
            raise BenchFailure(f"{self.name} ended with exit code {self._process.wait()}")
        answer: dict[str, object] = json.loads(line)
        return answer


def pipe(end: IO[bytes] | None) -> IO[bytes]:
    """A pipe that was asked for is there."""
    if end is None:
        raise BenchFailure("a child process has no pipe")
    return end
