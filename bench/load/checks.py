"""The STUN checks of the benchmark's clients: one for each transceiver, since a check does not say who sends it."""

import time
from pathlib import Path

from bench.load.build import OUT
from bench.load.relay_candidate import Relay
from bench.load.traffic import FIRST_TRANSCEIVER, TRANSCEIVER_PORT
from fastrelay.routing.keys import Key, KeyRing
from fastrelay.routing.token import mint_token
from fastrelay.wire.stun import build_check


def write_checks(transceivers: int) -> Path:
    """A file for generator_up: length as two bytes, then the check, for each transceiver."""
    ring = KeyRing((Key(Relay.KEY_ID, Relay.SECRET, 0),))
    first = FIRST_TRANSCEIVER.rpartition(".")
    content = b""
    for number in range(transceivers):
        address = f"{first[0]}.{int(first[2]) + number}"
        minted = mint_token(ring, to=(address, TRANSCEIVER_PORT), now_s=time.time())
        check = build_check(f"{minted.ufrag}:client", minted.password)
        content += len(check).to_bytes(2, "big") + check
    path = OUT / "checks"
    path.write_bytes(content)
    return path
