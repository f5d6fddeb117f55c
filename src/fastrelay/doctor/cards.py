"""Checks of the network cards: do their queues, and the interrupts behind them, reach every worker's CPU.

Lives here: what sysfs and /proc/interrupts say of cards with a device behind them. Must not live here: the rest of the
network stack (network).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastrelay.doctor.finding import Finding, ok, warning
from fastrelay.doctor.host import Host, Wanted, format_cpus, format_mask, parse_cpus, parse_mask

NET = "/sys/class/net"
_NOT_FOR_RECEIVING = re.compile(
    r"\b(tx|output|config|ctrl|control|admin|mgmnt|async|fdir|cmd)\b|[-.@](tx|output)", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Card:
    """A network interface with a device behind it."""

    name: str
    device: str
    """As interrupts may be called after it: virtio2, 0000:00:03.0."""
    receive_queues: tuple[str, ...]
    send_queues: tuple[str, ...]

    def queue_file(self, queue: str, name: str) -> str:
        """A setting of one queue."""
        return f"{NET}/{self.name}/queues/{queue}/{name}"


def cards(host: Host) -> list[Card]:
    """Those that are up."""
    found = []
    for name in host.names(NET):
        device = host.path(f"{NET}/{name}/device")
        if not device.exists() or host.text(f"{NET}/{name}/operstate") == "down":
            continue
        target = device.readlink().name if device.is_symlink() else name
        queues = host.names(f"{NET}/{name}/queues")
        receive = tuple(queue for queue in queues if queue.startswith("rx-"))
        found.append(Card(name, target, receive, tuple(queue for queue in queues if queue.startswith("tx-"))))
    return found


def driver_names(host: Host) -> set[str]:
    """The drivers of all cards."""
    links = (host.path(f"{NET}/{card.name}/device/driver") for card in cards(host))
    return {link.readlink().name for link in links if link.is_symlink()}


def network_cards(host: Host, wanted: Wanted) -> list[Finding]:
    """Queues, steering and interrupts of each card."""
    found = cards(host)
    if not found:
        return [
            warning(
                f"no network card is visible here, only {', '.join(host.names(NET))}",
                "queues and interrupts of the card decide which CPU receives, and they are the host's",
                "fastrelay doctor  # on the host, outside of the container",
            )
        ]
    return [
        finding
        for card in found
        for finding in (_queues(card, host, wanted), *_steering(card, host, wanted), *_interrupts(card, host, wanted))
    ]


def _queues(card: Card, host: Host, wanted: Wanted) -> Finding:
    queues, needed = len(card.receive_queues), min(wanted.workers, len(host.cpus))
    found = f"{card.name} has {queues} receive queue{'s' if queues != 1 else ''} for {wanted.workers} workers"
    why = "the kernel's receive work is done on the CPUs of the queues, and is more than the relay's own"
    if queues < needed:
        return warning(
            found, why, f"ethtool -L {card.name} combined {needed}  # a virtual machine: ask for more queues"
        )
    return ok(found, why)


def _steering(card: Card, host: Host, wanted: Wanted) -> list[Finding]:
    """RPS spreads what too few queues bring; with enough queues it only moves packets away from their CPU."""
    masks = {queue: parse_mask(host.text(card.queue_file(queue, "rps_cpus"))) for queue in card.receive_queues}
    spread_to = frozenset().union(*masks.values())
    has_enough_queues = len(card.receive_queues) >= min(wanted.workers, len(host.cpus))
    files = f"{NET}/{card.name}/queues/rx-*/rps_cpus"
    if has_enough_queues and spread_to:
        receiving = warning(
            f"{card.name} spreads packets in software (RPS) to CPUs {format_cpus(spread_to)} despite its queues",
            "each packet then crosses to another CPU for nothing",
            f"for queue in {files}; do echo 0 > $queue; done",
        )
    elif not has_enough_queues and not spread_to:
        receiving = warning(
            f"{card.name} does not spread packets in software (RPS), and has too few queues",
            "one CPU does the kernel's receive work of all workers",
            f"for queue in {files}; do echo {format_mask(host.cpus)} > $queue; done",
        )
    else:
        state = f"to CPUs {format_cpus(spread_to)}" if spread_to else "not needed"
        receiving = ok(
            f"{card.name} spreads packets in software (RPS): {state}", "queues and RPS feed the workers' CPUs"
        )
    return [receiving, *_sending(card, host)]


def _sending(card: Card, host: Host) -> list[Finding]:
    if len(card.send_queues) < 2:
        return []  # with one queue there is nothing to choose
    files = {queue: card.queue_file(queue, "xps_cpus") for queue in card.send_queues}
    chosen = {queue: parse_mask(host.text(name)) for queue, name in files.items() if host.has(name)}
    why = "a send queue of its own saves a worker the lock it would share"
    if any(chosen.values()):
        return [ok(f"{card.name} chooses send queues by CPU (XPS)", why)]
    commands = [
        f"echo {format_mask({cpu})} > {files[queue]}"
        for cpu, queue in zip(sorted(host.cpus), card.send_queues, strict=False)
    ]
    return [warning(f"{card.name} does not choose send queues by CPU (XPS)", why, "; ".join(commands))]


def _interrupts(card: Card, host: Host, wanted: Wanted) -> list[Finding]:
    """Where the card's receive interrupts go, and who may move them."""
    homes = {irq: _cpus_of(irq, host) for irq in receive_interrupts(card, host)}
    why = "a CPU that takes the interrupts of several queues is full before the others"
    if not homes:
        return [
            warning(
                f"no interrupt of {card.name} is listed in /proc/interrupts",
                why,
                f"grep -E '{card.name}|{card.device}' /proc/interrupts  # by another name?",
            )
        ]
    taken = frozenset().union(*homes.values())
    named = ", ".join(f"{irq} on {format_cpus(on)}" for irq, on in homes.items())
    found = f"{card.name} receive interrupt{'s' if len(homes) > 1 else ''}: {named}"
    if len(taken) < min(len(homes), len(host.cpus)):
        commands = [
            f"echo {cpu} > /proc/irq/{irq}/smp_affinity_list"
            for irq, cpu in zip(homes, sorted(host.cpus) * len(homes), strict=False)
        ]
        return [warning(found, why, "; ".join(commands))]
    return [ok(found, why)]


def receive_interrupts(card: Card, host: Host) -> list[int]:
    """Interrupts of this card, by number or by name, except those that are plainly not for receiving."""
    folder = f"{NET}/{card.name}/device/msi_irqs"
    own = set(host.names(folder)) if host.has(folder) else set()
    found = []
    for line in host.text("/proc/interrupts").splitlines():
        number, colon, rest = line.strip().partition(":")
        if not colon or not number.isdecimal():
            continue
        name = rest.split()[-1] if rest.split() else ""
        is_ours = number in own or name.startswith((f"{card.name}-", f"{card.device}-")) or name == card.name
        if (is_ours or f"{card.name}-" in name) and not _NOT_FOR_RECEIVING.search(name):
            found.append(int(number))
    return found


def irqbalance(host: Host, wanted: Wanted) -> list[Finding]:
    """It moves interrupts away from the CPUs they were given."""
    why = "it moves receive interrupts between CPUs while calls run"
    for name in host.names("/proc"):
        if name.isdecimal() and _name_of(host, name) == "irqbalance":
            return [warning(f"irqbalance runs as process {name}", why, "systemctl disable --now irqbalance")]
    return [ok("irqbalance does not run, as far as this process can see", why)]


def _name_of(host: Host, pid: str) -> str:
    try:
        return host.text(f"/proc/{pid}/comm")
    except (FileNotFoundError, ProcessLookupError):
        return ""  # it has ended meanwhile


def _cpus_of(irq: int, host: Host) -> frozenset[int]:
    folder = f"/proc/irq/{irq}"
    effective = f"{folder}/effective_affinity_list"
    # where the kernel has chosen one CPU out of those allowed
    text = host.text(effective) if host.has(effective) else ""
    return parse_cpus(text or host.text(f"{folder}/smp_affinity_list"))
