"""The two tiers as commands meet them that serve both: which one a configuration is for, and how it is read.

Lives here: telling them apart, by the section of their own that a file has. Must not live here: their settings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import click

from fastrelay.config.document import read_document
from fastrelay.config.schema import Schema
from fastrelay.relay import configuration as relay
from fastrelay.relay.schema import RELAY_SCHEMA
from fastrelay.routing.keys import KeyRing
from fastrelay.service.configuration import Places, Reading
from fastrelay.transceiver.supervisor import configuration as transceiver
from fastrelay.transceiver.supervisor.schema import TRANSCEIVER_SCHEMA


class Settings(Protocol):
    """What the settings of both have alike."""

    @property
    def load_keys(self) -> Callable[[], KeyRing]: ...

    @property
    def cpus(self) -> tuple[int, ...]: ...

    @property
    def workers(self) -> int | None: ...

    @property
    def user(self) -> str | None: ...

    @property
    def shown(self) -> Mapping[str, object]: ...


@dataclass(frozen=True, slots=True)
class Tier:
    """A relay, or a transceiver."""

    name: str
    schema: Schema
    places: Places
    read: Callable[[Path | None, Mapping[str, object], Mapping[str, str]], Reading[Settings]]


TIERS: Final = {
    "relay": Tier("relay", RELAY_SCHEMA, relay.PLACES, relay.read_relay),
    "transceiver": Tier("transceiver", TRANSCEIVER_SCHEMA, transceiver.PLACES, transceiver.read_transceiver),
}


def tier_of(file: Path | None, named: str | None = None) -> Tier:
    """The one that was named; else the one whose section the file has; else a relay."""
    if named is None and file is not None:
        sections: Mapping[str, Any] = read_document(file).values
        named = next((name for name in TIERS if name in sections), None)
    return TIERS[named or "relay"]


of_option = click.option(
    "--of",
    "named",
    type=click.Choice(list(TIERS)),
    help="Of which of the two. Without it: what the file is for, and without a file a relay.",
)
