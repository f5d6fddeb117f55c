"""What leaves a DTLS end: OpenSSL's records as datagrams, and a flight that can be sent again early.

Lives here: record borders (RFC 6347 §4.1), packing under the MTU, the last flight and when it is due again. Must not
live here: OpenSSL, states, who the peer is (dtls).

OpenSSL waits a second before it resends, and that cannot be set. So the last flight is kept and sent again after 50,
100 and 200 ms. A peer's replay window would drop a record that comes twice with one number, also where it could not use
the first (a ChangeCipherSpec that overtook its flight): records of epoch 0, which nothing authenticates yet, are
numbered here, anew each time. Those of later epochs carry their number in their cipher and go out as they are.
"""

from __future__ import annotations

from typing import Final

HEADER_BYTES: Final = 13
"""Of a DTLS 1.2 record: type, version, epoch, sequence number, length. DTLS 1.3 has others; it is never negotiated."""
EPOCH: Final = slice(3, 5)
SEQUENCE: Final = slice(5, 11)
LENGTH: Final = slice(11, 13)
UNPROTECTED: Final = b"\x00\x00"

RESEND_AFTER_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""How long a flight waits for its answer, each time. The last one stays."""
EARLY_RESENDS: Final = 3
"""From then on OpenSSL is asked first: it also writes records of later epochs anew."""


def split_records(data: bytes) -> list[bytes]:
    """Cut what OpenSSL has written, which is whole records only."""
    records = []
    at = 0
    while at < len(data):
        end = at + HEADER_BYTES + int.from_bytes(data[at + LENGTH.start : at + LENGTH.stop], "big")
        records.append(data[at:end])
        at = end
    return records


class Flight:
    """The records that the peer has to answer, and everything about sending them."""

    __slots__ = ("_mtu_bytes", "_next_sequence", "_records", "_resends", "resend_s")

    def __init__(self, mtu_bytes: int) -> None:
        self.resend_s: float | None = None
        """When it is due again; None when nothing is waited for."""
        self._mtu_bytes = mtu_bytes
        self._next_sequence = 0
        self._records: list[bytes] = []
        self._resends = 0

    def start(self, records: list[bytes], now_s: float) -> list[bytes]:
        """Send a new flight. The former one has been answered."""
        self._records = records
        self._resends = 0
        self.resend_s = now_s + RESEND_AFTER_S[0]
        return self.pack(records)

    @property
    def is_early(self) -> bool:
        """Whether it is resent from here alone; afterwards OpenSSL is asked as well."""
        return self._resends < EARLY_RESENDS

    def resend(self, now_s: float, rewritten: list[bytes] | None = None) -> list[bytes]:
        """Send it again, or what OpenSSL has `rewritten` of it, and wait longer."""
        if rewritten:
            self._records = rewritten
        self._resends = min(self._resends + 1, len(RESEND_AFTER_S) - 1)
        self.resend_s = now_s + RESEND_AFTER_S[self._resends]
        return self.pack(self._records)

    def repeat(self, now_s: float) -> list[bytes]:
        """Send a last flight again because the peer asks for it: no more often than a flight may be resent."""
        if not self._records or (self.resend_s is not None and now_s < self.resend_s):
            return []
        self.resend_s = now_s + RESEND_AFTER_S[0]
        return self.pack(self._records)

    def forget(self) -> None:
        """The peer has it, or will never answer."""
        self._records = []
        self.resend_s = None

    def pack(self, records: list[bytes]) -> list[bytes]:
        """Datagrams of these records, in order. A record larger than the MTU cannot be cut, and goes alone."""
        datagrams: list[bytes] = []
        waiting = b""
        for record in records:
            numbered = self._number(record)
            if waiting and len(waiting) + len(numbered) > self._mtu_bytes:
                datagrams.append(waiting)
                waiting = b""
            waiting += numbered
        if waiting:
            datagrams.append(waiting)
        return datagrams

    def _number(self, record: bytes) -> bytes:
        if record[EPOCH] != UNPROTECTED:
            return record
        sequence = self._next_sequence
        self._next_sequence += 1
        return record[: SEQUENCE.start] + sequence.to_bytes(6, "big") + record[SEQUENCE.stop :]
