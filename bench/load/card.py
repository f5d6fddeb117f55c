"""The machine card: what a figure was measured on, printed with every result."""

import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from bench.load.build import ROOT

CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Card:
    """One machine at one moment."""

    processor: str
    processors: int
    hypervisor: bool
    governor: str
    memory_mib: int
    mitigations: str
    kernel: str
    python: str
    compiler: str
    rmem_max: int
    load_average_before: float
    commit: str
    is_dirty: bool
    measured_at: str

    def lines(self) -> dict[str, str]:
        """As the report shows it."""
        named = asdict(self) | {"commit": self.named_commit()}
        return {key.replace("_", " "): str(value) for key, value in named.items() if key != "is_dirty"}

    def named_commit(self) -> str:
        """The commit, marked when the tree differed from it."""
        name = self.commit or "unknown"
        return f"{name} with changes" if self.is_dirty else name


def read_card() -> Card:
    """The card of this machine, now."""
    cpuinfo = CPUINFO.read_text()
    return Card(
        processor=processor_name(),
        processors=os.cpu_count() or 1,
        hypervisor=" hypervisor" in cpuinfo,
        governor=governor(),
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        mitigations=mitigations(),
        kernel=platform.release(),
        python=platform.python_version(),
        compiler=first_line([os.environ.get("CC", "cc"), "--version"]),
        rmem_max=int(Path("/proc/sys/net/core/rmem_max").read_text()),
        load_average_before=round(os.getloadavg()[0], 2),
        commit=commit(),
        is_dirty=is_dirty(),
        measured_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )


def processor_name() -> str:
    """The model; the architecture where the kernel names none."""
    lines = CPUINFO.read_text().splitlines()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def governor() -> str:
    """Who decides the processor's clock; of a virtual machine that is its host, unseen."""
    file = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    return file.read_text().strip() if file.exists() else "not visible"


def mitigations() -> str:
    """The processor weaknesses the kernel pays for: they decide what a system call costs."""
    folder = Path("/sys/devices/system/cpu/vulnerabilities")
    paid = [file.name for file in sorted(folder.glob("*")) if file.read_text().startswith("Mitigation")]
    return ", ".join(paid) or "none"


def commit() -> str:
    """The commit that is checked out; empty where there is none."""
    return first_line(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"])


def is_dirty() -> bool:
    """Whether tracked files differ from the commit: then the figures are of no commit at all."""
    return bool(first_line(["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no"]))


def first_line(command: list[str]) -> str:
    """What a command says first; empty when it cannot be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.partition("\n")[0]
