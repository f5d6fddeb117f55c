"""A lite end with credentials, and the checks that reach it over paths of our choice.

Lives here: what the tests of ICE share. Must not live here: expectations.
"""

from __future__ import annotations

from fastrelay.transceiver.ice import CheckAnswer, IceLite
from fastrelay.transceiver.trunk_port import Path
from fastrelay.wire.stun import build_check

UFRAG, PASSWORD, REMOTE = "server+ufrag/50", "password.of.the.session.", "CLNT"
NAME = f"{UFRAG}:{REMOTE}"
RELAY = ("192.0.2.1", 3479)
T0_S = 1000.0


def path_of(port: int, ip: str = "203.0.113.7", relay: tuple[str, int] = RELAY, via: int = 0) -> Path:
    return Path((ip, port), relay, via)


A, B = path_of(50_001), path_of(50_002)


class Ice(IceLite):
    """One with credentials, and the checks that reach it."""

    __slots__ = ()

    def __init__(self, consent_s: float = 30.0) -> None:
        super().__init__(UFRAG, PASSWORD, REMOTE, consent_s=consent_s)

    def check(
        self, path: Path, now_s: float = T0_S, *, nominates: bool = False, name: str = NAME, password: str = PASSWORD
    ) -> CheckAnswer | None:
        return self.handle(path, build_check(name, password, is_nominating=nominates), now_s)

    def is_answered(self, packet: bytes) -> bool:
        before = self.refused
        answer = self.handle(A, packet, T0_S)
        assert (self.refused - before) == (answer is None)
        return answer is not None
