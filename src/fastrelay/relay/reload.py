"""Another configuration for a running relay: all of it, or nothing.

Lives here: what may change while calls go on, in which order it is done, and what is said of it. Must not live here:
reading the configuration (configuration), how workers take it (crew).
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Final

from fastrelay.errors import ConfigError
from fastrelay.relay.addresses import mark_leaving, open_new
from fastrelay.relay.crew import Crew
from fastrelay.relay.settings import RelaySettings, Steering
from fastrelay.service.privileges import choose_cpus
from fastrelay.service.tallies import ring_changes

FIXED: Final = {
    "trunk": "--trunk",
    "user": "--user",
    "run_dir": "--run-dir",
    "admin": "--admin",
    "busy_poll_us": "--busy-poll",
    "samples_latency": "--no-latency-samples",
}
"""What sockets were made with."""
SIZES: Final = {"flows": "--flows", "peers": "limits.peers"}
"""What pages were made with."""
BY_SUCCESSION: Final = ("cluster", "is_spinning", "is_offloading")
"""What a worker is given at its start."""


def apply(crew: Crew, old: RelaySettings, wanted: RelaySettings) -> dict[str, object]:
    """Bring the crew to the wanted settings; what changed, in words for the log. ConfigError: nothing has changed."""
    crew.replace_due()  # what the last reload has begun
    # whether offload works was found out at start, and is no wish
    new = replace(wanted, is_offloading=wanted.is_offloading and old.is_offloading)
    refuse_fixed(old, new)
    cpus = choose_cpus(new.cpus, new.worker_count)
    if len(cpus) < len(crew.members):
        refuse_unsteered(crew, new)
    ring = new.load_keys()
    ring.minting_key(time.time())
    with ExitStack() as undo:  # all that can still be refused comes first
        has_new_addresses = open_new(crew.resources, new, undo)
        crew.open_more(len(cpus), new, undo)
        undo.pop_all()
    has_other_addresses = mark_leaving(crew.resources, new.listen) or has_new_addresses
    changes: dict[str, object] = {f"keys_{how}": ids for how, ids in ring_changes(crew.ring, ring).items() if ids}
    if has_other_addresses:
        changes["listen"] = [f"{ip}:{port}" for ip, port in new.listen]
    if len(cpus) != len(choose_cpus(old.cpus, old.worker_count)):
        changes["workers"] = len(cpus)
    if new.limits != old.limits:
        changes["limits"] = "changed"
    if new.allowed != old.allowed:
        changes["allow"] = [str(network) for network in new.allowed]
    crew.take_settings(new, ring)
    crew.resize(cpus)
    if has_other_addresses or any(getattr(old, name) != getattr(new, name) for name in BY_SUCCESSION):
        crew.replace_all()
    return changes


def refuse_unsteered(crew: Crew, new: RelaySettings) -> None:
    """A worker can only be retired when the kernel can be told to choose others."""
    if new.steering is Steering.KERNEL:
        raise ConfigError("--workers", "cannot become fewer while the kernel steers by itself; use --steering hash")
    if not crew.steerer.is_sorted:
        raise ConfigError(
            "--workers", "cannot become fewer since a worker died without a supervisor; restart the relay"
        )


def fixed_values(settings: RelaySettings) -> dict[str, str]:
    """Those settings in a form that travels to another release."""
    return {option: str(getattr(settings, name)) for name, option in FIXED.items()}


def refuse_fixed(old: RelaySettings, new: RelaySettings) -> None:
    changed = [option for name, option in FIXED.items() if getattr(old, name) != getattr(new, name)]
    changed += [option for name, option in SIZES.items() if getattr(old.limits, name) != getattr(new.limits, name)]
    if changed:
        raise ConfigError(changed[0], "cannot change while the relay runs; restart it")
