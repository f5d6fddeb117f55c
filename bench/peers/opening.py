"""What clients send before their media, so that a relay has a path for each of them.

Lives here: STUN checks whose ufrag names the transceiver in the plain, as the published recipe does. Must not live
here: fastrelay's own checks, whose tokens are sealed (bench/load/checks.py); TURN (turn_client.py).
"""

import ipaddress
from pathlib import Path

from bench.load.build import OUT
from bench.peers.peer import Endpoint, Route
from fastrelay.wire.stun import build_check

PASSWORD = "a benchmark has no secrets"
# behind the route: what makes a ufrag one session's own
SESSION_DIGITS = 8


def plain_ufrag(transceiver: Endpoint, session: int) -> str:
    """Address and port as 12 hexadecimal digits, then the session's number."""
    address = ipaddress.IPv4Address(transceiver[0]).packed
    return f"{address.hex()}{transceiver[1]:04x}{session:0{SESSION_DIGITS}x}"


def check_for(transceiver: Endpoint, session: int = 0) -> bytes:
    """The check of one session."""
    return build_check(f"{plain_ufrag(transceiver, session)}:client", PASSWORD)


def transceivers_of(route: Route) -> list[Endpoint]:
    """All transceivers of a route: neighbours, as floor_forward and populate count them."""
    address, port = ipaddress.IPv4Address(route.transceiver[0]), route.transceiver[1]
    return [(str(address + number), port) for number in range(route.transceivers)]


def write_plain_checks(route: Route, name: str) -> Path:
    """A file for generator_up: client i belongs to transceiver i modulo their count, in every relay alike."""
    content = b""
    for session, transceiver in enumerate(transceivers_of(route)):
        check = check_for(transceiver, session)
        content += len(check).to_bytes(2, "big") + check
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / f"{name}.plain-checks"
    path.write_bytes(content)
    return path
