"""CPU time of a process and its pausing: what the kernel accounts, read from /proc."""

import os
import signal
import time
from pathlib import Path

from bench.load.failure import BenchFailure

RELAY_CPU = 0
OTHERS_CPU = 1
# candidates and receivers before everything, then generators, which spin, then the rest of the machine
NICE_CANDIDATE = NICE_RECEIVER = -20
NICE_GENERATOR = -10
STAT = Path("/proc/stat")
# of a processor's line there, its name being the first field
STOLEN = 8


def cpu_ns(pid: int) -> int:
    """Nanoseconds all threads of the process have run (user and system), exact while it is paused."""
    return schedstat(pid, 0)


def kept_waiting_ns(pid: int) -> int:
    """Nanoseconds its threads were ready to run while the processor did something else."""
    return schedstat(pid, 1)


def stolen_ns(processor: int) -> int:
    """Nanoseconds for which the hypervisor ran something else on this processor of ours, since the machine's start."""
    fields = next(line.split() for line in STAT.read_text().splitlines() if line.startswith(f"cpu{processor} "))
    return int(fields[STOLEN]) * (10**9 // os.sysconf("SC_CLK_TCK"))


def schedstat(pid: int, field: int) -> int:
    """One field of schedstat, over all threads."""
    return sum(int((task / "schedstat").read_text().split()[field]) for task in Path(f"/proc/{pid}/task").iterdir())


def prefer(pid: int, nice: int) -> None:
    """Puts a process before the other work of the machine, where we may: a benchmark measures its own load."""
    try:
        os.setpriority(os.PRIO_PROCESS, pid, nice)
        # where sessions share the processor between them, a session's own value is what counts
        Path(f"/proc/{pid}/autogroup").write_text(str(nice))
    except (PermissionError, FileNotFoundError):
        return


def pin(pid: int, cpu: int) -> None:
    """Binds every thread of the process to one processor; a machine with one processor is left alone."""
    if (os.cpu_count() or 1) < 2:
        return
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {cpu})


def pause(pid: int) -> None:
    """Stops the process and waits until every thread has left its processor."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 5
    while not all(state == "T" for state in thread_states(pid)):
        if time.monotonic() > deadline:
            raise BenchFailure(f"process {pid} does not stop")
        time.sleep(0.0002)


def resume(pid: int) -> None:
    """Lets a paused process go on."""
    os.kill(pid, signal.SIGCONT)


def is_idle(pid: int) -> bool:
    """Whether every thread sleeps in the kernel."""
    return all(state == "S" for state in thread_states(pid))


def thread_states(pid: int) -> list[str]:
    """The one-letter state of each thread; T is stopped, Z is dead."""
    states = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        # the name before the state may hold spaces and brackets: cut behind its last bracket
        states.append((task / "stat").read_text().rpartition(")")[2].split()[0])
    return states
