"""All checks by name, in the order they are shown, and running them.

Lives here: the list, and what becomes of a check that cannot read what it needs. Must not live here: any check.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, TypeAlias

from fastrelay.doctor import cards, network, processors, system
from fastrelay.doctor.finding import Finding, warning
from fastrelay.doctor.host import Host, Wanted

Check: TypeAlias = Callable[[Host, Wanted], list[Finding]]

CHECKS: Final[Mapping[str, Check]] = {
    "kernel": system.kernel,
    "offload": system.offload,
    "cpus": processors.cpus,
    "siblings": processors.siblings,
    "isolation": processors.isolation,
    "governor": processors.governor,
    "quota": processors.quota,
    "cards": cards.network_cards,
    "irqbalance": cards.irqbalance,
    "receive_buffer": network.receive_buffer,
    "send_buffer": network.send_buffer,
    "backlog": network.backlog,
    "conntrack": network.conntrack,
    "steering": network.steering,
    "ports": network.ports,
    "memory": system.memory,
    "swap": system.swap,
    "open_files": system.open_files,
    "clock_source": system.clock_source,
    "clock": system.clock,
}


def run_checks(host: Host, wanted: Wanted) -> list[Finding]:
    """Every finding of every check. One that cannot be made is a warning that says so, never silence."""
    findings = []
    for name, check in CHECKS.items():
        try:
            found = check(host, wanted)
        except OSError as error:
            found = [_unknown(error)]
        findings += [replace(finding, check=name) for finding in found]
    return findings


def _unknown(error: OSError) -> Finding:
    is_forbidden = error.errno in (errno.EACCES, errno.EPERM)
    return warning(
        f"cannot be checked: {error.strerror}: {error.filename}",
        "what is not known here may still be wrong",
        "sudo fastrelay doctor" if is_forbidden else "fastrelay doctor  # on the host, outside of any container",
    )
