"""What a session tells its owner, besides the datagrams to send.

Lives here: the values. Must not live here: who does what with them (transceiver.worker).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from fastrelay._ext.trunk_port import Path
from fastrelay.transceiver.session.states import EndReason


@dataclass(frozen=True, slots=True)
class Reached:
    """The first authenticated check has come: there is an address to send to."""

    path: Path


@dataclass(frozen=True, slots=True)
class Moved:
    """The client is heard and answered at another address from now on."""

    path: Path


@dataclass(frozen=True, slots=True)
class Established:
    """Both ends hold keys: media and events may flow."""


@dataclass(frozen=True, slots=True)
class Heard:
    """The client's first audio packet has come."""


@dataclass(frozen=True, slots=True)
class Received:
    """Application data of DTLS: one SCTP packet."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Ended:
    """Nothing follows."""

    reason: EndReason


SessionEvent: TypeAlias = Reached | Moved | Established | Heard | Received | Ended
