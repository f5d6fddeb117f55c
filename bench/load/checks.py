"""The STUN checks of the benchmark's clients: one for each session, since a check does not say who sends it."""

import time
from ipaddress import IPv4Address
from pathlib import Path

from bench.load.build import OUT
from bench.load.relay_candidate import Relay
from bench.load.traffic import FIRST_TRANSCEIVER, TRANSCEIVER_PORT, Traffic
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.routing.token import mint_token
from fastrelay.wire.stun import build_check

# clients that share a session. A relay counts a session's flows in a sketch that errs upwards: with 128, one session in
# 70,000 shares both its cells with others of as many flows, and its last is refused at 254 (ext/flow/budget.h)
SESSION_CLIENTS = 64


def write_checks(traffic: Traffic, port: int = TRANSCEIVER_PORT) -> Path:
    """A file for generator_up: length as two bytes, then the check, for each session. Transceivers take turns."""
    ring = KeyRing((Key(Relay.KEY_ID, Relay.SECRET, 0),))
    content = b""
    for number in range(max(traffic.transceivers, -(-traffic.clients // SESSION_CLIENTS))):
        address = transceiver_address(number % traffic.transceivers)
        minted = mint_token(ring, to=(address, port), now_s=time.time())
        check = build_check(f"{minted.ufrag}:client", minted.password)
        content += len(check).to_bytes(2, "big") + check
    path = OUT / "checks"
    path.write_bytes(content)
    return path


def transceiver_address(number: int) -> str:
    """Each has an address, all have one port."""
    return str(IPv4Address(FIRST_TRANSCEIVER) + number)
