"""Which CPUs take packets from this machine's network cards.

Lives here: reading that from the kernel. Must not live here: advice about it (doctor), what follows (relay.steering).
"""

from __future__ import annotations

from pathlib import Path

SYS, PROC = Path("/sys"), Path("/proc")


def receive_cpus(sys: Path = SYS, proc: Path = PROC) -> set[int]:
    """The CPUs that the interrupts of the cards in use go to; empty where that cannot be told, as for loopback."""
    found: set[int] = set()
    for card in sorted((sys / "class/net").glob("*/device/msi_irqs")):
        if (card.parents[1] / "operstate").read_text().strip() == "down":
            continue
        for interrupt in card.iterdir():
            affinity = proc / "irq" / interrupt.name / "effective_affinity_list"
            if affinity.exists():
                found |= parse_cpu_list(affinity.read_text())
    return found


def parse_cpu_list(text: str) -> set[int]:
    """The kernel's form: 0-3,8."""
    found: set[int] = set()
    for part in filter(None, text.strip().split(",")):
        first, _, last = part.partition("-")
        found |= set(range(int(first), int(last or first) + 1))
    return found
