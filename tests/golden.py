"""Real packets of real calls: the captures in tests/data/captures, as typed records.

    for packet in golden.load("firefox153_dtls_client"): ...

What the captures are and how they were cut: tests/data/README.md.
"""

import base64
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

CAPTURES = Path(__file__).parent / "data" / "captures"
NAMES = tuple(sorted(path.stem for path in CAPTURES.glob("*.jsonl")))


@dataclass(frozen=True, slots=True)
class GoldenPacket:
    """One datagram of a call."""

    direction: Literal["client", "server"]
    """Who sent it: `client` is the browser or library, and its packets go up."""
    time_s: float
    """Seconds since the first packet of the capture."""
    kind: Literal["stun", "dtls", "srtp", "srtcp"]
    """Its protocol, told by its structure when the capture was cut, not by its first byte."""
    payload: bytes


@cache
def _records(name: str) -> tuple[dict[str, str | None], tuple[GoldenPacket, ...]]:
    lines = (CAPTURES / f"{name}.jsonl").read_text(encoding="ascii").splitlines()
    header, *records = map(json.loads, lines)
    packets = tuple(
        GoldenPacket(record["direction"], record["time_s"], record["kind"], base64.b64decode(record["payload"]))
        for record in records
    )
    return header, packets


def load(name: str) -> list[GoldenPacket]:
    """Return the packets of a capture, one of NAMES, in the order they were seen."""
    return list(_records(name)[1])


def client_password(name: str) -> str | None:
    """Return the client's ICE password where it is known: it signs checks to the client, and the client's responses."""
    return _records(name)[0]["client_password"]
